//! Signals: SIGTERM and SIGINT end, SIGUSR1 tells the status, SIGHUP reads the file again.

use std::rc::Rc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::commit::Writer;
use super::core::Core;

/// What a signal asks for.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Asked {
    Stop,
    Status,
    Reload,
}

/// The signals that the admin core listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    status: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            status: signal(SignalKind::user_defined1())?,
        })
    }

    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.status.recv() => Asked::Status,
        }
    }

    /// Waits for another word to stop.
    pub(super) async fn again(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}

/// Has the file read again; what comes of it is logged.
pub(super) fn reload(core: &Rc<Core>) {
    let core = core.clone();
    tokio::task::spawn_local(async move {
        // What went wrong has been logged where it did.
        if let Ok(reloaded) = core.reload(Writer::process("SIGHUP"), false).await {
            let applied = reloaded.applied.join(", ");
            tracing::info!(message = "reloaded", applied, epoch = reloaded.epoch);
        }
    });
}
