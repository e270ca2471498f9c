//! Flat: seed 001 and what we add to it, `/routes`, `/upstreams` and the operations beside them,
//! at `/` and at `/v1/`.

use std::rc::Rc;

use hyper::{Method, header};
use serde_json::{Map, Value, json};

use super::write::write;
use crate::admin::commit::{Done, Operation, Refusal, Target, name};
use crate::admin::condition::list_tag;
use crate::admin::core::Core;
use crate::admin::entity::Kind;
use crate::admin::payload::Payload;
use crate::admin::problem::Problem;
use crate::admin::request::{self, Answer, Request, decode};
use crate::admin::state::{Kept, path_of};
use crate::admin::{epochs, explain, metrics, regions, status, watch};

/// Answers a request.
pub(super) async fn answer(core: &Rc<Core>, request: &Request) -> Result<Answer, Problem> {
    let path = request.path().strip_prefix('/').unwrap_or_default();
    // What follows may hold slashes: a prefix that the client did not encode.
    let (collection, rest) = match path.split_once('/') {
        Some((collection, rest)) => (collection, Some(rest)),
        None => (path, None),
    };
    match (collection, rest) {
        ("routes", None) => list(core, request, Kind::Route).await,
        ("routes", Some(rest)) => one(core, request, Kind::Route, route_target(rest)?).await,
        ("upstreams", None) => list(core, request, Kind::Upstream).await,
        ("upstreams", Some(rest)) => {
            one(core, request, Kind::Upstream, Target::Id(decoded(rest)?)).await
        }
        ("cache", Some(region)) => regions::answer(core, request, region).await,
        ("epochs", rest) => epochs::answer(core, request, rest).await,
        (_, Some(_)) => Err(Problem::not_found()),
        ("status", None) => read(request, || status::answer(core)),
        ("metrics", None) => read(request, || metrics::answer(core)),
        ("cores", None) => read(request, || status::cores_answer(core)),
        ("watch", None) => match request.method {
            Method::GET => watch::answer(core, request),
            _ => Err(Problem::method_not_allowed("GET")),
        },
        ("explain", None) => match request.method {
            Method::POST => explain::answer(core, request).await,
            _ => Err(Problem::method_not_allowed("POST")),
        },
        ("reload", None) => match request.method {
            Method::POST => reload(core, request).await,
            _ => Err(Problem::method_not_allowed("POST")),
        },
        _ => Err(Problem::not_found()),
    }
}

fn read(request: &Request, answer: impl FnOnce() -> Answer) -> Result<Answer, Problem> {
    match request.method {
        Method::GET | Method::HEAD => Ok(answer()),
        _ => Err(Problem::method_not_allowed("GET, HEAD")),
    }
}

fn decoded(text: &str) -> Result<String, Problem> {
    decode(text).ok_or_else(|| Problem::new(400, "bad request"))
}

/// A prefix has a slash in it, an id never has.
fn route_target(text: &str) -> Result<Target, Problem> {
    let text = decoded(text)?;
    Ok(if text.contains('/') {
        Target::Prefix(text)
    } else {
        Target::Id(text)
    })
}

async fn list(core: &Core, request: &Request, kind: Kind) -> Result<Answer, Problem> {
    match request.method {
        Method::GET | Method::HEAD => Ok(all(core, request, kind)),
        Method::POST => {
            let operation = Operation::Create {
                kind,
                value: request.declaration()?,
            };
            let mut location = String::new();
            let mut answer = write(core, request, operation, 201, |done| {
                let id = done.subject.as_ref().map_or("", |kept| &*kept.id);
                location = format!("/{}s/{id}", name(kind));
                named(kind, done)
            })
            .await?;
            request::set(&mut answer, header::LOCATION, &location);
            Ok(answer)
        }
        Method::DELETE => {
            let target = match (kind, request.parameter("prefix"), request.parameter("name")) {
                (Kind::Route, Some(prefix), _) if !prefix.is_empty() => {
                    Target::Prefix(prefix.to_owned())
                }
                (Kind::Upstream, _, Some(name)) if !name.is_empty() => Target::Id(name.to_owned()),
                (Kind::Route, ..) => return Err(Problem::new(400, "?prefix= required")),
                _ => return Err(Problem::new(400, "?name= required")),
            };
            remove(core, request, kind, target).await
        }
        Method::PUT => match request.parameter("name") {
            Some(name) if kind == Kind::Upstream && !name.is_empty() => {
                let target = Target::Id(name.to_owned());
                replace(core, request, kind, target).await
            }
            _ if kind == Kind::Upstream => Err(Problem::new(400, "?name= required")),
            _ => Err(Problem::method_not_allowed(ROUTES)),
        },
        _ if kind == Kind::Upstream => Err(Problem::method_not_allowed(UPSTREAMS)),
        _ => Err(Problem::method_not_allowed(ROUTES)),
    }
}

const ROUTES: &str = "GET, HEAD, POST, DELETE";
const UPSTREAMS: &str = "GET, HEAD, POST, PUT, DELETE";
const ONE: &str = "GET, HEAD, PUT, PATCH, DELETE";

async fn one(
    core: &Core,
    request: &Request,
    kind: Kind,
    target: Target,
) -> Result<Answer, Problem> {
    match request.method {
        Method::GET | Method::HEAD => show(core, request, kind, &target),
        Method::PUT => replace(core, request, kind, target).await,
        Method::PATCH => {
            let operation = Operation::Merge {
                kind,
                target,
                patch: request.patch()?,
            };
            write(core, request, operation, 200, |done| named(kind, done)).await
        }
        Method::DELETE => remove(core, request, kind, target).await,
        _ => Err(Problem::method_not_allowed(ONE)),
    }
}

fn all(core: &Core, request: &Request, kind: Kind) -> Answer {
    let state = core.state.borrow();
    let tag = list_tag(kind, state.changed.of_kind(kind));
    if request.conditions().has_seen(&tag) {
        return request::not_modified(&tag);
    }
    let list = match kind {
        Kind::Route => "routes",
        Kind::Upstream => "upstreams",
        Kind::Document(_) => "entities",
    };
    let entities = state.of_kind(kind).iter().cloned().collect();
    let list = Payload::list(list, entities);
    let mut answer = request::answer(200, "application/json", list);
    request::set(&mut answer, header::ETAG, &tag);
    answer
}

fn show(core: &Core, request: &Request, kind: Kind, target: &Target) -> Result<Answer, Problem> {
    let state = core.state.borrow();
    let found: Vec<&Rc<Kept>> = match target {
        Target::Id(id) => state.of_kind(kind).get(id).into_iter().collect(),
        Target::Prefix(prefix) => state.routes.with_prefix(prefix).collect(),
    };
    let kept = match found.as_slice() {
        [] => return Err(Refusal::NotFound(kind).into()),
        [one] => one,
        several => {
            let ids = several.iter().map(|kept| kept.id.clone()).collect();
            return Err(Refusal::Several(ids).into());
        }
    };
    let tag = kept.tag();
    if request.conditions().has_seen(&tag) {
        return Ok(request::not_modified(&tag));
    }
    let mut answer = request::text(200, "application/json", kept.text.json());
    request::set(&mut answer, header::ETAG, &tag);
    let updated = std::time::UNIX_EPOCH + std::time::Duration::from_millis(kept.updated_at);
    request::set(
        &mut answer,
        header::LAST_MODIFIED,
        &httpdate::fmt_http_date(updated),
    );
    Ok(answer)
}

async fn replace(
    core: &Core,
    request: &Request,
    kind: Kind,
    target: Target,
) -> Result<Answer, Problem> {
    let operation = Operation::Replace {
        kind,
        target,
        value: request.declaration()?,
    };
    write(core, request, operation, 200, |done| named(kind, done)).await
}

async fn remove(
    core: &Core,
    request: &Request,
    kind: Kind,
    target: Target,
) -> Result<Answer, Problem> {
    let (Target::Id(asked) | Target::Prefix(asked)) = target.clone();
    let operation = Operation::Remove { kind, target };
    let body = |_: &Done| object(json!({"ok": true, "deleted": asked}));
    write(core, request, operation, 200, body).await
}

async fn reload(core: &Core, request: &Request) -> Result<Answer, Problem> {
    let wishes = request.wishes()?;
    let reloaded = core
        .reload(request.writer(), request.flag("structural")?)
        .await?;
    let body = object(json!({
        "ok": true,
        "epoch": reloaded.epoch,
        "applied": reloaded.applied,
        "changed": reloaded.differences.len(),
        "pending_structural_changes": reloaded.pending,
    }));
    let done = Done::of_all(reloaded.epoch, reloaded.differences);
    super::write::settle(core, request, &wishes, &done, 200, body).await
}

/// `{"ok":true,"route":"/canary/"}`; what has no path prefix is named by its path or its id.
fn named(kind: Kind, done: &Done) -> Map<String, Value> {
    let Some(kept) = &done.subject else {
        return object(json!({"ok": true}));
    };
    let value = kept.value();
    let shown = path_of(&value)
        .filter(|_| kind == Kind::Route)
        .unwrap_or(&kept.id);
    object(json!({"ok": true, name(kind): shown}))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
