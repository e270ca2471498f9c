//! Document: the whole configuration as one FileConfiguration.
//!
//! What was set up is kept as it was. What it stands for is seen anew each time: a route of it that
//! another API has changed or removed is not in it any more, and what another API has made is under
//! its member `Ringway`. A document that is posted takes the place of everything.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Instant;

use hyper::header;
use serde_json::{Map, Value, json};

use super::plain;
use crate::admin::commit::{Act, Difference, Done, Operation, Refusal, Source, Write};
use crate::admin::condition::{Conditions, list_tag};
use crate::admin::core::Core;
use crate::admin::dialect::write::differences;
use crate::admin::entity::Kind;
use crate::admin::names::looked_up;
use crate::admin::problem::Problem;
use crate::admin::publish::lagging;
use crate::admin::request::{self, Answer, EPOCH, Request, Wishes};
use crate::admin::stage::Stage;
use crate::admin::state::State;
use crate::model::ocelot::{self, Naming, Ocelot, named};
use crate::model::{Faults, Route, Upstream};

/// The members that every document has, when nobody has set one up.
const MEMBERS: [&str; 3] = ["Routes", "DynamicRoutes", "Aggregates"];

/// What a posted document comes to.
#[derive(Debug)]
struct Post {
    /// Upstreams first; each with its id.
    entities: Vec<(Kind, String, Value)>,
    conditions: Conditions,
}

/// Shows the configuration.
pub(super) fn show(core: &Core, request: &Request) -> Answer {
    let state = core.state.borrow();
    let tag = tag(&state);
    if request.conditions().has_seen(&tag) {
        return request::not_modified(&tag);
    }
    let document = named(&shown(&state), Naming::Camel);
    let mut answer = written(200, &document, request);
    request::set(&mut answer, header::ETAG, &tag);
    answer
}

/// Puts a document in the place of all that there is.
pub(super) async fn replace(core: &Core, request: &Request) -> Answer {
    match posted(core, request).await {
        Ok(answer) => answer,
        Err(refused) => {
            if let Some(audit) = &core.audit {
                let (status, epoch) = (refused.status().as_u16(), core.epoch());
                audit.note(&request.writer(), status, epoch, &[]).await;
            }
            refused
        }
    }
}

async fn posted(core: &Core, request: &Request) -> Result<Answer, Answer> {
    let wishes = request.wishes().map_err(|problem| refused(&problem))?;
    let document: Value = serde_json::from_slice(&request.body)
        .map_err(|error| invalid(&format!("JsonException: {error}\n")))?;
    if !document.is_object() {
        return Err(invalid("JsonException: the body is not an object\n"));
    }
    let is_verifier = |id: &str| {
        let kind = Kind::of_list(ocelot::VERIFIERS);
        kind.is_some_and(|kind| core.state.borrow().of_kind(kind).get(id).is_some())
    };
    let post = Post::of(&document, &is_verifier, request.conditions());
    let post = post.map_err(|text| invalid(&text))?;
    let write = Write {
        by: request.writer(),
        operation: Operation::Dialect(Box::new(post)),
        conditions: Conditions::default(),
        dry_run: wishes.dry_run,
        force: wishes.force,
    };
    let done = core.commit(write).await.map_err(refused_write)?;
    if wishes.dry_run {
        let shown = json!({"dry_run": true, "diff": differences(&done)});
        return Ok(request::json(200, &shown));
    }
    Ok(settled(core, request, &wishes, &done, &document).await)
}

/// Waits for names and cores, and answers with what was posted.
async fn settled(
    core: &Core,
    request: &Request,
    wishes: &Wishes,
    done: &Done,
    document: &Value,
) -> Answer {
    let until = Instant::now() + wishes.wait;
    let (epoch, unresolved) = looked_up(core, done, wishes.wait).await;
    if !unresolved.is_empty() {
        tracing::warn!(
            message = "names cannot be resolved",
            names = unresolved.join(", ")
        );
    }
    let left = until.saturating_duration_since(Instant::now());
    let in_force = core.in_force.wait(epoch, left).await;
    let status = if in_force { 200 } else { 202 };
    if let Some(audit) = &core.audit {
        audit
            .note(&request.writer(), status, done.epoch, &done.differences)
            .await;
    }
    let mut answer = if in_force {
        written(200, &named(document, Naming::Camel), request)
    } else {
        let lagging = lagging(core, epoch);
        request::json(202, &json!({"epoch": done.epoch, "lagging": lagging}))
    };
    request::set(&mut answer, EPOCH, &done.epoch.to_string());
    answer
}

fn written(status: u16, document: &Value, request: &Request) -> Answer {
    let text = match request.flag("pretty") {
        Ok(true) => format!("{document:#}"),
        _ => document.to_string(),
    };
    request::text(status, "application/json; charset=utf-8", text)
}

fn invalid(text: &str) -> Answer {
    plain(400, text.to_owned())
}

fn refused(problem: &Problem) -> Answer {
    plain(
        problem.status.as_u16(),
        format!("Exception: {}\n", problem.error),
    )
}

/// Why a document was not taken, as Ocelot writes it: one line for each fault.
fn refused_write(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::Invalid(faults) => invalid(&sentences(&faults)),
        other => refused(&Problem::from(other)),
    }
}

fn sentences(faults: &Faults) -> String {
    let mut text = String::from("ConfigurationRepositoryException: ");
    for fault in &faults.list {
        let place = match fault.path.as_str() {
            "$" => String::new(),
            path => format!("{path}: "),
        };
        text.push_str(&format!(
            "FileValidationFailedError: {place}{}\n",
            fault.what
        ));
    }
    text
}

/// The entity tag of the whole configuration.
fn tag(state: &State) -> String {
    list_tag(Kind::Route, newest(|kind| state.changed.of_kind(kind)))
}

/// The epoch of the last change of any kind that belongs to the document.
fn newest(of: impl Fn(Kind) -> u64) -> u64 {
    let kinds = Kind::TRAFFIC.into_iter().chain(kind());
    kinds.map(of).max().unwrap_or_default()
}

/// The kind of the document itself.
fn kind() -> Option<Kind> {
    Kind::of_list(ocelot::LIST)
}

/// The configuration that is in force.
fn shown(state: &State) -> Value {
    let kept = kind().and_then(|kind| state.of_kind(kind).get(ocelot::ID).cloned());
    let document = kept.map(|kept| kept.value()[ocelot::DOCUMENT].take());
    let document = document.unwrap_or_else(|| {
        let lists = MEMBERS.iter().map(|name| ((*name).to_owned(), json!([])));
        let mut empty: Map<String, Value> = lists.collect();
        empty.insert("GlobalConfiguration".to_owned(), json!({}));
        Value::Object(empty)
    });
    let is_there = |route: &Route, upstream: Option<&Upstream>| {
        let id = route.id.as_deref().unwrap_or_default();
        let means = |kind, id: &str, value: Value| {
            let kept = state.of_kind(kind).get(id);
            kept.is_some_and(|kept| kept.means(&value))
        };
        means(Kind::Route, id, json!(route))
            && upstream.is_none_or(|one| means(Kind::Upstream, &one.name, json!(one)))
    };
    let ocelot::Folded { mut document, ids } = ocelot::fold(&document, is_there);
    let others = |kind: Kind| -> Vec<Value> {
        let all = state.of_kind(kind).iter();
        all.filter(|kept| !ids.contains(&*kept.id))
            .map(|kept| kept.value())
            .collect()
    };
    let (routes, upstreams) = (others(Kind::Route), others(Kind::Upstream));
    if let Value::Object(members) = &mut document
        && !(routes.is_empty() && upstreams.is_empty())
    {
        let own = json!({"routes": routes, "upstreams": upstreams});
        members.insert(ocelot::OWN.to_owned(), own);
    }
    document
}

impl Post {
    /// Reads a document; what is wrong with it is all said at once.
    fn of(
        document: &Value,
        is_verifier: &dyn Fn(&str) -> bool,
        conditions: Conditions,
    ) -> Result<Self, String> {
        let mut read = Ocelot::read(document);
        read.require_providers(is_verifier);
        if !read.report.faults.is_empty() {
            let faults = Faults {
                source: "body".to_owned(),
                list: read.report.faults,
            };
            let mut text = String::from("ConfigurationRepositoryException: ");
            for fault in &faults.list {
                text.push_str(&format!("FileValidationFailedError: {}\n", fault.what));
            }
            return Err(text);
        }
        for warning in &read.report.warnings {
            tracing::warn!(
                message = "in the configuration",
                warning = warning.to_string()
            );
        }
        let mut entities = Vec::new();
        for upstream in &read.upstreams {
            entities.push((Kind::Upstream, upstream.name.clone(), json!(upstream)));
        }
        for route in &read.routes {
            let id = route.id.clone().unwrap_or_default();
            entities.push((Kind::Route, id, json!(route)));
        }
        for kind in Kind::TRAFFIC {
            let list = read.own.get(kind.list()).and_then(Value::as_array);
            for value in list.into_iter().flatten() {
                let id = value.get(kind.id_key()).and_then(Value::as_str);
                let id = id.ok_or_else(|| {
                    let (list, key) = (kind.list(), kind.id_key());
                    format!("Exception: $.Ringway.{list}: each needs its {key}\n")
                })?;
                entities.push((kind, id.to_owned(), value.clone()));
            }
        }
        // Upstreams first: routes are checked against them.
        entities.sort_by_key(|(kind, ..)| kind.place());
        if let Some(kind) = kind() {
            entities.push((kind, ocelot::ID.to_owned(), read.entity()));
        }
        Ok(Self {
            entities,
            conditions,
        })
    }
}

impl Act for Post {
    fn act(&self, stage: &mut Stage<'_>) -> Result<Done, Refusal> {
        self.conditions
            .on_list(Kind::Route, newest(|kind| stage.changed(kind)))?;
        let mut differences = Vec::new();
        let mut stays: HashSet<(Kind, &str)> = HashSet::new();
        for (kind, id, value) in &self.entities {
            if !stays.insert((*kind, id)) {
                return Err(Refusal::Exists(*kind));
            }
            let before = stage.get(*kind, id);
            if before.as_ref().is_some_and(|before| before.means(value)) {
                continue;
            }
            let since = match &before {
                Some(before) => (before.age, before.created_at),
                None => {
                    stage.next_age += 1;
                    (stage.next_age - 1, stage.now)
                }
            };
            let put =
                stage.check_and_put(*kind, id.clone(), value.clone(), since, Source::Dialect)?;
            differences.extend(Difference::of(before, Some(put)));
        }
        for kind in Kind::TRAFFIC.into_iter().rev() {
            for id in stage.ids(kind) {
                let gone = !stays.contains(&(kind, &*id));
                let Some(kept) = stage.get(kind, &id).filter(|_| gone) else {
                    continue;
                };
                stage.take_out(&kept)?;
                differences.extend(Difference::of(Some(Rc::clone(&kept)), None));
            }
        }
        Ok(Done::of_all(stage.epoch, differences))
    }
}
