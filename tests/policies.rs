//! Promise: a route's policies do what they say, before a server sees anything of a request that
//! they stop.

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use common::*;

const GET: &str = "GET /case?a=1&b=2 HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// A request with more field lines.
fn with(request: &str, lines: &str) -> String {
    request.replacen("\r\n\r\n", &format!("\r\n{lines}\r\n\r\n"), 1)
}

/// Runs `test` against a route with these policies, in front of an origin of this answer.
fn route(policies: &str, answer: &[u8], test: impl Fn(&Ringway, &ScriptedOrigin) + Sync) {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(answer);
        let configuration = format!(
            "upstreams: [{{name: u, servers: [{{address: 127.0.0.1, port: {}}}]}}]\n\
             forwarded: {{trusted: [127.0.0.0/8]}}\n\
             routes:\n- {{id: it, path_template: \"/{{name}}\", upstream: u, {policies}}}\n",
            origin.address().port()
        );
        let ringway = Ringway::start(&configuration, driver);
        test(&ringway, &origin);
        ringway.finish();
        origin.finish();
    });
}

fn from(client: &str) -> String {
    with(GET, &format!("X-Forwarded-For: {client}"))
}

#[test]
fn fields_of_the_request_change_on_the_way() {
    let policies = "request_headers: {remove: [x-a], set: [{name: x-b, value: new}], \
        add: [{name: x-c, value: \"{method} {path} {query} {route} {name} {host} {client_ip}\"}]}, \
        upstream_headers: [{name: x-d, value: d}]";
    route(policies, &ok("x"), |ringway, origin| {
        let lines = "X-A: 1\r\nx-b: 1\r\nX-B: 2\r\nx-c: kept\r\nX-D: old";
        exchange(ringway.address(), with(GET, lines));
        let request = origin.requests().remove(0);
        assert_eq!(request.all("x-a"), Vec::<&str>::new());
        assert_eq!(request.all("x-b"), ["new"]);
        let filled = "GET /case a=1&b=2 it case a.example 127.0.0.1";
        assert_eq!(request.all("x-c"), ["kept", filled]);
        assert_eq!(request.all("x-d"), ["d"]);
    });
}

#[test]
fn fields_of_the_response_change_on_the_way() {
    let policies = "response_headers: {remove: [server], set: [{name: x-b, value: \"{path}\"}], \
        add: [{name: x-c, value: c}]}";
    let answer =
        b"HTTP/1.1 200 OK\r\nServer: s\r\nX-B: 1\r\nx-c: kept\r\nContent-Length: 1\r\n\r\nx";
    route(policies, answer, |ringway, _| {
        for _ in 0..3 {
            let response = exchange(ringway.address(), GET);
            assert_eq!(response.field("server"), None);
            assert_eq!(response.all("x-b"), ["/case"]);
            assert_eq!(response.all("x-c"), ["kept", "c"]);
            assert_eq!(response.text(), "x");
        }
    });
}

#[test]
fn query_and_host_change_on_the_way() {
    let policies = "request_query: {remove: [a], add: [{name: via, value: \"{name}\"}]}, \
        host_rewrite: \"{name}.internal\"";
    route(policies, &ok("x"), |ringway, origin| {
        exchange(ringway.address(), GET);
        exchange(ringway.address(), GET.replace("?a=1&b=2", ""));
        assert_eq!(origin.targets(), ["/case?b=2&via=case", "/case?via=case"]);
        let request = origin.requests().remove(0);
        assert_eq!(request.field("host"), Some("case.internal"));
        assert_eq!(request.field("x-forwarded-host"), Some("a.example"));
    });
}

#[test]
fn other_methods_are_405() {
    route("allow_methods: [GET, PUT]", &ok("x"), |ringway, origin| {
        assert_eq!(exchange(ringway.address(), GET).status(), 200);
        let refused = exchange(ringway.address(), GET.replacen("GET", "DELETE", 1));
        own_answer(&refused, 405);
        assert_eq!(refused.field("allow"), Some("GET, PUT"));
        assert_eq!(origin.requests().len(), 1);
    });
}

#[test]
fn addresses_are_allowed_and_denied() {
    let policies = "ip: {allow: [10.0.0.0/8, \"2001:db8::/32\"], deny: [10.1.0.0/16]}";
    route(policies, &ok("x"), |ringway, origin| {
        for (client, status) in [
            ("10.0.0.1", 200),
            ("2001:db8::1", 200),
            ("10.1.0.1", 403),
            ("192.0.2.1", 403),
            ("2001:db9::1", 403),
        ] {
            assert_eq!(
                exchange(ringway.address(), from(client)).status(),
                status,
                "{client}"
            );
        }
        assert_eq!(origin.requests().len(), 2);
    });
}

#[test]
fn preflights_are_answered_and_origins_told_apart() {
    let policies = "cors: {allow_origins: [\"https://*.a.example\"], allow_methods: [PUT], \
        allow_headers: [x-h], expose_headers: [x-e], allow_credentials: true, max_age_s: 5}";
    let answer = b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 1\r\n\r\nx";
    route(policies, answer, |ringway, origin| {
        let preflight = with(
            &GET.replacen("GET", "OPTIONS", 1),
            "Access-Control-Request-Method: PUT\r\nOrigin: https://x.a.example",
        );
        let response = exchange(ringway.address(), &preflight);
        assert_eq!(response.status(), 204);
        for (name, value) in [
            ("access-control-allow-origin", "https://x.a.example"),
            ("access-control-allow-methods", "PUT"),
            ("access-control-allow-headers", "x-h"),
            ("access-control-allow-credentials", "true"),
            ("access-control-max-age", "5"),
            ("vary", "Origin"),
        ] {
            assert_eq!(response.field(name), Some(value), "{name}");
        }
        let foreign = preflight.replace("x.a.example", "evil.example");
        own_answer(&exchange(ringway.address(), foreign), 403);
        assert_eq!(origin.requests().len(), 0);
        let response = exchange(ringway.address(), with(GET, "Origin: https://x.a.example"));
        let allowed = response.field("access-control-allow-origin");
        assert_eq!(allowed, Some("https://x.a.example"));
        assert_eq!(response.field("access-control-expose-headers"), Some("x-e"));
        // What the server says about it does not count.
        let response = exchange(ringway.address(), with(GET, "Origin: https://evil.example"));
        assert_eq!(response.field("access-control-allow-origin"), None);
        assert_eq!(response.field("vary"), Some("Origin"));
    });
}

#[test]
fn maintenance_answers_all_but_some() {
    let policies = "maintenance: {status: 503, body: \"<p>soon</p>\", content_type: text/html, \
        retry_after_s: 60, allow: [10.0.0.0/8]}";
    route(policies, &ok("x"), |ringway, origin| {
        let response = exchange(ringway.address(), GET);
        assert_eq!(
            (response.status(), response.text()),
            (503, "<p>soon</p>".to_owned())
        );
        assert_eq!(response.field("retry-after"), Some("60"));
        assert_eq!(response.field("content-type"), Some("text/html"));
        assert_eq!(origin.requests().len(), 0);
        assert_eq!(exchange(ringway.address(), from("10.1.1.1")).text(), "x");
    });
    let off = "maintenance: {enabled: false}";
    route(off, &ok("x"), |ringway, _| {
        assert_eq!(exchange(ringway.address(), GET).text(), "x")
    });
}

#[test]
fn our_own_errors_have_the_pages_of_the_route() {
    let pages = "error_pages: [{statuses: [405], content_type: text/plain, \
        body: \"{status} {reason}, {route}\"}, {body: \"<b>{message}</b>\"}], allow_methods: [GET]";
    // The server's answer is no HTTP: 502.
    route(pages, b"nonsense\r\n\r\n", |ringway, _| {
        let refused = exchange(ringway.address(), GET.replacen("GET", "PUT", 1));
        assert_eq!(refused.text(), "405 Method Not Allowed, it");
        assert_eq!(refused.field("content-type"), Some("text/plain"));
        let broken = exchange(ringway.address(), GET);
        assert_eq!(broken.status(), 502);
        assert_eq!(
            broken.text(),
            "<b>the server's answer is not valid HTTP/1.1</b>"
        );
        assert_eq!(
            broken.field("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(
            broken.field("proxy-status"),
            Some("ringway; error=http_protocol_error")
        );
    });
}

/// What `ringway hash` makes of a secret.
fn hash(secret: &str, arguments: &[&str]) -> String {
    use std::io::Write;
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .arg("hash")
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{secret}\n").as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn users_prove_who_they_are() {
    let (one, other) = (hash("open sesame", &[]), hash("open sesame", &[]));
    assert_ne!(one, other, "each has a salt of its own");
    let policies = format!(
        "auth: {{type: basic, realm: cave, users: [{{name: Ali, secret_hash: \"{one}\"}}]}}"
    );
    route(&policies, &ok("in"), |ringway, origin| {
        // Ali:open sesame
        let right = "Authorization: Basic QWxpOm9wZW4gc2VzYW1l\r\nX-Consumer-Name: forged";
        assert_eq!(exchange(ringway.address(), with(GET, right)).text(), "in");
        let request = origin.requests().remove(0);
        assert_eq!(request.all("x-consumer-name"), ["Ali"]);
        assert_eq!(request.field("authorization"), None);
        for wrong in [
            "X: y",
            "Authorization: Basic QWxpOm9wZW4=",
            "Authorization: Basic ***",
            "Authorization: Bearer QWxpOm9wZW4gc2VzYW1l",
            "Authorization: Basic",
        ] {
            let refused = exchange(ringway.address(), with(GET, wrong));
            own_answer(&refused, 401);
            let challenge = "Basic realm=\"cave\", charset=\"UTF-8\"";
            assert_eq!(
                refused.field("www-authenticate"),
                Some(challenge),
                "{wrong}"
            );
        }
        assert_eq!(origin.requests().len(), 1);
    });
}

#[test]
fn keys_prove_who_asks() {
    let key = hash("k-123", &["--no-salt"]);
    assert!(key.starts_with("sha256::"), "{key}");
    let policies = format!(
        "auth: {{type: api_key, header: x-key, query: key, \
         keys: [{{name: app, secret_hash: \"{key}\"}}]}}"
    );
    route(&policies, &ok("in"), |ringway, origin| {
        assert_eq!(
            exchange(ringway.address(), with(GET, "X-Key: k-123")).text(),
            "in"
        );
        let by_query = GET.replace("a=1", "key=k-123");
        assert_eq!(exchange(ringway.address(), by_query).text(), "in");
        let requests = origin.requests();
        for request in &requests {
            assert_eq!(request.field("x-consumer-name"), Some("app"));
            assert_eq!(request.field("x-key"), None);
        }
        assert_eq!(requests[1].target(), "/case?b=2");
        for wrong in ["X-Key: k-124", "X-Key:", "Authorization: k-123"] {
            own_answer(&exchange(ringway.address(), with(GET, wrong)), 401);
        }
        assert_eq!(origin.requests().len(), 2);
    });
}

/// A route that is split over three upstreams, each with its name as its answer.
fn split(more: &str, test: impl Fn(&Ringway) + Sync) {
    on_both_drivers(|driver| {
        let origins = ["a", "b", "c"].map(|name| ScriptedOrigin::answering(ok(name)));
        let upstreams: Vec<String> = origins
            .iter()
            .zip(["a", "b", "c"])
            .map(|(origin, name)| {
                let port = origin.address().port();
                format!("{{name: {name}, servers: [{{address: 127.0.0.1, port: {port}}}]}}")
            })
            .collect();
        let configuration = format!(
            "upstreams: [{}]\nroutes: [{{path_prefix: /, upstream: a, traffic_split: \
             [{{upstream: a, weight: 90}}, {{upstream: b, weight: 10}}, {{upstream: c, weight: 0, \
             header: {{name: x-canary}}, cookie: {{name: canary, value: \"1\"}}}}]{more}}}]\n",
            upstreams.join(", ")
        );
        let ringway = Ringway::start(&configuration, driver);
        test(&ringway);
        ringway.finish();
        for origin in origins {
            origin.finish();
        }
    });
}

#[test]
fn a_split_has_its_shares_and_its_ways_in() {
    split("", |ringway| {
        let mut client = RawClient::connect(ringway.address());
        let mut counts = BTreeMap::<String, usize>::new();
        for _ in 0..1_000 {
            *counts.entry(client.exchange(GET).text()).or_default() += 1;
        }
        assert!((50..160).contains(&counts["b"]), "{counts:?}");
        assert_eq!(counts["a"] + counts["b"], 1_000);
        for line in ["X-Canary: x", "Cookie: z=1; canary=1"] {
            assert_eq!(client.exchange(with(GET, line)).text(), "c", "{line}");
        }
        assert_ne!(client.exchange(with(GET, "Cookie: canary=0")).text(), "c");
    });
}

#[test]
fn a_cookie_keeps_a_client_with_its_part() {
    split(", split_sticky: {cookie: part, max_age_s: 9}", |ringway| {
        let first = wait_until("a client falls to the smaller part", || {
            let response = exchange(ringway.address(), GET);
            (response.text() == "b").then_some(response)
        });
        let set = first.field("set-cookie").unwrap();
        assert!(
            set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=9"),
            "{set}"
        );
        let cookie = set.split(';').next().unwrap();
        for _ in 0..40 {
            let again = exchange(ringway.address(), with(GET, &format!("Cookie: {cookie}")));
            assert_eq!(again.text(), "b");
            assert_eq!(again.field("set-cookie"), None);
        }
    });
}

#[test]
fn requests_over_the_limit_are_429() {
    let policies =
        "rate_limit: {requests_per_second: 1, period_ms: 3600000, burst_size: 3, key: ip}";
    route(policies, &ok("x"), |ringway, origin| {
        let statuses = |client: &str, count: usize| -> Vec<u16> {
            (0..count)
                .map(|_| exchange(ringway.address(), from(client)).status())
                .collect()
        };
        assert_eq!(statuses("192.0.2.1", 4), [200, 200, 200, 429]);
        assert_eq!(statuses("192.0.2.2", 1), [200]);
        // One /64 is one client.
        assert_eq!(statuses("2001:db8::1", 3), [200; 3]);
        assert_eq!(statuses("2001:db8::ffff:2", 1), [429]);
        assert_eq!(statuses("2001:db8:0:1::1", 1), [200]);
        let refused = exchange(ringway.address(), from("192.0.2.1"));
        own_answer(&refused, 429);
        assert_eq!(refused.field("ratelimit-limit"), Some("3"));
        assert_eq!(refused.field("ratelimit-remaining"), Some("0"));
        let wait: u64 = refused.field("retry-after").unwrap().parse().unwrap();
        assert!((3_000..=3_600).contains(&wait), "{wait}");
        let passed = exchange(ringway.address(), from("192.0.2.2"));
        assert_eq!(passed.field("ratelimit-remaining"), Some("1"));
        assert_eq!(origin.requests().len(), 9);
        assert_eq!(ringway.status().sum("rate_limited"), 3);
    });
}

#[test]
fn limits_are_by_field_and_for_all() {
    let limit = |key: &str| {
        format!(
            "rate_limit: {{requests_per_second: 1, period_ms: 3600000, burst_size: 1, key: {key}}}"
        )
    };
    route(&limit("header, header: x-user"), &ok("x"), |ringway, _| {
        for (user, status) in [("X-User: a", 200), ("X-User: b", 200), ("x-user: a", 429)] {
            assert_eq!(
                exchange(ringway.address(), with(GET, user)).status(),
                status,
                "{user}"
            );
        }
    });
    route(&limit("route"), &ok("x"), |ringway, _| {
        assert_eq!(exchange(ringway.address(), from("192.0.2.1")).status(), 200);
        assert_eq!(exchange(ringway.address(), from("192.0.2.2")).status(), 429);
    });
}

/// Both workers together let no more through than the limit.
#[test]
fn a_limit_is_exact_over_all_workers() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("x"));
        let configuration = forwarding(origin.address()).replace(
            "upstream: origin}",
            "upstream: origin, rate_limit: {requests_per_second: 1, period_ms: 3600000, \
             burst_size: 100, key: route}}",
        );
        let ringway = Ringway::start(&(configuration + "workers: 2\n"), driver);
        let address = ringway.address();
        let passed: usize = std::thread::scope(|scope| {
            let client = || {
                let statuses = (0..50).map(|_| exchange(address, GET).status());
                statuses.filter(|status| *status == 200).count()
            };
            let clients = [(); 4].map(|()| scope.spawn(client));
            clients.map(|client| client.join().unwrap()).iter().sum()
        });
        assert_eq!(passed, 100);
        ringway.cut_off();
        origin.finish();
    });
}

#[test]
fn explain_says_what_each_policy_does() {
    let directory = new_directory();
    let file = directory.join("explain.yaml");
    let configuration = "listeners: [{port: 80}]
upstreams: [{name: u, load_balancer: least_conn, servers: [{address: 127.0.0.1, port: 1}, \
{address: 127.0.0.1, port: 2, backup: true}]}]
routes: [{path_prefix: /, upstream: u, ip: {deny: [192.0.2.0/24]}, allow_methods: [PUT], \
rate_limit: {key: ip}, cors: {allow_origins: [\"*\"]}, request_headers: {remove: [x-a], \
set: [{name: x-b, value: \"{path}\"}]}, host_rewrite: inside, traffic_split: [{upstream: u}], \
cache: {region: r, vary: [x-a]}, \
auth: {type: api_key, keys: [{name: k, secret_hash: \"sha256::HASH\"}]}, \
maintenance: {allow: [192.0.2.1/32]}, error_pages: [{body: x}]}]
"
    .replace("HASH", &"0".repeat(64));
    std::fs::write(&file, configuration).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["explain", "--config", file.to_str().unwrap()])
        .args([
            "--request",
            "GET http://a.example/x",
            "-H",
            "Origin: https://o",
            "-H",
            "X-A: 1",
        ])
        .output()
        .unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for line in [
        "policy maintenance: 192.0.2.1 is served all the same",
        "policy ip: 192.0.2.1 may not come in",
        "policy cors: https://o may ask",
        "policy allow_methods: GET is 405",
        "policy auth: a key in the field x-api-key, 1 keys; the request does not prove who asks",
        "policy rate_limit: 100 requests per 1000 ms, 200 at once, for each address",
        "policy traffic_split: 100 to u",
        "policy cache: 60 s in region r, told apart by x-a",
        "policy error_pages: 1",
        "server picked by: the fewest requests in flight, among 127.0.0.1:1, 127.0.0.1:2 (backup)",
        "retries: up to 1 after a connection that cannot be opened, or one that ends too early, \
         or 502, 503, 504",
        "    Host: inside",
        "    x-b: /x",
    ] {
        assert!(
            said.lines().any(|one| one == line),
            "{line:?} is missing in\n{said}"
        );
    }
    assert!(!said.contains("X-A"), "{said}");
}
