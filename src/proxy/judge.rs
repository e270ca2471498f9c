//! Judge: what the outcome of an exchange means for the server and its upstream on this core.
//!
//! It binds the pure machines (`health`, `breaker`, `budget`) to what was declared and to the
//! clock of the core.

use super::breaker;
use super::health::{self, Outcome};
use super::pool::{Pool, Server};
use crate::net::TICK;
use crate::table;

/// By what the servers and the circuit of an upstream are judged.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    /// The rules of the circuit, if there is one.
    pub(super) circuit: Option<breaker::Rules>,
    /// What each request pays in for retries, in hundredths.
    pub(super) budget_percent: u32,
    max_ejection_percent: usize,
}

impl Judgement {
    /// What `declared` says.
    pub(super) fn of(declared: &table::Upstream) -> Self {
        Self {
            circuit: declared.breaker.map(|breaker| breaker::Rules {
                failure_percent: u32::from(breaker.failure_percent),
                min_requests: breaker.min_requests,
                window_ticks: ticks(breaker.window_ms),
                open_ticks: ticks(breaker.open_ms),
                trials: breaker.trial_requests.max(1),
            }),
            budget_percent: u32::from(declared.retry_budget_percent),
            max_ejection_percent: usize::from(declared.max_ejection_percent),
        }
    }
}

/// The rules for one server.
pub(super) fn rules_of(declared: &table::Upstream, server: &table::Server) -> health::Rules {
    health::Rules {
        max_fails: server.max_fails,
        fail_ticks: ticks(u64::from(server.fail_timeout_ms)),
        window: declared.outlier.map(|outlier| health::Window {
            error_percent: u32::from(outlier.error_percent),
            min_requests: outlier.min_requests,
            ticks: ticks(outlier.window_ms),
            ejection_ticks: ticks(outlier.ejection_ms),
        }),
    }
}

fn ticks(ms: u64) -> u64 {
    ms.div_ceil(TICK.as_millis() as u64)
}

impl Pool {
    /// Notes how an exchange with `server` went.
    #[inline]
    pub(super) fn note(&self, server: &Server, outcome: Outcome, now: u64) {
        if let Some(ticks) = server.health.note(outcome, server.rules.get(), now) {
            self.eject(server, ticks, now);
        }
        let circuit = self.judgement.borrow().circuit;
        if let Some(rules) = circuit
            && self.breaker.note(outcome == Outcome::Well, rules, now)
        {
            self.counters.circuits_opened.add(1);
        }
    }

    /// Takes a server out, unless too many are out already.
    #[cold]
    fn eject(&self, server: &Server, ticks: u64, now: u64) {
        {
            let servers = self.servers.borrow();
            let out = servers.iter().filter(|server| server.health.is_out(now));
            let most = servers.len() * self.judgement.borrow().max_ejection_percent / 100;
            if out.count() >= most.max(1) {
                return;
            }
        }
        server.health.eject(now, ticks);
        server.since.set(server.health.back_at());
        self.counters.ejections.add(1);
        self.find_uneven(now);
    }
}
