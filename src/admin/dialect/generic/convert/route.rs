//! Route: the words that an Otoroshi route and a native one have in common.
//!
//! [`read`] and [`show`] translate word by word and may lose what the other side has no word for;
//! the room above keeps that. Both are total: what makes no sense is an error of `read`, or left
//! out by `show`.

use serde_json::{Value, json};

use super::condition;
use super::frontend::{self, Forwarding};
use super::plugins;
use super::servers;
use super::{Native, blank};
use crate::model::route::{Also, Redirect, Respond};
use crate::model::{Route, Upstream};

/// Plugins with a native meaning.
pub(crate) const REDIRECTION: &str = "cp:otoroshi.next.plugins.Redirection";
pub(crate) const STATIC_RESPONSE: &str = "cp:otoroshi.next.plugins.StaticResponse";

/// What a route answers that has no server which can be asked.
const NO_SERVER: &str = "no server of this route can be asked\n";

/// The native route, and the upstream of its own if it has one, that a filled entity says.
pub(super) fn read(entity: &Value) -> Result<Native, String> {
    let mut route = blank();
    route.id = entity.get("id").and_then(Value::as_str).map(str::to_owned);
    let backend = &entity["backend"];
    read_times(backend, &mut route);
    let upstream = read_action(entity, &mut route);
    read_frontend(entity, &mut route)?;
    plugins::read(entity, upstream.as_ref(), &mut route);
    Ok(Native { route, upstream })
}

/// The words of a native route over `entity`, which has the defaults.
pub(super) fn show(route: &Route, upstream: Option<&Upstream>, entity: &mut Value) {
    entity["id"] = json!(route.id);
    entity["name"] = json!(route.id);
    entity["enabled"] = json!(route.enabled);
    show_frontend(route, &mut entity["frontend"]);
    let backend = &mut entity["backend"];
    servers::show(upstream, backend);
    let (_, root, rewrite) = frontend::show_forwarding(&frontend::first_of(route));
    if route.upstream.is_some() {
        backend["root"] = json!(root);
        backend["rewrite"] = json!(rewrite);
    }
    let client = &mut backend["client"];
    client["connection_timeout"] = json!(route.connect_timeout_ms);
    client["idle_timeout"] = json!(route.read_timeout_ms);
    client["call_and_stream_timeout"] = json!(route.total_timeout_ms);
    client["retries"] = json!(route.retry.max_retries);
    if upstream.is_none() {
        entity["backend_ref"] = json!(route.upstream);
    }
    let mut shown = plugins::show(route, upstream);
    if let Some(redirect) = &route.redirect {
        let config = json!({"code": redirect.status, "to": redirect.to});
        shown.push(plugin(REDIRECTION, config));
    }
    if let Some(respond) = &route.respond {
        let config =
            json!({"status": respond.status, "headers": respond.headers, "body": respond.body});
        shown.push(plugin(STATIC_RESPONSE, config));
    }
    entity["plugins"] = Value::Array(shown);
}

/// A plugin as Otoroshi writes it.
pub(super) fn plugin(id: &str, config: Value) -> Value {
    json!({
        "enabled": true, "debug": false, "plugin": id, "include": [], "exclude": [],
        "config": config, "bound_listeners": [], "plugin_index": {},
    })
}

pub(super) fn read_times(backend: &Value, route: &mut Route) {
    let set = |key, place: &mut u64| {
        if let Some(time) = servers::time(backend, key) {
            *place = time;
        }
    };
    set("connection_timeout", &mut route.connect_timeout_ms);
    set("idle_timeout", &mut route.read_timeout_ms);
    set("call_and_stream_timeout", &mut route.total_timeout_ms);
    let retries = backend.pointer("/client/retries").and_then(Value::as_u64);
    if let Some(retries) = retries {
        route.retry.max_retries = retries.min(RETRIES_MAX) as u8;
    }
}

/// The most that a native route may have.
const RETRIES_MAX: u64 = 10;

/// What is done: the first plugin that answers by itself, or the backend.
fn read_action(entity: &Value, route: &mut Route) -> Option<Upstream> {
    let plugins = entity
        .get("plugins")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    for plugin in plugins.filter(|plugin| plugin["enabled"] == true) {
        let config = &plugin["config"];
        match plugin["plugin"].as_str() {
            Some(REDIRECTION) => route.redirect = read_redirect(config),
            Some(STATIC_RESPONSE) => route.respond = read_respond(config),
            _ => {}
        }
        if route.redirect.is_some() || route.respond.is_some() {
            return None;
        }
    }
    if let Some(name) = entity.get("backend_ref").and_then(Value::as_str) {
        route.upstream = Some(name.to_owned());
        return None;
    }
    let upstream = servers::read("", &entity["backend"]);
    match &upstream {
        Some(upstream) => route.upstream = Some(upstream.name.clone()),
        None => {
            let headers = Default::default();
            route.respond = Some(Respond {
                status: 503,
                headers,
                body: NO_SERVER.to_owned(),
            });
        }
    }
    upstream
}

fn read_redirect(config: &Value) -> Option<Redirect> {
    let to = config.get("to")?.as_str()?;
    let status = config.get("code").and_then(Value::as_u64).unwrap_or(303);
    let status = u16::try_from(status).ok()?;
    let is_plain = !to.is_empty() && !to.contains("${");
    (is_plain && matches!(status, 301 | 302 | 303 | 307 | 308)).then(|| Redirect {
        to: to.to_owned(),
        status,
    })
}

fn read_respond(config: &Value) -> Option<Respond> {
    let status = config.get("status").and_then(Value::as_u64).unwrap_or(200);
    let status = u16::try_from(status)
        .ok()
        .filter(|status| (200..600).contains(status))?;
    let headers = match config.get("headers") {
        None => Default::default(),
        Some(headers) => serde_json::from_value(headers.clone()).ok()?,
    };
    let body = config
        .get("body")
        .and_then(Value::as_str)
        .unwrap_or_default();
    (!body.contains("${")).then(|| Respond {
        status,
        headers,
        body: body.to_owned(),
    })
}

fn read_frontend(entity: &Value, route: &mut Route) -> Result<(), String> {
    let frontend = &entity["frontend"];
    let forwarding = route.upstream.is_some().then(|| Forwarding {
        strip: frontend["strip_path"] != false,
        root: entity
            .pointer("/backend/root")
            .and_then(Value::as_str)
            .unwrap_or("/"),
        rewrite: entity.pointer("/backend/rewrite") == Some(&Value::Bool(true)),
    });
    let exact = frontend["exact"] == true;
    let texts = |key: &str| {
        let list = frontend.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    };
    let mut domains = texts("domains").map(|domain| frontend::read(domain, exact, forwarding));
    match domains.next() {
        Some(first) => put_first(first, route),
        // It is for no request at all.
        None => put_first(frontend::read("*", false, None), route),
    }
    route.also = domains.collect();
    route.enabled = entity["enabled"] != false && texts("domains").next().is_some();
    route.methods = texts("methods").map(str::to_owned).collect();
    route.query = condition::read(frontend.get("query"), "query")?;
    route.headers = condition::read(frontend.get("headers"), "headers")?;
    route
        .headers
        .extend(condition::read_cookies(frontend.get("cookies"))?);
    Ok(())
}

/// Makes `first` the host, the path and the rewriting of a route.
pub(crate) fn put_first(first: Also, route: &mut Route) {
    route.host = first.host;
    route.path_prefix = first.path_prefix;
    route.path = first.path;
    route.path_template = first.path_template;
    route.path_regex = first.path_regex;
    route.rewrite_pattern = first.rewrite_pattern;
    route.rewrite_replacement = first.rewrite_replacement;
    route.rewrite_template = first.rewrite_template;
}

fn show_frontend(route: &Route, shown: &mut Value) {
    let first = frontend::first_of(route);
    let domains: Vec<String> = [&first]
        .into_iter()
        .chain(&route.also)
        .map(frontend::show)
        .collect();
    shown["domains"] = json!(domains);
    shown["exact"] = json!(first.path.is_some() || first.path_template.is_some());
    if route.upstream.is_some() {
        shown["strip_path"] = json!(frontend::show_forwarding(&first).0);
    }
    shown["methods"] = json!(route.methods);
    shown["headers"] = condition::show(&route.headers);
    shown["query"] = condition::show(&route.query);
}
