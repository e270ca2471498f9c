//! What was changed can be read, followed and taken back.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;

use common::admin::{KEY, body, epoch, expect_error};
use common::{ADMIN, Driver, PATIENCE, Ringway, wait_until};
use serde_json::{Value, json};

const CONFIGURATION: &str = "routes: [{id: one, path_prefix: /one/, respond: {body: one}}]\n";

fn route(name: &str) -> Value {
    json!({"id": name, "path": format!("/{name}"), "respond": {"body": name}})
}

#[test]
fn an_epoch_tells_who_changed_what_and_can_be_restored() {
    let ringway = Ringway::start(&format!("{CONFIGURATION}{ADMIN}"), Driver::Epoll);
    let mut admin = ringway.admin();
    let start = epoch(&admin.get("/routes"));
    let first = epoch(&admin.post("/routes", &route("two")));
    let second = epoch(&admin.patch("/routes/one", &json!({"respond": {"body": "changed"}})));
    let third = epoch(&admin.delete("/routes/two"));
    assert!(start < first && first < second && second < third);

    let epochs = body(&admin.get("/epochs"));
    assert_eq!(epochs["epochs"][0]["epoch"], third);
    assert_eq!(epochs["epochs"][0]["by"][0]["name"], "api_key");
    assert_eq!(
        epochs["epochs"][0]["by"][0]["request"],
        "DELETE /routes/two"
    );
    assert_eq!(epochs["epochs"][0]["changes"][0]["action"], "removed");
    let detail = body(&admin.get(&format!("/epochs/{second}")));
    assert_eq!(detail["changes"][0]["before"]["respond"]["body"], "one");
    assert_eq!(detail["changes"][0]["after"]["respond"]["body"], "changed");
    expect_error(&admin.get("/epochs/999999"), 404, "epoch not found");

    let restored = admin.send("POST", &format!("/epochs/{first}/restore"), &[], "");
    assert_eq!(restored.status(), 200, "{}", restored.text());
    assert!(epoch(&restored) > third);
    let routes = body(&admin.get("/routes"));
    assert_eq!(routes["routes"][0]["respond"]["body"], "one", "{routes}");
    assert_eq!(routes["routes"][1]["id"], "two", "{routes}");
    let again = admin.send("POST", &format!("/epochs/{start}/restore"), &[], "");
    assert_eq!(again.status(), 200, "{}", again.text());
    assert_eq!(
        body(&admin.get("/routes"))["routes"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    drop(admin);
    ringway.finish();
}

/// The lines of a stream of changes.
fn watch(ringway: &Ringway, from: u64) -> impl Iterator<Item = Value> + use<> {
    let mut stream = TcpStream::connect(ringway.admin_address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = ringway.admin_address();
    let request = format!(
        "GET /watch?from_epoch={from} HTTP/1.1\r\nHost: {address}\r\nX-API-Key: {KEY}\r\n\r\n"
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    // One line of JSON is one chunk: length, line, empty line.
    std::iter::from_fn(move || {
        let mut size = String::new();
        reader.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk");
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).unwrap();
        Some(serde_json::from_slice(&chunk[..size]).expect("a line of JSON"))
    })
}

#[test]
fn a_stream_of_changes_begins_anywhere_and_misses_nothing() {
    let ringway = Ringway::start(&format!("{CONFIGURATION}{ADMIN}"), Driver::Epoll);
    let mut admin = ringway.admin();
    let start = epoch(&admin.get("/routes"));
    let first = epoch(&admin.post("/routes", &route("two")));
    let mut lines = watch(&ringway, start);
    let line = lines.next().unwrap();
    assert_eq!(line["epoch"], first);
    assert_eq!(line["changes"][0]["value"]["id"], "two", "{line}");
    let second = epoch(&admin.delete("/routes/two"));
    let line = lines.next().unwrap();
    assert_eq!(
        (&line["epoch"], &line["changes"][0]["action"]),
        (&json!(second), &json!("removed"))
    );
    drop(lines);
    let mut resumed = watch(&ringway, first);
    assert_eq!(resumed.next().unwrap()["epoch"], second);
    drop(resumed);
    assert_eq!(admin.get("/watch?from_epoch=999999").status(), 410);
    drop(admin);
    ringway.finish();
}

#[test]
fn the_audit_log_has_a_line_for_each_attempt() {
    let directory = common::new_directory();
    let log = directory.join("audit.ndjson");
    let admin = ADMIN.replace(
        "port: 0,",
        &format!("port: 0, audit_log: {},", log.display()),
    );
    let ringway = Ringway::start_in(directory, &format!("{CONFIGURATION}{admin}"), Driver::Epoll);
    let mut admin = ringway.admin();
    assert_eq!(admin.post("/routes", &route("two")).status(), 201);
    assert_eq!(admin.post("/routes", &route("two")).status(), 409);
    let lines = wait_until("two lines in the audit log", || {
        let text = std::fs::read_to_string(&log).ok()?;
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        (lines.len() >= 2).then_some(lines)
    });
    assert_eq!(lines[0]["by"], "api_key");
    assert!(
        lines[0]["from"]
            .as_str()
            .is_some_and(|from| from.starts_with("127.0.0.1:"))
    );
    assert_eq!(lines[0]["status"], 201);
    assert_eq!(lines[0]["changes"][0]["id"], "two");
    assert_eq!(lines[1]["status"], 409);
    drop(admin);
    ringway.finish();
}
