//! Each test gives faulty declarations and the sentence that must be said about each.

use serde_json::{Value, json};

use crate::model::document::Format;
use crate::model::{Loaded, read};

/// What is said of `parts` laid over a configuration that is right: faults, then warnings.
fn said(parts: Value) -> String {
    let mut document = json!({
        "listeners": [{"address": "127.0.0.1", "port": 8080}],
        "upstreams": [{"name": "app", "servers": [{"address": "127.0.0.1", "port": 9000}]}],
        "routes": [{"path_prefix": "/", "upstream": "app"}],
    });
    for (key, value) in parts.as_object().unwrap() {
        document[key] = value.clone();
    }
    match read(&document.to_string(), Format::Json, "c") {
        Ok(Loaded { warnings, .. }) => warnings
            .iter()
            .map(|warning| format!("warning: {warning}\n"))
            .collect(),
        Err(faults) => faults.to_string() + "\n",
    }
}

#[track_caller]
fn assert_said(parts: Value, sentences: &[&str]) {
    let said = said(parts.clone());
    for sentence in sentences {
        assert!(
            said.contains(sentence),
            "expected {sentence:?} of {parts}\nsaid: {said}"
        );
    }
    let count = said.lines().count();
    assert_eq!(count, sentences.len(), "of {parts}\nsaid: {said}");
}

fn route(parts: Value) -> Value {
    let mut route = json!({"path": "/", "upstream": "app"});
    for (key, value) in parts.as_object().unwrap() {
        match value {
            Value::Null => {
                route.as_object_mut().unwrap().remove(key);
            }
            value => route[key] = value.clone(),
        }
    }
    json!({"routes": [route]})
}

fn server(server: Value) -> Value {
    json!({"upstreams": [{"name": "app", "servers": [server]}]})
}

#[test]
fn a_right_configuration_is_taken_in_silence() {
    assert_said(json!({}), &[]);
}

#[test]
fn listeners() {
    let one = json!({"address": "127.0.0.1", "port": 8080});
    assert_said(
        json!({"listeners": []}),
        &["$.listeners: there is no listener"],
    );
    assert_said(
        json!({"listeners": [one, one]}),
        &["$.listeners[1].port: $.listeners[0] listens on 127.0.0.1:8080 already"],
    );
    let any = json!({"address": "127.0.0.1", "port": 0});
    assert_said(json!({"listeners": [any, any]}), &[]);
}

#[test]
fn sections_agree_with_themselves() {
    assert_said(
        json!({"timeouts": {"idle_ms": 100}}),
        &[
            "$.timeouts.idle_ms: 100 is less than header_ms, which is 10000; write 10000 or more",
            "$.timeouts.idle_ms: 100 is less than write_ms",
        ],
    );
    assert_said(
        json!({"dns": {"min_ttl_ms": 70_000}}),
        &["$.dns.min_ttl_ms: 70000 is more than max_ttl_ms, which is 60000"],
    );
    assert_said(
        json!({"workers": [0, 1, 0]}),
        &["$.workers[2]: core 0 is listed twice"],
    );
    assert_said(json!({"workers": [0, 1]}), &[]);
    assert_said(
        json!({"http": {"allowed_trailers": ["grpc-status", "a b", "Content-Length"]}}),
        &[
            "$.http.allowed_trailers[1]: \"a b\" is not the name of a field",
            "$.http.allowed_trailers[2]: \"Content-Length\" must not come in a trailer",
        ],
    );
    assert_said(
        json!({"forwarded": {"trusted": ["10.0.0.0/8", "0.0.0.0/0"]}}),
        &["warning: $.forwarded.trusted[1]: 0.0.0.0/0 is everyone"],
    );
    assert_said(
        json!({"access_log": {"path": "a\nb"}}),
        &["$.access_log.path: the path contains a line feed"],
    );
}

#[test]
fn the_admin_listener_is_kept_apart() {
    assert_said(
        json!({"admin": {"enabled": true}}),
        &["$.admin: the admin listener is enabled without a key"],
    );
    assert_said(
        json!({"admin": {"enabled": true, "api_key": "k", "port": 8080}}),
        &["$.admin.port: 8080 is the port of a listener too"],
    );
    assert_said(
        json!({"admin": {"enabled": true, "api_key": "k", "address": "0.0.0.0"}}),
        &["warning: $.admin.address: 0.0.0.0 may be reached from other machines"],
    );
    assert_said(json!({"admin": {"port": 8080}}), &[]);
    assert_said(
        json!({"admin": {"exists_status": 404}}),
        &["$.admin.exists_status: 404 is none of the values that it may have; write 401 or 409"],
    );
    assert_said(json!({"admin": {"exists_status": 409}}), &[]);
}

#[test]
fn a_key_is_never_shown() {
    for key in [
        json!("hunter 2"),
        json!("(secret)"),
        json!(4711),
        json!(["hunter 2"]),
        json!(""),
    ] {
        let said = said(json!({"admin": {"enabled": true, "api_key": key}}));
        assert!(said.contains("$.admin.api_key: "), "{said}");
        assert!(!said.contains("hunter") && !said.contains("4711"), "{said}");
    }
}

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
fn routes_name_an_upstream_that_exists() {
    assert_said(
        route(json!({"upstream": "ap"})),
        &["$.routes[0].upstream: there is no upstream \"ap\"; did you mean \"app\"?"],
    );
    // One that is faulty exists all the same.
    assert_said(
        json!({"upstreams": [{"name": "app", "servers": []}]}),
        &["$.upstreams[0].servers: the list is empty; give at least one"],
    );
}

#[test]
fn routes_have_one_matcher_and_one_action() {
    assert_said(
        route(json!({"path": null})),
        &["$.routes[0]: the route has no path to match"],
    );
    assert_said(
        route(json!({"path_prefix": "/"})),
        &["$.routes[0]: the route has path_prefix and path at once"],
    );
    assert_said(
        route(json!({"upstream": null})),
        &["$.routes[0]: the route does nothing"],
    );
    assert_said(
        route(json!({"respond": {}})),
        &["$.routes[0]: the route has upstream and respond at once"],
    );
}

#[test]
fn paths_can_be_matched() {
    for (path, sentence) in [
        ("a", "a path starts with '/'; write \"/a\""),
        ("http://h/a", "write the path alone: \"/a\""),
        ("/a?b=c", "contains '?'"),
        ("/a b", "contains a space"),
        ("/a\r\nb", "control character"),
        ("/a/../b", "no request has this path"),
        ("/a//b", "write \"/a/b\""),
        ("/%61", "write \"/a\""),
        ("/%2f", "encoded slash"),
        ("/é", "percent-encode it"),
        (
            "/{id}",
            "braces are plain text here, and a path has none; write path_template: \"/{id}\"",
        ),
    ] {
        assert_said(route(json!({"path": path})), &[sentence]);
    }
    let kept = json!({"http": {"encoded_slashes": "keep", "merge_slashes": false}});
    let mut parts = route(json!({"path": "/%2F//a"}));
    parts["http"] = kept["http"].clone();
    assert_said(parts, &[]);
}

#[test]
fn templates_are_well_formed() {
    let template = |text: &str| route(json!({"path": null, "path_template": text}));
    for (text, sentence) in [
        ("/{id", "a brace has no partner"),
        ("{id}", "a path starts with '/'; write \"/{id}\""),
        ("/{a}/{a}", "the capture {a} is there twice"),
        ("/{a*}/b", "{a*} takes all that is left"),
        ("/a b/{c}", "contains a space"),
        ("/a//{c}", "no request has \"//\""),
    ] {
        assert_said(template(text), &[sentence]);
    }
    for text in ["/", "/users/{id}", "/users/{id}/", "/f/{rest*}"] {
        assert_said(template(text), &[]);
    }
}

#[test]
fn regular_expressions_compile_within_their_size() {
    for (pattern, sentence) in [
        (
            "/(a",
            "$.routes[0].path_regex: the regular expression is not valid: unclosed group",
        ),
        ("a)|(b", "is not valid: unopened group"),
        ("(?x)a # (", "is not valid"),
        (r"(\w{500}){500}", "takes more than 1048576 bytes"),
    ] {
        assert_said(
            route(json!({"path": null, "path_regex": pattern})),
            &[sentence],
        );
    }
    assert_said(
        route(json!({"headers": [{"name": "a", "regex": "["}]})),
        &["$.routes[0].headers[0].regex: the regular expression is not valid"],
    );
}

#[test]
fn conditions_can_be_met() {
    assert_said(
        route(json!({"headers": [{"name": "a", "value": "x", "regex": "y"}]})),
        &["$.routes[0].headers[0]: the condition has both value and regex"],
    );
    assert_said(
        route(json!({"headers": [{"name": "a b"}, {"name": "c", "value": "x\n"}]})),
        &[
            "headers[0].name: \"a b\" is not the name of a field",
            "headers[1].value: no field has",
        ],
    );
    assert_said(
        route(json!({"query": [{"name": "a b", "value": "x\n"}]})),
        &[],
    );
}

#[test]
fn methods_are_methods() {
    assert_said(
        route(json!({"methods": ["GET", "get", "a b", "CONNECT", "Custom"]})),
        &[
            "$.routes[0].methods[1]: methods are case-sensitive, and \"get\" is not GET; write GET",
            "$.routes[0].methods[2]: \"a b\" is not a method",
            "$.routes[0].methods[3]: CONNECT is never forwarded",
        ],
    );
}

#[test]
fn hosts_can_be_matched() {
    for (host, sentence) in [
        (
            "Example.COM",
            "lower case, without a dot at the end; write \"example.com\"",
        ),
        ("*.Example.com", "write \"*.example.com\""),
        ("example.com.", "write \"example.com\""),
        (
            "example.com:80",
            "a host has no port here; it matches every port; write \"example.com\"",
        ),
        (
            "https://example.com/a",
            "this is a URL; write the host alone: \"example.com\"",
        ),
        ("a*.com", "'*' stands only for whole names in front"),
        ("*", "'*' stands only for whole names in front"),
        ("a..b", "empty label"),
        ("", "$.routes[0].host: the host is empty"),
        ("a/b", "not allowed in a host name"),
        ("*.[::1]", "an IP address has no names below it"),
    ] {
        assert_said(route(json!({"host": host})), &[sentence]);
    }
    for host in [
        "example.com",
        "*.example.com",
        "127.0.0.1",
        "[::1]",
        "localhost",
    ] {
        assert_said(route(json!({"host": host})), &[]);
    }
}

#[test]
fn rewrites_belong_to_forwarded_requests() {
    assert_said(
        route(json!({"upstream": null, "respond": {}, "rewrite_pattern": "/"})),
        &["$.routes[0].rewrite_pattern: a rewrite changes what is forwarded"],
    );
    assert_said(
        route(json!({"rewrite_replacement": "/x"})),
        &["$.routes[0].rewrite_replacement: there is no rewrite_pattern"],
    );
    assert_said(
        route(json!({"rewrite_pattern": "/", "rewrite_template": "/x"})),
        &["$.routes[0].rewrite_template: the route has rewrite_pattern and rewrite_template"],
    );
    assert_said(
        route(json!({"path": "/a", "rewrite_pattern": "/b"})),
        &["warning: $.routes[0].rewrite_pattern: no path of this route starts with \"/b\""],
    );
    assert_said(
        route(json!({"path": "/a", "rewrite_pattern": "a", "rewrite_replacement": "/x\n"})),
        &[
            "rewrite_pattern: a path starts with '/'",
            "rewrite_replacement: the path contains a c",
        ],
    );
}

#[test]
fn rewrites_use_what_was_captured() {
    let template = |text: &str| {
        route(json!({"path": null, "path_template": "/u/{id}/{rest*}", "rewrite_template": text}))
    };
    assert_said(template("/v2/{id}/{rest}"), &[]);
    assert_said(
        template("/v2/{ids}"),
        &["$.routes[0].rewrite_template: nothing captures {ids}; did you mean {id}?"],
    );
    assert_said(
        template("/v2/{x}"),
        &["nothing captures {x}; there are {id}, {rest}"],
    );
    assert_said(template("/{rest*}"), &["to use it write {rest}"]);
    assert_said(template("{id}"), &["a path starts with '/'"]);
    assert_said(template("/{id}?a"), &["contains '?'"]);
    assert_said(
        route(json!({"path": null, "path_regex": "/(?P<id>\\d+)", "rewrite_template": "/{id}"})),
        &[],
    );
    assert_said(
        route(json!({"rewrite_template": "/{id}"})),
        &["nothing captures {id}; use path_template or path_regex to capture it"],
    );
    // Of a faulty matcher the captures are not known.
    assert_said(
        route(json!({"path": null, "path_template": "/{id", "rewrite_template": "/{id}"})),
        &["a brace has no partner"],
    );
}

#[test]
fn redirects_have_a_target_and_a_status() {
    let redirect = |redirect: Value| {
        route(json!({
            "path": null, "path_template": "/{id}", "upstream": null, "redirect": redirect
        }))
    };
    assert_said(redirect(json!({"to": "https://{host}/x/{id}{query}"})), &[]);
    assert_said(
        redirect(json!({"to": "/x", "status": 304})),
        &["$.routes[0].redirect.status: 304 is not the status of a redirect"],
    );
    assert_said(
        redirect(json!({"to": "/{nope}"})),
        &["redirect.to: nothing captures {nope}"],
    );
    assert_said(
        redirect(json!({"to": "/a\r\nx: y"})),
        &["redirect.to: the target has spaces"],
    );
    assert_said(
        route(json!({
            "path": null, "path_template": "/{path}", "upstream": null, "redirect": {"to": "/x"}
        })),
        &["{path} is a capture of the route and a part of the request too"],
    );
}

#[test]
fn a_client_cannot_choose_where_a_redirect_leads() {
    let redirect = |to: &str, merge_slashes: bool| {
        let mut parts = route(json!({
            "path": null, "path_template": "/{id}/{rest*}", "upstream": null, "redirect": {"to": to}
        }));
        parts["http"] = json!({"merge_slashes": merge_slashes});
        parts
    };
    for (to, sentence) in [
        (
            "https://example.com{rest}",
            "would become a part of the host",
        ),
        (
            "https://{id}.example.com/",
            "would become a part of the host",
        ),
        ("https://a@{id}/", "would become a part of the host"),
        ("https:///x", "the target has no host"),
        (
            "{rest}",
            "the target does not begin with '/', http:// or https://",
        ),
        (
            "javascript:alert(1)",
            "the target does not begin with '/', http:// or https://",
        ),
        ("//evil.example", "browsers read a host after that"),
        ("/{path}", "browsers read a host after that"),
    ] {
        assert_said(redirect(to, true), &[sentence]);
    }
    for to in ["{path}", "/{rest}"] {
        assert_said(redirect(to, true), &[]);
        assert_said(redirect(to, false), &[]);
    }
    for to in [
        "https://example.com/{rest}",
        "https://{host}{path}{query}",
        "/x/{rest}{query}",
    ] {
        assert_said(redirect(to, false), &[]);
    }
}

#[test]
fn paths_have_a_bounded_size() {
    assert_said(
        route(json!({"path": format!("/{}", "a".repeat(8191))})),
        &["$.routes[0].path: the path has 8192 bytes, and the most is 8191"],
    );
    assert_said(
        route(json!({"path": null, "path_template": "/a".repeat(129)})),
        &["$.routes[0].path_template: the path has 129 segments, and the most is 128"],
    );
    let groups: String = (0..17).map(|group| format!("(?<g{group}>a)")).collect();
    assert_said(
        route(json!({"path": null, "path_regex": groups})),
        &["$.routes[0].path_regex: there are more than 16 named groups"],
    );
    let host = format!("{}.example.com", ["a".repeat(60).as_str(); 4].join("."));
    assert_said(
        route(json!({"host": host})),
        &["the host has 255 bytes, and the most is 253"],
    );
}

#[test]
fn fixed_answers_can_be_sent() {
    let respond = |respond: Value| route(json!({"upstream": null, "respond": respond}));
    assert_said(
        respond(json!({"headers": {"x-a": "b c"}, "body": "x"})),
        &[],
    );
    assert_said(
        respond(json!({"headers": {
            "Content-Length": "1", "a b": "c", "x": "a\r\nb: c", "y": " z"
        }})),
        &[
            "$.routes[0].respond.headers.Content-Length: Content-Length belongs to the connection",
            "$.routes[0].respond.headers[\"a b\"]: \"a b\" is not the name of a field",
            "$.routes[0].respond.headers.x: the value contains a carriage return",
            "$.routes[0].respond.headers.y: the value has spaces around it",
        ],
    );
    assert_said(
        respond(json!({"status": 204, "body": "x"})),
        &["$.routes[0].respond.body: a 204 response has no body"],
    );
}

#[test]
fn ids_are_unique_and_the_older_route_wins() {
    let one = json!({"path": "/", "upstream": "app", "id": "a"});
    assert_said(
        json!({"routes": [one, {"path": "/b", "upstream": "app", "id": "a"}]}),
        &["$.routes[1].id: $.routes[0] has the id \"a\" too"],
    );
    let template = |name: &str, rank: i32| {
        let headers = json!([{"name": name}]);
        let path = format!("/{{{name}}}");
        json!({"path_template": path, "upstream": "app", "rank": rank, "headers": headers})
    };
    assert_said(
        json!({"routes": [template("x", 0), template("X", 0), template("x", 1), template("y", 0)]}),
        &["warning: $.routes[1]: $.routes[0] matches the same requests and is older, so it wins"],
    );
}

#[test]
fn the_machine_is_looked_at_only_on_request() {
    use super::surroundings;
    let load = |parts: Value| {
        let mut document = json!({"listeners": [{"port": 1}]});
        for (key, value) in parts.as_object().unwrap() {
            document[key] = value.clone();
        }
        read(&document.to_string(), Format::Json, "c").unwrap()
    };
    for (parts, sentence) in [
        (
            json!({"access_log": {"path": "/nonexistent/log"}}),
            "$.access_log.path: the folder /nonexistent does not exist",
        ),
        (
            json!({"access_log": {"path": "/"}}),
            "$.access_log.path: / is a folder",
        ),
        (
            json!({"admin": {"api_key": {"env": "RINGWAY_TEST_VARIABLE_THAT_IS_NOT_SET"}}}),
            "$.admin.api_key: the environment variable",
        ),
    ] {
        let loaded = load(parts);
        assert!(loaded.warnings.is_empty());
        let warnings = surroundings(&loaded.config);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].to_string().starts_with(sentence),
            "{}",
            warnings[0]
        );
    }
    assert!(surroundings(&load(json!({"access_log": {"path": "stderr"}})).config).is_empty());
    assert!(surroundings(&load(json!({"access_log": {"path": "access.log"}})).config).is_empty());
}

fn upstream(parts: Value) -> Value {
    let servers = json!([{"address": "::1", "port": 1}]);
    let mut upstream = json!({"name": "app", "servers": servers});
    for (key, value) in parts.as_object().unwrap() {
        upstream[key] = value.clone();
    }
    json!({"upstreams": [upstream]})
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
