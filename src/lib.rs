//! Ringway: a reverse proxy and API gateway for Linux.
//!
//! The rooms, in the order in which to read them:
//!
//! - [`wire`]: formats, without sockets: heads, framing, chunks, paths, authorities.
//! - [`model`]: what a person declares, how it is read and what is wrong with it.
//! - [`cache`]: responses that all cores share, bounded by bytes.
//! - [`table`]: what a core executes: routes and upstreams, immutable, structurally shared.
//! - [`epoch`]: the only bridge between the planes: snapshots one way, counters and log lines back.
//! - [`net`]: the seam over the runtime: streams, listeners, lent buffers, a coarse clock.
//! - [`proxy`]: the data plane, one per core; `proxy::serve` tells the story of a request.
//! - [`admin`]: the control plane, one thread that alone may change anything.
//! - [`boot`]: from a configuration to running threads, and back.
//! - [`cli`]: the commands.
//! - [`allocator`]: where memory comes from.
//!
//! Dependencies run one way, and the two planes never name each other.

pub mod admin;
pub mod allocator;
pub mod boot;
pub mod cache;
pub mod cli;
pub mod epoch;
pub mod model;
pub mod net;
pub mod proxy;
pub mod table;
pub mod wire;
