//! Compression of responses on their way to the client.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;

/// Compression of responses (RFC 9110 §8.4) for clients that take it. A response stays as it is if
/// it has a content coding already, is a part of a whole (206) or says `no-transform`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compress {
    /// The codings, the preferred one first; of those that the client likes best, this order
    /// decides.
    #[schemars(length(min = 1, max = 3))]
    pub codings: Vec<Coding>,
    /// A response that says that it is shorter than this stays as it is.
    pub min_bytes: u64,
    /// The content types that are compressed; `text/*` is every text.
    #[schemars(length(min = 1, max = 64))]
    pub types: Vec<String>,
}

/// A content coding.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// Brotli (RFC 7932), quality 4.
    Br,
    /// gzip (RFC 1952), level 5.
    Gzip,
    /// Zstandard (RFC 8878), level 3.
    Zstd,
}

impl Coding {
    /// Its name in `Content-Encoding`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl Default for Compress {
    fn default() -> Self {
        Self {
            codings: vec![Coding::Zstd, Coding::Br, Coding::Gzip],
            min_bytes: defaults::compress_min_bytes(),
            types: defaults::compress_types(),
        }
    }
}
