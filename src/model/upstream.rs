//! Groups of servers that routes forward to. Field names and defaults of seed 001.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;

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
    /// How a server is picked for a request.
    #[serde(default)]
    pub load_balancer: LoadBalancer,
    /// Connections that each worker keeps.
    #[serde(default)]
    pub connection_pool: ConnectionPool,
    /// What other dialects of the admin API say about it, by their names; of no effect here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, serde_json::Value>,
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
    /// Its share of the requests under `weighted_round_robin`; 0 gets none.
    #[serde(default = "defaults::weight")]
    pub weight: u16,
}

/// How a server is picked for a request.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadBalancer {
    /// One after the other, on each worker.
    #[default]
    RoundRobin,
    /// In proportion to `weight`, smoothly mixed.
    WeightedRoundRobin,
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
