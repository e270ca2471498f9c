//! Status: what the process is doing, as one log line.

use serde_json::{Map, Value, json};

use super::Control;

impl Control {
    /// The state of each core, gauges and counters.
    pub(super) fn cores(&self) -> Vec<Value> {
        let epochs: Vec<u64> = self.publisher.acknowledged().collect();
        let each = self.counters.iter().zip(&self.cores).zip(epochs);
        each.map(|((counters, core), epoch)| {
            let mut state = Map::new();
            state.insert("core".into(), json!(core));
            state.insert("driver".into(), json!(self.driver));
            state.insert("epoch".into(), json!(epoch));
            state.extend(
                counters
                    .each()
                    .map(|(name, value)| (name.to_owned(), json!(value))),
            );
            Value::Object(state)
        })
        .collect()
    }

    pub(super) fn log_status(&self, message: &str) {
        let line = json!({
            "level": "INFO",
            "message": message,
            "epoch": self.snapshot.epoch,
            "open_files": open_files(),
            "cores": self.cores(),
        });
        // A log event has no nested values; this is the same line with them.
        eprintln!("{line}");
    }
}

/// Descriptors that the process has open.
fn open_files() -> u64 {
    // The folder that is being read is open itself.
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1) as u64)
}
