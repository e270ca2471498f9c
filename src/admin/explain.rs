//! Explain: `/explain`, which route a request would take and why, by the table in force; what each
//! of its policies says; and what every worker knows of the servers.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::core::Core;
use super::problem::Problem;
use super::request::{self, Answer, Request};
use crate::epoch::Report;
use crate::table::policy::Evidence;
use crate::table::{Action, Fields, Question, Upstream, UpstreamId};
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
    /// Who asks; without it an address of documentation (RFC 5737).
    #[serde(default = "nobody")]
    client: IpAddr,
    #[serde(default)]
    headers: serde_json::Map<String, Value>,
}

fn get() -> String {
    "GET".to_owned()
}

fn nobody() -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))
}

/// How long the workers may take to say what they know of an upstream.
const REPORTS_WITHIN: Duration = Duration::from_millis(500);
const REPORTS_LOOK: Duration = Duration::from_millis(5);

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
pub(super) async fn answer(core: &Core, request: &Request) -> Result<Answer, Problem> {
    let (mut said, upstream) = explain(core, request)?;
    if let Some(upstream) = upstream {
        said["workers"] = workers(core, upstream).await;
    }
    Ok(request::json(200, &said))
}

/// All that the table says, and the upstream that the request would go to.
fn explain(core: &Core, request: &Request) -> Result<(Value, Option<UpstreamId>), Problem> {
    let asked: Asked = serde_json::from_value(request.declaration()?).map_err(|error| {
        let wanted = "write {\"method\", \"host\", \"path\", \"headers\", \"client\"}; \
                      only path is required";
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
        .map(|verdict| json!({"route": verdict.route.id(), "verdict": verdict.to_string()}))
        .collect();
    let evidence = Evidence {
        method: &asked.method,
        fields: &fields,
        query: query.as_bytes(),
        counts: false,
    };
    let policies = found
        .as_ref()
        .and_then(|found| found.route.policies.as_ref());
    let policies = policies.map(|one| one.explain(&snapshot.table, &evidence, asked.client));
    let retries = found.as_ref().and_then(|found| match &found.route.action {
        Action::Forward(to) => Some(to.terms.retries.describe()),
        _ => None,
    });
    let said = json!({
        "epoch": snapshot.epoch,
        "path": String::from_utf8_lossy(path),
        "route": found.map(|found| found.route.id().to_string()),
        "upstream": upstream.map(|upstream| upstream.name.to_string()),
        "verdicts": verdicts,
        "policies": policies.unwrap_or_default(),
        "retries": retries,
        "balancing": upstream.map(|upstream| balancing(upstream)),
    });
    Ok((said, upstream.map(|upstream| upstream.id)))
}

/// How a server is picked, and what all workers know of each.
fn balancing(upstream: &Upstream) -> Value {
    let servers = upstream.servers.iter().map(|server| {
        json!({
            "server": &*server.name,
            "up": server.up,
            "addresses": server.endpoints.len(),
            "weight": server.weight,
            "backup": server.backup,
            "drain": server.drain,
        })
    });
    json!({
        "picks": upstream.spread.describe(),
        "servers": servers.collect::<Vec<_>>(),
        "has_health_check": upstream.check.is_some(),
    })
}

/// What each worker knows of an upstream, in the order of the workers.
async fn workers(core: &Core, upstream: UpstreamId) -> Value {
    let answers = core.asker.ask(upstream);
    let mut known: Vec<Option<Report>> = core.cores.iter().map(|_| None).collect();
    let all = async {
        while known.iter().any(Option::is_none) {
            match answers.try_recv() {
                Ok((worker, report)) => {
                    if let Some(place) = known.get_mut(worker) {
                        *place = Some(report);
                    }
                }
                // A core looks for inquiries with each tick of its clock.
                Err(_) => tokio::time::sleep(REPORTS_LOOK).await,
            }
        }
    };
    let _ = tokio::time::timeout(REPORTS_WITHIN, all).await;
    let each = known.iter().enumerate();
    each.map(|(worker, report)| match report {
        Some(report) => of_worker(worker, report),
        None => json!({"worker": worker, "silent": true}),
    })
    .collect()
}

fn of_worker(worker: usize, report: &Report) -> Value {
    let servers = report.servers.iter().map(|server| {
        json!({
            "server": &*server.name,
            "out_ms": server.out_ms,
            "on_trial": server.on_trial,
            "failures_in_a_row": server.fails,
            "in_flight": server.in_flight,
        })
    });
    json!({
        "worker": worker,
        "servers": servers.collect::<Vec<_>>(),
        "circuit": (!report.circuit.is_empty()).then_some(report.circuit),
        "waiting": report.waiting,
        "connections": report.connections.0,
        "idle_connections": report.connections.1,
        "retries_left": report.has_retries,
    })
}
