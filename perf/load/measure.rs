//! What is counted in the measured window, and the line that reports it.

use std::fs;

use serde_json::{Value, json};

/// A log-linear histogram of nanoseconds: 64 steps per power of two, so within 1.6 %.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; (STEPS * STEPS) as usize],
            total: 0,
            max: 0,
        }
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// The latency that this share of the requests did not exceed, in microseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return lower_bound(bucket) as f64 / 1e3;
            }
        }
        self.max_us()
    }

    pub(crate) fn max_us(&self) -> f64 {
        self.max as f64 / 1e3
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - STEP_BITS;
    (u64::from(shift + 1) * STEPS + ((nanos >> shift) - STEPS)) as usize
}

fn lower_bound(bucket: usize) -> u64 {
    let (power, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    if power == 0 {
        step
    } else {
        (STEPS + step) << (power - 1)
    }
}

/// Why a response does not count.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The status is not 200.
    Status,
    /// The head is not HTTP/1.1 with a length or chunks.
    Head,
    /// The body is longer or shorter than it should be.
    Length,
    /// A byte of the body is wrong.
    Body,
    /// The connection ended inside a request.
    Closed,
    /// The connection was reset.
    Reset,
    /// The connection could not be opened.
    Connect,
}

const FAULTS: [&str; 7] = [
    "status", "head", "length", "body", "closed", "reset", "connect",
];

/// Everything that one run counts.
pub(crate) struct Tally {
    pub(crate) ok: u64,
    pub(crate) body_bytes: u64,
    pub(crate) connections_opened: u64,
    pub(crate) latency: Histogram,
    /// Scheduled arrivals that never found a connection (open loop).
    pub(crate) unserved: usize,
    pub(crate) idle_closed: u64,
    faults: [u64; FAULTS.len()],
    warm_up_faults: u64,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            ok: 0,
            body_bytes: 0,
            connections_opened: 0,
            latency: Histogram::new(),
            unserved: 0,
            idle_closed: 0,
            faults: [0; FAULTS.len()],
            warm_up_faults: 0,
        }
    }

    pub(crate) fn fault(&mut self, fault: Fault, measured: bool) {
        if measured {
            self.faults[fault as usize] += 1;
        } else {
            self.warm_up_faults += 1;
        }
    }

    pub(crate) fn faults(&self) -> u64 {
        self.faults.iter().sum::<u64>() + self.warm_up_faults
    }

    pub(crate) fn report(&self, window: &Window) -> Value {
        let errors: serde_json::Map<_, _> = FAULTS
            .iter()
            .zip(self.faults)
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| ((*name).to_owned(), count.into()))
            .collect();
        json!({
            "ok": self.ok,
            "errors": errors,
            "warm_up_errors": self.warm_up_faults,
            "seconds": window.seconds,
            "rps": self.ok as f64 / window.seconds,
            "p50": self.latency.quantile(0.5),
            "p90": self.latency.quantile(0.9),
            "p99": self.latency.quantile(0.99),
            "p999": self.latency.quantile(0.999),
            "max": self.latency.max_us(),
            "body_bytes": self.body_bytes,
            "connections_opened": self.connections_opened,
            "idle_closed": self.idle_closed,
            "unserved": self.unserved,
            "load_idle": window.idle_share,
            "load_cpu": window.cpu_share,
        })
    }
}

/// The measured window as the load thread saw it.
pub(crate) struct Window {
    pub(crate) seconds: f64,
    /// The share of it in which nothing was ready.
    pub(crate) idle_share: f64,
    /// The share of it in which this process had a CPU; less than 1 means that others ran.
    pub(crate) cpu_share: f64,
}

/// The CPU time of this thread so far, in nanoseconds.
pub(crate) fn cpu_nanos() -> u64 {
    fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_within_two_percent_of_its_value() {
        for nanos in [0, 1, 63, 64, 65, 127, 128, 1_000, 123_456_789, u64::MAX] {
            let bound = lower_bound(bucket(nanos));
            assert!(
                bound <= nanos && nanos - bound <= nanos / 64,
                "{nanos}: {bound}"
            );
        }
    }

    #[test]
    fn quantiles_of_a_uniform_spread() {
        let mut histogram = Histogram::new();
        (1..=1_000).for_each(|us| histogram.record(us * 1_000));
        assert!((histogram.quantile(0.5) - 500.0).abs() < 10.0);
        assert!((histogram.quantile(0.99) - 990.0).abs() < 20.0);
        assert!((histogram.max_us() - 1_000.0).abs() < f64::EPSILON);
    }
}
