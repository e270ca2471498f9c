//! Consumers: holders of keys, and the quotas that all cores count together.
//!
//! A quota is one number: the window that it is about and the requests in it, changed by
//! compare-and-swap, so that the count is exact over all cores. Only requests that show such a
//! key touch it. Windows begin with a round number of the clock, as Otoroshi's do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::auth::{digest, is_same};
use super::map::Entry;
use crate::model::consumer::{Consumer as Declared, Quotas};
use crate::wire::date::civil;

/// Bits of a count; the rest is the number of the window.
const COUNT_BITS: u32 = 40;
/// The most that a count can be.
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
/// Milliseconds of the shortest window.
const THROTTLING_MS: u64 = 10_000;
const DAY_MS: u64 = 86_400_000;

/// The holder of a key.
#[derive(Debug)]
pub struct Consumer {
    id: Box<str>,
    /// Who it is.
    pub name: Box<str>,
    digest: [u8; 32],
    entities: Box<[Box<str>]>,
    enabled: bool,
    read_only: bool,
    id_only: bool,
    valid_until_ms: u64,
    quotas: Quotas,
    counts: Arc<Counts>,
}

/// What has been asked for in the present windows.
#[derive(Debug, Default)]
struct Counts {
    throttling: AtomicU64,
    daily: AtomicU64,
    monthly: AtomicU64,
}

/// Why a key does not open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shut {
    /// It is not known, not right, not valid, or not for this route.
    Unknown,
    /// It is for reading only.
    ReadOnly,
    /// Its quota is used up; a new window begins after this many seconds.
    Quota(u64),
}

impl Consumer {
    /// What `declared` says; the counts of the same key before go on.
    pub(super) fn of(declared: &Declared, before: Option<&Self>) -> Self {
        Self {
            id: declared.id.as_str().into(),
            name: declared.name.as_str().into(),
            digest: digest(b"", declared.secret.as_bytes()),
            entities: declared
                .entities
                .iter()
                .map(|one| one.as_str().into())
                .collect(),
            enabled: declared.enabled,
            read_only: declared.read_only,
            id_only: declared.id_only,
            valid_until_ms: declared.valid_until_ms.unwrap_or(u64::MAX),
            quotas: declared.quotas,
            counts: before.map_or_else(Arc::default, |before| before.counts.clone()),
        }
    }

    /// Whether the key opens for a request of this method to what is known under `names`.
    pub fn opens(
        &self,
        secret: Option<&[u8]>,
        names: &[Box<str>],
        method: &str,
        now_ms: u64,
    ) -> Result<(), Shut> {
        let proves = match secret {
            Some(secret) => is_same(&self.digest, &digest(b"", secret)),
            None => self.id_only,
        };
        let may = self.enabled && now_ms < self.valid_until_ms;
        if !proves || !may || !names.iter().any(|name| self.entities.contains(name)) {
            return Err(Shut::Unknown);
        }
        if self.read_only && !matches!(method, "GET" | "HEAD" | "OPTIONS") {
            return Err(Shut::ReadOnly);
        }
        Ok(())
    }

    /// Counts a request; one that is over a quota is not counted.
    pub fn count(&self, now_ms: u64) -> Result<(), Shut> {
        let (month, month_end_ms) = month_of(now_ms);
        let day = now_ms / DAY_MS;
        let short = now_ms / THROTTLING_MS;
        let Counts {
            throttling,
            daily,
            monthly,
        } = &*self.counts;
        let windows = [
            (
                throttling,
                self.quotas.throttling,
                short,
                (short + 1) * THROTTLING_MS,
            ),
            (daily, self.quotas.daily, day, (day + 1) * DAY_MS),
            (monthly, self.quotas.monthly, month, month_end_ms),
        ];
        for (index, (count, most, window, end_ms)) in windows.iter().enumerate() {
            if take(count, *most, *window) {
                continue;
            }
            for (taken, _, window, _) in windows.iter().take(index) {
                give_back(taken, *window);
            }
            let wait_ms = end_ms.saturating_sub(now_ms);
            return Err(Shut::Quota(wait_ms.div_ceil(1_000).max(1)));
        }
        Ok(())
    }
}

impl Entry for Consumer {
    type Key = str;

    fn key(&self) -> &str {
        &self.id
    }
}

/// Counts one more in this window, unless there are `most` already.
fn take(count: &AtomicU64, most: u64, window: u64) -> bool {
    let most = most.min(COUNT_MAX);
    let next = |known: u64| {
        let (of, used) = (known >> COUNT_BITS, known & COUNT_MAX);
        // A core whose clock is behind counts in the window that the others are in.
        let (of, used) = if of < window { (window, 0) } else { (of, used) };
        (used < most).then(|| of << COUNT_BITS | (used + 1))
    };
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .is_ok()
}

fn give_back(count: &AtomicU64, window: u64) {
    let next = |known: u64| {
        let counts = known >> COUNT_BITS == window && known & COUNT_MAX > 0;
        counts.then(|| known - 1)
    };
    let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
}

/// The number of the month (UTC), and when the next one begins, in milliseconds since 1970.
fn month_of(now_ms: u64) -> (u64, u64) {
    let today = now_ms / DAY_MS;
    let (year, month, day) = civil(today);
    // No month has more days, and none so few that this is in the month after the next.
    let in_next = today - (day - 1) + 31;
    let (_, _, next_day) = civil(in_next);
    (year * 12 + month, (in_next - (next_day - 1)) * DAY_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn consumer(throttling: u64, daily: u64, monthly: u64) -> Consumer {
        let declared = Declared {
            id: "id".to_owned(),
            name: "Ann".to_owned(),
            secret: "s".to_owned(),
            entities: vec!["group_a".to_owned()],
            enabled: true,
            read_only: true,
            id_only: false,
            valid_until_ms: Some(1_000),
            quotas: Quotas {
                throttling,
                daily,
                monthly,
            },
        };
        Consumer::of(&declared, None)
    }

    #[test]
    fn a_key_opens_for_what_it_is_for() {
        let ann = consumer(1, 1, 1);
        let names = |name: &str| [Box::from("route_x"), Box::from(name)];
        let group = names("group_a");
        assert_eq!(ann.opens(Some(b"s"), &group, "GET", 999), Ok(()));
        assert_eq!(ann.opens(Some(b"t"), &group, "GET", 0), Err(Shut::Unknown));
        assert_eq!(ann.opens(None, &group, "GET", 0), Err(Shut::Unknown));
        assert_eq!(
            ann.opens(Some(b"s"), &group, "GET", 1_000),
            Err(Shut::Unknown)
        );
        assert_eq!(ann.opens(Some(b"s"), &group, "PUT", 0), Err(Shut::ReadOnly));
        let other = names("group_b");
        assert_eq!(ann.opens(Some(b"s"), &other, "GET", 0), Err(Shut::Unknown));
    }

    #[test]
    fn the_smallest_quota_holds_and_begins_anew() {
        let ann = consumer(2, 3, 10);
        assert_eq!((ann.count(0), ann.count(1)), (Ok(()), Ok(())));
        assert_eq!(ann.count(2_500), Err(Shut::Quota(8)));
        assert_eq!(ann.count(THROTTLING_MS), Ok(()));
        // What was refused by one quota does not count in the others.
        assert_eq!(ann.count(2 * THROTTLING_MS), Err(Shut::Quota(86_380)));
        assert_eq!(ann.count(DAY_MS), Ok(()));
    }

    #[test]
    fn months_end_where_they_end() {
        // 2024-02-29, 2025-12-31 and 2026-11-21, each with the first of the next month.
        for (now_s, next_s) in [
            (1_709_164_800, 1_709_251_200),
            (1_767_139_200, 1_767_225_600),
            (1_795_219_200, 1_796_083_200),
        ] {
            assert_eq!(month_of(now_s * 1_000).1, next_s * 1_000, "{now_s}");
            assert_ne!(month_of(now_s * 1_000).0, month_of(next_s * 1_000).0);
        }
    }

    proptest! {
        #[test]
        fn a_month_is_the_same_until_its_end(now_ms in 0..4_102_444_800_000u64) {
            let (month, end_ms) = month_of(now_ms);
            prop_assert!(end_ms > now_ms && end_ms - now_ms <= 31 * DAY_MS);
            prop_assert_eq!(month_of(end_ms - 1).0, month);
            prop_assert_eq!(month_of(end_ms).0, month + 1);
        }

        /// In no window more pass than its quota, whatever the order of the requests in time.
        #[test]
        fn no_window_has_more_than_its_quota(
            throttling in 0..5u64, daily in 0..20u64, steps in prop::collection::vec(0..6_000u64, 1..200),
        ) {
            let ann = consumer(throttling, daily, 1_000);
            let (mut now, mut passed) = (0, Vec::new());
            for step in steps {
                now += step;
                if ann.count(now).is_ok() {
                    passed.push(now);
                }
            }
            for moment in &passed {
                let same = |length: u64| passed.iter().filter(|one| *one / length == moment / length).count() as u64;
                prop_assert!(same(THROTTLING_MS) <= throttling);
                prop_assert!(same(DAY_MS) <= daily);
            }
        }
    }
}
