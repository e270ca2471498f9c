//! The control plane: one pinned thread that alone may change anything.
//!
//! A change takes one way, in whatever dialect it came: `listener` → `guard` (who may come in) →
//! `dialect` (what is meant) → `commit` (is it right) → `writer` (make it durable, give it an
//! epoch) → `publish` (until every core works by it) → the answer. What is in force is in `state`;
//! `history`, `watch` and `audit` tell what was changed.

mod amend;
mod audit;
mod certificates;
mod clock;
mod commit;
mod condition;
mod core;
mod deny;
pub mod dialect;
mod discover;
mod effect;
pub mod entity;
mod epochs;
mod explain;
mod fetch;
mod guard;
mod history;
mod keys;
mod listener;
mod metrics;
mod names;
mod payload;
mod probe;
mod problem;
mod publish;
mod rate;
mod regions;
mod reload;
mod request;
mod signals;
mod sorted;
mod stage;
mod stall;
mod start;
mod state;
mod status;
pub mod store;
mod text;
mod watch;
mod writer;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use self::certificates::Certificates;
use self::core::{Core, Message};
use self::discover::Discovery;
pub use self::guard::KeyError;
use self::keys::Keys;
use self::probe::Prober;
pub use self::publish::Acknowledged;
use self::signals::{Asked, Signals};
pub use self::start::{AdminError, Prepared, prepare};
use crate::cache::Store;
use crate::epoch::counters::Counters;
use crate::epoch::{Asker, Order, Publisher};

/// Everything that the admin core is given.
#[derive(Debug)]
pub struct Control {
    /// What it has itself: the configuration, the store, the first epoch, its socket.
    pub prepared: Prepared,
    /// The way to the cores.
    pub publisher: Publisher,
    /// The way to what they know.
    pub asker: Asker,
    /// Their way back.
    pub acknowledged: Arc<Acknowledged>,
    /// What all cores keep of responses.
    pub cache: Arc<Store>,
    /// What each core counts.
    pub counters: Vec<Arc<Counters>>,
    /// The number of the core that each worker runs on.
    pub cores: Vec<usize>,
    /// What the workers ask the kernel with.
    pub driver: &'static str,
    /// Where clients come in.
    pub listening: Vec<SocketAddr>,
}

/// Where Ringway listens.
#[derive(Debug)]
pub struct Listening {
    /// For clients, one address for each listener.
    pub clients: Vec<SocketAddr>,
    /// For operators, if the admin API is served.
    pub admin: Option<SocketAddr>,
}

/// How long the start waits for the cores.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How often a drain looks whether all is done.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How long after the end of a drain a core may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Runs the admin core until SIGTERM or SIGINT, then drains the proxy cores.
///
/// # Errors
/// If the runtime or the signals cannot be had.
pub fn run(control: Control, ready: impl FnOnce(&Listening) + 'static) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(control.serve(ready)))
}

impl Control {
    async fn serve(self, ready: impl FnOnce(&Listening)) -> std::io::Result<()> {
        let mut signals = Signals::new()?;
        let start::Started { core, admin } = start::start(self)?;
        let mut discovery = Discovery::of(&core.state.borrow().config.dns, core.failed.clone());
        let table = core.state.borrow().snapshot.table.clone();
        for change in discovery.first(&table).await {
            let _ = core.queue.send(Message::Observe(change)).await;
        }
        let mut prober = Prober::new();
        prober.follow(&table);
        let mut keys = Keys::new();
        keys.follow(&table);
        let mut certificates = Certificates::new();
        certificates.follow(&table);
        drop(table);
        let mut newest = core.newest.subscribe();
        core.in_force.wait(core.epoch(), START_WITHIN).await;
        for address in &core.listening {
            tracing::info!(message = "listening", %address);
        }
        if let Some(address) = admin {
            tracing::info!(message = "admin listening", %address);
        }
        let (routes, upstreams) = {
            let state = core.state.borrow();
            (state.routes.len(), state.upstreams.len())
        };
        let (driver, workers) = (core.driver, core.cores.len());
        tracing::info!(message = "ready", driver, workers, routes, upstreams);
        ready(&Listening {
            clients: core.listening.clone(),
            admin,
        });
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Stop => break,
                    Asked::Status => status::log(&core, "status"),
                    Asked::Reload => signals::reload(&core),
                },
                change = discovery.next() => {
                    let _ = core.queue.send(Message::Observe(change)).await;
                }
                change = prober.next() => {
                    let _ = core.queue.send(Message::Observe(change)).await;
                }
                change = keys.next() => {
                    let _ = core.queue.send(Message::Observe(change)).await;
                }
                change = certificates.next() => {
                    let _ = core.queue.send(Message::Observe(change)).await;
                }
                _ = newest.changed() => {
                    let table = core.state.borrow().snapshot.table.clone();
                    prober.follow(&table);
                    certificates.follow(&table);
                    for change in discovery.follow(&table).into_iter().chain(keys.follow(&table)) {
                        let _ = core.queue.send(Message::Observe(change)).await;
                    }
                }
            }
        }
        drain(&core, &mut signals).await;
        status::log(&core, "stopped");
        Ok(())
    }
}

async fn drain(core: &Rc<Core>, signals: &mut Signals) {
    tracing::info!(message = "draining");
    core.stopping.set(true);
    core.publisher.order(Order::Drain);
    let limit = Duration::from_millis(core.state.borrow().config.timeouts.drain_ms);
    tokio::select! {
        () = all_closed(core) => {}
        () = tokio::time::sleep(limit) => {
            tracing::warn!(message = "drain_ms is over; the connections left are closed");
        }
        () = signals.again() => {
            tracing::warn!(message = "told to stop again; the connections left are closed");
        }
    }
    core.publisher.order(Order::Stop);
    let _ = tokio::time::timeout(STOP_WITHIN, all_closed(core)).await;
}

async fn all_closed(core: &Core) {
    while core.counters.iter().any(|core| core.connections.get() > 0) {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}
