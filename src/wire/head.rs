//! Heads of requests and responses: httparse finds the lines, this room decides what they mean.
//!
//! Everything that two readers could take differently is refused here, before anything is routed:
//! bare line feeds, folded lines, two lengths, a length besides a transfer coding, a coding that is
//! not exactly `chunked`, a missing or doubled `Host` (RFC 9112 §2.2, §3.2, §5, §6). What is left
//! has one meaning.

use std::mem::MaybeUninit;

use thiserror::Error;

use super::authority::{self, Authority};
use super::field::{self, ConnectionOptions, Field, Name};

/// The most fields that any head may have, whatever the limits say.
pub const FIELDS_MAX: usize = 256;

/// Where httparse puts the field lines of one head; on the stack, never cleared.
pub struct Slots<'b>([MaybeUninit<Field<'b>>; FIELDS_MAX]);

impl Slots<'_> {
    /// Room for the fields of one head.
    #[inline]
    pub fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; FIELDS_MAX])
    }
}

impl Default for Slots<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// The most that a head may have.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes, line endings included.
    pub bytes: usize,
    /// Field lines; at most [`FIELDS_MAX`].
    pub fields: usize,
}

/// The version of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

impl Version {
    fn of_minor(minor: u8) -> Self {
        if minor == 1 {
            Self::Http11
        } else {
            Self::Http10
        }
    }
}

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Body {
    /// There is none.
    None,
    /// This many bytes; never 0 in a request that [`request`] read.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// It ends with the connection; responses only.
    UntilClose,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target<'b> {
    /// A path and a query; both forms with a path (RFC 9112 §3.2.1, §3.2.2).
    Path {
        /// From the first slash to the query.
        path: &'b [u8],
        /// After the `?`, if there is one.
        query: Option<&'b [u8]>,
    },
    /// `*`, the server as a whole; `OPTIONS` only (RFC 9112 §3.2.4).
    Asterisk,
}

/// A request head with one meaning.
pub struct Request<'b, 's> {
    /// What it was read from.
    pub bytes: &'b [u8],
    /// Bytes of the head in the buffer, empty lines before and after it included.
    pub length: usize,
    /// The method as it came.
    pub method: &'b str,
    /// What is asked for.
    pub target: Target<'b>,
    /// The version of the client.
    pub version: Version,
    /// Whom is asked: of the target if it names one, else of `Host`. None for HTTP/1.0 without.
    pub authority: Option<Authority<'b>>,
    /// The same as it was written, port included; empty without.
    pub host_text: &'b [u8],
    /// The field lines in their order.
    pub fields: &'s [Field<'b>],
    /// How the body ends.
    pub body: Body,
    /// What `Connection` asks for.
    pub connection: ConnectionOptions,
    /// The protocol that the client would switch to; only with `Connection: upgrade` on HTTP/1.1.
    pub upgrade: Option<&'b [u8]>,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
    /// Whether any field name has an underscore.
    pub has_underscores: bool,
}

/// A response head with one meaning.
pub struct Response<'b, 's> {
    /// What it was read from.
    pub bytes: &'b [u8],
    /// Bytes of the head in the buffer.
    pub length: usize,
    /// The status, 100 to 999.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: &'b str,
    /// The version of the origin.
    pub version: Version,
    /// The field lines in their order.
    pub fields: &'s [Field<'b>],
    /// How the body ends, for the request that this answers.
    pub body: Body,
    /// The length that the head gives; also where there is no body (HEAD, 304).
    pub content_length: Option<u64>,
    /// Whether the head gives a transfer coding.
    pub has_transfer_encoding: bool,
    /// What `Connection` asks for.
    pub connection: ConnectionOptions,
    /// Whether the origin dated it.
    pub has_date: bool,
}

impl Request<'_, '_> {
    /// Whether the client would send another request on this connection (RFC 9112 §9.3).
    pub fn is_persistent(&self) -> bool {
        persistent(self.version, self.connection)
    }

    /// Whether sending it twice means the same as once (RFC 9110 §9.2.2).
    pub fn is_idempotent(&self) -> bool {
        matches!(
            self.method,
            "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "TRACE" | "QUERY"
        )
    }
}

impl Response<'_, '_> {
    /// Whether the origin would take another request on this connection (RFC 9112 §9.3).
    pub fn is_persistent(&self) -> bool {
        persistent(self.version, self.connection)
    }
}

fn persistent(version: Version, connection: ConnectionOptions) -> bool {
    match version {
        Version::Http11 => !connection.close,
        Version::Http10 => connection.keep_alive && !connection.close,
    }
}

/// Why a head is refused: always the fault of who sent it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum HeadFault {
    /// `Host` or the authority of the target is not a host and port.
    #[error("the host is not valid")]
    Authority,
    /// A line ends without a carriage return, or a carriage return stands alone.
    #[error("a line does not end with CR LF")]
    BareLineFeed,
    /// `CONNECT`.
    #[error("CONNECT is not served here")]
    Connect,
    /// An `Expect` that is not `100-continue`.
    #[error("the expectation is not known")]
    Expectation,
    /// `Content-Length` is not a number, or stands more than once, or where there may be no body.
    #[error("the Content-Length is not valid")]
    ContentLength,
    /// A field line that is none.
    #[error("a field line is not valid")]
    Field,
    /// A second `Host`, or none where there must be one.
    #[error("there must be exactly one Host")]
    Host,
    /// Both a length and a transfer coding.
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    LengthAndCoding,
    /// The start line is none.
    #[error("the start line is not valid")]
    StartLine,
    /// The target is not a path, a URL of http, or an asterisk.
    #[error("the request target is not valid")]
    Target,
    /// The request line alone is longer than a head may be.
    #[error("the request target is too long")]
    TargetTooLong,
    /// More bytes than a head may have.
    #[error("the head is too large")]
    TooLarge,
    /// More fields than a head may have.
    #[error("the head has too many fields")]
    TooManyFields,
    /// A transfer coding that is not exactly `chunked`, or one on HTTP/1.0.
    #[error("the Transfer-Encoding is not valid")]
    TransferEncoding,
    /// A transfer coding that is well formed but that nobody here knows.
    #[error("the transfer coding is not known")]
    UnknownCoding,
    /// A version that is not HTTP/1.0 or HTTP/1.1.
    #[error("the HTTP version is not served here")]
    Version,
}

impl HeadFault {
    /// The status that tells a client so.
    pub fn status(self) -> u16 {
        match self {
            Self::Connect => 405,
            Self::Expectation => 417,
            Self::TargetTooLong => 414,
            Self::TooLarge | Self::TooManyFields => 431,
            Self::UnknownCoding => 501,
            Self::Version => 505,
            _ => 400,
        }
    }
}

/// Reads a request head from the start of `bytes`; `None` while it is not complete.
///
/// # Errors
/// Whatever is malformed, ambiguous or over the limits.
pub fn request<'b, 's>(
    bytes: &'b [u8],
    slots: &'s mut Slots<'b>,
    limits: HeadLimits,
) -> Result<Option<Request<'b, 's>>, HeadFault> {
    let skipped = leading_line(bytes)?;
    let slots = slots
        .0
        .get_mut(..limits.fields.min(FIELDS_MAX))
        .unwrap_or_default();
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(&bytes[skipped..], slots) {
        Ok(httparse::Status::Complete(length)) => length + skipped,
        Ok(httparse::Status::Partial) if bytes.len() >= limits.bytes => {
            return Err(too_large(bytes));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(fault_of(error, bytes)),
    };
    if length > limits.bytes {
        return Err(too_large(bytes));
    }
    let fields: &'s [Field<'b>] = parsed.headers;
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(HeadFault::StartLine);
    };
    check_line_endings(bytes, length, fields)?;
    let version = Version::of_minor(version);
    if method == "CONNECT" {
        return Err(HeadFault::Connect);
    }
    let (target, named) = read_target(method, target.as_bytes())?;
    let facts = Facts::of(fields)?;
    if facts.hosts > 1 || (facts.hosts == 0 && version == Version::Http11) {
        return Err(HeadFault::Host);
    }
    let host = match facts.host {
        Some(host) => Some(authority::parse(host).map_err(|_| HeadFault::Authority)?),
        None => None,
    };
    if facts.expect_unknown && version == Version::Http11 {
        return Err(HeadFault::Expectation);
    }
    let body = match (facts.coding(version)?, facts.length) {
        (true, _) => Body::Chunked,
        (false, None | Some(0)) => Body::None,
        (false, Some(length)) => Body::Length(length),
    };
    let may_upgrade = facts.connection.upgrade && version == Version::Http11;
    Ok(Some(Request {
        bytes,
        length,
        method,
        target,
        version,
        authority: named.map(|(named, _)| named).or(host),
        host_text: named.map_or_else(|| facts.host.unwrap_or_default(), |(_, text)| text),
        fields,
        body,
        connection: facts.connection,
        upgrade: facts.upgrade.filter(|_| may_upgrade),
        expects_continue: facts.expect_continue && version == Version::Http11,
        has_underscores: facts.has_underscores,
    }))
}

/// Reads a response head from the start of `bytes`; `None` while it is not complete.
///
/// `to_head` says that the request was `HEAD`.
///
/// # Errors
/// Whatever is malformed, ambiguous or over the limits; the answer to the client is then 502.
pub fn response<'b, 's>(
    bytes: &'b [u8],
    slots: &'s mut Slots<'b>,
    limits: HeadLimits,
    to_head: bool,
) -> Result<Option<Response<'b, 's>>, HeadFault> {
    let slots = slots
        .0
        .get_mut(..limits.fields.min(FIELDS_MAX))
        .unwrap_or_default();
    let mut parsed = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(false);
    let length = match config.parse_response_with_uninit_headers(&mut parsed, bytes, slots) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() >= limits.bytes => {
            return Err(HeadFault::TooLarge);
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(fault_of(error, bytes)),
    };
    if length > limits.bytes {
        return Err(HeadFault::TooLarge);
    }
    let fields: &'s [Field<'b>] = parsed.headers;
    let (Some(status), Some(version)) = (parsed.code, parsed.version) else {
        return Err(HeadFault::StartLine);
    };
    check_line_endings(bytes, length, fields)?;
    if status < 100 || !bytes.starts_with(b"HTTP/1.") {
        return Err(HeadFault::StartLine);
    }
    let version = Version::of_minor(version);
    let facts = Facts::of(fields)?;
    let chunked = facts.coding(version)?;
    let bodiless = to_head || status < 200 || status == 204 || status == 304;
    if (status < 200 || status == 204) && chunked {
        return Err(HeadFault::TransferEncoding);
    }
    let body = match (bodiless, chunked, facts.length) {
        (true, _, _) | (false, false, Some(0)) => Body::None,
        (false, true, _) => Body::Chunked,
        (false, false, Some(length)) => Body::Length(length),
        (false, false, None) => Body::UntilClose,
    };
    Ok(Some(Response {
        bytes,
        length,
        status,
        reason: parsed.reason.unwrap_or_default(),
        version,
        fields,
        body,
        content_length: facts.length,
        has_transfer_encoding: chunked,
        connection: facts.connection,
        has_date: facts.has_date,
    }))
}

/// One empty line before a request is forgiven (RFC 9112 §2.2); returns its length.
fn leading_line(bytes: &[u8]) -> Result<usize, HeadFault> {
    match bytes {
        [b'\r', b'\n', b'\r' | b'\n', ..] | [b'\n', ..] => Err(HeadFault::StartLine),
        [b'\r', b'\n', ..] => Ok(2),
        [b'\r', other, ..] if *other != b'\n' => Err(HeadFault::BareLineFeed),
        _ => Ok(0),
    }
}

/// Every line of the head must end with CR LF; httparse takes a bare LF as well.
#[inline]
fn check_line_endings(bytes: &[u8], length: usize, fields: &[Field<'_>]) -> Result<(), HeadFault> {
    let base = bytes.as_ptr() as usize;
    let ends_well = |end: usize| end >= 2 && bytes.get(end - 2..end) == Some(b"\r\n");
    let lines_end_well = fields
        .iter()
        .all(|field| ends_well(field.name.as_ptr() as usize - base));
    let head_ends_well = length >= 4 && bytes.get(length - 4..length) == Some(b"\r\n\r\n");
    if lines_end_well && head_ends_well {
        Ok(())
    } else {
        Err(HeadFault::BareLineFeed)
    }
}

/// What the fields of a head say together about framing and the connection.
#[derive(Default)]
struct Facts<'b> {
    hosts: usize,
    host: Option<&'b [u8]>,
    length: Option<u64>,
    codings: usize,
    chunked: bool,
    coding_is_token: bool,
    connection: ConnectionOptions,
    upgrade: Option<&'b [u8]>,
    expect_continue: bool,
    expect_unknown: bool,
    has_date: bool,
    has_underscores: bool,
}

impl<'b> Facts<'b> {
    #[inline]
    fn of(fields: &[Field<'b>]) -> Result<Self, HeadFault> {
        let mut facts = Self::default();
        for field in fields {
            facts.add(field)?;
        }
        Ok(facts)
    }

    #[inline]
    fn add(&mut self, field: &Field<'b>) -> Result<(), HeadFault> {
        match Name::of(field.name) {
            Name::Other => self.has_underscores |= field.name.as_bytes().contains(&b'_'),
            Name::Host => {
                self.hosts += 1;
                self.host = Some(field.value);
            }
            Name::Connection => self.connection.add(field.value),
            Name::ContentLength => {
                let length = field::content_length(field.value);
                if self.length.is_some() || length.is_none() {
                    return Err(HeadFault::ContentLength);
                }
                self.length = length;
            }
            Name::TransferEncoding => {
                self.codings += 1;
                self.chunked = field.value.eq_ignore_ascii_case(b"chunked");
                self.coding_is_token = is_list_of_tokens(field.value);
            }
            Name::Upgrade => self.upgrade = Some(field.value),
            Name::Expect => {
                let known = field.value.eq_ignore_ascii_case(b"100-continue");
                self.expect_continue |= known;
                self.expect_unknown |= !known;
            }
            Name::Date => self.has_date = true,
            _ => {}
        }
        Ok(())
    }

    /// Whether the body has the chunked coding.
    fn coding(&self, version: Version) -> Result<bool, HeadFault> {
        match self.codings {
            0 => Ok(false),
            _ if self.length.is_some() => Err(HeadFault::LengthAndCoding),
            1 if version == Version::Http11 && self.chunked => Ok(true),
            1 if version == Version::Http11 && self.coding_is_token => {
                Err(HeadFault::UnknownCoding)
            }
            _ => Err(HeadFault::TransferEncoding),
        }
    }
}

/// Whether a coding is well formed and has nothing to do with `chunked`: unknown, but not a trick.
fn is_list_of_tokens(value: &[u8]) -> bool {
    value
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && !value.is_empty()
        && !value
            .windows(5)
            .any(|part| part.eq_ignore_ascii_case(b"chunk"))
        && !value.eq_ignore_ascii_case(b"identity")
}

/// What a target asks for, and the authority that it names, read and as it was written.
type ReadTarget<'b> = (Target<'b>, Option<(Authority<'b>, &'b [u8])>);

/// Splits a target and finds the authority that it names.
fn read_target<'b>(method: &str, target: &'b [u8]) -> Result<ReadTarget<'b>, HeadFault> {
    match target {
        [b'/', ..] => Ok((path_and_query(target)?, None)),
        b"*" if method == "OPTIONS" => Ok((Target::Asterisk, None)),
        _ => {
            let rest = strip_scheme(target).ok_or(HeadFault::Target)?;
            let end = rest
                .iter()
                .position(|b| matches!(b, b'/' | b'?'))
                .unwrap_or(rest.len());
            let (text, path) = rest.split_at(end);
            let named = authority::parse(text).map_err(|_| HeadFault::Authority)?;
            let target = match path {
                [] if method == "OPTIONS" => Target::Asterisk,
                [] => Target::Path {
                    path: b"/",
                    query: None,
                },
                [b'?', query @ ..] => Target::Path {
                    path: b"/",
                    query: Some(query),
                },
                _ => path_and_query(path)?,
            };
            Ok((target, Some((named, text))))
        }
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    let strip = |scheme: &[u8]| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    strip(b"http://").or_else(|| strip(b"https://"))
}

fn path_and_query(target: &[u8]) -> Result<Target<'_>, HeadFault> {
    if target.contains(&b'#') {
        return Err(HeadFault::Target);
    }
    Ok(match target.iter().position(|b| *b == b'?') {
        None => Target::Path {
            path: target,
            query: None,
        },
        Some(at) => Target::Path {
            path: &target[..at],
            query: Some(&target[at + 1..]),
        },
    })
}

fn too_large(bytes: &[u8]) -> HeadFault {
    if bytes.contains(&b'\n') {
        HeadFault::TooLarge
    } else {
        HeadFault::TargetTooLong
    }
}

#[cold]
fn fault_of(error: httparse::Error, bytes: &[u8]) -> HeadFault {
    match error {
        httparse::Error::TooManyHeaders => HeadFault::TooManyFields,
        httparse::Error::Version if names_a_version(bytes) => HeadFault::Version,
        httparse::Error::NewLine => HeadFault::BareLineFeed,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => HeadFault::Field,
        _ => HeadFault::StartLine,
    }
}

/// Whether the first line ends with `HTTP/` digit dot digit: a version, only not one of ours.
fn names_a_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
    let mut words = line.split(|b| *b == b' ');
    let (Some(_), Some(_), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

#[cfg(test)]
mod tests;
