//! Health: whether a server is in or out, as one core judges by the answers it gets.
//!
//! A pure state machine; time comes as ticks. A server goes out after too many failures in a row,
//! or when its share of failures in a window is too large. When its time is over it is on trial:
//! one request at a time, until one goes well. Only its upstream can let it go out, because only
//! that knows how many are out already.

use std::cell::Cell;

/// How many times longer than the first an ejection becomes.
const EJECTIONS_MAX: u32 = 10;

/// By what a server is judged; times in ticks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Rules {
    /// Failures in a row that take it out; 0 is never.
    pub(super) max_fails: u32,
    /// For how long.
    pub(super) fail_ticks: u64,
    pub(super) window: Option<Window>,
}

/// By what share of failures a server is judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    pub(super) error_percent: u32,
    pub(super) min_requests: u32,
    pub(super) ticks: u64,
    pub(super) ejection_ticks: u64,
}

/// How one exchange with a server went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// It answered, and not with a 5xx.
    Well,
    /// It answered with a 5xx that says nothing about the next request.
    Error,
    /// It did not answer, or said that it cannot (502, 503, 504).
    Failure,
}

/// What is known of one server.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Failures in a row.
    fails: Cell<u32>,
    /// It is out before this tick.
    out_until: Cell<u64>,
    /// Whether it has been out and not gone well since.
    on_trial: Cell<bool>,
    /// How often in a row it went out for its share of failures.
    ejections: Cell<u32>,
    requests: Cell<u32>,
    errors: Cell<u32>,
    window_end: Cell<u64>,
}

impl Health {
    /// Whether it gets no request at this tick.
    #[inline]
    pub(super) fn is_out(&self, now: u64) -> bool {
        self.out_until.get() > now
    }

    /// Whether it gets one request at a time.
    #[inline]
    pub(super) fn is_on_trial(&self) -> bool {
        self.on_trial.get()
    }

    /// Notes an outcome; gives the ticks for which the server should go out, if it should.
    #[inline]
    pub(super) fn note(&self, outcome: Outcome, rules: Rules, now: u64) -> Option<u64> {
        let by_share = rules
            .window
            .and_then(|window| self.count(outcome, window, now));
        if outcome != Outcome::Failure {
            self.fails.set(0);
            self.on_trial.set(false);
            return by_share;
        }
        let fails = self.fails.get().saturating_add(1);
        self.fails.set(fails);
        if self.is_out(now) {
            return None;
        }
        let too_many = rules.max_fails > 0 && (fails >= rules.max_fails || self.on_trial.get());
        by_share.or_else(|| too_many.then_some(rules.fail_ticks))
    }

    /// Takes the server out for so many ticks.
    pub(super) fn eject(&self, now: u64, ticks: u64) {
        self.out_until.set(now.saturating_add(ticks.max(1)));
        self.on_trial.set(true);
        self.fails.set(0);
        self.window_end.set(self.out_until.get());
        self.requests.set(0);
        self.errors.set(0);
    }

    /// Failures in a row.
    pub(super) fn fails(&self) -> u32 {
        self.fails.get()
    }

    /// When it comes back.
    pub(super) fn back_at(&self) -> u64 {
        self.out_until.get()
    }

    /// Counts in the window; gives the ticks of an ejection when the share is too large.
    fn count(&self, outcome: Outcome, window: Window, now: u64) -> Option<u64> {
        if now >= self.window_end.get() {
            let since = now - self.window_end.get();
            if since > window.ticks && !self.is_out(now) {
                // A whole window went by without a fault: what was before is forgotten.
                self.ejections.set(self.ejections.get().saturating_sub(1));
            }
            self.window_end.set(now.saturating_add(window.ticks));
            self.requests.set(0);
            self.errors.set(0);
        }
        let requests = self.requests.get().saturating_add(1);
        let failed = u32::from(outcome != Outcome::Well);
        let errors = self.errors.get().saturating_add(failed);
        self.requests.set(requests);
        self.errors.set(errors);
        let share = u64::from(errors) * 100 / u64::from(requests);
        let judged = requests >= window.min_requests && failed == 1 && !self.is_out(now);
        if !judged || share < u64::from(window.error_percent) {
            return None;
        }
        let times = (self.ejections.get() + 1).min(EJECTIONS_MAX);
        self.ejections.set(times);
        Some(window.ejection_ticks.saturating_mul(u64::from(times)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules {
        max_fails: 3,
        fail_ticks: 100,
        window: None,
    };
    const WINDOWED: Rules = Rules {
        max_fails: 0,
        fail_ticks: 0,
        window: Some(Window {
            error_percent: 50,
            min_requests: 10,
            ticks: 200,
            ejection_ticks: 100,
        }),
    };

    /// Notes an outcome and does what it asks for; whether the server went out.
    fn note(health: &Health, outcome: Outcome, rules: Rules, now: u64) -> bool {
        let ticks = health.note(outcome, rules, now);
        ticks.inspect(|ticks| health.eject(now, *ticks)).is_some()
    }

    #[test]
    fn failures_in_a_row_take_it_out_and_one_success_brings_it_back() {
        let health = Health::default();
        for outcome in [
            Outcome::Failure,
            Outcome::Failure,
            Outcome::Well,
            Outcome::Failure,
        ] {
            assert!(!note(&health, outcome, RULES, 1));
        }
        assert!(!note(&health, Outcome::Failure, RULES, 1));
        assert!(note(&health, Outcome::Failure, RULES, 1));
        assert!(health.is_out(100) && !health.is_out(101) && health.is_on_trial());
        // On trial one failure is enough.
        assert!(note(&health, Outcome::Failure, RULES, 101));
        assert!(health.is_out(200));
        assert!(!note(&health, Outcome::Error, RULES, 201));
        assert!(!health.is_on_trial());
        assert!(!note(&health, Outcome::Failure, RULES, 202));
    }

    #[test]
    fn a_share_of_failures_takes_it_out_longer_each_time() {
        let health = Health::default();
        let mut now = 1;
        let mut lengths = Vec::new();
        for _ in 0..3 {
            let mut count = 0;
            while !note(&health, Outcome::Error, WINDOWED, now) {
                count += 1;
                assert!(count < 20);
            }
            lengths.push(health.back_at() - now);
            now = health.back_at();
        }
        assert_eq!(lengths, [100, 200, 300]);
    }

    #[test]
    fn few_requests_say_nothing() {
        let health = Health::default();
        for now in 0..9 {
            assert!(!note(&health, Outcome::Error, WINDOWED, now));
        }
        // The next window begins at nothing.
        assert!(!note(&health, Outcome::Error, WINDOWED, 500));
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop::sample::select(vec![Outcome::Well, Outcome::Error, Outcome::Failure])
    }

    proptest! {
        #[test]
        fn it_never_goes_out_without_cause(
            outcomes in prop::collection::vec((outcome(), 0..50u64), 1..200),
            max_fails in 0..5u32,
        ) {
            let rules = Rules { max_fails, ..RULES };
            let health = Health::default();
            let (mut now, mut in_a_row) = (0, 0);
            for (outcome, step) in outcomes {
                now += step;
                let on_trial = health.is_on_trial();
                let was_out = health.is_out(now);
                in_a_row = if outcome == Outcome::Failure { in_a_row + 1 } else { 0 };
                let out = note(&health, outcome, rules, now);
                if out {
                    prop_assert!(max_fails > 0 && !was_out);
                    prop_assert!(on_trial || in_a_row >= max_fails);
                    prop_assert_eq!(health.back_at(), now + 100);
                    in_a_row = 0;
                } else if outcome == Outcome::Failure && max_fails > 0 && !was_out {
                    prop_assert!(!on_trial && in_a_row < max_fails);
                }
                if outcome != Outcome::Failure {
                    prop_assert!(!health.is_on_trial());
                }
            }
        }

        #[test]
        fn it_is_back_when_its_time_is_over(ticks in 1..1_000u64, now in 0..1_000u64) {
            let health = Health::default();
            health.eject(now, ticks);
            prop_assert!(health.is_out(now + ticks - 1));
            prop_assert!(!health.is_out(now + ticks));
        }
    }
}
