//! Prove: who asks, by what a request brings along.
//!
//! One reading for both planes: the cores ask it of each request, `explain` of a sample.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Table;
use super::auth::Auth;
use super::condition::Fields;
use super::consumer::Shut;
use super::jwt::{Claims, Jwt, Rejected};
use crate::wire::{base64, pairs};

/// The most bytes of a name and password.
const CREDENTIALS_MAX: usize = 512;
/// The most bytes of the id of a key.
const ID_MAX: usize = 128;

/// What a request brings along.
#[derive(Debug)]
pub struct Evidence<'r, F> {
    /// The method.
    pub method: &'r str,
    /// The fields.
    pub fields: &'r F,
    /// The query without its `?`.
    pub query: &'r [u8],
    /// Whether it counts against quotas: a sample does not.
    pub counts: bool,
}

/// Who asks.
#[derive(Debug, Default)]
pub struct Proof<'t> {
    /// The name; empty for nobody in particular.
    pub consumer: Cow<'t, str>,
    /// What the token says, if that was the proof.
    pub claims: Option<Box<Claims>>,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Denied {
    /// It proves nothing.
    Unproven,
    /// Its token is not accepted.
    Token(Rejected),
    /// It is known, but may not do this.
    Forbidden,
    /// Its quota is used up for this many seconds.
    Quota(u64),
}

impl Denied {
    /// Why, in a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Unproven => "the request does not prove who asks",
            Self::Token(rejected) => rejected.sentence(),
            Self::Forbidden => "this key is for reading only",
            Self::Quota(_) => "the quota of this key is used up",
        }
    }

    /// Whether more was said than nothing.
    fn is_telling(self) -> bool {
        !matches!(self, Self::Unproven | Self::Token(Rejected::Missing))
    }
}

impl Auth {
    /// Who asks, if the request proves it.
    pub fn who<'t, F: Fields>(
        &'t self,
        evidence: &Evidence<'_, F>,
        table: &'t Table,
    ) -> Result<Proof<'t>, Denied> {
        let named = |name: Option<&'t str>| {
            let consumer = Cow::Borrowed(name.ok_or(Denied::Unproven)?);
            Ok(Proof {
                consumer,
                claims: None,
            })
        };
        match self {
            Self::Anonymous | Self::Forward(_) => Ok(Proof::default()),
            Self::Basic { users, .. } => named(basic(evidence.fields, |name, password| {
                Self::user(users, name, password)
            })),
            Self::ApiKey {
                header,
                query,
                groups,
                entities,
            } => {
                let mut owner = None;
                let by_field = evidence.fields.any(header.as_bytes(), &mut |key| {
                    owner = Self::owner(groups, key);
                    true
                });
                if let Some(name) = query.as_deref().filter(|_| !by_field)
                    && let Some(key) = pairs::parameter(evidence.query, name.as_bytes())
                {
                    owner = Self::owner(groups, key);
                }
                match owner {
                    None if !entities.is_empty() => entity(entities, evidence, table),
                    owner => named(owner),
                }
            }
            Self::Jwt {
                ways, verifiers, ..
            } => {
                let ways = ways.iter();
                let verifiers = verifiers
                    .iter()
                    .filter_map(|id| table.directory.verifier(id));
                token(ways.chain(verifiers), evidence, table)
            }
            Self::Chain(links) => {
                let mut denied = Denied::Unproven;
                for link in links {
                    // Who shows a proof that does not hold is not nobody.
                    if matches!(link, Self::Anonymous) && denied.is_telling() {
                        break;
                    }
                    match link.who(evidence, table) {
                        Ok(proof) => return Ok(proof),
                        Err(next) if next.is_telling() || !denied.is_telling() => denied = next,
                        Err(_) => {}
                    }
                }
                Err(denied)
            }
        }
    }
}

/// What `take` makes of the name and password of a request.
fn basic<'t, F: Fields>(
    fields: &F,
    take: impl Fn(&[u8], &[u8]) -> Option<&'t str>,
) -> Option<&'t str> {
    let mut found = None;
    with_credentials(fields, &mut |name, password| found = take(name, password));
    found
}

/// Calls `take` with the name and password (RFC 7617) of a request, if it has any.
fn with_credentials<F: Fields>(fields: &F, take: &mut dyn FnMut(&[u8], &[u8])) {
    fields.any(b"authorization", &mut |value| {
        let Some((scheme, rest)) = value.split_at_checked(6) else {
            return true;
        };
        let mut space = [0; CREDENTIALS_MAX];
        if scheme.eq_ignore_ascii_case(b"basic ")
            && let Some(text) = base64::decode(rest.trim_ascii(), &mut space)
            && let Some(colon) = text.iter().position(|byte| *byte == b':')
        {
            take(&text[..colon], &text[colon + 1..]);
        }
        true
    });
}

/// The claims of the first token that one of `ways` accepts.
fn token<'t, F: Fields>(
    ways: impl Iterator<Item = &'t Jwt>,
    evidence: &Evidence<'_, F>,
    table: &'t Table,
) -> Result<Proof<'t>, Denied> {
    let mut denied = Denied::Token(Rejected::NoKey);
    for way in ways {
        let fetched = |name: &str| table.directory.keys(name);
        match way.verify(evidence.fields, evidence.query, &fetched) {
            Ok(claims) => {
                return Ok(Proof {
                    consumer: Cow::Owned(way.consumer(&claims)),
                    claims: Some(Box::new(claims)),
                });
            }
            Err(rejected) => denied = Denied::Token(rejected),
        }
    }
    Err(denied)
}

/// The holder of the key that a request shows in one of Otoroshi's ways.
fn entity<'t, F: Fields>(
    names: &[Box<str>],
    evidence: &Evidence<'_, F>,
    table: &'t Table,
) -> Result<Proof<'t>, Denied> {
    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
    let mut verdict = Err(Denied::Unproven);
    let mut judge = |id: &[u8], secret: Option<&[u8]>| {
        let id = std::str::from_utf8(id).ok().filter(|id| id.len() <= ID_MAX);
        let Some(consumer) = id.and_then(|id| table.directory.consumer(id)) else {
            return;
        };
        let opened = consumer
            .opens(secret, names, evidence.method, now_ms)
            .and_then(|()| match evidence.counts {
                true => consumer.count(now_ms),
                false => Ok(()),
            });
        verdict = match opened {
            Ok(()) => Ok(Proof {
                consumer: Cow::Borrowed(&*consumer.name),
                claims: None,
            }),
            Err(Shut::Unknown) => Err(Denied::Unproven),
            Err(Shut::ReadOnly) => Err(Denied::Forbidden),
            Err(Shut::Quota(seconds)) => Err(Denied::Quota(seconds)),
        };
    };
    let fields = evidence.fields;
    let by_field = fields.any(b"otoroshi-client-id", &mut |id| {
        let with_secret = fields.any(b"otoroshi-client-secret", &mut |secret| {
            judge(id, Some(secret));
            true
        });
        if !with_secret {
            judge(id, None);
        }
        true
    });
    if !by_field {
        with_credentials(fields, &mut |id, secret| judge(id, Some(secret)));
    }
    verdict
}
