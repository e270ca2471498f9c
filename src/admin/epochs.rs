//! Epochs: `/epochs`, what was changed when and by whom, and the way back to it.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::commit::{Operation, Write};
use super::condition::Conditions;
use super::core::Core;
use super::dialect::settle;
use super::problem::Problem;
use super::request::{self, Answer, Request};

/// Answers `/epochs` and what is below it.
pub(super) async fn answer(
    core: &Core,
    request: &Request,
    rest: Option<&str>,
) -> Result<Answer, Problem> {
    let read = matches!(request.method, Method::GET | Method::HEAD);
    let Some(rest) = rest else {
        return if read {
            list(core, request)
        } else {
            Err(only("GET, HEAD"))
        };
    };
    let (number, action) = match rest.split_once('/') {
        Some((number, action)) => (number, Some(action)),
        None => (rest, None),
    };
    let epoch: u64 = number.parse().map_err(|_| Problem::not_found())?;
    match action {
        None if read => one(core, epoch),
        None => Err(only("GET, HEAD")),
        Some("restore") if request.method == Method::POST => restore(core, request, epoch).await,
        Some("restore") => Err(only("POST")),
        Some(_) => Err(Problem::not_found()),
    }
}

fn only(allow: &'static str) -> Problem {
    Problem::method_not_allowed(allow)
}

fn unknown() -> Problem {
    Problem::new(404, "epoch not found")
}

/// The newest first, `?limit=` of them.
fn list(core: &Core, request: &Request) -> Result<Answer, Problem> {
    let limit = request.number("limit")?.unwrap_or(100);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let history = core.history.borrow();
    let epochs: Vec<Value> = history
        .iter()
        .take(limit)
        .map(|record| record.summary())
        .collect();
    Ok(request::json(
        200,
        &json!({"epoch": core.epoch(), "epochs": epochs}),
    ))
}

fn one(core: &Core, epoch: u64) -> Result<Answer, Problem> {
    let history = core.history.borrow();
    let record = history.get(epoch).ok_or_else(unknown)?;
    Ok(request::json(200, &record.detail()))
}

/// Makes routes and upstreams what they were at the end of `epoch`, as one more epoch.
async fn restore(core: &Core, request: &Request, epoch: u64) -> Result<Answer, Problem> {
    let wishes = request.wishes()?;
    let earlier = core.history.borrow().earlier(epoch, &core.state.borrow());
    let entities = earlier.ok_or_else(unknown)?;
    let write = Write {
        by: request.writer(),
        operation: Operation::Restore { entities },
        conditions: Conditions::default(),
        dry_run: wishes.dry_run,
        force: wishes.force,
    };
    let done = core.commit(write).await?;
    let changes: Vec<Value> = done
        .differences
        .iter()
        .map(|difference| Value::Object(difference.summary()))
        .collect();
    let mut shown = Map::new();
    shown.insert("ok".into(), Value::Bool(true));
    shown.insert("restored".into(), json!(epoch));
    shown.insert("changes".into(), json!(changes));
    if wishes.dry_run {
        shown.insert("dry_run".into(), Value::Bool(true));
        return Ok(request::json(200, &Value::Object(shown)));
    }
    settle(core, request, &wishes, &done, 200, shown).await
}
