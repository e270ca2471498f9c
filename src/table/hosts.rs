//! All routes of a table by host: exact names, wildcards, and those for any host.

use std::sync::{Arc, LazyLock};

use super::condition::{Fields, Question};
use super::label::Label;
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
    any: Arc<Host>,
}

/// The routes of one host.
#[derive(Clone)]
struct Host {
    name: Label,
    paths: Node,
    /// Those whose letters match in either case, by their path in lower case.
    folded: Node,
    /// Routes with a regular expression, best first; tried one by one while they could win.
    regexes: Arc<Vec<Arc<Route>>>,
}

/// What most hosts have.
static NONE: LazyLock<Arc<Vec<Arc<Route>>>> = LazyLock::new(Arc::default);

// === impl Hosts ===

impl Hosts {
    pub(super) fn new() -> Self {
        Self {
            exact: Map::new(),
            below: Map::new(),
            any: Arc::new(Host::new(b"")),
        }
    }

    pub(super) fn insert(&mut self, seed: &Seed, route: &Arc<Route>) {
        let (hosts, name) = match &route.host {
            HostPattern::Any => return Arc::make_mut(&mut self.any).insert(seed, route),
            HostPattern::Below(name) => (&mut self.below, name.as_bytes()),
            HostPattern::Exact(name) => (&mut self.exact, name.as_bytes()),
        };
        let hash = seed.hash(name);
        if hosts.get(hash, name).is_none() {
            let mut host = Host::new(name);
            host.insert(seed, route);
            hosts.insert(hash, Arc::new(host));
            return;
        }
        hosts.edit(hash, name, |host| {
            host.insert(seed, route);
            true
        });
    }

    pub(super) fn remove(&mut self, seed: &Seed, route: &Route) {
        let (hosts, name) = match &route.host {
            HostPattern::Any => return Arc::make_mut(&mut self.any).remove(seed, route),
            HostPattern::Below(name) => (&mut self.below, name.as_bytes()),
            HostPattern::Exact(name) => (&mut self.exact, name.as_bytes()),
        };
        hosts.edit(seed.hash(name), name, |host| {
            host.remove(seed, route);
            !host.is_empty()
        });
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
        if !self.exact.is_empty()
            && let Some(host) = self.exact.get(seed.hash(name), name)
        {
            best = host.find(seed, question, best);
        }
        if !self.below.is_empty() && could_beat(self.below.top(), best) {
            let mut above = parent(name);
            while let Some(name) = above {
                if let Some(host) = self.below.get(seed.hash(name), name) {
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
    fn new(name: &[u8]) -> Self {
        Self {
            name: Label::new(name),
            paths: Node::new(b""),
            folded: Node::new(b""),
            regexes: NONE.clone(),
        }
    }

    fn insert(&mut self, seed: &Seed, route: &Arc<Route>) {
        if route.path.kind == PathKind::Regex {
            Route::insert_in_order(Arc::make_mut(&mut self.regexes), route);
        } else {
            let paths = self.paths_of(route);
            paths.insert(seed, &mut route.path.edges(), route);
        }
    }

    /// The tree that a route stands in.
    fn paths_of(&mut self, route: &Route) -> &mut Node {
        if route.path.ignores_case {
            &mut self.folded
        } else {
            &mut self.paths
        }
    }

    fn remove(&mut self, seed: &Seed, route: &Route) {
        if route.path.kind == PathKind::Regex {
            Route::remove_in_order(Arc::make_mut(&mut self.regexes), route);
        } else {
            let paths = self.paths_of(route);
            paths.remove(seed, &mut route.path.edges(), route);
        }
    }

    fn is_empty(&self) -> bool {
        self.regexes.is_empty() && self.paths.is_empty() && self.folded.is_empty()
    }

    /// The best of `best`, found on a more specific host, and the routes of this one.
    fn find<'t, F: Fields>(
        &'t self,
        seed: &Seed,
        question: &Question<'_, F>,
        mut best: Option<&'t Arc<Route>>,
    ) -> Option<&'t Arc<Route>> {
        let Some(rest) = question.path.strip_prefix(b"/") else {
            return best;
        };
        if could_beat(self.paths.top(), best) {
            best = Route::better(best, self.paths.find(seed, Some(rest), question));
        }
        if could_beat(self.folded.top(), best) && !self.folded.is_empty() {
            let found = in_lower_case(rest, |rest| self.folded.find(seed, Some(rest), question));
            best = Route::better(best, found);
        }
        let better = |route: &&'t Arc<Route>| best.is_none_or(|best| route.beats(best));
        let matches = |route: &&'t Arc<Route>| {
            route.path.regex_matches(question.path) && route.meets(question)
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

impl Entry for Host {
    type Key = [u8];

    fn key(&self) -> &[u8] {
        self.name.as_bytes()
    }

    fn weight(&self) -> i32 {
        let regexes = self
            .regexes
            .first()
            .map_or(i32::MIN, |route| route.order.rank());
        self.paths.top().max(self.folded.top()).max(regexes)
    }
}
