//! What a route does: forward, redirect, answer.

use serde_json::{Value, json};

use super::{assert_said, route};

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
