//! What a schema cannot say: names that must exist or be unique, values that must agree.
//!
//! One file per declared thing. Each check adds sentences to a [`Report`]; none stops at the
//! first fault, and none reads anything but the declaration, except [`surroundings`].

mod action;
mod aggregate;
mod auth;
mod balance;
mod cache;
mod listener;
mod pattern;
mod plain;
mod policy;
mod route;
mod sections;
mod surroundings;
mod template;
mod text;
mod upstream;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

pub use pattern::{PATTERN_BYTES_MAX, compile};
pub use plain::is_plain;
pub use policy::is_free_field;
pub use route::{PATH_BYTES_MAX, SEGMENTS_MAX};
pub use surroundings::surroundings;
pub use template::{CAPTURES_MAX, Piece, Segment, TemplateFault, parameter, pieces, segments};

use super::config::{Config, Http};
use super::faults::{ROOT, Report, at_index, at_key, quoted};
use super::route::Route;
use super::upstream::Upstream;

/// Where the parts of a [`Config`] stood in its document: parts that could not be read are
/// missing in the one and not in the other.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// The index in the document of each listener.
    pub(crate) listeners: Vec<usize>,
    /// The index in the document of each upstream.
    pub(crate) upstreams: Vec<usize>,
    /// The index in the document of each route.
    pub(crate) routes: Vec<usize>,
    /// The names of all upstreams, those that could not be read included.
    pub(crate) upstream_names: HashSet<String>,
    /// Whether the document has listeners, readable or not.
    pub(crate) listeners_given: bool,
}

impl Origin {
    /// The origin of a configuration that is all there is.
    fn of(config: &Config) -> Self {
        Self {
            listeners: (0..config.listeners.len()).collect(),
            upstreams: (0..config.upstreams.len()).collect(),
            routes: (0..config.routes.len()).collect(),
            upstream_names: config
                .upstreams
                .iter()
                .map(|upstream| upstream.name.clone())
                .collect(),
            listeners_given: !config.listeners.is_empty(),
        }
    }

    /// The origin where nothing could be read, so that nothing is missed.
    pub(crate) fn unreadable() -> Self {
        Self {
            listeners_given: true,
            ..Self::default()
        }
    }
}

/// Checks a configuration that did not come as text. Its bounds (the schema) are not checked.
#[must_use]
pub fn check_config(config: &Config) -> Report {
    let mut report = Report::default();
    check(config, &Origin::of(config), &mut report);
    report
}

/// Checks everything that `config` holds.
pub(crate) fn check(config: &Config, origin: &Origin, report: &mut Report) {
    listener::check(config, origin, report);
    sections::check(config, report);
    check_upstreams(config, origin, report);
    check_routes(config, origin, report);
}

/// Checks a route in itself; its places start at the route.
pub(crate) fn one_route(route: &Route, http: &Http, report: &mut Report) {
    route::check(route, http, ROOT, report);
}

/// Checks an upstream in itself; its places start at the upstream.
pub(crate) fn one_upstream(upstream: &Upstream, report: &mut Report) {
    upstream::check(upstream, ROOT, report);
}

/// Two routes with the same key match the same requests with the same rank.
#[must_use]
pub fn matcher_key(route: &Route) -> String {
    route::matcher_key(route)
}

fn check_upstreams(config: &Config, origin: &Origin, report: &mut Report) {
    let list = at_key(ROOT, "upstreams");
    let mut names: HashMap<&str, String> = HashMap::new();
    for (upstream, index) in config.upstreams.iter().zip(&origin.upstreams) {
        let place = at_index(&list, *index);
        upstream::check(upstream, &place, report);
        if let Some(other) = names.get(upstream.name.as_str()) {
            report.fault(
                at_key(&place, "name"),
                format!("{other} has the name {} too", quoted(&upstream.name)),
                "give each upstream a name of its own",
            );
        } else {
            names.insert(&upstream.name, place);
        }
    }
}

fn check_routes(config: &Config, origin: &Origin, report: &mut Report) {
    let list = at_key(ROOT, "routes");
    let mut ids: HashMap<&str, String> = HashMap::new();
    let mut matchers: HashMap<String, String> = HashMap::new();
    for (route, index) in config.routes.iter().zip(&origin.routes) {
        let place = at_index(&list, *index);
        route::check(route, &config.http, &place, report);
        route::check_upstream(route, &origin.upstream_names, &place, report);
        cache::check_limits(route, &config.limits, &place, report);
        policy::check_upstreams(route, &origin.upstream_names, &place, report);
        if let Some(id) = &route.id {
            if let Some(other) = ids.get(id.as_str()) {
                report.fault(
                    at_key(&place, "id"),
                    format!("{other} has the id {} too", quoted(id)),
                    "give each route an id of its own",
                );
            } else {
                ids.insert(id, place.clone());
            }
        }
        match matchers.entry(route::matcher_key(route)) {
            Entry::Occupied(older) => report.warn(
                place,
                format!(
                    "{} matches the same requests and is older, so it wins",
                    older.get()
                ),
                "remove one of them, or give this one a higher rank",
            ),
            Entry::Vacant(free) => {
                free.insert(place);
            }
        }
    }
    let at = |index: usize| at_index(&list, origin.routes.get(index).copied().unwrap_or(index));
    aggregate::check_routes(&config.routes, &at, report);
}

#[cfg(test)]
mod tests;
