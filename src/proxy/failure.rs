//! Failure: how a try to get an answer from a server failed, and whether another can be made.

use super::fault::Fault;

/// How a try failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    /// The server of the try.
    pub(super) server: Option<usize>,
    /// Whether nothing came back, so that another try can be made.
    pub(super) repeatable: bool,
    /// Whether the connection had been kept: the server may never have seen the request.
    pub(super) stale: bool,
    /// Whether the client has got a part of the response.
    pub(super) begun: bool,
}

impl Failure {
    pub(super) fn of(fault: Fault) -> Self {
        Self {
            fault,
            server: None,
            repeatable: false,
            stale: false,
            begun: false,
        }
    }

    /// The server answered with a status for which another is to be tried.
    pub(super) fn of_status() -> Self {
        Self {
            repeatable: true,
            ..Self::of(Fault::Status)
        }
    }

    pub(super) fn to_connect(fault: Fault, server: usize, on: bool) -> Self {
        let repeatable = on && fault.is_of_connecting();
        Self {
            server: Some(server),
            repeatable,
            ..Self::of(fault)
        }
    }

    pub(super) fn to_send(timely: bool) -> Self {
        let fault = if timely {
            Fault::Closed
        } else {
            Fault::Timeout
        };
        Self {
            repeatable: timely,
            ..Self::of(fault)
        }
    }

    pub(super) fn at(self, server: usize) -> Self {
        Self {
            server: Some(server),
            ..self
        }
    }

    pub(super) fn begun(fault: Fault) -> Self {
        Self {
            begun: true,
            ..Self::of(fault)
        }
    }
}
