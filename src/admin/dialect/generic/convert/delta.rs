//! Delta: what one JSON value has otherwise than another.
//!
//! A delta remembers both sides, so that it is laid only over what it was made for: where the
//! base has changed since, the change stays and that part of the delta falls away. The form is
//! that of jsondiffpatch: `[new]` is an addition, `[old, new]` a replacement, `[old, 0, 0]` a
//! removal, an object a delta of the members, with `"_t": "a"` of the elements of a list. Members
//! are in the order of their names, so that one difference is one text.

use serde_json::{Map, Value, json};

/// The member that marks the delta of a list.
const LIST: &str = "_t";

/// What makes `to` of `from`; none if they are equal.
pub(crate) fn between(from: &Value, to: &Value) -> Option<Value> {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) if !has_mark(from) && !has_mark(to) => {
            members(from, to)
        }
        (Value::Array(from), Value::Array(to)) if from.len() == to.len() => {
            let each = from.iter().zip(to).enumerate();
            let each = each
                .filter_map(|(index, (from, to))| Some((index.to_string(), between(from, to)?)));
            let mut delta: Map<String, Value> = each.collect();
            (!delta.is_empty()).then(|| {
                delta.insert(LIST.to_owned(), json!("a"));
                delta.sort_keys();
                Value::Object(delta)
            })
        }
        _ if from == to => None,
        _ => Some(json!([from, to])),
    }
}

/// Lays `delta` over `value`, where `value` is still what the delta was made for.
pub(crate) fn lay(delta: &Value, value: &mut Value) {
    match delta {
        Value::Array(steps) => {
            if let [old, new] = steps.as_slice()
                && value == old
            {
                value.clone_from(new);
            }
        }
        Value::Object(parts) => match value {
            Value::Object(members) if !parts.contains_key(LIST) => lay_members(parts, members),
            Value::Array(elements) if parts.contains_key(LIST) => {
                for (index, part) in parts {
                    let index = index.parse::<usize>().ok();
                    if let Some(element) = index.and_then(|index| elements.get_mut(index)) {
                        lay(part, element);
                    }
                }
            }
            _ => {}
        },
        _ => {}
    }
}

/// An object that could be taken for the delta of a list is replaced whole.
fn has_mark(object: &Map<String, Value>) -> bool {
    object.contains_key(LIST)
}

fn members(from: &Map<String, Value>, to: &Map<String, Value>) -> Option<Value> {
    let mut delta = Map::new();
    for (key, new) in to {
        let part = match from.get(key) {
            Some(old) => between(old, new),
            None => Some(json!([new])),
        };
        delta.extend(part.map(|part| (key.clone(), part)));
    }
    for (key, old) in from.iter().filter(|(key, _)| !to.contains_key(*key)) {
        delta.insert(key.clone(), json!([old, 0, 0]));
    }
    delta.sort_keys();
    (!delta.is_empty()).then_some(Value::Object(delta))
}

fn lay_members(parts: &Map<String, Value>, members: &mut Map<String, Value>) {
    for (key, part) in parts {
        match (part.as_array().map(Vec::as_slice), members.get_mut(key)) {
            (Some([new]), None) => {
                members.insert(key.clone(), new.clone());
            }
            (Some([old, _, _]), Some(present)) if present == old => {
                members.shift_remove(key);
            }
            (_, Some(present)) => lay(part, present),
            (_, None) => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any JSON value of modest size.
    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-3i64..4).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("(_t|[a-c]{1,2})", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_delta_makes_the_one_of_the_other(from in any_value(), to in any_value()) {
            let mut value = from.clone();
            if let Some(delta) = between(&from, &to) {
                lay(&delta, &mut value);
            }
            prop_assert_eq!(value, to);
        }

        #[test]
        fn a_delta_over_something_else_never_panics(
            from in any_value(), to in any_value(), delta in any_value(), mut other in any_value(),
        ) {
            lay(&delta, &mut other);
            if let Some(delta) = between(&from, &to) {
                lay(&delta, &mut other);
            }
        }
    }

    #[test]
    fn what_has_changed_since_stays_changed() {
        let delta = between(&json!({"a": 1, "b": 2}), &json!({"a": 10, "c": 3})).unwrap();
        let mut value = json!({"a": 5, "b": 2});
        lay(&delta, &mut value);
        assert_eq!(value, json!({"a": 5, "c": 3}));
    }
}
