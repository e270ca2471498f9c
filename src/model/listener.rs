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
}

fn any_address() -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
}
