//! Seed 001: every endpoint with the codes and bodies of its reference, and its curl examples
//! as they stand, but for port and key.

mod common;

use std::process::Command;

use common::admin::{body, expect, expect_error};
use common::{ADMIN, Driver, Ringway, ScriptedOrigin, exchange, forwarding, ok, on_both_drivers};
use serde_json::{Value, json};

/// The four examples, as in the seed.
const EXAMPLES: [&str; 4] = [
    r#"curl -H "X-API-Key: secret-admin-key" http://127.0.0.1:9090/routes"#,
    r#"curl -X POST http://127.0.0.1:9090/upstreams \
  -H "X-API-Key: secret-admin-key" \
  -H "Content-Type: application/json" \
  -d '{
        "name": "api_canary",
        "servers": [ { "address": "10.0.0.9", "port": 8080 } ],
        "load_balancer": "round_robin"
      }'"#,
    r#"curl -X POST http://127.0.0.1:9090/routes \
  -H "X-API-Key: secret-admin-key" \
  -H "Content-Type: application/json" \
  -d '{
        "path_prefix": "/canary/",
        "upstream": "api_canary",
        "rewrite_pattern": "/canary/",
        "rewrite_replacement": "/"
      }'"#,
    r#"curl -X DELETE http://127.0.0.1:9090/routes/%2Fcanary%2F \
  -H "X-API-Key: secret-admin-key""#,
];

fn start(driver: Driver) -> (Ringway, ScriptedOrigin) {
    let origin = ScriptedOrigin::answering(ok("served"));
    let ringway = Ringway::start(&(forwarding(origin.address()) + ADMIN), driver);
    (ringway, origin)
}

#[test]
fn the_curl_examples_work_as_they_stand() {
    let (ringway, origin) = start(Driver::Epoll);
    let expected = [
        None,
        Some(json!({"ok": true, "upstream": "api_canary"})),
        Some(json!({"ok": true, "route": "/canary/"})),
        Some(json!({"ok": true, "deleted": "/canary/"})),
    ];
    for (example, expected) in EXAMPLES.into_iter().zip(expected) {
        let here = example.replace("127.0.0.1:9090", &ringway.admin_address().to_string());
        let output = Command::new("sh")
            .args(["-c", &here])
            .output()
            .expect("a shell");
        let printed: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error} of {example}: {output:?}"));
        match expected {
            None => assert_eq!(printed["routes"][0]["path_prefix"], "/", "{printed}"),
            Some(expected) => assert_eq!(printed, expected),
        }
    }
    ringway.finish();
    origin.finish();
}

#[test]
fn every_call_answers_as_the_reference_says_with_and_without_v1() {
    for prefix in ["", "/v1"] {
        let (ringway, origin) = start(Driver::Epoll);
        let mut admin = ringway.admin();
        let at = |path: &str| format!("{prefix}{path}");
        let upstream = json!({"name": "u", "servers": [{"address": "10.0.0.9", "port": 80}]});
        let route = json!({"path_prefix": "/canary/", "upstream": "u"});

        expect(
            &admin.post(&at("/upstreams"), &upstream),
            201,
            json!({"ok": true, "upstream": "u"}),
        );
        expect_error(
            &admin.post(&at("/upstreams"), &upstream),
            409,
            "upstream already exists",
        );
        expect_error(
            &admin.post(&at("/upstreams"), &json!({})),
            400,
            "name required",
        );
        let created = admin.post(&at("/routes"), &route);
        expect(&created, 201, json!({"ok": true, "route": "/canary/"}));
        assert_eq!(created.field("location"), Some("/routes/canary"));
        expect_error(
            &admin.post(&at("/routes"), &route),
            409,
            "route already exists",
        );
        let no_path = json!({"upstream": "u"});
        expect_error(
            &admin.post(&at("/routes"), &no_path),
            400,
            "path_prefix required",
        );
        let no_upstream = json!({"path_prefix": "/x/"});
        expect_error(
            &admin.post(&at("/routes"), &no_upstream),
            400,
            "upstream required",
        );
        let unknown = json!({"path_prefix": "/x/", "upstream": "nobody"});
        let refused = admin.post(&at("/routes"), &unknown);
        expect_error(&refused, 400, "invalid route");
        assert_eq!(body(&refused)["faults"][0]["path"], "$.upstream");
        expect_error(
            &admin.send("POST", &at("/routes"), &[], ""),
            400,
            "empty body",
        );
        expect_error(
            &admin.send("POST", &at("/routes"), &[], "{"),
            400,
            "invalid JSON",
        );

        let in_use = admin.delete(&at("/upstreams/u"));
        expect_error(&in_use, 409, "upstream in use");
        assert_eq!(body(&in_use)["routes"], json!(["canary"]));
        let two = json!({"servers": [{"address": "10.0.0.10", "port": 80}]});
        expect(
            &admin.put(&at("/upstreams/u"), &two),
            200,
            json!({"ok": true, "upstream": "u"}),
        );
        expect_error(
            &admin.put(&at("/upstreams/v"), &two),
            404,
            "upstream not found",
        );
        assert_eq!(
            admin
                .put(&at("/upstreams/u"), &json!({"servers": []}))
                .status(),
            400
        );

        let routes = body(&admin.get(&at("/routes")));
        assert_eq!(
            routes["routes"].as_array().map(Vec::len),
            Some(2),
            "{routes}"
        );
        assert_eq!(routes["routes"][1]["path_prefix"], "/canary/");
        let upstreams = body(&admin.get(&at("/upstreams")));
        assert_eq!(
            upstreams["upstreams"][1]["servers"][0]["address"],
            "10.0.0.10"
        );

        let deleted = json!({"ok": true, "deleted": "/canary/"});
        expect(
            &admin.delete(&at("/routes/%2Fcanary%2F")),
            200,
            deleted.clone(),
        );
        expect_error(
            &admin.delete(&at("/routes/%2Fcanary%2F")),
            404,
            "route not found",
        );
        assert_eq!(admin.post(&at("/routes"), &route).status(), 201);
        expect(&admin.delete(&at("/routes?prefix=/canary/")), 200, deleted);
        expect_error(&admin.delete(&at("/routes")), 400, "?prefix= required");
        expect(
            &admin.delete(&at("/upstreams/u")),
            200,
            json!({"ok": true, "deleted": "u"}),
        );
        expect_error(
            &admin.delete(&at("/upstreams/u")),
            404,
            "upstream not found",
        );
        assert_eq!(admin.post(&at("/upstreams"), &upstream).status(), 201);
        assert_eq!(admin.delete(&at("/upstreams?name=u")).status(), 200);
        expect_error(&admin.delete(&at("/upstreams")), 400, "?name= required");

        expect_error(
            &admin.send("PATCH", &at("/routes"), &[], "{}"),
            405,
            "method not allowed",
        );
        expect_error(&admin.get(&at("/nothing")), 404, "not found");
        expect_error(&admin.delete(&at("/status")), 405, "method not allowed");
        drop(admin);
        ringway.finish();
        origin.finish();
    }
}

#[test]
fn status_metrics_and_cores_say_what_is_running() {
    on_both_drivers(|driver| {
        let (ringway, origin) = start(driver);
        let mut admin = ringway.admin();
        let request = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
        assert_eq!(exchange(ringway.address(), request).status(), 200);
        let status = body(&admin.get("/status"));
        assert_eq!(status["status"], "ok");
        assert_eq!(
            (&status["routes"], &status["upstreams"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(status["port"], ringway.address().port());
        assert_eq!(status["workers"], 1);
        assert_eq!(status["in_force"], true);
        let metrics = admin.get("/metrics");
        let kind = metrics.field("content-type");
        assert_eq!(kind, Some("text/plain; version=0.0.4"));
        let text = metrics.text();
        let count = text
            .lines()
            .find(|line| line.starts_with("ringway_requests_total{worker=\"0\""));
        assert!(count.is_some_and(|line| line.ends_with(" 1")), "{text}");
        assert!(text.contains("# TYPE ringway_connections gauge"), "{text}");
        let cores = body(&admin.get("/cores"));
        assert_eq!(cores["cores"][0]["driver"], driver.name());
        assert_eq!(cores["cores"][0]["lag"], 0);
        drop(admin);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn the_longest_prefix_wins_whatever_the_order() {
    let (ringway, origin) = start(Driver::Epoll);
    let mut admin = ringway.admin();
    let respond = |prefix: &str| json!({"path_prefix": prefix, "respond": {"body": prefix}});
    for prefix in ["/a/", "/a/b/c/", "/a/b/"] {
        assert_eq!(admin.post("/routes", &respond(prefix)).status(), 201);
    }
    for (path, expected) in [
        ("/a/x", "/a/"),
        ("/a/b/x", "/a/b/"),
        ("/a/b/c/x", "/a/b/c/"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(exchange(ringway.address(), request).text(), expected);
    }
    drop(admin);
    ringway.finish();
    origin.finish();
}
