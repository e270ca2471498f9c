//! Keys: what tokens are checked with, from JWK sets (RFC 7517), PEM or a shared secret.

use base64::Engine as _;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use crate::wire::base64::LENIENT;

/// The most keys of a set.
const KEYS_MAX: usize = 256;

/// The keys that one issuer signs with.
#[derive(Clone, Debug, Default)]
pub struct KeySet(Box<[Key]>);

#[derive(Clone, Debug)]
struct Key {
    id: Option<Box<str>>,
    /// The one algorithm that it is for, where it says so.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysFault {
    /// It is not JSON.
    #[error("the key set is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It has no `keys`.
    #[error("the key set has no list \"keys\"")]
    NoList,
    /// None of the keys can be used.
    #[error("there is no public key of type RSA, EC (P-256, P-384) or OKP (Ed25519)")]
    None,
    /// It is no PEM.
    #[error("the key is no public key in PEM")]
    Pem,
}

impl KeySet {
    /// The keys of a JWK set in JSON. Keys that cannot be used are left out, as RFC 7517 §5 says.
    pub fn parse(text: &[u8]) -> Result<Self, KeysFault> {
        let set: Value = serde_json::from_slice(text)?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(KeysFault::NoList)?;
        let keys: Vec<Map<String, Value>> = keys
            .iter()
            .filter_map(|key| key.as_object().cloned())
            .collect();
        Self::of_jwks(&keys)
    }

    /// The public keys among `keys`. A shared secret is never taken from a set: who can read the
    /// set could sign.
    pub fn of_jwks(keys: &[Map<String, Value>]) -> Result<Self, KeysFault> {
        let keys: Box<[Key]> = keys.iter().take(KEYS_MAX).filter_map(Key::of_jwk).collect();
        if keys.is_empty() {
            return Err(KeysFault::None);
        }
        Ok(Self(keys))
    }

    /// A shared secret.
    pub fn of_secret(secret: &[u8]) -> Self {
        Self([Key::of(DecodingKey::from_secret(secret))].into())
    }

    /// A public key in PEM (`BEGIN PUBLIC KEY`), of an RSA or (`ec`) elliptic curve pair.
    pub fn of_pem(pem: &str, ec: bool) -> Result<Self, KeysFault> {
        let lines = pem.lines().map(str::trim);
        let inside = lines.filter(|line| !line.starts_with("-----") && !line.is_empty());
        let text: String = inside.collect();
        let der = LENIENT.decode(text).map_err(|_| KeysFault::Pem)?;
        if der.is_empty() {
            return Err(KeysFault::Pem);
        }
        if !ec {
            return Ok(Self([Key::of(DecodingKey::from_rsa_der(&der))].into()));
        }
        // The point is what the structure ends with (RFC 5480 §2.2): uncompressed, P-256 or P-384.
        let point = [65, 97].into_iter().find_map(|length| {
            let at = der.len().checked_sub(length)?;
            let is_bits = at >= 2 && der.get(at - 1) == Some(&0) && der.get(at) == Some(&4);
            let length_fits = der.get(at.checked_sub(2)?) == u8::try_from(length + 1).ok().as_ref();
            (is_bits && length_fits).then(|| der.get(at..)).flatten()
        });
        let point = point.ok_or(KeysFault::Pem)?;
        Ok(Self([Key::of(DecodingKey::from_ec_der(point))].into()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that a token of this algorithm may be signed with: the one that it names, if there
    /// is one of that name.
    pub(super) fn candidates(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> impl Iterator<Item = &DecodingKey> {
        let fits = move |key: &&Key| {
            let of_family = key.key.family().algorithms().contains(&algorithm);
            of_family && key.algorithm.is_none_or(|own| own == algorithm)
        };
        let named = self
            .0
            .iter()
            .any(|key| id.is_some() && key.id.as_deref() == id);
        let keys = self.0.iter().filter(fits);
        keys.filter(move |key| match (named, &key.id) {
            (true, own) => own.as_deref() == id,
            // It names a key that is not here: only one without a name may be it.
            (false, Some(_)) => id.is_none(),
            (false, None) => true,
        })
        .map(|key| &key.key)
    }
}

impl Key {
    fn of(key: DecodingKey) -> Self {
        Self {
            id: None,
            algorithm: None,
            key,
        }
    }

    fn of_jwk(jwk: &Map<String, Value>) -> Option<Self> {
        let algorithm = jwk.get("alg").and_then(Value::as_str);
        let jwk: Jwk = serde_json::from_value(Value::Object(jwk.clone())).ok()?;
        let public = matches!(
            jwk.algorithm,
            AlgorithmParameters::RSA(_)
                | AlgorithmParameters::EllipticCurve(_)
                | AlgorithmParameters::OctetKeyPair(_)
        );
        let signs = !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
        if !public || !signs {
            return None;
        }
        Some(Self {
            id: jwk.common.key_id.as_deref().map(Into::into),
            algorithm: match algorithm {
                Some(name) => Some(name.parse().ok()?),
                None => None,
            },
            key: DecodingKey::from_jwk(&jwk).ok()?,
        })
    }
}
