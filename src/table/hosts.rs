//! All routes of a table by host: exact names, wildcards, and those for any host.

use std::sync::Arc;

use super::condition::{Fields, Question};
use super::label::are_same;
use super::map::{Entry, Map};
use super::pattern::{HostPattern, PathKind};
use super::route::Route;
use super::seed::Seed;
use super::tree::Node;

/// All routes of a table by host.
#[derive(Clone)]
pub(super) struct Hosts {
    exact: Map<Host>,
    /// Wildcards by the name that follows `*.`.
    below: Map<Host>,
    any: Arc<Paths>,
}

/// The routes of one host; many have but one.
#[derive(Clone)]
enum Host {
    Lone(Arc<Route>),
    Paths(Arc<Paths>),
}

/// The routes of one host by path.
#[derive(Clone)]
struct Paths {
    /// The root, labelled with the name of the host.
    root: Node,
    rare: Option<Box<Rare>>,
}

/// What few hosts have.
#[derive(Clone)]
struct Rare {
    /// Routes whose letters match in either case, by their path in lower case.
    folded: Node,
    /// Routes with a regular expression, best first; tried one by one while they could win.
    regexes: Vec<Arc<Route>>,
}

// === impl Hosts ===

impl Hosts {
    pub(super) fn new() -> Self {
        Self {
            exact: Map::new(),
            below: Map::new(),
            any: Arc::new(Paths::new("")),
        }
    }

    pub(super) fn insert(&mut self, seed: &Seed, route: &Arc<Route>) {
        let (hosts, name) = match route.host() {
            HostPattern::Any => return Arc::make_mut(&mut self.any).insert(seed, route),
            HostPattern::Below(name) => (&mut self.below, name.as_bytes()),
            HostPattern::Exact(name) => (&mut self.exact, name.as_bytes()),
        };
        let hash = seed.hash(name);
        if hosts.get(hash, name).is_none() {
            hosts.add(hash, Host::Lone(route.clone()));
            return;
        }
        hosts.change(hash, name, |host| {
            host.insert(seed, route);
            true
        });
    }

    pub(super) fn remove(&mut self, seed: &Seed, route: &Route) {
        let (hosts, name) = match route.host() {
            HostPattern::Any => return Arc::make_mut(&mut self.any).remove(seed, route),
            HostPattern::Below(name) => (&mut self.below, name.as_bytes()),
            HostPattern::Exact(name) => (&mut self.exact, name.as_bytes()),
        };
        hosts.change(seed.hash(name), name, |host| host.remove(seed, route));
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty() && self.any.is_empty()
    }

    /// The best route for `question`: at equal ranks the more specific host comes first, so later
    /// ones are asked only if one of their routes has a higher rank.
    pub(super) fn find<F: Fields>(
        &self,
        seed: &Seed,
        question: &Question<'_, F>,
    ) -> Option<&Arc<Route>> {
        let name = question.host;
        let mut best = None;
        if let Some(host) = self.exact.find(name, |name| seed.hash(name)) {
            best = host.find(seed, question, best);
        }
        if !self.below.is_empty() && could_beat(self.below.top(), best) {
            let mut above = parent(name);
            while let Some(name) = above {
                if let Some(host) = self.below.find(name, |name| seed.hash(name)) {
                    best = host.find(seed, question, best);
                }
                above = parent(name);
            }
        }
        self.any.find(seed, question, best)
    }
}

/// The name above `name`: what follows its first dot.
fn parent(name: &[u8]) -> Option<&[u8]> {
    let dot = name.iter().position(|byte| *byte == b'.')?;
    name.get(dot + 1..)
}

/// Whether routes up to the rank `top` may beat a match on a more specific host.
#[inline]
fn could_beat(top: i32, found: Option<&Arc<Route>>) -> bool {
    found.is_none_or(|found| found.order.rank() < top)
}

// === impl Host ===

impl Host {
    fn insert(&mut self, seed: &Seed, route: &Arc<Route>) {
        match self {
            Self::Paths(paths) => Arc::make_mut(paths).insert(seed, route),
            Self::Lone(other) => {
                let mut paths = Paths::new(route.host().name());
                paths.insert(seed, other);
                paths.insert(seed, route);
                *self = Self::Paths(Arc::new(paths));
            }
        }
    }

    /// Says whether anything is left.
    fn remove(&mut self, seed: &Seed, route: &Route) -> bool {
        match self {
            Self::Lone(other) => other.id() != route.id(),
            Self::Paths(paths) => {
                let paths = Arc::make_mut(paths);
                paths.remove(seed, route);
                !paths.is_empty()
            }
        }
    }

    /// The best of `best`, found on a more specific host, and the routes of this one.
    #[inline]
    fn find<'t, F: Fields>(
        &'t self,
        seed: &Seed,
        question: &Question<'_, F>,
        best: Option<&'t Arc<Route>>,
    ) -> Option<&'t Arc<Route>> {
        match self {
            Self::Lone(route) => {
                let wins = best.is_none_or(|best| route.beats(best));
                if wins && route.path().matches(question.path) && route.meets(question) {
                    Some(route)
                } else {
                    best
                }
            }
            Self::Paths(paths) => paths.find(seed, question, best),
        }
    }
}

impl Entry for Host {
    type Key = [u8];

    #[inline]
    fn key(&self) -> &[u8] {
        match self {
            Self::Lone(route) => route.host().name().as_bytes(),
            Self::Paths(paths) => paths.root.label(),
        }
    }

    fn weight(&self) -> i32 {
        match self {
            Self::Lone(route) => route.order.rank(),
            Self::Paths(paths) => paths.top(),
        }
    }

    #[inline]
    fn is(&self, name: &[u8]) -> bool {
        are_same(self.key(), name)
    }
}

// === impl Paths ===

impl Paths {
    fn new(host: &str) -> Self {
        Self {
            root: Node::new(host.as_bytes()),
            rare: None,
        }
    }

    fn insert(&mut self, seed: &Seed, route: &Arc<Route>) {
        let path = route.path();
        if path.kind() == PathKind::Regex {
            Route::insert_in_order(&mut self.rare().regexes, route);
        } else if path.ignores_case() {
            self.rare().folded.insert(seed, 0, route);
        } else {
            self.root.insert(seed, 0, route);
        }
    }

    fn rare(&mut self) -> &mut Rare {
        let none = || {
            Box::new(Rare {
                folded: Node::new(b""),
                regexes: Vec::new(),
            })
        };
        self.rare.get_or_insert_with(none)
    }

    fn remove(&mut self, seed: &Seed, route: &Route) {
        let path = route.path();
        if path.kind() == PathKind::Regex {
            Route::remove_in_order(&mut self.rare().regexes, route);
        } else if path.ignores_case() {
            self.rare().folded.remove(seed, 0, route);
        } else {
            self.root.remove(seed, 0, route);
        }
        if self.rare.as_ref().is_some_and(|rare| rare.is_empty()) {
            self.rare = None;
        }
    }

    fn is_empty(&self) -> bool {
        self.root.is_empty() && self.rare.is_none()
    }

    /// The greatest rank of all its routes.
    fn top(&self) -> i32 {
        let rare = self.rare.as_ref().map_or(i32::MIN, |rare| rare.top());
        self.root.top().max(rare)
    }

    /// The best of `best`, found on a more specific host, and these routes.
    fn find<'t, F: Fields>(
        &'t self,
        seed: &Seed,
        question: &Question<'_, F>,
        mut best: Option<&'t Arc<Route>>,
    ) -> Option<&'t Arc<Route>> {
        let Some(rest) = question.path.strip_prefix(b"/") else {
            return best;
        };
        if could_beat(self.root.top(), best) {
            best = Route::better(best, self.root.find(seed, Some(rest), question));
        }
        match &self.rare {
            None => best,
            Some(rare) => rare.find(seed, rest, question, best),
        }
    }
}

// === impl Rare ===

impl Rare {
    fn is_empty(&self) -> bool {
        self.folded.is_empty() && self.regexes.is_empty()
    }

    fn top(&self) -> i32 {
        let regex = self.regexes.first();
        let regex = regex.map_or(i32::MIN, |route| route.order.rank());
        self.folded.top().max(regex)
    }

    /// `rest` is the path behind its first slash.
    fn find<'t, F: Fields>(
        &'t self,
        seed: &Seed,
        rest: &[u8],
        question: &Question<'_, F>,
        mut best: Option<&'t Arc<Route>>,
    ) -> Option<&'t Arc<Route>> {
        if could_beat(self.folded.top(), best) && !self.folded.is_empty() {
            let found = in_lower_case(rest, |rest| self.folded.find(seed, Some(rest), question));
            best = Route::better(best, found);
        }
        let better = |route: &&'t Arc<Route>| best.is_none_or(|best| route.beats(best));
        let matches = |route: &&'t Arc<Route>| {
            route.path().regex_matches(question.path) && route.meets(question)
        };
        let found = self.regexes.iter().take_while(better).find(matches);
        found.or(best)
    }
}

/// Bytes of a path that are brought to lower case without an allocation.
const FOLDED_BYTES: usize = 512;

/// Looks at `path` in lower case.
fn in_lower_case<T>(path: &[u8], look: impl FnOnce(&[u8]) -> T) -> T {
    let mut space = [0; FOLDED_BYTES];
    match space.get_mut(..path.len()) {
        Some(folded) => {
            folded.copy_from_slice(path);
            folded.make_ascii_lowercase();
            look(folded)
        }
        None => look(&path.to_ascii_lowercase()),
    }
}
