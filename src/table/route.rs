//! One route, compiled: what it matches, where it stands, what it does.

use std::borrow::Cow;
use std::sync::Arc;

use regex::bytes::Regex;

use super::action::{Action, Terms};
use super::captures::Captures;
use super::condition::{Conditions, Fields, Question};
use super::error::CompileError;
use super::map::Entry;
use super::order::{AGE_MAX, Criteria, Order};
use super::pattern::{HostPattern, PathPattern, ReadPath, Shape};
use super::policy::Policies;
use super::upstream::UpstreamId;
use crate::cache::Regions;
use crate::model;

/// One route, compiled. There may be a million, so what most of them do not have is kept apart,
/// and their texts are one.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where it stands among all routes that match.
    pub order: Order,
    /// What it does.
    pub action: Action,
    /// What it does beside that; none for most.
    pub policies: Option<Arc<Policies>>,
    /// Its id, the name of its host, and its path.
    texts: Box<str>,
    /// Bytes of the id.
    id: u32,
    /// Bytes of the id and the host.
    id_and_host: u32,
    rare: Option<Box<Rare>>,
    host: HostKind,
    shape: Shape,
    uses_captures: bool,
}

/// What a table knows that goes on with a route.
pub(super) struct Known<'t> {
    /// The route with its id until now.
    pub(super) before: Option<&'t Route>,
    /// Terms of another route, to be shared if they are the same.
    pub(super) terms: &'t Arc<Terms>,
    /// Where responses are kept.
    pub(super) regions: &'t Regions,
}

/// What few routes have.
#[derive(Clone, Debug)]
struct Rare {
    /// What else it asks of a request.
    conditions: Option<Conditions>,
    /// What its path must match.
    regex: Option<Regex>,
}

/// What the name of the host stands for.
#[derive(Clone, Copy, Debug)]
enum HostKind {
    Any,
    Below,
    Exact,
}

/// What one route may cost.
const _: () = assert!(size_of::<Route>() <= 96);

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
        id: &str,
        declared: &model::Route,
        age: u64,
        upstream: &dyn Fn(&str) -> Option<UpstreamId>,
        known: &Known<'_>,
    ) -> Result<Self, CompileError> {
        if age > AGE_MAX {
            return Err(CompileError::Age { route: id.into() });
        }
        let host = declared.host.as_deref().map(lower_case);
        let Some(host) = HostPattern::parse(host.as_deref()) else {
            let host = declared.host.clone().unwrap_or_default();
            let route = id.into();
            return Err(CompileError::Host { route, host });
        };
        let read = ReadPath::of(id, declared)?;
        let path = read.pattern();
        let conditions = Conditions::compile(id, declared)?;
        let forwards_to = match &declared.upstream {
            None => None,
            Some(name) => Some(upstream(name).ok_or_else(|| CompileError::UnknownUpstream {
                route: id.into(),
                upstream: name.clone(),
            })?),
        };
        let action = Action::compile(id, declared, forwards_to, path, known.terms)?;
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
        let captures = path.capture_names();
        let before = known.before.and_then(|before| before.policies.as_deref());
        let policies = Policies::compile(id, declared, &captures, before, upstream, known.regions)?;
        let uses_captures = action.uses_captures()
            || policies
                .as_ref()
                .is_some_and(|policies| policies.uses_captures());
        let (name, shape) = (host.name(), read.shape);
        Ok(Self {
            order: Order::new(&criteria),
            action,
            policies,
            texts: [id, name, path.text].concat().into(),
            id: id.len() as u32,
            id_and_host: (id.len() + name.len()) as u32,
            host: match host {
                HostPattern::Any => HostKind::Any,
                HostPattern::Below(_) => HostKind::Below,
                HostPattern::Exact(_) => HostKind::Exact,
            },
            shape,
            rare: (conditions.is_some() || read.regex.is_some()).then(|| {
                Box::new(Rare {
                    conditions,
                    regex: read.regex,
                })
            }),
            uses_captures,
        })
    }

    /// Its name; no other route of the table has it.
    #[inline]
    pub fn id(&self) -> &str {
        self.texts.get(..self.id as usize).unwrap_or_default()
    }

    /// The hosts that it is for.
    #[inline]
    pub fn host(&self) -> HostPattern<'_> {
        let name = self.texts.get(self.id as usize..self.id_and_host as usize);
        let name = name.unwrap_or_default();
        match self.host {
            HostKind::Any => HostPattern::Any,
            HostKind::Below => HostPattern::Below(name),
            HostKind::Exact => HostPattern::Exact(name),
        }
    }

    /// The paths that it is for.
    #[inline]
    pub fn path(&self) -> PathPattern<'_> {
        let text = self.texts.get(self.id_and_host as usize..);
        PathPattern {
            text: text.unwrap_or_default(),
            shape: self.shape,
            regex: self.rare.as_ref().and_then(|rare| rare.regex.as_ref()),
        }
    }

    /// What is written as its path.
    #[inline]
    pub(super) fn path_bytes(&self) -> &[u8] {
        let texts = self.texts.as_bytes();
        texts.get(self.id_and_host as usize..).unwrap_or_default()
    }

    /// Whether `rest`, what follows the slash after the last segment, may follow.
    #[inline]
    pub(super) fn end_fits(&self, rest: Option<&[u8]>) -> bool {
        self.shape.end.fits(rest)
    }

    /// What else it asks of a request.
    #[inline]
    pub fn conditions(&self) -> Option<&Conditions> {
        self.rare.as_ref()?.conditions.as_ref()
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
        if routes
            .get(index)
            .is_some_and(|found| found.id() == route.id())
        {
            routes.remove(index);
        }
    }

    /// Whether this route wins where both match; ids decide between equal ages.
    #[inline]
    pub(super) fn beats(&self, other: &Self) -> bool {
        self.order > other.order || self.order == other.order && self.id() < other.id()
    }

    /// Whether `question` meets the conditions.
    #[inline]
    pub(super) fn meets<F: Fields>(&self, question: &Question<'_, F>) -> bool {
        let Some(conditions) = self.conditions() else {
            return true;
        };
        conditions.unmet(question).is_none()
    }

    /// What the action needs to know of `path`, which matches.
    #[inline]
    pub fn captures(&self, path: &[u8]) -> Captures {
        if self.uses_captures {
            self.path().captures(path)
        } else {
            Captures::default()
        }
    }

    /// All upstreams that it may forward to.
    pub(super) fn upstreams(&self) -> impl Iterator<Item = UpstreamId> {
        let policies = self.policies.as_deref();
        let split = policies.and_then(|policies| policies.split.as_ref());
        let parts = split.into_iter().flat_map(|split| split.upstreams());
        let asked = policies.and_then(|policies| policies.auth.as_ref()?.asks());
        let asked = asked.map(|forward| forward.upstream);
        let mirror = policies.and_then(|policies| policies.mirror);
        let mirror = mirror.map(|mirror| mirror.upstream);
        let more = asked.into_iter().chain(mirror);
        self.upstream().into_iter().chain(parts).chain(more)
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
        self.id()
    }
}

/// `text` in lower case; most often it is that already.
fn lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}
