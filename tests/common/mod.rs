//! What the integration tests share: the real binary as a process, an origin that follows a script
//! and records every byte it gets, and a client that writes and reads raw bytes.

// Each test file is its own crate and uses its own part of this.
#![allow(dead_code, unused_imports, unreachable_pub)]
// A client or an origin is asked to do something to its stream: `&mut` says so.
#![allow(clippy::needless_pass_by_ref_mut, clippy::wrong_self_convention)]

pub mod admin;
pub mod apis;
pub mod caching;
mod client;
mod coding;
pub mod docs;
mod drivers;
mod message;
pub mod ocelot;
mod origin;
mod process;
mod refusal;
mod ringway;
pub mod secure;
pub mod tls;
pub mod tokens;

use std::time::Duration;

pub use admin::{ADMIN, AdminClient};
pub use apis::{APIS, ApisClient};
pub use client::{RawClient, closes, exchange};
pub use coding::plain;
pub use drivers::{Driver, on_both_drivers};
pub use message::{Framing, Message, Reader, show};
pub use origin::{Connection, ScriptedOrigin, ok};
pub use process::Process;
pub use refusal::{Refused, assert_bodies_refused, assert_refused, refused};
pub use ringway::{
    Ringway, Status, forwarding, forwarding_to_unix, new_directory, own_answer, upstream_error,
};

/// The longest that a test waits for anything before it fails. Not a measure of speed: it only
/// bounds a test that would hang.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// `'a' + i % 26` for each of `length` bytes: a body in which a lost or moved piece shows.
pub fn pattern(length: usize) -> Vec<u8> {
    let mut body = b"abcdefghijklmnopqrstuvwxyz".repeat(length / 26 + 1);
    body.truncate(length);
    body
}

/// Asks `ready` again and again until it gives something.
pub fn wait_until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
