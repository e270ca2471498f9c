//! The one total order of routes, as one number.
//!
//! When several routes match a request, the one with the greatest [`Order`] wins. The criteria,
//! first to last: the higher `rank`; an exact host, then the longer wildcard, then none; an exact
//! path; more literal segments; more literal bytes (slashes included); a template, then a template
//! that ends in `{rest*}`, then a prefix, then a regular expression; more conditions (the method
//! list counts as one); the older route. A regular expression counts as having no literal text: it
//! needs a rank to be preferred to the other kinds.

use std::fmt;

/// The longest path of a route, in bytes.
pub const PATH_BYTES_MAX: usize = 8_191;

/// The most segments in the path of a route.
pub const SEGMENTS_MAX: usize = 128;

/// The greatest age number of a route.
pub const AGE_MAX: u64 = (1 << AGE_BITS) - 1;

/// Where a route stands among all routes; the greater one wins.
///
/// Two routes of one table never have the same age, so they never have the same order.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub struct Order(u128);

/// What an order is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Criteria {
    /// The rank that the route declares.
    pub(super) rank: i32,
    /// How specific the host is: 0 for any, 255 for exact, else the length of the wildcard.
    pub(super) host: u8,
    /// Whether the path is one literal path.
    pub(super) exact: bool,
    /// Literal segments that are not empty, at most [`SEGMENTS_MAX`].
    pub(super) segments: usize,
    /// Literal bytes, at most [`PATH_BYTES_MAX`].
    pub(super) text: usize,
    /// How the path matches: 3 for a template down to 0 for a regular expression.
    pub(super) kind: u8,
    /// Conditions on method, fields and query.
    pub(super) conditions: usize,
    /// The age; smaller is older. At most [`AGE_MAX`].
    pub(super) age: u64,
}

/// What decided between two routes that both match.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Criterion {
    /// The route is older.
    Age,
    /// More conditions on method, fields and query.
    Conditions,
    /// One literal path rather than many.
    ExactPath,
    /// A more specific host.
    Host,
    /// More literal bytes in the path.
    LiteralBytes,
    /// More literal segments in the path.
    LiteralSegments,
    /// A template before a prefix before a regular expression.
    PathKind,
    /// A higher rank.
    Rank,
}

const AGE_BITS: u32 = 57;
const CONDITIONS_BITS: u32 = 7;
const KIND_BITS: u32 = 2;
const TEXT_BITS: u32 = 13;
const SEGMENTS_BITS: u32 = 8;
const EXACT_BITS: u32 = 1;
const HOST_BITS: u32 = 8;
const RANK_BITS: u32 = 32;

/// The fields of an order, least significant first.
const LAYOUT: [(Criterion, u32); 8] = [
    (Criterion::Age, AGE_BITS),
    (Criterion::Conditions, CONDITIONS_BITS),
    (Criterion::PathKind, KIND_BITS),
    (Criterion::LiteralBytes, TEXT_BITS),
    (Criterion::LiteralSegments, SEGMENTS_BITS),
    (Criterion::ExactPath, EXACT_BITS),
    (Criterion::Host, HOST_BITS),
    (Criterion::Rank, RANK_BITS),
];

// === impl Order ===

impl Order {
    /// Packs the criteria; numbers beyond their limit count as the limit.
    pub(super) fn new(criteria: &Criteria) -> Self {
        let mut order = u128::from(criteria.rank.cast_unsigned() ^ 1 << 31);
        let mut push = |value: u64, bits: u32| {
            order = order << bits | u128::from(value.min((1 << bits) - 1));
        };
        push(u64::from(criteria.host), HOST_BITS);
        push(u64::from(criteria.exact), EXACT_BITS);
        push(criteria.segments as u64, SEGMENTS_BITS);
        push(criteria.text as u64, TEXT_BITS);
        push(u64::from(criteria.kind), KIND_BITS);
        push(criteria.conditions as u64, CONDITIONS_BITS);
        push(AGE_MAX - criteria.age.min(AGE_MAX), AGE_BITS);
        Self(order)
    }

    /// The rank that the route declares.
    #[inline]
    pub fn rank(self) -> i32 {
        ((self.0 >> (128 - RANK_BITS)) as u32 ^ 1 << 31).cast_signed()
    }

    /// The age of the route; smaller is older.
    pub fn age(self) -> u64 {
        AGE_MAX - (self.0 as u64 & AGE_MAX)
    }

    /// Whether the path of the route is one literal path.
    #[inline]
    pub(super) fn is_exact(self) -> bool {
        self.0 >> (128 - RANK_BITS - HOST_BITS - EXACT_BITS) & 1 == 1
    }

    /// The first criterion by which the two differ.
    pub(super) fn deciding(self, other: Self) -> Criterion {
        let mut above = (self.0 ^ other.0) >> AGE_BITS;
        let mut deciding = Criterion::Age;
        for (criterion, bits) in &LAYOUT[1..] {
            if above == 0 {
                break;
            }
            deciding = *criterion;
            above >>= bits;
        }
        deciding
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Order({:#034x})", self.0)
    }
}

// === impl Criterion ===

impl fmt::Display for Criterion {
    /// What the winner has, as the end of a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Age => "is older",
            Self::Conditions => "has more conditions on method, fields and query",
            Self::ExactPath => "names exactly this path",
            Self::Host => "has the more specific host",
            Self::LiteralBytes => "has the longer literal path",
            Self::LiteralSegments => "has more literal path segments",
            Self::PathKind => "is preferred by kind (template, then prefix, then regex)",
            Self::Rank => "has the higher rank",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Criteria = Criteria {
        rank: 0,
        host: 9,
        exact: false,
        segments: 2,
        text: 8,
        kind: 1,
        conditions: 1,
        age: 5,
    };

    #[test]
    fn each_criterion_outweighs_all_that_follow() {
        let better = [
            (Criterion::Age, Criteria { age: 4, ..PLAIN }),
            (
                Criterion::Conditions,
                Criteria {
                    conditions: 2,
                    age: AGE_MAX,
                    ..PLAIN
                },
            ),
            (
                Criterion::PathKind,
                Criteria {
                    kind: 2,
                    conditions: 0,
                    ..PLAIN
                },
            ),
            (
                Criterion::LiteralBytes,
                Criteria {
                    text: 9,
                    kind: 0,
                    ..PLAIN
                },
            ),
            (
                Criterion::LiteralSegments,
                Criteria {
                    segments: 3,
                    text: 0,
                    ..PLAIN
                },
            ),
            (
                Criterion::ExactPath,
                Criteria {
                    exact: true,
                    segments: 0,
                    ..PLAIN
                },
            ),
            (
                Criterion::Host,
                Criteria {
                    host: 10,
                    text: 0,
                    ..PLAIN
                },
            ),
            (
                Criterion::Rank,
                Criteria {
                    rank: 1,
                    host: 0,
                    ..PLAIN
                },
            ),
        ];
        let plain = Order::new(&PLAIN);
        for (criterion, criteria) in better {
            let order = Order::new(&criteria);
            assert!(order > plain, "{criterion:?}");
            assert_eq!(order.deciding(plain), criterion);
            assert_eq!(plain.deciding(order), criterion);
        }
    }

    #[test]
    fn rank_age_and_exactness_read_back() {
        for rank in [i32::MIN, -1, 0, 1, i32::MAX] {
            let order = Order::new(&Criteria {
                rank,
                exact: true,
                age: 77,
                ..PLAIN
            });
            assert_eq!(
                (order.rank(), order.age(), order.is_exact()),
                (rank, 77, true)
            );
        }
        assert!(!Order::new(&PLAIN).is_exact());
        let bits = LAYOUT.iter().map(|(_, bits)| bits).sum::<u32>();
        assert_eq!(bits, 128);
    }
}
