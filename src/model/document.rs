//! Text, JSON or YAML, as one tree of values, within named bounds.
//!
//! Keys that are given twice are noted with their place, not silently lost. A key without a value
//! (`null`, or nothing after the colon in YAML) counts as not given: it is left out of the tree
//! and noted, so that a misspelt one is still found.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::options::DuplicateKeyPolicy;

use super::faults::{FAULTS_MAX, ROOT, push_key};

/// The most bytes of a document.
pub const DOCUMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most levels of lists and objects in a document.
pub const DEPTH_MAX: usize = 64;
/// The most values in a YAML document, those of aliases included.
const YAML_NODES_MAX: usize = 8_000_000;

/// How a document is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// RFC 8259.
    Json,
    /// YAML 1.2; one document.
    Yaml,
}

/// The tree of a document, and what was odd in its text.
#[derive(Debug)]
pub(crate) struct Document {
    /// The values; of a key that is given twice, the last.
    pub(crate) value: Value,
    /// The places of keys that are given more than once.
    pub(crate) duplicates: Vec<String>,
    /// The places of keys that have no value.
    pub(crate) empty: Vec<String>,
}

/// Why a text is no document.
#[derive(Debug)]
pub(crate) struct SyntaxFault {
    pub(crate) line: Option<u32>,
    pub(crate) what: String,
}

/// Reads `text` as one document. An empty YAML text is an empty object.
pub(crate) fn parse(text: &str, format: Format) -> Result<Document, SyntaxFault> {
    let mut notes = Notes::default();
    let value = match format {
        Format::Json => parse_json(text, &mut notes)?,
        Format::Yaml => parse_yaml(text, &mut notes)?,
    };
    let value = match value {
        Value::Null if format == Format::Yaml => Value::Object(Map::new()),
        value => value,
    };
    Ok(Document {
        value,
        duplicates: notes.duplicates,
        empty: notes.empty,
    })
}

fn parse_json(text: &str, notes: &mut Notes) -> Result<Value, SyntaxFault> {
    let mut reader = serde_json::Deserializer::from_str(text);
    Node { notes, depth: 0 }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| {
            let message = error.to_string();
            // The position has its own place in a fault.
            let what = message.split(" at line ").next().unwrap_or(&message);
            SyntaxFault {
                line: u32::try_from(error.line()).ok().filter(|line| *line > 0),
                what: format!("this is not valid JSON: {what}"),
            }
        })
}

fn parse_yaml(text: &str, notes: &mut Notes) -> Result<Value, SyntaxFault> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_documents: 1,
            max_nodes: YAML_NODES_MAX,
            max_events: 2 * YAML_NODES_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        emit_comments: false,
        strict_booleans: true,
        // A snippet would show lines of the file, and one of them may hold a secret.
        with_snippet: false,
    };
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |reader| {
        Node { notes, depth: 0 }.deserialize(reader)
    })
    .map_err(|error| SyntaxFault {
        line: error
            .location()
            .and_then(|at| u32::try_from(at.line()).ok()),
        what: format!("this is not valid YAML: {}", plain(&error)),
    })
}

/// The message without its position, which has its own place in a fault.
fn plain(error: &serde_saphyr::Error) -> String {
    let message = error.to_string();
    message
        .split(" at line ")
        .next()
        .unwrap_or(&message)
        .to_owned()
}

/// What is noted while a text is read, and where the reader is.
struct Notes {
    place: String,
    duplicates: Vec<String>,
    empty: Vec<String>,
}

impl Default for Notes {
    fn default() -> Self {
        Self {
            place: ROOT.to_owned(),
            duplicates: Vec::new(),
            empty: Vec::new(),
        }
    }
}

/// One value at some depth.
struct Node<'a> {
    notes: &'a mut Notes,
    depth: usize,
}

impl Node<'_> {
    fn child(&mut self) -> Node<'_> {
        Node {
            notes: self.notes,
            depth: self.depth + 1,
        }
    }

    fn check_depth<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.depth < DEPTH_MAX {
            return Ok(());
        }
        Err(E::custom(format!(
            "it is nested more than {DEPTH_MAX} levels deep"
        )))
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true, false, a list or an object")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(number(value as f64))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut values = Vec::new();
        loop {
            let end = self.notes.place.len();
            self.notes.place.push_str(&format!("[{}]", values.len()));
            let value = list.next_element_seed(self.child())?;
            self.notes.place.truncate(end);
            let Some(value) = value else {
                return Ok(Value::Array(values));
            };
            values.push(value);
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut values = Map::new();
        let mut keys = std::collections::HashSet::new();
        while let Some(key) = object.next_key::<String>()? {
            let end = self.notes.place.len();
            push_key(&mut self.notes.place, &key);
            if keys.contains(&key) {
                note(&mut self.notes.duplicates, &self.notes.place);
            }
            let value = object.next_value_seed(self.child())?;
            if value.is_null() {
                note(&mut self.notes.empty, &self.notes.place);
                values.remove(&key);
            } else {
                values.insert(key.clone(), value);
            }
            self.notes.place.truncate(end);
            keys.insert(key);
        }
        Ok(Value::Object(values))
    }
}

fn note(list: &mut Vec<String>, place: &str) {
    if list.len() < FAULTS_MAX && !list.iter().any(|noted| noted == place) {
        list.push(place.to_owned());
    }
}

/// A number; a whole one such as `8080.0` or `1e3` becomes an integer, as JSON Schema sees it.
fn number(value: f64) -> Value {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT_MAX {
        return Value::Number((value as i64).into());
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn both(json: &str, yaml: &str) -> [Document; 2] {
        [
            parse(json, Format::Json).unwrap(),
            parse(yaml, Format::Yaml).unwrap(),
        ]
    }

    #[test]
    fn json_and_yaml_give_the_same_tree() {
        let expected = json!({"a": [1, true, "x", -2, 1.5], "b": {"c": "1"}});
        for document in both(
            r#"{"a":[1,true,"x",-2,1.5],"b":{"c":"1"}}"#,
            "a: [1, true, x, -2, 1.5]\nb:\n  c: \"1\"\n",
        ) {
            assert_eq!(document.value, expected);
            assert!(document.duplicates.is_empty() && document.empty.is_empty());
        }
    }

    #[test]
    fn duplicate_keys_are_noted_with_their_place() {
        for document in both(
            r#"{"a":[{"k":1,"k":2,"k":3}],"a b":1,"a b":2}"#,
            "a:\n- k: 1\n  k: 2\n  k: 3\na b: 1\na b: 2\n",
        ) {
            assert_eq!(document.duplicates, ["$.a[0].k", "$[\"a b\"]"]);
        }
    }

    #[test]
    fn keys_without_a_value_count_as_not_given() {
        for document in both(r#"{"a":null,"b":{"c":null}}"#, "a:\nb:\n  c:\n") {
            assert_eq!(document.value, json!({"b": {}}));
            assert_eq!(document.empty, ["$.a", "$.b.c"]);
        }
    }

    #[test]
    fn whole_numbers_are_integers_however_they_are_written() {
        for document in both(r#"{"a":8080.0,"b":1e3}"#, "a: 8080.0\nb: 1e3\n") {
            assert_eq!(document.value, json!({"a": 8080, "b": 1000}));
        }
    }

    #[test]
    fn yaml_words_are_text_unless_yaml_1_2_says_otherwise() {
        let document = parse("a: yes\nb: on\nc: 'true'\n", Format::Yaml).unwrap();
        assert_eq!(document.value, json!({"a": "yes", "b": "on", "c": "true"}));
    }

    #[test]
    fn an_empty_yaml_text_is_an_empty_object() {
        for text in ["", "# nothing\n", "---\n"] {
            assert_eq!(
                parse(text, Format::Yaml).unwrap().value,
                json!({}),
                "{text:?}"
            );
        }
    }

    #[test]
    fn syntax_faults_name_the_line() {
        let json = parse("{\n \"a\": }\n", Format::Json).unwrap_err();
        assert_eq!(json.line, Some(2));
        assert!(
            json.what.starts_with("this is not valid JSON: "),
            "{}",
            json.what
        );
        assert!(!json.what.contains("at line"), "{}", json.what);
        let yaml = parse("a: 1\nb: [1, 2\nc: }\n", Format::Yaml).unwrap_err();
        assert!(yaml.line.is_some(), "{yaml:?}");
        assert!(!yaml.what.contains("at line"), "{}", yaml.what);
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        for format in [Format::Json, Format::Yaml] {
            assert!(parse(&deep(DEPTH_MAX - 1), format).is_ok(), "{format:?}");
            assert!(parse(&deep(DEPTH_MAX + 2), format).is_err(), "{format:?}");
            assert!(parse(&deep(100_000), format).is_err(), "{format:?}");
        }
    }

    #[test]
    fn alias_bombs_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(parse(&text, Format::Yaml).is_err());
    }

    #[test]
    fn anchors_and_merge_keys_work() {
        let text = "base: &base {a: 1, b: 2}\nuse: {<<: *base, b: 3}\nagain: *base\n";
        let document = parse(text, Format::Yaml).unwrap();
        assert_eq!(document.value["use"], json!({"a": 1, "b": 3}));
        assert_eq!(document.value["again"], json!({"a": 1, "b": 2}));
        assert!(document.duplicates.is_empty(), "{:?}", document.duplicates);
    }
}
