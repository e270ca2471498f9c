//! Explain: `/explain`, which route a request would take and why, by the table in force.

use serde::Deserialize;
use serde_json::{Value, json};

use super::core::Core;
use super::problem::Problem;
use super::request::{self, Answer, Request};
use crate::table::{Fields, Question};
use crate::wire::path;

/// A request that is not sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default = "get")]
    method: String,
    #[serde(default)]
    host: String,
    /// With its query.
    path: String,
    #[serde(default)]
    headers: serde_json::Map<String, Value>,
}

fn get() -> String {
    "GET".to_owned()
}

/// The fields of a request that is not sent.
struct FieldLines(Vec<(String, String)>);

impl Fields for FieldLines {
    fn any(&self, name: &[u8], accept: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let lines = self.0.iter();
        let mut named = lines.filter(|(given, _)| given.as_bytes().eq_ignore_ascii_case(name));
        named.any(|(_, value)| accept(value.as_bytes()))
    }
}

/// Answers `/explain`.
pub(super) fn answer(core: &Core, request: &Request) -> Result<Answer, Problem> {
    let asked: Asked = serde_json::from_value(request.declaration()?).map_err(|error| {
        let wanted = "write {\"method\", \"host\", \"path\", \"headers\"}; only path is required";
        Problem::new(400, format!("{error}; {wanted}"))
    })?;
    let state = core.state.borrow();
    let snapshot = &state.snapshot;
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let mut space = Vec::new();
    let path = path::normalise(path.as_bytes(), snapshot.settings.path, &mut space)
        .map_err(|fault| Problem::new(400, fault.to_string()))?;
    let host = asked.host.to_ascii_lowercase();
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => &host,
    };
    let fields = asked.headers.into_iter().map(|(name, value)| match value {
        Value::String(value) => (name, value),
        other => (name, other.to_string()),
    });
    let fields = FieldLines(fields.collect());
    let question = Question {
        host: host.strip_suffix('.').unwrap_or(host).as_bytes(),
        path,
        query: query.as_bytes(),
        method: asked.method.as_bytes(),
        fields: &fields,
    };
    let found = snapshot.table.find(&question);
    let upstream = found.as_ref().and_then(|found| found.route.upstream());
    let upstream = upstream.and_then(|id| snapshot.table.upstream(id));
    let verdicts: Vec<Value> = snapshot
        .table
        .explain(&question)
        .iter()
        .map(|verdict| json!({"route": &*verdict.route.id, "verdict": verdict.to_string()}))
        .collect();
    Ok(request::json(
        200,
        &json!({
            "epoch": snapshot.epoch,
            "path": String::from_utf8_lossy(path),
            "route": found.map(|found| found.route.id.to_string()),
            "upstream": upstream.map(|upstream| upstream.name.to_string()),
            "verdicts": verdicts,
        }),
    ))
}
