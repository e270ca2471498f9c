//! Status: what the process is doing, as an answer and as one log line.

use serde_json::{Map, Value, json};

use super::clock::{now_ms, started_ms};
use super::core::Core;
use super::request::{self, Answer};

/// Answers `/status`.
pub(super) fn answer(core: &Core) -> Answer {
    let state = core.state.borrow();
    let mut body = json!({
        "status": if core.stopping.get() { "stopping" } else { "ok" },
        "routes": state.routes.len(),
        "upstreams": state.upstreams.len(),
        "port": core.listening.first().map(|address| address.port()),
        "workers": core.cores.len(),
        "driver": core.driver,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_ms": now_ms().saturating_sub(started_ms()),
        "epoch": state.epoch(),
        "in_force": core.in_force.is(state.epoch()),
        "pending_structural_changes": state.pending,
    });
    if let Some(error) = &state.last_reload_error {
        body["last_reload_error"] = json!(error);
    }
    request::json(200, &body)
}

/// Answers `/cores`.
pub(super) fn cores_answer(core: &Core) -> Answer {
    request::json(200, &json!({"epoch": core.epoch(), "cores": cores(core)}))
}

/// The state of each core, gauges and counters.
pub(super) fn cores(core: &Core) -> Vec<Value> {
    let newest = core.epoch();
    let epochs = core.publisher.acknowledged();
    let each = core.counters.iter().zip(&core.cores).zip(epochs);
    each.map(|((counters, number), epoch)| {
        let mut state = Map::new();
        state.insert("core".into(), json!(number));
        state.insert("driver".into(), json!(core.driver));
        state.insert("epoch".into(), json!(epoch));
        state.insert("lag".into(), json!(newest.saturating_sub(epoch)));
        state.extend(
            counters
                .each()
                .map(|(name, value)| (name.to_owned(), json!(value))),
        );
        Value::Object(state)
    })
    .collect()
}

/// Writes the status as a log line.
pub(super) fn log(core: &Core, message: &str) {
    let line = json!({
        "level": "INFO",
        "message": message,
        "epoch": core.epoch(),
        "open_files": open_files(),
        "cores": cores(core),
    });
    // A log event has no nested values; this is the same line with them.
    eprintln!("{line}");
}

/// Descriptors that the process has open.
fn open_files() -> u64 {
    // The folder that is being read is open itself.
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1) as u64)
}
