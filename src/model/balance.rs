//! How requests are spread over the servers of an upstream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;

/// How a server is picked for a request. What a balancer remembers, each worker remembers for
/// itself.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadBalancer {
    /// One after the other.
    #[default]
    RoundRobin,
    /// In proportion to `weight`, smoothly mixed.
    WeightedRoundRobin,
    /// The one with the fewest requests in flight for its `weight`.
    LeastConn,
    /// Of two taken at random, the one that answers sooner: its peak-sensitive mean latency times
    /// its requests in flight, for its `weight`.
    PeakEwma,
    /// At random, in proportion to `weight`.
    Random,
    /// By the client's address, modulo the servers that are up: the same client, the same server,
    /// as long as none comes or goes.
    IpHash,
    /// By a key that `hash` names, with Maglev's table: when a server goes, only its keys move.
    ConsistentHash,
}

/// The key of `consistent_hash`.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hash {
    /// What of the request is the key. A request without it gets a server at random.
    pub by: HashBy,
    /// The name of the header, cookie or query parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,
    /// A server that has more than this percentage of the mean of requests in flight is passed
    /// over. Without it there is no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 101, max = 10_000))]
    pub load_bound_percent: Option<u32>,
}

/// What of a request is the key.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HashBy {
    /// The client's address.
    #[default]
    Client,
    /// The first field of that name.
    Header,
    /// The cookie of that name.
    Cookie,
    /// The query parameter of that name, as it stands.
    Query,
    /// The path.
    Path,
}

/// A cookie that keeps a client with its server.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sticky {
    /// The name of the cookie. Its value tells the server without naming it.
    #[schemars(length(min = 1, max = 64))]
    pub cookie: String,
    /// How long the client keeps it, in seconds. Without it: until the browser closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub max_age_s: Option<u32>,
    /// Whether it is sent over TLS only.
    #[serde(default)]
    pub secure: bool,
}

/// Requests that wait while every server is at its limit.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// How many may wait, per worker; a further one is 503 at once.
    #[schemars(range(min = 1, max = 65_536))]
    pub max_requests: u32,
    /// How long one may wait; then 503.
    #[serde(default = "defaults::queue_timeout_ms")]
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub timeout_ms: u64,
}

/// What to do with a request when every server is out.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AllDown {
    /// Try one of them all the same: that all are down is less likely than that the judgement of
    /// them is wrong.
    #[default]
    Try,
    /// Refuse it with 503.
    Refuse,
}
