//! Heads that we send. Nothing is forwarded raw: each line is written anew from what was
//! understood.

use std::io::Write;
use std::ops::Range;

use super::field::{self, Field, Name};
use super::head::{Body, Request, Response, Version};

/// The name under which Ringway appears in `Via` and `Proxy-Status`.
pub const PSEUDONYM: &str = "ringway";

/// The version in `Via` is the one in which the message came (RFC 9110 §7.6.3).
fn via(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"Via: 1.0 ringway\r\n",
        Version::Http11 => b"Via: 1.1 ringway\r\n",
    }
}

/// What the head that goes to the origin says beside what the client said.
pub struct RequestPlan<'a> {
    /// The path to ask for, in normal form.
    pub path: &'a [u8],
    /// The host and port asked for.
    pub host: &'a [u8],
    /// The query, without `?`.
    pub query: Option<&'a [u8]>,
    /// Who asks.
    pub client: &'a Forwarding,
    /// Whether the client's own forwarding fields are believed.
    pub trusted: bool,
    /// The protocol to switch to.
    pub upgrade: Option<&'a [u8]>,
    /// Whether fields with an underscore in the name are left out.
    pub drop_underscores: bool,
    /// Whether the origin may send trailers that somebody reads.
    pub wants_trailers: bool,
    /// The host and port that the client asked for.
    pub asked_host: &'a [u8],
    /// What else changes on the way.
    pub edits: Option<&'a dyn Edits>,
}

impl RequestPlan<'_> {
    /// Whether a field does not go on although nothing in HTTP says so.
    #[inline]
    fn leaves_out(&self, field: &Field<'_>, name: Name, dropping: Option<&dyn Edits>) -> bool {
        (self.drop_underscores && name == Name::Other && field.name.contains('_'))
            || dropping.is_some_and(|edits| edits.drops(field.name))
    }
}

/// Ready-made text about one client, made once for many requests: all lines for one that is not
/// trusted, without the two places of the host asked for. The default is about none, and empty.
///
/// In front of the text stand two bytes: how many bytes the address has, which stands behind the
/// first name, and how many there are up to the first place of the host. So this is two words, of
/// which each connection has the memory.
#[derive(Debug, Default)]
pub struct Forwarding(Box<[u8]>);

const FORWARDED_FOR: &[u8] = b"X-Forwarded-For: ";
/// Bytes in front of the text.
const LENGTHS: usize = 2;
const FORWARDED: &[u8] = b"\r\nForwarded: ";

impl Forwarding {
    /// For a client at this address.
    pub fn of(address: std::net::IpAddr) -> Self {
        let mut text = Vec::with_capacity(160);
        put(&mut text, &[&[0; LENGTHS], FORWARDED_FOR]);
        let shown_from = text.len();
        let _ = write!(text, "{address}");
        let shown = shown_from..text.len();
        put(&mut text, &[b"\r\nX-Forwarded-Proto: http\r\nX-Real-IP: "]);
        text.extend_from_within(shown.clone());
        put(&mut text, &[b"\r\nX-Forwarded-Host: "]);
        let before_host = text.len();
        let (opening, closing): (&[u8], &[u8]) = match address {
            std::net::IpAddr::V4(_) => (b"for=", b";host=\""),
            std::net::IpAddr::V6(_) => (b"for=\"[", b"]\";host=\""),
        };
        put(&mut text, &[FORWARDED, opening]);
        text.extend_from_within(shown.clone());
        put(&mut text, &[closing]);
        if let [address, before, ..] = &mut *text {
            // An address has no more than 39 characters.
            *address = shown.len() as u8;
            *before = (before_host - LENGTHS) as u8;
        }
        Self(text.into())
    }

    /// Whether it is about nobody.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The address as text.
    pub fn address(&self) -> &[u8] {
        let Some((&[address, _], text)) = self.0.split_first_chunk() else {
            return &[];
        };
        let start = FORWARDED_FOR.len();
        text.get(start..start + usize::from(address))
            .unwrap_or_default()
    }

    /// What stands before the first place of the host, and what between the two.
    #[inline]
    fn around_host(&self) -> (&[u8], &[u8]) {
        let Some((&[_, before], text)) = self.0.split_first_chunk() else {
            return (&[], &[]);
        };
        text.split_at_checked(usize::from(before))
            .unwrap_or_default()
    }

    /// The element of `Forwarded` up to the host.
    fn element(&self) -> &[u8] {
        let (_, between_hosts) = self.around_host();
        between_hosts.get(FORWARDED.len()..).unwrap_or_default()
    }
}

/// Writes the request head for the origin.
pub fn request(head: &Request<'_, '_>, plan: &RequestPlan<'_>, out: &mut Vec<u8>) {
    put(out, &[head.method.as_bytes(), b" ", plan.path]);
    if let Some(query) = plan.query {
        put(out, &[b"?", query]);
    }
    put(out, &[b" HTTP/1.1\r\nHost: ", plan.host, b"\r\n"]);
    let dropping = plan.edits.filter(|edits| edits.drops_any());
    let replacing = plan.edits.filter(|edits| edits.replaces());
    let mut lines = Lines::of(head.bytes, out);
    for field in head.fields {
        let name = Name::of(field.name);
        if goes_on(field, name, head.fields, head.connection.names_fields)
            && !(is_rewritten(name) || plan.leaves_out(field, name, dropping))
        {
            put_line(field, replacing, &mut lines);
        } else if name == Name::MaxForwards {
            put_max_forwards(head.method, field, lines.between());
        }
    }
    lines.end();
    if let Some(edits) = plan.edits {
        edits.put(out);
    }
    put_length(out, head.body);
    if head.expects_continue {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    if plan.wants_trailers {
        out.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n");
    }
    put_forwarding(head, plan, out);
    out.extend_from_slice(via(head.version));
    if let Some(protocol) = plan.upgrade {
        put(
            out,
            &[b"Connection: upgrade\r\nUpgrade: ", protocol, b"\r\n"],
        );
    }
    out.extend_from_slice(b"\r\n");
}

/// What the head that goes to the client says beside what the origin said.
pub struct ResponsePlan<'a> {
    /// How the body ends on the client's side.
    pub body: Body,
    /// The date, for an origin that sent none (RFC 9110 §6.6.1).
    pub date: &'a [u8],
    /// What is said about the connection.
    pub connection: Persistence,
    /// The protocol switched to, on a 101.
    pub upgrade: Option<&'a [u8]>,
    /// What else changes on the way.
    pub edits: Option<&'a dyn Edits>,
}

/// What somebody adds to a head and takes from it on its way.
pub trait Edits {
    /// Whether there are fields that do not go on.
    fn drops_any(&self) -> bool;
    /// Whether the field `name` does not go on.
    fn drops(&self, name: &str) -> bool;
    /// Writes further field lines.
    fn put(&self, out: &mut Vec<u8>);
    /// Whether values of fields change.
    fn replaces(&self) -> bool {
        false
    }
    /// Writes the line of a field whose value changes; `false` if it stays as it is.
    fn replace(&self, _field: &Field<'_>, _out: &mut Vec<u8>) -> bool {
        false
    }
}

/// What a response says about the connection that it comes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Persistence {
    /// Nothing: it stays open, as HTTP/1.1 has it.
    Implied,
    /// `keep-alive`, for a client of HTTP/1.0 that asked for it.
    KeepAlive,
    /// `close`.
    Close,
}

/// Writes the response head for the client.
pub fn response(head: &Response<'_, '_>, plan: &ResponsePlan<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    put_status(out, head.status);
    put(out, &[b" ", head.reason.as_bytes(), b"\r\n"]);
    let dropping = plan.edits.filter(|edits| edits.drops_any());
    let replacing = plan.edits.filter(|edits| edits.replaces());
    let mut lines = Lines::of(head.bytes, out);
    for field in head.fields {
        let name = Name::of(field.name);
        if goes_on(field, name, head.fields, head.connection.names_fields)
            && !dropping.is_some_and(|edits| edits.drops(field.name))
        {
            put_line(field, replacing, &mut lines);
        }
    }
    lines.end();
    if let Some(edits) = plan.edits {
        edits.put(out);
    }
    if !head.has_date && head.status >= 200 {
        put(out, &[b"Date: ", plan.date, b"\r\n"]);
    }
    if plan.body == Body::None {
        put_length_without_body(out, head);
    } else {
        put_length(out, plan.body);
    }
    out.extend_from_slice(via(head.version));
    match (plan.connection, plan.upgrade) {
        (_, Some(protocol)) => {
            put(
                out,
                &[b"Connection: upgrade\r\nUpgrade: ", protocol, b"\r\n"],
            );
        }
        (Persistence::Close, None) => out.extend_from_slice(b"Connection: close\r\n"),
        (Persistence::KeepAlive, None) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (Persistence::Implied, None) => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a field of a response goes on to the client.
pub fn goes_to_client(head: &Response<'_, '_>, field: &Field<'_>) -> bool {
    let name = Name::of(field.name);
    goes_on(field, name, head.fields, head.connection.names_fields)
}

/// The `Via` line that a response gets.
pub fn put_via(head: &Response<'_, '_>, out: &mut Vec<u8>) {
    out.extend_from_slice(via(head.version));
}

#[inline]
fn put_line<'b>(field: &Field<'b>, replacing: Option<&dyn Edits>, lines: &mut Lines<'b, '_>) {
    if replacing.is_none_or(|edits| !edits.replace(field, lines.between())) {
        lines.put(field);
    }
}

/// A response without body still says how long it would be: for HEAD and 304, what the origin said;
/// else 0, where that is allowed (RFC 9110 §8.6).
fn put_length_without_body(out: &mut Vec<u8>, head: &Response<'_, '_>) {
    let may_have_length = head.status >= 200 && head.status != 204;
    match head.content_length {
        Some(length) if may_have_length => put_length(out, Body::Length(length)),
        None if may_have_length && head.has_transfer_encoding => put_length(out, Body::Chunked),
        _ => {}
    }
}

/// Field lines on their way into a head. Those that came in the form in which we write them, which
/// is nearly all, are copied as many at a time as stand together.
struct Lines<'b, 'o> {
    bytes: &'b [u8],
    out: &'o mut Vec<u8>,
    /// Where in `bytes` the lines stand that are still to be copied.
    run: Range<usize>,
}

impl<'b, 'o> Lines<'b, 'o> {
    /// None yet; what is put is a field of the head in `bytes`.
    #[inline]
    fn of(bytes: &'b [u8], out: &'o mut Vec<u8>) -> Self {
        Self {
            bytes,
            out,
            run: 0..0,
        }
    }

    #[inline]
    fn put(&mut self, field: &Field<'b>) {
        match place(self.bytes, field) {
            Some(place) if place.start == self.run.end => self.run.end = place.end,
            Some(place) => {
                self.copy();
                self.run = place;
            }
            None => put_field(self.between(), field.name.as_bytes(), field.value),
        }
    }

    /// Where a line can be written that stands between these.
    fn between(&mut self) -> &mut Vec<u8> {
        self.copy();
        self.out
    }

    #[inline]
    fn end(mut self) {
        self.copy();
    }

    #[inline]
    fn copy(&mut self) {
        let run = std::mem::take(&mut self.run);
        self.out
            .extend_from_slice(self.bytes.get(run).unwrap_or_default());
    }
}

/// Where the line of a field stands in the head that it was read from, if that is how we would
/// write it: one space after the colon, nothing after the value.
#[inline]
fn place(bytes: &[u8], field: &Field<'_>) -> Option<Range<usize>> {
    let start = field
        .name
        .as_ptr()
        .addr()
        .checked_sub(bytes.as_ptr().addr())?;
    let colon = start + field.name.len();
    let end = colon + 2 + field.value.len();
    let is_here = field.value.as_ptr().addr() == bytes.as_ptr().addr() + colon + 2;
    let is_plain =
        bytes.get(colon..colon + 2) == Some(b": ") && bytes.get(end..end + 2) == Some(b"\r\n");
    (is_here && is_plain).then_some(start..end + 2)
}

/// Whether a field goes on to the next hop (RFC 9110 §7.6.1).
#[inline]
fn goes_on(field: &Field<'_>, name: Name, all: &[Field<'_>], names_fields: bool) -> bool {
    let ends_here = name.is_for_this_hop();
    !(ends_here || names_fields && is_named_by_connection(field.name, all))
}

#[cold]
fn is_named_by_connection(name: &str, all: &[Field<'_>]) -> bool {
    field::may_be_named_by_connection(name)
        && all
            .iter()
            .filter(|field| Name::of(field.name) == Name::Connection)
            .flat_map(|field| field::elements(field.value))
            .any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
}

/// Request fields that are written from what was understood, not copied.
fn is_rewritten(name: Name) -> bool {
    matches!(
        name,
        Name::Host
            | Name::Expect
            | Name::Forwarded
            | Name::MaxForwards
            | Name::XForwardedFor
            | Name::XForwardedHost
            | Name::XForwardedProto
            | Name::XRealIp
    )
}

/// The fields that say who asks: those of a trusted peer are carried on, of others replaced.
fn put_forwarding(head: &Request<'_, '_>, plan: &RequestPlan<'_>, out: &mut Vec<u8>) {
    let (client, host) = (plan.client, plan.asked_host);
    if plan.trusted {
        put_forwarding_of_trusted(head, plan, out);
    } else {
        let (before, between) = client.around_host();
        put(out, &[before, host, between]);
    }
    put(out, &[host, b"\";proto=http\r\n"]);
}

#[cold]
fn put_forwarding_of_trusted(head: &Request<'_, '_>, plan: &RequestPlan<'_>, out: &mut Vec<u8>) {
    let client = plan.client;
    out.extend_from_slice(b"X-Forwarded-For: ");
    put_list(out, head.fields, Name::XForwardedFor);
    put(out, &[client.address(), b"\r\n"]);
    if !carry(out, head.fields, Name::XForwardedProto) {
        out.extend_from_slice(b"X-Forwarded-Proto: http\r\n");
    }
    if !carry(out, head.fields, Name::XForwardedHost) {
        put(out, &[b"X-Forwarded-Host: ", plan.asked_host, b"\r\n"]);
    }
    if !carry(out, head.fields, Name::XRealIp) {
        put(out, &[b"X-Real-IP: ", client.address(), b"\r\n"]);
    }
    out.extend_from_slice(b"Forwarded: ");
    put_list(out, head.fields, Name::Forwarded);
    out.extend_from_slice(client.element());
}

/// `Max-Forwards` counts hops for OPTIONS and TRACE; elsewhere it means nothing (RFC 9110 §7.6.2).
#[cold]
fn put_max_forwards(method: &str, field: &Field<'_>, out: &mut Vec<u8>) {
    match field::content_length(field.value) {
        Some(hops) if matches!(method, "OPTIONS" | "TRACE") => {
            out.extend_from_slice(b"Max-Forwards: ");
            put_decimal(out, hops.saturating_sub(1));
            out.extend_from_slice(b"\r\n");
        }
        _ => put_field(out, field.name.as_bytes(), field.value),
    }
}

/// Writes all values of a field in front of our own, as one list.
fn put_list(out: &mut Vec<u8>, fields: &[Field<'_>], wanted: Name) {
    for field in fields.iter().filter(|field| Name::of(field.name) == wanted) {
        if !field.value.is_empty() {
            put(out, &[field.value, b", "]);
        }
    }
}

/// Copies the lines of a field; says whether there was one.
fn carry(out: &mut Vec<u8>, fields: &[Field<'_>], wanted: Name) -> bool {
    let mut found = false;
    for field in fields.iter().filter(|field| Name::of(field.name) == wanted) {
        put_field(out, field.name.as_bytes(), field.value);
        found = true;
    }
    found
}

fn put_length(out: &mut Vec<u8>, body: Body) {
    match body {
        Body::None | Body::UntilClose => {}
        Body::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Body::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            put_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Writes one field line.
#[inline]
pub fn put_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal digits.
#[inline]
pub fn put_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn put_status(out: &mut Vec<u8>, status: u16) {
    put_decimal(out, u64::from(status));
}

#[inline]
fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let total = parts.iter().map(|part| part.len()).sum();
    out.reserve(total);
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::Forwarding;

    #[test]
    fn a_client_is_named_in_each_line_as_it_is_written_there() {
        let said = |address: &str| {
            let forwarding = Forwarding::of(address.parse::<IpAddr>().unwrap());
            assert_eq!(forwarding.address(), address.as_bytes());
            let (before_host, between_hosts) = forwarding.around_host();
            let text = [before_host, b"HOST", between_hosts].concat();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(
            said("192.0.2.1"),
            "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Real-IP: 192.0.2.1\r\n\
             X-Forwarded-Host: HOST\r\nForwarded: for=192.0.2.1;host=\""
        );
        let longest = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff";
        assert_eq!(
            said(longest),
            format!(
                "X-Forwarded-For: {longest}\r\nX-Forwarded-Proto: http\r\nX-Real-IP: {longest}\r\n\
                 X-Forwarded-Host: HOST\r\nForwarded: for=\"[{longest}]\";host=\""
            )
        );
        assert!(Forwarding::default().address().is_empty());
    }
}
