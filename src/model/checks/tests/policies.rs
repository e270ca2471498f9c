//! What a route does besides: policies and the cache.

use serde_json::{Value, json};

use super::{assert_said, route};

#[test]
fn policies_are_whole() {
    let zeros = "sha256::".to_owned() + &"0".repeat(64);
    let key = json!({"name": "k", "secret_hash": zeros});
    for (parts, sentence) in [
        (
            json!({"request_headers": {"remove": ["Host"]}}),
            "request_headers.remove[0]: Host is written by the proxy",
        ),
        (
            json!({"response_headers": {"set": [{"name": "a b", "value": ""}]}}),
            "response_headers.set[0].name: \"a b\" is not the name of a field",
        ),
        (
            json!({"upstream_headers": [{"name": "a", "value": "x\r\ny"}]}),
            "upstream_headers[0].value: the text contains a carriage return",
        ),
        (
            json!({"request_query": {"add": [{"name": "a", "value": "{user}"}]}}),
            "request_query.add[0].value: nothing is known as {user} here; write a capture",
        ),
        (
            json!({"host_rewrite": "http://a/"}),
            "host_rewrite: \"http://a/\" is not a host",
        ),
        (
            json!({"cors": {"allow_origins": ["example.com"]}}),
            "cors.allow_origins[0]: \"example.com\" is not an origin",
        ),
        (
            json!({"cors": {"allow_origins": ["*"], "allow_credentials": true}}),
            "cors.allow_credentials: with credentials no browser takes * for an origin",
        ),
        (
            json!({"auth": {"type": "basic"}}),
            "auth: nobody may come in; add users",
        ),
        (
            json!({"auth": {"type": "basic", "users": [key], "keys": [key]}}),
            "auth.keys: they do not belong to this type of auth; move them to users",
        ),
        (
            json!({"auth": {"type": "basic", "users": [key, key]}}),
            "auth.users[1].name: \"k\" is there twice",
        ),
        (
            json!({"auth": {"type": "api_key", "keys": [{"name": "k", "secret_hash": "plain"}]}}),
            "auth.keys[0].secret_hash: \"plain\" is not of the right form; write what `ringway hash`",
        ),
        (
            json!({"rate_limit": {"key": "header"}}),
            "rate_limit: the key has no name; add header",
        ),
        (
            json!({"rate_limit": {"header": "x"}}),
            "rate_limit.header: only key: header looks at a field",
        ),
        (
            json!({"traffic_split": [{"upstream": "ap"}]}),
            "traffic_split[0].upstream: there is no upstream \"ap\"; did you mean \"app\"?",
        ),
        (
            json!({"traffic_split": [{"upstream": "app", "weight": 0}]}),
            "traffic_split: every part has the weight 0",
        ),
        (
            json!({"split_sticky": {"cookie": "a"}}),
            "split_sticky: there is no split to stick to",
        ),
        (
            json!({"maintenance": {"status": 204}}),
            "maintenance.status: a response of this status has no body",
        ),
        (
            json!({"retry": {"statuses": [500, 418]}}),
            "retry.statuses[1]: a request is not sent again after 418",
        ),
        (
            json!({"allow_methods": ["G T"]}),
            "allow_methods[0]: \"G T\" is not a method",
        ),
    ] {
        assert_said(route(parts), &[sentence]);
    }
    assert_said(
        route(json!({
            "path": null, "path_template": "/{user}",
            "request_headers": {"add": [{"name": "a", "value": "{user} {client_ip}"}]},
            "auth": {"type": "api_key", "keys": [key]},
        })),
        &[],
    );
}

#[test]
fn a_cache_keeps_what_may_be_given_out() {
    let cache = |cache: Value| route(json!({"cache": cache}));
    assert_said(
        cache(json!({"vary": ["accept"], "region": "a region", "statuses": [200, 404]})),
        &[],
    );
    assert_said(
        cache(json!({"vary": ["a b"], "statuses": [206], "region": "a\nb"})),
        &[
            "$.routes[0].cache.vary[0]: \"a b\" is not the name of a field",
            "$.routes[0].cache.statuses[0]: a response with 206 is not a whole one",
            "$.routes[0].cache.region: the name contains",
        ],
    );
    assert_said(
        route(json!({"cache": {}, "upstream": null, "respond": {}})),
        &["$.routes[0].cache: only responses of an upstream are kept"],
    );
    let asks = json!({"type": "forward_auth", "forward": {"upstream": "app"}});
    assert_said(
        route(json!({"cache": {}, "auth": asks})),
        &["$.routes[0].cache: a kept response would be given out before"],
    );
    assert_said(cache(json!({"ttl_s": 0})), &["$.routes[0].cache.ttl_s: "]);
    let mut limited = cache(json!({}));
    limited["limits"] = json!({"cache_bytes": 1000});
    assert_said(
        limited.clone(),
        &["warning: $.routes[0].cache.max_body_bytes: limits.cache_bytes is 1000"],
    );
    limited["limits"] = json!({"cache_bytes": 0});
    assert_said(limited, &["warning: $.routes[0].cache: nothing is kept"]);
}
