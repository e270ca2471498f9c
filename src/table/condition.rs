//! What a route asks of a request beside host and path: method, fields, query parameters.
//!
//! Methods are compared exactly: `GET` does not stand for `HEAD`. A field condition holds when one
//! field line of that name has an accepted value. Query parameters are split at `&` and the first
//! `=`; name and value are percent-decoded before they are compared, a broken escape stands for
//! itself and `+` is a plus, not a space.

use std::borrow::Cow;

use regex::bytes::Regex;

use super::error::CompileError;
use super::pattern::whole_regex;
use crate::model;

/// The fields of a request, as conditions look at them.
pub trait Fields {
    /// Whether a field line named `name` (lower case) has a value that `accept` accepts.
    fn any(&self, name: &[u8], accept: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

impl std::fmt::Debug for dyn Fields + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fields")
    }
}

/// A request without fields.
#[derive(Clone, Copy, Debug)]
pub struct NoFields;

impl Fields for NoFields {
    fn any(&self, _: &[u8], _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

/// A request, as far as the choice of a route depends on it.
#[derive(Debug)]
pub struct Question<'r, F> {
    /// The host: lower case, no port, no last dot.
    pub host: &'r [u8],
    /// The path in normal form.
    pub path: &'r [u8],
    /// The query without its `?`.
    pub query: &'r [u8],
    /// The method.
    pub method: &'r [u8],
    /// The fields.
    pub fields: &'r F,
}

/// What a route asks of a request beside host and path.
#[derive(Clone, Debug)]
pub struct Conditions {
    methods: Box<[Box<[u8]>]>,
    fields: Box<[Condition]>,
    query: Box<[Condition]>,
}

/// The condition that a request does not meet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unmet<'t> {
    /// On the field of this name.
    Field(&'t str),
    /// On the method.
    Method,
    /// On the query parameter of this name.
    Query(&'t str),
}

#[derive(Clone, Debug)]
pub(super) struct Condition {
    name: Box<str>,
    accept: Accept,
}

#[derive(Clone, Debug)]
enum Accept {
    Any,
    Regex(Box<Regex>),
    Value(Box<[u8]>),
}

// === impl Conditions ===

impl Conditions {
    /// Reads the conditions of `route`, which has the id `id`; `None` if it has none.
    pub(super) fn compile(id: &str, route: &model::Route) -> Result<Option<Self>, CompileError> {
        if route.methods.is_empty() && route.headers.is_empty() && route.query.is_empty() {
            return Ok(None);
        }
        let methods = route.methods.iter();
        let fields = route
            .headers
            .iter()
            .map(|field| Condition::compile(id, field, field.name.to_ascii_lowercase()));
        let query = route.query.iter();
        let query =
            query.map(|parameter| Condition::compile(id, parameter, parameter.name.clone()));
        Ok(Some(Self {
            methods: methods.map(|method| method.as_bytes().into()).collect(),
            fields: fields.collect::<Result<_, _>>()?,
            query: query.collect::<Result<_, _>>()?,
        }))
    }

    /// How many there are; the list of methods is one.
    pub(super) fn count(&self) -> usize {
        usize::from(!self.methods.is_empty()) + self.fields.len() + self.query.len()
    }

    /// The first condition that `question` does not meet.
    pub(super) fn unmet<F: Fields>(&self, question: &Question<'_, F>) -> Option<Unmet<'_>> {
        let mut methods = self.methods.iter().map(|method| &**method);
        if !self.methods.is_empty() && !methods.any(|method| method == question.method) {
            return Some(Unmet::Method);
        }
        let unmet = self.fields.iter().find(|field| {
            let mut accept = |value: &[u8]| field.accept.accepts(value);
            !question.fields.any(field.name.as_bytes(), &mut accept)
        });
        if let Some(field) = unmet {
            return Some(Unmet::Field(&field.name));
        }
        let unmet = self
            .query
            .iter()
            .find(|parameter| !parameter.is_in_query(question.query));
        unmet.map(|parameter| Unmet::Query(&parameter.name))
    }
}

// === impl Condition ===

impl Condition {
    pub(super) fn compile(
        id: &str,
        condition: &model::route::Condition,
        name: String,
    ) -> Result<Self, CompileError> {
        let accept = match (&condition.value, &condition.regex) {
            (None, None) => Accept::Any,
            (Some(value), None) => Accept::Value(value.as_bytes().into()),
            (None, Some(regex)) => match whole_regex(regex) {
                Ok(regex) => Accept::Regex(Box::new(regex)),
                Err(source) => {
                    let source = Box::new(source);
                    return Err(CompileError::Regex {
                        route: id.into(),
                        source,
                    });
                }
            },
            (Some(_), Some(_)) => {
                return Err(CompileError::Condition {
                    route: id.into(),
                    name,
                });
            }
        };
        Ok(Self {
            name: name.into(),
            accept,
        })
    }

    /// The name of what it is on.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether any value will do.
    pub(super) fn is_presence(&self) -> bool {
        matches!(self.accept, Accept::Any)
    }

    /// Whether it holds for this value.
    pub(super) fn accepts(&self, value: &[u8]) -> bool {
        self.accept.accepts(value)
    }

    fn is_in_query(&self, query: &[u8]) -> bool {
        query
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty())
            .any(|pair| {
                let equals = pair
                    .iter()
                    .position(|byte| *byte == b'=')
                    .unwrap_or(pair.len());
                let (name, value) = pair.split_at(equals);
                if !decoded(name).eq(self.name.bytes()) {
                    return false;
                }
                let value = value.get(1..).unwrap_or_default();
                match &self.accept {
                    Accept::Any => true,
                    Accept::Value(wanted) => decoded(value).eq(wanted.iter().copied()),
                    Accept::Regex(regex) => regex.is_match(&decoded_text(value)),
                }
            })
    }
}

// === impl Accept ===

impl Accept {
    fn accepts(&self, value: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Regex(regex) => regex.is_match(value),
            Self::Value(wanted) => **wanted == *value,
        }
    }
}

/// The bytes that percent-encoded `text` means.
fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        if let (b'%', [high, low, after @ ..]) = (first, after)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            rest = after;
            return Some(high << 4 | low);
        }
        rest = after;
        Some(*first)
    })
}

/// As [`decoded`], in one piece; only text with escapes is copied.
fn decoded_text(text: &[u8]) -> Cow<'_, [u8]> {
    if text.contains(&b'%') {
        decoded(text).collect()
    } else {
        Cow::Borrowed(text)
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(name: &str, accept: Accept) -> Condition {
        Condition {
            name: name.into(),
            accept,
        }
    }

    fn value(text: &str) -> Accept {
        Accept::Value(text.as_bytes().into())
    }

    #[test]
    fn query_parameters_are_compared_decoded() {
        let spaced = condition("a b", value("c&d"));
        assert!(spaced.is_in_query(b"x=1&a%20b=c%26d"));
        assert!(!spaced.is_in_query(b"a+b=c%26d"));
        assert!(!spaced.is_in_query(b"a%20b=c"));
        let plus = condition("q", value("1+1"));
        assert!(plus.is_in_query(b"q=1+1") && plus.is_in_query(b"q=1%2b1"));
    }

    #[test]
    fn a_broken_escape_stands_for_itself() {
        assert!(condition("a", value("%zz%4")).is_in_query(b"a=%zz%4"));
    }

    #[test]
    fn presence_needs_no_value_and_only_the_first_equals_splits() {
        let present = condition("debug", Accept::Any);
        assert!(present.is_in_query(b"a=1&debug") && present.is_in_query(b"debug="));
        assert!(!present.is_in_query(b"a=debug") && !present.is_in_query(b""));
        assert!(condition("a", value("b=c")).is_in_query(b"a=b=c"));
    }

    #[test]
    fn a_regex_must_match_the_whole_value() {
        let regex = whole_regex("[0-9]+").expect("a valid regex");
        let number = condition("n", Accept::Regex(Box::new(regex)));
        assert!(number.is_in_query(b"n=12") && number.is_in_query(b"n=%31"));
        assert!(!number.is_in_query(b"n=12a") && !number.is_in_query(b"n=%31a"));
    }
}
