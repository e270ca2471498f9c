//! Problem: every answer that says no, and the one place that renders it.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::commit::Refusal;
use super::store::StoreError;
use crate::model::{Fault, Faults};

/// Why a request is not done, as the client is told.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// The sentence in `error`.
    pub(super) error: String,
    /// What stands beside it.
    pub(super) more: Map<String, Value>,
    /// The methods that would do, for a 405.
    pub(super) allow: Option<&'static str>,
}

impl Problem {
    pub(super) fn new(status: u16, error: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            error: error.into(),
            more: Map::new(),
            allow: None,
        }
    }

    pub(super) fn with(mut self, key: &str, value: Value) -> Self {
        self.more.insert(key.to_owned(), value);
        self
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "not found")
    }

    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(405, "method not allowed")
        }
    }

    /// A body that is no JSON document.
    pub(super) fn invalid_json(faults: &Faults) -> Self {
        Self::new(400, "invalid JSON").with("faults", show(faults))
    }

    pub(super) fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("error".to_owned(), Value::String(self.error.clone()));
        body.extend(self.more.clone());
        Value::Object(body)
    }
}

pub(super) fn show(faults: &Faults) -> Value {
    let one = |fault: &Fault| {
        let mut shown = json!({"path": fault.path, "what": fault.what});
        if !fault.instead.is_empty() {
            shown["instead"] = json!(fault.instead);
        }
        if let Some(line) = fault.line {
            shown["line"] = json!(line);
        }
        shown
    };
    faults.list.iter().map(one).collect()
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let error = refusal.to_string();
        match refusal {
            Refusal::NotFound(_) => Self::new(404, error),
            Refusal::Exists(_) => Self::new(409, error),
            Refusal::Several(routes) => {
                let routes: Vec<&str> = routes.iter().map(|id| &**id).collect();
                Self::new(409, error).with("routes", json!(routes))
            }
            Refusal::InUse { routes, count } => {
                let routes: Vec<&str> = routes.iter().map(|id| &**id).collect();
                let problem = Self::new(409, error).with("routes", json!(routes));
                problem.with("route_count", json!(count))
            }
            Refusal::Condition => Self::new(412, error),
            Refusal::Missing(_) | Refusal::Renamed(_) | Refusal::NotAnObject => {
                Self::new(400, error)
            }
            Refusal::Invalid(faults) => Self::new(400, error).with("faults", show(&faults)),
            Refusal::Compile(_) => Self::new(400, error),
            Refusal::Store(error) => Self::of_store(&error),
            Refusal::Dialect(fault) => Self::new(fault.status, error),
            Refusal::Stopping | Refusal::Busy => Self::new(503, error),
        }
    }
}

impl Problem {
    fn of_store(error: &StoreError) -> Self {
        match error {
            StoreError::EditedByHand(_) => Self::new(409, error.to_string()),
            StoreError::NoFile => Self::new(400, "no config file"),
            // The file is well; it is this change that it cannot hold.
            StoreError::Unfit { .. } => Self::new(400, error.to_string()),
            StoreError::Faults(faults) => {
                let problem = Self::new(400, "the config file cannot be used; nothing is changed");
                problem.with("faults", show(faults))
            }
            StoreError::Unloadable(error) => {
                let problem = Self::new(400, "the config file cannot be used; nothing is changed");
                problem.with("detail", json!(error.to_string()))
            }
            other => {
                let problem = Self::new(500, "failed to write config");
                problem.with("detail", json!(other.to_string()))
            }
        }
    }
}
