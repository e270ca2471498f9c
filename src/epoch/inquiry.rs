//! Inquiries: what the admin core asks of a core about an upstream, and what the core knows.
//!
//! What is known of servers lives on the cores, each its own. A core looks for inquiries when it
//! looks for orders, between requests: asking costs the traffic nothing.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::table::UpstreamId;

/// Inquiries that may wait for a core; a further one has no answer from it.
const WAITING_MAX: usize = 16;

/// The admin core's end: one for all cores.
#[derive(Debug)]
pub struct Asker(Vec<Sender<Inquiry>>);

/// A core's end.
#[derive(Debug)]
pub struct Inbox(Receiver<Inquiry>);

/// A question about an upstream.
#[derive(Debug)]
pub struct Inquiry {
    /// The upstream.
    pub upstream: UpstreamId,
    worker: usize,
    answer: Sender<(usize, Report)>,
}

/// What a core knows of an upstream; nothing if it has had no request for it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Its servers.
    pub servers: Vec<ServerReport>,
    /// Whether the circuit is `closed`, `open` or on `trial`; empty where there is none.
    pub circuit: &'static str,
    /// Requests that wait for a server.
    pub waiting: usize,
    /// Connections to all servers, and those of them without a request.
    pub connections: (u32, u32),
    /// Whether a retry would be paid for.
    pub has_retries: bool,
}

/// What a core knows of a server.
#[derive(Clone, Debug)]
pub struct ServerReport {
    /// Its name.
    pub name: Arc<str>,
    /// Whether the core holds it to be out, and for how many milliseconds.
    pub out_ms: u64,
    /// Whether it has been out and gets one request at a time.
    pub on_trial: bool,
    /// Failures in a row.
    pub fails: u32,
    /// Requests in flight.
    pub in_flight: u32,
}

/// An end for the admin core, and one for each of so many cores.
#[must_use]
pub fn inquiries(workers: usize) -> (Asker, Vec<Inbox>) {
    let (ways, inboxes) = (0..workers)
        .map(|_| bounded(WAITING_MAX))
        .map(|(way, inbox)| (way, Inbox(inbox)))
        .unzip();
    (Asker(ways), inboxes)
}

impl Asker {
    /// Asks every core; the answers come with the number of the worker.
    #[must_use]
    pub fn ask(&self, upstream: UpstreamId) -> Receiver<(usize, Report)> {
        let (answer, answers) = bounded(self.0.len().max(1));
        for (worker, way) in self.0.iter().enumerate() {
            // A core that has that many to answer leaves this one out.
            let _ = way.try_send(Inquiry {
                upstream,
                worker,
                answer: answer.clone(),
            });
        }
        answers
    }
}

impl Inbox {
    /// The inquiries that wait.
    pub fn take(&self) -> impl Iterator<Item = Inquiry> {
        self.0.try_iter()
    }
}

impl Inquiry {
    /// Answers it. Nobody may be waiting any more.
    pub fn answer(self, report: Report) {
        let _ = self.answer.try_send((self.worker, report));
    }
}
