//! What a route does with a request and its response beside passing them on: who may come in, what
//! is changed, what is answered instead.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::auth::{
    Algorithm, Auth, AuthKind, Credential, ForwardAuth, Jwt, Requirement, TokenPlace,
};
use super::defaults;
use super::route::Condition;

/// A field, or a query parameter, and its value.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NamedValue {
    /// Its name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Its value. `{client_ip}` (the peer's address), `{host}`, `{method}`, `{path}`, `{query}`
    /// (without its `?`), `{query.NAME}` (one parameter), `{header.NAME}` (one field), `{route}`,
    /// `{consumer}` and the captures of the route stand for what the request has; with a token
    /// `{claim.NAME}` and `{claim.NAME part 1 by |}`, the second of the parts between each `|`.
    #[schemars(length(max = 4_096))]
    pub value: String,
}

/// Text that is replaced in the values of a field, or of a query parameter as it stands there.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// The field or parameter.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The text that goes, each time that it is there. In a response `{server_url}` alone is the
    /// URL of the server that answered, such as `http://10.0.0.1:8080/`.
    #[schemars(length(min = 1, max = 1_024))]
    pub find: String,
    /// What comes in its place, as it is written.
    #[serde(default)]
    #[schemars(length(max = 1_024))]
    pub with: String,
}

/// Changes to the fields of a message, or to the query; made in the order of the keys here.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Edits {
    /// Names of what is taken out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub remove: Vec<String>,
    /// Text that is replaced in what is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub replace: Vec<Replacement>,
    /// What is put in the place of all of that name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub set: Vec<NamedValue>,
    /// What is put beside those of that name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub add: Vec<NamedValue>,
}

/// Which clients may come in, by their address; others get 403.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct IpRules {
    /// Only these; none means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        with = "Vec<String>",
        extend("items" = serde_json::json!({"type": "string", "format": "cidr"}))
    )]
    pub allow: Vec<IpNet>,
    /// Not these, even if they are allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        with = "Vec<String>",
        extend("items" = serde_json::json!({"type": "string", "format": "cidr"}))
    )]
    pub deny: Vec<IpNet>,
}

/// Cross-origin requests (the Fetch standard's CORS protocol). Preflight requests are answered
/// here.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins that may ask: `https://app.example.com`, `https://*.example.com` for every name
    /// below, or `*` for all.
    #[schemars(length(min = 1, max = 256))]
    pub allow_origins: Vec<String>,
    /// Methods that they may use.
    #[serde(default = "defaults::cors_methods")]
    pub allow_methods: Vec<String>,
    /// Fields that they may send; none means those that the preflight asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_headers: Vec<String>,
    /// Fields of the response that they may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<String>,
    /// Whether cookies may come along.
    #[serde(default)]
    pub allow_credentials: bool,
    /// How long a browser remembers a preflight, in seconds.
    #[serde(default = "defaults::cors_max_age_s")]
    #[schemars(range(max = 86_400))]
    pub max_age_s: u32,
}

/// Answering every request with the same while something is being repaired.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Maintenance {
    /// Whether it is so now.
    pub enabled: bool,
    /// The status.
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// The body.
    #[schemars(length(max = 65_536))]
    pub body: String,
    /// What the body is.
    #[schemars(length(min = 1, max = 256))]
    pub content_type: String,
    /// When to come back, in seconds (`Retry-After`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// Clients that are served all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        with = "Vec<String>",
        extend("items" = serde_json::json!({"type": "string", "format": "cidr"}))
    )]
    pub allow: Vec<IpNet>,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self {
            enabled: true,
            status: 503,
            body: "Down for maintenance.\n".to_owned(),
            content_type: "text/plain; charset=utf-8".to_owned(),
            retry_after_s: None,
            allow: Vec::new(),
        }
    }
}

/// The body of answers that Ringway makes itself because a request cannot be served.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorPage {
    /// The statuses that it is for; none means all. The first page that fits is taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 400, max = 599)))]
    pub statuses: Vec<u16>,
    /// The status that the answer has instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 400, max = 599))]
    pub status: Option<u16>,
    /// What the body is.
    #[serde(default = "defaults::error_content_type")]
    #[schemars(length(min = 1, max = 256))]
    pub content_type: String,
    /// The body; `{status}`, `{reason}` (its phrase), `{message}` (what went wrong) and `{route}`
    /// are filled in.
    #[schemars(length(max = 65_536))]
    pub body: String,
}

/// One of several upstreams that share the requests of a route.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SplitTarget {
    /// The upstream, by name.
    pub upstream: String,
    /// Its share of the requests; 0 gets none by chance.
    #[serde(default = "defaults::split_weight")]
    pub weight: u16,
    /// A field that brings a request here whatever the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Condition>,
    /// A cookie that brings a request here whatever the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Condition>,
}

/// A cookie that keeps a client with its part of a split.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SplitSticky {
    /// The name of the cookie.
    #[schemars(length(min = 1, max = 64))]
    pub cookie: String,
    /// How long the client keeps it, in seconds. Without it: until the browser closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub max_age_s: Option<u32>,
}

/// How many requests may come in; more get 429, or `status`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimit {
    /// How the requests are counted.
    pub algorithm: RateAlgorithm,
    /// How many in a second, in the long run; or in `period_ms`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: u32,
    /// The time that `requests_per_second` counts in, where a second is too short: with 60000 it
    /// is requests per minute.
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub period_ms: u64,
    /// How many at once after a pause.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst_size: u32,
    /// For whom each limit is.
    pub key: RateKey,
    /// The field under `header`; requests without it share one limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub header: Option<String>,
    /// How many are told apart, over all workers. With more than that at a time some begin anew.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_keys: u32,
    /// Under `fixed_window`, how long a client that asks too often is refused; without it until
    /// its window ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub wait_ms: Option<u64>,
    /// Values of `header` that are not limited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1_024))]
    pub exempt: Vec<String>,
    /// The status of a request without `header`; without it such requests share one limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 400, max = 599))]
    pub missing_header_status: Option<u16>,
    /// The status of a request that comes too often.
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
    /// The body of its answer; without it a sentence of ours, or the error page of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4_096))]
    pub message: Option<String>,
    /// Which fields tell a client how much is left.
    pub headers: RateHeaders,
}

/// How requests are counted against a limit.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateAlgorithm {
    /// Up to `burst_size` at once, and then as many as come back with time.
    #[default]
    TokenBucket,
    /// As many as `requests_per_second` in each `period_ms`, which begins with a request. With a
    /// limit above 1,048,575 the count ends there.
    FixedWindow,
}

/// The fields that tell a client how much of its limit is left.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateHeaders {
    /// `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`.
    #[default]
    RateLimit,
    /// The same with an `X-` before them, the reset as a date (ISO 8601).
    XRateLimit,
    /// None, and no `Retry-After`.
    None,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            algorithm: RateAlgorithm::default(),
            wait_ms: None,
            exempt: Vec::new(),
            missing_header_status: None,
            status: defaults::rate_status(),
            message: None,
            headers: RateHeaders::default(),
            requests_per_second: defaults::rate_per_second(),
            period_ms: defaults::rate_period_ms(),
            burst_size: defaults::rate_burst(),
            key: RateKey::default(),
            header: None,
            max_keys: defaults::rate_max_keys(),
        }
    }
}

/// For whom a limit is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateKey {
    /// Each authenticated client; without `auth`, each address.
    #[default]
    Consumer,
    /// Each IPv4 address, each /64 of IPv6.
    Ip,
    /// Each value of a field.
    Header,
    /// All requests of the route together.
    Route,
}
