//! How an upstream spreads its requests: settings that agree with each other.

use super::text::is_token;
use crate::model::faults::{Report, at_key, quoted};
use crate::model::upstream::{Hash, HashBy, HealthCheck, LoadBalancer, Upstream};

/// Checks everything that says which server gets a request.
pub(super) fn check(upstream: &Upstream, place: &str, report: &mut Report) {
    weights(upstream, place, report);
    someone_serves(upstream, place, report);
    if let Some(check) = &upstream.health_check {
        health_check(check, &at_key(place, "health_check"), report);
    }
    match (&upstream.hash, upstream.load_balancer) {
        (Some(hash), LoadBalancer::ConsistentHash) => key(hash, &at_key(place, "hash"), report),
        (Some(_), other) => report.warn(
            at_key(place, "hash"),
            format!("{} has no use for a key", word(other)),
            "write load_balancer: consistent_hash, or remove it",
        ),
        (None, _) => {}
    }
    if let Some(sticky) = &upstream.sticky
        && !is_token(&sticky.cookie)
    {
        report.fault(
            at_key(&at_key(place, "sticky"), "cookie"),
            format!("{} is not the name of a cookie", quoted(&sticky.cookie)),
            "write one such as server",
        );
    }
}

fn health_check(check: &HealthCheck, place: &str, report: &mut Report) {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !check.path.starts_with('/') || !plain(&check.path) || check.path.contains('#') {
        report.fault(
            at_key(place, "path"),
            format!("{} is not a path", quoted(&check.path)),
            "write one such as /health",
        );
    }
    if !is_token(&check.method) || check.method == "CONNECT" {
        report.fault(
            at_key(place, "method"),
            format!("{} is not a method to ask with", quoted(&check.method)),
            "write GET or HEAD",
        );
    }
    if let Some(host) = check.host.as_deref().filter(|host| !plain(host)) {
        report.fault(
            at_key(place, "host"),
            format!("{} is not a host", quoted(host)),
            "write one such as app.internal",
        );
    }
    if check.method == "HEAD" && check.expected_body.is_some() {
        report.fault(
            at_key(place, "expected_body"),
            "an answer to HEAD has no body",
            "write method: GET, or remove it",
        );
    }
}

/// The word for a balancer in a configuration.
fn word(balancer: LoadBalancer) -> &'static str {
    match balancer {
        LoadBalancer::RoundRobin => "round_robin",
        LoadBalancer::WeightedRoundRobin => "weighted_round_robin",
        LoadBalancer::LeastConn => "least_conn",
        LoadBalancer::PeakEwma => "peak_ewma",
        LoadBalancer::Random => "random",
        LoadBalancer::IpHash => "ip_hash",
        LoadBalancer::ConsistentHash => "consistent_hash",
    }
}

fn weights(upstream: &Upstream, place: &str, report: &mut Report) {
    match upstream.load_balancer {
        LoadBalancer::RoundRobin | LoadBalancer::IpHash => {
            if upstream.servers.iter().any(|server| server.weight != 1) {
                let name = word(upstream.load_balancer);
                report.warn(
                    at_key(place, "load_balancer"),
                    format!("{name} does not look at the weights of the servers"),
                    "write weighted_round_robin, or remove the weights",
                );
            }
        }
        _ => {
            if upstream.servers.iter().all(|server| server.weight == 0) {
                report.fault(
                    at_key(place, "servers"),
                    "every server has the weight 0, so none gets a request",
                    "give at least one a weight of 1 or more",
                );
            }
        }
    }
}

fn someone_serves(upstream: &Upstream, place: &str, report: &mut Report) {
    if !upstream.servers.is_empty() && upstream.servers.iter().all(|server| server.backup) {
        report.warn(
            at_key(place, "servers"),
            "every server is a backup, so they serve as if none were",
            "remove backup from at least one",
        );
    }
    if !upstream.servers.is_empty() && upstream.servers.iter().all(|server| server.drain) {
        report.warn(
            at_key(place, "servers"),
            "every server is draining, so new clients get 503",
            "remove drain from at least one",
        );
    }
}

fn key(hash: &Hash, place: &str, report: &mut Report) {
    let named = matches!(hash.by, HashBy::Header | HashBy::Cookie | HashBy::Query);
    match &hash.name {
        None if named => report.fault(place, "the key has no name", "add name"),
        Some(_) if !named => report.fault(
            at_key(place, "name"),
            "the client's address and the path have no name",
            "remove it, or write by: header, cookie or query",
        ),
        Some(name) if hash.by != HashBy::Query && !is_token(name) => report.fault(
            at_key(place, "name"),
            format!("{} is not the name of a header or cookie", quoted(name)),
            "write one such as x-user",
        ),
        _ => {}
    }
}
