//! A value that must not be shown: given in place, by the name of an environment variable, or by a file.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// A secret, or where it stands.
#[derive(Clone, Deserialize, JsonSchema, PartialEq)]
#[serde(untagged)]
pub enum Secret {
    /// Written in place.
    Plain(#[schemars(length(min = 1))] String),
    /// In an environment variable.
    Env(FromEnv),
    /// The content of a file, without the line ending.
    File(FromFile),
}

/// The name of an environment variable.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FromEnv {
    /// The variable.
    pub env: String,
}

/// The path of a file.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FromFile {
    /// The file.
    pub file: PathBuf,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Serialize for Secret {
    /// A secret in place is never shown; a reference to one is.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(_) => serializer.serialize_str("(secret)"),
            Self::Env(from) => from.serialize(serializer),
            Self::File(from) => from.serialize(serializer),
        }
    }
}
