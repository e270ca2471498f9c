//! Tokens (RFC 7519) as a core checks them: by pinned algorithms, with keys that are part of the
//! table.
//!
//! A core verifies without a lock and without asking anybody: keys that come from a file or a URL
//! are brought in by the admin core, and a rotation of keys is an epoch like every other change.
//! The algorithm that a token names only chooses among those that the route allows, and a key is
//! used for its own family alone, so a token cannot talk anybody into taking a public key for a
//! shared secret (RFC 8725 §3.1).

mod claims;
mod keys;
mod quote;

use std::sync::Arc;

use jsonwebtoken::{AlgorithmFamily, Validation};

pub use self::claims::Claims;
use self::claims::Rule;
pub use self::keys::{KeySet, KeysFault};
pub(super) use self::quote::Quote;
use super::condition::Fields;
use super::error::CompileError;
use crate::model::policy::{self, Algorithm, TokenPlace};
use crate::wire::pairs;

/// The most bytes of a token.
const TOKEN_MAX: usize = 8 * 1024;
/// The most keys that one token is checked with.
const KEYS_TRIED_MAX: usize = 8;

/// What a token must be.
#[derive(Clone, Debug)]
pub struct Jwt {
    keys: Keys,
    /// What holds for each family of algorithms; only those that are allowed.
    rules: Box<[(AlgorithmFamily, Validation)]>,
    from: Box<[Place]>,
    claims: Box<[Rule]>,
    consumer: Box<str>,
}

/// Where keys come from.
#[derive(Clone, Debug)]
enum Keys {
    /// From the route itself.
    Here(Arc<KeySet>),
    /// From a file or URL: the table has them under this name.
    Source(Box<str>),
}

/// Where a token stands.
#[derive(Clone, Debug)]
enum Place {
    Header(Box<str>),
    Cookie(Box<str>),
    Query(Box<str>),
}

/// Why a token is not accepted; a word for the log and for `explain`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rejected {
    /// There is none.
    Missing,
    /// It is no token, or one that has what nobody here knows.
    Malformed,
    /// Its algorithm is not one of those allowed.
    Algorithm,
    /// No key is known that it could be signed with.
    NoKey,
    /// Its signature does not fit.
    Signature,
    /// It is not valid any more, or not yet.
    Time,
    /// It is from another issuer or for somebody else.
    Party,
    /// Something else must be in it.
    Claim,
}

impl Jwt {
    /// Compiles what the route `id` says.
    pub(super) fn of(id: &str, declared: &policy::Jwt) -> Result<Self, CompileError> {
        let fault = |what: String| CompileError::Token {
            route: id.into(),
            what,
        };
        let keys = match declared {
            policy::Jwt {
                secret: Some(secret),
                ..
            } => {
                let secret = secret.reveal().map_err(|error| fault(error.to_string()))?;
                Keys::Here(Arc::new(KeySet::of_secret(secret.as_bytes())))
            }
            policy::Jwt {
                jwks_url: Some(url),
                ..
            } => Keys::Source(url.as_str().into()),
            policy::Jwt {
                jwks_file: Some(path),
                ..
            } => Keys::Source(path.display().to_string().into()),
            policy::Jwt { keys, .. } => {
                let keys = KeySet::of_jwks(keys).map_err(|error| fault(error.to_string()))?;
                Keys::Here(Arc::new(keys))
            }
        };
        Self::with_keys(id, declared, keys)
    }

    /// The same with a set of keys that is at hand.
    pub fn with_key_set(
        id: &str,
        declared: &policy::Jwt,
        keys: KeySet,
    ) -> Result<Self, CompileError> {
        Self::with_keys(id, declared, Keys::Here(Arc::new(keys)))
    }

    /// The same with keys from a file or URL.
    pub fn with_source(
        id: &str,
        declared: &policy::Jwt,
        source: &str,
    ) -> Result<Self, CompileError> {
        Self::with_keys(id, declared, Keys::Source(source.into()))
    }

    fn with_keys(id: &str, declared: &policy::Jwt, keys: Keys) -> Result<Self, CompileError> {
        let mut from: Vec<Place> = declared.from.iter().filter_map(Place::of).collect();
        if from.is_empty() {
            from.push(Place::Header("authorization".into()));
        }
        let rules = declared
            .claims
            .iter()
            .map(|claim| Rule::of(id, claim))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            keys,
            rules: rules_of(declared),
            from: from.into(),
            claims: rules,
            consumer: declared.consumer_claim.as_str().into(),
        })
    }

    /// The file or URL that the keys come from.
    pub fn source(&self) -> Option<&str> {
        match &self.keys {
            Keys::Here(_) => None,
            Keys::Source(name) => Some(name),
        }
    }

    /// The claims of the token in a request, if it is accepted. `fetched` finds the keys of a
    /// source.
    pub fn verify<'t, F: Fields>(
        &self,
        fields: &F,
        query: &[u8],
        fetched: &dyn Fn(&str) -> Option<&'t Arc<KeySet>>,
    ) -> Result<Claims, Rejected> {
        let keys = match &self.keys {
            Keys::Here(keys) => Some(keys),
            Keys::Source(name) => fetched(name),
        };
        let mut verdict = Err(Rejected::Missing);
        for place in &self.from {
            let found = place.look(fields, query, &mut |token| {
                verdict = match keys {
                    Some(keys) => self.check(token, keys),
                    None => Err(Rejected::NoKey),
                };
            });
            if found {
                break;
            }
        }
        verdict
    }

    /// The name that claims give their bearer.
    pub fn consumer(&self, claims: &Claims) -> String {
        let name = claims.text(&self.consumer).unwrap_or_default();
        name.chars().filter(|letter| !letter.is_control()).collect()
    }

    /// In words, for `explain`.
    pub fn describe(&self) -> String {
        let from = match &self.keys {
            Keys::Here(keys) => format!("{} keys of its own", keys.len()),
            Keys::Source(name) => format!("the keys of {name}"),
        };
        format!("a token, checked with {from}")
    }

    fn check(&self, token: &[u8], keys: &KeySet) -> Result<Claims, Rejected> {
        if token.len() > TOKEN_MAX {
            return Err(Rejected::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Rejected::Malformed)?;
        if header.crit.is_some() {
            return Err(Rejected::Malformed);
        }
        let rules = self
            .rules
            .iter()
            .find(|(_, rules)| rules.algorithms.contains(&header.alg));
        let (_, rules) = rules.ok_or(Rejected::Algorithm)?;
        let mut verdict = Rejected::NoKey;
        let candidates = keys.candidates(header.alg, header.kid.as_deref());
        for key in candidates.take(KEYS_TRIED_MAX) {
            match jsonwebtoken::decode(token, key, rules) {
                Ok(data) => return self.accept(Claims(data.claims)),
                Err(error) => verdict = Rejected::of(error.kind()),
            }
            if verdict != Rejected::Signature {
                break;
            }
        }
        Err(verdict)
    }

    fn accept(&self, claims: Claims) -> Result<Claims, Rejected> {
        if self.claims.iter().all(|rule| rule.holds(&claims)) {
            Ok(claims)
        } else {
            Err(Rejected::Claim)
        }
    }
}

/// One set of rules for each family of algorithms that is allowed.
fn rules_of(declared: &policy::Jwt) -> Box<[(AlgorithmFamily, Validation)]> {
    let families = [
        AlgorithmFamily::Rsa,
        AlgorithmFamily::Ec,
        AlgorithmFamily::Ed,
        AlgorithmFamily::Hmac,
    ];
    let allowed: Vec<jsonwebtoken::Algorithm> = declared.algorithms.iter().map(known).collect();
    let rules = families.into_iter().filter_map(|family| {
        let of_family = |one: &&jsonwebtoken::Algorithm| family.algorithms().contains(one);
        let algorithms: Vec<_> = allowed.iter().filter(of_family).copied().collect();
        let first = *algorithms.first()?;
        let mut rules = Validation::new(first);
        rules.algorithms = algorithms;
        rules.leeway = u64::from(declared.leeway_s);
        rules.validate_nbf = true;
        rules.required_spec_claims.insert("exp".to_owned());
        if !declared.issuers.is_empty() {
            rules.set_issuer(&declared.issuers);
            rules.required_spec_claims.insert("iss".to_owned());
        }
        rules.validate_aud = !declared.audiences.is_empty();
        if rules.validate_aud {
            rules.set_audience(&declared.audiences);
            rules.required_spec_claims.insert("aud".to_owned());
        }
        Some((family, rules))
    });
    rules.collect()
}

fn known(algorithm: &Algorithm) -> jsonwebtoken::Algorithm {
    use jsonwebtoken::Algorithm as To;
    match algorithm {
        Algorithm::ES256 => To::ES256,
        Algorithm::ES384 => To::ES384,
        Algorithm::EdDSA => To::EdDSA,
        Algorithm::HS256 => To::HS256,
        Algorithm::HS384 => To::HS384,
        Algorithm::HS512 => To::HS512,
        Algorithm::PS256 => To::PS256,
        Algorithm::PS384 => To::PS384,
        Algorithm::PS512 => To::PS512,
        Algorithm::RS256 => To::RS256,
        Algorithm::RS384 => To::RS384,
        Algorithm::RS512 => To::RS512,
    }
}

// === impl Place ===

impl Place {
    fn of(declared: &TokenPlace) -> Option<Self> {
        let TokenPlace {
            header,
            cookie,
            query,
        } = declared;
        let header = header.as_deref().map(str::to_ascii_lowercase);
        header
            .map(|name| Self::Header(name.into()))
            .or_else(|| cookie.as_deref().map(|name| Self::Cookie(name.into())))
            .or_else(|| query.as_deref().map(|name| Self::Query(name.into())))
    }

    /// Calls `take` with the token that stands here; whether there is one.
    fn look<F: Fields>(&self, fields: &F, query: &[u8], take: &mut dyn FnMut(&[u8])) -> bool {
        match self {
            Self::Header(name) => fields.any(name.as_bytes(), &mut |value| {
                let token = bearer(value).unwrap_or(value);
                // Another scheme is not for us.
                let is_token = !token.is_empty() && !token.contains(&b' ');
                if is_token {
                    take(token);
                }
                is_token
            }),
            Self::Cookie(name) => fields.any(b"cookie", &mut |value| {
                let token = pairs::cookie(value, name.as_bytes());
                token.into_iter().for_each(&mut *take);
                token.is_some()
            }),
            Self::Query(name) => {
                let token = pairs::parameter(query, name.as_bytes());
                token.into_iter().for_each(take);
                token.is_some()
            }
        }
    }
}

/// What follows `Bearer` (RFC 6750 §2.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

// === impl Rejected ===

impl Rejected {
    fn of(error: &jsonwebtoken::errors::ErrorKind) -> Self {
        use jsonwebtoken::errors::ErrorKind;
        match error {
            ErrorKind::InvalidSignature | ErrorKind::InvalidKeyFormat => Self::Signature,
            ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => Self::Time,
            ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => Self::Party,
            ErrorKind::InvalidAlgorithm => Self::Algorithm,
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => Self::Claim,
            _ => Self::Malformed,
        }
    }

    /// Why, in a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Missing => "there is no token",
            Self::Malformed => "what is there is no token",
            Self::Algorithm => "the token is signed with an algorithm that is not allowed",
            Self::NoKey => "no key is known for the token",
            Self::Signature => "the signature of the token does not fit",
            Self::Time => "the token is not valid now",
            Self::Party => "the token is from another issuer or for somebody else",
            Self::Claim => "a claim is missing in the token or is another",
        }
    }
}

#[cfg(test)]
mod tests;
