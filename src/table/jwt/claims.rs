//! Claims: what an accepted token says, and what is asked of it.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::model::route::Condition as Declared;
use crate::table::condition::Condition;
use crate::table::error::CompileError;

/// What an accepted token says.
#[derive(Clone, Debug)]
pub struct Claims(pub(super) Map<String, Value>);

/// What a claim must be.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    condition: Condition,
    /// Whether it is a list of words (RFC 8693 §4.2).
    words: bool,
}

impl Claims {
    /// The claim of this name as text; `a.b` is `b` in the object `a`. Lists are joined by commas.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.find(name)? {
            Value::Array(list) => {
                let each: Vec<_> = list.iter().filter_map(plain).collect();
                Some(Cow::Owned(each.join(",")))
            }
            one => plain(one),
        }
    }

    /// Whether the claim of this name is there and has a value that `accept` accepts: the text of
    /// it, of an element where it is a list, or a word where it is a list of words (RFC 8693 §4.2).
    pub(in crate::table) fn any(&self, name: &str, accept: &dyn Fn(&str) -> bool) -> bool {
        let words = matches!(name, "scope" | "scp");
        let accepts = |value: &Value| {
            plain(value).is_some_and(|text| {
                accept(&text) || words && text.split_ascii_whitespace().any(accept)
            })
        };
        match self.find(name) {
            Some(Value::Array(list)) => list.iter().any(accepts),
            Some(one) => accepts(one),
            None => false,
        }
    }

    /// Whether the claim of this name is there.
    pub(in crate::table) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A claim may have a dot in its name: the whole name goes first.
    fn find(&self, name: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(name) {
            return Some(value);
        }
        let mut parts = name.split('.');
        let mut value = self.0.get(parts.next()?)?;
        for part in parts {
            value = value.get(part)?;
        }
        Some(value)
    }
}

fn plain(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(_) | Value::Number(_) => Some(Cow::Owned(value.to_string())),
        _ => None,
    }
}

impl Rule {
    pub(super) fn of(id: &str, declared: &Declared) -> Result<Self, CompileError> {
        Ok(Self {
            condition: Condition::compile(id, declared, declared.name.clone())?,
            words: matches!(declared.name.as_str(), "scope" | "scp"),
        })
    }

    /// Whether the claims have it.
    pub(super) fn holds(&self, claims: &Claims) -> bool {
        let accepts = |value: &Value| {
            plain(value).is_some_and(|text| {
                self.condition.accepts(text.as_bytes())
                    || self.words
                        && text
                            .split_ascii_whitespace()
                            .any(|word| self.condition.accepts(word.as_bytes()))
            })
        };
        match claims.find(self.condition.name()) {
            None => false,
            Some(Value::Array(list)) => list.iter().any(accepts),
            Some(Value::Object(_)) => self.condition.is_presence(),
            Some(one) => accepts(one),
        }
    }
}
