//! Turn: the memory that one exchange needs, lent to a connection while it has a request.
//!
//! An exchange is a large future; an idle connection should not hold it, and a request should not
//! allocate it. So a turn is a task of its own that takes one connection after the other from a
//! desk, serves one request of it, and lays it back. Turns rest here between requests, the last
//! used first: its memory is still in the cache.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use super::accept::Connection;
use super::answer::After;
use super::core::Core;
use super::serve::exchange;

/// The turns that rest.
pub(super) struct Turns {
    resting: RefCell<Vec<Turn>>,
    /// How many may rest; more are freed.
    keep: usize,
}

/// The memory of one exchange.
pub(super) struct Turn {
    desk: Rc<Desk>,
    work: Pin<Box<dyn Future<Output = ()>>>,
}

/// Where a connection waits to be served, and lies when it has been.
#[derive(Default)]
struct Desk {
    waiting: Cell<Option<(Box<Connection>, Rc<Core>)>>,
    served: Cell<Option<(Box<Connection>, After)>>,
}

impl Turns {
    /// No turns yet; up to `keep` will rest.
    pub(super) fn new(keep: usize) -> Self {
        Self {
            resting: RefCell::new(Vec::with_capacity(keep)),
            keep,
        }
    }

    /// Lends a turn.
    #[inline]
    pub(super) fn lend(&self) -> Turn {
        let resting = self.resting.borrow_mut().pop();
        resting.unwrap_or_else(Turn::new)
    }

    /// Takes a turn back whose last exchange has ended.
    #[inline]
    pub(super) fn take_back(&self, turn: Turn) {
        let mut resting = self.resting.borrow_mut();
        if resting.len() < self.keep {
            resting.push(turn);
        }
    }
}

impl Turn {
    fn new() -> Self {
        let desk = Rc::new(Desk::default());
        let work = Box::pin(work(desk.clone()));
        Self { desk, work }
    }

    /// Serves one request of a connection. If it panics, the turn must not be used again.
    pub(super) async fn take(
        &mut self,
        connection: Box<Connection>,
        core: &Rc<Core>,
    ) -> (Box<Connection>, After) {
        self.desk.waiting.set(Some((connection, core.clone())));
        std::future::poll_fn(|context| {
            // The work never ends: it waits, for a peer or for its next connection.
            let _ = self.work.as_mut().poll(context);
            self.desk.served.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

async fn work(desk: Rc<Desk>) {
    let mut line = Vec::new();
    loop {
        let (mut connection, core) = std::future::poll_fn(|_| {
            let waiting = desk.waiting.take();
            waiting.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        // Nothing of the line before is left to write behind.
        line.clear();
        let after = exchange(&mut connection, &core, &mut line).await;
        desk.served.set(Some((connection, after)));
    }
}
