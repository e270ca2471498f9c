//! Other: what stands under `/apis/` and is no resource: the catalogue, health, metrics, the
//! cluster, the OpenAPI document, sessions.

use hyper::{Method, header};
use serde_json::{Map, Value, json};

use super::answer::add_fields;
use super::fault::Fault;
use super::{Call, VERSION, login, openapi, read};
use crate::admin::clock::{now_ms, started_ms};
use crate::admin::request::{self, Answer};
use crate::admin::{metrics, status};

/// Answers `/apis/…` that names no resource.
pub(crate) async fn answer(call: &Call<'_>, rest: &[&str]) -> Result<Answer, Fault> {
    if let ["session"] = rest {
        return session(call);
    }
    if !matches!(call.request.method, Method::GET | Method::HEAD) {
        return Err(Fault::method_not_allowed());
    }
    match rest {
        ["entities"] => read::catalogue(call),
        ["health"] => health(call),
        ["metrics"] => metrics_of(call),
        ["cluster"] => call.whole(200, None, json!([member(call)])),
        ["cluster", "node", what] => node(call, what).await,
        ["openapi.json" | "openapi"] => openapi_document(call),
        _ => Err(Fault::not_found("there is no such endpoint")),
    }
}

/// Answers `/apis/cluster/node/…`.
pub(crate) async fn node(call: &Call<'_>, what: &str) -> Result<Answer, Fault> {
    match what {
        "infos" => call.whole(200, None, infos(call)),
        "version" => call.whole(200, None, version()),
        "health" => health(call),
        "metrics" => metrics_of(call),
        _ => Err(Fault::not_found("there is no such endpoint")),
    }
}

/// Answers `/.well-known/otoroshi/monitoring/…`.
pub(crate) async fn monitoring(call: &Call<'_>, what: &str) -> Result<Answer, Fault> {
    match what {
        "health" => health(call),
        "metrics" => metrics_of(call),
        _ => Err(Fault::not_found("there is no such endpoint")),
    }
}

/// `POST` begins a session with the credential of the request, `DELETE` ends it.
fn session(call: &Call<'_>) -> Result<Answer, Fault> {
    let request = call.request;
    let name = &*request.principal.name;
    let (status, body, cookie) = match request.method {
        Method::GET | Method::HEAD => return call.whole(200, None, json!({"name": name})),
        Method::POST if request.principal.rights.is_none() => {
            return Err(Fault::unauthorized("a session is begun with an Apikey"));
        }
        Method::POST => {
            let body = json!({"name": name, "expires_in": login::SESSION_SECONDS});
            (201, body, login::begin(call.core, name))
        }
        Method::DELETE => (
            200,
            json!({"done": true}),
            login::end(call.core, &request.fields),
        ),
        _ => return Err(Fault::method_not_allowed()),
    };
    let mut answer = call.whole(status, None, body)?;
    request::set(&mut answer, header::SET_COOKIE, &cookie);
    Ok(answer)
}

fn openapi_document(call: &Call<'_>) -> Result<Answer, Fault> {
    let body = openapi::document().to_string();
    let mut answer = request::text(200, "application/json", body);
    add_fields(&mut answer, call, None, "-1");
    Ok(answer)
}

fn is_healthy(call: &Call<'_>) -> bool {
    !call.core.stopping.get()
}

fn health(call: &Call<'_>) -> Result<Answer, Fault> {
    let core = call.core;
    let healthy = is_healthy(call);
    let in_force = core.in_force.is(core.epoch());
    let body = json!({
        "otoroshi": if healthy { "healthy" } else { "down" },
        "datastore": "healthy",
        "proxy": {"initialized": true, "status": if healthy { "healthy" } else { "down" }},
        "storage": {"initialized": true, "status": "healthy"},
        "eventstore": {"initialized": false, "status": "unknown"},
        "certificates": {"initialized": true, "status": "loaded"},
        "scripts": {"initialized": true, "status": "loaded"},
        "epoch": core.epoch(),
        "in_force": in_force,
    });
    call.whole(if healthy { 200 } else { 503 }, None, body)
}

fn metrics_of(call: &Call<'_>) -> Result<Answer, Fault> {
    let accept = call
        .request
        .fields
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let accept = accept.unwrap_or_default();
    let text = match call.request.parameter("format") {
        Some("prometheus" | "prom") => true,
        Some("json" | "old_json") => false,
        Some(_) => return Err(Fault::bad_request("format: it is json or prometheus")),
        None => {
            let prometheus =
                accept.contains("application/prometheus") || accept.contains("text/plain");
            prometheus && !accept.contains("application/json")
        }
    };
    let filter = call.request.parameter("filter").unwrap_or("*");
    if text {
        return Ok(metrics::answer(call.core));
    }
    let mut list = Vec::new();
    let mut add = |name: String, value: u64, kind: &str| {
        if matches(filter, &name) {
            list.push(json!({"name": name, "type": kind, "value": value, "count": value}));
        }
    };
    let core = call.core;
    add("ringway.epoch".to_owned(), core.epoch(), "gauges");
    {
        let state = core.state.borrow();
        add(
            "ringway.routes".to_owned(),
            state.routes.len() as u64,
            "gauges",
        );
        add(
            "ringway.upstreams".to_owned(),
            state.upstreams.len() as u64,
            "gauges",
        );
    }
    for (worker, counters) in core.counters.iter().enumerate() {
        for ((name, value), (_, help)) in counters.each().zip(counters.described()) {
            let kind = if help.starts_with("Gauge: ") {
                "gauges"
            } else {
                "counters"
            };
            add(format!("ringway.worker.{worker}.{name}"), value, kind);
        }
    }
    call.whole(200, None, Value::Array(list))
}

/// Whether a pattern with `*` in it matches a name.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            match rest.find(part) {
                Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

/// The version, in parts.
pub(crate) fn version() -> Value {
    let mut parts = VERSION
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or_default());
    let mut part = || parts.next().unwrap_or_default();
    let (major, minor, patch) = (part(), part(), part());
    json!({
        "raw": VERSION, "str": VERSION, "major": major, "minor": minor, "patch": patch,
        "build": null, "suffix": null, "suffix_version": null,
        "value": u64::from(major) * 1_000_000 + u64::from(minor) * 1_000 + u64::from(patch),
        "ringway": env!("CARGO_PKG_VERSION"),
    })
}

/// What the process is.
pub(crate) fn infos(call: &Call<'_>) -> Value {
    let store = format!("{:?}", call.core.state.borrow().config.store.kind).to_lowercase();
    json!({
        "otoroshi_cluster_id": "ringway",
        "otoroshi_version": VERSION,
        "otoroshi_version_sem": version(),
        "ringway_version": env!("CARGO_PKG_VERSION"),
        "java_version": {"version": "none", "vendor": "none"},
        "os": {"name": std::env::consts::OS, "version": "", "arch": std::env::consts::ARCH},
        "backoffice_url": "",
        "datastore": store,
        "env": "prod",
    })
}

/// The one member of the cluster, with its workers.
fn member(call: &Call<'_>) -> Value {
    let core = call.core;
    let address = core.listening.first();
    let workers: Vec<Value> = status::cores(core);
    let mut stats = Map::new();
    stats.insert("workers".to_owned(), Value::Array(workers));
    for key in [
        "rate",
        "duration",
        "overhead",
        "dataInRate",
        "dataOutRate",
        "concurrentHandledRequests",
    ] {
        stats.insert(key.to_owned(), json!(0));
    }
    json!({
        "id": "ringway", "name": "ringway", "version": VERSION, "javaVersion": "none",
        "os": std::env::consts::OS,
        "location": address.map(ToString::to_string),
        "httpPort": address.map(std::net::SocketAddr::port),
        "httpsPort": null, "internalHttpPort": null, "internalHttpsPort": null,
        "lastSeen": now_ms(), "timeout": 0, "type": "Off", "stats": stats, "relay": null,
        "tunnels": [], "time": now_ms(), "uptime_ms": now_ms().saturating_sub(started_ms()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_by_patterns() {
        for (pattern, name, expected) in [
            ("*", "a.b", true),
            ("a.*", "a.b", true),
            ("*.b", "a.b", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
