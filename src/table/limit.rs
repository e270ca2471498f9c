//! Rate limits: one bucket per policy and key, shared by all cores.
//!
//! The generic cell rate algorithm: a bucket is one number, the moment at which it is full again.
//! Taking a token is a compare-and-swap on it, so the limit is exact over all cores. This is the
//! one place where cores write the same cache line; a request of a route without a limit never
//! comes here. Buckets stand in a table of a fixed size: a key that is new takes the place of one
//! whose bucket is full again, which loses nothing; if there is none among the eight places that
//! it may have, of the one that is nearest to it, which then begins anew. While a place changes
//! hands, each core may count one request for the wrong key: that is the bound of the error.
//!
//! A fixed window is one number too: the moment at which it ends, whose low bits are the count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::model;
use crate::model::policy::{RateAlgorithm, RateHeaders, RateKey};
use crate::wire::hash;

/// The places that a key may have.
const WAYS: usize = 8;
/// The low bits of the end of a window, which count its requests: about a millisecond.
const COUNT: u64 = (1 << 20) - 1;

/// A limit on the requests of a route.
#[derive(Clone, Debug)]
pub struct Limit {
    /// What it was declared as.
    declared: model::policy::RateLimit,
    /// For whom each bucket is.
    pub key: RateKey,
    /// The field of the key, under `header`.
    pub header: Box<str>,
    /// The status of a request that comes too often.
    pub status: u16,
    /// The status of a request without the field of the key; none if it counts as any other.
    pub missing_header_status: Option<u16>,
    /// The body of the answer to a request that comes too often.
    pub message: Option<Box<str>>,
    /// Which fields tell a client how much is left.
    pub headers: RateHeaders,
    /// What they begin with: the line of the limit, and the name of what is left.
    pub line: Box<[u8]>,
    buckets: Arc<Buckets>,
}

/// What a request gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Taken {
    /// Whether it may pass.
    pub passes: bool,
    /// How many more may pass at once.
    pub remaining: u32,
    /// After how many nanoseconds the bucket is full again, or, for one that may not pass, the next
    /// may.
    pub wait_ns: u64,
}

#[derive(Debug)]
struct Buckets {
    places: Box<[Place]>,
    /// Nanoseconds that a token takes to come back.
    interval_ns: u64,
    /// Nanoseconds that an empty bucket takes to be full.
    fill_ns: u64,
    /// What a window takes; none for a bucket.
    window: Option<Window>,
    begun: Instant,
}

/// A fixed window.
#[derive(Clone, Copy, Debug)]
struct Window {
    limit: u64,
    period_ns: u64,
    /// How long one who asks too often waits; 0 for the rest of the window.
    wait_ns: u64,
}

#[derive(Debug, Default)]
struct Place {
    /// The hash of the key; 0 for none.
    key: AtomicU64,
    /// When the bucket is full again, in nanoseconds from `begun`.
    full_at: AtomicU64,
}

impl Limit {
    /// What `declared` says; buckets of the same limit before go on.
    pub(super) fn of(declared: &model::policy::RateLimit, before: Option<&Self>) -> Self {
        let kept = before.filter(|before| before.declared == *declared);
        let burst = match declared.algorithm {
            RateAlgorithm::TokenBucket => declared.burst_size,
            RateAlgorithm::FixedWindow => declared.requests_per_second,
        };
        let prefix = match declared.headers {
            RateHeaders::XRateLimit => "X-",
            RateHeaders::RateLimit | RateHeaders::None => "",
        };
        let line = format!("{prefix}RateLimit-Limit: {burst}\r\n{prefix}RateLimit-Remaining: ");
        Self {
            declared: declared.clone(),
            key: declared.key,
            header: declared.header.as_deref().unwrap_or_default().into(),
            status: declared.status,
            missing_header_status: declared.missing_header_status,
            message: declared.message.as_deref().map(Into::into),
            headers: declared.headers,
            line: line.into_bytes().into(),
            buckets: kept.map_or_else(
                || Arc::new(Buckets::of(declared)),
                |kept| kept.buckets.clone(),
            ),
        }
    }

    /// Takes a token for the key with this hash; it is `now`.
    pub fn take(&self, key: u64, now: Instant) -> Taken {
        let now = now.saturating_duration_since(self.buckets.begun).as_nanos();
        self.buckets
            .take(key, u64::try_from(now).unwrap_or(u64::MAX))
    }

    /// Whether requests with this value of the field are not counted.
    pub fn exempts(&self, value: &[u8]) -> bool {
        let mut exempt = self.declared.exempt.iter();
        exempt.any(|known| known.as_bytes() == value)
    }

    /// In words, for `explain`.
    pub fn describe(&self) -> String {
        let for_whom = match self.key {
            RateKey::Consumer => "each consumer",
            RateKey::Ip => "each address",
            RateKey::Header => "each value of a field",
            RateKey::Route => "all together",
        };
        let (rate, period) = (self.declared.requests_per_second, self.declared.period_ms);
        if self.declared.algorithm == RateAlgorithm::FixedWindow {
            return format!("{rate} requests in each {period} ms, for {for_whom}");
        }
        format!(
            "{rate} requests per {period} ms, {} at once, for {for_whom}",
            self.declared.burst_size
        )
    }
}

impl Buckets {
    fn of(declared: &model::policy::RateLimit) -> Self {
        let rate = u64::from(declared.requests_per_second.max(1));
        let interval_ns = (declared.period_ms.saturating_mul(1_000_000) / rate).max(1);
        let keys = if declared.key == RateKey::Route {
            1
        } else {
            declared.max_keys.max(1) as usize
        };
        let places = keys.next_power_of_two().max(WAYS);
        Self {
            places: (0..places).map(|_| Place::default()).collect(),
            interval_ns,
            fill_ns: interval_ns.saturating_mul(u64::from(declared.burst_size.max(1))),
            window: (declared.algorithm == RateAlgorithm::FixedWindow).then(|| Window {
                limit: rate.min(COUNT - 1),
                period_ns: declared.period_ms.saturating_mul(1_000_000),
                wait_ns: declared.wait_ms.unwrap_or(0).saturating_mul(1_000_000),
            }),
            begun: Instant::now(),
        }
    }

    fn take(&self, key: u64, now: u64) -> Taken {
        let key = hash::mix(key).max(1);
        let place = self.place(key, now);
        if let Some(window) = self.window {
            return window.take(&place.full_at, now);
        }
        let mut full_at = place.full_at.load(Ordering::Relaxed);
        loop {
            let next = full_at.max(now).saturating_add(self.interval_ns);
            let used = next - now;
            if used > self.fill_ns {
                return Taken {
                    passes: false,
                    remaining: 0,
                    wait_ns: used - self.fill_ns,
                };
            }
            let swapped = place.full_at.compare_exchange_weak(
                full_at,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => {
                    let remaining = (self.fill_ns - used) / self.interval_ns;
                    return Taken {
                        passes: true,
                        remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
                        wait_ns: used,
                    };
                }
                Err(other) => full_at = other,
            }
        }
    }

    /// The place of a key: the one that it has, or one that it takes.
    ///
    /// The place to take is chosen from what was read in looking for the key: as long as one is
    /// free, all cores that look for a new key then want the same one, and one of them gets it.
    fn place(&self, key: u64, now: u64) -> &Place {
        // There are a power of two of them, and WAYS divides that.
        let first = (key as usize & (self.places.len() - 1)) / WAYS * WAYS;
        let ways = &self.places[first..first + WAYS];
        loop {
            let mut nearest = (u64::MAX, &ways[0], 0);
            for place in ways {
                let holder = place.key.load(Ordering::Acquire);
                if holder == key {
                    return place;
                }
                let full_at = match holder {
                    0 => 0,
                    _ => place.full_at.load(Ordering::Relaxed).max(1),
                };
                if full_at < nearest.0 {
                    nearest = (full_at, place, holder);
                }
            }
            let (full_at, place, holder) = nearest;
            let taken =
                place
                    .key
                    .compare_exchange(holder, key, Ordering::AcqRel, Ordering::Acquire);
            if taken.is_ok() {
                place.forgive(full_at.saturating_sub(now));
                return place;
            }
        }
    }
}

impl Place {
    /// Lets the new holder off what the old one owed. What other cores have taken for the new one
    /// meanwhile stays taken.
    fn forgive(&self, debt_ns: u64) {
        if debt_ns == 0 {
            return;
        }
        let forgiven = |full_at: u64| Some(full_at.saturating_sub(debt_ns));
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        let _ = self.full_at.fetch_update(set, get, forgiven);
    }
}

impl Window {
    /// Counts a request. The first one too many begins the wait.
    fn take(self, state: &AtomicU64, now: u64) -> Taken {
        let mut old = state.load(Ordering::Relaxed);
        loop {
            let ends = |wait: u64| now.saturating_add(wait).saturating_add(COUNT) & !COUNT;
            let (end, count) = (old & !COUNT, old & COUNT);
            let (end, count) = match count {
                _ if end <= now => (ends(self.period_ns), 1),
                // Refused before, within the wait.
                count if count > self.limit => (end, count),
                count if count == self.limit && self.wait_ns > 0 => (ends(self.wait_ns), count + 1),
                count => (end, count + 1),
            };
            let next = end | count;
            let swapped =
                state.compare_exchange_weak(old, next, Ordering::Relaxed, Ordering::Relaxed);
            match swapped {
                Ok(_) => {
                    let remaining = self.limit.saturating_sub(count);
                    return Taken {
                        passes: count <= self.limit,
                        remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
                        wait_ns: end.saturating_sub(now),
                    };
                }
                Err(other) => old = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(rate: u32, burst: u32, keys: u32) -> Limit {
        let declared = model::policy::RateLimit {
            requests_per_second: rate,
            burst_size: burst,
            max_keys: keys,
            ..model::policy::RateLimit::default()
        };
        Limit::of(&declared, None)
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_then_the_rate() {
        let limit = limit(10, 5, 100);
        let at = |now| limit.buckets.take(7, now);
        for remaining in (0..5).rev() {
            let taken = at(0);
            assert_eq!((taken.passes, taken.remaining), (true, remaining));
        }
        let refused = at(0);
        assert_eq!((refused.passes, refused.wait_ns), (false, SECOND / 10));
        assert!(!at(SECOND / 10 - 1).passes);
        assert!(at(SECOND / 10).passes && !at(SECOND / 10).passes);
        assert_eq!(at(10 * SECOND).remaining, 4);
    }

    #[test]
    fn keys_do_not_share() {
        let limit = limit(1, 1, 1_024);
        // Fewer keys than places: each has its own, unless more than eight fall together.
        let passed = (0..100)
            .filter(|key| limit.buckets.take(*key, 5).passes)
            .count();
        assert_eq!(passed, 100);
        let again = (0..100)
            .filter(|key| limit.buckets.take(*key, 5).passes)
            .count();
        assert_eq!(again, 0);
    }

    #[test]
    fn a_key_that_is_at_rest_gives_its_place_away_for_nothing() {
        let limit = limit(1, 1, 1);
        for key in 0..10_000u64 {
            assert!(limit.buckets.take(key, key * SECOND).passes);
        }
        assert_eq!(limit.buckets.places.len(), WAYS);
    }

    /// The sum over four threads that begin at once, each taking `each` tokens for `key`.
    fn passed_over_threads(limit: &Limit, key: u64, each: usize) -> usize {
        let begin = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            let take = || {
                begin.wait();
                let takes = (0..each).map(|_| limit.buckets.take(key, 9));
                takes.filter(|taken| taken.passes).count()
            };
            let threads = [(); 4].map(|()| scope.spawn(take));
            threads
                .map(|thread| thread.join().unwrap())
                .iter()
                .sum::<usize>()
        })
    }

    #[test]
    fn it_is_exact_over_threads() {
        let limit = limit(1_000, 5_000, 64);
        assert_eq!(passed_over_threads(&limit, 3, 4_000), 5_000);
    }

    #[test]
    fn a_new_key_is_exact_over_threads() {
        for key in 0..500 {
            let limit = limit(1_000, 50, 8);
            assert_eq!(passed_over_threads(&limit, key, 40), 50, "key {key}");
        }
    }

    #[test]
    fn a_key_that_takes_the_place_of_another_owes_nothing() {
        let limit = limit(1, 3, 8);
        for key in 0..8 {
            assert_eq!(limit.buckets.take(key, 0).remaining, 2);
        }
        for key in 8..100 {
            assert_eq!(limit.buckets.take(key, 1).remaining, 2, "key {key}");
        }
    }

    #[test]
    fn the_same_limit_goes_on_counting() {
        let first = limit(1, 1, 8);
        assert!(first.take(1, Instant::now()).passes);
        assert!(
            !Limit::of(&first.declared, Some(&first))
                .take(1, Instant::now())
                .passes
        );
        let other = model::policy::RateLimit {
            burst_size: 2,
            ..first.declared.clone()
        };
        assert!(
            Limit::of(&other, Some(&first))
                .take(1, Instant::now())
                .passes
        );
    }

    fn window(limit: u32, period_ms: u64, wait_ms: Option<u64>) -> Limit {
        let declared = model::policy::RateLimit {
            algorithm: RateAlgorithm::FixedWindow,
            requests_per_second: limit,
            period_ms,
            wait_ms,
            ..model::policy::RateLimit::default()
        };
        Limit::of(&declared, None)
    }

    #[test]
    fn a_window_counts_and_begins_anew() {
        let limit = window(3, 1_000, None);
        let at = |now| limit.buckets.take(7, now);
        let begun: Vec<_> = (0..5).map(|_| at(10 * SECOND)).collect();
        let passes: Vec<bool> = begun.iter().map(|taken| taken.passes).collect();
        assert_eq!(passes, [true, true, true, false, false]);
        assert_eq!(begun[0].remaining, 2);
        assert!(begun[4].wait_ns >= SECOND && begun[4].wait_ns < SECOND + 2 * COUNT);
        assert!(!at(11 * SECOND - 1).passes);
        assert!(at(11 * SECOND + 2 * COUNT).passes);
    }

    #[test]
    fn whoever_asks_too_often_waits_as_long_as_is_said() {
        let limit = window(1, 1_000, Some(5_000));
        let at = |now| limit.buckets.take(7, now).passes;
        assert!(at(0) && !at(SECOND / 2));
        assert!(
            !at(2 * SECOND) && !at(5 * SECOND),
            "the window is over, the wait is not"
        );
        assert!(at(6 * SECOND));
    }

    proptest! {
        /// In any stretch of time no more pass than the burst and what the rate gives meanwhile,
        /// and no fewer than a token bucket of whole numbers lets through.
        #[test]
        fn it_is_a_token_bucket(
            rate in 1..1_000u32,
            burst in 1..50u32,
            steps in prop::collection::vec(0..50_000_000u64, 1..300),
        ) {
            let limit = limit(rate, burst, 8);
            let interval = limit.buckets.interval_ns;
            let (mut now, mut passed) = (0u64, 0u64);
            let mut tokens_ns = interval * u64::from(burst);
            for step in steps {
                now += step;
                tokens_ns = (tokens_ns + step).min(interval * u64::from(burst));
                let expected = tokens_ns >= interval;
                if expected {
                    tokens_ns -= interval;
                }
                let taken = limit.buckets.take(1, now);
                prop_assert_eq!(taken.passes, expected);
                passed += u64::from(taken.passes);
                prop_assert!(passed <= u64::from(burst) + now / interval);
            }
        }
    }
}
