//! Counters of one core, written by that core only and read by the admin core.
//!
//! One writer, so adding is a load and a store, not an atomic read-modify-write.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one core writes.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds to it.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0
            .store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    /// Takes from it; for gauges.
    #[inline]
    pub fn sub(&self, less: u64) {
        self.0
            .store(self.get().wrapping_sub(less), Ordering::Relaxed);
    }

    /// Sets it; for gauges.
    #[inline]
    pub fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }

    /// What it is.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident),* $(,)?) => {
        /// What one core counts.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters { $($(#[doc = $doc])+ pub $name: Cell,)* }

        impl Counters {
            /// Every counter with its name.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name.get())),*].into_iter()
            }

            /// Every counter's name and what it counts, in the same order.
            pub fn described(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
                [$((stringify!($name), concat!($($doc),+).trim_ascii())),*].into_iter()
            }
        }
    };
}

counters! {
    /// Gauge: client connections.
    connections,
    /// Gauge: requests being served.
    in_flight,
    /// Gauge: connections to servers, with and without a request.
    upstream_connections,
    /// Gauge: of these, without a request.
    upstream_idle,
    /// Gauge: buffers lent to connections for the heads of requests.
    head_buffers_out,
    /// Gauge: large buffers lent.
    large_buffers_out,
    /// Gauge: pipes open, to splice large bodies through.
    pipes,
    /// Gauge: of these, such that are in use.
    pipes_out,
    /// Gauge: tunnels open.
    tunnels,
    /// Client connections accepted, counted at the core that serves them.
    accepted,
    /// Client connections accepted here and handed over to a core with fewer.
    handed_over,
    /// Client connections closed at once, being over `limits.max_connections`.
    rejected,
    /// Requests whose head was read, refused ones included.
    requests,
    /// Requests refused for their form.
    malformed,
    /// Responses with a status below 200 that were passed on.
    interim,
    /// Responses of 200 to 299.
    responses_2xx,
    /// Responses of 300 to 399.
    responses_3xx,
    /// Responses of 400 to 499.
    responses_4xx,
    /// Responses of 500 and above.
    responses_5xx,
    /// Bytes of request bodies.
    bytes_received,
    /// Bytes of responses, heads included.
    bytes_sent,
    /// Bytes of bodies that were spliced from socket to socket.
    bytes_spliced,
    /// Connections opened to servers.
    upstream_connects,
    /// Connections to servers that could not be opened.
    upstream_connect_failures,
    /// TLS handshakes done with servers.
    upstream_handshakes,
    /// Of these, such that went on with what an earlier one had agreed on.
    upstream_resumptions,
    /// Requests sent on a kept connection.
    upstream_reuses,
    /// Requests sent a second time.
    retries,
    /// Servers taken out for their failures.
    ejections,
    /// Circuits opened.
    circuits_opened,
    /// Requests refused because a circuit was open.
    circuit_refused,
    /// Retries not made because the budget was spent.
    retries_denied,
    /// Requests refused because a rate limit was reached.
    rate_limited,
    /// Requests that waited for a server to become free.
    queued,
    /// Requests that were sent to a second server because the first was slow.
    hedged,
    /// Requests of which a copy was sent elsewhere.
    mirrored,
    /// Copies not sent because too many were under way, or the request was too large.
    mirrors_dropped,
    /// Requests answered with what is kept, fresh.
    cache_hits,
    /// Requests for which nothing fresh was kept.
    cache_misses,
    /// Requests answered with what is kept and stale.
    cache_stale,
    /// Requests that waited for the same response on its way to another.
    cache_waits,
    /// Bytes of kept bodies that went out.
    cache_sent,
    /// Responses that were compressed.
    compressed,
    /// Waits that the clock ended, on the client's side.
    client_timeouts,
    /// Waits that the clock ended, on the server's side.
    upstream_timeouts,
    /// Requests without a whole response because the client went away.
    client_aborts,
    /// Panics while serving a connection; each closed that connection.
    panics,
    /// Log lines dropped because the disk was slower than the traffic.
    log_dropped,
    /// Epochs taken.
    epochs,
    /// Nanoseconds spent on taking them over.
    epoch_nanos,
}
