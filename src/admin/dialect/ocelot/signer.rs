//! Signer: what signs the tokens of this process, and knows them again: RS256 (RFC 7518 §3.3).
//!
//! The key is that of the certificate that OCELOT_CERTIFICATE names, so that all processes that
//! have it take each other's tokens, or one that is made at the start and forgotten at the end.

use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{self, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// The certificate, PKCS#12 or PEM.
const CERTIFICATE: &str = "OCELOT_CERTIFICATE";
const PASSWORD: &str = "OCELOT_CERTIFICATE_PASSWORD";
/// Who gives the tokens, and what they are for.
pub(super) const ISSUER: &str = "Ocelot";
pub(super) const AUDIENCE: &str = "Ocelot/resources";
/// How far clocks may be apart, in seconds.
pub(super) const SKEW_S: u64 = 60;
/// The most bytes of a certificate.
const CERTIFICATE_BYTES_MAX: u64 = 1 << 20;
/// The bytes of a key's name.
const NAME_BYTES: usize = 8;

/// What signs tokens.
pub(super) struct Signer {
    pair: KeyPair,
    /// The name of the key, made of what is public of it.
    name: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// Why there is nothing to sign tokens with.
#[derive(Debug, Error)]
pub enum SignerError {
    /// The system has no randomness, or the library failed.
    #[error("a key for tokens cannot be made")]
    Made,
    /// The file cannot be read.
    #[error("OCELOT_CERTIFICATE: {path} cannot be read ({source}); name another file")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file holds no key that can be used.
    #[error("OCELOT_CERTIFICATE: {path}: {what}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
}

/// What is looked at in a token.
#[derive(Deserialize)]
struct Claims {
    client_id: String,
    #[serde(default)]
    scope: Vec<String>,
}

impl Signer {
    /// The signer that the environment asks for.
    pub(super) fn of_environment() -> Result<Self, SignerError> {
        let read = |name| std::env::var(name).unwrap_or_default();
        let (path, password) = (read(CERTIFICATE), read(PASSWORD));
        if path.is_empty() {
            return Self::temporary();
        }
        Self::load(Path::new(&path), &password)
    }

    fn temporary() -> Result<Self, SignerError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| SignerError::Made)?;
        Ok(Self::with(pair))
    }

    fn load(path: &Path, password: &str) -> Result<Self, SignerError> {
        let file = |source| SignerError::File {
            path: path.to_owned(),
            source,
        };
        let unusable = |what: &str| SignerError::Unusable {
            path: path.to_owned(),
            what: what.to_owned(),
        };
        if std::fs::metadata(path).map_err(file)?.len() > CERTIFICATE_BYTES_MAX {
            return Err(unusable("it is larger than 1 MiB; name a certificate"));
        }
        let bytes = std::fs::read(path).map_err(file)?;
        let pair = match std::str::from_utf8(&bytes) {
            Ok(text) if text.contains("-----BEGIN") => of_pem(text),
            _ => of_pkcs12(&bytes, password),
        };
        pair.map(Self::with).map_err(|what| unusable(&what))
    }

    fn with(pair: KeyPair) -> Self {
        let public = pair.public_key();
        let modulus = public.modulus().big_endian_without_leading_zero().to_vec();
        let exponent = public.exponent().big_endian_without_leading_zero().to_vec();
        let hash = Sha256::digest(&modulus);
        let name = hash.iter().take(NAME_BYTES);
        let name = name.map(|byte| format!("{byte:02X}")).collect();
        Self {
            pair,
            name,
            modulus,
            exponent,
        }
    }

    /// The token that says `claims`.
    pub(super) fn sign(&self, claims: &Value) -> Result<String, SignerError> {
        let head = json!({"alg": "RS256", "kid": self.name, "typ": "at+jwt"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&head), part(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(
                &signature::RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .map_err(|_| SignerError::Made)?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The client that a token was given to, if it was given for the administration and still
    /// counts.
    pub(super) fn verify(&self, token: &str) -> Option<String> {
        let key = DecodingKey::from_rsa_raw_components(&self.modulus, &self.exponent);
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = SKEW_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let read = jsonwebtoken::decode::<Claims>(token, &key, &validation).ok()?;
        let is_admin = read.claims.scope.iter().any(|scope| scope == "admin");
        is_admin.then_some(read.claims.client_id)
    }

    /// What is public of the key (RFC 7517).
    pub(super) fn jwk(&self) -> Value {
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.name,
            "n": URL_SAFE_NO_PAD.encode(&self.modulus),
            "e": URL_SAFE_NO_PAD.encode(&self.exponent),
        })
    }
}

fn of_pkcs12(bytes: &[u8], password: &str) -> Result<KeyPair, String> {
    let store = KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Relaxed);
    let store = store.map_err(|error| {
        format!("it is no PKCS#12 that OCELOT_CERTIFICATE_PASSWORD opens ({error})")
    })?;
    let (_, chain) = store
        .private_key_chain()
        .ok_or("there is no private key in it; export one with it")?;
    KeyPair::from_pkcs8(chain.key().as_der()).map_err(|error| not_rsa(&error))
}

fn of_pem(text: &str) -> Result<KeyPair, String> {
    for (label, is_pkcs8) in [("PRIVATE KEY", true), ("RSA PRIVATE KEY", false)] {
        let (begin, end) = (
            format!("-----BEGIN {label}-----"),
            format!("-----END {label}-----"),
        );
        let Some((_, rest)) = text.split_once(&begin) else {
            continue;
        };
        let (body, _) = rest.split_once(&end).ok_or("a block in it has no end")?;
        let body: String = body.split_whitespace().collect();
        let der = STANDARD
            .decode(body)
            .map_err(|error| format!("the private key in it is not base64 ({error})"))?;
        let pair = match is_pkcs8 {
            true => KeyPair::from_pkcs8(&der),
            false => KeyPair::from_der(&der),
        };
        return pair.map_err(|error| not_rsa(&error));
    }
    Err("there is no private key in it, or an encrypted one; put one beside the certificate".into())
}

fn not_rsa(error: &impl std::fmt::Display) -> String {
    format!("its private key is no RSA key of 2048 bits or more ({error})")
}
