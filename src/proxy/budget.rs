//! Budget: how many retries an upstream may get beside its requests.
//!
//! Each request pays in a percentage of a retry, each retry takes out a whole one. A small reserve
//! is there from the start and bounds what can be saved up, so that quiet times do not pay for a
//! storm. When the servers are overloaded, retries add no more load than the percentage.

use std::cell::Cell;

/// Retries that may be saved up.
const RESERVE: u32 = 10;
const WHOLE: u32 = 100;

/// The retries that an upstream may get on one core.
#[derive(Debug)]
pub(super) struct Budget {
    /// In hundredths of a retry.
    saved: Cell<u32>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            saved: Cell::new(RESERVE * WHOLE),
        }
    }
}

impl Budget {
    /// A request comes, which pays in so many hundredths of a retry.
    #[inline]
    pub(super) fn pay_in(&self, percent: u32) {
        let saved = self.saved.get().saturating_add(percent);
        self.saved.set(saved.min(RESERVE * WHOLE));
    }

    /// Whether there is a retry left.
    #[inline]
    pub(super) fn has_one(&self) -> bool {
        self.saved.get() >= WHOLE
    }

    /// Takes one retry out; says whether there was one.
    pub(super) fn take_out(&self) -> bool {
        let left = self.saved.get().checked_sub(WHOLE);
        if let Some(left) = left {
            self.saved.set(left);
        }
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn retries_stay_within_their_share(
            percent in 0..=100u32,
            steps in prop::collection::vec(any::<bool>(), 0..2_000),
        ) {
            let budget = Budget::default();
            let (mut requests, mut retries) = (0u32, 0u32);
            for retries_too in steps {
                requests += 1;
                budget.pay_in(percent);
                while retries_too && budget.has_one() {
                    prop_assert!(budget.take_out());
                    retries += 1;
                }
                prop_assert!(retries * 100 <= requests * percent + RESERVE * 100);
            }
        }
    }

    #[test]
    fn a_quiet_time_saves_up_no_storm() {
        let budget = Budget::default();
        (0..1_000_000).for_each(|_| budget.pay_in(20));
        let retries = (0..1_000).filter(|_| budget.take_out()).count();
        assert_eq!(retries, RESERVE as usize);
        (0..5).for_each(|_| budget.pay_in(20));
        assert!(budget.take_out() && !budget.has_one());
    }
}
