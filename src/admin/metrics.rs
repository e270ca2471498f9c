//! Metrics: what the cores count, in the text format of Prometheus.

use std::fmt::Write as _;

use super::core::Core;
use super::request::{self, Answer};

/// Answers `/metrics`.
pub(super) fn answer(core: &Core) -> Answer {
    request::text(200, "text/plain; version=0.0.4", render(core))
}

fn render(core: &Core) -> String {
    let mut text = String::new();
    let state = core.state.borrow();
    for (name, help, value) in [
        ("ringway_epoch", "The newest epoch.", state.epoch()),
        (
            "ringway_routes",
            "Routes in force.",
            state.routes.len() as u64,
        ),
        (
            "ringway_upstreams",
            "Upstreams in force.",
            state.upstreams.len() as u64,
        ),
        (
            "ringway_cache_bytes",
            "Bytes of the output cache, those being filled included.",
            core.cache.bytes(),
        ),
        (
            "ringway_cache_entries",
            "Entries of the output cache.",
            core.cache.entries(),
        ),
    ] {
        let _ = writeln!(
            text,
            "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}"
        );
    }
    let epochs: Vec<u64> = core.publisher.acknowledged().collect();
    let _ = writeln!(
        text,
        "# HELP ringway_core_epoch The epoch that a core works by."
    );
    let _ = writeln!(text, "# TYPE ringway_core_epoch gauge");
    for ((worker, epoch), core) in epochs.iter().enumerate().zip(&core.cores) {
        let _ = writeln!(
            text,
            "ringway_core_epoch{{worker=\"{worker}\",core=\"{core}\"}} {epoch}"
        );
    }
    let Some(first) = core.counters.first() else {
        return text;
    };
    for (index, (name, help)) in first.described().enumerate() {
        let (kind, help, suffix) = match help.strip_prefix("Gauge: ") {
            Some(help) => ("gauge", help, ""),
            None => ("counter", help, "_total"),
        };
        let name = format!("ringway_{name}{suffix}");
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for ((worker, counters), core) in core.counters.iter().enumerate().zip(&core.cores) {
            let value = counters.each().nth(index).map_or(0, |(_, value)| value);
            let _ = writeln!(
                text,
                "{name}{{worker=\"{worker}\",core=\"{core}\"}} {value}"
            );
        }
    }
    text
}
