//! Fault: what the generic API says when it does not do what it is asked, in Otoroshi's words.

use serde_json::{Value, json};

use crate::admin::commit::Refusal;
use crate::admin::problem::{Problem, show};

/// Why a request, or a line of one, is not done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    /// A word such as `bad_request`.
    pub(crate) error: &'static str,
    /// A sentence, or a list of them.
    pub(crate) description: Value,
}

impl Fault {
    /// The request makes no sense.
    pub(crate) fn bad_request(description: impl Into<Value>) -> Self {
        Self {
            status: 400,
            error: "bad_request",
            description: description.into(),
        }
    }

    /// The body is of a type that is not read.
    pub(crate) fn bad_content_type() -> Self {
        let description = json!("Unsupported content type");
        Self {
            status: 400,
            error: "bad_content_type",
            description,
        }
    }

    /// The caller may not do that.
    pub(crate) fn unauthorized(description: &str) -> Self {
        Self {
            status: 401,
            error: "unauthorized",
            description: json!(description),
        }
    }

    /// There is no such thing.
    pub(crate) fn not_found(description: &str) -> Self {
        Self {
            status: 404,
            error: "not_found",
            description: json!(description),
        }
    }

    /// There is something, and it does not take the method.
    pub(crate) fn method_not_allowed() -> Self {
        let description = json!("this resource does not have this method");
        Self {
            status: 405,
            error: "method_not_allowed",
            description,
        }
    }

    /// As a body.
    pub(crate) fn body(&self) -> Value {
        json!({"error": self.error, "error_description": self.description})
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        if let Refusal::Dialect(fault) = refusal {
            return *fault;
        }
        let faults = match &refusal {
            Refusal::Invalid(faults) => Some(show(faults)),
            _ => None,
        };
        Self {
            description: faults.unwrap_or_else(|| json!(refusal.to_string())),
            ..Problem::from(refusal).into()
        }
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let error = match problem.status.as_u16() {
            400 => "bad_request",
            401 => "unauthorized",
            403 => "forbidden",
            404 => "not_found",
            405 => "method_not_allowed",
            408 => "timeout",
            409 => "conflict",
            412 => "precondition_failed",
            413 => "too_large",
            429 => "too_many_requests",
            503 => "unavailable",
            _ => "internal_error",
        };
        let status = problem.status.as_u16();
        Self {
            status,
            error,
            description: json!(problem.error),
        }
    }
}
