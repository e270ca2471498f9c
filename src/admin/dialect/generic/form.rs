//! Form: what an entity of a kind looks like. One JSON Schema per kind says which members there
//! are, of which types, and what they are when nobody writes them; it checks what comes, fills in
//! what is missing, and is shown as it is.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::model;

/// Sentences about one entity.
const FAULTS_MAX: usize = 20;

/// What an entity of a kind looks like.
#[derive(Debug)]
pub(crate) struct Form {
    schema: Value,
    validator: Option<Validator>,
}

impl Form {
    fn of(schema: Value) -> Self {
        let validator = jsonschema::options().build(&schema).ok();
        Self { schema, validator }
    }

    /// The JSON Schema (draft 2020-12).
    pub(crate) fn schema(&self) -> &Value {
        &self.schema
    }

    /// Writes out what nobody wrote, and makes texts of what stands where only texts may.
    pub(crate) fn fill(&self, entity: &mut Value) {
        fill(&self.schema, entity);
    }

    /// An entity of defaults alone.
    pub(crate) fn defaults(&self) -> Value {
        let mut entity = Value::Object(Map::new());
        self.fill(&mut entity);
        entity
    }

    /// Checks an entity.
    ///
    /// # Errors
    /// What is wrong, each with its place.
    pub(crate) fn check(&self, entity: &Value) -> Result<(), Vec<String>> {
        let Some(validator) = &self.validator else {
            return Ok(());
        };
        if validator.is_valid(entity) {
            return Ok(());
        }
        let sentence = |error: jsonschema::ValidationError<'_>| {
            let place = error.instance_path().to_string();
            if place.is_empty() {
                error.to_string()
            } else {
                format!("{place}: {error}")
            }
        };
        Err(validator
            .iter_errors(entity)
            .take(FAULTS_MAX)
            .map(sentence)
            .collect())
    }
}

macro_rules! forms {
    ($($name:ident: $file:literal;)*) => {
        $(pub(crate) fn $name() -> Form { Form::of(spliced(include_str!($file))) })*
    };
}

forms! {
    apikey: "forms/apikey.json";
    backend: "forms/backend.json";
    certificate: "forms/certificate.json";
    error_template: "forms/error_template.json";
    global_config: "forms/global_config.json";
    jwt_verifier: "forms/jwt_verifier.json";
    route: "forms/route.json";
    service_group: "forms/service_group.json";
}

/// The form of a kind that is kept as it is written, named by `id_key`.
pub(crate) fn document(id_key: &str) -> Form {
    let mut schema = spliced(include_str!("forms/document.json"));
    schema["required"] = json!([id_key]);
    schema["properties"][id_key] =
        json!({"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[^/]+$"});
    Form::of(schema)
}

/// The form of a native entity: the model's own schema of it. The model checks it.
pub(crate) fn native(name: &str) -> Form {
    let whole = model::schema();
    let mut schema = whole["$defs"][name].clone();
    schema["$defs"] = whole["$defs"].clone();
    Form {
        schema,
        validator: None,
    }
}

/// What several forms have in common.
static COMMON: LazyLock<Value> = LazyLock::new(|| {
    let mut common = parsed(include_str!("forms/common.json"));
    for (name, text) in [
        ("target", include_str!("forms/target.json")),
        ("servers", include_str!("forms/servers.json")),
    ] {
        common[name] = splice(parsed(text), &common);
    }
    common
});

fn spliced(text: &str) -> Value {
    splice(parsed(text), &COMMON)
}

/// The texts are part of the program, and a test reads them all.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Puts the common parts where `{"$splice": name}` stands.
fn splice(value: Value, common: &Value) -> Value {
    match value {
        Value::Object(members) => match members.get("$splice").and_then(Value::as_str) {
            Some(name) => common[name].clone(),
            None => {
                let each = members
                    .into_iter()
                    .map(|(key, member)| (key, splice(member, common)));
                Value::Object(each.collect())
            }
        },
        Value::Array(elements) => elements
            .into_iter()
            .map(|element| splice(element, common))
            .collect(),
        other => other,
    }
}

fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = schema.get("properties") {
                fill_members(properties, members);
            }
            let additional = schema.get("additionalProperties");
            if additional.is_some_and(|schema| is_of_type(schema, "string")) {
                members.values_mut().for_each(to_text);
            }
        }
        Value::Array(elements) => {
            if let Some(items) = schema.get("items") {
                elements.iter_mut().for_each(|element| fill(items, element));
            }
        }
        _ => {}
    }
}

fn fill_members(properties: &Map<String, Value>, members: &mut Map<String, Value>) {
    for (key, schema) in properties {
        let is_object = schema.get("properties").is_some() && is_of_type(schema, "object");
        if let Some(present) = members.get_mut(key) {
            // Nothing is as good as not written, where nothing is not a value of its own.
            let default = schema.get("default");
            if present.is_null() && default.is_some_and(|default| !default.is_null()) {
                present.clone_from(default.unwrap_or(&Value::Null));
            } else if present.is_null() && is_object {
                *present = Value::Object(Map::new());
            }
            fill(schema, present);
        } else if let Some(default) = schema.get("default") {
            members.insert(key.clone(), default.clone());
        } else if is_object && key != "ringway" {
            let mut made = Value::Object(Map::new());
            fill(schema, &mut made);
            members.insert(key.clone(), made);
        }
    }
}

fn is_of_type(schema: &Value, name: &str) -> bool {
    schema.get("type").and_then(Value::as_str) == Some(name)
}

/// Where every member is a text, a number or a boolean was meant as one.
fn to_text(member: &mut Value) {
    if matches!(member, Value::Number(_) | Value::Bool(_)) {
        *member = Value::String(member.to_string());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::convert::delta::tests::any_value;
    use super::*;

    fn each() -> Vec<(&'static str, Form)> {
        vec![
            ("apikey", apikey()),
            ("backend", backend()),
            ("certificate", certificate()),
            ("document", document("id")),
            ("error_template", error_template()),
            ("global_config", global_config()),
            ("jwt_verifier", jwt_verifier()),
            ("route", route()),
            ("service_group", service_group()),
        ]
    }

    #[test]
    fn every_form_is_a_schema_whose_defaults_it_allows() {
        for (name, form) in each() {
            assert!(form.validator.is_some(), "{name}");
            assert!(!form.schema.to_string().contains("$splice"), "{name}");
            let Err(faults) = form.check(&form.defaults()) else {
                continue;
            };
            assert!(
                faults.iter().all(|fault| fault.contains("required")),
                "{name}: {faults:?}"
            );
        }
        for name in ["Route", "Upstream"] {
            assert_eq!(native(name).schema["type"], "object", "{name}");
        }
    }

    #[test]
    fn a_route_is_filled_and_checked() {
        let form = route();
        let mut entity = json!({
            "id": "r", "name": "r", "metadata": {"n": 1, "b": true}, "frontend": {"methods": null},
            "backend": {"targets": [{"hostname": "h", "port": 80}]}, "own": 7,
        });
        form.fill(&mut entity);
        assert_eq!(form.check(&entity), Ok(()));
        assert_eq!(entity["enabled"], true);
        assert_eq!(entity["own"], 7);
        assert_eq!(entity["metadata"], json!({"n": "1", "b": "true"}));
        assert_eq!(entity["frontend"]["methods"], json!([]));
        assert_eq!(
            entity["backend"]["targets"][0]["tls_config"]["loose"],
            false
        );
        assert_eq!(
            entity["backend"]["client"]["cache_connection_settings"]["queue_size"],
            2048
        );
        entity["enabled"] = json!("yes");
        let faults = form.check(&entity).unwrap_err();
        assert!(faults[0].starts_with("/enabled: "), "{faults:?}");
    }

    proptest! {
        #[test]
        fn filling_twice_is_filling_once(value in any_value()) {
            let form = route();
            let mut once = json!({"frontend": value, "backend": value, "metadata": value});
            form.fill(&mut once);
            let mut twice = once.clone();
            form.fill(&mut twice);
            prop_assert_eq!(once, twice);
        }
    }
}
