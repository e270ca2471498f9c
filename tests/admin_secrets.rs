//! Promise: no secret comes back: not in an answer, not in the log, not in an error.

mod common;

use std::fs;

use common::admin::body;
use common::{AdminClient, Driver, Process, Ringway, new_directory, wait_until};
use rustix::process::Signal;
use serde_json::json;

/// In place, in a file, and what a person might write by mistake.
const PLAIN: &str = "s3cr3t-alpha";
const IN_FILE: &str = "s3cr3t-bravo";
const BROKEN: &str = "s3cr3t charlie";
const NUMBER: &str = "918273645001";

#[track_caller]
fn shows_none(what: &str, text: &str) {
    for secret in [PLAIN, IN_FILE, BROKEN, NUMBER] {
        assert!(!text.contains(secret), "{what} shows {secret}: {text}");
    }
}

#[test]
fn answers_and_logs_and_the_audit_log_have_no_secret() {
    let directory = new_directory();
    let key = directory.join("key");
    fs::write(&key, IN_FILE).unwrap();
    let audit = directory.join("audit.ndjson");
    let config = format!(
        "admin: {{enabled: true, port: 0, api_key: {PLAIN}, audit_log: {}, \
         keys: [{{name: filed, role: write, key: {{file: {}}}}}]}}\n\
         routes: [{{id: one, path_prefix: /one/, respond: {{body: one}}}}]\n",
        audit.display(),
        key.display()
    );
    let mut ringway = Ringway::start_in(directory, &config, Driver::Epoll);
    let mut admin = AdminClient::with_key(ringway.admin_address(), PLAIN);
    let mut filed = AdminClient::with_key(ringway.admin_address(), IN_FILE);
    let made = filed.post("/routes", &json!({"path": "/x", "respond": {}}));
    assert_eq!(made.status(), 201, "{}", made.text());
    for path in [
        "/routes",
        "/upstreams",
        "/status",
        "/metrics",
        "/cores",
        "/epochs",
        "/epochs/1",
        "/epochs/2",
        "/routes/one",
        "/nothing",
        "/v1/status",
    ] {
        for client in [&mut admin, &mut filed] {
            let answer = client.get(path);
            shows_none(path, &format!("{:?}", answer.fields));
            shows_none(path, &answer.text());
        }
    }
    for body in [PLAIN, "{", "{\"path\": 1}", "{\"api_key\": 1}"] {
        let refused = filed.send("POST", "/routes", &[], body);
        assert_eq!(refused.status(), 400);
        assert!(!refused.text().contains(IN_FILE), "{}", refused.text());
    }
    let good = fs::read_to_string(ringway.config_path()).unwrap();
    for broken in [
        BROKEN,
        NUMBER,
        "[s3cr3t-alpha]",
        "{env: [s3cr3t-alpha]}",
        "{value: s3cr3t-alpha}",
    ] {
        let text = good.replacen(PLAIN, broken, 1);
        assert_ne!(text, good);
        fs::write(ringway.config_path(), text).unwrap();
        let refused = admin.send("POST", "/reload", &[], "");
        assert_eq!(refused.status(), 400, "{broken}: {}", refused.text());
        shows_none("a failed reload", &refused.text());
        shows_none("the status after it", &admin.get("/status").text());
        let mut check = Process::start(["check", ringway.config_path().to_str().unwrap()]);
        assert_eq!(check.wait().code(), Some(1));
        wait_until("check says why", || {
            (!check.lines().is_empty()).then_some(())
        });
        shows_none("check", &check.lines().join("\n"));
    }
    let other = good.replacen(PLAIN, "s3cr3t-bravo", 1);
    fs::write(ringway.config_path(), other).unwrap();
    ringway.process().signal(Signal::HUP);
    let pending = wait_until("the reload", || {
        let status = body(&admin.get("/status"));
        let pending = status["pending_structural_changes"].to_string();
        pending.contains("admin").then_some(pending)
    });
    shows_none("the difference of the keys", &pending);
    let lines = wait_until("the audit log", || {
        let text = fs::read_to_string(&audit).ok()?;
        text.contains("\"by\":\"filed\"").then_some(text)
    });
    shows_none("the audit log", &lines);
    shows_none("the log", &ringway.log().join("\n"));
    drop((admin, filed));
    ringway.finish_after("the reload changed nothing");
}

#[test]
fn a_key_that_cannot_be_had_is_named_by_its_place() {
    let directory = new_directory();
    let path = directory.join("ringway.yaml");
    for (key, place) in [
        (
            "{env: RINGWAY_TEST_NO_SUCH_VARIABLE}",
            "RINGWAY_TEST_NO_SUCH_VARIABLE",
        ),
        ("{file: /nonexistent/key}", "/nonexistent/key"),
    ] {
        let config = format!(
            "admin: {{enabled: true, port: 0, api_key: {key}, keys: [{{name: a, key: {PLAIN}}}]}}\n\
             listeners: [{{address: 127.0.0.1, port: 0}}]\n"
        );
        fs::write(&path, config).unwrap();
        let mut process = Process::start(["run", "--config", path.to_str().unwrap()]);
        assert_eq!(process.wait().code(), Some(1));
        process.wait_for(0, |line| line.contains(place).then_some(()));
        shows_none("the refusal to start", &process.lines().join("\n"));
    }
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn enabled_without_a_key_does_not_start() {
    let directory = new_directory();
    let path = directory.join("ringway.yaml");
    for admin in ["{enabled: true}", "{enabled: true, api_key: \"\"}"] {
        let listener = "listeners: [{address: 127.0.0.1, port: 0}]";
        fs::write(&path, format!("admin: {admin}\n{listener}\n")).unwrap();
        let mut process = Process::start(["run", "--config", path.to_str().unwrap()]);
        assert_eq!(process.wait().code(), Some(1), "{admin}");
        process.wait_for(0, |line| line.contains("$.admin").then_some(()));
    }
    fs::remove_dir_all(&directory).unwrap();
}
