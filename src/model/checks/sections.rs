//! The sections that stand once: workers, timeouts, http, forwarded, access_log, admin, store, dns.

use std::collections::HashSet;

use super::text::{control_character, is_dns_name, is_token};
use crate::model::config::{Config, StoreKind, Workers};
use crate::model::faults::{ROOT, Report, at_index, at_key, quoted};
use crate::model::ocelot::OcelotAdmin;
use crate::model::secret::{HIDDEN, Secret};
use crate::wire::trailer;

pub(super) fn check(config: &Config, report: &mut Report) {
    workers(config, report);
    timeouts(config, report);
    trailers(config, report);
    forwarded(config, report);
    access_log(config, report);
    admin(config, report);
    store(config, report);
    if config.dns.min_ttl_ms > config.dns.max_ttl_ms {
        report.fault(
            "$.dns.min_ttl_ms",
            format!(
                "{} is more than max_ttl_ms, which is {}",
                config.dns.min_ttl_ms, config.dns.max_ttl_ms
            ),
            "make min_ttl_ms smaller, or max_ttl_ms larger",
        );
    }
}

fn workers(config: &Config, report: &mut Report) {
    let Workers::Cores(cores) = &config.workers else {
        return;
    };
    let mut seen = HashSet::new();
    for (index, core) in cores.iter().enumerate() {
        if !seen.insert(core) {
            report.fault(
                at_index("$.workers", index),
                format!("core {core} is listed twice"),
                "list each core once; a core has one worker",
            );
        }
    }
}

fn timeouts(config: &Config, report: &mut Report) {
    let idle = config.timeouts.idle_ms;
    for (name, other) in [
        ("header_ms", config.timeouts.header_ms),
        ("write_ms", config.timeouts.write_ms),
    ] {
        if idle < other {
            report.fault(
                "$.timeouts.idle_ms",
                format!("{idle} is less than {name}, which is {other}"),
                format!("write {other} or more, or make {name} smaller"),
            );
        }
    }
}

fn trailers(config: &Config, report: &mut Report) {
    for (index, name) in config.http.allowed_trailers.iter().enumerate() {
        let place = at_index("$.http.allowed_trailers", index);
        if !is_token(name) {
            report.fault(
                place,
                format!("{} is not the name of a field", quoted(name)),
                "write one such as \"grpc-status\"",
            );
        } else if trailer::is_forbidden(name.as_bytes()) {
            report.fault(
                place,
                format!(
                    "{} must not come in a trailer (RFC 9110 §6.5.1)",
                    quoted(name)
                ),
                "remove it",
            );
        }
    }
}

fn forwarded(config: &Config, report: &mut Report) {
    for (index, network) in config.forwarded.trusted.iter().enumerate() {
        if network.prefix_len() == 0 {
            report.warn(
                at_index("$.forwarded.trusted", index),
                format!("{network} is everyone: any client may then say who it is"),
                "name the networks of your own proxies",
            );
        }
    }
}

fn access_log(config: &Config, report: &mut Report) {
    let path = config
        .access_log
        .path
        .as_deref()
        .and_then(|path| path.to_str());
    if let Some(what) = path.and_then(control_character) {
        report.fault(
            "$.access_log.path",
            format!("the path contains {what}"),
            "remove it",
        );
    }
}

fn admin(config: &Config, report: &mut Report) {
    let admin = &config.admin;
    if let Some(key) = &admin.api_key {
        check_key(key, "$.admin.api_key", report);
    }
    keys(config, report);
    for (index, host) in admin.allowed_hosts.iter().enumerate() {
        if !is_dns_name(host) {
            report.fault(
                at_index("$.admin.allowed_hosts", index),
                format!("{} is not the name of a host", quoted(host)),
                "write one such as admin.internal, without a port",
            );
        }
    }
    if let Some(what) = admin
        .audit_log
        .as_deref()
        .and_then(|path| path.to_str())
        .and_then(control_character)
    {
        report.fault(
            "$.admin.audit_log",
            format!("the path contains {what}"),
            "remove it",
        );
    }
    if !admin.enabled {
        return;
    }
    if let Some(ocelot) = &admin.ocelot {
        check_ocelot(ocelot, report);
    }
    if admin.api_key.is_none() && admin.keys.is_empty() && admin.ocelot.is_none() {
        report.fault(
            at_key(ROOT, "admin"),
            "the admin listener is enabled without a key",
            "add api_key: {env: RINGWAY_API_KEY}, or write enabled: false",
        );
    }
    if admin.port != 0
        && config
            .listeners
            .iter()
            .any(|listener| listener.port == admin.port)
    {
        report.fault(
            "$.admin.port",
            format!("{} is the port of a listener too", admin.port),
            "give the admin listener a port that clients do not use",
        );
    }
    if !admin.address.is_loopback() {
        report.warn(
            "$.admin.address",
            format!(
                "{} may be reached from other machines, without encryption",
                admin.address
            ),
            "write 127.0.0.1, or see that a firewall keeps others out",
        );
    }
}

/// First segments of paths that the other dialects have.
const TAKEN: [&str; 13] = [
    ".well-known",
    "api",
    "apis",
    "cores",
    "epochs",
    "explain",
    "metrics",
    "reload",
    "routes",
    "status",
    "upstreams",
    "v1",
    "watch",
];

fn check_ocelot(ocelot: &OcelotAdmin, report: &mut Report) {
    const PLACE: &str = "$.admin.ocelot";
    if ocelot.secret.is_none() && ocelot.authority.is_none() {
        report.fault(
            PLACE,
            "nobody can come to a token",
            "add secret: {env: OCELOT_SECRET}, or authority",
        );
    }
    if let Some(secret) = &ocelot.secret {
        check_key(secret, &at_key(PLACE, "secret"), report);
    }
    let first = ocelot.path.split('/').nth(1).unwrap_or_default();
    if TAKEN.contains(&first) {
        report.fault(
            at_key(PLACE, "path"),
            format!("{} belongs to the admin API already", quoted(&ocelot.path)),
            "write another, such as /administration",
        );
    }
    let Some(authority) = &ocelot.authority else {
        return;
    };
    let place = at_key(PLACE, "authority");
    if authority.starts_with("https://") {
        return;
    }
    if !authority.starts_with("http://") {
        report.fault(
            place,
            format!("{} is not a URL", quoted(authority)),
            "write one such as https://identity.internal",
        );
    } else if ocelot.require_https_metadata {
        report.fault(
            place,
            "whoever stands between could give keys of his own: this is not https",
            "write require_https_metadata: false if the network is your own",
        );
    }
}

fn keys(config: &Config, report: &mut Report) {
    let mut names = HashSet::new();
    for (index, one) in config.admin.keys.iter().enumerate() {
        let place = at_index("$.admin.keys", index);
        check_key(&one.key, &at_key(&place, "key"), report);
        if !names.insert(one.name.as_str()) {
            report.fault(
                at_key(&place, "name"),
                format!("another key has the name {} too", quoted(&one.name)),
                "give each key a name of its own",
            );
        }
    }
}

/// The value is a secret: the sentences must not show it.
fn check_key(key: &Secret, place: &str, report: &mut Report) {
    let Secret::Plain(key) = key else { return };
    if key == HIDDEN {
        report.fault(
            place,
            "this stands for a key that was hidden; it is not the key itself",
            "write the key, {env: NAME} or {file: PATH}",
        );
    } else if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        report.fault(
            place,
            "the key has characters that a field value cannot carry",
            "use visible ASCII characters without spaces",
        );
    }
}

fn store(config: &Config, report: &mut Report) {
    match (config.store.kind, &config.store.path) {
        (StoreKind::Embedded, None) => report.fault(
            "$.store",
            "an embedded store needs a file",
            "add path: /var/lib/ringway/store.redb",
        ),
        (StoreKind::File, Some(_)) => report.fault(
            "$.store.path",
            "the file store is the configuration file itself, so there is no other path",
            "remove it, or write kind: embedded",
        ),
        _ => {}
    }
}
