//! The examples of docs/admin-api-generic.md about the generic API do what stands there.

mod common;

use std::process::Command;

use common::apis::{ID, SECRET};
use common::docs::{blocks, page};
use common::{APIS, Driver, Ringway};
use serde_json::Value;

/// A command, and what it prints: a kind of text, and the text.
struct Example {
    command: String,
    printed: Option<(String, String)>,
}

fn examples() -> Vec<Example> {
    let text = page("admin-api-generic.md");
    let (_, part) = text.split_once("\n## The generic API\n").expect("the part");
    let part = part.split("\n## ").next().expect("its end");
    let mut examples: Vec<Example> = Vec::new();
    for (kind, text) in blocks(part) {
        match kind {
            "sh" => examples.push(Example {
                command: text.to_owned(),
                printed: None,
            }),
            "json" | "text" => {
                let last = examples
                    .last_mut()
                    .expect("a command before what it prints");
                last.printed = Some((kind.to_owned(), text.trim().to_owned()));
            }
            _ => {}
        }
    }
    examples
}

#[test]
fn every_example_prints_what_stands_below_it() {
    let ringway = Ringway::start(APIS, Driver::Epoll);
    let examples = examples();
    assert!(examples.len() >= 8);
    for Example { command, printed } in examples {
        let output = Command::new("sh")
            .args(["-c", &command])
            .env("ADMIN", ringway.admin_address().to_string())
            .env("ID", ID)
            .env("SECRET", SECRET)
            .output()
            .expect("a shell");
        let output = String::from_utf8(output.stdout).expect("text");
        let (kind, expected) = printed.expect("each example shows what it prints");
        if kind == "json" {
            let json = |text: &str| -> Value {
                serde_json::from_str(text)
                    .unwrap_or_else(|error| panic!("{error}: {text}: {command}"))
            };
            assert_eq!(json(&output), json(&expected), "{command}");
        } else {
            assert_eq!(output.trim(), expected, "{command}");
        }
    }
    ringway.finish();
}
