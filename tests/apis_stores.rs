//! Stores: what the generic API was told is there after a restart, in the file and in a database.

mod common;

use common::apis::{APIKEYS, BACKENDS, ROUTES, get, json_of, lines_of, route};
use common::{APIS, ApisClient, Driver, Ringway, ScriptedOrigin, new_directory, ok};
use serde_json::json;

fn restart(configuration: &str, stays: bool) {
    let origin = ScriptedOrigin::answering(ok("served"));
    let directory = new_directory();
    let ringway = Ringway::start_in(directory.clone(), configuration, Driver::Epoll);
    let client = ApisClient::connect(ringway.admin_address());
    let mut entity = route("one", "one.local/a", origin.address());
    entity["metadata"] = json!({"note": "yes: no # 'quoted' \n and lines"});
    entity["own"] = json!({"deep": [1, null, {"x": null}]});
    let route = json_of(&client.post(ROUTES, &entity), 201);
    let key = json!({"clientId": "k", "clientSecret": "s", "clientName": "K"});
    let key = json_of(&client.post(APIKEYS, &key), 201);
    let servers = json!({"targets": [{"hostname": "10.0.0.9", "port": 80}], "root": "/r"});
    let backend = json!({"id": "b", "name": "Backend", "backend": servers});
    let backend = json_of(&client.post(BACKENDS, &backend), 201);
    let lines = "{\"id\":\"e\",\"own\":[1]}\n{\"id\":\"f\"}\n";
    let bulk = "/apis/any/any/data-exporters/_bulk";
    let lines = lines_of(&client.typed("POST", bulk, "application/x-ndjson", lines));
    assert!(lines.iter().all(|line| line["status"] == 201));
    json_of(&client.delete("/apis/any/any/data-exporters/f"), 200);
    let configuration = std::fs::read_to_string(ringway.config_path()).expect("the file");
    let kept = new_directory();
    for entry in std::fs::read_dir(&directory).expect("the directory") {
        let entry = entry.expect("a file");
        std::fs::copy(entry.path(), kept.join(entry.file_name())).expect("a copy");
    }
    ringway.finish();

    let configuration = configuration.replace(
        directory.to_str().expect("a path"),
        kept.to_str().expect("a path"),
    );
    let ringway = Ringway::start_in(kept, &configuration, Driver::Epoll);
    let client = ApisClient::connect(ringway.admin_address());
    let same = |mut entity: serde_json::Value, mut other: serde_json::Value| {
        if !stays {
            // Times are not in the file.
            for entity in [&mut entity, &mut other] {
                entity["metadata"]["created_at"].take();
            }
        }
        assert_eq!(entity, other);
    };
    same(json_of(&client.get(&format!("{ROUTES}/one")), 200), route);
    same(json_of(&client.get(&format!("{APIKEYS}/k")), 200), key);
    same(json_of(&client.get(&format!("{BACKENDS}/b")), 200), backend);
    json_of(&client.get("/apis/any/any/data-exporters/e"), 200);
    json_of(&client.get("/apis/any/any/data-exporters/f"), 404);
    assert_eq!(get(&ringway, "one.local", "/a/b").status(), 200);
    assert_eq!(origin.targets(), ["/b"]);
    ringway.finish();
    origin.finish();
}

#[test]
fn the_file_keeps_everything() {
    restart(APIS, false);
}

#[test]
fn a_database_keeps_everything() {
    let directory = new_directory();
    let path = directory.join("ringway.db");
    let store = format!("store: {{kind: embedded, path: {}}}\n", path.display());
    restart(&(APIS.to_owned() + &store), true);
    std::fs::remove_dir_all(directory).expect("the directory goes");
}
