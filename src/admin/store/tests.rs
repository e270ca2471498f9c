//! What the file store keeps of a document, and when it refuses; what the embedded one keeps.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use redb::{ReadableDatabase as _, TableDefinition, TableHandle as _};
use serde_json::{Value, json};

use super::*;
use crate::model::{self, parse_document};

const YAML: &str = r#"# comments may go
timeouts: {drain_ms: 5}
routes:
  - path_prefix: /a
    respond: {status: 204}
  - {path: /a, redirect: {to: "/yes"}}
  - {id: c, path_regex: "/[0-9]+(\\.json)?", upstream: one}
listeners: [{address: 127.0.0.1, port: 8080}]
upstreams:
  - {name: one, servers: [{address: 127.0.0.1, port: 9000}]}
admin: {enabled: true, api_key: "0x12"}
"#;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("ringway-store-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path) -> Opened {
    Store::open(Some(path), &model::load(path).unwrap().config).unwrap()
}

fn put(kind: Kind, id: &str, age: u64, value: Value) -> EntityChange {
    let (revision, created_at, updated_at) = (7, 8, 9);
    let id = id.to_owned();
    EntityChange::Put(Entity {
        kind,
        id,
        revision,
        age,
        created_at,
        updated_at,
        text: value.to_string().into(),
    })
}

fn put_route(id: &str, age: u64) -> EntityChange {
    put(
        Kind::Route,
        id,
        age,
        json!({"id": id, "path": "/new", "respond": {"status": 200}}),
    )
}

fn remove_route(id: &str, age: u64) -> EntityChange {
    EntityChange::Remove {
        kind: Kind::Route,
        id: id.to_owned(),
        age,
    }
}

fn ids(opened: &Opened) -> Vec<&str> {
    opened
        .entities
        .iter()
        .map(|entity| entity.id.as_str())
        .collect()
}

#[test]
fn entities_are_as_declared_and_named() {
    let folder = Folder::new("declared");
    let opened = open(&folder.write("c.yaml", YAML));
    assert_eq!(ids(&opened), ["one", "a", "a-2", "c"]);
    assert_eq!(
        opened.entities[1].value(),
        json!({"path_prefix": "/a", "respond": {"status": 204}})
    );
    assert_eq!(opened.entities[3].age, 2);
    assert_eq!(opened.epoch, 1);
}

#[test]
fn keys_and_order_and_ids_stay() {
    for name in ["c.yaml", "c.json"] {
        let folder = Folder::new(&format!("order-{name}"));
        let tree = parse_document(YAML, model::Format::Yaml).unwrap().value;
        let text = if name == "c.json" {
            tree.to_string()
        } else {
            YAML.to_owned()
        };
        let path = folder.write(name, &text);
        let mut store = open(&path).store;
        let upstream = json!({"name": "two", "servers": [{"address": "::1", "port": 1}]});
        let changes = [
            remove_route("a", 0),
            put_route("d", 3),
            put(Kind::Upstream, "two", 1, upstream.clone()),
        ];
        store.commit(2, &changes, false).unwrap();
        let written = fs::read_to_string(&path).unwrap();
        let format = document::format_of(&path);
        let mut expected = tree.clone();
        // Without its twin this route would be called a.
        expected["routes"] = json!([
            {"id": "a-2", "path": "/a", "redirect": {"to": "/yes"}},
            tree["routes"][2],
            {"id": "d", "path": "/new", "respond": {"status": 200}},
        ]);
        expected["upstreams"].as_array_mut().unwrap().push(upstream);
        let read = parse_document(&written, format).unwrap().value;
        assert_eq!(read, expected, "{written}");
        let keys = |tree: &Value| {
            tree.as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(&read), keys(&tree), "{written}");
        assert_eq!(ids(&open(&path)), ["one", "two", "a-2", "c", "d"]);
    }
}

#[test]
fn a_restored_route_goes_back_to_its_place() {
    let folder = Folder::new("restored");
    let path = folder.write("c.yaml", YAML);
    let mut store = open(&path).store;
    store
        .commit(2, &[remove_route("a-2", 1), put_route("d", 3)], false)
        .unwrap();
    store.commit(3, &[put_route("a-2", 1)], false).unwrap();
    assert_eq!(ids(&open(&path)), ["one", "a", "a-2", "c", "d"]);
}

#[test]
fn lists_that_are_not_there_are_added() {
    let folder = Folder::new("added");
    let path = folder.write("c.yml", "listeners: [{address: 127.0.0.1, port: 8080}]\n");
    let mut store = open(&path).store;
    store.commit(2, &[put_route("d", 0)], false).unwrap();
    assert_eq!(ids(&open(&path)), ["d"]);
}

#[test]
fn mode_and_symbolic_link_stay() {
    let folder = Folder::new("mode");
    let path = folder.write("real.yaml", YAML);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.0.join("c.yaml");
    symlink("real.yaml", &link).unwrap();
    open(&link)
        .store
        .commit(2, &[put_route("d", 3)], false)
        .unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(ids(&open(&link)).len(), 5);
}

#[test]
fn what_was_edited_by_hand_is_not_overwritten_silently() {
    let folder = Folder::new("edited");
    let path = folder.write("c.yaml", YAML);
    let mut store = open(&path).store;
    store.commit(2, &[put_route("d", 3)], false).unwrap();
    let edited = fs::read_to_string(&path)
        .unwrap()
        .replace("drain_ms: 5", "drain_ms: 6");
    fs::write(&path, &edited).unwrap();
    let error = store.commit(3, &[put_route("e", 4)], false).unwrap_err();
    assert!(matches!(error, StoreError::EditedByHand(_)), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), edited);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
    assert_eq!(store.reload().unwrap().timeouts.drain_ms, 6);
    store.commit(3, &[put_route("e", 4)], false).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("drain_ms: 6"));
    fs::write(&path, "garbage").unwrap();
    store.commit(4, &[put_route("f", 5)], true).unwrap();
    assert_eq!(ids(&open(&path)), ["one", "a", "a-2", "c", "d", "e", "f"]);
}

#[test]
fn a_file_with_faults_is_not_reloaded() {
    let folder = Folder::new("faults");
    let path = folder.write("c.yaml", YAML);
    let mut store = open(&path).store;
    folder.write("c.yaml", "routes: 3\n");
    assert!(matches!(store.reload(), Err(StoreError::Faults(_))));
    let refused = store.commit(2, &[put_route("d", 3)], false);
    assert!(matches!(refused, Err(StoreError::EditedByHand(_))));
}

#[test]
fn without_a_file_nothing_can_be_kept() {
    let mut store = Store::open(None, &Config::default()).unwrap().store;
    let refused = store.commit(2, &[put_route("d", 0)], false);
    assert!(matches!(refused, Err(StoreError::NoFile)));
    assert!(matches!(store.reload(), Err(StoreError::NoFile)));
}

#[test]
fn a_file_that_is_no_longer_what_was_loaded_counts_as_edited() {
    let folder = Folder::new("race");
    let path = folder.write("c.yaml", YAML);
    let config = model::load(&path).unwrap().config;
    folder.write("c.yaml", &YAML.replace("/a", "/b"));
    let opened = Store::open(Some(&path), &config).unwrap();
    assert_eq!(ids(&opened), ["one", "a", "a-2", "c"]);
    let mut store = opened.store;
    let refused = store.commit(2, &[put_route("d", 3)], false);
    assert!(matches!(refused, Err(StoreError::EditedByHand(_))));
}

#[test]
fn secrets_are_not_shown() {
    let folder = Folder::new("secrets");
    let opened = open(&folder.write("c.yaml", YAML));
    assert!(!format!("{:?}", opened.store).contains("0x12"));
}

#[test]
fn a_database_is_seeded_once_and_keeps_everything() {
    let folder = Folder::new("embedded");
    let database = folder.0.join("ringway.db");
    let store = format!("store: {{kind: embedded, path: {}}}\n", database.display());
    let path = folder.write("c.yaml", &format!("{YAML}{store}"));
    let mut opened = open(&path);
    assert_eq!(ids(&opened), ["one", "a", "a-2", "c"]);
    assert_eq!(opened.epoch, 1);
    let config = model::load(&path).unwrap().config;
    let second = Store::open(Some(&path), &config).unwrap_err();
    assert!(second.to_string().contains("ringway.db"), "{second}");
    opened
        .store
        .commit(5, &[put_route("d", 3), remove_route("c", 2)], false)
        .unwrap();
    drop(opened);
    let opened = open(&path);
    assert_eq!(ids(&opened), ["one", "a", "a-2", "d"]);
    assert_eq!(opened.epoch, 5);
    let EntityChange::Put(put) = put_route("d", 3) else {
        panic!("a put")
    };
    assert_eq!(opened.entities[3], put);
    assert_eq!(fs::metadata(&database).unwrap().mode() & 0o777, 0o600);
    assert_eq!(opened.store.declared(&config, 6)[3].id, "c");
}

#[test]
fn a_database_of_the_first_form_is_read_and_brought_into_the_present_one() {
    let folder = Folder::new("first-form");
    let database = folder.0.join("ringway.db");
    let store = format!("store: {{kind: embedded, path: {}}}\n", database.display());
    let path = folder.write("c.yaml", &format!("{YAML}{store}"));
    {
        let entities = TableDefinition::<&str, &[u8]>::new("entities");
        let meta = TableDefinition::<&str, u64>::new("meta");
        let database = redb::Database::create(&database).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let mut entities = transaction.open_table(entities).unwrap();
            for (key, age) in [("route/b", 1), ("route/a/2", 40), ("upstream/u", 0)] {
                let stored = format!(
                    r#"{{"revision":3,"age":{age},"created_at":5,"updated_at":7,"value":{{}}}}"#
                );
                entities.insert(key, stored.as_bytes()).unwrap();
            }
            let mut meta = transaction.open_table(meta).unwrap();
            meta.insert("epoch", 9).unwrap();
            meta.insert("schema", 1).unwrap();
        }
        transaction.commit().unwrap();
    }
    for _ in 0..2 {
        let opened = open(&path);
        assert_eq!((ids(&opened), opened.epoch), (vec!["u", "b", "a/2"], 9));
        assert_eq!(opened.entities[2].updated_at, 7);
    }
    let database = redb::Database::open(&database).unwrap();
    let transaction = database.begin_read().unwrap();
    let tables = transaction.list_tables().unwrap();
    let mut tables: Vec<String> = tables.map(|table| table.name().to_owned()).collect();
    tables.sort_unstable();
    assert_eq!(tables, ["groups", "meta"]);
}

#[test]
fn an_embedded_store_needs_a_path() {
    let mut config = Config::default();
    config.store.kind = StoreKind::Embedded;
    assert!(matches!(
        Store::open(None, &config),
        Err(StoreError::NoPath)
    ));
}

mod yaml {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("yes"),
            Just("~"),
            Just("0x1F"),
            Just("1e3"),
            Just("12:30:45"),
            Just("<<"),
            Just(""),
            Just("- a"),
            Just("a: b # c"),
            Just("2026-01-01"),
            Just("!x"),
            Just("null"),
        ]
        .prop_map(str::to_owned)
        .boxed()
        .prop_union(any::<String>().boxed())
    }

    proptest! {
        /// A body can be any text: what is written must be read back, whatever YAML makes of it.
        #[test]
        fn any_text_is_written_so_that_it_reads_back(body in text(), header in text()) {
            let folder = Folder::new("any-text");
            let path = folder.write("c.yaml", YAML);
            let config = model::load(&path).unwrap().config;
            let document = Document::read(&path, &config).unwrap();
            let value = json!({"id": "d", "path": "/d", "respond": {
                "status": 200, "body": body, "headers": {"X": header},
            }});
            let next = document.change(&[put(Kind::Route, "d", 3, value.clone())]).unwrap();
            let written = String::from_utf8(next.render().unwrap()).unwrap();
            let read = parse_document(&written, model::Format::Yaml).unwrap().value;
            prop_assert_eq!(&read["routes"][3], &value);
        }
    }
}
