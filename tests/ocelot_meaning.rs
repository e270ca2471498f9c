//! Promise: what an ocelot.json says about servers, limits, addresses, time and fields is what
//! happens to requests, with the statuses, fields and texts of Ocelot.

mod common;

use common::ocelot::{OcelotClient, route, settings, start};
use common::secure::{Authority, TlsFront};
use common::{Connection, Message, RawClient, Ringway, ScriptedOrigin, exchange, ok};
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};

fn ask(ringway: &Ringway, path: &str, fields: &str) -> Message {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: front.test\r\nConnection: close\r\n{fields}\r\n");
    exchange(ringway.address(), request)
}

fn with(mut route: Value, more: Value) -> Value {
    json_patch::merge(&mut route, &more);
    route
}

#[test]
fn a_rate_limit_has_the_fields_and_texts_of_ocelot() {
    let origin = ScriptedOrigin::answering(ok("hello"));
    let server = origin.address();
    let plain =
        json!({"RateLimitOptions": {"Limit": 2, "Period": "1h", "ClientWhitelist": ["me"]}});
    let told = json!({"RateLimitOptions": {"Limit": 1, "Period": "1h", "ClientIdHeader": "Who",
        "StatusCode": 418, "QuotaMessage": "only {0} in {1}", "EnableHeaders": false}});
    let ringway = start(&json!({"Routes": [
        with(route("/plain", "/", server), plain), with(route("/told", "/", server), told),
    ]}));
    let one = "Oc-Client: one\r\n";
    let first = ask(&ringway, "/plain", one);
    assert_eq!(first.status(), 200);
    assert_eq!(first.field("x-ratelimit-limit"), Some("2"));
    assert_eq!(first.field("x-ratelimit-remaining"), Some("1"));
    let reset = first.field("x-ratelimit-reset").expect("a date");
    assert!(
        reset.len() == 28 && reset.ends_with('Z') && &reset[10..11] == "T",
        "{reset}"
    );
    assert_eq!(ask(&ringway, "/plain", one).status(), 200);
    let refused = ask(&ringway, "/plain", one);
    assert_eq!(refused.status(), 429);
    let text = "API calls quota exceeded! Maximum admitted 2 per 1h.";
    assert_eq!(refused.text(), text);
    assert!(refused.field("retry-after").is_some());
    assert_eq!(ask(&ringway, "/plain", "Oc-Client: two\r\n").status(), 200);
    for _ in 0..5 {
        assert_eq!(ask(&ringway, "/plain", "Oc-Client: me\r\n").status(), 200);
    }
    assert_eq!(
        ask(&ringway, "/plain", "").status(),
        503,
        "nobody says who asks"
    );
    assert_eq!(ask(&ringway, "/told", "Who: x\r\n").status(), 200);
    let refused = ask(&ringway, "/told", "Who: x\r\n");
    assert_eq!(
        (refused.status(), refused.text().as_str()),
        (418, "only 1 in 1h")
    );
    assert_eq!(refused.field("retry-after"), None);
    assert_eq!(refused.field("x-ratelimit-limit"), None);
    ringway.finish();
}

#[test]
fn what_is_counted_outlives_a_document_that_does_not_touch_it() {
    let origin = ScriptedOrigin::answering(ok("hello"));
    let server = origin.address();
    let limit = json!({"RateLimitOptions": {"Limit": 1, "Period": "1h"}});
    let limited = with(route("/limited", "/", server), limit);
    let ringway = start(&json!({"Routes": [limited]}));
    let one = "Oc-Client: one\r\n";
    assert_eq!(ask(&ringway, "/limited", one).status(), 200);
    assert_eq!(ask(&ringway, "/limited", one).status(), 429);
    let mut client = OcelotClient::with_token(ringway.admin_address());
    // Another route comes before it: its place changes, its count does not.
    let more = json!({"Routes": [route("/more", "/", server), limited]});
    assert_eq!(client.post(&more).status(), 200);
    assert_eq!(ask(&ringway, "/limited", one).status(), 429);
    let mut changed = limited;
    changed["RateLimitOptions"]["Limit"] = json!(5);
    assert_eq!(client.post(&json!({"Routes": [changed]})).status(), 200);
    assert_eq!(
        ask(&ringway, "/limited", one).status(),
        200,
        "another limit counts anew"
    );
    drop(client);
    ringway.finish();
}

#[test]
fn addresses_are_let_in_and_kept_out() {
    let origin = ScriptedOrigin::answering(ok("hello"));
    let server = origin.address();
    let mut own = settings();
    own["forwarded"] = json!({"trusted": ["127.0.0.0/8"]});
    let blocked = json!({"SecurityOptions": {"IPBlockedList": ["10.0.0.0/24"],
        "IPAllowedList": ["10.0.0.5"], "ExcludeAllowedFromBlocked": true}});
    let ringway = start(&json!({
        "Routes": [with(route("/own", "/", server), blocked), route("/global", "/", server)],
        "GlobalConfiguration": {"SecurityOptions": {"IPBlockedList": ["10.0.0.1-9"]}},
        "Ringway": own,
    }));
    for (path, address, status) in [
        ("/own", "10.0.0.5", 200),
        ("/own", "10.0.0.6", 403),
        ("/own", "10.1.0.1", 403),
        ("/global", "10.0.0.5", 403),
        ("/global", "10.0.0.10", 200),
    ] {
        let answer = ask(&ringway, path, &format!("X-Forwarded-For: {address}\r\n"));
        assert_eq!(answer.status(), status, "{path} {address}");
    }
    ringway.finish();
}

#[test]
fn a_server_that_takes_too_long_is_503_and_a_dead_one_502() {
    let slow = ScriptedOrigin::start(|connection: &mut Connection, _| {
        // It reads all and says nothing.
        while connection.request().is_some() {}
    });
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = dead.local_addr().unwrap();
    drop(dead);
    let timeout = json!({"QoSOptions": {"TimeoutValue": 100}});
    let ringway = start(&json!({"Routes": [
        with(route("/slow", "/", slow.address()), timeout), route("/dead", "/", nobody),
    ]}));
    assert_eq!(ask(&ringway, "/slow", "").status(), 503);
    assert_eq!(ask(&ringway, "/dead", "").status(), 502);
    assert_eq!(ask(&ringway, "/none", "").status(), 404);
    ringway.finish();
}

#[test]
fn a_breaker_opens_for_its_route_alone() {
    let failing = ScriptedOrigin::answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let server = failing.address();
    let breaker = json!({"QoSOptions": {"MinimumThroughput": 2, "FailureRatio": 0.5,
        "BreakDuration": 600_000, "SamplingDuration": 600_000}});
    let ringway = start(&json!({"Routes": [
        with(route("/guarded", "/", server), breaker), route("/free", "/", server),
    ]}));
    let statuses: Vec<u16> = (0..6)
        .map(|_| ask(&ringway, "/guarded", "").status())
        .collect();
    assert_eq!(statuses[0], 500);
    assert_eq!(statuses[5], 503, "{statuses:?}");
    assert_eq!(ask(&ringway, "/free", "").status(), 500);
    ringway.finish();
}

#[test]
fn an_open_breaker_outlives_a_document_that_does_not_touch_it() {
    let failing = ScriptedOrigin::answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let server = failing.address();
    let breaker = json!({"QoSOptions": {"MinimumThroughput": 2, "FailureRatio": 0.5,
        "BreakDuration": 600_000, "SamplingDuration": 600_000}});
    let guarded = with(route("/guarded", "/", server), breaker);
    let ringway = start(&json!({"Routes": [guarded]}));
    let opened = (0..6).any(|_| ask(&ringway, "/guarded", "").status() == 503);
    assert!(opened);
    let before = failing.requests().len();
    let mut client = OcelotClient::with_token(ringway.admin_address());
    let more = json!({"Routes": [route("/more", "/", server), guarded]});
    assert_eq!(client.post(&more).status(), 200);
    assert_eq!(ask(&ringway, "/guarded", "").status(), 503);
    assert_eq!(failing.requests().len(), before, "nobody was asked");
    drop(client);
    ringway.finish();
}

/// Who answered each of so many requests.
fn who(ringway: &Ringway, path: &str, fields: &str, count: usize) -> String {
    let mut client = RawClient::connect(ringway.address());
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    (0..count)
        .map(|_| client.exchange(&request).text())
        .collect()
}

#[test]
fn servers_are_picked_as_is_said() {
    let (one, two) = (
        ScriptedOrigin::answering(ok("1")),
        ScriptedOrigin::answering(ok("2")),
    );
    let servers = json!({"DownstreamHostAndPorts": [
        {"Host": "127.0.0.1", "Port": one.address().port()},
        {"Host": "127.0.0.1", "Port": two.address().port()},
    ]});
    let of = |path: &str, options: Value| {
        let route = with(route(path, "/", one.address()), servers.clone());
        with(route, json!({ "LoadBalancerOptions": options }))
    };
    let ringway = start(&json!({"Routes": [
        of("/none", json!({})),
        of("/first", json!({"Type": "NoLoadBalancer"})),
        of("/turns", json!({"Type": "RoundRobin"})),
        of("/least", json!({"Type": "LeastConnection"})),
        of("/sticky", json!({"Type": "CookieStickySessions", "Key": "session", "Expiry": 1000})),
    ]}));
    assert_eq!(who(&ringway, "/none", "", 4), "1111");
    assert_eq!(who(&ringway, "/first", "", 4), "1111");
    let turns = who(&ringway, "/turns", "", 4);
    assert!(turns == "1212" || turns == "2121", "{turns}");
    assert_eq!(who(&ringway, "/least", "", 4).len(), 4);
    let mut all = String::new();
    for session in 0..20 {
        let field = format!("Cookie: a=b; session={session}\r\n");
        let same = who(&ringway, "/sticky", &field, 3);
        assert!(same == "111" || same == "222", "{same}");
        all += &same;
    }
    assert!(all.contains('1') && all.contains('2'), "{all}");
    ringway.finish();
}

#[test]
fn fields_are_set_on_the_way_there_and_back() {
    let origin = ScriptedOrigin::answering(ok("hello"));
    let server = origin.address();
    let transforms = json!({
        "UpstreamHeaderTransform": {"X-Client": "{RemoteIpAddress}", "X-Asked": "{UpstreamHost}"},
        "DownstreamHeaderTransform": {"X-Base": "{BaseUrl}", "X-From": "{DownstreamBaseUrl}"},
    });
    let ringway = start(&json!({
        "Routes": [with(route("/foo/{rest}", "/{rest}?a=b", server), transforms)],
        "GlobalConfiguration": {"BaseUrl": "http://api.test/",
            "DownstreamHeaderTransform": {"X-Base": "not this", "X-Gateway": "ours"}},
    }));
    let answer = ask(&ringway, "/foo/x/y?rest=gone&q=1", "");
    assert_eq!(answer.field("x-base"), Some("http://api.test"));
    assert_eq!(answer.field("x-from").unwrap(), format!("http://{server}/"));
    assert_eq!(answer.field("x-gateway"), Some("ours"));
    let request = origin.requests().pop().unwrap();
    assert_eq!(request.target(), "/x/y?a=b&q=1");
    assert_eq!(request.field("x-client"), Some("127.0.0.1"));
    assert_eq!(request.field("x-asked"), Some("front.test"));
    assert_eq!(request.field("host").unwrap(), server.to_string());
    ringway.finish();
}

#[test]
fn what_cannot_be_served_as_it_is_said_is_not_served() {
    let origin = ScriptedOrigin::answering(ok("hello"));
    let server = origin.address();
    let ringway = start(&json!({
        "Routes": [
            with(route("/other", "/", server), json!({"DownstreamScheme": "gopher"})),
            with(route("/claims", "/", server), json!({"RouteClaimsRequirement": {"Role": "A"}})),
            with(route("/found", "/", server), json!({"ServiceName": "orders"})),
        ],
        "GlobalConfiguration": {"ServiceDiscoveryProvider": {"Host": "localhost", "Port": 8500}},
    }));
    for (path, status) in [("/other", 502), ("/claims", 403), ("/found", 503)] {
        assert_eq!(ask(&ringway, path, "").status(), status, "{path}");
    }
    assert!(origin.requests().is_empty());
    ringway.finish();
}

#[test]
fn servers_are_spoken_to_over_tls_where_the_scheme_says_so() {
    let origin = ScriptedOrigin::start(|connection, _| {
        while let Some(request) = connection.request() {
            if request.connection_has("upgrade") {
                connection.write(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                     Upgrade: websocket\r\n\r\n",
                );
                let some = connection.reader.exactly(5);
                connection.write(some);
                return;
            }
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLocation: ");
            connection.write(request.field("x-base").unwrap_or("/"));
            connection.write("\r\n\r\nok");
        }
    });
    let identity = Authority::new().vouch(&["127.0.0.1"]);
    let front = TlsFront::start(identity.server(&[&TLS13, &TLS12], None), origin.address());
    let server = front.address();
    let any = "DangerousAcceptAnyServerCertificateValidator";
    let ringway = start(&json!({
        "Routes": [
            with(route("/any", "/any", server), json!({"DownstreamScheme": "https", any: true})),
            with(route("/ws", "/ws", server), json!({"DownstreamScheme": "wss", any: true})),
            with(route("/strict", "/", server), json!({"DownstreamScheme": "https"})),
            with(route("/clear", "/", origin.address()), json!({"DownstreamScheme": "http"})),
            with(route("/back", "/", server), json!({"DownstreamScheme": "https", any: true,
                "UpstreamHeaderTransform": {"X-Base": format!("https://{server}/")},
                "DownstreamHeaderTransform": {"Location": "{DownstreamBaseUrl}, {BaseUrl}"}})),
        ],
        "GlobalConfiguration": {"BaseUrl": "http://api.test"},
    }));
    assert_eq!(ask(&ringway, "/any", "").text(), "ok");
    assert_eq!(
        origin.requests()[0].field("host").unwrap(),
        server.to_string()
    );
    assert_eq!(front.handshakes(), 1);
    // Nobody vouches for it.
    let answer = ask(&ringway, "/strict", "");
    assert_eq!(answer.status(), 502);
    assert!(
        answer
            .field("proxy-status")
            .unwrap()
            .ends_with("tls_certificate_error")
    );
    assert_eq!(ask(&ringway, "/clear", "").text(), "ok");
    assert_eq!(front.handshakes(), 1);
    assert_eq!(
        ask(&ringway, "/back", "").field("location"),
        Some("http://api.test/")
    );
    let mut client = RawClient::connect(ringway.address());
    let upgrade =
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(client.exchange(upgrade).status(), 101);
    client.send("hello");
    assert_eq!(client.reader.exactly(5), b"hello");
    drop(client);
    ringway.finish();
}
