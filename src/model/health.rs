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

/// Asking each server, away from the workers, whether it is well. A server that is not is out on
/// all workers at once.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// How a server is asked.
    #[serde(rename = "type")]
    pub kind: HealthCheckKind,
    /// The path to ask for; may have a query.
    #[schemars(length(min = 1, max = 2_048))]
    pub path: String,
    /// The method.
    #[schemars(length(min = 1, max = 32))]
    pub method: String,
    /// The `Host`; without it the server's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub host: Option<String>,
    /// How often; each time up to a tenth sooner or later.
    #[schemars(range(min = 10, max = defaults::MS_MAX))]
    pub interval_ms: u64,
    /// How long an answer may take.
    #[schemars(range(min = 1, max = defaults::MS_MAX))]
    pub timeout_ms: u64,
    /// The status of one that is well.
    #[schemars(range(min = 200, max = 599))]
    pub expected_status: u16,
    /// The statuses of one that is well, where there are several; then `expected_status` does not
    /// count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(range(min = 200, max = 599)))]
    pub expected_statuses: Vec<u16>,
    /// What must stand in the first 64 KiB of its body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4_096))]
    pub expected_body: Option<String>,
    /// Good answers in a row after which a server is up again.
    #[schemars(range(min = 1, max = 1_000))]
    pub healthy_threshold: u32,
    /// Bad answers in a row after which it is down. At the start every server counts as up.
    #[schemars(range(min = 1, max = 1_000))]
    pub unhealthy_threshold: u32,
}

/// How a server is asked whether it is well.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheckKind {
    /// By a request.
    #[default]
    Http,
    /// By opening a connection.
    Tcp,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            kind: HealthCheckKind::default(),
            path: "/health".to_owned(),
            method: "GET".to_owned(),
            host: None,
            interval_ms: defaults::check_interval_ms(),
            timeout_ms: defaults::check_timeout_ms(),
            expected_status: defaults::respond_status(),
            expected_statuses: Vec::new(),
            expected_body: None,
            healthy_threshold: defaults::check_healthy(),
            unhealthy_threshold: defaults::check_unhealthy(),
        }
    }
}
