//! Promise: an answer about an upstream with server names comes when they have been looked up; one
//! that cannot be is named.

mod common;

use common::admin::{body, expect};
use common::{ADMIN, Ringway, ScriptedOrigin, exchange, ok, on_both_drivers};
use serde_json::json;

#[test]
fn the_next_request_finds_the_servers_of_a_new_upstream() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("served"));
        let ringway = Ringway::start(&format!("{ADMIN}workers: 1\n"), driver);
        let mut admin = ringway.admin();
        let port = origin.address().port();
        for round in 0..10 {
            let server = json!({"address": "localhost", "port": port});
            let upstream = json!({"name": "named", "servers": [server]});
            let made = admin.post("/upstreams", &upstream);
            expect(&made, 201, json!({"ok": true, "upstream": "named"}));
            let route = json!({"path_prefix": "/", "upstream": "named"});
            assert_eq!(admin.post("/routes", &route).status(), 201);
            let get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let answer = exchange(ringway.address(), get);
            assert_eq!(answer.status(), 200, "{round}: {}", answer.text());
            assert_eq!(admin.delete("/routes?prefix=/").status(), 200);
            assert_eq!(admin.delete("/upstreams/named").status(), 200);
        }
        drop(admin);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_name_that_cannot_be_resolved_is_in_the_answer() {
    on_both_drivers(|driver| {
        let ringway = Ringway::start(&format!("{ADMIN}workers: 1\n"), driver);
        let mut admin = ringway.admin();
        let server = |address: &str| json!({"address": address, "port": 80});
        let servers = [server("nowhere.invalid"), server("127.0.0.1")];
        let upstream = json!({"name": "named", "servers": servers});
        let made = admin.post("/upstreams", &upstream);
        let told = json!({"ok": true, "upstream": "named", "unresolved": ["nowhere.invalid"]});
        expect(&made, 201, told);
        assert_eq!(
            body(&admin.get("/upstreams"))["upstreams"][0]["name"],
            "named"
        );
        drop(admin);
        ringway.finish();
    });
}
