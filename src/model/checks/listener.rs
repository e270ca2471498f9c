//! Listeners: at least one, each on an address and port of its own.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::Origin;
use crate::model::config::Config;
use crate::model::faults::{ROOT, Report, at_index, at_key};

/// The most listeners.
const LISTENERS_MAX: usize = 256;

pub(super) fn check(config: &Config, origin: &Origin, report: &mut Report) {
    let list = at_key(ROOT, "listeners");
    if !origin.listeners_given {
        report.fault(
            &list,
            "there is no listener, so no request could come in",
            "add one: listeners: [{address: 127.0.0.1, port: 8080}]",
        );
    }
    if config.listeners.len() > LISTENERS_MAX {
        report.fault(
            &list,
            format!("there are more than {LISTENERS_MAX} listeners"),
            "remove some; one listener serves any number of hosts",
        );
    }
    let mut taken: HashMap<SocketAddr, String> = HashMap::new();
    for (listener, index) in config.listeners.iter().zip(&origin.listeners) {
        let place = at_index(&list, *index);
        let local = SocketAddr::new(listener.address, listener.port);
        // The kernel gives every listener on port 0 a port of its own.
        if local.port() == 0 {
            continue;
        }
        if let Some(other) = taken.get(&local) {
            report.fault(
                at_key(&place, "port"),
                format!("{other} listens on {local} already"),
                "remove one of them, or give it another port",
            );
        } else {
            taken.insert(local, place);
        }
    }
}
