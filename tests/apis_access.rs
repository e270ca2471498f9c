//! Access: who may come in, with which credential, and what each may see and change.

mod common;

use common::apis::{APIKEYS, BACKENDS, BASIC, ID, ROUTES, SECRET, json_of, route};
use common::{APIS, ApisClient, Driver, Ringway, ScriptedOrigin, forwarding, ok};
use serde_json::{Value, json};

fn start() -> (Ringway, ScriptedOrigin, ApisClient) {
    let origin = ScriptedOrigin::answering(ok("served"));
    let ringway = Ringway::start(&(forwarding(origin.address()) + APIS), Driver::Epoll);
    let client = ApisClient::connect(ringway.admin_address());
    (ringway, origin, client)
}

/// A client with a key of its own.
fn client_with(ringway: &Ringway, admin: &ApisClient, id: &str, more: Value) -> ApisClient {
    let mut key = json!({
        "clientId": id, "clientSecret": "s", "clientName": id,
        "authorizedEntities": ["group_admin-api-group"],
    });
    for (member, value) in more.as_object().expect("members") {
        key[member] = value.clone();
    }
    json_of(&admin.post(APIKEYS, &key), 201);
    let fields = format!("{id}\r\nOtoroshi-Client-Secret: s");
    ApisClient::with(ringway.admin_address(), ("Otoroshi-Client-Id", &fields))
}

#[test]
fn without_a_right_credential_the_answer_is_401() {
    let (ringway, origin, _) = start();
    let secret = format!("{ID}\r\nOtoroshi-Client-Secret: {SECRET}");
    let unpadded = BASIC.1.trim_end_matches('=');
    for (name, value, status) in [
        (BASIC.0, BASIC.1, 200),
        (BASIC.0, unpadded, 200),
        ("Otoroshi-Client-Id", secret.as_str(), 200),
        ("X-API-Key", "secret-admin-key", 200),
        ("", "", 401),
        (BASIC.0, "Basic d3Jvbmc6d3Jvbmc=", 401),
        (BASIC.0, "Basic %%%", 401),
        (BASIC.0, "Bearer x", 401),
        ("Otoroshi-Client-Id", ID, 401),
        ("Cookie", "ringway_session=x", 401),
    ] {
        let client = ApisClient::with(ringway.admin_address(), (name, value));
        let answer = client.get(ROUTES);
        assert_eq!(
            answer.status(),
            status,
            "{name}: {value}: {}",
            answer.text()
        );
        if status == 401 {
            assert_eq!(json_of(&answer, 401)["error"], "unauthorized");
            assert!(
                answer
                    .field("www-authenticate")
                    .is_some_and(|value| value.starts_with("Basic"))
            );
        }
    }
    ringway.finish();
    origin.finish();
}

#[test]
fn an_apikey_is_no_key_of_the_flat_api() {
    let (ringway, origin, client) = start();
    assert_eq!(client.get("/routes").status(), 401);
    ringway.finish();
    origin.finish();
}

#[test]
fn the_admin_key_is_an_entity_and_others_are_made_and_taken_away() {
    let (ringway, origin, client) = start();
    let key = json_of(&client.get(&format!("{APIKEYS}/{ID}")), 200);
    assert_eq!(key["authorizedEntities"], json!(["group_admin-api-group"]));
    let other = client_with(&ringway, &client, "other", json!({}));
    json_of(&other.get(ROUTES), 200);
    for (more, what) in [
        (json!({"enabled": false}), "disabled"),
        (json!({"validUntil": 1}), "expired"),
        (
            json!({"authorizedEntities": ["group_default"]}),
            "for another group",
        ),
    ] {
        let mut key = json_of(&client.get(&format!("{APIKEYS}/other")), 200);
        for (member, value) in more.as_object().unwrap() {
            key[member] = value.clone();
        }
        json_of(&client.put(&format!("{APIKEYS}/other"), &key), 200);
        assert_eq!(other.get(ROUTES).status(), 401, "{what}");
        json_of(&client.delete(&format!("{APIKEYS}/other")), 200);
        client_with(&ringway, &client, "other", json!({}));
        json_of(&other.get(ROUTES), 200);
    }
    ringway.finish();
    origin.finish();
}

#[test]
fn flags_say_what_a_key_may_do_with_a_kind() {
    let (ringway, origin, client) = start();
    let kinds = json!({"routes": ["canRead", "canCreate"]}).to_string();
    let metadata = json!({"metadata": {"ringway-kinds": kinds}});
    let other = client_with(&ringway, &client, "other", metadata);
    let entity = route("one", "one.local", origin.address());
    let one = format!("{ROUTES}/one");
    json_of(&other.post(ROUTES, &entity), 201);
    json_of(&other.get(&one), 200);
    let bulk = format!("{ROUTES}/_bulk");
    for answer in [
        other.put(&one, &entity),
        other.delete(&one),
        other.delete(ROUTES),
        other.typed("PATCH", &one, "application/json", "[]"),
        other.typed("POST", &bulk, "application/x-ndjson", ""),
        other.get(BACKENDS),
    ] {
        let body = json_of(&answer, 401);
        assert_eq!(body["error_description"], "you cannot do that");
    }
    let reader = client_with(&ringway, &client, "reader", json!({"readOnly": true}));
    json_of(&reader.get(&one), 200);
    json_of(&reader.delete(&one), 401);
    // A kind that cannot be made cannot be made by anybody.
    let config = json!({"id": "global", "name": "x"});
    json_of(
        &client.post("/apis/config.otoroshi.io/v1/global-configs", &config),
        401,
    );
    json_of(
        &client.delete("/apis/config.otoroshi.io/v1/global-configs/global"),
        401,
    );
    json_of(
        &client.put("/apis/config.otoroshi.io/v1/global-configs/global", &config),
        200,
    );
    ringway.finish();
    origin.finish();
}

#[test]
fn tenants_and_teams_filter_what_is_seen_and_written() {
    let (ringway, origin, client) = start();
    let of = |id: &str, tenant: &str, team: &str| {
        let mut entity = route(id, &format!("{id}.local"), origin.address());
        entity["_loc"] = json!({"tenant": tenant, "teams": [team]});
        entity
    };
    for entity in [
        of("a", "acme", "red"),
        of("b", "acme", "blue"),
        of("c", "other", "red"),
    ] {
        json_of(&client.post(ROUTES, &entity), 201);
    }
    let rights = json!([{"tenant": "acme:rw", "teams": ["red:rw", "blue:r"]}]).to_string();
    let metadata = json!({"metadata": {"otoroshi-access-rights": rights}});
    let acme = client_with(&ringway, &client, "acme", metadata);
    let list = json_of(&acme.get(&format!("{ROUTES}?fields=id&sorted=id")), 200);
    let ids: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(
        json_of(&acme.get(&format!("{ROUTES}/_count")), 200)["count"],
        2
    );
    json_of(&acme.get(&format!("{ROUTES}/c")), 404);
    json_of(&acme.delete(&format!("{ROUTES}/c")), 404);
    json_of(
        &acme.put(&format!("{ROUTES}/a"), &of("a", "acme", "red")),
        200,
    );
    for answer in [
        acme.put(&format!("{ROUTES}/b"), &of("b", "acme", "blue")),
        acme.post(ROUTES, &of("d", "other", "red")),
        acme.put(&format!("{ROUTES}/a"), &of("a", "other", "red")),
        acme.post(&format!("{ROUTES}/c"), &of("c", "acme", "red")),
        acme.delete(&format!("{ROUTES}/b")),
    ] {
        let body = json_of(&answer, 401);
        assert_eq!(
            body["error_description"], "you cannot access this resource",
            "{body}"
        );
    }
    assert_eq!(acme.delete(ROUTES).status(), 204);
    let left = json_of(&client.get(&format!("{ROUTES}?fields=id&sorted=id")), 200);
    assert_eq!(
        left.as_array().unwrap().len(),
        3,
        "b, c and the one of the file: {left}"
    );
    ringway.finish();
    origin.finish();
}

#[test]
fn a_session_stands_for_the_key_it_was_begun_with() {
    let (ringway, origin, client) = start();
    let begun = client.send("POST", "/apis/session", &[], "");
    assert_eq!(begun.status(), 201, "{}", begun.text());
    let cookie = begun.field("set-cookie").expect("a cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    let dashboard = ApisClient::with(ringway.admin_address(), ("Cookie", pair));
    json_of(&dashboard.get(ROUTES), 200);
    json_of(&dashboard.delete("/apis/session"), 200);
    assert_eq!(dashboard.get(ROUTES).status(), 401);
    ringway.finish();
    origin.finish();
}
