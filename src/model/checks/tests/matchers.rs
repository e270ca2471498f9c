//! What a route matches, and that no other route matches the same.

use serde_json::json;

use super::{assert_said, route};

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
