//! Load: what one server has to do, as one core sees it.

use std::cell::Cell;

/// How fast an old latency is forgotten: after this time two thirds of it are gone.
const DECAY_US: f64 = 10_000_000.0;
/// What a server that has work but has never answered is taken to need, in microseconds.
const UNKNOWN_US: f64 = 1_000_000.0;

/// What a server has to do.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Load {
    /// What smooth weighted round robin has saved up for it.
    pub(super) credit: Cell<i64>,
    /// Requests in flight.
    active: Cell<u32>,
    /// Its mean latency in microseconds, quick to rise and slow to fall; 0 if it never answered.
    latency_us: Cell<f64>,
    /// When that was last changed.
    seen_us: Cell<u64>,
}

impl Load {
    /// Requests in flight.
    #[inline]
    pub(in crate::proxy) fn active(&self) -> u32 {
        self.active.get()
    }

    /// A request begins.
    #[inline]
    pub(in crate::proxy) fn begin(&self) {
        self.active.set(self.active.get() + 1);
    }

    /// A request ends.
    #[inline]
    pub(in crate::proxy) fn end(&self) {
        self.active.set(self.active.get().saturating_sub(1));
    }

    /// The server has answered after `latency_us`.
    pub(in crate::proxy) fn answered(&self, latency_us: u64, now_us: u64) {
        let latency = latency_us as f64;
        let kept = self.kept(now_us);
        let faded = self.latency_us.get() * kept;
        let next = if latency > faded {
            latency
        } else {
            faded + latency * (1.0 - kept)
        };
        self.latency_us.set(next.max(1.0));
        self.seen_us.set(now_us);
    }

    /// What a further request would cost here: the mean latency times all that wait.
    pub(super) fn cost(&self, now_us: u64) -> f64 {
        let latency = self.latency(now_us);
        let waiting = f64::from(self.active.get());
        if latency == 0.0 && waiting > 0.0 {
            UNKNOWN_US * waiting
        } else {
            latency * (waiting + 1.0)
        }
    }

    /// The mean latency; one that nobody has measured for long fades, so that the server is tried
    /// again.
    fn latency(&self, now_us: u64) -> f64 {
        self.latency_us.get() * self.kept(now_us)
    }

    /// How much of the old mean still counts.
    fn kept(&self, now_us: u64) -> f64 {
        let elapsed = now_us.saturating_sub(self.seen_us.get()) as f64;
        (-elapsed / DECAY_US).exp()
    }
}
