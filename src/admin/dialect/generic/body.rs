//! Body: what a client sends, as an entity or as a patch, whatever it is written in.

use serde_json::{Map, Value};

use super::armour;
use super::catalogue::{Resource, View};
use super::fault::Fault;
use super::media::BodyType;
use super::patch::Patch;
use crate::model;

/// What a body says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// A whole entity.
    Entity(Value),
    /// A change of one.
    Patch(Patch),
}

/// Reads the body of a write; with `patches`, JSON is a JSON Patch, or a merge patch if it is an
/// object.
pub(crate) fn read(field: Option<&str>, body: &[u8], patches: bool) -> Result<Content, Fault> {
    let kind = BodyType::read(field.unwrap_or_default()).ok_or_else(Fault::bad_content_type)?;
    let text = std::str::from_utf8(body)
        .map_err(|_| Fault::bad_request("the body is not UTF-8"))?
        .trim_start_matches('\u{feff}');
    let patch =
        |patch: Result<Patch, String>| patch.map(Content::Patch).map_err(Fault::bad_request);
    match kind {
        BodyType::Ndjson => Err(Fault::bad_content_type()),
        BodyType::Form => patch(Patch::form(text)),
        BodyType::OtoPatch => patch(Patch::places(json(text)?)),
        BodyType::JsonPatch => patch(Patch::operations(json(text)?)),
        BodyType::MergePatch => Ok(Content::Patch(Patch::Merge(object(json(text)?)?))),
        BodyType::Json if patches => match json(text)? {
            Value::Object(merge) => Ok(Content::Patch(Patch::Merge(Value::Object(merge)))),
            other => patch(Patch::operations(other)),
        },
        BodyType::Json => Ok(Content::Entity(armour::take_off(object(json(text)?)?))),
        BodyType::Yaml => {
            let document = model::parse_yaml(text).map_err(|faults| {
                Fault::bad_request(format!("error while parsing yaml: {faults}"))
            })?;
            let entity = armour::take_off(object(document)?);
            Ok(if patches {
                Content::Patch(Patch::Merge(entity))
            } else {
                Content::Entity(entity)
            })
        }
    }
}

/// Reads an entity from a line.
pub(crate) fn entity(line: &[u8]) -> Result<Value, Fault> {
    let value = serde_json::from_slice(line)
        .map_err(|error| Fault::bad_request(format!("this is not valid JSON: {error}")))?;
    object(value)
}

/// Brings an entity into the form of its kind: shortcuts are written out, the `kind` that answers
/// have is taken off, as are the times that the server sets; then what is missing is filled in.
pub(crate) fn normalise(resource: &Resource, entity: &mut Value) {
    let Value::Object(members) = entity else {
        return;
    };
    members.shift_remove("kind");
    if let Some(Value::Object(metadata)) = members.get_mut("metadata") {
        metadata.shift_remove("created_at");
        metadata.shift_remove("updated_at");
    }
    if matches!(resource.view, View::Route) {
        shorten_domain(members);
    }
    if matches!(resource.view, View::Route | View::Backend) {
        write_out_target(members);
    }
    if !resource.is_native() {
        resource.form.fill(entity);
    }
}

/// `frontend.domain` is `frontend.domains` with one.
fn shorten_domain(members: &mut Map<String, Value>) {
    if let Some(Value::Object(frontend)) = members.get_mut("frontend")
        && let Some(domain) = frontend.shift_remove("domain")
    {
        frontend
            .entry("domains")
            .or_insert_with(|| Value::Array(vec![domain]));
    }
}

/// `backend.url`, `target` or `target_url` is a backend with one target and a root.
fn write_out_target(members: &mut Map<String, Value>) {
    let Some(Value::Object(backend)) = members.get_mut("backend") else {
        return;
    };
    let mut given = None;
    for key in ["url", "target", "target_url"] {
        if backend.get(key).is_some_and(Value::is_string) {
            given = given.or_else(|| backend.shift_remove(key));
        }
    }
    let Some(Value::String(url)) = given else {
        return;
    };
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", &url));
    let (authority, root) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let tls = scheme == "https";
    let default = if tls { 443 } else { 80 };
    let (hostname, port) = match authority.rsplit_once(':') {
        Some((hostname, port)) => (hostname, port.parse().unwrap_or(default)),
        None => (authority, default),
    };
    let target = serde_json::json!({"hostname": hostname, "port": port, "tls": tls});
    backend
        .entry("targets")
        .or_insert_with(|| Value::Array(vec![target]));
    backend
        .entry("root")
        .or_insert_with(|| Value::String(root.to_owned()));
}

fn json(text: &str) -> Result<Value, Fault> {
    if text.trim().is_empty() {
        return Err(Fault::bad_request("the body is empty"));
    }
    serde_json::from_str(text)
        .map_err(|error| Fault::bad_request(format!("this is not valid JSON: {error}")))
}

fn object(value: Value) -> Result<Value, Fault> {
    if value.is_object() {
        Ok(value)
    } else {
        Err(Fault::bad_request("an entity is an object"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::catalogue;
    use super::*;

    fn entity_of(field: &str, body: &str) -> Value {
        match read(Some(field), body.as_bytes(), false).unwrap() {
            Content::Entity(entity) => entity,
            Content::Patch(_) => panic!("an entity"),
        }
    }

    #[test]
    fn an_entity_may_be_json_yaml_or_armoured() {
        let expected = json!({"id": "r", "name": "n"});
        for (field, body) in [
            ("application/json", r#"{"id":"r","name":"n"}"#),
            ("application/yaml", "id: r\nname: n\n"),
            (
                "application/yaml; charset=utf-8",
                r#"{"id":"r","name":"n"}"#,
            ),
            (
                "application/yaml",
                "apiVersion: v\nkind: Route\nmetadata:\n  name: n\nspec:\n  id: r\n",
            ),
        ] {
            assert_eq!(entity_of(field, body), expected, "{body}");
        }
        for (field, body, error) in [
            ("text/plain", "{}", "bad_content_type"),
            ("application/x-ndjson", "{}", "bad_content_type"),
            ("application/json", "[]", "bad_request"),
            ("application/json", "", "bad_request"),
            ("application/yaml", "a: [", "bad_request"),
        ] {
            let fault = read(Some(field), body.as_bytes(), false).unwrap_err();
            assert_eq!((fault.status, fault.error), (400, error), "{field} {body}");
        }
        assert_eq!(
            read(None, b"{}", false).unwrap_err().error,
            "bad_content_type"
        );
    }

    #[test]
    fn shortcuts_are_written_out() {
        let resource = catalogue::find("any", "any", "routes").unwrap();
        let mut entity = json!({
            "id": "r", "name": "n", "kind": "x", "frontend": {"domain": "a.io"},
            "metadata": {"created_at": "x", "a": "b"},
            "backend": {"target_url": "http://h:81/api"},
        });
        normalise(resource, &mut entity);
        assert_eq!(entity.get("kind"), None);
        assert_eq!(entity["metadata"], json!({"a": "b"}));
        assert_eq!(entity["frontend"]["domains"], json!(["a.io"]));
        assert_eq!(entity["backend"]["root"], "/api");
        assert_eq!(entity["backend"]["targets"][0]["hostname"], "h");
        assert_eq!(entity["backend"]["targets"][0]["port"], 81);
        assert_eq!(resource.form.check(&entity), Ok(()));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(
            field in "(application/(json|yaml|json\\+oto-patch|x-www-form-urlencoded|merge-patch\\+json))",
            body in ".{0,60}", patches in any::<bool>(),
        ) {
            if let Ok(Content::Entity(mut entity)) = read(Some(&field), body.as_bytes(), patches) {
                for resource in catalogue::all().iter().take(2) {
                    normalise(resource, &mut entity);
                }
            }
        }
    }
}
