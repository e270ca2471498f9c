//! What the tasks of the admin core share. One thread runs them all, so there are no locks; a
//! borrow of the state never outlives a step between two waits.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::audit::Audit;
use super::commit::{Done, Refusal, Write, Writer};
use super::dialect::{Administration, Sessions};
use super::guard::Guard;
use super::history::History;
use super::names::Failed;
use super::publish::InForce;
use super::reload::Reloaded;
use super::state::State;
use crate::cache::Store;
use crate::epoch::counters::Counters;
use crate::epoch::{Asker, Publisher};
use crate::table::Change;

/// Writes that may wait for the writer.
pub(super) const QUEUE_MAX: usize = 4_096;

/// What the tasks of the admin core share.
pub(super) struct Core {
    pub(super) state: RefCell<State>,
    pub(super) history: RefCell<History>,
    pub(super) guard: RefCell<Guard>,
    /// The sessions of the dashboard.
    pub(super) sessions: RefCell<Sessions>,
    /// Ocelot's administration, if it is served.
    pub(super) ocelot: Option<Rc<Administration>>,
    pub(super) publisher: Publisher,
    /// The way to what the cores know.
    pub(super) asker: Asker,
    pub(super) in_force: InForce,
    /// The server names that could not be resolved.
    pub(super) failed: Rc<Failed>,
    /// The newest epoch, for those who wait for the next one.
    pub(super) newest: watch::Sender<u64>,
    pub(super) queue: mpsc::Sender<Message>,
    pub(super) audit: Option<Audit>,
    /// What all cores keep of responses.
    pub(super) cache: Arc<Store>,
    pub(super) counters: Vec<Arc<Counters>>,
    /// The number of the core that each worker runs on.
    pub(super) cores: Vec<usize>,
    pub(super) driver: &'static str,
    pub(super) listening: Vec<SocketAddr>,
    /// Set when the end begins: nothing is changed any more.
    pub(super) stopping: Cell<bool>,
    /// Streams of changes being read.
    pub(super) watchers: Cell<usize>,
}

/// What the writer is asked for.
pub(super) enum Message {
    Write(Write, oneshot::Sender<Result<Done, Refusal>>),
    Reload {
        by: Writer,
        structural: bool,
        answer: oneshot::Sender<Result<Reloaded, Refusal>>,
    },
    /// What was learnt of the servers: addresses, health. Not stored.
    Observe(Change),
}

impl Core {
    pub(super) fn epoch(&self) -> u64 {
        self.state.borrow().epoch()
    }

    /// Hands a write to the writer and waits until it is committed and published.
    pub(super) async fn commit(&self, write: Write) -> Result<Done, Refusal> {
        self.ask(|answer| Message::Write(write, answer)).await
    }

    /// Has the file read again.
    pub(super) async fn reload(&self, by: Writer, structural: bool) -> Result<Reloaded, Refusal> {
        self.ask(|answer| Message::Reload {
            by,
            structural,
            answer,
        })
        .await
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Message,
    ) -> Result<T, Refusal> {
        if self.stopping.get() {
            return Err(Refusal::Stopping);
        }
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(message(answer))
            .map_err(|_| Refusal::Busy)?;
        answered.await.unwrap_or(Err(Refusal::Stopping))
    }
}

impl Writer {
    /// The process itself, for what no client asked for.
    pub(super) fn process(request: &str) -> Self {
        Self {
            name: Rc::from("ringway"),
            from: None,
            request: Rc::from(request),
            action: None,
        }
    }
}
