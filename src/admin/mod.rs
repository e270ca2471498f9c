//! The control plane: one pinned thread that alone may change anything.

mod discover;
mod probe;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use self::discover::Discovery;
use self::probe::Prober;
use crate::epoch::counters::Counters;
use crate::epoch::{Order, Publisher, Settings, Snapshot};
use crate::model::Config;
use crate::table::{Change, CompileError};

/// Rings whenever a core has acknowledged an epoch.
#[derive(Debug, Default)]
pub struct Acknowledged(Notify);

impl Acknowledged {
    /// Called on a core's thread: never blocks.
    pub fn notify(&self) {
        self.0.notify_one();
    }
}

/// Everything that the admin core holds.
#[derive(Debug)]
pub struct Control {
    /// What was declared.
    pub config: Config,
    /// The newest epoch.
    pub snapshot: Arc<Snapshot>,
    /// The way to the cores.
    pub publisher: Publisher,
    /// Their way back.
    pub acknowledged: Arc<Acknowledged>,
    /// What each core counts.
    pub counters: Vec<Arc<Counters>>,
    /// The number of the core that each worker runs on.
    pub cores: Vec<usize>,
    /// What the workers ask the kernel with.
    pub driver: &'static str,
    /// Where clients come in.
    pub listening: Vec<SocketAddr>,
}

/// How often a drain looks whether all is done.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How long after the end of a drain a core may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Runs the admin core until SIGTERM or SIGINT, then drains the proxy cores.
///
/// # Errors
/// If the runtime or the signals cannot be had.
pub fn run(control: Control, ready: impl FnOnce(&[SocketAddr]) + 'static) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(control.serve(ready)))
}

impl Control {
    async fn serve(mut self, ready: impl FnOnce(&[SocketAddr])) -> std::io::Result<()> {
        let mut signals = Signals::new()?;
        let mut discovery = Discovery::of(&self.config.dns);
        for change in discovery.first(&self.snapshot.table).await {
            self.apply(&[change]);
        }
        let mut prober = Prober::new();
        prober.follow(&self.snapshot.table);
        self.in_force(1).await;
        for address in &self.listening {
            tracing::info!(message = "listening", %address);
        }
        tracing::info!(
            message = "ready",
            driver = self.driver,
            workers = self.cores.len(),
            routes = self.snapshot.table.route_count(),
            upstreams = self.snapshot.table.upstream_count(),
        );
        ready(&self.listening);
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Stop => break,
                    Asked::Status => self.log_status("status"),
                },
                change = discovery.next() => {
                    self.apply(&[change]);
                    prober.follow(&self.snapshot.table);
                }
                change = prober.next() => self.apply(&[change]),
            }
        }
        self.drain(&mut signals).await;
        self.log_status("stopped");
        Ok(())
    }

    /// Makes the next epoch of the present one and puts it before the cores.
    fn apply(&mut self, changes: &[Change]) {
        match self.next(changes) {
            Ok(next) => {
                self.publisher.publish(&next);
                self.snapshot = next;
            }
            Err(error) => tracing::error!(message = "a change could not be made", %error),
        }
    }

    fn next(&self, changes: &[Change]) -> Result<Arc<Snapshot>, CompileError> {
        Ok(Arc::new(Snapshot {
            epoch: self.snapshot.epoch + 1,
            table: self.snapshot.table.change(changes)?,
            settings: Settings::of(&self.config),
        }))
    }

    /// Waits until every core works by `epoch` or a later one.
    async fn in_force(&self, epoch: u64) {
        while !self.publisher.is_in_force(epoch) {
            self.acknowledged.0.notified().await;
        }
    }

    async fn drain(&self, signals: &mut Signals) {
        tracing::info!(message = "draining");
        self.publisher.order(Order::Drain);
        let limit = Duration::from_millis(self.config.timeouts.drain_ms);
        let done = async {
            while self.counters.iter().any(|core| core.connections.get() > 0) {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        tokio::select! {
            () = done => {}
            () = tokio::time::sleep(limit) => {
                tracing::warn!(message = "drain_ms is over; the connections left are closed");
            }
            () = signals.again() => {
                tracing::warn!(message = "told to stop again; the connections left are closed");
            }
        }
        self.publisher.order(Order::Stop);
        let gone = async {
            while self.counters.iter().any(|core| core.connections.get() > 0) {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        let _ = tokio::time::timeout(STOP_WITHIN, gone).await;
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Asked {
    Stop,
    Status,
}

/// The signals that the admin core listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    status: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            status: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.status.recv() => Asked::Status,
        }
    }

    /// Waits for another word to stop.
    async fn again(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}
