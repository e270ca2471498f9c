//! Both ways make the same of a line that both can read.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{body, catalogue, fuzz};
use super::*;

/// Whether the short way reads a line; the general way then makes the same of it.
fn assert_same(line: &str) -> bool {
    let short = fuzz::short(line.as_bytes());
    let read = short.is_some();
    if read {
        assert_eq!(short, fuzz::general(line.as_bytes()), "{line}");
    }
    read
}

fn line(more: Value) -> String {
    let mut line = json!({
        "id": "r1", "name": "route 1", "frontend": {"domains": ["h1.example.com/v1"]},
        "backend": {"targets": [{"hostname": "127.0.0.1", "port": 8081}]},
    });
    json_patch::merge(&mut line, &more);
    line.to_string()
}

#[test]
fn most_lines_are_read() {
    for more in [
        json!({}),
        json!({"name": "r1"}),
        json!({"enabled": true, "tags": ["a", "ä\n\"b\""], "description": "\u{1f600}\\"}),
        json!({"metadata": {"a": "b", "created_at": "x"}, "kind": "Route"}),
        json!({"frontend": {"strip_path": true, "methods": ["GET", "POST"]}}),
        json!({"frontend": {"exact": true, "domains": ["a.io/x"], "strip_path": false}}),
        json!({"frontend": {"domains": ["*.a.io"]}, "backend": {"root": "/y/z"}}),
        json!({"backend": {"targets": [
            {"hostname": "a.io", "port": 1, "weight": 3, "id": "own"},
            {"hostname": "b.io", "port": 2, "id": "http://b.io:2"},
        ]}}),
    ] {
        let line = line(more);
        assert!(assert_same(&line), "{line}");
    }
}

#[test]
fn a_line_as_it_is_exported_is_read() {
    let resource = catalogue::find("any", "any", "routes").unwrap();
    let mut entity: Value = serde_json::from_str(&line(json!({}))).unwrap();
    body::normalise(resource, &mut entity);
    let native = convert::route_to_native(entity).unwrap();
    let shown = convert::route_to_generic(&native.route, native.upstream.as_ref());
    assert!(assert_same(&shown.to_string()), "{shown}");
}

#[test]
fn what_is_wrong_or_rare_is_left_alone() {
    for more in [
        json!({"id": "a b"}),
        json!({"id": null}),
        json!({"name": null}),
        json!({"own": 1}),
        json!({"ringway": {}}),
        json!({"enabled": false}),
        json!({"capture": true}),
        json!({"plugins": [{"plugin": "cp:x"}]}),
        json!({"backend_ref": "b"}),
        json!({"groups": ["x"]}),
        json!({"metadata": {"n": 1}}),
        json!({"metadata": {"_t": "a"}}),
        json!({"frontend": {"domains": []}}),
        json!({"frontend": {"domains": ["A.io"]}}),
        json!({"frontend": {"domains": ["a.io/:id"]}}),
        json!({"frontend": {"headers": {"a": "b"}}}),
        json!({"frontend": {"methods": ["get"]}}),
        json!({"backend": {"targets": []}}),
        json!({"backend": {"targets": [{"hostname": "h", "port": 0}]}}),
        json!({"backend": {"targets": [{"hostname": "h", "port": 1, "tls": true}]}}),
        json!({"backend": {"client": {"retries": 3}}}),
    ] {
        let mut with = Map::new();
        with.extend(more.as_object().unwrap().clone());
        let mut line: Value = serde_json::from_str(&line(json!({}))).unwrap();
        for (key, value) in with {
            match (line.get_mut(&key), value) {
                (Some(Value::Object(into)), Value::Object(from)) => into.extend(from),
                (_, value) => line[key] = value,
            }
        }
        let line = line.to_string();
        assert!(
            Plain::read(line.as_bytes())
                .is_none_or(|plain| plain.native("u", &mut Buffers::default()).is_none()),
            "{line}"
        );
    }
}

fn member<T: std::fmt::Debug + Into<Value>>(
    of: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<Value>> {
    let odd = prop_oneof![
        Just(json!(null)),
        Just(json!(1)),
        Just(json!({})),
        Just(json!([]))
    ];
    prop_oneof![
        2 => Just(None),
        6 => of.prop_map(|value| Some(value.into())),
        1 => odd.prop_map(Some),
    ]
}

fn object(members: Vec<(&'static str, Option<Value>)>) -> Value {
    let members = members.into_iter();
    members
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect::<Map<_, _>>()
        .into()
}

fn lines() -> impl Strategy<Value = String> {
    let target = (
        member("[a-z.]{0,4}"),
        member(0u16..4),
        member(0u16..3),
        member(any::<bool>()),
        member("(http://a:1|x)"),
    )
        .prop_map(|(hostname, port, weight, tls, id)| {
            object(vec![
                ("hostname", hostname),
                ("port", port),
                ("weight", weight),
                ("tls", tls),
                ("id", id),
            ])
        });
    let frontend = (
        proptest::collection::vec(
            "(|\\*|\\*\\.a\\.io|b\\.io|B\\.io|1\\.2)(/(v1|:id|\\.\\.|a b)?){0,2}",
            0..3,
        ),
        member(any::<bool>()),
        member(any::<bool>()),
        member(proptest::collection::vec("(GET|get)", 0..2)),
    )
        .prop_map(|(domains, strip, exact, methods)| {
            object(vec![
                ("domains", Some(json!(domains))),
                ("strip_path", strip),
                ("exact", exact),
                ("methods", methods),
            ])
        });
    let backend = (
        proptest::collection::vec(target, 0..3),
        member("/?[a-z/.]{0,3}"),
        member(any::<bool>()),
    )
        .prop_map(|(targets, root, rewrite)| {
            object(vec![
                ("targets", Some(json!(targets))),
                ("root", root),
                ("rewrite", rewrite),
            ])
        });
    let metadata = proptest::collection::btree_map("(a|_t|created_at|\\PC)", "\\PC{0,3}", 0..3);
    let metadata = metadata.prop_map(|map| json!(map));
    (
        member("[a-z-]{0,3}"),
        member("\\PC{0,3}"),
        member("\\PC{0,3}"),
        member(metadata),
        member(proptest::collection::vec("\\PC{0,2}", 0..3)),
        (frontend, backend),
        member(any::<bool>()),
    )
        .prop_map(
            |(id, name, description, metadata, tags, (frontend, backend), enabled)| {
                object(vec![
                    ("id", id),
                    ("name", name),
                    ("description", description),
                    ("metadata", metadata),
                    ("tags", tags),
                    ("frontend", Some(frontend)),
                    ("backend", Some(backend)),
                    ("enabled", enabled),
                ])
                .to_string()
            },
        )
}

proptest! {
    #[test]
    fn both_ways_make_the_same(line in lines()) {
        assert_same(&line);
    }

    #[test]
    fn no_line_makes_it_panic(line in ".{0,80}") {
        assert_same(&line);
    }
}
