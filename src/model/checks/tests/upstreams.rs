//! Upstreams and their servers.

use serde_json::{Value, json};

use super::{assert_said, said, server, upstream};

#[test]
fn upstream_names_are_unique() {
    let one = json!({"name": "app", "servers": [{"address": "::1", "port": 1}]});
    assert_said(
        json!({"upstreams": [one, one]}),
        &["$.upstreams[1].name: $.upstreams[0] has the name \"app\" too"],
    );
}

#[test]
fn servers_have_one_address() {
    for (one, sentence) in [
        (
            json!({}),
            "$.upstreams[0].servers[0]: the server has neither an address nor a unix",
        ),
        (json!({"port": 1}), "neither"),
        (
            json!({"address": "a", "port": 1, "unix": "/a"}),
            "servers[0]: the server has both an address and a unix socket",
        ),
        (
            json!({"unix": "/a", "port": 1}),
            "servers[0].port: a port belongs to an address",
        ),
        (
            json!({"address": "10.0.0.1"}),
            "servers[0]: the server has an address but no port",
        ),
        (
            json!({"unix": "a/b"}),
            "servers[0].unix: \"a/b\" is not an absolute path",
        ),
        (
            json!({"unix": format!("/{}", "a".repeat(103))}),
            "the path has 104 bytes",
        ),
        (json!({"unix": "/a\u{0}b"}), "the path contains a NUL"),
        (
            json!({"address": "a\r\nb", "port": 1}),
            "the address contains a carriage return",
        ),
        (
            json!({"address": "http://app:80/", "port": 1}),
            "\"http://app:80/\" is a URL; write the host alone: \"app\"",
        ),
        (
            json!({"address": "[::1]", "port": 1}),
            "has brackets; write \"::1\"",
        ),
        (
            json!({"address": "app:81", "port": 1}),
            "has a port in it; write address: app and port: 81",
        ),
        (
            json!({"address": "10.0.0.256", "port": 1}),
            "is neither an IP address nor a DNS name",
        ),
        (
            json!({"address": "a..b", "port": 1}),
            "is neither an IP address nor a DNS name",
        ),
        (
            json!({"address": "-a", "port": 1}),
            "is neither an IP address nor a DNS name",
        ),
    ] {
        let said = said(server(one.clone()));
        assert!(
            said.contains(sentence),
            "expected {sentence:?} of {one}\nsaid: {said}"
        );
    }
    for one in [
        json!({"unix": format!("/{}", "a".repeat(102))}),
        json!({"address": "app_1.internal", "port": 1}),
        json!({"address": "fd00::1", "port": 1}),
    ] {
        assert_said(server(one), &[]);
    }
}

#[test]
fn weights_mean_something() {
    let upstream = |balancer: &str, weight: u16| {
        let servers = json!([{"address": "::1", "port": 1, "weight": weight}]);
        json!({"upstreams": [{"name": "app", "load_balancer": balancer, "servers": servers}]})
    };
    assert_said(
        upstream("round_robin", 2),
        &["warning: $.upstreams[0].load_balancer: round_robin does not look at the weights"],
    );
    assert_said(
        upstream("weighted_round_robin", 0),
        &["$.upstreams[0].servers: every server has the weight 0"],
    );
    assert_said(upstream("weighted_round_robin", 2), &[]);
}

#[test]
fn what_spreads_and_checks_is_whole() {
    let hash = |hash: Value| upstream(json!({"load_balancer": "consistent_hash", "hash": hash}));
    let check = |check: Value| upstream(json!({"health_check": check}));
    for (parts, sentence) in [
        (
            hash(json!({"by": "header"})),
            "hash: the key has no name; add name",
        ),
        (
            hash(json!({"by": "path", "name": "x"})),
            "hash.name: the client's address and the path have no name",
        ),
        (
            hash(json!({"by": "cookie", "name": "a b"})),
            "hash.name: \"a b\" is not the name of a header or cookie",
        ),
        (
            upstream(json!({"hash": {}})),
            "hash: round_robin has no use for a key; write load_balancer: consistent_hash",
        ),
        (
            upstream(json!({"sticky": {"cookie": "a=b"}})),
            "sticky.cookie: \"a=b\" is not the name of a cookie",
        ),
        (
            check(json!({"path": "health"})),
            "health_check.path: \"health\" is not a path; write one such as /health",
        ),
        (
            check(json!({"method": "HEAD", "expected_body": "x"})),
            "health_check.expected_body: an answer to HEAD has no body",
        ),
        (
            check(json!({"host": "a b"})),
            "health_check.host: \"a b\" is not a host",
        ),
        (
            upstream(json!({"servers": [{"address": "::1", "port": 1, "backup": true}]})),
            "servers: every server is a backup",
        ),
        (
            upstream(json!({"servers": [{"address": "::1", "port": 1, "drain": true}]})),
            "servers: every server is draining",
        ),
    ] {
        assert_said(parts, &[sentence]);
    }
    assert_said(hash(json!({"by": "query", "name": "a"})), &[]);
    assert_said(check(json!({"type": "tcp"})), &[]);
}
