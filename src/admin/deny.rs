//! Deny: where an upstream that came over the admin API may not point.
//!
//! Whoever may write routes must not thereby reach the admin listener itself, nor the addresses
//! by which clouds hand credentials to their machines.

use std::net::IpAddr;

use crate::model::config::Admin;
use crate::model::upstream::Upstream;
use crate::model::{Fault, Faults};

/// Refuses an upstream with a server that points to such a place.
pub(super) fn check(upstream: &Upstream, admin: &Admin) -> Result<(), Faults> {
    let mut list = Vec::new();
    for (index, server) in upstream.servers.iter().enumerate() {
        let Some(address) = &server.address else {
            continue;
        };
        let ip = address.parse::<IpAddr>().ok();
        let local = address.eq_ignore_ascii_case("localhost")
            || ip.is_some_and(|ip| ip.is_loopback() || ip.is_unspecified() || ip == admin.address);
        let what = if admin.enabled && local && server.port == Some(admin.port) {
            "this is the admin listener itself"
        } else if ip.is_some_and(is_link_local) {
            "this is a link-local address, by which clouds hand out credentials"
        } else {
            continue;
        };
        list.push(Fault {
            path: format!("$.servers[{index}].address"),
            line: None,
            what: what.to_owned(),
            instead: "name a server that clients may reach".to_owned(),
        });
    }
    if list.is_empty() {
        Ok(())
    } else {
        Err(Faults {
            source: "upstream".to_owned(),
            list,
        })
    }
}

/// Whether clouds hand out credentials at such an address.
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_admin_listener_and_link_local_addresses_are_refused() {
        let admin = Admin {
            enabled: true,
            port: 9180,
            ..Admin::default()
        };
        for (address, port, allowed) in [
            ("127.0.0.1", 9180, false),
            ("localhost", 9180, false),
            ("::1", 9180, false),
            ("0.0.0.0", 9180, false),
            ("127.0.0.1", 8080, true),
            ("10.0.0.9", 9180, true),
            ("169.254.169.254", 80, false),
            ("::ffff:169.254.169.254", 80, false),
            ("fe80::1", 80, false),
            ("app.internal", 80, true),
        ] {
            let value = json!({"name": "u", "servers": [{"address": address, "port": port}]});
            let upstream = serde_json::from_value(value).unwrap();
            assert_eq!(
                check(&upstream, &admin).is_ok(),
                allowed,
                "{address}:{port}"
            );
        }
    }
}
