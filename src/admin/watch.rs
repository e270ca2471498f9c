//! Watch: `/watch`, a line of JSON for each epoch as it is made.
//!
//! `?from_epoch=N` gives every epoch after N, so a client that has seen N, in a line or in
//! `X-Ringway-Epoch`, misses nothing. Without it the stream begins with the next epoch.

use std::rc::Rc;
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use super::core::Core;
use super::payload::Payload;
use super::problem::Problem;
use super::request::{self, Answer, Request};

/// Streams at one time.
const WATCHERS_MAX: usize = 64;
/// Lines that may wait for a slow reader; it is then left to its socket's patience.
const WAITING_MAX: usize = 16;
/// After so long without an epoch a line says that there is none, so that both sides know of
/// each other.
const QUIET: Duration = Duration::from_secs(15);

/// Counts a stream while it lasts.
struct Watcher(Rc<Core>);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.watchers.set(self.0.watchers.get() - 1);
    }
}

/// Answers `/watch`.
pub(super) fn answer(core: &Rc<Core>, request: &Request) -> Result<Answer, Problem> {
    let present = core.epoch();
    let from = request.number("from_epoch")?.unwrap_or(present);
    if core.history.borrow().after(from, present).is_none() {
        let first = core
            .history
            .borrow()
            .iter()
            .last()
            .map_or(present + 1, |record| record.epoch);
        let problem = Problem::new(
            410,
            "not every epoch after this one is known; read all anew",
        );
        return Err(problem
            .with("from_epoch", json!(first - 1))
            .with("epoch", json!(present)));
    }
    if core.watchers.get() >= WATCHERS_MAX {
        return Err(Problem::new(503, "too many streams are open"));
    }
    core.watchers.set(core.watchers.get() + 1);
    let (lines, body) = mpsc::channel(WAITING_MAX);
    tokio::task::spawn_local(stream(Watcher(core.clone()), from, lines));
    Ok(request::answer(
        200,
        "application/x-ndjson",
        Payload::Stream(body),
    ))
}

async fn stream(watcher: Watcher, mut seen: u64, lines: mpsc::Sender<Bytes>) {
    let core = &watcher.0;
    let mut newest = core.newest.subscribe();
    loop {
        newest.mark_unchanged();
        loop {
            let next = match core.history.borrow().after(seen, core.epoch()) {
                Some(mut records) => records.next().cloned(),
                // The reader was so slow that the history has passed it: it has to start anew.
                None => return,
            };
            let Some(record) = next else { break };
            seen = record.epoch;
            if lines.send(line(&record.event())).await.is_err() {
                return;
            }
        }
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = lines.closed() => return,
            () = tokio::time::sleep(QUIET) => {
                if lines.send(line(&json!({"epoch": seen, "changes": []}))).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn line(value: &serde_json::Value) -> Bytes {
    format!("{value}\n").into()
}
