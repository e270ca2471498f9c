//! Token: a client shows the secret and gets a token; and what others need to check that token.

use base64::Engine as _;
use hyper::header::{self, AUTHORIZATION, CONTENT_TYPE, HeaderName};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::form;
use super::signer::{AUDIENCE, ISSUER};
use super::{Administration, DISCOVERY, KEYS, TOKEN, status};
use crate::admin::clock::now_ms;
use crate::admin::core::Core;
use crate::admin::dialect::generic::random_text;
use crate::admin::request::{self, Answer, Request};
use crate::wire::base64::LENIENT;

/// The one client that there is, and the one scope.
const CLIENT: &str = "admin";
const SCOPE: &str = "admin";
/// How long a token counts.
const LIFETIME_S: u64 = 3_600;
/// The most bytes of a token request.
const FORM_BYTES_MAX: usize = 64 * 1024;
/// Ways to a token that are known but not for this client.
const OTHER_GRANTS: [&str; 7] = [
    "authorization_code",
    "hybrid",
    "implicit",
    "password",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:openid:params:grant-type:ciba",
];
const PRAGMA: HeaderName = header::PRAGMA;

/// Gives a token, or says why not (RFC 6749 §5).
pub(super) fn answer(administration: &Administration, core: &Core, request: &Request) -> Answer {
    let (http, value) = match token(administration, request) {
        Ok(value) => (200, value),
        Err(error) => {
            if error == INVALID_CLIENT {
                core.guard.borrow_mut().wrong(request.from);
            }
            (400, json!({ "error": error }))
        }
    };
    json_answer(http, &value)
}

const INVALID_CLIENT: &str = "invalid_client";

fn json_answer(http: u16, value: &Value) -> Answer {
    let kind = "application/json; charset=UTF-8";
    let mut answer = request::text(http, kind, value.to_string());
    let no_store = "no-store, no-cache, max-age=0";
    request::set(&mut answer, header::CACHE_CONTROL, no_store);
    request::set(&mut answer, PRAGMA, "no-cache");
    answer
}

fn token(administration: &Administration, request: &Request) -> Result<Value, &'static str> {
    let (secret_hash, signer) = administration.internal.as_ref().ok_or("invalid_request")?;
    let content_type = request.fields.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let body = Some(&request.body).filter(|body| body.len() <= FORM_BYTES_MAX);
    let fields = content_type
        .zip(body)
        .and_then(|(kind, body)| form::fields(kind, body))
        .ok_or("invalid_request")?;
    let field = |name: &str| {
        let mut all = fields.iter().filter(|(given, _)| given == name);
        all.next().map(|(_, value)| value.as_str())
    };
    let basic = basic(request);
    let (id, secret) = match &basic {
        Some((id, secret)) => (Some(id.as_str()), Some(secret.as_str())),
        None => (field("client_id"), field("client_secret")),
    };
    let shown: [u8; 32] = Sha256::digest(secret.unwrap_or_default().as_bytes()).into();
    let is_right = bool::from(shown.ct_eq(secret_hash));
    if id != Some(CLIENT) || secret.is_none() || !is_right {
        return Err(INVALID_CLIENT);
    }
    match field("grant_type") {
        Some("client_credentials") => {}
        Some(grant) if OTHER_GRANTS.contains(&grant) => return Err("unauthorized_client"),
        _ => return Err("unsupported_grant_type"),
    }
    let scope = field("scope").unwrap_or(SCOPE);
    if !scope.split_whitespace().all(|scope| scope == SCOPE) {
        return Err("invalid_scope");
    }
    let now = now_ms() / 1_000;
    let claims = json!({
        "iss": ISSUER, "nbf": now, "iat": now, "exp": now + LIFETIME_S, "aud": AUDIENCE,
        "scope": [SCOPE], "client_id": CLIENT, "jti": random_text(16).to_uppercase(),
    });
    let token = signer.sign(&claims).map_err(|error| {
        tracing::error!(message = "a token cannot be signed", %error);
        "server_error"
    })?;
    Ok(json!({
        "access_token": token, "expires_in": LIFETIME_S, "token_type": "Bearer", "scope": SCOPE,
    }))
}

/// Id and secret as HTTP Basic has them (RFC 6749 §2.3.1: each urlencoded).
fn basic(request: &Request) -> Option<(String, String)> {
    let value = request.fields.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, text) = value.split_once(' ')?;
    let text = LENIENT
        .decode(text.trim())
        .ok()
        .filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(text).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((form::plain(id)?, form::plain(secret)?))
}

/// What the server of tokens is like (OpenID Connect Discovery 1.0 §3).
pub(super) fn discovery(administration: &Administration, request: &Request) -> Answer {
    let host = administration.asked_host(&request.fields);
    let base = administration.base_url.clone();
    let base = base.unwrap_or_else(|| format!("http://{host}"));
    let base = format!("{}{}", base.trim_end_matches('/'), administration.path);
    let value = json!({
        "issuer": ISSUER,
        "jwks_uri": format!("{base}{KEYS}"),
        "token_endpoint": format!("{base}{TOKEN}"),
        "scopes_supported": [SCOPE],
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    });
    debug_assert!(administration.is_open(&format!("{}{DISCOVERY}", administration.path)));
    request::json(200, &value)
}

/// The keys that tokens are signed with.
pub(super) fn keys(administration: &Administration) -> Answer {
    match &administration.internal {
        Some((_, signer)) => request::json(200, &json!({"keys": [signer.jwk()]})),
        None => status(404),
    }
}
