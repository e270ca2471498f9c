//! Condition: what Otoroshi asks of fields, query parameters and cookies, as native conditions.
//!
//! A value is the text itself, or one of a few functions written as text: `Exists()`,
//! `Regex(…)`, `Wildcard(…)`, `Contains(…)`. What asks for absence has no native word.

use serde_json::{Map, Value};

use super::frontend::wildcard;
use crate::model::route::Condition;

/// Reads a map of names and values.
pub(super) fn read(map: Option<&Value>, place: &str) -> Result<Vec<Condition>, String> {
    let members = map.and_then(Value::as_object);
    let each = members.into_iter().flatten().map(|(name, value)| {
        let (value, regex) = match demand(value.as_str().unwrap_or_default(), place, name)? {
            Demand::Exists => (None, None),
            Demand::Is(value) => (Some(value), None),
            Demand::Matches(regex) => (None, Some(regex)),
        };
        Ok(Condition {
            name: name.clone(),
            value,
            regex,
        })
    });
    each.collect()
}

/// Reads a map of cookies: conditions on the field that carries them all.
pub(super) fn read_cookies(map: Option<&Value>) -> Result<Vec<Condition>, String> {
    let members = map.and_then(Value::as_object);
    let each = members.into_iter().flatten().map(|(name, value)| {
        let value = match demand(value.as_str().unwrap_or_default(), "cookies", name)? {
            Demand::Exists => "[^;]*".to_owned(),
            Demand::Is(value) => regex::escape(&value),
            Demand::Matches(regex) => format!("(?:{regex})"),
        };
        let name = regex::escape(name);
        let regex = format!("(?:.*; *)?{name}={value}(?:;.*)?");
        Ok(Condition {
            name: "cookie".to_owned(),
            value: None,
            regex: Some(regex),
        })
    });
    each.collect()
}

/// The map of conditions; of several for one name, the first.
pub(super) fn show(conditions: &[Condition]) -> Value {
    let mut map = Map::new();
    for condition in conditions {
        let shown = match (&condition.value, &condition.regex) {
            (Some(value), _) if !is_function(value) => value.clone(),
            (Some(value), _) => format!("Regex({})", regex::escape(value)),
            (None, Some(regex)) => format!("Regex({regex})"),
            (None, None) => "Exists()".to_owned(),
        };
        map.entry(condition.name.clone())
            .or_insert(Value::String(shown));
    }
    Value::Object(map)
}

enum Demand {
    Exists,
    Is(String),
    Matches(String),
}

fn demand(value: &str, place: &str, name: &str) -> Result<Demand, String> {
    let function = value
        .strip_suffix(')')
        .and_then(|value| value.split_once('('));
    Ok(match function {
        Some(("Exists" | "IsDefined", "")) => Demand::Exists,
        Some(("Regex", regex)) => Demand::Matches(regex.to_owned()),
        Some(("Wildcard", pattern)) => Demand::Matches(wildcard(pattern, ".*")),
        Some(("Contains", text)) => Demand::Matches(format!(".*{}.*", regex::escape(text))),
        Some((name_of_function, _)) if is_function(value) => {
            return Err(format!(
                "/frontend/{place}/{name}: {name_of_function}() is not supported; use a value, \
                 Exists(), Regex(…), Wildcard(…) or Contains(…)"
            ));
        }
        _ => Demand::Is(value.to_owned()),
    })
}

/// Whether a value would be read as a function.
fn is_function(value: &str) -> bool {
    value
        .strip_suffix(')')
        .and_then(|value| value.split_once('('))
        .is_some_and(|(name, _)| {
            name.starts_with(|first: char| first.is_ascii_uppercase())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_and_functions_are_read_and_shown() {
        for (shown, value, regex) in [
            ("a", Some("a"), None),
            ("f(x)", Some("f(x)"), None),
            ("Exists()", None, None),
            ("Regex(a|b)", None, Some("a|b")),
        ] {
            let map = json!({"x-a": shown});
            let read = read(Some(&map), "headers").unwrap();
            assert_eq!(read[0].value.as_deref(), value, "{shown}");
            assert_eq!(read[0].regex.as_deref(), regex, "{shown}");
            assert_eq!(show(&read), map, "{shown}");
        }
        let error = read(Some(&json!({"x-a": "NotDefined()"})), "headers").unwrap_err();
        assert!(
            error.contains("/frontend/headers/x-a: NotDefined()"),
            "{error}"
        );
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let read = read_cookies(Some(&json!({"a": "1"}))).unwrap();
        let regex = format!("^(?:{})$", read[0].regex.as_deref().unwrap());
        let regex = regex::Regex::new(&regex).unwrap();
        for (cookie, expected) in [
            ("a=1", true),
            ("b=2; a=1; c=3", true),
            ("a=12", false),
            ("ba=1", false),
            ("", false),
        ] {
            assert_eq!(regex.is_match(cookie), expected, "{cookie}");
        }
    }
}
