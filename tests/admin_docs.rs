//! Promise: the examples in docs/admin-api.md print what they say, and its table has every method of
//! every path.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use common::admin::KEY;
use common::docs::{agrees, blocks, page};
use common::{ADMIN, Driver, Ringway};
use serde_json::Value;

const CONFIGURATION: &str =
    "routes: [{id: everything, path_prefix: /, respond: {body: hello}}]\nworkers: 1\n";
#[test]
fn the_examples_print_what_they_say() {
    let ringway = Ringway::start(&format!("{CONFIGURATION}{ADMIN}"), Driver::Epoll);
    let address = format!("http://{}", ringway.admin_address());
    let docs = page("admin-api.md");
    let blocks = blocks(&docs);
    let mut count = 0;
    for pair in blocks.windows(2) {
        let [(shell, line), (json, expected)] = pair else {
            continue;
        };
        if *shell != "sh" {
            continue;
        }
        assert_eq!(*json, "json", "what it prints follows: {line}");
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .env("ADMIN", &address)
            .env("KEY", KEY);
        let output = command.output().expect("a shell");
        let printed: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error} of {line}: {output:?}"));
        let expected: Value = serde_json::from_str(expected).expect("JSON");
        assert!(agrees(&printed, &expected), "{line}\n{printed}\n{expected}");
        count += 1;
    }
    assert!(count >= 9, "only {count} examples");
    ringway.finish();
}

#[test]
fn the_table_has_every_method_of_every_path() {
    let docs = page("admin-api.md");
    let mut listed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in docs.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let [_, method, path, ..] = cells[..]
            && let Some(path) = path
                .strip_prefix('`')
                .and_then(|path| path.strip_suffix('`'))
            && path.starts_with('/')
            && method.bytes().all(|byte| byte.is_ascii_uppercase())
        {
            listed.entry(path).or_default().insert(method);
        }
    }
    assert!(listed.len() >= 13, "{listed:?}");
    let ringway = Ringway::start(&format!("{CONFIGURATION}{ADMIN}"), Driver::Epoll);
    let mut admin = ringway.admin();
    for (path, methods) in listed {
        let filled = path
            .replace("{route}", "everything")
            .replace("{name}", "nobody")
            .replace("{epoch}", "1");
        for prefix in ["", "/v1"] {
            let answer = admin.send("TRACE", &format!("{prefix}{filled}"), &[], "");
            assert_eq!(answer.status(), 405, "{path}");
            let allow = answer.field("allow").expect("the methods that are allowed");
            let allowed: BTreeSet<&str> = allow
                .split(", ")
                .filter(|method| *method != "HEAD")
                .collect();
            assert_eq!(allowed, methods, "{path}");
        }
        if methods.contains("GET") && path != "/watch" {
            let get = admin.get(&filled);
            assert!([200, 404].contains(&get.status()), "{path}: {}", get.text());
            let head = admin.head(&filled);
            assert_eq!(head.status(), get.status(), "{path}");
            assert_eq!(head.field("etag"), get.field("etag"), "{path}");
        }
    }
    drop(admin);
    ringway.finish();
}
