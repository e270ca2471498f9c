//! Bodies: what is read and what is answered, in every form.

mod common;

use std::io::Read as _;

use common::apis::{ROUTES, json_of, route};
use common::{APIS, ApisClient, Driver, Ringway, ScriptedOrigin, forwarding, ok};
use serde_json::{Value, json};

fn start() -> (Ringway, ScriptedOrigin, ApisClient) {
    let origin = ScriptedOrigin::answering(ok("served"));
    let ringway = Ringway::start(&(forwarding(origin.address()) + APIS), Driver::Epoll);
    let client = ApisClient::connect(ringway.admin_address());
    (ringway, origin, client)
}

fn one() -> String {
    format!("{ROUTES}/one")
}

#[test]
fn an_entity_is_read_in_every_form() {
    let (ringway, origin, client) = start();
    let entity = route("one", "one.local", origin.address());
    let armoured = json!({"apiVersion": "proxy.otoroshi.io/v1", "kind": "Route",
                          "metadata": {"name": "armoured"}, "spec": entity});
    let places = json!([{"path": "id", "value": "one"}, {"path": "name", "value": "placed"}]);
    for (kind, body, name) in [
        ("application/json", entity.to_string(), "one"),
        ("application/json; charset=utf-8", entity.to_string(), "one"),
        ("application/yaml", entity.to_string(), "one"),
        (
            "application/yaml",
            "id: one\nname: plain\nbackend_ref: origin\n".to_owned(),
            "plain",
        ),
        ("application/yml", armoured.to_string(), "one"),
        ("application/json+oto-patch", places.to_string(), "placed"),
        (
            "application/x-www-form-urlencoded",
            "id=one&name=formed+up".to_owned(),
            "formed up",
        ),
    ] {
        let created = json_of(&client.typed("POST", ROUTES, kind, &body), 201);
        assert_eq!(created["id"], "one", "{kind}");
        assert_eq!(created["name"], name, "{kind}");
        json_of(&client.delete(&one()), 200);
    }
    for kind in ["text/plain", "application/xml", "application/x-ndjson", ""] {
        let refused = json_of(&client.typed("POST", ROUTES, kind, "{}"), 400);
        assert_eq!(refused["error"], "bad_content_type", "{kind}");
    }
    for (kind, body) in [
        ("application/json", "{"),
        ("application/json", ""),
        ("application/json", "[1]"),
        ("application/yaml", "a: ["),
        ("application/json+oto-patch", "{}"),
    ] {
        let refused = json_of(&client.typed("POST", ROUTES, kind, body), 400);
        assert_eq!(refused["error"], "bad_request", "{kind} {body}");
    }
    ringway.finish();
    origin.finish();
}

#[test]
fn a_patch_is_of_what_is_there() {
    let (ringway, origin, client) = start();
    let mut entity = route("one", "one.local", origin.address());
    entity["metadata"] = json!({"team": "payments"});
    json_of(&client.post(ROUTES, &entity), 201);
    let operations = json!([{"op": "add", "path": "/metadata/owner", "value": "a"}]).to_string();
    let places = json!([{"path": "metadata.owner", "value": "3"}]).to_string();
    let form = "metadata.owner=d";
    let merge = json!({"metadata": {"owner": "e"}}).to_string();
    for (method, kind, body, owner) in [
        ("PATCH", "application/json", operations.as_str(), "a"),
        ("PATCH", "application/json+oto-patch", &places, "3"),
        ("PATCH", "application/x-www-form-urlencoded", form, "d"),
        ("PATCH", "application/merge-patch+json", &merge, "e"),
        ("POST", "application/json+oto-patch", &places, "3"),
        ("PUT", "application/x-www-form-urlencoded", form, "d"),
    ] {
        let patched = json_of(&client.typed(method, &one(), kind, body), 200);
        assert_eq!(patched["metadata"]["owner"], owner, "{method} {kind}");
        assert_eq!(patched["metadata"]["team"], "payments", "{method} {kind}");
        assert_eq!(
            patched["frontend"]["domains"],
            json!(["one.local"]),
            "{method} {kind}"
        );
    }
    let failing = json!([{"op": "test", "path": "/enabled", "value": false}]).to_string();
    let refused = json_of(
        &client.typed("PATCH", &one(), "application/json", &failing),
        400,
    );
    assert!(
        refused["error_description"]
            .as_str()
            .unwrap()
            .contains("operation 0"),
        "{refused}"
    );
    let refused = client.typed("PATCH", &one(), "text/plain", "x");
    assert_eq!(json_of(&refused, 400)["error"], "bad_content_type");
    ringway.finish();
    origin.finish();
}

#[test]
fn answers_are_written_as_they_are_accepted() {
    let (ringway, origin, client) = start();
    json_of(
        &client.post(ROUTES, &route("one", "one.local", origin.address())),
        201,
    );
    let kind = "routes.proxy.otoroshi.io/v1";
    let get = |accept: &str, path: &str| {
        let answer = client.send("GET", path, &[("Accept", accept)], "");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let content_type = answer.field("content-type").unwrap().to_owned();
        (content_type, String::from_utf8(answer.body).unwrap())
    };
    let (content_type, pretty) = get("*/*", &one());
    assert_eq!(content_type, "application/json");
    assert!(pretty.starts_with("{\n  \"_loc\""), "{pretty}");
    assert_eq!(
        serde_json::from_str::<Value>(&pretty).unwrap()["kind"],
        kind
    );
    let (_, compact) = get("application/json", &format!("{}?pretty=false", one()));
    assert!(!compact.contains('\n'), "{compact}");
    let (_, enveloped) = get("application/json", &format!("{}?envelope=true", one()));
    assert_eq!(
        serde_json::from_str::<Value>(&enveloped).unwrap()["data"]["id"],
        "one"
    );
    let (_, list) = get(
        "application/json",
        &format!("{ROUTES}?envelope=true&pretty=false"),
    );
    assert_eq!(
        serde_json::from_str::<Value>(&list).unwrap()["data"][1]["id"],
        "one"
    );
    let (content_type, yaml) = get("application/yaml", &one());
    assert_eq!(content_type, "application/yaml");
    assert!(
        yaml.lines().any(|line| line == format!("kind: {kind}")),
        "{yaml}"
    );
    let (_, armoured) = get("application/yml+k8s", ROUTES);
    assert_eq!(
        armoured.matches("apiVersion: proxy.otoroshi.io/v1").count(),
        2,
        "{armoured}"
    );
    let (content_type, lines) = get("application/x-ndjson", ROUTES);
    assert_eq!(content_type, "application/x-ndjson");
    for line in lines.lines() {
        let entity: Value = serde_json::from_str(line).unwrap();
        assert_eq!(entity["kind"], kind, "{line}");
    }
    assert_eq!(lines.lines().count(), 2, "{lines}");
    let answer = client.get(&format!("{}?pretty=maybe", one()));
    assert!(
        json_of(&answer, 400)["error_description"]
            .as_str()
            .unwrap()
            .starts_with("pretty: ")
    );
    ringway.finish();
    origin.finish();
}

#[test]
fn what_is_large_is_compressed_where_that_is_accepted() {
    let (ringway, origin, client) = start();
    json_of(
        &client.post(ROUTES, &route("one", "one.local", origin.address())),
        201,
    );
    for path in [one(), ROUTES.to_owned()] {
        let plain = client.get(&path);
        assert_eq!(plain.field("content-encoding"), None);
        let answer = client.send("GET", &path, &[("Accept-Encoding", "gzip")], "");
        assert_eq!(answer.field("content-encoding"), Some("gzip"), "{path}");
        assert!(answer.body.len() < plain.body.len());
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(answer.body.as_slice())
            .read_to_end(&mut text)
            .unwrap();
        assert_eq!(text, plain.body, "{path}");
    }
    let fields = [
        ("Accept-Encoding", "gzip"),
        ("Accept", "application/x-ndjson"),
    ];
    let lines = client.send("GET", ROUTES, &fields, "");
    assert_eq!(lines.field("content-encoding"), None);
    ringway.finish();
    origin.finish();
}

#[test]
fn a_deprecated_kind_says_so() {
    let (ringway, origin, client) = start();
    let script = json!({"id": "s", "name": "s"});
    let answer = client.post("/apis/plugins.otoroshi.io/v1/scripts", &script);
    assert_eq!(
        answer.field("otoroshi-api-deprecated"),
        Some("yes"),
        "{}",
        answer.text()
    );
    assert_eq!(client.get(ROUTES).field("otoroshi-api-deprecated"), None);
    ringway.finish();
    origin.finish();
}
