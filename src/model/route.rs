//! Which requests go where. Field names and defaults of seed 001 where it has them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aggregate::Aggregate;
use super::cache::Cache;
use super::compress::Compress;
use super::defaults;
use super::policy::{
    Auth, Cors, Edits, ErrorPage, IpRules, Maintenance, NamedValue, RateLimit, SplitSticky,
    SplitTarget,
};

/// A rule: what a request must look like, and what then happens to it.
///
/// Exactly one of `path_prefix`, `path`, `path_template`, `path_regex`; exactly one of `upstream`,
/// `redirect`, `respond`, `aggregate`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The name in logs and in `explain`; made from host and path if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,128}$"))]
    #[schemars(extend("x-expect" = defaults::NAME_EXPECT))]
    pub id: Option<String>,
    /// Whether it takes requests.
    #[serde(default = "defaults::yes", skip_serializing_if = "is_yes")]
    pub enabled: bool,
    /// Looked at first of all: the higher rank wins, whatever else matches.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rank: i32,
    /// The host, or `*.domain` for every name below the domain. Without it: any host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Paths that start with this, whole segments only: `/a` matches `/a` and `/a/b`, not `/ab`;
    /// `/a/` matches `/a/` and `/a/b`, not `/a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// This path only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A path with captures: `{name}` is one segment, `{name*}` at the end is the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_template: Option<String>,
    /// A regular expression that must match the whole path (linear time, limited size).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_regex: Option<String>,
    /// Whether the letters A to Z match in either case in the path. A `path_regex` says that
    /// itself, with `(?i)`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_case: bool,
    /// Only these methods; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Fields that the request must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub headers: Vec<Condition>,
    /// Query parameters that the request must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub query: Vec<Condition>,
    /// The upstream that answers, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Answer with a redirect instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// Answer with this instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respond: Option<Respond>,
    /// Answer with what several other routes answer instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<Aggregate>,
    /// A start of the path that is replaced by `rewrite_replacement` before forwarding; plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite_pattern: Option<String>,
    /// What `rewrite_pattern` is replaced by.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rewrite_replacement: String,
    /// The path to forward, with the captures of `path_template` (or the named groups of
    /// `path_regex`) in braces: `/v2/{id}`. `{query.NAME}` is the value of a query parameter,
    /// `{header.NAME}` of a field, `{claim.NAME}` of a claim of the token, without their slashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite_template: Option<String>,
    /// Whether a path made by `rewrite_template` loses the slashes at its end where the path of the
    /// request ends without one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rewrite_trims_slash: bool,
    /// How long opening a connection to a server may take.
    #[serde(default = "defaults::connect_timeout_ms")]
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub connect_timeout_ms: u64,
    /// A server that takes nothing of the request for this long: 504.
    #[serde(default = "defaults::send_timeout_ms")]
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub send_timeout_ms: u64,
    /// A server that says nothing for this long: 504.
    #[serde(default = "defaults::read_timeout_ms")]
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub read_timeout_ms: u64,
    /// From the routed request to the last byte of the response.
    #[serde(default = "defaults::total_timeout_ms")]
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub total_timeout_ms: u64,
    /// Bytes of a response body; more is 502, or a broken response if its head has gone out.
    #[serde(default = "defaults::max_response_bytes")]
    pub max_response_bytes: u64,
    /// Bytes of a request body on this route, instead of `limits.max_body_bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
    /// Sending a request again when the first try failed.
    #[serde(default)]
    pub retry: Retry,
    /// Further hosts and paths that the route is for, each with its own rewriting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub also: Vec<Also>,
    /// What other dialects of the admin API say about it, by their names; of no effect here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, serde_json::Value>,
    /// Upstreams that share the requests, in the place of `upstream`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub traffic_split: Vec<SplitTarget>,
    /// A cookie that keeps a client with its part of `traffic_split`; without it each request is
    /// drawn anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_sticky: Option<SplitSticky>,
    /// The methods that are served; others get 405. None means all. Unlike `methods` this does not
    /// leave a request to another route.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub allow_methods: Vec<String>,
    /// Which clients may come in, by their address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpRules>,
    /// Cross-origin requests; without it none of its fields are looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Who may come in, by what they prove.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// How many requests may come in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Answering every request with the same for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// Changes to the fields of the request on its way to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<Edits>,
    /// Fields set on the request on its way to the server; as `request_headers.set`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub upstream_headers: Vec<NamedValue>,
    /// Changes to the query on its way to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_query: Option<Edits>,
    /// Whether what `request_query` puts in comes before the parameters of the client.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub request_query_first: bool,
    /// The method that the server gets instead of the client's; HEAD stays HEAD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub method_rewrite: Option<String>,
    /// The `Host` that the server gets, with the same places as values of fields have; without it
    /// the one that the client sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub host_rewrite: Option<String>,
    /// Changes to the fields of the response on its way to the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<Edits>,
    /// Keeping responses for those who ask next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Compression of responses on their way to the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compress: Option<Compress>,
    /// An upstream that gets a copy of each request, by name. Nobody waits for what it answers. A
    /// request goes without a copy if its body is not at hand with its head, or if 256 copies are
    /// under way on its worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<String>,
    /// Of how many requests, in percent, a copy is sent to `mirror`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub mirror_percent: Option<u8>,
    /// The bodies of answers that Ringway makes itself because a request cannot be served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub error_pages: Vec<ErrorPage>,
}

impl Default for Route {
    /// One that matches nothing and does nothing, everything else as if it was not given.
    fn default() -> Self {
        Self {
            id: None,
            enabled: true,
            rank: 0,
            host: None,
            path_prefix: None,
            path: None,
            path_template: None,
            path_regex: None,
            ignore_case: false,
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            upstream: None,
            redirect: None,
            respond: None,
            aggregate: None,
            rewrite_pattern: None,
            rewrite_replacement: String::new(),
            rewrite_template: None,
            rewrite_trims_slash: false,
            connect_timeout_ms: defaults::connect_timeout_ms(),
            send_timeout_ms: defaults::send_timeout_ms(),
            read_timeout_ms: defaults::read_timeout_ms(),
            total_timeout_ms: defaults::total_timeout_ms(),
            max_response_bytes: defaults::max_response_bytes(),
            max_body_bytes: None,
            retry: Retry::default(),
            also: Vec::new(),
            extensions: BTreeMap::new(),
            traffic_split: Vec::new(),
            split_sticky: None,
            allow_methods: Vec::new(),
            ip: None,
            cors: None,
            auth: None,
            rate_limit: None,
            maintenance: None,
            request_headers: None,
            upstream_headers: Vec::new(),
            request_query: None,
            request_query_first: false,
            method_rewrite: None,
            host_rewrite: None,
            response_headers: None,
            cache: None,
            compress: None,
            mirror: None,
            mirror_percent: None,
            error_pages: Vec::new(),
        }
    }
}

impl Route {
    /// The names of all upstreams that it uses.
    pub fn upstreams(&self) -> impl Iterator<Item = &str> {
        let parts = self.traffic_split.iter().map(|target| &target.upstream);
        let asked = self.auth.iter().filter_map(|auth| auth.forward.as_ref());
        let asked = asked.map(|forward| &forward.upstream);
        let all = self.upstream.iter().chain(parts).chain(asked);
        let all = all.chain(&self.mirror);
        all.map(String::as_str)
    }
}

fn is_zero(rank: &i32) -> bool {
    *rank == 0
}

fn is_yes(flag: &bool) -> bool {
    *flag
}

/// A further host and path of a route. The keys mean what they mean there.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Also {
    /// As `host` of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// As `path_prefix` of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// As `path` of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// As `path_template` of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_template: Option<String>,
    /// As `path_regex` of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_regex: Option<String>,
    /// As `rewrite_pattern` of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite_pattern: Option<String>,
    /// As `rewrite_replacement` of the route.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rewrite_replacement: String,
    /// As `rewrite_template` of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite_template: Option<String>,
}

impl Route {
    /// The route once for each host and path that it is for, without what has no effect. The first
    /// has the id of the route; the others have it with `+1`, `+2` and so on, which no declared
    /// id can be.
    #[must_use]
    pub fn each(&self) -> Vec<Self> {
        self.clone().into_each()
    }

    /// The same of a route that nobody needs any more.
    #[must_use]
    pub fn into_each(mut self) -> Vec<Self> {
        let also = std::mem::take(&mut self.also);
        self.extensions = BTreeMap::new();
        let further = (1..).zip(also).map(|(number, also)| {
            let mut one = self.clone();
            one.id = self.id.as_ref().map(|id| Self::further_id(id, number));
            one.take(also);
            one
        });
        let further: Vec<Self> = further.collect();
        let mut each = vec![self];
        each.extend(further);
        each
    }

    /// The id that a table has for the further host and path `number`, from 1, of a route.
    #[must_use]
    pub fn further_id(id: &str, number: usize) -> String {
        format!("{id}+{number}")
    }

    fn take(&mut self, also: Also) {
        self.host = also.host;
        self.path_prefix = also.path_prefix;
        self.path = also.path;
        self.path_template = also.path_template;
        self.path_regex = also.path_regex;
        self.rewrite_pattern = also.rewrite_pattern;
        self.rewrite_replacement = also.rewrite_replacement;
        self.rewrite_template = also.rewrite_template;
    }
}

/// A field or query parameter that a request must have.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Its name; case does not matter for fields.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Its exact value. Without `value` and `regex` it need only be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// A regular expression that must match its whole value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}

/// An answer that sends the client elsewhere.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// The `Location`; `{path}`, `{query}`, `{host}` and the captures of the route stand for what
    /// the request has. `{query}` includes its `?`.
    #[schemars(length(min = 1))]
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    #[serde(default = "defaults::redirect_status")]
    #[schemars(range(min = 301, max = 308))]
    pub status: u16,
}

/// A fixed answer.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// Its status, 200 to 599.
    #[serde(default = "defaults::respond_status")]
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// Its fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Its body, 64 KiB at most.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 65_536))]
    pub body: String,
}

/// Sending a request again when the first try failed.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// How often, at the most; never where the first try may have had an effect.
    #[schemars(range(max = 10))]
    pub max_retries: u8,
    /// After which failures.
    pub on: Vec<RetryOn>,
    /// The statuses that `status` stands for: 500 to 511, 520 to 530, 408, 425 or 429.
    #[schemars(length(max = 32), inner(range(min = 408, max = 530)))]
    pub statuses: Vec<u16>,
    /// How long each try may take until its response begins; without it only the timeouts of the
    /// route count.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub per_try_timeout_ms: Option<u64>,
    /// Hedging: when no answer has begun after this time, a second server is asked too and the
    /// first answer counts. GET, HEAD, OPTIONS and QUERY only, within the budget of retries.
    /// Without it no request is sent twice at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub hedge_after_ms: Option<u64>,
}

/// A failure after which a request may be sent again.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryOn {
    /// The connection could not be opened: nothing was sent, so any request may be repeated.
    Connect,
    /// The connection ended before an answer began; idempotent requests only.
    Closed,
    /// No answer in time; GET, HEAD, OPTIONS and QUERY only.
    Timeout,
    /// One of `statuses`, if another server is up; GET, HEAD, OPTIONS and QUERY only.
    Status,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_retries: defaults::max_retries(),
            on: vec![RetryOn::Connect, RetryOn::Closed, RetryOn::Status],
            statuses: vec![502, 503, 504],
            per_try_timeout_ms: None,
            hedge_after_ms: None,
        }
    }
}
