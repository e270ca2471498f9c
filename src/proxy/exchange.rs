//! Exchange: what a request and its answer work with, and whom they wait for.

use std::cell::Cell;
use std::io;

use super::body::{BodyFault, Reframe};
use super::core::Core;
use super::failure::Failure;
use super::fault::Fault;
use super::forward::Plan;
use super::pick::{self, Picked, Tried};
use super::pool::Link;
use super::record::Entry;
use super::splice;
use crate::net::{Deadline, Lease, Stream};

/// Everything that an exchange works with.
pub(super) struct Exchange<'a> {
    pub(super) core: &'a Core,
    pub(super) client: &'a Stream,
    pub(super) client_deadline: &'a Deadline,
    pub(super) link: &'a Link,
    pub(super) picked: &'a Picked,
    pub(super) plan: &'a Plan,
    /// The tick at which all must be done.
    pub(super) total: u64,
    /// Whether the request body is still on its way.
    pub(super) uploading: &'a Cell<bool>,
    /// What is waited for besides the response.
    pub(super) waits: Waits,
    /// The tick at which the response must have begun.
    pub(super) head_by: u64,
    /// The servers that the request has been sent to before.
    pub(super) tried: Tried,
    /// Whether the request can still be sent again: it is safe, whole and undamaged.
    pub(super) retriable: Cell<bool>,
}

/// What is waited for while a request goes one way and its answer the other. The client has one
/// deadline: that it takes something goes before that it sends something.
#[derive(Default)]
pub(super) struct Waits {
    client_takes: Cell<bool>,
    client_sends: Cell<bool>,
    server_takes: Cell<bool>,
}

impl Exchange<'_> {
    /// Starts a wait for the server, within the time for the whole exchange.
    pub(super) fn await_server(&self, ms: u32) {
        let tick = self.core.deadlines.after(u64::from(ms));
        self.link.deadline.set_at(tick.min(self.total));
    }

    /// The request body has gone.
    pub(super) fn uploaded(&self) {
        self.uploading.set(false);
        self.end_upload();
    }

    /// Nothing more of the request goes to the server; it is to answer now.
    pub(super) fn end_upload(&self) {
        self.waits.server_takes.set(false);
        self.client_is_to_send(false);
        if self.waits.client_takes.get() {
            self.link.deadline.set_at(self.total);
        } else {
            self.await_answer();
        }
    }

    /// Whether more of the request is to go to the server.
    #[inline]
    pub(super) fn uploads(&self) -> bool {
        self.waits.client_sends.get() || self.waits.server_takes.get()
    }

    /// Starts the wait for more of the request.
    pub(super) fn await_upload(&self) {
        self.waits.server_takes.set(false);
        self.link.deadline.set_at(self.total);
        self.client_is_to_send(true);
    }

    /// Starts the wait for the server to take some of the request.
    pub(super) fn await_taking(&self) {
        self.waits.server_takes.set(true);
        self.client_is_to_send(false);
        self.await_server(self.plan.timeouts.send_ms);
    }

    pub(super) fn await_answer(&self) {
        self.await_server(self.plan.timeouts.read_ms);
    }

    /// Starts the wait for more of the response.
    pub(super) fn await_more(&self) {
        self.client_has_taken();
        if !self.uploads() {
            self.await_answer();
        }
    }

    /// Notes whether the next of the request is the client's to send.
    fn client_is_to_send(&self, is_to: bool) {
        self.waits.client_sends.set(is_to);
        if !self.waits.client_takes.get() {
            self.time_client();
        }
    }

    pub(super) fn client_has_taken(&self) {
        self.waits.client_takes.set(false);
        self.time_client();
    }

    /// Gives a client that has nothing to take the time to send, or all the time, if it is to do
    /// nothing.
    pub(super) fn time_client(&self) {
        if self.waits.client_sends.get() {
            let body_ms = self.core.snapshot().settings.timeouts.body_ms;
            self.client_deadline.set_receiving(body_ms);
        } else {
            self.client_deadline.suspend(&self.link.stream);
        }
    }

    /// Starts the wait for the response to begin.
    pub(super) fn await_head(&self) {
        let tick = self
            .core
            .deadlines
            .after(u64::from(self.plan.timeouts.read_ms));
        self.link.deadline.set_at(tick.min(self.head_by));
    }

    /// Whether a response of this status is not the answer yet: another server is to be asked.
    pub(super) fn is_to_be_tried_again(&self, status: u16) -> bool {
        let Self { core, plan, .. } = self;
        let now = core.deadlines.now();
        if !plan.retries.on_status(status) || now >= self.total {
            return false;
        }
        if !pick::another(&plan.pool, self.tried, self.picked.index, now) {
            return false;
        }
        if !plan.pool.budget.has_one() {
            core.counters.retries_denied.add(1);
        }
        plan.pool.budget.has_one()
    }

    pub(super) fn fault_of_client(&self, fault: BodyFault) -> Fault {
        match fault {
            BodyFault::TooLarge => Fault::RequestTooLarge,
            _ if self.client_deadline.has_passed() => {
                self.core.counters.client_timeouts.add(1);
                Fault::RequestTimeout
            }
            BodyFault::FromFailed => Fault::ClientGone,
            _ => Fault::RequestBroken,
        }
    }

    pub(super) fn fault_of_server(&self) -> Fault {
        if self.link.deadline.has_passed() {
            self.core.counters.upstream_timeouts.add(1);
            Fault::Timeout
        } else if self.client.is_broken() {
            self.core.counters.client_aborts.add(1);
            Fault::ClientGone
        } else if let Some(fault) = self.link.stream.tls_fault() {
            fault.into()
        } else {
            Fault::Closed
        }
    }

    /// Nothing came, or no whole head: what that means for another try.
    pub(super) fn failure_without_answer(&self, silent: bool) -> Failure {
        let fault = self.fault_of_server();
        let on_timeout = self.plan.retries.on_timeout && self.retriable.get();
        let repeatable = match fault {
            Fault::Closed => silent,
            Fault::Timeout => silent && on_timeout,
            _ => false,
        };
        Failure {
            repeatable,
            ..Failure::of(fault)
        }
    }

    /// Makes room for a longer head; the request in front of it goes.
    pub(super) fn make_room(&self, lease: &mut Lease) {
        self.retriable.set(false);
        lease.compact();
        let more = self.core.snapshot().settings.head.bytes;
        let bytes = lease.len() + more;
        lease.grow(bytes);
    }

    pub(super) fn await_client(&self) {
        self.waits.client_takes.set(true);
        if !self.waits.server_takes.get() {
            self.link.deadline.set_at(self.total);
        }
        self.client_deadline
            .set(self.core.snapshot().settings.timeouts.write_ms);
    }

    /// Whether what is left of the response is spliced.
    #[inline]
    pub(super) fn splices(&self, body: &Reframe) -> bool {
        splice::is_worth_it(body, &self.link.stream, self.client)
    }

    /// Notes that `bytes` went to the client, or that it is gone.
    pub(super) fn sent(
        &self,
        sent: &io::Result<()>,
        bytes: usize,
        entry: &Entry<'_>,
    ) -> Result<(), Failure> {
        if sent.is_err() {
            self.core.counters.client_aborts.add(1);
            return Err(Failure::begun(Fault::ClientGone));
        }
        entry.sent(bytes as u64);
        Ok(())
    }
}
