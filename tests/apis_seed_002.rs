//! Seed 002: its curl examples as they stand, but for host and credentials; and its tables of
//! URLs, bodies and answers.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::apis::{ID, ROUTES, SECRET, get, route};
use common::{APIS, ApisClient, Driver, Ringway, ScriptedOrigin, forwarding, new_directory, ok};
use serde_json::{Value, json};

const LIST: &str = r#"curl -u "$ID:$SECRET" \
"http://otoroshi-api.oto.tools:8080/apis/proxy.otoroshi.io/v1/routes\
?filter.enabled=true\
&filtered=name:public\
&sorted=name:false\
&page=1&pageSize=20\
&fields=id,name,frontend.domains""#;

const CREATE: &str = r#"curl -u "$ID:$SECRET" \
-H "Content-Type: application/yaml" \
--data-binary @route.yaml \
http://otoroshi-api.oto.tools:8080/apis/proxy.otoroshi.io/v1/routes"#;

const PATCH: &str = r#"curl -u "$ID:$SECRET" -X PATCH \
-H "Content-Type: application/json+oto-patch" \
-d '[{"path":"enabled","value":"false"}]' \
http://otoroshi-api.oto.tools:8080/apis/proxy.otoroshi.io/v1/routes/route_xxx"#;

const BULK: &str = r#"curl -u "$ID:$SECRET" -X POST \
-H "Content-Type: application/x-ndjson" \
--data-binary @routes.ndjson \
"http://otoroshi-api.oto.tools:8080/apis/proxy.otoroshi.io/v1/routes/_bulk?_group=4""#;

const EXPORT: &str = r#"curl -u "$ID:$SECRET" \
-H "Accept: application/yaml+k8s" \
http://otoroshi-api.oto.tools:8080/apis/proxy.otoroshi.io/v1/routes/route_xxx"#;

/// A proxy, an origin, a client, and a directory for the files of the examples.
struct Setting {
    ringway: Ringway,
    origin: ScriptedOrigin,
    folder: PathBuf,
}

impl Setting {
    fn new() -> Self {
        let origin = ScriptedOrigin::answering(ok("served"));
        let text = forwarding(origin.address()) + APIS;
        let ringway = Ringway::start(&text, Driver::Epoll);
        Self {
            ringway,
            origin,
            folder: new_directory(),
        }
    }

    fn client(&self) -> ApisClient {
        ApisClient::connect(self.ringway.admin_address())
    }

    fn create(&self, id: &str, more: Value) {
        let mut entity = route(id, "api.local/x", self.origin.address());
        for (key, value) in more.as_object().expect("members") {
            entity[key] = value.clone();
        }
        let answer = self.client().post(ROUTES, &entity);
        assert_eq!(answer.status(), 201, "{}", answer.text());
    }

    /// Runs an example and returns what it prints.
    fn run(&self, example: &str) -> String {
        let address = self.ringway.admin_address().to_string();
        let here = example.replace("otoroshi-api.oto.tools:8080", &address);
        let output = Command::new("sh")
            .args(["-c", &here])
            .current_dir(&self.folder)
            .env("ID", ID)
            .env("SECRET", SECRET)
            .output()
            .expect("a shell");
        String::from_utf8(output.stdout).expect("text")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(Path::new(&self.folder).join(name), text).expect("a file");
    }

    fn finish(self) {
        self.ringway.finish();
        self.origin.finish();
        std::fs::remove_dir_all(self.folder).expect("the folder goes");
    }
}

#[test]
fn list_with_pagination_and_filtering() {
    let setting = Setting::new();
    setting.create("b", json!({"name": "public-b"}));
    setting.create("a", json!({"name": "Public-A"}));
    setting.create("c", json!({"name": "private"}));
    setting.create("d", json!({"name": "public-d", "enabled": false}));
    let printed: Value = serde_json::from_str(&setting.run(LIST)).expect("JSON");
    let kind = "routes.proxy.otoroshi.io/v1";
    let frontend = json!({"domains": ["api.local/x"]});
    assert_eq!(
        printed,
        json!([
            {"id": "a", "name": "Public-A", "frontend": frontend, "kind": kind},
            {"id": "b", "name": "public-b", "frontend": frontend, "kind": kind},
        ])
    );
    setting.finish();
}

#[test]
fn create_from_yaml() {
    let setting = Setting::new();
    let port = setting.origin.address().port();
    setting.write(
        "route.yaml",
        &format!(
            "id: from_yaml\nname: From YAML\nfrontend:\n  domains: [yaml.local/in]\nbackend:\n  \
             targets:\n    - hostname: 127.0.0.1\n      port: {port}\n"
        ),
    );
    let printed: Value = serde_json::from_str(&setting.run(CREATE)).expect("JSON");
    assert_eq!(printed["id"], "from_yaml");
    assert_eq!(printed["backend"]["client"]["retries"], 1);
    let got = get(&setting.ringway, "yaml.local", "/in/a");
    assert_eq!(
        got.status(),
        200,
        "it is in force as soon as it is answered"
    );
    assert_eq!(
        setting.origin.targets(),
        ["/a"],
        "the path of the domain is taken off"
    );
    setting.finish();
}

#[test]
fn patch_a_single_field() {
    let setting = Setting::new();
    setting.create(
        "route_xxx",
        json!({"name": "n", "metadata": {"team": "payments"}}),
    );
    let printed: Value = serde_json::from_str(&setting.run(PATCH)).expect("JSON");
    assert_eq!(printed["enabled"], false);
    assert_eq!(printed["metadata"]["team"], "payments");
    assert_eq!(printed["frontend"]["domains"], json!(["api.local/x"]));
    setting.finish();
}

#[test]
fn bulk_create_from_a_file() {
    let setting = Setting::new();
    setting.create("route_b", json!({}));
    let address = setting.origin.address();
    let line = |id: &str| route(id, &format!("{id}.local"), address).to_string() + "\n";
    setting.write(
        "routes.ndjson",
        &(line("route_a") + &line("route_b") + &line("route_c")),
    );
    let printed = setting.run(BULK);
    let lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 3, "{printed}");
    let created = |id: &str| json!({"status": 201, "created": true, "id": id, "id_field": "id"});
    assert_eq!(lines[0], created("route_a"));
    assert_eq!(lines[1]["status"], 400);
    assert_eq!(lines[1]["error"], "bad_entity");
    assert_eq!(lines[1]["error_description"], "entity already exists");
    assert_eq!(lines[1]["entity"]["id"], "route_b");
    assert_eq!(lines[2], created("route_c"));
    assert_eq!(get(&setting.ringway, "route_c.local", "/").status(), 200);
    setting.finish();
}

#[test]
fn export_to_kubernetes_yaml() {
    let setting = Setting::new();
    setting.create("route_xxx", json!({"name": "exported"}));
    let printed = setting.run(EXPORT);
    for line in [
        "apiVersion: proxy.otoroshi.io/v1",
        "kind: Route",
        "spec:",
        "  id: route_xxx",
    ] {
        assert!(
            printed.lines().any(|printed| printed == line),
            "{line:?} in {printed}"
        );
    }
    assert!(printed.contains("name: exported"), "{printed}");
    // What is exported can be created again.
    assert_eq!(
        setting
            .client()
            .delete(&format!("{ROUTES}/route_xxx"))
            .status(),
        200
    );
    setting.write("route.yaml", &printed);
    let again: Value = serde_json::from_str(&setting.run(CREATE)).expect("JSON");
    assert_eq!(again["id"], "route_xxx");
    assert_eq!(again["name"], "exported");
    setting.finish();
}
