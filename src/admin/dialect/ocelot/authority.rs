//! Authority: an identity server of somebody else's, whose tokens count here too.
//!
//! Its keys are asked for when a token names one that is not known, and again when they are old.
//! Only who waits for such a token waits for the server; one that is down is not asked again for a
//! while. What a token is signed with is decided by its key, never by the token: only asymmetric
//! algorithms count.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::signer::SKEW_S;
use crate::admin::fetch::Fetcher;
use crate::model::ocelot::OcelotAdmin;

/// How long the server may take.
const WITHIN: Duration = Duration::from_secs(5);
/// It is not asked more often than this.
const AGAIN: Duration = Duration::from_secs(5);
/// Keys that are older are asked for again.
const OLD: Duration = Duration::from_secs(600);
/// The most keys that are kept.
const KEYS_MAX: usize = 64;

/// An identity server.
pub(super) struct Authority {
    url: String,
    audience: Option<String>,
    fetcher: Fetcher,
    known: RefCell<Known>,
    /// Whoever has it asks the server; others wait for what comes of it.
    asking: Mutex<()>,
    asked: Cell<Option<Instant>>,
}

/// What the server has said.
#[derive(Default)]
struct Known {
    issuer: Option<String>,
    keys: Vec<Key>,
}

struct Key {
    name: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// What is looked at in a token beside what the validation looks at.
#[derive(Deserialize)]
struct Claims {
    client_id: Option<String>,
    azp: Option<String>,
    sub: Option<String>,
}

impl Authority {
    /// The server that is declared, if one is.
    pub(super) fn of(declared: &OcelotAdmin) -> Option<Self> {
        let url = declared.authority.as_ref()?;
        Some(Self {
            url: url.trim_end_matches('/').to_owned(),
            audience: declared.audience.clone(),
            fetcher: if declared.require_https_metadata {
                Fetcher::over_tls()
            } else {
                Fetcher::default()
            },
            known: RefCell::default(),
            asking: Mutex::new(()),
            asked: Cell::new(None),
        })
    }

    /// Sees to it that the key of a token is known, if the server has it.
    pub(super) async fn prepare(&self, token: &str) {
        let Ok(head) = jsonwebtoken::decode_header(token) else {
            return;
        };
        if !self.wants(head.kid.as_deref()) {
            return;
        }
        let _asking = self.asking.lock().await;
        if !self.wants(head.kid.as_deref()) {
            return;
        }
        self.asked.set(Some(Instant::now()));
        match tokio::time::timeout(WITHIN, self.ask()).await {
            Ok(Ok(known)) => *self.known.borrow_mut() = known,
            Ok(Err(error)) => {
                tracing::warn!(
                    message = "the identity server cannot be asked",
                    url = self.url,
                    error
                );
            }
            Err(_) => {
                tracing::warn!(
                    message = "the identity server does not answer",
                    url = self.url
                );
            }
        }
    }

    /// Whether the server is to be asked, for a token with a key of this name.
    fn wants(&self, name: Option<&str>) -> bool {
        let age = self.asked.get().map(|asked| asked.elapsed());
        let has = self.known.borrow().key(name).is_some();
        match age {
            None => true,
            Some(age) if has => age > OLD,
            Some(age) => age > AGAIN,
        }
    }

    /// Whoever a token was given to, if it counts.
    pub(super) fn verify(&self, token: &str) -> Option<String> {
        let head = jsonwebtoken::decode_header(token).ok()?;
        let known = self.known.borrow();
        let key = known.key(head.kid.as_deref())?;
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = SKEW_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[known.issuer.as_ref()?]);
        match &self.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                validation.set_required_spec_claims(&["exp", "iss", "aud"]);
            }
            None => {
                validation.validate_aud = false;
                validation.set_required_spec_claims(&["exp", "iss"]);
            }
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &validation).ok()?;
        let Claims {
            client_id,
            azp,
            sub,
        } = claims.claims;
        client_id
            .or(azp)
            .or(sub)
            .or_else(|| Some("token".to_owned()))
    }

    async fn ask(&self) -> Result<Known, String> {
        let url = format!("{}/.well-known/openid-configuration", self.url);
        let discovery: Discovery = parsed(&self.fetcher.fetch(&url).await?.body)?;
        let keys: JwkSet = parsed(&self.fetcher.fetch(&discovery.jwks_uri).await?.body)?;
        let keys = keys.keys.iter().take(KEYS_MAX).filter_map(Key::of);
        Ok(Known {
            issuer: Some(discovery.issuer),
            keys: keys.collect(),
        })
    }
}

impl Known {
    /// The key of this name; for a token that names none, the only one.
    fn key(&self, name: Option<&str>) -> Option<&Key> {
        match (name, self.keys.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(name), keys) => keys.iter().find(|key| key.name.as_deref() == Some(name)),
        }
    }
}

impl Key {
    /// A key that signatures can be checked with.
    fn of(jwk: &Jwk) -> Option<Self> {
        let algorithm = match (&jwk.algorithm, jwk.common.key_algorithm) {
            (AlgorithmParameters::RSA(_), None | Some(KeyAlgorithm::RS256)) => Algorithm::RS256,
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS384)) => Algorithm::RS384,
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::RS512)) => Algorithm::RS512,
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS256)) => Algorithm::PS256,
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS384)) => Algorithm::PS384,
            (AlgorithmParameters::RSA(_), Some(KeyAlgorithm::PS512)) => Algorithm::PS512,
            (AlgorithmParameters::EllipticCurve(curve), _) => match curve.curve {
                EllipticCurve::P256 => Algorithm::ES256,
                EllipticCurve::P384 => Algorithm::ES384,
                _ => return None,
            },
            _ => return None,
        };
        Some(Self {
            name: jwk.common.key_id.clone(),
            algorithm,
            key: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}

fn parsed<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
