//! The routes of one host by path: a persistent tree with one node per segment.
//!
//! A request walks down its own segments, into the literal child and, where that cannot already
//! have won, into the capture. Nodes further down hold the more specific routes, so the deepest
//! match is looked for first; a node is passed over when its best rank cannot beat what was found.
//! Where only one route is below a step, it stands there without nodes of its own.

use std::sync::Arc;

use super::condition::{Fields, Question};
use super::label::{Label, are_same};
use super::map::{Entry, Map};
use super::pattern::{Edge, split_segment};
use super::route::Route;
use super::seed::Seed;

/// What may follow a segment, and the routes whose pattern ends with it.
#[derive(Clone)]
pub(super) struct Node {
    label: Label,
    literals: Map<Step>,
    capture: Option<Step>,
    routes: Routes,
    /// The greatest rank of all routes in and below this node.
    top: i32,
}

/// What is below one segment.
#[derive(Clone)]
enum Step {
    /// One route; its segment of this step lies between these bytes of its path.
    Lone(Arc<Route>, u16, u16),
    /// More, or there were more.
    Node(Arc<Node>),
}

/// Routes, best first. Nearly every node has one or none.
#[derive(Clone)]
enum Routes {
    Many(Arc<Vec<Arc<Route>>>),
    None,
    One(Arc<Route>),
}

/// What one step may cost.
const _: () = assert!(size_of::<Option<Step>>() == 16);

// === impl Node ===

impl Node {
    pub(super) fn new(label: &[u8]) -> Self {
        Self {
            label: Label::new(label),
            literals: Map::new(),
            capture: None,
            routes: Routes::None,
            top: i32::MIN,
        }
    }

    /// The segment, or the host, that leads here.
    #[inline]
    pub(super) fn label(&self) -> &[u8] {
        self.label.as_bytes()
    }

    /// Adds `route`, the first `from` bytes of whose path lead here.
    pub(super) fn insert(&mut self, seed: &Seed, from: usize, route: &Arc<Route>) {
        match route.path().step(from) {
            None => self.routes.insert(route),
            Some((Edge::Capture, end)) => match &mut self.capture {
                None => self.capture = Some(Step::lone(route, from, end)),
                Some(step) => step.insert(seed, end, route),
            },
            Some((Edge::Literal(segment), end)) => {
                let segment = segment.as_bytes();
                let hash = seed.hash(segment);
                if self.literals.get(hash, segment).is_none() {
                    let step = Step::lone(route, from, end);
                    self.literals.add(hash, step);
                } else {
                    self.literals.change(hash, segment, |step| {
                        step.insert(seed, end, route);
                        true
                    });
                }
            }
        }
        self.top = self.top.max(route.order.rank());
    }

    /// Takes out `route`, the first `from` bytes of whose path lead here.
    pub(super) fn remove(&mut self, seed: &Seed, from: usize, route: &Route) {
        match route.path().step(from) {
            None => self.routes.remove(route),
            Some((Edge::Capture, end)) => {
                if let Some(step) = &mut self.capture
                    && !step.remove(seed, end, route)
                {
                    self.capture = None;
                }
            }
            Some((Edge::Literal(segment), end)) => {
                let segment = segment.as_bytes();
                self.literals.change(seed.hash(segment), segment, |step| {
                    step.remove(seed, end, route)
                });
            }
        }
        let capture = self.capture.as_ref().map_or(i32::MIN, |step| step.weight());
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
            if let Some(step) = self.literals.find(segment, |segment| seed.hash(segment)) {
                best = step.find(seed, after, question);
            }
            if let Some(step) = &self.capture
                && !segment.is_empty()
                && step.could_beat(best)
            {
                best = Route::better(best, step.find(seed, after, question));
            }
        }
        if best.is_none_or(|best| best.order.rank() < self.top) {
            best = Route::better(best, self.routes.find(rest, question));
        }
        best
    }
}

// === impl Step ===

impl Step {
    fn lone(route: &Arc<Route>, from: usize, end: usize) -> Self {
        // The segment begins behind the slash. Paths are shorter than 8 KiB.
        Self::Lone(route.clone(), from as u16 + 1, end as u16)
    }

    /// Adds `route`, whose path is at this step after `end` bytes.
    fn insert(&mut self, seed: &Seed, end: usize, route: &Arc<Route>) {
        match self {
            Self::Node(node) => Arc::make_mut(node).insert(seed, end, route),
            Self::Lone(other, _, other_end) => {
                let mut node = Node::new(route.path().segment_before(end));
                node.insert(seed, usize::from(*other_end), other);
                node.insert(seed, end, route);
                *self = Self::Node(Arc::new(node));
            }
        }
    }

    /// Takes out `route`, whose path is at this step after `end` bytes; says whether anything is
    /// left.
    fn remove(&mut self, seed: &Seed, end: usize, route: &Route) -> bool {
        match self {
            Self::Lone(other, ..) => other.id() != route.id(),
            Self::Node(node) => {
                let node = Arc::make_mut(node);
                node.remove(seed, end, route);
                !node.is_empty()
            }
        }
    }

    #[inline]
    fn find<F: Fields>(
        &self,
        seed: &Seed,
        rest: Option<&[u8]>,
        question: &Question<'_, F>,
    ) -> Option<&Arc<Route>> {
        match self {
            Self::Lone(route, _, end) => {
                let fits = route.path().fits(usize::from(*end), rest);
                (fits && route.meets(question)).then_some(route)
            }
            Self::Node(node) => node.find(seed, rest, question),
        }
    }

    /// Whether a capture's subtree may hold a better route than its literal sibling's `found`.
    fn could_beat(&self, found: Option<&Arc<Route>>) -> bool {
        let Some(found) = found else { return true };
        let (rank, top) = (found.order.rank(), self.weight());
        rank < top || rank == top && !found.order.is_exact()
    }
}

impl Entry for Step {
    type Key = [u8];

    #[inline]
    fn key(&self) -> &[u8] {
        match self {
            Self::Lone(route, start, end) => {
                let segment = route
                    .path_bytes()
                    .get(usize::from(*start)..usize::from(*end));
                segment.unwrap_or_default()
            }
            Self::Node(node) => node.label(),
        }
    }

    #[inline]
    fn weight(&self) -> i32 {
        match self {
            Self::Lone(route, ..) => route.order.rank(),
            Self::Node(node) => node.top,
        }
    }

    #[inline]
    fn is(&self, segment: &[u8]) -> bool {
        are_same(self.key(), segment)
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
        } else if self.as_slice().iter().any(|own| own.id() == route.id()) {
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
        routes.find(|route| route.end_fits(rest) && route.meets(question))
    }
}
