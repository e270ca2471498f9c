//! The JSON Schema of the configuration, made once from the structs of this room.
//!
//! schemars knows the keys, types and bounds; this file adds what Rust's types say and schemars
//! does not (the range of 32 and 64 bit numbers), and takes out `null`: a key without a value is
//! a key that is not given. The keyword `x-expect` holds, in words, what belongs in a place
//! where several kinds of value do.

use std::net::IpAddr;
use std::sync::OnceLock;

use jsonschema::Validator;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value, json};

use super::config::Config;

/// What belongs in a place, in words.
pub(crate) const EXPECT: &str = "x-expect";

/// The largest whole number that every JSON tool reads exactly (2^53 - 1, RFC 8259 §6).
pub(super) const EXACT_MAX: u64 = 9_007_199_254_740_991;

/// The JSON Schema (draft 2020-12) of the configuration.
#[must_use]
pub fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        SchemaSettings::draft2020_12()
            .with_transform(RecursiveTransform(adjust))
            .into_generator()
            .into_root_schema_for::<Config>()
            .into()
    })
}

/// The validator of [`schema`].
///
/// # Panics
/// Never: the schema is the same in every run, and a test compiles it.
pub(crate) fn validator() -> &'static Validator {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    VALIDATOR.get_or_init(|| {
        jsonschema::options()
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true)
            .with_format("ip", |text: &str| text.parse::<IpAddr>().is_ok())
            .with_format("cidr", |text: &str| text.parse::<ipnet::IpNet>().is_ok())
            .build(schema())
            .unwrap_or_else(|error| unreachable!("the schema is a schema: {error}"))
    })
}

/// The schema at a JSON pointer inside the schema, or the schema that its `$ref` names.
pub(crate) fn at_pointer(pointer: &str) -> Option<&'static Value> {
    schema().pointer(pointer).map(resolve)
}

/// Follows `$ref`.
pub(crate) fn resolve(part: &'static Value) -> &'static Value {
    part.get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| schema().pointer(reference.strip_prefix('#')?))
        .unwrap_or(part)
}

/// The schema of key `key` in an object of schema `part`: known, free (a map) or unknown.
pub(crate) enum Member {
    /// One of the object's keys.
    Known(&'static Value),
    /// The object may have any keys.
    Free,
    /// The object has no such key; those it has.
    Unknown(Vec<&'static str>),
}

/// Looks up `key` in the object of schema `part`.
pub(crate) fn member(part: &'static Value, key: &str) -> Member {
    if let Some(known) = part.get("properties").and_then(|keys| keys.get(key)) {
        return Member::Known(resolve(known));
    }
    if part.get("additionalProperties") == Some(&Value::Bool(false)) {
        return Member::Unknown(keys(part));
    }
    Member::Free
}

/// The keys of an object of schema `part`, in their order.
pub(crate) fn keys(part: &'static Value) -> Vec<&'static str> {
    part.get("properties")
        .and_then(Value::as_object)
        .map(|keys| keys.keys().map(String::as_str).collect())
        .unwrap_or_default()
}

fn adjust(part: &mut Schema) {
    let Some(object) = part.as_object_mut() else {
        return;
    };
    drop_null(object);
    bound_number(object);
}

/// `["string", "null"]` becomes `"string"`; `anyOf: [X, null]` becomes X.
fn drop_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(branches)) = object.get_mut("anyOf") {
        branches.retain(|branch| *branch != json!({"type": "null"}));
        if let [Value::Object(only)] = branches.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            object.extend(only);
        }
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
}

fn bound_number(object: &mut Map<String, Value>) {
    let (minimum, maximum) = match object.get("format").and_then(Value::as_str) {
        Some("int32") => (json!(i32::MIN), json!(i32::MAX)),
        Some("uint32") => (json!(0), json!(u32::MAX)),
        Some("uint64") => (json!(0), json!(EXACT_MAX)),
        _ => return,
    };
    object.entry("minimum").or_insert(minimum);
    object.entry("maximum").or_insert(maximum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_compiles_and_takes_an_empty_document() {
        assert!(validator().is_valid(&json!({})));
    }

    #[test]
    fn no_key_takes_null() {
        let text = schema().to_string();
        assert!(!text.contains("\"null\""), "{text}");
        assert!(!text.contains(":null"), "{text}");
    }

    #[test]
    fn every_number_has_both_bounds() {
        fn walk(part: &Value, seen: &mut usize) {
            if part.get("type").is_some_and(|name| name == "integer") {
                *seen += 1;
                assert!(part.get("minimum").is_some(), "{part}");
                assert!(part.get("maximum").is_some(), "{part}");
            }
            match part {
                Value::Object(object) => object.values().for_each(|part| walk(part, seen)),
                Value::Array(list) => list.iter().for_each(|part| walk(part, seen)),
                _ => {}
            }
        }
        let mut seen = 0;
        walk(schema(), &mut seen);
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn every_key_is_described() {
        fn walk(name: &str, part: &Value) {
            for (key, value) in part
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                assert!(value.get("description").is_some(), "{name}.{key}: {value}");
            }
        }
        walk("$", schema());
        for (name, part) in schema()["$defs"].as_object().unwrap() {
            walk(name, part);
            for branch in part["anyOf"].as_array().into_iter().flatten() {
                walk(name, branch);
            }
        }
    }
}
