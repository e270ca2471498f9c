//! When a server, or a whole upstream, is held to be out, judged by what it answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::defaults;

/// Taking a server out whose share of failures is too large. Each 5xx counts as one, as does
/// every answer that does not come.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outlier {
    /// The percentage of failures in a window at which a server is taken out.
    #[schemars(range(min = 1, max = 100))]
    pub error_percent: u8,
    /// Fewer requests than this in a window say nothing.
    #[schemars(range(min = 1))]
    pub min_requests: u32,
    /// How long a window is.
    #[schemars(range(min = 100, max = defaults::MS_MAX))]
    pub window_ms: u64,
    /// How long it is out the first time; the second time in a row twice as long, up to ten times.
    #[schemars(range(min = 100, max = defaults::MS_MAX))]
    pub ejection_ms: u64,
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            error_percent: defaults::outlier_error_percent(),
            min_requests: defaults::outlier_min_requests(),
            window_ms: defaults::outlier_window_ms(),
            ejection_ms: defaults::outlier_ejection_ms(),
        }
    }
}

/// Refusing requests for a while when the share of failures of the whole upstream is too large.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CircuitBreaker {
    /// The percentage of failures in a window at which the circuit opens.
    #[schemars(range(min = 1, max = 100))]
    pub failure_percent: u8,
    /// Fewer requests than this in a window say nothing.
    #[schemars(range(min = 1))]
    pub min_requests: u32,
    /// How long a window is.
    #[schemars(range(min = 100, max = defaults::MS_MAX))]
    pub window_ms: u64,
    /// How long every request is 503 before some are tried.
    #[schemars(range(min = 100, max = defaults::MS_MAX))]
    pub open_ms: u64,
    /// How many are tried then; if all go well the circuit closes, if one fails it opens again.
    #[schemars(range(min = 1, max = 1_000))]
    pub trial_requests: u32,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            failure_percent: defaults::breaker_failure_percent(),
            min_requests: defaults::breaker_min_requests(),
            window_ms: defaults::breaker_window_ms(),
            open_ms: defaults::breaker_open_ms(),
            trial_requests: defaults::breaker_trial_requests(),
        }
    }
}
