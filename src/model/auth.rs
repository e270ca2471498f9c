//! Who may come in: passwords, keys, signed tokens, another service's word, or several of these.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::defaults;
use super::route::Condition;
use super::secret::Secret;

/// Who may come in, by what they prove; others get 401.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// How a client proves who it is.
    #[serde(rename = "type")]
    pub kind: AuthKind,
    /// What is said to be protected, under `basic` and `jwt`.
    #[serde(default = "defaults::realm")]
    #[schemars(length(min = 1, max = 128))]
    pub realm: String,
    /// Who may come in, under `basic`: user names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))]
    pub users: Vec<Credential>,
    /// The field with the key, under `api_key`.
    #[serde(default = "defaults::api_key_header")]
    #[schemars(length(min = 1, max = 256))]
    pub header: String,
    /// The query parameter with the key, where the field is missing; without it only the field
    /// counts. It is not passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub query: Option<String>,
    /// Who may come in, under `api_key`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))]
    pub keys: Vec<Credential>,
    /// Under `api_key`: Apikey entities of the generic API may come in that are authorised for one
    /// of these, such as `route_ID` or `group_ID`. They show their id and secret as
    /// `Otoroshi-Client-Id` and `Otoroshi-Client-Secret`, or as name and password.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub entities: Vec<String>,
    /// What a token must be, under `jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Box<Jwt>>,
    /// Whom to ask, under `forward_auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Box<ForwardAuth>>,
    /// What the claims of the token must be beyond what `jwt` asks, all of it; others get 403, and
    /// so does who proves who he is without a token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub require: Vec<Requirement>,
    /// Methods of requests that need not prove anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub exempt_methods: Vec<String>,
    /// Several kinds of proof, under `chain`: the first that holds counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub any: Vec<Self>,
}

impl Auth {
    /// One of this kind, everything else as if it was not given.
    #[must_use]
    pub fn of(kind: AuthKind) -> Self {
        Self {
            kind,
            realm: defaults::realm(),
            users: Vec::new(),
            header: defaults::api_key_header(),
            query: None,
            keys: Vec::new(),
            entities: Vec::new(),
            jwt: None,
            forward: None,
            require: Vec::new(),
            exempt_methods: Vec::new(),
            any: Vec::new(),
        }
    }
}

/// What a claim must be.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Its name; `a.b` for one in an object.
    #[schemars(length(min = 1, max = 256))]
    pub claim: String,
    /// It must be one of these, with the places of the values of fields; none means that it need
    /// only be there. Of a list one element counts, of `scope` and `scp` one word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1_024)))]
    pub any_of: Vec<String>,
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    /// Not at all: at the end of a chain this lets in whoever proves nothing.
    Anonymous,
    /// By a key that it sends along.
    ApiKey,
    /// By name and password (RFC 7617).
    Basic,
    /// By any of several kinds of proof.
    Chain,
    /// By whatever another service accepts: it is asked before each request.
    ForwardAuth,
    /// By a signed token (RFC 7519).
    Jwt,
}

/// Somebody who may come in. The name goes to the server as `X-Consumer-Name`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The name.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// The password or key, as `ringway hash` prints it: `sha256:SALT:DIGEST`, both hexadecimal.
    /// For secrets made by a machine: what a person can remember can be guessed from it.
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{0,64}:[0-9a-f]{64}$"))]
    #[schemars(extend("x-expect" = "what `ringway hash` prints"))]
    pub secret_hash: String,
}

/// What a token must be. One of `keys`, `jwks_file`, `jwks_url`, `secret` and `verifiers` says how
/// it is checked.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jwt {
    /// Public keys, each a JWK (RFC 7517).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub keys: Vec<Map<String, Value>>,
    /// A file with a JWK set; it is read again when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// Where a JWK set is fetched from and followed, over TLS where it
    /// begins with `https://`. As long as it has not been fetched
    /// no token is accepted; a set that cannot be fetched again stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2_048))]
    pub jwks_url: Option<String>,
    /// The shared secret of HS256, HS384 and HS512; an environment variable or a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// JwtVerifier entities of the generic API, by id: one of them must accept the token. They say
    /// all else themselves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub verifiers: Vec<String>,
    /// The algorithms that a token may be signed with; no others are looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12))]
    pub algorithms: Vec<Algorithm>,
    /// Who may have issued it (`iss`); none means anybody who has the key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub issuers: Vec<String>,
    /// For whom it may be (`aud`); none means that it is not looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub audiences: Vec<String>,
    /// How much clocks may differ where `exp` and `nbf` are compared, in seconds.
    #[schemars(range(max = 300))]
    pub leeway_s: u16,
    /// Where the token stands; the first place that has one counts. Without it: `Authorization`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub from: Vec<TokenPlace>,
    /// What else must be in it: claims, `a.b` for one in an object. Of a list one element must
    /// match, of `scope` and `scp` one word.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub claims: Vec<Condition>,
    /// The claim that names the consumer.
    #[schemars(length(min = 1, max = 128))]
    pub consumer_claim: String,
    /// Whether the token does not go on to the server.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strip: bool,
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            jwks_file: None,
            jwks_url: None,
            secret: None,
            verifiers: Vec::new(),
            algorithms: Vec::new(),
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway_s: defaults::jwt_leeway_s(),
            from: Vec::new(),
            claims: Vec::new(),
            consumer_claim: defaults::jwt_consumer(),
            strip: false,
        }
    }
}

/// Where a token stands: exactly one of the keys.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenPlace {
    /// In this field; `Bearer` in front of it does not belong to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub header: Option<String>,
    /// In this cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub cookie: Option<String>,
    /// In this query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub query: Option<String>,
}

/// How a token is signed (RFC 7518 §3.1, RFC 8037).
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(extend("x-expect" = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, \
    HS256, HS384 or HS512"))]
pub enum Algorithm {
    /// ECDSA on P-256.
    ES256,
    /// ECDSA on P-384.
    ES384,
    /// EdDSA on Curve25519.
    EdDSA,
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
}

/// Another service that is asked before each request: GET with the fields of the request. 2xx lets
/// it in; 401, 403 and redirects go to the client; all else is 502, no answer in time 504.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardAuth {
    /// The upstream that is asked, by name.
    pub upstream: String,
    /// The path that is asked for; may have a query.
    #[serde(default = "defaults::forward_auth_path")]
    #[schemars(length(min = 1, max = 2_048))]
    pub path: String,
    /// How long its answer may take.
    #[serde(default = "defaults::forward_auth_timeout_ms")]
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub timeout_ms: u64,
    /// The fields of the request that it sees beside `X-Forwarded-*`; none means `Authorization`
    /// and `Cookie`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub request_headers: Vec<String>,
    /// The fields of its answer that go on to the server, in the place of those that the client
    /// sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub response_headers: Vec<String>,
    /// Whether a request goes on when no answer can be had.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_on_failure: bool,
}
