//! Groups of servers that routes forward to. Field names and defaults of seed 001.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::balance::{AllDown, Hash, HashBy, LoadBalancer, Queue, Sticky};
use super::defaults;
pub use super::health::{CircuitBreaker, HealthCheck, HealthCheckKind, Outlier};

/// A named group of servers.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The name that routes use.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,128}$"))]
    #[schemars(extend("x-expect" = defaults::NAME_EXPECT))]
    pub name: String,
    /// Who answers; at least one, at most 256.
    #[schemars(length(min = 1, max = 256))]
    pub servers: Vec<Server>,
    /// Speaking TLS to every server; without it they are spoken to in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// How a server is picked for a request.
    #[serde(default)]
    pub load_balancer: LoadBalancer,
    /// The key of `consistent_hash`; without it the client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Hash>,
    /// A cookie that keeps a client with its server, as long as that is up and below its limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// How long a server that is new, or that comes back, takes to its full share. Not looked at
    /// by `ip_hash` and `consistent_hash`.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(max = defaults::MS_MAX))]
    pub slow_start_ms: u64,
    /// Requests that wait while every server is at its limit; without it they are 503 at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// What to do with a request when every server is out.
    #[serde(default)]
    pub all_down: AllDown,
    /// Asking each server whether it is well; without it only what it answers counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Taking servers out by their share of failures; without it `max_fails` alone decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier: Option<Outlier>,
    /// The most servers, in percent of all, that each worker takes out for their failures; one it
    /// always may.
    #[serde(default = "defaults::max_ejection_percent")]
    #[schemars(range(max = 100))]
    pub max_ejection_percent: u8,
    /// Refusing requests for a while when too many fail; without it none are refused for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Retries to this upstream, in percent of its requests, per worker; beyond that only ten.
    #[serde(default = "defaults::retry_budget_percent")]
    #[schemars(range(max = 100))]
    pub retry_budget_percent: u8,
    /// Connections that each worker keeps.
    #[serde(default)]
    pub connection_pool: ConnectionPool,
    /// What other dialects of the admin API say about it, by their names; of no effect here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, serde_json::Value>,
}

impl Default for Upstream {
    /// One without a name and servers, everything else as if it was not given.
    fn default() -> Self {
        Self {
            name: String::new(),
            servers: Vec::new(),
            tls: None,
            load_balancer: LoadBalancer::default(),
            hash: None,
            sticky: None,
            slow_start_ms: 0,
            queue: None,
            all_down: AllDown::default(),
            health_check: None,
            outlier: None,
            max_ejection_percent: defaults::max_ejection_percent(),
            circuit_breaker: None,
            retry_budget_percent: defaults::retry_budget_percent(),
            connection_pool: ConnectionPool::default(),
            extensions: BTreeMap::new(),
        }
    }
}

impl Default for Server {
    /// One without an address, everything else as if it was not given.
    fn default() -> Self {
        Self {
            address: None,
            port: None,
            unix: None,
            weight: defaults::weight(),
            backup: false,
            drain: false,
            max_connections: None,
            max_fails: defaults::max_fails(),
            fail_timeout_ms: defaults::fail_timeout_ms(),
        }
    }
}

/// One server: `address` and `port`, or `unix`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// An IP address, or a name that the admin core resolves and keeps up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The TCP port; required with `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// The absolute path of a unix socket, 103 bytes at most; instead of `address` and `port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unix: Option<PathBuf>,
    /// Its share of the requests, where the balancer looks at it; 0 gets none.
    #[serde(default = "defaults::weight")]
    pub weight: u16,
    /// Whether it gets requests only while no other server is up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
    /// Whether it gets no new requests, but for clients that a cookie keeps with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drain: bool,
    /// Requests in flight to it, per worker; it is passed over while it has as many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_connections: Option<u32>,
    /// Failures in a row after which each worker takes it out; 0 is never. A failure is a
    /// connection that cannot be opened, no answer or none in time, one that is no HTTP, or 502,
    /// 503 or 504.
    #[serde(default = "defaults::max_fails")]
    pub max_fails: u32,
    /// How long it is then out. After that it gets one request at a time, until one goes well.
    #[serde(default = "defaults::fail_timeout_ms")]
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub fail_timeout_ms: u64,
}

/// Speaking TLS to the servers of an upstream: versions 1.2 and 1.3. The files are followed.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Who every server must prove to be, a name or an IP address; without it each must prove to
    /// be its `address`. Required with a server at a unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
    /// Whether a server must prove who it is. If not, anybody between may be it.
    pub verify: bool,
    /// A file with the certificates (PEM) of those who vouch for the servers; without it those that
    /// this machine trusts do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A file with our certificate (PEM), and those between it and its root, for servers that want
    /// to know who asks; `key` goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// A file with the private key (PEM) of `certificate`; it may be the same file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

impl Default for Tls {
    /// Servers must prove to be their addresses, to those that this machine trusts.
    fn default() -> Self {
        Self {
            server_name: None,
            verify: true,
            ca_file: None,
            certificate: None,
            key: None,
        }
    }
}

fn is_zero(ms: &u64) -> bool {
    *ms == 0
}

/// Connections to the servers of an upstream that each worker keeps.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionPool {
    /// Connections to all servers of the upstream, per worker; without a free one the answer is
    /// 503.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_connections: u32,
    /// Of these, how many may be kept without a request.
    pub max_idle: u32,
    /// A kept connection without a request is closed after this.
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub idle_timeout_ms: u64,
    /// How long opening a connection may take, unless the route says less.
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub connect_timeout_ms: u64,
}

impl Default for ConnectionPool {
    fn default() -> Self {
        Self {
            max_connections: defaults::pool_max_connections(),
            max_idle: defaults::pool_max_idle(),
            idle_timeout_ms: defaults::pool_idle_timeout_ms(),
            connect_timeout_ms: defaults::connect_timeout_ms(),
        }
    }
}
