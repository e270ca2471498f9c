//! The output cache: responses that are kept and given to the next who asks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;

/// Keeping the responses of a route (RFC 9111). Responses to GET are kept, and answer GET and HEAD.
/// A response stays with the server that says so (`no-store`, `private`, `no-cache`, `Vary: *`), or
/// that has a `Set-Cookie`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// How long a response may be used, in seconds. One that gives itself a shorter life
    /// (`s-maxage`, `max-age`, `Expires`) has that.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub ttl_s: u32,
    /// The name under which all of it is dropped at once; several routes may have the same. Without
    /// it the id of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub region: Option<String>,
    /// Fields of the request that tell responses apart, in addition to those in the `Vary` of the
    /// response.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    pub vary: Vec<String>,
    /// Whether the body of a request tells responses apart too. Then responses to POST and QUERY
    /// are kept as well, for bodies of a known length up to 64 KiB.
    pub hash_body: bool,
    /// The statuses of responses that are kept.
    #[schemars(length(min = 1, max = 64), inner(range(min = 200, max = 599)))]
    pub statuses: Vec<u16>,
    /// Bytes of a body; a response with more is passed on and not kept.
    pub max_body_bytes: u64,
    /// How long requests wait for the same response on its way to another, from when that one was
    /// sent; then they ask themselves.
    #[schemars(range(max = defaults::MS_MAX))]
    pub wait_ms: u64,
    /// For how many seconds more a response is used that is no longer fresh: while one request
    /// asks for a new one, and when no server answers. Not if it says `must-revalidate`,
    /// `proxy-revalidate` or `s-maxage`.
    #[schemars(range(max = 31_536_000))]
    pub stale_s: u32,
    /// Requests with `Authorization`, and those that have proved who asks (`auth`).
    pub authorized: Authorized,
    /// Whether a response with a `Set-Cookie` is kept, cookie and all, for everybody.
    pub keep_set_cookie: bool,
    /// Whether a request can ask for a new response (`Cache-Control: no-cache` or `max-age=0`,
    /// `Pragma: no-cache`) or for none to be kept (`no-store`).
    pub client_control: bool,
    /// Whether `Cache-Control` and `Expires` of the response are not looked at.
    pub ignore_cache_control: bool,
}

/// What becomes of requests of somebody in particular.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Authorized {
    /// They go past the cache.
    #[default]
    Bypass,
    /// Each value of `Authorization`, and each consumer, has responses of its own.
    Separate,
    /// All share the same responses.
    Share,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            ttl_s: defaults::cache_ttl_s(),
            region: None,
            vary: Vec::new(),
            hash_body: false,
            statuses: defaults::cache_statuses(),
            max_body_bytes: defaults::cache_max_body_bytes(),
            wait_ms: defaults::cache_wait_ms(),
            stale_s: 0,
            authorized: Authorized::default(),
            keep_set_cookie: false,
            client_control: false,
            ignore_cache_control: false,
        }
    }
}
