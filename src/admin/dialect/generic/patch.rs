//! Patch: changes to a document in the four forms that a client may write them in.
//!
//! JSON Patch (RFC 6902), merge patch (RFC 7396), and Otoroshi's own: a list of `{path, value}`
//! with dotted paths, or the same as a form. Texts of the latter two become what they look like:
//! `"false"` a boolean, `"3"` a number, `"{…}"` an object.

use serde_json::{Map, Number, Value};

use super::super::super::request::decode;

/// Operations of one patch.
pub(crate) const OPERATIONS_MAX: usize = 1_000;
/// Steps of a dotted path.
const STEPS_MAX: usize = 64;
/// Values in a patched document; copying grows one with every operation.
const VALUES_MAX: usize = 100_000;
/// Levels of a patched document.
const DEPTH_MAX: usize = 128;

/// A patch, read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Patch {
    /// RFC 6902.
    Operations(Vec<json_patch::PatchOperation>),
    /// RFC 7396.
    Merge(Value),
    /// Dotted paths, each with what belongs there.
    Places(Vec<(String, Value)>),
}

impl Patch {
    /// Reads a JSON Patch.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub(crate) fn operations(value: Value) -> Result<Self, String> {
        if !value.is_array() {
            return Err("a JSON Patch (RFC 6902) is a list of operations".to_owned());
        }
        let patch: json_patch::Patch = serde_json::from_value(value)
            .map_err(|error| format!("this is not a JSON Patch (RFC 6902): {error}"))?;
        bounded(patch.0.len())?;
        Ok(Self::Operations(patch.0))
    }

    /// Reads an oto-patch.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub(crate) fn places(value: Value) -> Result<Self, String> {
        let Value::Array(parts) = value else {
            return Err("an oto-patch is a list of {path, value}".to_owned());
        };
        bounded(parts.len())?;
        let each = parts.into_iter().map(|part| {
            let path = part.get("path").and_then(Value::as_str);
            let path = path
                .ok_or("each part of an oto-patch has a path, a text")?
                .to_owned();
            let value = part.get("value").cloned().unwrap_or_default();
            Ok((path, coerce(value)?))
        });
        each.collect::<Result<_, String>>().map(Self::Places)
    }

    /// Reads a form: `a.b=c&d=e`; of a path that is given twice, the last.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub(crate) fn form(text: &str) -> Result<Self, String> {
        let pairs: Vec<&str> = text
            .trim()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .collect();
        bounded(pairs.len())?;
        let each = pairs.into_iter().map(|pair| {
            let (path, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |text: &str| {
                decode(&text.replace('+', " "))
                    .ok_or_else(|| format!("{text} has a broken percent escape, or no UTF-8"))
            };
            Ok((plain(path)?, coerce(Value::String(plain(value)?))?))
        });
        each.collect::<Result<_, String>>().map(Self::Places)
    }

    /// Changes `document`. If it cannot, what is left of `document` is not to be used.
    ///
    /// # Errors
    /// The operation that failed, and why.
    pub(crate) fn apply(&self, document: &mut Value) -> Result<(), String> {
        match self {
            Self::Operations(operations) => {
                for (index, operation) in operations.iter().enumerate() {
                    json_patch::patch(document, std::slice::from_ref(operation)).map_err(
                        |error| format!("operation {index} of the patch failed: {error}"),
                    )?;
                    check_size(document)?;
                }
            }
            Self::Merge(patch) => json_patch::merge(document, patch),
            Self::Places(places) => {
                for (path, value) in places {
                    put(document, path, value.clone())?;
                }
            }
        }
        check_size(document)
    }
}

fn bounded(count: usize) -> Result<(), String> {
    if count > OPERATIONS_MAX {
        return Err(format!(
            "the patch has more than {OPERATIONS_MAX} operations"
        ));
    }
    Ok(())
}

fn check_size(document: &Value) -> Result<(), String> {
    let mut left = VALUES_MAX;
    if fits(document, DEPTH_MAX, &mut left) {
        Ok(())
    } else {
        Err(format!(
            "the patched document has more than {VALUES_MAX} values or {DEPTH_MAX} levels"
        ))
    }
}

fn fits(value: &Value, depth: usize, left: &mut usize) -> bool {
    let (Some(less), Some(depth)) = (left.checked_sub(1), depth.checked_sub(1)) else {
        return false;
    };
    *left = less;
    match value {
        Value::Array(elements) => elements.iter().all(|element| fits(element, depth, left)),
        Value::Object(members) => members.values().all(|member| fits(member, depth, left)),
        _ => true,
    }
}

/// Puts `value` where `path` says; objects on the way are made. A number in the path is the place
/// in a list, and one past its end adds to it.
fn put(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let steps: Vec<&str> = path.split('.').collect();
    if steps.len() > STEPS_MAX {
        return Err(format!(
            "a path of the patch has more than {STEPS_MAX} steps"
        ));
    }
    let mut place = document;
    for step in steps {
        if place.is_array() && step.parse::<usize>().is_err() {
            return Err(format!(
                "{path}: {step} is not the number of an element of a list"
            ));
        }
        place = match place {
            Value::Array(elements) => {
                let index = step
                    .parse::<usize>()
                    .unwrap_or(usize::MAX)
                    .min(elements.len());
                if index == elements.len() {
                    elements.push(Value::Null);
                }
                elements.get_mut(index).ok_or("the list ended")?
            }
            Value::Object(members) => members.entry(step).or_insert(Value::Null),
            other => {
                *other = Value::Object(Map::new());
                match other {
                    Value::Object(members) => members.entry(step).or_insert(Value::Null),
                    _ => return Err(format!("{path}: there is no such place")),
                }
            }
        };
    }
    *place = value;
    Ok(())
}

/// A text as what it looks like; anything else as it is.
fn coerce(value: Value) -> Result<Value, String> {
    let Value::String(text) = value else {
        return Ok(value);
    };
    let trimmed = text.trim();
    let is_between = |open, close| trimmed.starts_with(open) && trimmed.ends_with(close);
    Ok(match trimmed {
        "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if is_between('{', '}') || is_between('[', ']') => serde_json::from_str(trimmed)
            .map_err(|error| format!("{trimmed:?} looks like JSON and is not: {error}"))?,
        _ => number(trimmed).map_or(Value::String(text), Value::Number),
    })
}

/// What Otoroshi takes for a number: JSON's, and `0x1F`, `+3`, and the suffixes of Java.
fn number(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    if let Some(hexadecimal) = hexadecimal {
        let plain = hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit());
        let magnitude = i64::from_str_radix(hexadecimal, 16)
            .ok()
            .filter(|_| plain)?;
        return Some(if negative { -magnitude } else { magnitude }.into());
    }
    let whole = digits.strip_suffix(['l', 'L']).unwrap_or(digits);
    if whole.bytes().all(|byte| byte.is_ascii_digit()) {
        // A telephone number or a code with a zero in front is a text.
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        return match (negative, whole.parse::<u64>().ok()?) {
            (false, magnitude) => Some(magnitude.into()),
            (true, magnitude) => i64::try_from(magnitude).ok().map(|whole| (-whole).into()),
        };
    }
    let fraction = digits.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(digits);
    let has_digit = fraction.bytes().any(|byte| byte.is_ascii_digit());
    let magnitude: f64 = fraction.parse().ok().filter(|_| has_digit)?;
    Number::from_f64(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::convert::delta::tests::any_value;
    use super::*;

    fn applied(patch: Result<Patch, String>, mut document: Value) -> Result<Value, String> {
        patch?.apply(&mut document)?;
        Ok(document)
    }

    #[test]
    fn texts_become_what_they_look_like() {
        for (text, value) in [
            ("null", json!(null)),
            ("true", json!(true)),
            ("false", json!(false)),
            ("{\"a\":1}", json!({"a": 1})),
            ("[1]", json!([1])),
            ("3", json!(3)),
            ("-3", json!(-3)),
            ("+3", json!(3)),
            ("5L", json!(5)),
            ("0x1F", json!(31)),
            ("1.5", json!(1.5)),
            ("1e3", json!(1000.0)),
            ("1.5f", json!(1.5)),
            ("007", json!("007")),
            ("10.0.0.1", json!("10.0.0.1")),
            ("1d2", json!("1d2")),
            ("-", json!("-")),
            ("", json!("")),
            ("inf", json!("inf")),
            ("NaN", json!("NaN")),
            ("team-payments", json!("team-payments")),
            ("{a}", Value::Null),
        ] {
            let coerced = coerce(json!(text));
            if text == "{a}" {
                assert!(coerced.is_err());
            } else {
                assert_eq!(coerced, Ok(value), "{text}");
            }
        }
        assert_eq!(coerce(json!(7)), Ok(json!(7)));
    }

    #[test]
    fn dotted_paths_reach_and_make_what_is_missing() {
        let document = json!({"enabled": true, "l": [{"p": 1}], "t": "x"});
        for (path, value, expected) in [
            (
                "enabled",
                "false",
                json!({"enabled": false, "l": [{"p": 1}], "t": "x"}),
            ),
            (
                "m.a.b",
                "x",
                json!({"enabled": true, "l": [{"p": 1}], "t": "x", "m": {"a": {"b": "x"}}}),
            ),
            (
                "l.0.p",
                "2",
                json!({"enabled": true, "l": [{"p": 2}], "t": "x"}),
            ),
            (
                "l.9",
                "2",
                json!({"enabled": true, "l": [{"p": 1}, 2], "t": "x"}),
            ),
            (
                "t.deep",
                "1",
                json!({"enabled": true, "l": [{"p": 1}], "t": {"deep": 1}}),
            ),
        ] {
            let patch = Patch::places(json!([{"path": path, "value": value}]));
            assert_eq!(
                applied(patch, document.clone()),
                Ok(expected.clone()),
                "{path}"
            );
            let form = Patch::form(&format!("{path}={value}"));
            assert_eq!(applied(form, document.clone()), Ok(expected), "{path}");
        }
        assert!(applied(Patch::form("l.x=1"), document).is_err());
    }

    #[test]
    fn a_form_is_decoded() {
        let patch = Patch::form("metadata.owner=team+a%26b&enabled=true&enabled=false").unwrap();
        let expected = json!({"metadata": {"owner": "team a&b"}, "enabled": false});
        assert_eq!(applied(Ok(patch), json!({})), Ok(expected));
        assert!(Patch::form("a=%zz").is_err());
    }

    #[test]
    fn a_json_patch_that_fails_says_which_operation() {
        let patch = |value| applied(Patch::operations(value), json!({"a": 1}));
        assert_eq!(
            patch(json!([{"op": "test", "path": "/a", "value": 1},
                         {"op": "replace", "path": "/a", "value": 2}])),
            Ok(json!({"a": 2}))
        );
        for (operations, says) in [
            (
                json!([{"op": "test", "path": "/a", "value": 2}]),
                "operation 0",
            ),
            (json!([{"op": "remove", "path": "/b"}]), "operation 0"),
            (json!([{"op": "explode", "path": "/a"}]), "RFC 6902"),
            (json!({"op": "add"}), "list of operations"),
        ] {
            let error = patch(operations).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn copying_cannot_grow_a_document_without_end() {
        let copy = json!({"op": "copy", "from": "/a", "path": "/a/-"});
        let patch = Patch::operations(json!(vec![copy; 60])).unwrap();
        let mut document = json!({"a": [1, 2]});
        assert!(patch.apply(&mut document).unwrap_err().contains("values"));
    }

    proptest! {
        #[test]
        fn no_patch_makes_it_panic(mut document in any_value(), patch in any_value(),
                                   path in "[a-c0-2.]{0,6}", form in ".{0,20}") {
            let places = Patch::places(json!([{"path": path, "value": patch}]));
            for patch in [places, Patch::form(&form), Patch::operations(patch)] {
                let _ = patch.map(|patch| patch.apply(&mut document));
            }
        }
    }
}
