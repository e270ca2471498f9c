//! Whole documents: every fault of a text at once, with its line.

mod declared;

use super::config::Config;
use super::document::Format;
use super::faults::Faults;
use super::{LoadError, load, read};

fn faults(text: &str, format: Format) -> Faults {
    read(text, format, "config").unwrap_err()
}

fn lines(text: &str, format: Format) -> Vec<String> {
    faults(text, format)
        .to_string()
        .lines()
        .map(str::to_owned)
        .collect()
}

const START: &str = "listeners: [{port: 80}]\n";

/// What is said about one more YAML section.
fn said(section: &str) -> String {
    faults(&format!("{START}{section}"), Format::Yaml).to_string()
}

#[test]
fn every_fault_is_found_at_once_in_the_order_of_the_text() {
    let yaml = "\
listeners:
  - port: 80
    adress: 127.0.0.1
workers: 0
routes:
  - path: /
    upstrem: app
  - path: a
    upstream: ap
upstreams:
  - name: app
    servers: [{address: localhost, port: 70000}]
  - name: a b
    servers: []
";
    assert_eq!(
        lines(yaml, Format::Yaml),
        [
            "config:3: $.listeners[0].adress: unknown key \"adress\"; did you mean \"address\"?",
            "config:4: $.workers: 0 is too small; the least is 1",
            "config:7: $.routes[0].upstrem: unknown key \"upstrem\"; did you mean \"upstream\"?",
            "config:8: $.routes[1].path: a path starts with '/'; write \"/a\"",
            "config:9: $.routes[1].upstream: there is no upstream \"ap\"; did you mean \"app\"?",
            "config:12: $.upstreams[0].servers[0].port: 70000 is too large; the most is 65535",
            "config:13: $.upstreams[1].name: \"a b\" is not of the right form; \
             write 1 to 128 letters, digits, '.', '_' or '-'",
            "config:14: $.upstreams[1].servers: the list is empty; give at least one",
        ]
    );
}

#[test]
fn json_has_the_same_faults_with_its_own_lines() {
    let json = "{\n\"listeners\": [\n{\"port\": 80,\n\"adress\": \"::\"}],\n\"routs\": []\n}\n";
    assert_eq!(
        lines(json, Format::Json),
        [
            "config:4: $.listeners[0].adress: unknown key \"adress\"; did you mean \"address\"?",
            "config:5: $.routs: unknown key \"routs\"; did you mean \"routes\"?",
        ]
    );
}

#[test]
fn keys_that_are_given_twice_are_faults() {
    let yaml = "listeners: [{port: 80}]\ntimeouts:\n  idle_ms: 60000\n  idle_ms: 50000\n";
    let json = "{\"listeners\": [{\"port\": 80}],\n\"dns\": {},\n\"dns\": {}}";
    assert_eq!(
        lines(yaml, Format::Yaml),
        [
            "config:4: $.timeouts.idle_ms: this key is given more than once, first on line 3; \
          keep one of them"
        ]
    );
    assert_eq!(
        lines(json, Format::Json),
        ["config:3: $.dns: this key is given more than once, first on line 2; keep one of them"]
    );
}

#[test]
fn each_kind_of_mistake_has_its_sentence() {
    for (section, sentence) in [
        (
            "workers: many",
            "\"many\" is not what belongs here; write \"auto\", a count, or a list",
        ),
        (
            "workers: []",
            "$.workers: the list is empty; give at least one",
        ),
        (
            "workers: [a]",
            "$.workers[0]: \"a\" is a text, where a whole number belongs",
        ),
        (
            "workers: 1.5",
            "write \"auto\", a count, or a list of core numbers",
        ),
        (
            "timeouts: {idle_ms: \"500\"}",
            "\"500\" is a text, where a whole number belongs; write 500, without quotes",
        ),
        (
            "timeouts: {idle_ms: 5s}",
            "write a whole number, without quotes",
        ),
        (
            "timeouts: {idle_ms: 1.5}",
            "1.5 is no whole number, where a whole number belongs",
        ),
        ("timeouts: {idle_ms: 0}", "0 is too small; the least is 1"),
        ("timeouts: {idle_ms: -1}", "-1 is too small; the least is 1"),
        (
            "timeouts: {idle_ms: 99999999999999999999999}",
            "is too large; the most is 2592000000",
        ),
        (
            "timeouts: 5",
            "5 is a number, where an object belongs; its keys are idle_ms, header_ms",
        ),
        ("timeouts: []", "this is a list, where an object belongs"),
        (
            "http: {merge_slashes: \"yes\"}",
            "write true, without quotes",
        ),
        ("http: {merge_slashes: off}", "write false, without quotes"),
        ("http: {underscores: dorp}", "did you mean \"drop\"?"),
        (
            "http: {underscores: 7}",
            "7 is not one of the known words; write \"drop\", \"forward\"",
        ),
        (
            "admin: {address: localhost}",
            "\"localhost\" is not an IP address; write one such as",
        ),
        (
            "forwarded: {trusted: [10.0.0.1]}",
            "is not a network; write \"10.0.0.1/32\"",
        ),
        (
            "forwarded: {trusted: 10.0.0.0/8}",
            "write a list: [\"10.0.0.0/8\"]",
        ),
        ("access_log: {path: 1}", "write it in quotes: \"1\""),
        (
            "access_log: {path: \"\"}",
            "the text is empty; write something",
        ),
        (
            "admin: {api_key: {enw: A}}",
            "write a text, {env: NAME} or {file: PATH}",
        ),
        ("upstreams: {name: a}", "put a \"-\" before each element"),
        (
            "upstreams: [{name: a}]",
            "the key \"servers\" is missing; add it (who answers)",
        ),
        (
            "upstreams: [a]",
            "\"a\" is a text, where an object belongs; its keys are name, servers",
        ),
        (
            "routes: [{path: /, respond: {body: 5}}]",
            "$.routes[0].respond.body: 5 is a number, where a text belongs",
        ),
        (
            "routes: [{path: /, respond: {headers: {a: }}}]",
            "respond.headers.a: has no value",
        ),
        (
            "routs:",
            "config:2: $.routs: unknown key \"routs\"; did you mean \"routes\"?",
        ),
        (
            "zzz: 1",
            "unknown key \"zzz\"; the keys here are listeners, workers, timeouts",
        ),
        ("a: [", "this is not valid YAML"),
    ] {
        let said = said(section);
        assert!(
            said.contains(sentence),
            "expected {sentence:?} of {section}\nsaid: {said}"
        );
        assert_eq!(said.lines().count(), 1, "of {section}\nsaid: {said}");
    }
}

#[test]
fn a_section_without_a_value_has_its_defaults() {
    let text = format!("{START}timeouts:\nlimits:\n  max_header_bytes:\n");
    let config = read(&text, Format::Yaml, "config").unwrap().config;
    assert_eq!(config.timeouts, Config::default().timeouts);
    assert_eq!(config.limits, Config::default().limits);
}

#[test]
fn an_empty_document_needs_a_listener() {
    assert_eq!(
        serde_json::from_str::<Config>("{}").unwrap(),
        Config::default()
    );
    for (text, format) in [
        ("{}", Format::Json),
        ("", Format::Yaml),
        ("# x\n", Format::Yaml),
    ] {
        let said = faults(text, format).to_string();
        assert!(
            said.contains("add one: listeners: [{address: 127.0.0.1"),
            "{said}"
        );
    }
}

#[test]
fn what_is_no_object_is_no_configuration() {
    for (text, format) in [
        ("[]", Format::Json),
        ("null", Format::Json),
        ("- a\n", Format::Yaml),
    ] {
        let said = faults(text, format).to_string();
        assert!(said.contains("an object belongs"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_file_is_read_by_its_extension() {
    let folder = std::env::temp_dir().join(format!("ringway-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = folder.join(name);
        std::fs::write(&file, bytes).unwrap();
        load(&file)
    };
    let json = br#"{"listeners": [{"port": 80}]}"#;
    assert!(write("a.json", json).is_ok());
    assert!(write("a.yaml", START.as_bytes()).is_ok());
    assert!(write("a.YML", START.as_bytes()).is_ok());
    assert!(write("bom.json", &[b"\xEF\xBB\xBF", json.as_slice()].concat()).is_ok());
    assert!(matches!(write("a.toml", b""), Err(LoadError::Format(_))));
    assert!(matches!(write("a", b""), Err(LoadError::Format(_))));
    assert!(matches!(write("b.json", b"\xFF"), Err(LoadError::Utf8(_))));
    assert!(matches!(
        write("c.json", START.as_bytes()),
        Err(LoadError::Faults(_))
    ));
    assert!(matches!(
        load(&folder.join("none.json")),
        Err(LoadError::Read(..))
    ));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn every_loaded_route_has_an_id() {
    let text = format!("{START}routes:\n  - path: /a\n    respond: {{}}\n");
    let config = read(&text, Format::Yaml, "config").unwrap().config;
    assert_eq!(config.routes[0].id.as_deref(), Some("a"));
}

#[test]
fn the_number_of_faults_is_bounded() {
    let routes = "{\"x\": 1},".repeat(5_000);
    let text = format!("{{\"routes\": [{}]}}", routes.trim_end_matches(','));
    assert_eq!(
        faults(&text, Format::Json).list.len(),
        super::faults::FAULTS_MAX
    );
}
