//! Promise: the examples in docs/admin-api-ocelot.md print what stands below them.

mod common;

use std::process::Command;

use common::admin::KEY;
use common::docs::{agrees, blocks, page};
use common::ocelot::{SECRET, start};
use serde_json::{Value, json};

#[test]
fn every_example_prints_what_stands_below_it() {
    let docs = page("admin-api-ocelot.md");
    let blocks = blocks(&docs);
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
