//! Where client connections come in.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;

/// An address and port on which every worker accepts client connections.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// The local IP address.
    #[serde(default = "any_address")]
    pub address: IpAddr,
    /// The local TCP port; 0 lets the kernel choose (the log names it).
    pub port: u16,
    /// Connections that may wait to be accepted, per worker.
    #[serde(default = "defaults::backlog")]
    #[schemars(range(min = 1, max = 65_535))]
    pub backlog: u32,
    /// Which worker serves a connection that comes in here.
    #[serde(default)]
    pub spread: Spread,
}

/// Which worker serves a new connection.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// The one with the fewest connections; whoever accepted it hands it over.
    #[default]
    Even,
    /// The one that the kernel chose, whatever it has to do already. For many short connections,
    /// and for machines whose network card sends each connection to a core of its own.
    Kernel,
}

fn any_address() -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
}
