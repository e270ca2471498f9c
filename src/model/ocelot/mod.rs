//! Ocelot: a FileConfiguration (`ocelot.json`) as a native document.
//!
//! The document stays what it is; what it means natively is a pure function of it. `members` has
//! the names of everything, `file` the typed form, `check` what Ocelot refuses in Ocelot's words,
//! `convert` (with `template`, `query`, `options`, `security`, `transform`, `claims` and
//! `aggregates`) the native routes and upstreams. What Ocelot has no word for stands under the
//! member `Ringway`: the settings of this process, and routes and upstreams that were made
//! natively.

mod admin;
mod aggregates;
mod check;
mod claims;
mod convert;
mod file;
mod listeners;
mod members;
mod options;
mod query;
mod relaxed;
mod security;
mod template;
mod transform;
mod unsaid;

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

pub use self::admin::OcelotAdmin;
use self::file::FileConfiguration;
pub use self::members::{Naming, OWN, named};
pub(super) use self::relaxed::relaxed;
use super::faults::{Fault, Report};
use super::route::Route;
use super::upstream::Upstream;

/// The list of documents, under `entities`, that holds the FileConfiguration.
pub const LIST: &str = "ocelot";
/// The id of the one document in that list.
pub const ID: &str = "configuration";
/// The key under which that document has it.
pub const DOCUMENT: &str = "document";

/// The members of the document that are lists of routes, in the order in which they are converted.
const ROUTES: &str = "Routes";
const AGGREGATES: &str = "Aggregates";
/// The list of documents, under `entities`, with what proofs must be.
pub const VERIFIERS: &str = "jwt-verifiers";
/// What starts the id of every route and upstream that is made of a document.
const PREFIX: &str = "ocelot";
/// The hexadecimal digits that end it.
const DIGITS: usize = 8;

/// A document, read.
#[derive(Debug)]
pub struct Ocelot {
    /// The document without its member `Ringway`, as it was set up.
    pub document: Value,
    /// The member `Ringway`; empty if there is none.
    pub own: Map<String, Value>,
    /// Its routes.
    pub routes: Vec<Route>,
    /// Its upstreams.
    pub upstreams: Vec<Upstream>,
    /// What is wrong with it, and what has no effect.
    pub report: Report,
    /// Where each route stands.
    places: Vec<String>,
    /// The providers of proofs that it asks for, each with its place.
    providers: Vec<(String, String)>,
}

/// A document as the other dialects have left it.
#[derive(Debug)]
pub struct Folded {
    /// The document, without the routes that are not in force as it says them.
    pub document: Value,
    /// The ids of the routes, and names of the upstreams, that it stands for.
    pub ids: HashSet<String>,
}

/// Whether a document is a FileConfiguration: it has a member that only those have.
#[must_use]
pub fn is_ocelot(document: &Value) -> bool {
    let Value::Object(document) = document else {
        return false;
    };
    let is = |name: &str, wanted: &str| name.eq_ignore_ascii_case(wanted);
    document.iter().any(|(name, value)| {
        let sections = ["GlobalConfiguration", "DynamicRoutes", AGGREGATES];
        name == OWN
            || name == ROUTES
            || sections.into_iter().any(|section| is(name, section))
            || (is(name, ROUTES)
                && value
                    .as_array()
                    .is_some_and(|list| list.iter().any(is_route)))
    })
}

fn is_route(value: &Value) -> bool {
    let members = ["UpstreamPathTemplate", "DownstreamPathTemplate"];
    value.as_object().is_some_and(|route| {
        let mut names = route.keys();
        names.any(|name| {
            members
                .iter()
                .any(|member| name.eq_ignore_ascii_case(member))
        })
    })
}

/// Whether an upstream of this name was made of a document, to be removed when no route has it.
#[must_use]
pub fn is_own(name: &str) -> bool {
    let digits = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.rsplit_once('-'));
    digits.is_some_and(|(_, digits)| {
        digits.len() == DIGITS
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

impl Ocelot {
    /// Reads a document. With faults in its report the routes are those of what could be read.
    #[must_use]
    pub fn read(document: &Value) -> Self {
        let mut report = Report::default();
        let typed = members::typed(document, &mut report);
        let file: FileConfiguration = match serde_json::from_value(typed) {
            Ok(file) => file,
            Err(error) => {
                report.fault("$", error.to_string(), "");
                FileConfiguration::default()
            }
        };
        check::check(&file, &mut report);
        let own = match &file.ringway {
            Value::Null => Map::new(),
            Value::Object(own) => own.clone(),
            _ => {
                report.fault("$.Ringway", "it is not an object", "");
                Map::new()
            }
        };
        let mut document = document.clone();
        if let Value::Object(members) = &mut document {
            members.retain(|name, _| !name.eq_ignore_ascii_case(OWN));
        }
        let converted = if report.faults.is_empty() {
            convert::convert(&file, &mut report)
        } else {
            convert::Converted::default()
        };
        Self {
            document,
            own,
            routes: converted.routes,
            upstreams: converted.upstreams,
            places: converted.places,
            providers: check::providers(&file),
            report,
        }
    }

    /// Adds a fault for each provider of proofs that is not known: there must be a JwtVerifier with
    /// its key as the id.
    pub fn require_providers(&mut self, is_known: impl Fn(&str) -> bool) {
        for (place, key) in &self.providers {
            if !is_known(key) {
                let what = format!(
                    "Authentication Options AuthenticationProviderKey:'{key}',AllowedScopes:[] is \
                     unsupported authentication provider"
                );
                let instead = format!("add a JwtVerifier with the id {key}");
                self.report.fault(place, what, instead);
            }
        }
    }

    /// The ids of the JwtVerifiers that stand under `Ringway`.
    pub(super) fn verifiers(&self) -> impl Iterator<Item = &str> {
        let list = self.own.get("entities");
        let list = list.and_then(|entities| entities.get(VERIFIERS)?.as_array());
        let all = list.into_iter().flatten();
        all.filter_map(|one| one.get("id")?.as_str())
    }

    /// The native document that says the same: the settings and lists under `Ringway`, and what
    /// was made of the document.
    pub(super) fn native(&self) -> Value {
        let mut native = self.own.clone();
        native
            .entry("listeners")
            .or_insert_with(listeners::of_environment);
        let routes: Vec<Value> = self.routes.iter().map(value_of).collect();
        let upstreams: Vec<Value> = self.upstreams.iter().map(value_of).collect();
        for (key, mut all) in [("routes", routes), ("upstreams", upstreams)] {
            match native.get_mut(key) {
                Some(Value::Array(list)) => {
                    all.append(list);
                    *list = all;
                }
                Some(_) => {}
                None => {
                    native.insert(key.to_owned(), Value::Array(all));
                }
            }
        }
        let entities = native.entry("entities").or_insert_with(|| json!({}));
        if let Value::Object(entities) = entities {
            entities.insert(LIST.to_owned(), json!([self.entity()]));
        }
        Value::Object(native)
    }

    /// The document as it is kept among the entities.
    #[must_use]
    pub fn entity(&self) -> Value {
        json!({"id": ID, DOCUMENT: self.document})
    }

    /// Says where in the document a fault of its native form is.
    pub(super) fn relocate(&self, fault: &mut Fault) {
        for (list, made) in [("routes", &self.places), ("upstreams", &self.places)] {
            let start = format!("$.{list}[");
            let Some((index, rest)) = fault
                .path
                .strip_prefix(&start)
                .and_then(|rest| rest.split_once(']'))
            else {
                continue;
            };
            let Ok(index) = index.parse::<usize>() else {
                return;
            };
            // A route may have no upstream, so upstreams are found by the name of the route.
            let index = match list {
                "upstreams" => self
                    .upstreams
                    .get(index)
                    .and_then(|upstream| self.place_of(&upstream.name))
                    .unwrap_or_else(|| made.len() + index.saturating_sub(self.upstreams.len())),
                _ => index,
            };
            fault.path = match made.get(index) {
                Some(place) => place.clone(),
                None => format!("$.Ringway.{list}[{}]{rest}", index - made.len()),
            };
            return;
        }
        fault.path.insert_str(1, ".Ringway");
    }

    fn place_of(&self, id: &str) -> Option<usize> {
        let mut routes = self.routes.iter();
        routes.position(|route| route.id.as_deref() == Some(id))
    }
}

/// What of a document is still in force: `is_there` says it of each route and its upstream.
#[must_use]
pub fn fold(document: &Value, is_there: impl Fn(&Route, Option<&Upstream>) -> bool) -> Folded {
    let read = Ocelot::read(document);
    let mut ids = HashSet::new();
    let mut stays = Vec::with_capacity(read.routes.len());
    let upstreams = read.upstreams.iter();
    let upstreams: HashMap<&String, &Upstream> = upstreams.map(|one| (&one.name, one)).collect();
    for route in &read.routes {
        let upstream = route.upstream.as_ref().and_then(|name| upstreams.get(name));
        let there = is_there(route, upstream.copied());
        if there {
            ids.extend(route.id.clone());
        }
        stays.push(there);
    }
    let mut document = read.document;
    let mut stays = stays.iter();
    for lists in [ROUTES, AGGREGATES] {
        if let Value::Object(members) = &mut document
            && let Some((_, Value::Array(list))) = members
                .iter_mut()
                .find(|(name, _)| name.eq_ignore_ascii_case(lists))
        {
            list.retain(|_| stays.next().copied().unwrap_or(true));
        }
    }
    Folded { document, ids }
}

fn value_of(declared: &impl serde::Serialize) -> Value {
    // Maps with text keys and plain values: there is nothing in them that JSON cannot say.
    serde_json::to_value(declared).unwrap_or_default()
}
