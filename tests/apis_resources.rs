//! Resources: the 15 forms of URL, for kinds of every sort, with the codes of seed 002.

mod common;

use common::apis::{APIKEYS, BACKENDS, ROUTES, get, json_of, route};
use common::{APIS, ApisClient, Driver, Ringway, ScriptedOrigin, forwarding, ok};
use serde_json::{Value, json};

fn start() -> (Ringway, ScriptedOrigin, ApisClient) {
    let origin = ScriptedOrigin::answering(ok("served"));
    let ringway = Ringway::start(&(forwarding(origin.address()) + APIS), Driver::Epoll);
    let client = ApisClient::connect(ringway.admin_address());
    (ringway, origin, client)
}

/// Entities of kinds that are stored each in another way, and what an update changes.
fn samples(origin: &ScriptedOrigin) -> Vec<(&'static str, Value, &'static str, Value)> {
    let server = origin.address();
    let backend = json!({"targets": [{"hostname": "10.0.0.9", "port": 80}]});
    vec![
        (
            ROUTES,
            route("one", "one.local", server),
            "description",
            json!("d"),
        ),
        (
            BACKENDS,
            json!({"id": "b", "name": "B", "backend": backend}),
            "description",
            json!("d"),
        ),
        (
            APIKEYS,
            json!({"clientId": "k", "clientSecret": "s", "clientName": "K"}),
            "enabled",
            json!(false),
        ),
        (
            "/apis/organize.otoroshi.io/v1/service-groups",
            json!({"id": "g", "name": "G"}),
            "description",
            json!("d"),
        ),
        (
            "/apis/events.otoroshi.io/v1/data-exporters",
            json!({"id": "e", "own": [1, {"a": "b"}]}),
            "own",
            json!({"x": 1}),
        ),
        (
            "/apis/ringway/v1/native-routes",
            json!({"id": "n", "path_prefix": "/n", "upstream": "origin"}),
            "rank",
            json!(5),
        ),
        (
            "/apis/ringway/v1/upstreams",
            json!({"name": "u", "servers": [{"address": "10.0.0.9", "port": 80}]}),
            "load_balancer",
            json!("weighted_round_robin"),
        ),
    ]
}

fn id_of(entity: &Value) -> String {
    let id = ["clientId", "id", "name"]
        .into_iter()
        .find_map(|key| entity[key].as_str());
    id.expect("an id").to_owned()
}

#[test]
fn the_name_of_a_kind_and_the_answer_to_one_that_exists_have_a_switch() {
    let origin = ScriptedOrigin::answering(ok("served"));
    let one = route("one", "one.local", origin.address());
    for (switches, kind, status, error) in [
        ("", "routes.proxy.otoroshi.io/v1", 401, "unauthorized"),
        (
            "kind_style: doc, exists_status: 401, ",
            "routes.proxy.otoroshi.io/v1",
            401,
            "unauthorized",
        ),
        (
            "kind_style: code, exists_status: 409, ",
            "proxy.otoroshi.io/Route",
            409,
            "conflict",
        ),
    ] {
        let admin = APIS.replace("{enabled: true, ", &format!("{{enabled: true, {switches}"));
        let ringway = Ringway::start(&(forwarding(origin.address()) + &admin), Driver::Epoll);
        let client = ApisClient::connect(ringway.admin_address());
        let created = json_of(&client.post(ROUTES, &one), 201);
        assert_eq!(created["kind"], kind);
        let listed = json_of(&client.get(ROUTES), 200);
        let kinds = listed.as_array().unwrap().iter().map(|one| &one["kind"]);
        assert!(kinds.into_iter().all(|of| of == kind), "{listed}");
        let again = json_of(&client.post(ROUTES, &one), status);
        assert_eq!(again["error"], error);
        assert_eq!(again["error_description"], "resource already exists");
        // What the server shows it takes, whatever it calls the kind.
        let put = json_of(&client.put(&format!("{ROUTES}/one"), &created), 200);
        assert_eq!(put["kind"], kind);
        ringway.finish();
    }
    origin.finish();
}

#[test]
fn every_form_of_url_answers_for_every_sort_of_kind() {
    let (ringway, origin, client) = start();
    for (base, entity, key, value) in samples(&origin) {
        let id = id_of(&entity);
        let one = format!("{base}/{id}");
        let count = |client: &ApisClient| {
            json_of(&client.get(&format!("{base}/_count")), 200)["count"]
                .as_u64()
                .unwrap()
        };
        let before = count(&client);
        json_of(&client.get(&one), 404);
        json_of(&client.put(&one, &entity), 404);
        json_of(&client.delete(&one), 404);
        let created = json_of(&client.post(base, &entity), 201);
        assert_eq!(id_of(&created), id, "{base}");
        let again = json_of(&client.post(base, &entity), 401);
        assert_eq!(
            again["error_description"], "resource already exists",
            "{base}"
        );
        assert_eq!(count(&client), before + 1, "{base}");
        assert_eq!(json_of(&client.get(&one), 200), created, "{base}");
        let list = json_of(&client.get(base), 200);
        assert!(
            list.as_array().unwrap().contains(&created),
            "{base}: {list}"
        );

        let mut changed = entity.clone();
        changed[key] = value.clone();
        assert_eq!(
            json_of(&client.put(&one, &changed), 200)[key],
            value,
            "{base}"
        );
        let patch = json!([{"op": "remove", "path": format!("/{key}")}]);
        let patched = client.typed("PATCH", &one, "application/json", &patch.to_string());
        assert_ne!(json_of(&patched, 200)[key], value, "{base}");

        let upsert = client.post(&one, &changed);
        assert_eq!(upsert.status(), 200, "{base}: {}", upsert.text());
        assert_eq!(
            upsert.field("otoroshi-entity-updated"),
            Some("true"),
            "{base}"
        );
        let upsert = client.post(&one, &changed);
        assert_eq!(
            upsert.field("otoroshi-entity-updated"),
            Some("false"),
            "{base}"
        );

        let deleted = json_of(&client.delete(&one), 200);
        assert_eq!(
            deleted[key], value,
            "{base}: the deleted entity is answered"
        );
        let upsert = client.post(&one, &entity);
        assert_eq!(upsert.status(), 201, "{base}: {}", upsert.text());
        assert_eq!(
            upsert.field("otoroshi-entity-updated"),
            Some("true"),
            "{base}"
        );
        assert!(json_of(&client.get(&format!("{base}/_schema")), 200).is_object());
        assert!(json_of(&client.get(&format!("{base}/_template")), 200).is_object());
        json_of(&client.delete(&one), 200);
    }
    ringway.finish();
    origin.finish();
}

#[test]
fn a_collection_is_deleted_as_a_whole() {
    let (ringway, origin, client) = start();
    for id in ["a", "b"] {
        json_of(
            &client.post(ROUTES, &route(id, &format!("{id}.local"), origin.address())),
            201,
        );
    }
    assert_eq!(get(&ringway, "a.local", "/").status(), 200);
    let answer = client.delete(ROUTES);
    assert_eq!(answer.status(), 204, "{}", answer.text());
    assert!(answer.body.is_empty());
    assert_eq!(json_of(&client.get(ROUTES), 200), json!([]));
    assert_eq!(get(&ringway, "a.local", "/").status(), 404);
    // Of the keys the one in use stays.
    assert_eq!(client.delete(APIKEYS).status(), 204);
    assert_eq!(
        json_of(&client.get(APIKEYS), 200).as_array().unwrap().len(),
        1
    );
    ringway.finish();
    origin.finish();
}

#[test]
fn group_version_and_entity_have_wildcards_and_other_names() {
    let (ringway, origin, client) = start();
    json_of(
        &client.post(ROUTES, &route("one", "one.local", origin.address())),
        201,
    );
    for path in [
        "/apis/any/any/routes/one",
        "/apis/all/v1/Route/one",
        "/apis/proxy.otoroshi.io/all/Route/one",
        "/api/routes/one",
    ] {
        assert_eq!(json_of(&client.get(path), 200)["id"], "one", "{path}");
    }
    for path in [
        "/apis/apim.otoroshi.io/v1/routes",
        "/apis/any/v2/routes",
        "/apis/any/any/x",
    ] {
        let body = json_of(&client.get(path), 404);
        assert_eq!(body["error"], "not_found", "{path}");
        assert_eq!(body["error_description"], "resource not found", "{path}");
    }
    assert_eq!(client.send("PUT", ROUTES, &[], "").status(), 405);
    ringway.finish();
    origin.finish();
}

#[test]
fn one_entity_has_two_views() {
    let (ringway, origin, client) = start();
    let mut flat = ringway.admin();
    // Written here, seen there.
    json_of(
        &client.post(ROUTES, &route("one", "one.local/v1", origin.address())),
        201,
    );
    let native: Value = serde_json::from_slice(&flat.get("/routes/one").body).unwrap();
    assert_eq!(native["host"], "one.local");
    assert_eq!(native["path_prefix"], "/v1");
    // Changed there, seen here.
    let changed = flat.patch("/routes/one", &json!({"host": "two.local", "rank": 3}));
    assert_eq!(changed.status(), 200, "{}", changed.text());
    let entity = json_of(&client.get(&format!("{ROUTES}/one")), 200);
    assert_eq!(entity["frontend"]["domains"], json!(["two.local/v1"]));
    assert_eq!(get(&ringway, "two.local", "/v1/a").status(), 200);
    // Written there, written back here, nothing lost.
    let route = json!({"id": "n", "path_regex": "/r(a|b)", "upstream": "origin", "rank": 7,
                       "send_timeout_ms": 1234,
                       "retry": {"max_retries": 0, "on": ["connect"], "statuses": [503]}});
    assert_eq!(flat.post("/routes", &route).status(), 201);
    let entity = json_of(&client.get(&format!("{ROUTES}/n")), 200);
    assert_eq!(entity["backend_ref"], "origin");
    json_of(&client.put(&format!("{ROUTES}/n"), &entity), 200);
    let native: Value = serde_json::from_slice(&flat.get("/routes/n").body).unwrap();
    for (key, value) in route.as_object().unwrap() {
        assert_eq!(native[key], *value, "{key}");
    }
    assert_eq!(get(&ringway, "any.local", "/ra").status(), 200);
    drop(flat);
    ringway.finish();
    origin.finish();
}

#[test]
fn a_route_does_what_it_says() {
    let (ringway, origin, client) = start();
    let mut entity = route("one", "one.local/in", origin.address());
    entity["frontend"]["domains"] = json!(["one.local/in", "*.two.local", "three.local/:id/x"]);
    entity["frontend"]["methods"] = json!(["GET"]);
    entity["backend"]["root"] = json!("/out");
    json_of(&client.post(ROUTES, &entity), 201);
    for (host, path) in [
        ("one.local", "/in/a"),
        ("a.two.local", "/b"),
        ("three.local", "/7/x/c"),
    ] {
        assert_eq!(get(&ringway, host, path).status(), 200, "{host}{path}");
    }
    assert_eq!(origin.targets(), ["/out/a", "/out/b", "/out/c"]);
    let off = json!([{"path": "enabled", "value": "false"}]).to_string();
    let one = format!("{ROUTES}/one");
    json_of(
        &client.typed("PATCH", &one, "application/json+oto-patch", &off),
        200,
    );
    for host in ["one.local", "a.two.local"] {
        let answer = get(&ringway, host, "/in");
        // What is left is the route of the configuration, which takes everything.
        assert_eq!(
            origin.targets().last().map(String::as_str),
            Some("/in"),
            "{answer:?}"
        );
    }
    let backend = json!({"id": "b", "name": "B", "backend": entity["backend"]});
    json_of(&client.post(BACKENDS, &backend), 201);
    json_of(&client.get(&format!("{BACKENDS}/b")), 200);
    let list = json_of(&client.get(BACKENDS), 200);
    let ids: Vec<&Value> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(
        ids,
        [&json!("origin"), &json!("b")],
        "servers of one route are no Backend"
    );
    ringway.finish();
    origin.finish();
}

#[test]
fn servers_of_routes_go_with_the_last_route_that_has_them() {
    let (ringway, origin, client) = start();
    let mut flat = ringway.admin();
    let upstreams =
        || json_of(&client.get("/apis/ringway/v1/upstreams/_count"), 200)["count"].clone();
    for id in ["a", "b"] {
        json_of(
            &client.post(ROUTES, &route(id, &format!("{id}.local"), origin.address())),
            201,
        );
        assert_eq!(upstreams(), 2, "they share one");
    }
    json_of(&client.delete(&format!("{ROUTES}/a")), 200);
    assert_eq!(upstreams(), 2);
    assert_eq!(flat.delete("/routes/b").status(), 200);
    assert_eq!(upstreams(), 1);
    drop(flat);
    ringway.finish();
    origin.finish();
}

#[test]
fn the_global_config_may_make_the_api_read_only() {
    let (ringway, origin, client) = start();
    let config = "/apis/config.otoroshi.io/v1/global-configs/global";
    let only =
        |on: bool| json!([{"op": "replace", "path": "/apiReadOnly", "value": on}]).to_string();
    json_of(
        &client.typed("PATCH", config, "application/json", &only(true)),
        200,
    );
    let entity = route("a", "a.local", origin.address());
    let refused = json_of(&client.post(ROUTES, &entity), 401);
    assert!(
        refused["error_description"]
            .to_string()
            .contains("apiReadOnly"),
        "{refused}"
    );
    json_of(&client.get(ROUTES), 200);
    json_of(
        &client.typed("PATCH", config, "application/json", &only(false)),
        200,
    );
    json_of(&client.post(ROUTES, &entity), 201);
    ringway.finish();
    origin.finish();
}

#[test]
fn a_wrong_entity_is_refused_with_its_places() {
    let (ringway, origin, client) = start();
    let server = origin.address();
    let with = |key: &str, value: Value| {
        let mut entity = route("one", "one.local", server);
        entity[key] = value;
        entity
    };
    for (entity, says) in [
        (with("enabled", json!("yes")), "/enabled"),
        (with("name", json!(7)), "/name"),
        (with("id", json!("a b")), "/id"),
        (with("frontend", json!({"domains": ["a.*.local"]})), "host"),
        (
            with(
                "frontend",
                json!({"domains": ["a"], "headers": {"x": "NotDefined()"}}),
            ),
            "NotDefined",
        ),
        (with("backend_ref", json!("nobody")), "there is no upstream"),
        (
            with("backend", json!({"targets": [{"hostname": "h"}]})),
            "port",
        ),
    ] {
        let body = json_of(&client.post(ROUTES, &entity), 400);
        assert_eq!(body["error"], "bad_request", "{body}");
        assert!(
            body["error_description"].to_string().contains(says),
            "{says}: {body}"
        );
    }
    assert_eq!(
        json_of(&client.get(&format!("{ROUTES}/_count")), 200)["count"],
        1
    );
    ringway.finish();
    origin.finish();
}
