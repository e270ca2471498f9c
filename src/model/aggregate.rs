//! Joining the answers of several routes to one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;

/// The most bytes of a part or of the whole that can be allowed.
const BYTES_MAX: u64 = 67_108_864;

/// Several requests that are made of one, all at once, and answered with one JSON object that has
/// the body of each under its key. The status of a part is not looked at; one that cannot be had,
/// or is no JSON, fails the whole.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// The requests, in the order of their keys in the answer.
    #[schemars(length(min = 1, max = 16))]
    pub parts: Vec<Part>,
    /// Bytes of the body of one part, and of the request; more is 502, or 413.
    #[serde(default = "defaults::aggregate_part_bytes")]
    #[schemars(range(min = 1, max = BYTES_MAX))]
    pub max_part_bytes: u64,
    /// Bytes of all parts together; more is 502.
    #[serde(default = "defaults::aggregate_bytes")]
    #[schemars(range(min = 1, max = BYTES_MAX))]
    pub max_bytes: u64,
    /// Requests that one request may become; more is 502.
    #[serde(default = "defaults::aggregate_requests")]
    #[schemars(range(min = 1, max = 256))]
    pub max_requests: u16,
}

/// One of the requests: that of the client, with another path.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name in the answer.
    #[schemars(length(min = 1, max = 256))]
    pub key: String,
    /// The route that it takes, by id; with the policies of that. Only the path must be one of the
    /// route's.
    #[schemars(length(min = 1, max = 128))]
    pub route: String,
    /// The path that it asks for, with the places of `rewrite_template`. It may have a query, which
    /// comes before that of the client.
    #[schemars(length(min = 1, max = 8_191))]
    pub path: String,
    /// It is made once for each different value that this finds in the body of the first part:
    /// JSONPath such as `$[*].userId`. `{value}` in `path` is the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub for_each: Option<String>,
}
