//! Render: an answer in the form that the client accepts.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use serde_json::{Map, Value};

use super::armour;
use super::catalogue::Resource;
use super::fault::Fault;
use super::listing::Listing;
use super::media::{self, AnswerType};

/// How fast against how small; Otoroshi's level.
const GZIP_LEVEL: u32 = 5;
/// Bytes below which compressing is not worth it.
const GZIP_BYTES_MIN: usize = 512;

/// How an answer is to look.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    pub(crate) kind: AnswerType,
    pub(crate) pretty: bool,
    pub(crate) envelope: bool,
    pub(crate) gzip: bool,
}

impl Style {
    /// Reads what a request asks for.
    ///
    /// # Errors
    /// A parameter that is neither true nor false.
    pub(crate) fn of(
        accept: Option<&str>,
        accept_encoding: Option<&str>,
        query: &[(String, String)],
        list: bool,
    ) -> Result<Self, Fault> {
        let kind = AnswerType::choose(accept, list);
        let flag = |name: &str, default| {
            let given = query.iter().rev().find(|(given, _)| given == name);
            match given.map(|(_, value)| value.as_str()) {
                None => Ok(default),
                Some("" | "true" | "1") => Ok(true),
                Some("false" | "0") => Ok(false),
                Some(_) => Err(Fault::bad_request(format!("{name}: it is true or false"))),
            }
        };
        let gzip = accept_encoding.is_some_and(|field| media::allows(field, "gzip"));
        Ok(Self {
            kind,
            pretty: flag("pretty", true)?,
            envelope: flag("envelope", false)?,
            gzip: gzip && kind != AnswerType::Ndjson,
        })
    }

    /// How a fault looks, of which nothing else is known.
    pub(crate) fn plain() -> Self {
        Self {
            kind: AnswerType::Json,
            pretty: true,
            envelope: false,
            gzip: false,
        }
    }

    /// Writes one value that stands for itself.
    pub(crate) fn whole(&self, value: Value) -> Vec<u8> {
        match self.kind {
            AnswerType::Json | AnswerType::Ndjson => {
                let value = if self.envelope {
                    enveloped(value)
                } else {
                    value
                };
                let text = if self.pretty && self.kind == AnswerType::Json {
                    serde_json::to_vec_pretty(&value)
                } else {
                    serde_json::to_vec(&value)
                };
                text.unwrap_or_default()
            }
            AnswerType::Yaml | AnswerType::YamlArmoured => yaml(&value).into_bytes(),
        }
    }

    /// An entity as it is shown: projected, with its kind, in armour if that is asked for.
    pub(crate) fn entity(
        &self,
        resource: &Resource,
        label: &str,
        listing: &Listing,
        entity: Value,
    ) -> Value {
        let name = || {
            let name = entity.get("name").or_else(|| entity.get(resource.id_key));
            name.and_then(Value::as_str).unwrap_or("no name").to_owned()
        };
        let name = if self.kind == AnswerType::YamlArmoured {
            name()
        } else {
            String::new()
        };
        let mut shown = listing.project(entity);
        if let Value::Object(members) = &mut shown {
            members.insert("kind".to_owned(), Value::String(label.to_owned()));
        }
        if self.kind == AnswerType::YamlArmoured {
            return armour::put_on(resource.kind, &name, shown);
        }
        shown
    }
}

/// Writes a list piece by piece.
#[derive(Debug)]
pub(crate) struct ListWriter {
    style: Style,
    first: bool,
    text: Vec<u8>,
    gzip: Option<GzEncoder<Vec<u8>>>,
}

impl ListWriter {
    pub(crate) fn new(style: Style) -> Self {
        let gzip = style
            .gzip
            .then(|| GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL)));
        let mut writer = Self {
            style,
            first: true,
            text: Vec::new(),
            gzip,
        };
        if writer.style.kind == AnswerType::Json {
            let open = if writer.style.envelope {
                "{\"data\":["
            } else {
                "["
            };
            writer.text.extend_from_slice(open.as_bytes());
        }
        writer
    }

    /// Adds an entity.
    pub(crate) fn add(&mut self, value: &Value) {
        let first = std::mem::take(&mut self.first);
        match self.style.kind {
            AnswerType::Json => {
                if !first {
                    self.text.push(b',');
                }
                if self.style.pretty {
                    let text = serde_json::to_string_pretty(value).unwrap_or_default();
                    self.text.extend_from_slice(b"\n  ");
                    self.text
                        .extend_from_slice(text.replace('\n', "\n  ").as_bytes());
                } else {
                    self.text
                        .extend(serde_json::to_vec(value).unwrap_or_default());
                }
            }
            AnswerType::Ndjson => {
                self.text
                    .extend(serde_json::to_vec(value).unwrap_or_default());
                self.text.push(b'\n');
            }
            AnswerType::Yaml | AnswerType::YamlArmoured => {
                let text = yaml(&Value::Array(vec![value.clone()]));
                self.text.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// Bytes that wait to be taken, before they are compressed.
    pub(crate) fn waiting(&self) -> usize {
        self.text.len()
    }

    /// Takes what has been written so far; with `last` the list is closed.
    pub(crate) fn take(&mut self, last: bool) -> Bytes {
        if last {
            self.close();
        }
        let text = std::mem::take(&mut self.text);
        let Some(mut gzip) = self.gzip.take() else {
            return text.into();
        };
        // Writing to memory cannot fail.
        let _ = gzip.write_all(&text);
        if last {
            return gzip.finish().unwrap_or_default().into();
        }
        let _ = gzip.flush();
        let piece = std::mem::take(gzip.get_mut());
        self.gzip = Some(gzip);
        piece.into()
    }

    fn close(&mut self) {
        match self.style.kind {
            AnswerType::Json => {
                if self.style.pretty && !self.first {
                    self.text.push(b'\n');
                }
                let close = if self.style.envelope { "]}" } else { "]" };
                self.text.extend_from_slice(close.as_bytes());
            }
            AnswerType::Yaml | AnswerType::YamlArmoured if self.first => {
                self.text.extend_from_slice(b"[]\n");
            }
            _ => {}
        }
    }
}

/// Compresses a whole body, if that is asked for and worth it.
pub(crate) fn gzipped(body: Vec<u8>, style: &Style) -> (Vec<u8>, bool) {
    if !style.gzip || body.len() < GZIP_BYTES_MIN {
        return (body, false);
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
    match gzip.write_all(&body).and_then(|()| gzip.finish()) {
        Ok(compressed) => (compressed, true),
        Err(_) => (body, false),
    }
}

fn enveloped(value: Value) -> Value {
    Value::Object(Map::from_iter([("data".to_owned(), value)]))
}

/// Long texts stay on their line: folded they could not be read.
const YAML_LINE_MAX: usize = 65_536;

fn yaml(value: &Value) -> String {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: YAML_LINE_MAX };
    serde_saphyr::to_string_with_options(value, options).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;
    use serde_json::json;

    use super::super::convert::delta::tests::any_value;
    use super::*;
    use crate::model;

    fn style(accept: &str, query: &str) -> Style {
        let query: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Style::of(Some(accept), Some("gzip"), &query, true).unwrap()
    }

    fn list(style: &Style, entities: &[Value]) -> Vec<u8> {
        let mut writer = ListWriter::new(style.clone());
        let mut body = Vec::new();
        for entity in entities {
            writer.add(entity);
            body.extend_from_slice(&writer.take(false));
        }
        body.extend_from_slice(&writer.take(true));
        if !style.gzip {
            return body;
        }
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        plain
    }

    #[test]
    fn lists_are_written_in_every_form() {
        let entities = [json!({"id": "a"}), json!({"id": "b"})];
        for (accept, query, expected) in [
            (
                "application/json",
                "pretty=false",
                "[{\"id\":\"a\"},{\"id\":\"b\"}]",
            ),
            (
                "application/json",
                "pretty=false&envelope=true",
                "{\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}]}",
            ),
            (
                "application/x-ndjson",
                "",
                "{\"id\":\"a\"}\n{\"id\":\"b\"}\n",
            ),
            ("application/yaml", "", "- id: a\n- id: b\n"),
        ] {
            let body = String::from_utf8(list(&style(accept, query), &entities)).unwrap();
            assert_eq!(body, expected, "{accept} {query}");
        }
        assert_eq!(list(&style("application/yaml", ""), &[]), b"[]\n");
        assert!(style("application/json", "").pretty);
        assert!(Style::of(None, None, &[("pretty".into(), "x".into())], true).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_the_same(
            entities in proptest::collection::vec(any_value(), 0..4),
            query in "(pretty=true|pretty=false)",
        ) {
            let body = list(&style("application/json", &query), &entities);
            prop_assert_eq!(&serde_json::from_slice::<Vec<Value>>(&body).unwrap(), &entities);
            let objects: Vec<Value> =
                entities.into_iter().map(|entity| json!({"id": "a", "e": [entity]})).collect();
            let body = list(&style("application/yaml", ""), &objects);
            let text = format!("all:\n{}", String::from_utf8(body).unwrap());
            if !objects.is_empty() && !objects.iter().any(|object| object.to_string().contains("null")) {
                prop_assert_eq!(model::parse_yaml(&text).unwrap(), json!({"all": objects}));
            }
        }
    }
}
