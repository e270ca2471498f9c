//! The routes of one host by path: a persistent tree with one node per segment.
//!
//! A request walks down its own segments, into the literal child and, where that cannot already
//! have won, into the capture. Nodes further down hold the more specific routes, so the deepest
//! match is looked for first; a node is passed over when its best rank cannot beat what was found.

use std::sync::Arc;

use super::condition::{Fields, Question};
use super::label::Label;
use super::map::{Entry, Map};
use super::pattern::{Edge, split_segment};
use super::route::Route;
use super::seed::Seed;

/// One segment, what may follow it, and the routes whose pattern ends here.
#[derive(Clone)]
pub(super) struct Node {
    label: Label,
    literals: Map<Self>,
    capture: Option<Arc<Self>>,
    routes: Routes,
    /// The greatest rank of all routes in and below this node.
    top: i32,
}

/// Routes, best first. Nearly every node has one or none.
#[derive(Clone)]
enum Routes {
    Many(Arc<Vec<Arc<Route>>>),
    None,
    One(Arc<Route>),
}

// === impl Node ===

impl Node {
    pub(super) fn new(segment: &[u8]) -> Self {
        Self {
            label: Label::new(segment),
            literals: Map::new(),
            capture: None,
            routes: Routes::None,
            top: i32::MIN,
        }
    }

    /// Adds `route` where `edges` lead to.
    pub(super) fn insert<'p>(
        &mut self,
        seed: &Seed,
        edges: &mut dyn Iterator<Item = Edge<'p>>,
        route: &Arc<Route>,
    ) {
        match edges.next() {
            None => self.routes.insert(route),
            Some(Edge::Capture(_)) => {
                let child = self.capture.get_or_insert_with(|| Arc::new(Self::new(b"")));
                Arc::make_mut(child).insert(seed, edges, route);
            }
            Some(Edge::Literal(segment)) => {
                let segment = segment.as_bytes();
                let hash = seed.hash(segment);
                if self.literals.get(hash, segment).is_none() {
                    let mut child = Self::new(segment);
                    child.insert(seed, edges, route);
                    self.literals.insert(hash, Arc::new(child));
                } else {
                    self.literals.edit(hash, segment, |child| {
                        child.insert(seed, edges, route);
                        true
                    });
                }
            }
        }
        self.top = self.top.max(route.order.rank());
    }

    /// Takes out `route`, which is where `edges` lead to.
    pub(super) fn remove<'p>(
        &mut self,
        seed: &Seed,
        edges: &mut dyn Iterator<Item = Edge<'p>>,
        route: &Route,
    ) {
        match edges.next() {
            None => self.routes.remove(route),
            Some(Edge::Capture(_)) => {
                if let Some(child) = &mut self.capture {
                    let child = Arc::make_mut(child);
                    child.remove(seed, edges, route);
                    if child.is_empty() {
                        self.capture = None;
                    }
                }
            }
            Some(Edge::Literal(segment)) => {
                let segment = segment.as_bytes();
                self.literals.edit(seed.hash(segment), segment, |child| {
                    child.remove(seed, edges, route);
                    !child.is_empty()
                });
            }
        }
        let capture = self.capture.as_ref().map_or(i32::MIN, |child| child.top);
        self.top = self.routes.top().max(self.literals.top()).max(capture);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.capture.is_none() && self.routes.as_slice().is_empty()
    }

    #[inline]
    pub(super) fn top(&self) -> i32 {
        self.top
    }

    /// The best route for `question` in and below this node. `rest` is what follows the slash
    /// after this segment; none if the path ends with this segment.
    pub(super) fn find<F: Fields>(
        &self,
        seed: &Seed,
        rest: Option<&[u8]>,
        question: &Question<'_, F>,
    ) -> Option<&Arc<Route>> {
        let mut best = None;
        if let Some(rest) = rest {
            let (segment, after) = split_segment(rest);
            if !self.literals.is_empty()
                && let Some(child) = self.literals.get(seed.hash(segment), segment)
            {
                best = child.find(seed, after, question);
            }
            if let Some(child) = &self.capture
                && !segment.is_empty()
                && child.could_beat(best)
            {
                best = Route::better(best, child.find(seed, after, question));
            }
        }
        if best.is_none_or(|best| best.order.rank() < self.top) {
            best = Route::better(best, self.routes.find(rest, question));
        }
        best
    }

    /// Whether a capture's subtree may hold a better route than its literal sibling's `found`.
    fn could_beat(&self, found: Option<&Arc<Route>>) -> bool {
        let Some(found) = found else { return true };
        let rank = found.order.rank();
        rank < self.top || rank == self.top && !found.order.is_exact()
    }
}

impl Entry for Node {
    type Key = [u8];

    #[inline]
    fn key(&self) -> &[u8] {
        self.label.as_bytes()
    }

    fn weight(&self) -> i32 {
        self.top
    }
}

// === impl Routes ===

impl Routes {
    fn as_slice(&self) -> &[Arc<Route>] {
        match self {
            Self::Many(routes) => routes,
            Self::None => &[],
            Self::One(route) => std::slice::from_ref(route),
        }
    }

    fn top(&self) -> i32 {
        self.as_slice()
            .first()
            .map_or(i32::MIN, |route| route.order.rank())
    }

    fn insert(&mut self, route: &Arc<Route>) {
        *self = match std::mem::replace(self, Self::None) {
            Self::None => Self::One(route.clone()),
            Self::One(other) => {
                let mut routes = vec![other];
                Route::insert_in_order(&mut routes, route);
                Self::Many(Arc::new(routes))
            }
            Self::Many(mut routes) => {
                Route::insert_in_order(Arc::make_mut(&mut routes), route);
                Self::Many(routes)
            }
        };
    }

    fn remove(&mut self, route: &Route) {
        if let Self::Many(routes) = self {
            let routes = Arc::make_mut(routes);
            Route::remove_in_order(routes, route);
            if let [last] = routes.as_slice() {
                *self = Self::One(last.clone());
            }
        } else if self.as_slice().iter().any(|own| own.id == route.id) {
            *self = Self::None;
        }
    }

    #[inline]
    fn find<F: Fields>(
        &self,
        rest: Option<&[u8]>,
        question: &Question<'_, F>,
    ) -> Option<&Arc<Route>> {
        let mut routes = self.as_slice().iter();
        routes.find(|route| route.path.end().fits(rest) && route.meets(question))
    }
}
