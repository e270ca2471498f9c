//! SIGHUP and /reload take over values at once, and report what they do not take over.

mod common;

use common::admin::body;
use common::{ADMIN, Driver, RawClient, Ringway, wait_until};
use rustix::process::Signal;
use serde_json::json;

const BEFORE: &str = "routes: [{id: one, path_prefix: /one/, respond: {body: one}}]\n";
const AFTER: &str = "routes: [{id: two, path_prefix: /two/, respond: {body: two}}]\n\
                     limits: {max_header_bytes: 2048}\n";

fn rewrite(ringway: &Ringway, content: &str) {
    let path = ringway.config_path();
    let text = std::fs::read_to_string(&path).unwrap();
    let rest: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("routes:") && !line.starts_with("limits:"))
        .collect();
    std::fs::write(&path, format!("{content}{}\n", rest.join("\n"))).unwrap();
}

#[test]
fn values_are_taken_over_and_structure_is_reported_until_asked_for() {
    let mut ringway = Ringway::start(&format!("{BEFORE}{ADMIN}"), Driver::Epoll);
    let mut client = RawClient::connect(ringway.address());
    let long = format!(
        "GET /one/ HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(3_000)
    );
    assert_eq!(client.exchange(&long).status(), 200);
    rewrite(&ringway, AFTER);
    ringway.process().signal(Signal::HUP);
    let status = wait_until("the reload", || {
        let status = body(&ringway.admin().get("/status"));
        let pending = status["pending_structural_changes"]
            .as_array()
            .unwrap()
            .len();
        (pending > 0).then_some(status)
    });
    let pending = status["pending_structural_changes"].to_string();
    assert!(
        pending.contains("route two is only in the file"),
        "{pending}"
    );
    assert!(
        pending.contains("route one is not in the file"),
        "{pending}"
    );
    // The connection of before is still there, and the new limit holds on it.
    let short = "GET /one/ HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(client.exchange(short).status(), 200);
    assert_eq!(client.exchange(&long).status(), 431);
    drop(client);

    let applied = ringway
        .admin()
        .send("POST", "/reload?structural=true", &[], "");
    assert_eq!(applied.status(), 200, "{}", applied.text());
    assert_eq!(body(&applied)["pending_structural_changes"], json!([]));
    let mut client = RawClient::connect(ringway.address());
    assert_eq!(
        client
            .exchange("GET /two/ HTTP/1.1\r\nHost: a\r\n\r\n")
            .status(),
        200
    );
    assert_eq!(client.exchange(short).status(), 404);
    drop(client);
    ringway.finish();
}

#[test]
fn a_file_with_faults_changes_nothing_and_is_reported() {
    let ringway = Ringway::start(&format!("{BEFORE}{ADMIN}"), Driver::Epoll);
    let good = std::fs::read_to_string(ringway.config_path()).unwrap();
    std::fs::write(ringway.config_path(), "routes: [{path_prefix: nowhere}]\n").unwrap();
    let refused = ringway.admin().send("POST", "/reload", &[], "");
    assert_eq!(refused.status(), 400, "{}", refused.text());
    let status = body(&ringway.admin().get("/status"));
    assert!(status["last_reload_error"].is_string(), "{status}");
    let mut client = RawClient::connect(ringway.address());
    assert_eq!(
        client
            .exchange("GET /one/ HTTP/1.1\r\nHost: a\r\n\r\n")
            .text(),
        "one"
    );
    drop(client);
    std::fs::write(ringway.config_path(), good).unwrap();
    assert_eq!(
        ringway.admin().send("POST", "/reload", &[], "").status(),
        200
    );
    let status = body(&ringway.admin().get("/status"));
    assert_eq!(status.get("last_reload_error"), None);
    // The log has the error, as it must; `finish` would take it for one of the test's.
    ringway.finish_after("the reload changed nothing");
}
