//! Promise: a path has one form, in which it is matched and in which it goes on. Attack class 17.

mod common;

use common::*;

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

/// Sends each target and says what the origin saw.
fn assert_targets(driver: Driver, configuration: &str, targets: &[(&str, &str)]) {
    let origin = ScriptedOrigin::answering(ok(""));
    let ringway = Ringway::start(&(forwarding(origin.address()) + configuration), driver);
    for (sent, _) in targets {
        assert_eq!(
            exchange(ringway.address(), get(sent)).status(),
            200,
            "{sent}"
        );
    }
    ringway.finish();
    let expected: Vec<_> = targets.iter().map(|(_, seen)| seen.to_string()).collect();
    assert_eq!(origin.targets(), expected);
    origin.finish();
}

#[test]
fn a_path_goes_on_in_normal_form() {
    let targets = [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/a/b/../../c", "/c"),
        ("/a/%2e/b", "/a/b"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/%2E./b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("//a", "/a"),
        ("/a//b", "/a/b"),
        ("/a///b//", "/a/b/"),
        ("/a/..b/.c", "/a/..b/.c"),
        ("/a/.../b", "/a/.../b"),
        ("/%41%7e%2d", "/A~-"),
        ("/%e4%c3%a4", "/%E4%C3%A4"),
        ("/%20%22%3c", "/%20%22%3C"),
        ("/%25%32%65", "/%252e"),
        ("/a;x=1/b;y", "/a;x=1/b;y"),
        ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="),
    ];
    on_both_drivers(|driver| assert_targets(driver, "", &targets));
}

#[test]
fn a_query_is_left_alone() {
    let targets = [
        ("/?", "/?"),
        ("/a?b=c&d=%2f%2e%2e//..\\", "/a?b=c&d=%2f%2e%2e//..\\"),
        ("/a/../b?../c", "/b?../c"),
        ("/a?b?c", "/a?b?c"),
        ("/a?%zz%", "/a?%zz%"),
    ];
    on_both_drivers(|driver| assert_targets(driver, "", &targets));
}

#[test]
fn paths_with_two_readings_are_refused() {
    let cases = [
        "/..",
        "/../a",
        "/a/../../b",
        "/%2e%2e/a",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a%5Cb",
        "/a\\b",
        "/..\\a",
        "/a/..%2fb",
        "/a/..;/b",
        "/a/..;x=y/b",
        "/a/.;/b",
        "/a%00b",
        "/a%0ab",
        "/a%0d%0aX:y",
        "/a%1f",
        "/a%7f",
        "/%",
        "/%4",
        "/%zz",
        "/%4g",
        "/a%u0041",
        "/%c0%ae%c0%ae/a",
        "/%c0%af",
        "/%c1%9c",
        "/%e0%80%af",
        "/%f0%80%80%af",
        "/a#b",
        "/\u{e4}",
    ]
    .map(|target| refused(&[400], get(target)));
    on_both_drivers(|driver| assert_refused(driver, "", &cases));
}

#[test]
fn encoded_slashes_are_kept_where_that_is_chosen() {
    let targets = [
        ("/a%2fb", "/a%2Fb"),
        ("/a%5cb/c", "/a%5Cb/c"),
        ("/a//b", "/a/b"),
    ];
    let http = "http: {encoded_slashes: keep}\n";
    on_both_drivers(|driver| assert_targets(driver, http, &targets));
}

#[test]
fn runs_of_slashes_are_kept_where_that_is_chosen() {
    let targets = [("/a//b", "/a//b"), ("//a", "//a"), ("/a//../b", "/a/b")];
    let http = "http: {merge_slashes: false}\n";
    on_both_drivers(|driver| assert_targets(driver, http, &targets));
}

#[test]
fn no_spelling_slips_past_a_route() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("reached"));
        let address = origin.address();
        let configuration = format!(
            "upstreams: [{{name: origin, servers: [{{address: {}, port: {}}}]}}]\n\
             routes:\n\
             - {{path_prefix: /admin, respond: {{status: 403, body: guarded}}}}\n\
             - {{path_prefix: /, upstream: origin}}\n",
            address.ip(),
            address.port()
        );
        let ringway = Ringway::start(&configuration, driver);
        for target in [
            "/admin",
            "/admin/x",
            "//admin",
            "/./admin",
            "/x/../admin",
            "/x/%2e%2e/admin",
            "/%61dmin",
            "/%61%64%6d%69%6e/",
            "/admin//",
            "http://b.example/admin",
        ] {
            let response = exchange(ringway.address(), get(target));
            assert_eq!(
                (response.status(), response.text().as_str()),
                (403, "guarded"),
                "{target}"
            );
        }
        for target in ["/administrator", "/x/admin", "/Admin"] {
            let response = exchange(ringway.address(), get(target));
            assert_eq!(response.text(), "reached", "{target}");
        }
        ringway.finish();
        assert_eq!(origin.targets(), ["/administrator", "/x/admin", "/Admin"]);
        origin.finish();
    });
}
