//! Promise: the examples in docs/admin-api-ocelot.md print what stands below them.

mod common;

use std::process::Command;

use common::admin::KEY;
use common::ocelot::{SECRET, start};
use serde_json::{Value, json};

/// Stands for anything.
const ANYTHING: &str = "…";

fn agrees(printed: &Value, expected: &Value) -> bool {
    match (printed, expected) {
        (_, Value::String(any)) if any == ANYTHING => true,
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && other
                    .iter()
                    .all(|(key, value)| one.get(key).is_some_and(|printed| agrees(printed, value)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| agrees(a, b))
        }
        (one, other) => one == other,
    }
}

#[test]
fn every_example_prints_what_stands_below_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/admin-api-ocelot.md");
    let docs = std::fs::read_to_string(path).expect("the page");
    let blocks: Vec<(&str, &str)> = docs
        .split("\n```")
        .skip(1)
        .step_by(2)
        .map(|block| block.split_once('\n').expect("a block has a kind"))
        .collect();
    let ringway = start(&json!({"Routes": []}));
    let mut count = 0;
    for pair in blocks.windows(2) {
        let [("sh", command), (kind, expected)] = pair else {
            continue;
        };
        let output = Command::new("sh")
            .args(["-c", command])
            .env("ADMIN", ringway.admin_address().to_string())
            .env("SECRET", SECRET)
            .env("KEY", KEY)
            .output()
            .expect("a shell");
        let output = String::from_utf8(output.stdout).expect("text");
        if *kind == "json" {
            let json = |text: &str| -> Value {
                serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}: {command}"))
            };
            let (printed, expected) = (json(&output), json(expected));
            assert!(
                agrees(&printed, &expected),
                "{command}\n{printed}\n{expected}"
            );
        } else {
            assert_eq!(output.trim(), expected.trim(), "{command}");
        }
        count += 1;
    }
    assert!(count >= 6, "only {count} examples");
    ringway.finish();
}
