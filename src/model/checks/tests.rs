//! Each test gives faulty declarations and the sentence that must be said about each.

mod actions;
mod matchers;
mod policies;
mod sections;
mod upstreams;

use serde_json::{Value, json};

use crate::model::document::Format;
use crate::model::{Loaded, read};

/// What is said of `parts` laid over a configuration that is right: faults, then warnings.
fn said(parts: Value) -> String {
    let mut document = json!({
        "listeners": [{"address": "127.0.0.1", "port": 8080}],
        "upstreams": [{"name": "app", "servers": [{"address": "127.0.0.1", "port": 9000}]}],
        "routes": [{"path_prefix": "/", "upstream": "app"}],
    });
    for (key, value) in parts.as_object().unwrap() {
        document[key] = value.clone();
    }
    match read(&document.to_string(), Format::Json, "c") {
        Ok(Loaded { warnings, .. }) => warnings
            .iter()
            .map(|warning| format!("warning: {warning}\n"))
            .collect(),
        Err(faults) => faults.to_string() + "\n",
    }
}

#[track_caller]
fn assert_said(parts: Value, sentences: &[&str]) {
    let said = said(parts.clone());
    for sentence in sentences {
        assert!(
            said.contains(sentence),
            "expected {sentence:?} of {parts}\nsaid: {said}"
        );
    }
    let count = said.lines().count();
    assert_eq!(count, sentences.len(), "of {parts}\nsaid: {said}");
}

fn route(parts: Value) -> Value {
    let mut route = json!({"path": "/", "upstream": "app"});
    for (key, value) in parts.as_object().unwrap() {
        match value {
            Value::Null => {
                route.as_object_mut().unwrap().remove(key);
            }
            value => route[key] = value.clone(),
        }
    }
    json!({"routes": [route]})
}

fn server(server: Value) -> Value {
    json!({"upstreams": [{"name": "app", "servers": [server]}]})
}

fn upstream(parts: Value) -> Value {
    let servers = json!([{"address": "::1", "port": 1}]);
    let mut upstream = json!({"name": "app", "servers": servers});
    for (key, value) in parts.as_object().unwrap() {
        upstream[key] = value.clone();
    }
    json!({"upstreams": [upstream]})
}
