//! Breaker: refuses requests for a while when too many of an upstream's fail.
//!
//! A pure state machine per core and upstream; time comes as ticks. Closed, it counts. Open, it
//! lets nothing through. When its time is over it lets some through on trial: if all go well it
//! closes, if one fails it opens again.

use std::cell::Cell;

/// When it opens, and for how long; times in ticks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Rules {
    pub(super) failure_percent: u32,
    pub(super) min_requests: u32,
    pub(super) window_ticks: u64,
    pub(super) open_ticks: u64,
    pub(super) trials: u32,
}

/// The state of a circuit.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: Cell<State>,
    requests: Cell<u32>,
    failures: Cell<u32>,
    window_end: Cell<u64>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Closed,
    /// Until this tick.
    Open(u64),
    /// So many may still be tried, so many have to go well yet.
    Trial { left: u32, awaited: u32 },
}

impl Breaker {
    /// Whether a request may pass now. If so, exactly one of [`Breaker::note`] and
    /// [`Breaker::give_up`] is to follow.
    pub(super) fn admits(&self, rules: Rules, now: u64) -> bool {
        match self.state.get() {
            State::Closed => true,
            State::Open(until) if now < until => false,
            State::Open(_) => {
                self.state.set(State::Trial {
                    left: rules.trials - 1,
                    awaited: rules.trials,
                });
                true
            }
            State::Trial { left: 0, .. } => false,
            State::Trial { left, awaited } => {
                let left = left - 1;
                self.state.set(State::Trial { left, awaited });
                true
            }
        }
    }

    /// In a word, for `explain`.
    pub(super) fn describe(&self) -> &'static str {
        match self.state.get() {
            State::Closed => "closed",
            State::Open(_) => "open",
            State::Trial { .. } => "trial",
        }
    }

    /// Notes how a request that passed has gone; says whether the circuit has opened for that.
    pub(super) fn note(&self, well: bool, rules: Rules, now: u64) -> bool {
        match self.state.get() {
            State::Closed => self.count(well, rules, now),
            // It passed before the circuit opened.
            State::Open(_) => false,
            State::Trial { .. } if !well => self.open(rules, now),
            State::Trial { awaited: 1, .. } => {
                self.state.set(State::Closed);
                self.begin_window(rules, now);
                false
            }
            State::Trial { left, awaited } => {
                let awaited = awaited.saturating_sub(1);
                self.state.set(State::Trial { left, awaited });
                false
            }
        }
    }

    /// A request that passed ended without saying anything about the upstream.
    pub(super) fn give_up(&self) {
        if let State::Trial { left, awaited } = self.state.get() {
            let left = (left + 1).min(awaited);
            self.state.set(State::Trial { left, awaited });
        }
    }

    fn count(&self, well: bool, rules: Rules, now: u64) -> bool {
        if now >= self.window_end.get() {
            self.begin_window(rules, now);
        }
        self.requests.set(self.requests.get().saturating_add(1));
        let failures = self.failures.get().saturating_add(u32::from(!well));
        self.failures.set(failures);
        let (failures, requests) = (u64::from(failures), u64::from(self.requests.get()));
        let enough = requests >= u64::from(rules.min_requests);
        if !well && enough && failures * 100 >= requests * u64::from(rules.failure_percent) {
            return self.open(rules, now);
        }
        false
    }

    fn open(&self, rules: Rules, now: u64) -> bool {
        self.state.set(State::Open(now + rules.open_ticks.max(1)));
        true
    }

    fn begin_window(&self, rules: Rules, now: u64) {
        self.window_end.set(now + rules.window_ticks);
        self.requests.set(0);
        self.failures.set(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules {
        failure_percent: 50,
        min_requests: 4,
        window_ticks: 100,
        open_ticks: 20,
        trials: 2,
    };

    fn pass(breaker: &Breaker, well: bool, now: u64) {
        assert!(breaker.admits(RULES, now));
        breaker.note(well, RULES, now);
    }

    #[test]
    fn it_opens_tries_and_closes() {
        let breaker = Breaker::default();
        for well in [true, true, false, false] {
            pass(&breaker, well, 1);
        }
        assert!(!breaker.admits(RULES, 1) && !breaker.admits(RULES, 20));
        assert!(breaker.admits(RULES, 21) && breaker.admits(RULES, 21));
        assert!(!breaker.admits(RULES, 21));
        breaker.note(true, RULES, 22);
        assert!(!breaker.admits(RULES, 22));
        breaker.note(true, RULES, 22);
        assert!(breaker.admits(RULES, 22));
    }

    #[test]
    fn one_failure_on_trial_opens_it_again() {
        let breaker = Breaker::default();
        (0..4).for_each(|_| pass(&breaker, false, 1));
        assert!(breaker.admits(RULES, 30) && breaker.note(false, RULES, 31));
        assert!(!breaker.admits(RULES, 50) && breaker.admits(RULES, 51));
    }

    #[test]
    fn a_trial_that_comes_to_nothing_is_given_to_another() {
        let breaker = Breaker::default();
        (0..4).for_each(|_| pass(&breaker, false, 1));
        assert!(breaker.admits(RULES, 30) && breaker.admits(RULES, 30));
        breaker.give_up();
        assert!(breaker.admits(RULES, 30) && !breaker.admits(RULES, 30));
    }

    #[test]
    fn what_is_old_does_not_count() {
        let breaker = Breaker::default();
        (0..3).for_each(|_| pass(&breaker, false, 1));
        pass(&breaker, false, 200);
        assert!(breaker.admits(RULES, 200));
    }

    proptest! {
        /// Whatever happens, it is never stuck: once nothing is in flight and its time is over, a
        /// request passes; and it opens only for failures.
        #[test]
        fn it_is_never_stuck(
            steps in prop::collection::vec((0..4u8, 0..15u64), 1..300),
        ) {
            let breaker = Breaker::default();
            let (mut now, mut in_flight, mut failures) = (0u64, 0u32, 0);
            for (what, step) in steps {
                now += step;
                match what {
                    0 => in_flight += u32::from(breaker.admits(RULES, now)),
                    _ if in_flight == 0 => {}
                    1 | 2 => {
                        in_flight -= 1;
                        failures += usize::from(what == 2);
                        let opened = breaker.note(what == 1, RULES, now);
                        prop_assert!(!opened || what == 2);
                    }
                    _ => {
                        in_flight -= 1;
                        breaker.give_up();
                    }
                }
                prop_assert!(failures > 0 || breaker.state.get() == State::Closed);
                if in_flight == 0 {
                    let state = breaker.state.get();
                    prop_assert!(breaker.admits(RULES, now + RULES.open_ticks), "{:?}", state);
                    breaker.state.set(state);
                }
            }
        }
    }
}
