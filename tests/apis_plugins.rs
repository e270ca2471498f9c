//! Promise: the plugins of an Otoroshi route that have a native meaning take effect on traffic as
//! soon as the write is answered, and come back as they were written.

mod common;

use common::apis::*;
use common::*;
use serde_json::{Value, json};

/// Runs `test` with a route of these plugins and settings in front of an origin of this answer.
fn route_with(
    plugins: &Value,
    backend: &Value,
    answer: &[u8],
    test: impl Fn(&Ringway, &ApisClient, &ScriptedOrigin) + Sync,
) {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(answer);
        let ringway = Ringway::start(APIS, driver);
        let apis = ApisClient::connect(ringway.admin_address());
        let mut entity = route("r-1", "a.io", origin.address());
        let list = plugins.as_array().unwrap().iter().map(|plugin| {
            let name = plugin[0].as_str().unwrap();
            json!({"plugin": format!("cp:otoroshi.next.plugins.{name}"), "config": plugin[1]})
        });
        entity["plugins"] = list.collect();
        let members = backend.as_object().unwrap().clone();
        entity["backend"].as_object_mut().unwrap().extend(members);
        let written = json_of(&apis.post(ROUTES, &entity), 201);
        for (index, plugin) in entity["plugins"].as_array().unwrap().iter().enumerate() {
            assert_eq!(written["plugins"][index]["plugin"], plugin["plugin"]);
            assert_eq!(written["plugins"][index]["config"], plugin["config"]);
        }
        test(&ringway, &apis, &origin);
        ringway.finish();
        origin.finish();
    });
}

fn ask(ringway: &Ringway, method: &str, lines: &str) -> Message {
    let request = format!("{method} /x HTTP/1.1\r\nHost: a.io\r\n{lines}\r\n\r\n");
    exchange(ringway.address(), request)
}

#[test]
fn fields_and_the_host_change() {
    let plugins = json!([
        ["OverrideHost", {}],
        ["AdditionalHeadersIn", {"headers": {"x-in": "1", "x-kept": "${token.sub}"}}],
        ["RemoveHeadersIn", {"header_names": ["x-gone"]}],
        ["AdditionalHeadersOut", {"headers": {"x-out": "2"}}],
        ["RemoveHeadersOut", {"header_names": ["server"]}],
    ]);
    let answer = b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 2\r\n\r\nin";
    route_with(&plugins, &json!({}), answer, |ringway, _, origin| {
        let response = ask(ringway, "GET", "X-Gone: 1");
        assert_eq!(response.text(), "in");
        assert_eq!(response.field("x-out"), Some("2"));
        assert_eq!(response.field("server"), None);
        let request = origin.requests().remove(0);
        assert_eq!(request.field("x-in"), Some("1"));
        assert_eq!(request.field("x-gone"), None);
        // An expression has no native meaning, so nothing is sent in its place.
        assert_eq!(request.field("x-kept"), None);
        assert_eq!(request.field("host"), Some("127.0.0.1"));
    });
}

#[test]
fn who_may_come_in_is_told_apart() {
    let plugins = json!([["ApikeyCalls", {}], ["AllowHttpMethods", {"forbidden": ["PUT"]}]]);
    route_with(&plugins, &json!({}), &ok("in"), |ringway, apis, _| {
        let shown = "Otoroshi-Client-Id: k-1\r\nOtoroshi-Client-Secret: s3cret";
        own_answer(&ask(ringway, "GET", shown), 401);
        let key = json!({
            "clientId": "k-1", "clientSecret": "s3cret", "clientName": "Ann",
            "authorizedEntities": ["route_r-1"],
        });
        json_of(&apis.post(APIKEYS, &key), 201);
        assert_eq!(ask(ringway, "GET", shown).text(), "in");
        own_answer(&ask(ringway, "PUT", shown), 405);
        own_answer(&ask(ringway, "GET", "X: y"), 401);
    });
    let plugins = json!([["IpAddressBlockList", {"addresses": ["127.0.0.1"]}]]);
    route_with(&plugins, &json!({}), &ok("in"), |ringway, _, _| {
        own_answer(&ask(ringway, "GET", "X: y"), 403);
    });
    // What cannot be read as an address lets nobody in.
    let plugins = json!([["IpAddressAllowedList", {"addresses": ["nonsense"]}]]);
    route_with(&plugins, &json!({}), &ok("in"), |ringway, _, _| {
        own_answer(&ask(ringway, "GET", "X: y"), 403);
    });
    // Two proofs at once have no native word.
    let plugins = json!([["ApikeyCalls", {}], ["JwtVerification", {"verifiers": ["v"]}]]);
    route_with(&plugins, &json!({}), &ok("in"), |ringway, _, _| {
        own_answer(&ask(ringway, "GET", "X: y"), 401);
    });
}

#[test]
fn responses_are_compressed_and_routes_are_maintained() {
    let page = pattern(3_000);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3000\r\n\r\n";
    let answer = [head.as_bytes(), &page].concat();
    let plugins = json!([["GzipResponseCompressor", {"allowed_list": ["text/html"]}]]);
    route_with(&plugins, &json!({}), &answer, |ringway, _, _| {
        let response = ask(ringway, "GET", "Accept-Encoding: gzip, br");
        assert_eq!(response.field("content-encoding"), Some("gzip"));
    });
    for (plugin, says) in [
        ("MaintenanceMode", "maintenance"),
        ("BuildMode", "construction"),
    ] {
        route_with(
            &json!([[plugin, {}]]),
            &json!({}),
            &answer,
            |ringway, _, _| {
                let response = ask(ringway, "GET", "X: y");
                own_answer(&response, 503);
                assert!(response.text().contains(says), "{}", response.text());
            },
        );
    }
}

#[test]
fn balancing_and_limits_are_native() {
    let backend = json!({
        "load_balancing": {"type": "HeaderHash", "header_name": "x-user"},
        "health_check": {"enabled": true, "url": "http://any/h", "healthyStatuses": [200, 204]},
    });
    let plugins = json!([
        ["LocalTokenBucket", {"capacity": 2, "refill_amount": 1, "refill_interval": 600000}],
        ["RequestBodyLengthLimiter", {"max_length": 3}],
    ]);
    route_with(&plugins, &backend, &ok("in"), |ringway, apis, _| {
        let shown = json_of(&apis.get(&format!("{ROUTES}/r-1")), 200);
        assert_eq!(
            shown["backend"]["load_balancing"],
            backend["load_balancing"]
        );
        assert_eq!(shown["backend"]["health_check"], backend["health_check"]);
        let upstreams = json_of(&apis.get("/apis/ringway/v1/upstreams"), 200);
        let own = upstreams.as_array().unwrap();
        assert_eq!(own[0]["load_balancer"], "consistent_hash", "{upstreams}");
        assert_eq!(own[0]["hash"]["name"], "x-user");
        assert_eq!(own[0]["health_check"]["path"], "/h");
        assert_eq!(
            own[0]["health_check"]["expected_statuses"],
            json!([200, 204])
        );
        let large = ask(ringway, "POST", "Content-Length: 4\r\nConnection: close");
        assert_eq!(large.status(), 413);
        assert_eq!(ask(ringway, "GET", "X: y").status(), 200);
        assert_eq!(ask(ringway, "GET", "X: y").status(), 429);
    });
}
