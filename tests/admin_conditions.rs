//! Every entity and list has an entity tag, and a write with If-Match or If-None-Match changes
//! nothing unless its condition holds; with ?dry_run=true it changes nothing at all.

mod common;

use common::admin::{body, epoch, expect_error};
use common::{ADMIN, Driver, Ringway};
use serde_json::json;

const CONFIGURATION: &str = "routes: [{id: one, path_prefix: /one/, respond: {body: one}}]\n";

fn start() -> Ringway {
    Ringway::start(&format!("{CONFIGURATION}{ADMIN}"), Driver::Epoll)
}

#[test]
fn a_write_on_an_old_version_is_refused() {
    let ringway = start();
    let mut admin = ringway.admin();
    let first = admin.get("/routes/one");
    let old = first.field("etag").expect("an entity tag").to_owned();
    let by_prefix = admin.get("/routes/%2Fone%2F");
    assert_eq!(by_prefix.field("etag"), Some(old.as_str()));
    let unchanged = admin.send("GET", "/routes/one", &[("If-None-Match", &old)], "");
    assert_eq!(unchanged.status(), 304);

    let patch = json!({"respond": {"body": "two"}}).to_string();
    let patched = admin.send("PATCH", "/routes/one", &[("If-Match", &old)], &patch);
    assert_eq!(patched.status(), 200, "{}", patched.text());
    let new = patched.field("etag").expect("an entity tag").to_owned();
    assert_ne!(new, old);
    for method in ["PATCH", "PUT", "DELETE"] {
        let refused = admin.send(method, "/routes/one", &[("If-Match", &old)], &patch);
        assert_eq!(refused.status(), 412, "{method}: {}", refused.text());
    }
    let refused = admin.send("PATCH", "/routes/one", &[("If-None-Match", "*")], &patch);
    assert_eq!(refused.status(), 412);
    let present = admin.get("/routes/one");
    assert_eq!(present.field("etag"), Some(new.as_str()));
    assert_eq!(body(&present)["respond"]["body"], "two");
    drop(admin);
    ringway.finish();
}

#[test]
fn a_new_route_can_be_made_on_condition_that_the_list_is_as_it_was() {
    let ringway = start();
    let mut admin = ringway.admin();
    let list = admin
        .get("/routes")
        .field("etag")
        .expect("an entity tag")
        .to_owned();
    let unchanged = admin.send("GET", "/routes", &[("If-None-Match", &list)], "");
    assert_eq!(unchanged.status(), 304);
    let route = |name: &str| json!({"path": format!("/{name}"), "respond": {}}).to_string();
    let made = admin.send("POST", "/routes", &[("If-Match", &list)], &route("a"));
    assert_eq!(made.status(), 201, "{}", made.text());
    let refused = admin.send("POST", "/routes", &[("If-Match", &list)], &route("b"));
    assert_eq!(refused.status(), 412);
    let list = body(&admin.get("/routes"));
    assert_eq!(list["routes"].as_array().map(Vec::len), Some(2), "{list}");
    drop(admin);
    ringway.finish();
}

#[test]
fn a_dry_run_tells_the_result_and_the_difference_and_changes_nothing() {
    let ringway = start();
    let mut admin = ringway.admin();
    let before = epoch(&admin.get("/routes"));
    let answer = admin.patch(
        "/routes/one?dry_run=true",
        &json!({"respond": {"body": null, "status": 418}}),
    );
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let shown = body(&answer);
    assert_eq!(shown["dry_run"], true);
    assert_eq!(shown["result"]["respond"]["status"], 418);
    assert_eq!(shown["diff"][0]["action"], "updated");
    assert!(
        shown["diff"][0]["patch"]
            .as_array()
            .is_some_and(|patch| !patch.is_empty())
    );
    let made = admin.post(
        "/routes?dry_run=true",
        &json!({"path": "/x", "respond": {}}),
    );
    assert_eq!(
        body(&made)["diff"][0]["action"],
        "created",
        "{}",
        made.text()
    );
    let gone = admin.delete("/routes/one?dry_run=true");
    assert_eq!(
        body(&gone)["diff"][0]["action"],
        "removed",
        "{}",
        gone.text()
    );
    let refused = admin.post(
        "/routes?dry_run=true",
        &json!({"path": "/x", "upstream": "no"}),
    );
    expect_error(&refused, 400, "invalid route");
    let after = admin.get("/routes");
    assert_eq!(epoch(&after), before);
    assert_eq!(body(&after)["routes"][0]["respond"]["body"], "one");
    assert_eq!(body(&after)["routes"].as_array().map(Vec::len), Some(1));
    drop(admin);
    ringway.finish();
}

#[test]
fn a_refused_write_leaves_nothing() {
    let ringway = start();
    let mut admin = ringway.admin();
    let before = admin.get("/routes");
    for (value, place) in [
        (
            json!({"path_prefix": "/x/", "upstream": "nobody"}),
            "$.upstream",
        ),
        (
            json!({"path_prefix": "no-slash", "respond": {}}),
            "$.path_prefix",
        ),
        (json!({"path_regex": "(", "respond": {}}), "$.path_regex"),
        (
            json!({"path": "/x", "respond": {}, "colour": "red"}),
            "$.colour",
        ),
        (
            json!({"id": "../../etc/shadow", "path": "/x", "respond": {}}),
            "$.id",
        ),
        (
            json!({"path": "/x", "respond": {"status": 99}}),
            "$.respond.status",
        ),
    ] {
        let refused = admin.post("/routes", &value);
        expect_error(&refused, 400, "invalid route");
        assert_eq!(
            body(&refused)["faults"][0]["path"],
            place,
            "{}",
            refused.text()
        );
    }
    let after = admin.get("/routes");
    assert_eq!(after.text(), before.text());
    assert_eq!(after.field("etag"), before.field("etag"));
    assert_eq!(epoch(&after), epoch(&before));
    drop(admin);
    ringway.finish();
}
