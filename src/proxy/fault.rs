//! What can go wrong between a request and its response, and what is then said to whom.

use thiserror::Error;

use crate::net::TlsFault;

/// Something went wrong on the server's side.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(super) enum Fault {
    /// Every server of the upstream is out, or none has an address yet.
    #[error("no server of the upstream is available")]
    NoServer,
    /// As many connections as the upstream may have are in use.
    #[error("all connections to the upstream are in use")]
    PoolFull,
    /// Every server that is up has as many requests as it may have.
    #[error("every server of the upstream is at its limit")]
    Busy,
    /// The request waited for a server for as long as it may.
    #[error("no server of the upstream became free in time")]
    QueueTimeout,
    /// Too many requests to the upstream have failed; for a while none is sent.
    #[error("the upstream fails too often; it is left alone for a while")]
    CircuitOpen,
    /// The server answered with a status for which another is to be tried.
    #[error("the server answered that it cannot")]
    Status,
    /// A connection could not be opened.
    #[error("the server could not be reached")]
    Unreachable,
    /// Opening a connection took too long.
    #[error("the server did not accept a connection in time")]
    ConnectTimeout,
    /// The server does not speak TLS as it should, or ended before it was agreed on.
    #[error("TLS could not be agreed on with the server")]
    TlsProtocol,
    /// The server did not prove who it should be.
    #[error("the server could not prove that it is who it should be")]
    TlsCertificate,
    /// The server ended TLS with an alert.
    #[error("the server refused TLS with an alert")]
    TlsAlert,
    /// The server took the request too slowly, or its answer too long.
    #[error("the server did not answer in time")]
    Timeout,
    /// The connection ended before the response did.
    #[error("the server closed the connection before its answer was complete")]
    Closed,
    /// The response is malformed.
    #[error("the server's answer is not valid HTTP/1.1")]
    BadResponse,
    /// The response is larger than the route allows.
    #[error("the server's answer is larger than the route allows")]
    TooLarge,
    /// The request body is larger than it may be; found out while it was passed on.
    #[error("the request body is too large")]
    RequestTooLarge,
    /// The request body is malformed or the client stopped sending it.
    #[error("the request body is malformed or incomplete")]
    RequestBroken,
    /// The client took too long to send its body.
    #[error("the request body did not arrive in time")]
    RequestTimeout,
    /// The client went away or takes nothing any more.
    #[error("the client went away")]
    ClientGone,
}

impl From<TlsFault> for Fault {
    fn from(fault: TlsFault) -> Self {
        match fault {
            TlsFault::Protocol => Self::TlsProtocol,
            TlsFault::Certificate => Self::TlsCertificate,
            TlsFault::Alert => Self::TlsAlert,
        }
    }
}

impl Fault {
    /// Whether it came before the server had got anything of the request.
    pub(super) fn is_of_connecting(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::ConnectTimeout
                | Self::TlsProtocol
                | Self::TlsCertificate
                | Self::TlsAlert
        )
    }

    /// The status for the client; `None` where nobody is left to read it.
    pub(super) fn status(self) -> Option<u16> {
        Some(match self {
            Self::NoServer
            | Self::PoolFull
            | Self::Busy
            | Self::QueueTimeout
            | Self::CircuitOpen
            | Self::Status => 503,
            Self::Unreachable
            | Self::TlsProtocol
            | Self::TlsCertificate
            | Self::TlsAlert
            | Self::Closed
            | Self::BadResponse
            | Self::TooLarge => 502,
            Self::ConnectTimeout | Self::Timeout => 504,
            Self::RequestTooLarge => 413,
            Self::RequestBroken => 400,
            Self::RequestTimeout => 408,
            Self::ClientGone => return None,
        })
    }

    /// The error type of RFC 9209 §2.3 for `Proxy-Status`; none where the client is at fault.
    pub(super) fn proxy_status(self) -> Option<&'static str> {
        Some(match self {
            Self::NoServer | Self::CircuitOpen | Self::Status => "destination_unavailable",
            Self::PoolFull | Self::Busy | Self::QueueTimeout => "connection_limit_reached",
            Self::Unreachable => "connection_refused",
            Self::ConnectTimeout => "connection_timeout",
            Self::TlsProtocol => "tls_protocol_error",
            Self::TlsCertificate => "tls_certificate_error",
            Self::TlsAlert => "tls_alert_received",
            Self::Timeout => "http_response_timeout",
            Self::Closed => "connection_terminated",
            Self::BadResponse => "http_protocol_error",
            Self::TooLarge => "http_response_body_size",
            _ => return None,
        })
    }

    /// The word in the access log for why an exchange ended as it did.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NoServer => "no_server",
            Self::PoolFull => "pool_full",
            Self::Busy => "servers_busy",
            Self::QueueTimeout => "queue_timeout",
            Self::CircuitOpen => "circuit_open",
            Self::Status => "server_status",
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::TlsProtocol => "tls_protocol",
            Self::TlsCertificate => "tls_certificate",
            Self::TlsAlert => "tls_alert",
            Self::Timeout => "server_timeout",
            Self::Closed => "server_closed",
            Self::BadResponse => "bad_response",
            Self::TooLarge => "response_too_large",
            Self::RequestTooLarge => "request_too_large",
            Self::RequestBroken => "request_broken",
            Self::RequestTimeout => "client_timeout",
            Self::ClientGone => "client_gone",
        }
    }
}

/// A request that is answered without asking anybody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    /// The status.
    pub(super) status: u16,
    /// The word in the access log.
    pub(super) reason: &'static str,
    /// One sentence for the client.
    pub(super) sentence: &'static str,
}

impl Refusal {
    /// Whether the connection can go on: the request was understood, and its body can be skipped.
    pub(super) fn keeps_connection(self) -> bool {
        self.status == 404
    }
}
