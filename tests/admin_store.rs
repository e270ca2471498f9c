//! Promise: what was answered is there after the process was killed, in either store; what cannot
//! be kept is refused and leaves nothing; what a person wrote into the file is not overwritten.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use common::admin::{body, epoch, expect_error};
use common::{ADMIN, Driver, Ringway, exchange, new_directory};
use serde_json::{Value, json};

const CONFIGURATION: &str =
    "# by hand\nroutes: [{id: one, path_prefix: /one/, respond: {body: one}}]\n";

fn start() -> Ringway {
    Ringway::start(&format!("{CONFIGURATION}{ADMIN}"), Driver::Epoll)
}

fn start_embedded() -> Ringway {
    let directory = new_directory();
    let path = directory.join("ringway.redb");
    let store = format!("store: {{kind: embedded, path: {}}}\n", path.display());
    let config = format!("{CONFIGURATION}{ADMIN}{store}");
    Ringway::start_in(directory, &config, Driver::Epoll)
}

fn route(name: &str) -> Value {
    json!({"id": name, "path": format!("/{name}"), "respond": {"body": name}})
}

fn served(ringway: &Ringway, path: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    exchange(ringway.address(), request).status()
}

#[test]
fn answered_changes_survive_a_kill() {
    for (start, epochs_go_on) in [(start as fn() -> Ringway, false), (start_embedded, true)] {
        let ringway = start();
        let mut admin = ringway.admin();
        let upstream = json!({"name": "u", "servers": [{"address": "10.0.0.9", "port": 80}]});
        assert_eq!(admin.post("/upstreams", &upstream).status(), 201);
        let unnamed = json!({"path_prefix": "/u/", "upstream": "u"});
        assert_eq!(admin.post("/routes", &unnamed).status(), 201);
        assert_eq!(admin.post("/routes", &route("two")).status(), 201);
        let patch = json!({"respond": {"body": "changed"}});
        assert_eq!(admin.patch("/routes/one", &patch).status(), 200);
        assert_eq!(admin.delete("/routes/two").status(), 200);
        let last = epoch(&admin.post("/routes", &route("three")));
        let before = (body(&admin.get("/routes")), body(&admin.get("/upstreams")));
        drop(admin);
        let directory = ringway.kill();

        let ringway = Ringway::start_again(directory, Driver::Epoll);
        let mut admin = ringway.admin();
        let after = (body(&admin.get("/routes")), body(&admin.get("/upstreams")));
        assert_eq!(without_derived_ids(after), without_derived_ids(before));
        assert_eq!(served(&ringway, "/three"), 200);
        assert_eq!(served(&ringway, "/two"), 404);
        let next = epoch(&admin.post("/routes", &route("four")));
        assert_eq!(next > last, epochs_go_on, "epoch {next} after {last}");
        drop(admin);
        ringway.finish();
    }
}

#[test]
fn what_was_made_anew_and_then_restored_is_there_once() {
    // The embedded store keeps entities together that were made one after the other.
    const BETWEEN: usize = 40;
    for start in [start as fn() -> Ringway, start_embedded] {
        let ringway = start();
        let mut admin = ringway.admin();
        let first = epoch(&admin.post("/routes", &route("two")));
        let then = body(&admin.get("/routes"));
        assert_eq!(admin.delete("/routes/two").status(), 200);
        for count in 0..BETWEEN {
            let between = route(&format!("between-{count}"));
            assert_eq!(admin.post("/routes", &between).status(), 201);
        }
        let anew = json!({"id": "two", "path": "/anew", "respond": {"body": "anew"}});
        assert_eq!(admin.post("/routes", &anew).status(), 201);
        let restored = admin.send("POST", &format!("/epochs/{first}/restore"), &[], "");
        assert_eq!(restored.status(), 200, "{}", restored.text());
        assert_eq!(body(&admin.get("/routes")), then);
        drop(admin);
        let directory = ringway.kill();

        let ringway = Ringway::start_again(directory, Driver::Epoll);
        let mut admin = ringway.admin();
        assert_eq!(body(&admin.get("/routes")), then);
        assert_eq!(
            (served(&ringway, "/two"), served(&ringway, "/anew")),
            (200, 404)
        );
        drop(admin);
        ringway.finish();
    }
}

/// A route that came without an id is written to a file without one.
fn without_derived_ids((mut routes, upstreams): (Value, Value)) -> (Value, Value) {
    for route in routes["routes"].as_array_mut().expect("routes") {
        if route["id"] == "u" {
            route.as_object_mut().expect("a route").remove("id");
        }
    }
    (routes, upstreams)
}

#[test]
fn an_entity_tag_of_before_a_restart_is_good_for_that_content_only() {
    let ringway = start();
    let mut admin = ringway.admin();
    let list = admin
        .get("/routes")
        .field("etag")
        .expect("an entity tag")
        .to_owned();
    let patched = admin.patch("/routes/one", &json!({"respond": {"body": "a"}}));
    let old = patched.field("etag").expect("an entity tag").to_owned();
    drop(admin);
    let directory = ringway.kill();
    let ringway = Ringway::start_again(directory, Driver::Epoll);
    let mut admin = ringway.admin();
    // The same epoch number, another content.
    let again = admin.patch("/routes/one", &json!({"respond": {"body": "b"}}));
    assert_eq!(epoch(&again), epoch(&patched));
    assert_ne!(again.field("etag"), Some(old.as_str()));
    let refused = admin.send("DELETE", "/routes/one", &[("If-Match", &old)], "");
    assert_eq!(refused.status(), 412);
    let two = route("two").to_string();
    let refused = admin.send("POST", "/routes", &[("If-Match", &list)], &two);
    assert_eq!(refused.status(), 412);
    let seen = admin.send("GET", "/routes", &[("If-None-Match", &list)], "");
    assert_eq!(seen.status(), 200);
    drop(admin);
    ringway.finish();
}

#[test]
fn what_was_edited_by_hand_is_overwritten_only_by_force_or_after_a_reload() {
    let ringway = start();
    let mut admin = ringway.admin();
    let edit = |line: &str| {
        let text = fs::read_to_string(ringway.config_path()).unwrap();
        fs::write(ringway.config_path(), format!("{line}\n{text}")).unwrap();
    };
    edit("timeouts: {idle_ms: 61000}");
    let edited = fs::read_to_string(ringway.config_path()).unwrap();
    let refused = admin.post("/routes", &route("two"));
    assert_eq!(refused.status(), 409, "{}", refused.text());
    let error = body(&refused)["error"].to_string();
    assert!(
        error.contains("was edited by hand") && error.contains("?force=true"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(ringway.config_path()).unwrap(), edited);
    assert_eq!(admin.get("/routes/two").status(), 404);
    assert_eq!(served(&ringway, "/two"), 404);

    assert_eq!(admin.send("POST", "/reload", &[], "").status(), 200);
    assert_eq!(admin.post("/routes", &route("two")).status(), 201);
    let written = fs::read_to_string(ringway.config_path()).unwrap();
    assert!(
        written.contains("61000") && written.contains("two"),
        "{written}"
    );

    edit("forwarded: {trusted: [10.0.0.0/8]}");
    assert_eq!(admin.post("/routes", &route("three")).status(), 409);
    assert_eq!(
        admin.post("/routes?force=true", &route("three")).status(),
        201
    );
    let written = fs::read_to_string(ringway.config_path()).unwrap();
    assert!(
        written.contains("three") && !written.contains("10.0.0.0"),
        "{written}"
    );
    assert_eq!(admin.post("/routes", &route("four")).status(), 201);
    drop(admin);
    ringway.finish();
}

/// Takes the folder away under the process, so that nothing can be written there.
fn without_folder<T>(folder: &Path, work: impl FnOnce() -> T) -> T {
    let aside = folder.with_extension("aside");
    fs::rename(folder, &aside).expect("the folder is moved");
    let result = work();
    fs::rename(&aside, folder).expect("the folder is back");
    result
}

#[test]
fn what_cannot_be_kept_is_refused_and_leaves_nothing() {
    let ringway = start();
    let mut admin = ringway.admin();
    let folder = ringway.config_path().parent().unwrap().to_owned();
    let before = admin.get("/routes");
    let refused = without_folder(&folder, || admin.post("/routes", &route("two")));
    expect_error(&refused, 500, "failed to write config");
    let detail = body(&refused)["detail"].to_string();
    assert!(detail.contains("nothing was changed"), "{detail}");
    let after = admin.get("/routes");
    assert_eq!(
        (after.text(), epoch(&after)),
        (before.text(), epoch(&before))
    );
    assert_eq!(served(&ringway, "/two"), 404);
    assert_eq!(admin.post("/routes", &route("two")).status(), 201);
    drop(admin);
    ringway.finish();
}

#[test]
fn a_dry_run_beside_writes_that_cannot_be_kept_is_still_answered() {
    let ringway = start();
    let folder = ringway.config_path().parent().unwrap().to_owned();
    without_folder(&folder, || {
        thread::scope(|scope| {
            for n in 0..8 {
                let mut admin = ringway.admin();
                scope.spawn(move || {
                    for round in 0..20 {
                        let value = route(&format!("x{n}-{round}"));
                        let (path, expected) = match n % 2 {
                            0 => ("/routes?dry_run=true", 200),
                            _ => ("/routes", 500),
                        };
                        let answer = admin.post(path, &value);
                        assert_eq!(answer.status(), expected, "{}", answer.text());
                        // What an unkept change would have made true is not told either.
                        let again = admin.patch("/routes/one", &json!({"rank": n}));
                        assert_eq!(again.status(), 500, "{}", again.text());
                    }
                });
            }
        });
    });
    assert_eq!(body(&ringway.admin().get("/routes/one")).get("rank"), None);
    ringway.finish();
}

#[test]
fn writes_that_wait_together_share_an_epoch() {
    for start in [start as fn() -> Ringway, start_embedded] {
        let ringway = start();
        const WRITERS: usize = 16;
        const WRITES: usize = 25;
        let epochs = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (mut admin, epochs) = (ringway.admin(), &epochs);
                scope.spawn(move || {
                    for n in 0..WRITES {
                        let made = admin.post("/routes", &route(&format!("w{writer}-{n}")));
                        assert_eq!(made.status(), 201, "{}", made.text());
                        epochs.lock().unwrap().push(epoch(&made));
                    }
                });
            }
        });
        let epochs = epochs.into_inner().unwrap();
        assert_eq!(epochs.len(), WRITERS * WRITES);
        let different: BTreeSet<u64> = epochs.iter().copied().collect();
        assert!(
            different.len() < WRITERS * WRITES / 2,
            "{} epochs",
            different.len()
        );
        let routes = body(&ringway.admin().get("/status"))["routes"].as_u64();
        assert_eq!(routes, Some((WRITERS * WRITES + 1) as u64));
        ringway.finish();
    }
}
