//! Understand: what the bytes of a head ask for, in the one form that everything after it uses.

use super::fault::Refusal;
use crate::epoch::Settings;
use crate::model::config::Underscores;
use crate::table::{Fields, Question};
use crate::wire::authority;
use crate::wire::field::Field;
use crate::wire::head::{self, Body, HeadFault, Request, Slots, Target};
use crate::wire::path;

/// A request that has one meaning.
pub(super) struct Understood<'b, 's> {
    pub(super) head: Request<'b, 's>,
    /// The path in normal form; `*` for the server as a whole.
    pub(super) path: &'b [u8],
    pub(super) query: Option<&'b [u8]>,
    /// The host in lower case, without port and final dot.
    pub(super) host: &'b [u8],
    pub(super) fields: FieldLines<'b, 's>,
    /// Whether all of the body has come along with the head.
    pub(super) body_is_at_hand: bool,
}

/// Where text goes that is not in the bytes as it is needed.
pub(super) struct Space {
    path: Vec<u8>,
    host: [u8; authority::HOST_BYTES_MAX + 1],
}

impl Default for Space {
    fn default() -> Self {
        Self {
            path: Vec::with_capacity(256),
            host: [0; authority::HOST_BYTES_MAX + 1],
        }
    }
}

/// Reads a request from the start of `bytes`; `None` while its head is not complete.
pub(super) fn understand<'b, 's>(
    bytes: &'b [u8],
    slots: &'s mut Slots<'b>,
    space: &'b mut Space,
    settings: &Settings,
) -> Result<Option<Understood<'b, 's>>, Refusal> {
    let Some(head) = head::request(bytes, slots, settings.head).map_err(refusal_of)? else {
        return Ok(None);
    };
    if head.has_underscores && settings.underscores == Underscores::Refuse {
        return Err(bad_request("underscore", "a field name has an underscore"));
    }
    if head.method == "TRACE" {
        return Err(Refusal {
            status: 405,
            reason: "trace",
            sentence: "TRACE is not served here",
        });
    }
    let Space {
        path: path_space,
        host: host_space,
    } = space;
    let (path, query) = match head.target {
        Target::Asterisk => (&b"*"[..], None),
        Target::Path { path, query } => {
            if !query.is_none_or(path::query_is_valid) {
                return Err(bad_request("query", "the query is not valid"));
            }
            let path = path::normalise(path, settings.path, path_space)
                .map_err(|fault| bad_request(fault.token(), "the path is not valid"))?;
            (path, query)
        }
    };
    let host = match &head.authority {
        Some(named) => authority::lower(named.bare(), host_space),
        None => &[],
    };
    let fields = FieldLines(head.fields);
    let body_is_at_hand = match head.body {
        Body::None => true,
        Body::Length(length) => length <= (bytes.len() - head.length) as u64,
        _ => false,
    };
    Ok(Some(Understood {
        path,
        query,
        host,
        fields,
        body_is_at_hand,
        head,
    }))
}

impl<'b, 's> Understood<'b, 's> {
    /// The same with another method.
    pub(super) fn with_method<'c>(&self, method: &'c str) -> Understood<'c, 'c>
    where
        'b: 'c,
        's: 'c,
    {
        Understood {
            head: Request {
                method,
                ..self.head
            },
            path: self.path,
            query: self.query,
            host: self.host,
            fields: FieldLines(self.head.fields),
            body_is_at_hand: self.body_is_at_hand,
        }
    }

    /// The question that the table answers.
    pub(super) fn question(&self) -> Question<'_, FieldLines<'b, 's>> {
        Question {
            host: self.host,
            path: self.path,
            query: self.query.unwrap_or_default(),
            method: self.head.method.as_bytes(),
            fields: &self.fields,
        }
    }
}

/// The field lines of a request, as the table asks for them.
pub(super) struct FieldLines<'b, 's>(pub(super) &'s [Field<'b>]);

impl Fields for FieldLines<'_, '_> {
    fn any(&self, name: &[u8], accept: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0
            .iter()
            .any(|field| field.name.as_bytes().eq_ignore_ascii_case(name) && accept(field.value))
    }
}

fn bad_request(reason: &'static str, sentence: &'static str) -> Refusal {
    Refusal {
        status: 400,
        reason,
        sentence,
    }
}

fn refusal_of(fault: HeadFault) -> Refusal {
    let (reason, sentence) = match fault {
        HeadFault::Authority => ("authority", "the host is not valid"),
        HeadFault::BareLineFeed => ("line_ending", "a line does not end with CR LF"),
        HeadFault::Connect => ("connect", "CONNECT is not served here"),
        HeadFault::ContentLength => ("content_length", "the Content-Length is not valid"),
        HeadFault::Expectation => ("expectation", "the expectation is not known"),
        HeadFault::Field => ("field", "a field line is not valid"),
        HeadFault::Host => ("host", "there must be exactly one Host"),
        HeadFault::LengthAndCoding => (
            "length_and_coding",
            "Content-Length and Transfer-Encoding exclude each other",
        ),
        HeadFault::StartLine => ("start_line", "the request line is not valid"),
        HeadFault::Target => ("target", "the request target is not valid"),
        HeadFault::TargetTooLong => ("target_too_long", "the request target is too long"),
        HeadFault::TooLarge => ("head_too_large", "the head is too large"),
        HeadFault::TooManyFields => ("too_many_fields", "the head has too many fields"),
        HeadFault::TransferEncoding => ("transfer_encoding", "the Transfer-Encoding is not valid"),
        HeadFault::UnknownCoding => ("unknown_coding", "the transfer coding is not known"),
        HeadFault::Version => ("version", "the HTTP version is not served here"),
    };
    Refusal {
        status: fault.status(),
        reason,
        sentence,
    }
}
