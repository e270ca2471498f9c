//! Queue: requests that wait while every server is at its limit, first come, first served.
//!
//! The queue of an upstream belongs to one core. Whoever is done with a server calls the first
//! that waits; that one looks for a server again. How many may wait, and how long, the upstream
//! says.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Requests that wait for a server.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: RefCell<VecDeque<Rc<Ticket>>>,
}

#[derive(Debug, Default)]
struct Ticket {
    called: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A place in the queue; it is given up when dropped.
struct Place<'q> {
    queue: &'q Queue,
    ticket: Rc<Ticket>,
    served: bool,
}

impl Queue {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Whether nobody waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Something has become free: calls the first that waits.
    pub(super) fn call(&self) {
        let first = self.waiting.borrow_mut().pop_front();
        if let Some(ticket) = first {
            ticket.called.set(true);
            if let Some(waker) = ticket.waker.take() {
                waker.wake();
            }
        }
    }

    /// Waits until it is called; at the front if it has waited before.
    pub(super) async fn wait(&self, waited: bool) {
        let ticket = Rc::<Ticket>::default();
        if waited {
            self.waiting.borrow_mut().push_front(ticket.clone());
        } else {
            self.waiting.borrow_mut().push_back(ticket.clone());
        }
        let mut place = Place {
            queue: self,
            ticket,
            served: false,
        };
        poll_fn(|context| {
            if place.ticket.called.get() {
                return Poll::Ready(());
            }
            place.ticket.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        place.served = true;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.served {
            return;
        }
        if self.ticket.called.get() {
            // It was called and has left: the call is for the next.
            self.queue.call();
        } else {
            let mut waiting = self.queue.waiting.borrow_mut();
            waiting.retain(|ticket| !Rc::ptr_eq(ticket, &self.ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::Context;

    use super::*;

    fn poll(wait: Pin<&mut impl Future<Output = ()>>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        wait.poll(&mut context).is_ready()
    }

    #[test]
    fn first_come_first_served() {
        let queue = Queue::default();
        let (mut one, mut two) = (pin!(queue.wait(false)), pin!(queue.wait(false)));
        assert!(!poll(one.as_mut()) && !poll(two.as_mut()));
        assert_eq!(queue.len(), 2);
        queue.call();
        assert!(!poll(two.as_mut()) && poll(one.as_mut()));
        let mut again = pin!(queue.wait(true));
        assert!(!poll(again.as_mut()));
        queue.call();
        assert!(!poll(two.as_mut()) && poll(again.as_mut()));
        queue.call();
        assert!(poll(two.as_mut()) && queue.is_empty());
        queue.call();
    }

    #[test]
    fn who_leaves_loses_no_call() {
        let queue = Queue::default();
        let mut one = Box::pin(queue.wait(false));
        let mut two = pin!(queue.wait(false));
        assert!(!poll(one.as_mut()) && !poll(two.as_mut()));
        queue.call();
        drop(one);
        assert!(poll(two.as_mut()));
        let mut three = Box::pin(queue.wait(false));
        assert!(!poll(three.as_mut()));
        drop(three);
        assert!(queue.is_empty());
    }
}
