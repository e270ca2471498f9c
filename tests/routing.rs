//! Promise: the route that the documented order names is the one that answers.

mod common;

use common::*;

/// A route that answers with its own name.
fn says(name: &str, matcher: &str) -> String {
    format!("- {{id: {name}, {matcher}, respond: {{body: {name}}}}}\n")
}

fn start(driver: Driver, routes: &str) -> Ringway {
    Ringway::start(&format!("routes:\n{routes}"), driver)
}

fn request(line: &str, fields: &str) -> String {
    let host = if fields.contains("Host:") {
        ""
    } else {
        "Host: a.example\r\n"
    };
    format!("{line} HTTP/1.1\r\n{host}{fields}\r\n")
}

#[test]
fn hosts_choose() {
    let routes = [
        says("exact", "host: a.example, path_prefix: /"),
        says("deep", "host: '*.b.example', path_prefix: /"),
        says("deeper", "host: '*.c.b.example', path_prefix: /"),
        says("any", "path_prefix: /"),
    ];
    on_both_drivers(|driver| {
        let ringway = start(driver, &routes.concat());
        for (host, route) in [
            ("a.example", "exact"),
            ("A.EXAMPLE", "exact"),
            ("a.example:8080", "exact"),
            ("a.example.", "exact"),
            ("x.b.example", "deep"),
            ("x.y.b.example", "deep"),
            ("x.c.b.example", "deeper"),
            ("b.example", "any"),
            ("xb.example", "any"),
            ("x.a.example", "any"),
            ("127.0.0.1", "any"),
            ("[::1]:80", "any"),
        ] {
            let fields = format!("Host: {host}\r\n");
            let response = exchange(ringway.address(), request("GET /", &fields));
            assert_eq!(response.text(), route, "{host}");
        }
        let absolute = request("GET http://a.example/", "Host: x.b.example\r\n");
        assert_eq!(exchange(ringway.address(), absolute).text(), "exact");
        ringway.finish();
    });
}

#[test]
fn paths_choose() {
    let routes = [
        says("exact", "path: /a/b"),
        says("template", "path_template: '/users/{id}'"),
        says("rest", "path_template: '/files/{rest*}'"),
        says("regex", r"path_regex: '/v[0-9]+/x'"),
        says("short", "path_prefix: /a"),
        says("long", "path_prefix: /a/b/c"),
        says("slash", "path_prefix: /s/"),
    ];
    on_both_drivers(|driver| {
        let ringway = start(driver, &routes.concat());
        let mut client = RawClient::connect(ringway.address());
        for (path, route) in [
            ("/a/b", "exact"),
            ("/a/b/", "short"),
            ("/a", "short"),
            ("/a?b", "short"),
            ("/a/x", "short"),
            ("/a/b/c", "long"),
            ("/a/b/c/d", "long"),
            ("/a/b/cd", "short"),
            ("/users/7", "template"),
            ("/users/a%20b", "template"),
            ("/files/a/b/c", "rest"),
            ("/v1/x", "regex"),
            ("/v22/x", "regex"),
            ("/s/", "slash"),
            ("/s/t", "slash"),
        ] {
            let response = client.exchange(request(&format!("GET {path}"), ""));
            assert_eq!(
                (response.status(), response.text().as_str()),
                (200, route),
                "{path}"
            );
        }
        for path in [
            "/",
            "/ab",
            "/users",
            "/users/7/8",
            "/v1/xy",
            "/xv1/x",
            "/v/x",
            "/s",
        ] {
            own_answer(&client.exchange(request(&format!("GET {path}"), "")), 404);
        }
        drop(client);
        ringway.finish();
    });
}

#[test]
fn methods_fields_and_queries_choose() {
    let routes = [
        says("post", "path_prefix: /, methods: [POST, PUT]"),
        says(
            "value",
            "path_prefix: /, headers: [{name: X-Kind, value: a}]",
        ),
        says(
            "regex",
            "path_prefix: /, headers: [{name: X-Kind, regex: 'b+'}]",
        ),
        says("there", "path_prefix: /, headers: [{name: X-There}]"),
        says("query", "path_prefix: /, query: [{name: q, value: '1'}]"),
        says(
            "both",
            "path_prefix: /, query: [{name: q, value: '1'}, {name: r, regex: '[0-9]+'}]",
        ),
        says("none", "path_prefix: /"),
    ];
    on_both_drivers(|driver| {
        let ringway = start(driver, &routes.concat());
        for (line, fields, route) in [
            ("POST /", "Content-Length: 0\r\n", "post"),
            ("PUT /", "", "post"),
            ("DELETE /", "", "none"),
            ("GET /", "X-Kind: a\r\n", "value"),
            ("GET /", "x-kind: a\r\n", "value"),
            ("GET /", "X-Kind: A\r\n", "none"),
            ("GET /", "X-Kind: bbb\r\n", "regex"),
            ("GET /", "X-Kind: bbbc\r\n", "none"),
            ("GET /", "X-There:\r\n", "there"),
            ("GET /?q=1", "", "query"),
            ("GET /?p&q=1&r=x", "", "query"),
            ("GET /?q=1&r=2", "", "both"),
            ("GET /?q=12", "", "none"),
            ("GET /?xq=1", "", "none"),
            ("GET /", "", "none"),
        ] {
            let response = exchange(ringway.address(), request(line, fields));
            assert_eq!(response.text(), route, "{line} {fields}");
        }
        ringway.finish();
    });
}

#[test]
fn rank_comes_before_everything() {
    let routes = [
        says("exact", "host: a.example, path: /a"),
        says("ranked", "rank: 1, path_prefix: /"),
    ];
    let older = [
        says("first", "path: /a"),
        says("second", "path: /a, rank: 0"),
    ];
    on_both_drivers(|driver| {
        let ringway = start(driver, &routes.concat());
        assert_eq!(
            exchange(ringway.address(), request("GET /a", "")).text(),
            "ranked"
        );
        ringway.finish();
        let ringway = start(driver, &older.concat());
        assert_eq!(
            exchange(ringway.address(), request("GET /a", "")).text(),
            "first"
        );
        ringway.finish();
    });
}

#[test]
fn no_route_is_404_and_the_connection_goes_on() {
    on_both_drivers(|driver| {
        let ringway = start(driver, &says("a", "path: /a"));
        let mut client = RawClient::connect(ringway.address());
        own_answer(&client.exchange(request("GET /b", "")), 404);
        let head = client.exchange(request("HEAD /b", ""));
        assert_eq!((head.status(), head.body.len()), (404, 0));
        // The body that nobody wants is not the next request.
        let smuggled = request("GET /a", "");
        let fields = format!("Content-Length: {}\r\n", smuggled.len());
        own_answer(
            &client.exchange(request("POST /b", &fields) + &smuggled),
            404,
        );
        assert_eq!(client.exchange(request("GET /a", "")).text(), "a");
        drop(client);
        ringway.finish();
    });
}

#[test]
fn a_path_is_rewritten() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let to = "upstream: origin";
        let routes = [
            format!("- {{path_prefix: /api, rewrite_pattern: /api, {to}}}\n"),
            format!(
                "- {{path_prefix: /old, rewrite_pattern: /old, rewrite_replacement: /new, {to}}}\n"
            ),
            format!(
                "- {{path_template: '/u/{{id}}', rewrite_template: '/v2/users/{{id}}', {to}}}\n"
            ),
            format!("- {{path_template: '/f/{{rest*}}', rewrite_template: '/g/{{rest}}', {to}}}\n"),
            format!(
                "- {{path_regex: '/r/(?P<year>[0-9]+)/(?P<name>.+)', \
                 rewrite_template: '/{{name}}/{{year}}', {to}}}\n"
            ),
        ];
        let address = origin.address();
        let configuration = format!(
            "upstreams: [{{name: origin, servers: [{{address: 127.0.0.1, port: {}}}]}}]\n\
             routes:\n{}",
            address.port(),
            routes.concat()
        );
        let ringway = Ringway::start(&configuration, driver);
        let expected = [
            ("/api/x?y=/api", "/x?y=/api"),
            ("/api", "/"),
            ("/old/x", "/new/x"),
            ("/old", "/new"),
            ("/u/7?q", "/v2/users/7?q"),
            ("/u/a%20b", "/v2/users/a%20b"),
            ("/f/a/b", "/g/a/b"),
            ("/r/2026/x/y", "/x/y/2026"),
        ];
        for (path, _) in expected {
            let line = format!("GET {path}");
            assert_eq!(
                exchange(ringway.address(), request(&line, "")).status(),
                200,
                "{path}"
            );
        }
        ringway.finish();
        assert_eq!(origin.targets(), expected.map(|(_, seen)| seen));
        origin.finish();
    });
}

#[test]
fn a_redirect_says_where() {
    let routes = "\
        - {path: /a, redirect: {to: 'https://b.example/c'}}\n\
        - {path_prefix: /p, redirect: {to: 'https://{host}{path}{query}', status: 301}}\n\
        - {path_template: '/u/{id}', redirect: {to: '/users/{id}', status: 302}}\n";
    on_both_drivers(|driver| {
        let ringway = start(driver, routes);
        for (path, status, location) in [
            ("/a", 308, "https://b.example/c"),
            ("/p/q?r=s", 301, "https://a.example/p/q?r=s"),
            ("/p", 301, "https://a.example/p"),
            ("/u/7", 302, "/users/7"),
        ] {
            let response = exchange(ringway.address(), request(&format!("GET {path}"), ""));
            assert_eq!(response.status(), status, "{path}");
            assert_eq!(response.field("location"), Some(location), "{path}");
            assert!(
                matches!(response.framing, Framing::Length(_)),
                "{response:?}"
            );
        }
        ringway.finish();
    });
}

#[test]
fn what_a_client_sends_cannot_bend_a_redirect() {
    let routes = "\
        - {path_template: '/to/{rest*}', redirect: {to: '/{rest}'}}\n\
        - {path_prefix: /, redirect: {to: 'https://{host}{path}'}}\n";
    let targets = [
        "/to//evil.example",
        "/to/%0d%0aSet-Cookie:%20a=b",
        "/to/%5cevil.example",
    ];
    on_both_drivers(|driver| {
        for rules in [
            "merge_slashes: true",
            "merge_slashes: false, encoded_slashes: keep",
        ] {
            let configuration = format!("http: {{{rules}}}\nroutes:\n{routes}");
            let ringway = Ringway::start(&configuration, driver);
            for target in targets {
                let line = format!("GET {target}");
                let response = exchange(ringway.address(), request(&line, ""));
                assert_eq!(response.field("set-cookie"), None);
                let location = response.field("location").unwrap_or("/");
                let elsewhere = location.starts_with("//") || location.starts_with("/\\");
                assert!(!elsewhere, "{target} leads to {location}");
            }
            ringway.finish();
        }
    });
}

#[test]
fn a_fixed_answer_is_given() {
    let routes = "\
        - {path: /r, respond: {status: 418, headers: {X-Pot: short, Content-Type: text/html}, \
           body: '<p>stout</p>'}}\n\
        - {path: /empty, respond: {status: 204}}\n";
    on_both_drivers(|driver| {
        let ringway = start(driver, routes);
        let mut client = RawClient::connect(ringway.address());
        let response = client.exchange(request("GET /r", ""));
        assert_eq!(
            (response.status(), response.text().as_str()),
            (418, "<p>stout</p>")
        );
        assert_eq!(response.field("x-pot"), Some("short"));
        assert_eq!(response.field("content-type"), Some("text/html"));
        let head = client.exchange(request("HEAD /r", ""));
        assert_eq!(
            (head.status(), head.field("content-length")),
            (418, Some("12"))
        );
        let empty = client.exchange(request("GET /empty", ""));
        assert_eq!((empty.status(), empty.field("content-length")), (204, None));
        let body = request("POST /r", "Content-Length: 5\r\n") + "hello";
        assert_eq!(client.exchange(body).status(), 418);
        assert_eq!(client.exchange(request("GET /empty", "")).status(), 204);
        drop(client);
        ringway.finish();
    });
}

#[test]
fn two_listeners_serve_the_same_routes() {
    let listeners = "listeners: [{address: 127.0.0.1, port: 0}, {address: '::1', port: 0}]\n";
    on_both_drivers(|driver| {
        let routes = says("a", "path: /a");
        let ringway = Ringway::start(&format!("{listeners}routes:\n{routes}"), driver);
        let addresses = ringway.addresses().to_vec();
        assert_eq!(addresses.len(), 2);
        for address in addresses {
            assert_eq!(exchange(address, request("GET /a", "")).text(), "a");
        }
        ringway.finish();
    });
}
