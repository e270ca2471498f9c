//! One route, compiled: what it matches, where it stands, what it does.

use std::sync::Arc;

use super::action::Action;
use super::captures::Captures;
use super::condition::{Conditions, Fields, Question};
use super::error::CompileError;
use super::map::Entry;
use super::order::{AGE_MAX, Criteria, Order};
use super::pattern::{HostPattern, PathPattern};
use super::policy::Policies;
use super::upstream::UpstreamId;
use crate::cache::Regions;
use crate::model;

/// One route, compiled.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name; no other route of the table has it.
    pub id: Arc<str>,
    /// Where it stands among all routes that match.
    pub order: Order,
    /// The hosts that it is for.
    pub host: HostPattern,
    /// The paths that it is for.
    pub path: PathPattern,
    /// What else it asks of a request.
    pub conditions: Option<Box<Conditions>>,
    /// What it does.
    pub action: Action,
    /// What it does beside that; none for most.
    pub policies: Option<Arc<Policies>>,
    uses_captures: bool,
}

/// The id of a route that declares none: its host, if any, and its path as written.
pub fn default_id(route: &model::Route) -> String {
    let host = route
        .host
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let paths = [
        &route.path_prefix,
        &route.path,
        &route.path_template,
        &route.path_regex,
    ];
    let path = paths.into_iter().flatten().next().map_or("", |path| path);
    format!("{host}{path}")
}

// === impl Route ===

impl Route {
    /// Compiles `declared` under the id `id`; `upstream` tells the number of an upstream's name.
    pub(super) fn compile(
        id: String,
        declared: &model::Route,
        age: u64,
        upstream: &dyn Fn(&str) -> Option<UpstreamId>,
        before: Option<&Self>,
        regions: &Regions,
    ) -> Result<Self, CompileError> {
        if age > AGE_MAX {
            return Err(CompileError::Age { route: id });
        }
        let Some(host) = HostPattern::parse(declared.host.as_deref()) else {
            let host = declared.host.clone().unwrap_or_default();
            return Err(CompileError::Host { route: id, host });
        };
        let path = PathPattern::compile(&id, declared)?;
        let conditions = Conditions::compile(&id, declared)?;
        let forwards_to = match &declared.upstream {
            None => None,
            Some(name) => Some(upstream(name).ok_or_else(|| CompileError::UnknownUpstream {
                route: id.clone(),
                upstream: name.clone(),
            })?),
        };
        let action = Action::compile(&id, declared, forwards_to, &path.capture_names())?;
        let mut criteria = Criteria {
            rank: declared.rank,
            host: host.weight(),
            exact: false,
            segments: 0,
            text: 0,
            kind: 0,
            conditions: conditions
                .as_ref()
                .map_or(0, |conditions| conditions.count()),
            age,
        };
        path.weigh(&mut criteria);
        let order = Order::new(&criteria);
        let before = before.and_then(|before| before.policies.as_deref());
        let captures = path.capture_names();
        let policies = Policies::compile(&id, declared, &captures, before, upstream, regions)?;
        let uses_captures = action.uses_captures()
            || policies
                .as_ref()
                .is_some_and(|policies| policies.uses_captures());
        Ok(Self {
            id: id.into(),
            order,
            host,
            path,
            conditions,
            action,
            policies,
            uses_captures,
        })
    }

    /// The better of two matches.
    #[inline]
    pub(super) fn better<'t>(
        one: Option<&'t Arc<Self>>,
        other: Option<&'t Arc<Self>>,
    ) -> Option<&'t Arc<Self>> {
        match (one, other) {
            (Some(one), Some(other)) => Some(if one.beats(other) { one } else { other }),
            (one, other) => one.or(other),
        }
    }

    /// Adds `route` to a list that has the best first.
    pub(super) fn insert_in_order(routes: &mut Vec<Arc<Self>>, route: &Arc<Self>) {
        let index = routes.partition_point(|other| other.beats(route));
        routes.insert(index, route.clone());
    }

    /// Takes `route` out of a list that has the best first.
    pub(super) fn remove_in_order(routes: &mut Vec<Arc<Self>>, route: &Self) {
        let index = routes.partition_point(|other| other.beats(route));
        if routes.get(index).is_some_and(|found| found.id == route.id) {
            routes.remove(index);
        }
    }

    /// Whether this route wins where both match; ids decide between equal ages.
    #[inline]
    pub(super) fn beats(&self, other: &Self) -> bool {
        self.order > other.order || self.order == other.order && self.id < other.id
    }

    /// Whether `question` meets the conditions.
    #[inline]
    pub(super) fn meets<F: Fields>(&self, question: &Question<'_, F>) -> bool {
        let Some(conditions) = &self.conditions else {
            return true;
        };
        conditions.unmet(question).is_none()
    }

    /// What the action needs to know of `path`, which matches.
    #[inline]
    pub fn captures(&self, path: &[u8]) -> Captures {
        if self.uses_captures {
            self.path.captures(path)
        } else {
            Captures::default()
        }
    }

    /// All upstreams that it may forward to.
    pub(super) fn upstreams(&self) -> Vec<UpstreamId> {
        let split = self.policies.as_ref();
        let split = split.and_then(|policies| policies.split.as_ref());
        let parts = split.into_iter().flat_map(|split| split.upstreams());
        let policies = self.policies.as_ref();
        let asked = policies.and_then(|policies| policies.auth.as_ref()?.asks());
        let asked = asked.map(|forward| forward.upstream);
        let mirror = policies.and_then(|policies| policies.mirror);
        let mirror = mirror.map(|mirror| mirror.upstream);
        let more = asked.into_iter().chain(mirror);
        self.upstream()
            .into_iter()
            .chain(parts)
            .chain(more)
            .collect()
    }

    /// The files and URLs that it takes keys from.
    pub(super) fn sources(&self) -> Vec<&str> {
        let policies = self.policies.as_ref();
        let auth = policies.and_then(|policies| policies.auth.as_ref());
        auth.map(|auth| auth.sources()).unwrap_or_default()
    }

    /// The upstream that it forwards to.
    pub fn upstream(&self) -> Option<UpstreamId> {
        match &self.action {
            Action::Forward(forward) => Some(forward.upstream),
            Action::Aggregate(_) | Action::Redirect(_) | Action::Respond(_) => None,
        }
    }
}

impl Entry for Route {
    type Key = str;

    fn key(&self) -> &str {
        &self.id
    }
}
