//! Who may come in, as a core checks it: by a digest of what a client sends.
//!
//! Only digests are kept. A SHA-256 takes a fraction of a microsecond, so it is checked on the core
//! for each request; that is right for secrets made by a machine and wrong for those that people
//! remember, which the reference says.

use sha2::{Digest, Sha256};

use super::error::CompileError;
use super::jwt::Jwt;
use super::upstream::UpstreamId;
use crate::model;
use crate::model::policy::{AuthKind, Credential};

/// Who may come in.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Whoever proves nothing.
    Anonymous,
    /// By name and password (RFC 7617).
    Basic {
        /// The line that asks for it.
        challenge: Box<[u8]>,
        /// Sorted by name.
        users: Box<[Known]>,
    },
    /// By a key.
    ApiKey {
        /// The field with the key.
        header: Box<str>,
        /// The query parameter with the key.
        query: Option<Box<str>>,
        /// By salt, so that a key is digested once for all that share it.
        groups: Box<[Group]>,
        /// What Apikey entities must be authorised for; none if they do not count.
        entities: Box<[Box<str>]>,
    },
    /// By the first proof that holds.
    Chain(Box<[Self]>),
    /// By another service's word.
    Forward(Box<ForwardAuth>),
    /// By a signed token.
    Jwt {
        /// The line that asks for it.
        challenge: Box<[u8]>,
        /// What it must be; none if only verifiers say.
        ways: Box<[Jwt]>,
        /// Verifiers of the table, by name.
        verifiers: Box<[Box<str>]>,
    },
}

/// Another service that is asked before each request.
#[derive(Clone, Debug)]
pub struct ForwardAuth {
    /// Who is asked.
    pub upstream: UpstreamId,
    /// The path, with its query.
    pub path: Box<str>,
    /// How long its answer may take, in milliseconds.
    pub timeout_ms: u32,
    /// The fields of the request that it sees, in lower case.
    pub sees: Box<[Box<str>]>,
    /// The fields of its answer that go on to the server, in lower case.
    pub adds: Box<[Box<str>]>,
    /// Whether a request goes on when no answer can be had.
    pub allow_on_failure: bool,
}

/// What a service sees of a request where nothing else is said.
const SEEN: [&str; 2] = ["authorization", "cookie"];

/// Somebody who may come in.
#[derive(Clone, Debug)]
pub struct Known {
    name: Box<str>,
    salt: Box<[u8]>,
    digest: [u8; 32],
}

/// Keys with one salt, sorted by digest.
#[derive(Clone, Debug)]
pub struct Group {
    salt: Box<[u8]>,
    known: Box<[Known]>,
}

impl Auth {
    /// Compiles what the route `id` says; `upstream` tells the number of an upstream's name.
    pub(super) fn of(
        id: &str,
        declared: &model::policy::Auth,
        upstream: &dyn Fn(&str) -> Option<UpstreamId>,
    ) -> Result<Self, CompileError> {
        Ok(match declared.kind {
            AuthKind::Anonymous => Self::Anonymous,
            AuthKind::Chain => {
                let links = declared.any.iter();
                Self::Chain(
                    links
                        .map(|link| Self::of(id, link, upstream))
                        .collect::<Result<_, _>>()?,
                )
            }
            AuthKind::ForwardAuth => {
                let forward = declared.forward.as_deref();
                let forward = forward.ok_or_else(|| CompileError::Auth { route: id.into() })?;
                Self::Forward(Box::new(ForwardAuth::of(id, forward, upstream)?))
            }
            AuthKind::Jwt => {
                let jwt = declared.jwt.as_deref();
                let jwt = jwt.ok_or_else(|| CompileError::Auth { route: id.into() })?;
                let only_verifiers = !jwt.verifiers.is_empty();
                let challenge =
                    format!("WWW-Authenticate: Bearer realm=\"{}\"\r\n", declared.realm);
                Self::Jwt {
                    challenge: challenge.into_bytes().into(),
                    ways: match only_verifiers {
                        true => Box::default(),
                        false => [Jwt::of(id, jwt)?].into(),
                    },
                    verifiers: jwt
                        .verifiers
                        .iter()
                        .map(|name| name.as_str().into())
                        .collect(),
                }
            }
            AuthKind::Basic => {
                let mut users: Vec<Known> = declared.users.iter().filter_map(Known::of).collect();
                users.sort_unstable_by(|one, other| one.name.cmp(&other.name));
                let realm = &declared.realm;
                let challenge =
                    format!("WWW-Authenticate: Basic realm=\"{realm}\", charset=\"UTF-8\"\r\n");
                Self::Basic {
                    challenge: challenge.into_bytes().into(),
                    users: users.into(),
                }
            }
            AuthKind::ApiKey => Self::ApiKey {
                header: declared.header.as_str().into(),
                query: declared.query.as_deref().map(Into::into),
                groups: groups(declared.keys.iter().filter_map(Known::of).collect()),
                entities: declared
                    .entities
                    .iter()
                    .map(|name| name.as_str().into())
                    .collect(),
            },
        })
    }

    /// The lines that say what would be a proof.
    pub fn put_challenge(&self, out: &mut Vec<u8>) {
        match self {
            Self::Basic { challenge, .. } | Self::Jwt { challenge, .. } => {
                out.extend_from_slice(challenge);
            }
            Self::Chain(links) => links.iter().for_each(|link| link.put_challenge(out)),
            Self::Anonymous | Self::ApiKey { .. } | Self::Forward(_) => {}
        }
    }

    /// The service that is asked, if one is.
    pub fn asks(&self) -> Option<&ForwardAuth> {
        match self {
            Self::Forward(forward) => Some(forward),
            _ => None,
        }
    }

    /// The files and URLs that keys come from.
    pub(super) fn sources(&self) -> Vec<&str> {
        match self {
            Self::Jwt { ways, .. } => ways.iter().filter_map(Jwt::source).collect(),
            Self::Chain(links) => links.iter().flat_map(Self::sources).collect(),
            _ => Vec::new(),
        }
    }

    /// Whose name and password these are, both before they were joined by a colon.
    pub fn user<'a>(users: &'a [Known], name: &[u8], password: &[u8]) -> Option<&'a str> {
        let found = users.binary_search_by(|known| known.name.as_bytes().cmp(name));
        // An unknown name takes as long as a wrong password.
        let known = found.ok().and_then(|index| users.get(index));
        let salt = known.map_or(&[][..], |known| &known.salt);
        let digest = digest(salt, password);
        known
            .filter(|known| is_same(&known.digest, &digest))
            .map(|known| &*known.name)
    }

    /// Whose key this is.
    pub fn owner<'a>(groups: &'a [Group], key: &[u8]) -> Option<&'a str> {
        groups.iter().find_map(|group| {
            let digest = digest(&group.salt, key);
            let found = group
                .known
                .binary_search_by(|known| known.digest.cmp(&digest));
            let known = found.ok().and_then(|index| group.known.get(index))?;
            Some(&*known.name)
        })
    }

    /// In words, for `explain`.
    pub fn describe(&self) -> String {
        match self {
            Self::Basic { users, .. } => format!("basic, {} users", users.len()),
            Self::Anonymous => "nobody in particular".to_owned(),
            Self::Chain(links) => {
                let each: Vec<String> = links.iter().map(Self::describe).collect();
                format!("one of: {}", each.join("; "))
            }
            Self::Forward(forward) => format!("{} of another service is asked", forward.path),
            Self::Jwt {
                ways, verifiers, ..
            } => {
                let ways = ways.iter().map(Jwt::describe);
                let named = verifiers
                    .iter()
                    .map(|name| format!("a token that {name} accepts"));
                ways.chain(named).collect::<Vec<_>>().join(" or ")
            }
            Self::ApiKey {
                header, entities, ..
            } if !entities.is_empty() => {
                format!(
                    "a key in {header}, or an Apikey for {}",
                    entities.join(" or ")
                )
            }
            Self::ApiKey { header, groups, .. } => {
                let count: usize = groups.iter().map(|group| group.known.len()).sum();
                format!("a key in the field {header}, {count} keys")
            }
        }
    }
}

impl ForwardAuth {
    fn of(
        id: &str,
        declared: &model::policy::ForwardAuth,
        upstream: &dyn Fn(&str) -> Option<UpstreamId>,
    ) -> Result<Self, CompileError> {
        let found = upstream(&declared.upstream);
        let lower = |name: &String| name.to_ascii_lowercase().into();
        let mut sees: Box<[Box<str>]> = declared.request_headers.iter().map(lower).collect();
        if sees.is_empty() {
            sees = SEEN.map(Into::into).into();
        }
        Ok(Self {
            upstream: found.ok_or_else(|| CompileError::UnknownUpstream {
                route: id.into(),
                upstream: declared.upstream.clone(),
            })?,
            path: declared.path.as_str().into(),
            timeout_ms: u32::try_from(declared.timeout_ms).unwrap_or(u32::MAX),
            sees,
            adds: declared.response_headers.iter().map(lower).collect(),
            allow_on_failure: declared.allow_on_failure,
        })
    }
}

/// The digest of a secret with its salt in front.
pub fn digest(salt: &[u8], secret: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(salt)
        .chain_update(secret)
        .finalize()
        .into()
}

impl Known {
    fn of(declared: &Credential) -> Option<Self> {
        let (salt, digest) = declared
            .secret_hash
            .strip_prefix("sha256:")?
            .split_once(':')?;
        Some(Self {
            name: declared.name.as_str().into(),
            salt: bytes(salt)?.into(),
            digest: bytes(digest)?.try_into().ok()?,
        })
    }
}

fn groups(mut known: Vec<Known>) -> Box<[Group]> {
    known.sort_unstable_by(|one, other| (&one.salt, one.digest).cmp(&(&other.salt, other.digest)));
    known
        .chunk_by(|one, other| one.salt == other.salt)
        .filter_map(|chunk| {
            Some(Group {
                salt: chunk.first()?.salt.clone(),
                known: chunk.into(),
            })
        })
        .collect()
}

/// The bytes that hexadecimal digits stand for.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| {
            let pair = std::str::from_utf8(pair)
                .ok()
                .filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}

/// Compares in a time that does not depend on where two digests differ.
pub(super) fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differences = one.iter().zip(other).map(|(a, b)| a ^ b);
    differences.fold(0, |all, one| all | one) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(name: &str, salt: &str, secret: &str) -> Credential {
        let salted = bytes(salt).unwrap();
        let hex: String = digest(&salted, secret.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Credential {
            name: name.to_owned(),
            secret_hash: format!("sha256:{salt}:{hex}"),
        }
    }

    #[test]
    fn a_digest_is_that_of_the_standard() {
        let known = credential("a", "", "abc").secret_hash;
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(known, format!("sha256::{expected}"));
    }

    #[test]
    fn keys_are_found_by_what_they_are() {
        let keys = [
            ("one", "", "k1"),
            ("two", "", "k2"),
            ("three", "00ff", "k3"),
        ];
        let known = keys.map(|(name, salt, key)| Known::of(&credential(name, salt, key)).unwrap());
        let groups = groups(known.to_vec());
        assert_eq!(groups.len(), 2);
        for (name, _, key) in keys {
            assert_eq!(Auth::owner(&groups, key.as_bytes()), Some(name));
        }
        assert_eq!(Auth::owner(&groups, b"k4"), None);
        assert_eq!(Auth::owner(&groups, b""), None);
    }

    #[test]
    fn users_need_their_own_password() {
        let users = [("a", "01", "x"), ("b", "02", "y")];
        let known =
            users.map(|(name, salt, word)| Known::of(&credential(name, salt, word)).unwrap());
        assert_eq!(Auth::user(&known, b"a", b"x"), Some("a"));
        for (name, password) in [("a", "y"), ("c", "x"), ("a", ""), ("", "x")] {
            assert_eq!(
                Auth::user(&known, name.as_bytes(), password.as_bytes()),
                None
            );
        }
    }
}
