//! What is no resource: the catalogue, health, metrics, the cluster, the OpenAPI document, the
//! older endpoints, the audit log.

mod common;

use common::apis::{APIKEYS, ROUTES, SECRET, json_of, lines_of, route};
use common::{APIS, ApisClient, Driver, Ringway, ScriptedOrigin, forwarding, new_directory, ok};
use serde_json::{Value, json};

fn start() -> (Ringway, ScriptedOrigin, ApisClient) {
    let origin = ScriptedOrigin::answering(ok("served"));
    let ringway = Ringway::start(&(forwarding(origin.address()) + APIS), Driver::Epoll);
    let client = ApisClient::connect(ringway.admin_address());
    (ringway, origin, client)
}

#[test]
fn the_catalogue_names_every_resource() {
    let (ringway, origin, client) = start();
    let catalogue = json_of(&client.get("/apis/entities"), 200);
    let resources = catalogue["resources"].as_array().expect("resources");
    assert!(resources.len() >= 29, "{}", resources.len());
    let route = &resources[0];
    assert_eq!(route["kind"], "Route");
    assert_eq!(route["plural_name"], "routes");
    assert_eq!(route["singular_name"], "route");
    assert_eq!(route["version"]["name"], "v1");
    assert_eq!(
        route["version"]["schema"]["properties"]["enabled"]["type"],
        "boolean"
    );
    assert_eq!(route["behaviour"], "in force");
    for resource in resources {
        let (group, plural) = (resource["group"].as_str(), resource["plural_name"].as_str());
        let path = format!("/apis/{}/v1/{}", group.unwrap(), plural.unwrap());
        assert!(json_of(&client.get(&path), 200).is_array(), "{path}");
    }
    let kinds = |query: &str| -> Vec<Value> {
        let light = json_of(
            &client.get(&format!("/apis/entities?schema=false{query}")),
            200,
        );
        let resources = light["resources"].as_array().expect("resources");
        assert_eq!(resources[0]["version"]["schema"], Value::Null);
        let kinds = resources.iter().map(|resource| resource["kind"].clone());
        kinds.collect()
    };
    // What is listed is what a client copies; the native forms would be second copies.
    let is_native = |kind: &Value| *kind == "NativeRoute" || *kind == "Upstream";
    assert!(!kinds("").iter().any(is_native));
    assert_eq!(
        kinds("&native=true")
            .iter()
            .filter(|kind| is_native(kind))
            .count(),
        2
    );
    ringway.finish();
    origin.finish();
}

#[test]
fn a_template_can_be_created_as_it_is() {
    let (ringway, origin, client) = start();
    let listed = client.get("/apis/entities?schema=false&native=true");
    let catalogue = json_of(&listed, 200);
    for resource in catalogue["resources"].as_array().unwrap() {
        let text = |key: &str| resource[key].as_str().unwrap();
        let base = format!("/apis/{}/v1/{}", text("group"), text("plural_name"));
        let answer = client.get(&format!("{base}/_template"));
        if ["AdminSession", "SimpleAdminUser", "AuthModuleUser"].contains(&text("kind")) {
            assert_eq!(json_of(&answer, 404)["error"], "template not found !");
            continue;
        }
        let template = json_of(&answer, 200);
        if ["GlobalConfig", "NativeRoute"].contains(&text("kind")) {
            continue;
        }
        json_of(&client.post(&base, &template), 201);
    }
    let template = json_of(
        &client.get(&format!("{ROUTES}/_template?domain=api.example.com")),
        200,
    );
    assert_eq!(template["frontend"]["domains"], json!(["api.example.com"]));
    ringway.finish();
    origin.finish();
}

#[test]
fn health_metrics_and_the_cluster_answer() {
    let (ringway, origin, client) = start();
    for path in ["/apis/health", "/apis/cluster/node/health"] {
        let health = json_of(&client.get(path), 200);
        assert_eq!(health["otoroshi"], "healthy");
        for part in [
            "datastore",
            "proxy",
            "storage",
            "eventstore",
            "certificates",
            "scripts",
        ] {
            assert!(!health[part].is_null(), "{part}");
        }
    }
    let metrics = json_of(&client.get("/apis/metrics?filter=ringway.r*"), 200);
    assert_eq!(metrics[0]["name"], "ringway.routes");
    assert_eq!(metrics.as_array().unwrap().len(), 1);
    let text = client.send(
        "GET",
        "/apis/metrics",
        &[("Accept", "application/prometheus")],
        "",
    );
    assert!(
        text.text().contains("# TYPE ringway_epoch gauge"),
        "{}",
        text.text()
    );
    let text = client.get("/apis/metrics?format=prometheus");
    assert!(text.text().contains("ringway_epoch"));
    let cluster = json_of(&client.get("/apis/cluster"), 200);
    assert!(
        cluster[0]["stats"]["workers"][0]["epoch"].is_u64(),
        "{cluster}"
    );
    let infos = json_of(&client.get("/apis/cluster/node/infos"), 200);
    assert!(infos["java_version"]["version"].is_string() && infos["os"]["name"].is_string());
    assert_eq!(
        json_of(&client.get("/apis/cluster/node/version"), 200)["major"],
        18
    );
    json_of(&client.get("/apis/nothing"), 404);
    ringway.finish();
    origin.finish();
}

#[test]
fn health_probes_show_a_secret_and_no_name() {
    let (ringway, origin, _) = start();
    let stranger = ApisClient::with(ringway.admin_address(), ("", ""));
    let base = "/.well-known/otoroshi/monitoring";
    for (path, status) in [
        (format!("{base}/health?access_key={SECRET}"), 200),
        (format!("{base}/metrics?access_key={SECRET}"), 200),
        (format!("{base}/health?access_key=wrong"), 401),
        (format!("{base}/health"), 401),
        (format!("/apis/health?access_key={SECRET}"), 401),
    ] {
        assert_eq!(stranger.get(&path).status(), status, "{path}");
    }
    ringway.finish();
    origin.finish();
}

#[test]
fn the_openapi_document_describes_every_resource() {
    let (ringway, origin, client) = start();
    let document = json_of(&client.get("/apis/openapi.json"), 200);
    assert_eq!(document["openapi"], "3.1.0");
    for path in [
        ROUTES.to_owned(),
        format!("{ROUTES}/{{id}}"),
        format!("{ROUTES}/_bulk"),
    ] {
        assert!(document["paths"][&path].is_object(), "{path}");
    }
    assert!(document["components"]["schemas"]["Route"]["properties"]["frontend"].is_object());
    ringway.finish();
    origin.finish();
}

#[test]
fn the_older_endpoints_answer() {
    let (ringway, origin, client) = start();
    assert_eq!(json_of(&client.get("/api/version"), 200)["major"], 18);
    assert!(json_of(&client.get("/api/infos"), 200)["os"]["arch"].is_string());
    assert_eq!(
        json_of(&client.get("/api/globalconfig"), 200)["id"],
        "global"
    );
    assert!(json_of(&client.get("/api/plugins/all"), 200).is_array());
    assert!(json_of(&client.get("/api/tunnels/infos"), 200).is_object());
    assert_eq!(
        json_of(&client.get("/api/routes/_template"), 200)["name"],
        "New route"
    );
    json_of(
        &client.post("/api/routes", &route("one", "one.local", origin.address())),
        201,
    );
    let key = json!({"clientId": "k", "clientSecret": "s", "clientName": "K"});
    let made = json_of(&client.post("/api/routes/one/apikeys", &key), 201);
    assert_eq!(made["authorizedEntities"], json!(["route_one"]));
    assert!(json_of(&client.get("/api/apikeys/k/bearer"), 200)["bearer"].is_string());
    ringway.finish();
    origin.finish();
}

#[test]
fn an_export_can_be_imported() {
    let (ringway, origin, client) = start();
    json_of(
        &client.post(ROUTES, &route("one", "one.local", origin.address())),
        201,
    );
    let document = json_of(&client.get("/api/otoroshi.json"), 200);
    assert_eq!(document["routes"][1]["id"], "one");
    let lines = client.send(
        "GET",
        "/api/otoroshi.json",
        &[("Accept", "application/x-ndjson")],
        "",
    );
    assert!(
        lines_of(&lines)
            .iter()
            .any(|line| line["value"]["id"] == "one")
    );
    for (kind, body) in [
        ("application/json", document.to_string()),
        (
            "application/x-ndjson",
            String::from_utf8(lines.body).unwrap(),
        ),
    ] {
        json_of(&client.delete(&format!("{ROUTES}/one")), 200);
        let done = client.typed("POST", "/api/otoroshi.json", kind, &body);
        assert_eq!(json_of(&done, 200), json!({"done": true}), "{kind}");
        assert_eq!(
            json_of(&client.get(&format!("{ROUTES}/one")), 200)["id"],
            "one"
        );
    }
    ringway.finish();
    origin.finish();
}

#[test]
fn every_change_is_audited_by_its_name() {
    let directory = new_directory();
    let log = directory.join("audit.log");
    let origin = ScriptedOrigin::answering(ok("served"));
    let audit = format!("admin: {{audit_log: {}, ", log.display());
    let ringway = Ringway::start(&APIS.replace("admin: {", &audit), Driver::Epoll);
    let client = ApisClient::connect(ringway.admin_address());
    let entity = route("one", "one.local", origin.address());
    let one = format!("{ROUTES}/one");
    client.post(ROUTES, &entity);
    client.put(
        &one,
        &json!({"id": "one", "name": "x", "backend_ref": null}),
    );
    client.typed("PATCH", &one, "application/json", "[]");
    client.delete(&one);
    client.typed(
        "POST",
        &format!("{ROUTES}/_bulk"),
        "application/x-ndjson",
        &entity.to_string(),
    );
    client.delete(ROUTES);
    client.delete(&format!("{APIKEYS}/nobody"));
    let expected = [
        ("CREATE_ROUTE", "routeCreated", 200),
        ("UPDATE_ROUTE", "routeUpdated", 200),
        ("PATCHED_ROUTE", "routePatched", 200),
        ("DELETE_ROUTE", "routeDeleted", 200),
        ("BULK_CREATE_ROUTE", "routeCreated", 200),
        ("DELETE_ALL_ROUTES", "routesDeleted", 200),
        ("DELETE_APIKEY", "apikeyDeleted", 404),
    ];
    let lines: Vec<Value> = common::wait_until("the lines of the log", || {
        let text = std::fs::read_to_string(&log).ok()?;
        let lines: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        (lines.len() == expected.len()).then_some(lines)
    });
    for (line, (action, alert, status)) in lines.iter().zip(expected) {
        assert_eq!(
            (line["action"].as_str(), line["alert"].as_str()),
            (Some(action), Some(alert))
        );
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["by"], "admin-api-apikey-id");
    }
    let epochs = ringway.admin().get("/epochs");
    assert!(
        epochs.text().contains("BULK_CREATE_ROUTE"),
        "{}",
        epochs.text()
    );
    ringway.finish();
    origin.finish();
    std::fs::remove_dir_all(directory).expect("the directory goes");
}
