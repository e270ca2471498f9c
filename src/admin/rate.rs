//! Rate: a bucket of tokens for each address, so that one client cannot take all the time there is.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Addresses that are told apart at one time.
const ADDRESSES_MAX: usize = 4_096;

/// How often each address may do something.
pub(super) struct Rate {
    per_second: f64,
    buckets: HashMap<IpAddr, Bucket>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Rate {
    /// So many times per second, and as many at once.
    pub(super) fn of(per_second: u32) -> Self {
        Self {
            per_second: f64::from(per_second),
            buckets: HashMap::new(),
        }
    }

    /// Takes a token; false if there is none.
    pub(super) fn take(&mut self, address: IpAddr) -> bool {
        self.take_at(address, Instant::now())
    }

    /// Whether there is no token left.
    pub(super) fn is_empty(&self, address: IpAddr) -> bool {
        let bucket = self.buckets.get(&network(address));
        bucket.is_some_and(|bucket| self.filled(bucket, Instant::now()) < 1.0)
    }

    fn take_at(&mut self, address: IpAddr, now: Instant) -> bool {
        let address = network(address);
        if self.buckets.len() >= ADDRESSES_MAX && !self.buckets.contains_key(&address) {
            self.forget(now);
        }
        let tokens = self
            .buckets
            .get(&address)
            .map_or(self.per_second, |b| self.filled(b, now));
        let enough = tokens >= 1.0;
        let tokens = if enough { tokens - 1.0 } else { tokens };
        self.buckets.insert(address, Bucket { tokens, at: now });
        enough
    }

    fn filled(&self, bucket: &Bucket, now: Instant) -> f64 {
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.tokens + since * self.per_second).min(self.per_second)
    }

    /// Forgets the addresses whose buckets are full again; if there are none, everyone.
    fn forget(&mut self, now: Instant) {
        let mut buckets = std::mem::take(&mut self.buckets);
        buckets.retain(|_, bucket| self.filled(bucket, now) < self.per_second);
        if buckets.len() < ADDRESSES_MAX {
            self.buckets = buckets;
        }
    }
}

/// One customer of a provider has a whole /64 of IPv6 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & (!0 << 64);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let mut rate = Rate::of(2);
        let start = Instant::now();
        let [one, other] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
        assert!(rate.take_at(one, start) && rate.take_at(one, start));
        assert!(!rate.take_at(one, start));
        assert!(rate.take_at(other, start));
        assert!(rate.take_at(one, start + Duration::from_millis(500)));
        assert!(!rate.take_at(one, start + Duration::from_millis(500)));
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let mut rate = Rate::of(1);
        let now = Instant::now();
        for number in 0..3 * ADDRESSES_MAX as u32 {
            rate.take_at(IpAddr::from(number.to_be_bytes()), now);
            assert!(rate.buckets.len() <= ADDRESSES_MAX);
        }
    }
}
