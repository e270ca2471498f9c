//! Listeners, the admin listener and the other sections.

use serde_json::{Value, json};

use super::{assert_said, said};
use crate::model::checks::surroundings;
use crate::model::document::Format;
use crate::model::read;

#[test]
fn a_right_configuration_is_taken_in_silence() {
    assert_said(json!({}), &[]);
}

#[test]
fn listeners() {
    let one = json!({"address": "127.0.0.1", "port": 8080});
    assert_said(
        json!({"listeners": []}),
        &["$.listeners: there is no listener"],
    );
    assert_said(
        json!({"listeners": [one, one]}),
        &["$.listeners[1].port: $.listeners[0] listens on 127.0.0.1:8080 already"],
    );
    let any = json!({"address": "127.0.0.1", "port": 0});
    assert_said(json!({"listeners": [any, any]}), &[]);
}

#[test]
fn sections_agree_with_themselves() {
    assert_said(
        json!({"timeouts": {"idle_ms": 100}}),
        &[
            "$.timeouts.idle_ms: 100 is less than header_ms, which is 10000; write 10000 or more",
            "$.timeouts.idle_ms: 100 is less than write_ms",
        ],
    );
    assert_said(
        json!({"dns": {"min_ttl_ms": 70_000}}),
        &["$.dns.min_ttl_ms: 70000 is more than max_ttl_ms, which is 60000"],
    );
    assert_said(
        json!({"workers": [0, 1, 0]}),
        &["$.workers[2]: core 0 is listed twice"],
    );
    assert_said(json!({"workers": [0, 1]}), &[]);
    assert_said(
        json!({"http": {"allowed_trailers": ["grpc-status", "a b", "Content-Length"]}}),
        &[
            "$.http.allowed_trailers[1]: \"a b\" is not the name of a field",
            "$.http.allowed_trailers[2]: \"Content-Length\" must not come in a trailer",
        ],
    );
    assert_said(
        json!({"forwarded": {"trusted": ["10.0.0.0/8", "0.0.0.0/0"]}}),
        &["warning: $.forwarded.trusted[1]: 0.0.0.0/0 is everyone"],
    );
    assert_said(
        json!({"access_log": {"path": "a\nb"}}),
        &["$.access_log.path: the path contains a line feed"],
    );
}

#[test]
fn the_admin_listener_is_kept_apart() {
    assert_said(
        json!({"admin": {"enabled": true}}),
        &["$.admin: the admin listener is enabled without a key"],
    );
    assert_said(
        json!({"admin": {"enabled": true, "api_key": "k", "port": 8080}}),
        &["$.admin.port: 8080 is the port of a listener too"],
    );
    assert_said(
        json!({"admin": {"enabled": true, "api_key": "k", "address": "0.0.0.0"}}),
        &["warning: $.admin.address: 0.0.0.0 may be reached from other machines"],
    );
    assert_said(json!({"admin": {"port": 8080}}), &[]);
    assert_said(
        json!({"admin": {"exists_status": 404}}),
        &["$.admin.exists_status: 404 is none of the values that it may have; write 401 or 409"],
    );
    assert_said(json!({"admin": {"exists_status": 409}}), &[]);
}

#[test]
fn a_key_is_never_shown() {
    for key in [
        json!("hunter 2"),
        json!("(secret)"),
        json!(4711),
        json!(["hunter 2"]),
        json!(""),
    ] {
        let said = said(json!({"admin": {"enabled": true, "api_key": key}}));
        assert!(said.contains("$.admin.api_key: "), "{said}");
        assert!(!said.contains("hunter") && !said.contains("4711"), "{said}");
    }
}

#[test]
fn the_machine_is_looked_at_only_on_request() {
    let load = |parts: Value| {
        let mut document = json!({"listeners": [{"port": 1}]});
        for (key, value) in parts.as_object().unwrap() {
            document[key] = value.clone();
        }
        read(&document.to_string(), Format::Json, "c").unwrap()
    };
    for (parts, sentence) in [
        (
            json!({"access_log": {"path": "/nonexistent/log"}}),
            "$.access_log.path: the folder /nonexistent does not exist",
        ),
        (
            json!({"access_log": {"path": "/"}}),
            "$.access_log.path: / is a folder",
        ),
        (
            json!({"admin": {"api_key": {"env": "RINGWAY_TEST_VARIABLE_THAT_IS_NOT_SET"}}}),
            "$.admin.api_key: the environment variable",
        ),
    ] {
        let loaded = load(parts);
        assert!(loaded.warnings.is_empty());
        let warnings = surroundings(&loaded.config);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].to_string().starts_with(sentence),
            "{}",
            warnings[0]
        );
    }
    assert!(surroundings(&load(json!({"access_log": {"path": "stderr"}})).config).is_empty());
    assert!(surroundings(&load(json!({"access_log": {"path": "access.log"}})).config).is_empty());
}
