//! What every write has in common, whatever the dialect: it goes through the commit, and its
//! answer waits until it is in force on every core.

use std::rc::Rc;
use std::time::Instant;

use hyper::header;
use serde_json::{Map, Value, json};

use crate::admin::commit::{Done, Operation, Write};
use crate::admin::core::Core;
use crate::admin::names::looked_up;
use crate::admin::problem::Problem;
use crate::admin::publish::lagging;
use crate::admin::request::{self, Answer, EPOCH, Request, Wishes};
use crate::admin::state::Kept;

/// Commits an operation and answers with `status` and what `body` makes of it.
pub(super) async fn write(
    core: &Core,
    request: &Request,
    operation: Operation,
    status: u16,
    body: impl FnOnce(&Done) -> Map<String, Value>,
) -> Result<Answer, Problem> {
    let wishes = request.wishes()?;
    let done = core
        .commit(Write {
            by: request.writer(),
            operation,
            conditions: request.conditions(),
            dry_run: wishes.dry_run,
            force: wishes.force,
        })
        .await?;
    let mut shown = body(&done);
    if wishes.dry_run {
        shown.insert("dry_run".into(), Value::Bool(true));
        shown.insert(
            "result".into(),
            json!(done.subject.as_ref().map(|kept| kept.value())),
        );
        shown.insert("diff".into(), differences(&done));
        return Ok(request::json(200, &Value::Object(shown)));
    }
    settle(core, request, &wishes, &done, status, shown).await
}

/// Waits for names and cores and answers: 202 when some of the cores lag.
pub(in crate::admin) async fn settle(
    core: &Core,
    request: &Request,
    wishes: &Wishes,
    done: &Done,
    status: u16,
    mut shown: Map<String, Value>,
) -> Result<Answer, Problem> {
    let mut status = status;
    let until = Instant::now() + wishes.wait;
    let (epoch, unresolved) = looked_up(core, done, wishes.wait).await;
    if !unresolved.is_empty() {
        shown.insert("unresolved".into(), json!(unresolved));
    }
    let left = until.saturating_duration_since(Instant::now());
    if !core.in_force.wait(epoch, left).await {
        status = 202;
        shown.insert("epoch".into(), json!(done.epoch));
        shown.insert("lagging".into(), json!(lagging(core, epoch)));
    }
    if let Some(audit) = &core.audit {
        audit
            .note(&request.writer(), status, done.epoch, &done.differences)
            .await;
    }
    let mut answer = request::json(status, &Value::Object(shown));
    request::set(&mut answer, EPOCH, &done.epoch.to_string());
    if let Some(kept) = &done.subject {
        request::set(&mut answer, header::ETAG, &kept.tag());
    }
    Ok(answer)
}

/// What a write changes, each entity as a JSON patch (RFC 6902).
pub(super) fn differences(done: &Done) -> Value {
    let each = done.differences.iter().map(|difference| {
        let mut shown = difference.summary();
        let value = |kept: &Option<Rc<Kept>>| kept.as_ref().map_or(Value::Null, |it| it.value());
        let patch = json_patch::diff(&value(&difference.before), &value(&difference.after));
        shown.insert("patch".into(), json!(patch));
        shown.remove("revision");
        Value::Object(shown)
    });
    each.collect()
}
