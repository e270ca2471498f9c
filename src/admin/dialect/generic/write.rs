//! Write: `POST`, `PUT`, `PATCH` and `DELETE` of entities, and their answers.

use std::cell::RefCell;
use std::rc::Rc;

use hyper::{Method, header};
use serde_json::Value;

use super::Call;
use super::access::Flag;
use super::act::{EntityWrite, Outcome, Step};
use super::answer::{self, UPDATED};
use super::body::{self, Content};
use super::catalogue::Resource;
use super::fault::Fault;
use super::listing::Listing;
use crate::admin::audit::Action;
use crate::admin::commit::{Operation, Write};
use crate::admin::condition::Conditions;
use crate::admin::payload::Payload;
use crate::admin::request::{self, Answer, EPOCH};

/// Answers a write.
pub(crate) async fn answer(
    call: &Call<'_>,
    resource: &'static Resource,
    id: Option<&str>,
) -> Result<Answer, Fault> {
    let (step, flags, action) = meaning(call, resource, id)?;
    // One of them is enough: an upsert may create or update.
    let mut refused = Ok(());
    for flag in flags {
        refused = call.allow(resource, *flag);
        if refused.is_ok() {
            break;
        }
    }
    refused?;
    let style = call.style(false)?;
    let is_upsert = matches!(step, Step::Upsert(..));
    let deletes_all = matches!(step, Step::DeleteAll(_));
    let written = commit(call, resource, step, action).await?;
    if deletes_all {
        let mut answer = request::answer(204, "application/json", Payload::Whole(None));
        answer.headers_mut().remove(header::CONTENT_TYPE);
        answer::add_fields(&mut answer, call, Some(resource), "-1");
        return Ok(answer);
    }
    let Outcome {
        entity,
        created,
        changed,
        ..
    } = written.outcome;
    let status = match (written.lagging, created) {
        (true, _) => 202,
        (false, true) => 201,
        (false, false) => 200,
    };
    let listing = Listing::read(call.request.query()).map_err(Fault::bad_request)?;
    let entity: Value = style.entity(resource, &call.label(resource), &listing, entity);
    let mut answer = call.styled(status, Some(resource), entity, &style);
    request::set(&mut answer, EPOCH, &written.epoch.to_string());
    if let Some(tag) = &written.tag {
        request::set(&mut answer, header::ETAG, tag);
    }
    if is_upsert {
        request::set(&mut answer, UPDATED, if changed { "true" } else { "false" });
    }
    Ok(answer)
}

/// What a request means, which of the flags it needs, and the word for it in the audit log.
fn meaning(
    call: &Call<'_>,
    resource: &Resource,
    id: Option<&str>,
) -> Result<(Step, &'static [Flag], Action), Fault> {
    let request = call.request;
    let field = request
        .fields
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let content = |patches| body::read(field, &request.body, patches);
    let action = |verb: &str, plural| Action::of(verb, &resource.audit_name(plural));
    Ok(match (&request.method, id) {
        (&Method::POST, None) => (
            Step::Create(content(false)?),
            &[Flag::Create],
            action("CREATE", false),
        ),
        (&Method::POST, Some(id)) => (
            Step::Upsert(id.to_owned(), content(false)?),
            &[Flag::Create, Flag::Update],
            action("UPDATE", false),
        ),
        (&Method::PUT, Some(id)) => (
            Step::Replace(id.to_owned(), content(false)?),
            &[Flag::Update],
            action("UPDATE", false),
        ),
        (&Method::PATCH, Some(id)) => match content(true)? {
            Content::Patch(patch) => (
                Step::Patch(id.to_owned(), patch),
                &[Flag::Update],
                action("PATCHED", false),
            ),
            Content::Entity(_) => return Err(Fault::bad_content_type()),
        },
        (&Method::DELETE, Some(id)) => (
            Step::Delete(id.to_owned()),
            &[Flag::Delete],
            action("DELETE", false),
        ),
        (&Method::DELETE, None) => {
            let own = (resource.kind == "Apikey").then(|| request.principal.name.clone());
            (
                Step::DeleteAll(own),
                &[Flag::Delete],
                action("DELETE_ALL", true),
            )
        }
        _ => return Err(Fault::method_not_allowed()),
    })
}

/// A write that is committed.
pub(crate) struct Written {
    pub(crate) outcome: Outcome,
    pub(crate) epoch: u64,
    pub(crate) tag: Option<String>,
    /// Whether some cores do not work by it yet.
    pub(crate) lagging: bool,
}

/// Commits a step and waits for the cores.
pub(crate) async fn commit(
    call: &Call<'_>,
    resource: &'static Resource,
    step: Step,
    action: Action,
) -> Result<Written, Fault> {
    let wishes = call.request.wishes()?;
    let outcome = Rc::new(RefCell::new(None));
    let act = EntityWrite {
        resource,
        rights: call.rights.clone(),
        step: RefCell::new(Some(step)),
        conditions: call.request.conditions(),
        exists_status: call.core.state.borrow().config.admin.exists_status,
        shows: true,
        outcome: outcome.clone(),
    };
    let by = crate::admin::commit::Writer {
        action: Some(action),
        ..call.request.writer()
    };
    let write = Write {
        by: by.clone(),
        operation: Operation::Dialect(Box::new(act)),
        conditions: Conditions::default(),
        dry_run: wishes.dry_run,
        force: wishes.force,
    };
    let done = match call.core.commit(write).await {
        Ok(done) => done,
        Err(refusal) => {
            let fault = Fault::from(refusal);
            if let Some(audit) = &call.core.audit {
                audit.note(&by, fault.status, call.core.epoch(), &[]).await;
            }
            return Err(fault);
        }
    };
    let mut lagging = false;
    if !wishes.dry_run {
        lagging = !call.core.in_force.wait(done.epoch, wishes.wait).await;
        if let Some(audit) = &call.core.audit {
            let status = if lagging { 202 } else { 200 };
            audit.note(&by, status, done.epoch, &done.differences).await;
        }
    }
    let tag = done.subject.as_ref().map(|kept| kept.tag());
    let outcome = outcome.take().unwrap_or_default();
    Ok(Written {
        outcome,
        epoch: done.epoch,
        tag,
        lagging,
    })
}
