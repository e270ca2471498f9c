//! Place: where in an entity a filter, a sort or a projection looks, in one of four syntaxes.
//!
//! `$.a[0].b` is a JSONPath (RFC 9535), `a.b.0` a dotted path, `/a/b/0` a JSON Pointer (RFC 6901),
//! anything else the name of a member at the top. They are tried in this order, so a pointer with
//! a dot in it is read as a dotted path, as Otoroshi reads it.

use serde_json::{Map, Value};
use serde_json_path::JsonPath;

/// The most bytes of a place.
pub(crate) const PLACE_BYTES_MAX: usize = 1_024;
/// Values that one JSONPath may find in one entity.
const FOUND_MAX: usize = 1_000;

/// Where to look.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A member at the top.
    Top(String),
    /// `a.b.0`
    Dotted(Vec<String>),
    /// `/a/b/0`
    Pointer(String),
    /// `$.a[*].b`
    Path(Box<JsonPath>),
}

impl Place {
    /// Reads a place.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a path is missing".to_owned());
        }
        if text.len() > PLACE_BYTES_MAX {
            return Err(format!("a path is longer than {PLACE_BYTES_MAX} bytes"));
        }
        if text.starts_with('$') && text.contains('.') {
            let path = JsonPath::parse(text)
                .map_err(|error| format!("{text} is not a JSONPath (RFC 9535): {error}"))?;
            return Ok(Self::Path(Box::new(path)));
        }
        if text.contains('.') {
            return Ok(Self::Dotted(text.split('.').map(str::to_owned).collect()));
        }
        if text.contains('/') {
            return if text.starts_with('/') {
                Ok(Self::Pointer(text.to_owned()))
            } else {
                Err(format!(
                    "{text} is not a JSON Pointer (RFC 6901); it starts with '/'"
                ))
            };
        }
        Ok(Self::Top(text.to_owned()))
    }

    /// Everything that stands there; only a JSONPath finds more than one.
    pub(crate) fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let one = match self {
            Self::Top(name) => value.get(name),
            Self::Dotted(steps) => steps
                .iter()
                .try_fold(value, |value, step| child(value, step)),
            Self::Pointer(pointer) => value.pointer(pointer),
            Self::Path(path) => return path.query(value).into_iter().take(FOUND_MAX).collect(),
        };
        one.into_iter().collect()
    }

    /// Puts what `from` has there to the same place in `to`, with all the objects above it. The
    /// finds of a JSONPath go where they stood; elements of lists keep their order.
    pub(crate) fn copy(&self, from: &Value, to: &mut Map<String, Value>) {
        match self {
            Self::Top(name) => copy_steps(from, &[name.as_str()], to),
            Self::Dotted(steps) => {
                let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
                copy_steps(from, &steps, to);
            }
            Self::Pointer(pointer) => {
                let steps: Vec<String> = pointer.split('/').skip(1).map(unescape).collect();
                let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
                copy_steps(from, &steps, to);
            }
            Self::Path(path) => {
                let found = path.query_located(from);
                for node in found.into_iter().take(FOUND_MAX) {
                    let pointer = node.location().to_json_pointer();
                    Self::Pointer(pointer).copy(from, to);
                }
            }
        }
    }
}

/// A member of an object, or an element of a list by its number.
fn child<'v>(value: &'v Value, step: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(step),
        Value::Array(elements) => elements.get(step.parse::<usize>().ok()?),
        _ => None,
    }
}

/// `~1` is `/` and `~0` is `~` (RFC 6901 §4).
fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// Lists are copied whole: an element alone would get another number.
fn copy_steps(from: &Value, steps: &[&str], to: &mut Map<String, Value>) {
    let Some((first, rest)) = steps.split_first() else {
        return;
    };
    let Some(present) = from.get(first) else {
        return;
    };
    if rest.is_empty() || present.is_array() {
        let there = rest
            .iter()
            .try_fold(present, |value, step| child(value, step));
        if there.is_some() {
            to.insert((*first).to_owned(), present.clone());
        }
        return;
    }
    if !present.is_object() {
        return;
    }
    let (mut below, had) = match to.shift_remove(*first) {
        Some(Value::Object(below)) => (below, true),
        _ => (Map::new(), false),
    };
    copy_steps(present, rest, &mut below);
    if had || !below.is_empty() {
        to.insert((*first).to_owned(), Value::Object(below));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::convert::delta::tests::any_value;
    use super::*;

    fn entity() -> Value {
        json!({
            "name": "a", "metadata": {"team": "payments"}, "a/b": 1,
            "frontend": {"domains": ["x.io", "y.io"]},
            "backend": {"targets": [{"port": 80}, {"port": 81}]},
        })
    }

    #[test]
    fn each_syntax_finds_its_values() {
        for (place, expected) in [
            ("name", vec![json!("a")]),
            ("metadata.team", vec![json!("payments")]),
            ("/metadata/team", vec![json!("payments")]),
            ("/a~1b", vec![json!(1)]),
            ("$.metadata.team", vec![json!("payments")]),
            ("$.backend.targets[*].port", vec![json!(80), json!(81)]),
            ("backend.targets.1.port", vec![json!(81)]),
            ("frontend.domains.0", vec![json!("x.io")]),
            ("missing", vec![]),
            ("metadata.missing.deeper", vec![]),
            ("/backend/targets/7", vec![]),
            ("$..missing", vec![]),
        ] {
            let entity = entity();
            let found = Place::read(place).unwrap();
            let found: Vec<Value> = found.find(&entity).into_iter().cloned().collect();
            assert_eq!(found, expected, "{place}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for (place, says) in [
            ("", "missing"),
            ("$.[", "RFC 9535"),
            ("a/b", "RFC 6901"),
            (&"x".repeat(PLACE_BYTES_MAX + 1), "longer than"),
        ] {
            let error = Place::read(place).unwrap_err();
            assert!(error.contains(says), "{place}: {error}");
        }
    }

    #[test]
    fn a_projection_keeps_what_is_around() {
        let mut shown = Map::new();
        for place in [
            "name",
            "frontend.domains",
            "$.backend.targets[0].port",
            "/metadata/team",
        ] {
            Place::read(place).unwrap().copy(&entity(), &mut shown);
        }
        Place::read("missing.too")
            .unwrap()
            .copy(&entity(), &mut shown);
        assert_eq!(
            Value::Object(shown),
            json!({
                "name": "a", "frontend": {"domains": ["x.io", "y.io"]},
                "backend": {"targets": [{"port": 80}, {"port": 81}]},
                "metadata": {"team": "payments"},
            })
        );
    }

    proptest! {
        #[test]
        fn what_is_copied_is_found_again(
            value in any_value(),
            place in r"(/|\$\.)?[a-c~0-2]{0,2}([./][a-c0-2]{0,2}){0,3}",
        ) {
            let Ok(place) = Place::read(&place) else { return Ok(()) };
            let mut copy = Map::new();
            place.copy(&value, &mut copy);
            if value.is_object() {
                let copy = Value::Object(copy);
                prop_assert_eq!(place.find(&copy), place.find(&value));
            }
        }
    }
}
