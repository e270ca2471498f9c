//! `ringway check` and `ringway schema`, as a person uses them; and the promise that the
//! configuration, its full example and its reference name the same keys.

#![allow(missing_docs)]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use ringway::model::{self, Format};
use ringway::table::Table;
use serde_json::{Value, json};

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

fn ringway(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(arguments)
        .current_dir(root(""))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A file that is removed when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &str) -> Self {
        let file = std::env::temp_dir().join(format!("ringway-{}-{name}", std::process::id()));
        std::fs::write(&file, content).unwrap();
        Self(file)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_right_file_is_one_line_on_stdout() {
    for (file, line) in [
        ("config/minimal.yaml", "1 listener, 1 upstream, 1 route\n"),
        ("config/full.yaml", "2 listeners, 1 upstream, 9 routes\n"),
    ] {
        let output = ringway(&["check", file]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), format!("{file}: ok: {line}"));
    }
}

#[test]
fn every_fault_is_on_stderr_with_its_line() {
    let yaml = "listeners: [{port: 80}]\nroutes:\n  - path: /\n    upstrem: app\n  - path: a\n";
    let file = Scratch::new("faults.yaml", yaml);
    let output = ringway(&["check", file.path()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let lines: Vec<_> = text(&output.stderr).lines().collect();
    let path = file.path();
    let unknown = format!("{path}:4: $.routes[0].upstrem: unknown key \"upstrem\"; did you mean");
    assert!(
        lines.iter().any(|line| line.starts_with(&unknown)),
        "{lines:#?}"
    );
    let rooted = format!("{path}:5: $.routes[1].path: a path starts with '/'; write \"/a\"");
    assert!(lines.contains(&rooted.as_str()), "{lines:#?}");
}

#[test]
fn files_for_tls_are_looked_for_and_nothing_starts_without_them() {
    let yaml = "listeners: [{port: 0}]\nworkers: 1\nupstreams:\n  - name: app\n    tls:\n      \
                ca_file: /nonexistent/ca.pem\n    servers: [{address: 127.0.0.1, port: 1}]\n";
    let file = Scratch::new("tls.yaml", yaml);
    let what = "/nonexistent/ca.pem cannot be read: No such file";
    let output = ringway(&["check", file.path()]);
    assert_eq!(output.status.code(), Some(0));
    let warning = format!("{}: warning: $.upstreams[0].tls: {what}", file.path());
    assert!(text(&output.stderr).starts_with(&warning), "{output:?}");
    let output = ringway(&["run", "--config", file.path()]);
    assert_eq!(output.status.code(), Some(1));
    let fault = format!("upstream 'app': tls: {what}");
    let said = [text(&output.stdout), text(&output.stderr)].concat();
    assert!(said.contains(&fault), "{said}");
}

#[test]
fn a_warning_does_not_change_the_exit_status() {
    let json = r#"{"listeners": [{"port": 80}], "access_log": {"path": "/nonexistent/a.log"}}"#;
    let file = Scratch::new("warning.json", json);
    let output = ringway(&["check", file.path()]);
    assert_eq!(output.status.code(), Some(0));
    let warning = ": warning: $.access_log.path: the folder /nonexistent does not exist";
    assert!(
        text(&output.stderr).contains(warning),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_file_that_cannot_be_read_is_said_plainly() {
    for (file, sentence) in [
        (
            "/nonexistent/a.yaml",
            "/nonexistent/a.yaml: No such file or directory",
        ),
        (
            "Cargo.toml",
            "Cargo.toml: a configuration file ends in .json, .yaml or .yml",
        ),
    ] {
        let output = ringway(&["check", file]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text(&output.stderr).starts_with(sentence),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn the_schema_takes_the_full_example() {
    let output = ringway(&["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&example())
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn the_full_example_and_the_reference_have_every_key() {
    let mut known = BTreeSet::new();
    let schema: Value = serde_json::from_slice(&ringway(&["schema"]).stdout).unwrap();
    keys_of_schema(&schema, &schema, "$", &mut known, &mut Vec::new());
    assert!(known.len() > 70, "{known:#?}");
    let mut used = BTreeSet::new();
    keys_of_value(&example(), "$", &mut used);
    // A proof in a chain has the keys of one that stands alone.
    let alone: Vec<String> = used
        .iter()
        .map(|place| place.replace(".any[]", ""))
        .collect();
    used.extend(alone);
    let missing: Vec<_> = known.difference(&used).collect();
    // A secret stands in one place only; the other one is in a comment.
    assert_eq!(
        missing,
        [
            "$.admin.api_key.file",
            "$.admin.client_secret.file",
            "$.admin.ocelot.secret.file"
        ]
    );
    let full = std::fs::read_to_string(root("config/full.yaml")).unwrap();
    assert!(full.contains("{file: "));
    let docs = std::fs::read_to_string(root("docs/configuration.md")).unwrap();
    for place in &known {
        let key = place.rsplit('.').next().unwrap();
        assert!(
            docs.contains(&format!("| `{key}` |")),
            "{place} is not in the reference"
        );
    }
}

#[test]
fn the_reference_is_the_one_that_the_schema_prints() {
    const MARK: &str = "<!-- reference: ";
    let file = root("docs/configuration.md");
    let docs = std::fs::read_to_string(&file).unwrap();
    let (prose, after) = docs.split_once(MARK).expect("the mark of the reference");
    let (mark, reference) = after.split_once("-->\n").expect("the end of the mark");
    let output = ringway(&["schema", "--format", "markdown"]);
    let printed = format!("\n{}\n", text(&output.stdout).trim_end());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, format!("{prose}{MARK}{mark}-->\n{printed}")).unwrap();
        return;
    }
    assert!(
        reference == printed,
        "the reference is out of date; run UPDATE_DOCS=1 cargo test --test check"
    );
}

fn example() -> Value {
    let full = std::fs::read_to_string(root("config/full.yaml")).unwrap();
    serde_saphyr::from_str(&full).unwrap()
}

/// The places of all keys of an object, lists written as `[]`.
fn keys_of_value(value: &Value, place: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let place = format!("{place}.{key}");
                keys_of_value(value, &place, keys);
                // What stands in a chain of proofs may stand in the place of the chain.
                keys.insert(place.replace(".any[]", ""));
            }
        }
        Value::Array(list) => {
            let place = format!("{place}[]");
            list.iter()
                .for_each(|value| keys_of_value(value, &place, keys));
        }
        _ => {}
    }
}

/// The places of all keys that a schema has. A type within itself has none that are new.
fn keys_of_schema<'s>(
    part: &'s Value,
    schema: &'s Value,
    place: &str,
    keys: &mut BTreeSet<String>,
    open: &mut Vec<&'s str>,
) {
    if let Some(reference) = part["$ref"].as_str()
        && !open.contains(&reference)
    {
        let part = schema
            .pointer(reference.strip_prefix('#').unwrap())
            .unwrap();
        open.push(reference);
        keys_of_schema(part, schema, place, keys, open);
        open.pop();
    }
    for branch in part["anyOf"].as_array().into_iter().flatten() {
        keys_of_schema(branch, schema, place, keys, open);
    }
    if let Some(items) = part.get("items") {
        keys_of_schema(items, schema, &format!("{place}[]"), keys, open);
    }
    for (key, value) in part["properties"].as_object().into_iter().flatten() {
        let place = format!("{place}.{key}");
        keys_of_schema(value, schema, &place, keys, open);
        keys.insert(place);
    }
}

/// `check` must refuse whatever the table cannot run, so that `run` starts with what it takes.
#[test]
fn what_check_takes_the_table_compiles() {
    let taken = Cell::new(0);
    let look = |route: Value| {
        let document = json!({
            "listeners": [{"port": 80}],
            "upstreams": [{"name": "app", "servers": [{"address": "127.0.0.1", "port": 1}]}],
            "routes": [route],
        });
        if let Ok(loaded) = model::read(&document.to_string(), Format::Json, "config") {
            taken.set(taken.get() + 1);
            let table = Table::compile(&loaded.config.routes, &loaded.config.upstreams);
            prop_assert!(table.is_ok(), "{route}: {}", table.err().unwrap());
        }
        Ok(())
    };
    let mut runner = TestRunner::new(ProptestConfig::with_cases(2_000));
    runner.run(&route(), look).unwrap();
    assert!(taken.get() > 20, "only {} routes were right", taken.get());
}

/// Routes that are right in part: one of each set of keys, with values from both sides of the line.
fn route() -> impl Strategy<Value = Value> {
    let text = prop::collection::vec(
        prop::sample::select(vec![
            "/", "a", "b", "{id}", "{rest*}", "{rest}", "{host}", "{path}", "{query}", "%61",
            "%2F", ".", "..", "*", ":", "é", "\n", " ", "(?<id>x)", "(", ")", "https://", "?", "#",
            "[::1]",
        ]),
        0..6,
    );
    let text = text.prop_map(|pieces| pieces.concat()).boxed();
    let path = prop_oneof![
        text.clone(),
        text.clone().prop_map(|text| format!("/{text}"))
    ]
    .boxed();
    let matcher = prop::sample::select(vec!["path", "path_prefix", "path_template", "path_regex"]);
    let action = prop_oneof![
        Just(json!({"upstream": "app"})),
        path.clone()
            .prop_map(|to| json!({"upstream": "app", "rewrite_template": to})),
        (path.clone(), path.clone()).prop_map(|(from, to)| {
            json!({"upstream": "app", "rewrite_pattern": from, "rewrite_replacement": to})
        }),
        path.clone().prop_map(|to| json!({"redirect": {"to": to}})),
        (text.clone(), text.clone(), text.clone()).prop_map(|(name, value, body)| {
            json!({"respond": {"headers": {name: value}, "body": body}})
        }),
    ];
    let host = prop::option::of(text.clone());
    let condition = prop::option::of((text.clone(), text, any::<bool>()));
    (matcher, path, action, host, condition).prop_map(|(matcher, path, action, host, condition)| {
        let mut route = action;
        route[matcher] = Value::from(path);
        if let Some(host) = host {
            route["host"] = Value::from(host);
        }
        if let Some((name, value, is_regex)) = condition {
            let key = if is_regex { "regex" } else { "value" };
            route["headers"] = json!([{"name": name, key: value}]);
        }
        route
    })
}
