//! Changes to fields and queries, and the texts that a request fills in.

use super::captures::Captures;
use super::condition::Fields;
use super::error::{CompileError, PatternFault};
use super::jwt::{Claims, Quote};
use crate::model;
use crate::model::policy::{Auth, AuthKind, Replacement};
use crate::wire::compose::put_field;
use crate::wire::pairs;

/// Changes to the fields of a message, or to a query.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// Names of what goes: removed, or set anew; fields in lower case.
    dropped: Box<[Box<str>]>,
    /// Text that is replaced.
    replaced: Box<[Replaced]>,
    /// What is put in.
    put: Box<[(Box<str>, Text)]>,
    /// Whether that comes before all else; in a query.
    first: bool,
}

/// Text that is replaced in the values of a field.
#[derive(Clone, Debug)]
struct Replaced {
    field: Box<str>,
    /// None is the URL of the server.
    find: Option<Box<[u8]>>,
    with: Box<[u8]>,
}

/// A text with places that a request fills in.
#[derive(Clone, Debug)]
pub struct Text(Box<[Piece]>);

#[derive(Clone, Debug)]
enum Piece {
    Capture(u8),
    /// Of the token that was the proof.
    Claim(Quote),
    ClientIp,
    Consumer,
    /// The value of a field.
    Field(Box<[u8]>),
    Host,
    Literal(Box<[u8]>),
    Method,
    /// The value of a query parameter, as it stands.
    Parameter(Box<[u8]>),
    Path,
    Query,
    Route,
}

/// What stands before the name of a query parameter in a place.
pub(super) const PARAMETER: &str = "query.";
/// What stands before the name of a field in a place.
pub(super) const FIELD: &str = "header.";
/// What stands before the name of a claim in a place.
pub(super) const CLAIM: &str = "claim.";
/// What stands for the URL of the server that answered.
const SERVER_URL: &str = "{server_url}";

/// What a request puts in the places of a [`Text`].
#[derive(Clone, Copy, Debug)]
pub struct Filling<'a> {
    /// The client's address.
    pub client_ip: &'a [u8],
    /// Who it has proved to be; empty if nobody asked.
    pub consumer: &'a [u8],
    /// What its token says, if that was the proof.
    pub claims: Option<&'a Claims>,
    /// The fields.
    pub fields: &'a dyn Fields,
    /// The host asked for.
    pub host: &'a [u8],
    /// The method.
    pub method: &'a [u8],
    /// The path.
    pub path: &'a [u8],
    /// The query without its `?`.
    pub query: &'a [u8],
    /// The route's id.
    pub route: &'a [u8],
    /// What the path captures.
    pub captures: &'a Captures,
}

// === impl Edits ===

impl Edits {
    /// What a route says about the request's fields.
    pub(super) fn request(
        id: &str,
        route: &model::Route,
        captures: &[&str],
    ) -> Result<Self, CompileError> {
        let mut all = route.request_headers.clone().unwrap_or_default();
        all.set.extend(route.upstream_headers.iter().cloned());
        if let Some(auth) = &route.auth {
            // Whoever is let in is named by us, never by the client; and what proves it ends here.
            all.remove.push("x-consumer-name".to_owned());
            proofs(auth, &mut all.remove);
        }
        Self::of(id, Some(&all), captures)
    }

    /// What a route says about the query.
    pub(super) fn query(
        id: &str,
        route: &model::Route,
        captures: &[&str],
    ) -> Result<Self, CompileError> {
        let mut all = route.request_query.clone().unwrap_or_default();
        if let Some(auth) = &route.auth {
            proofs_in_query(auth, &mut all.remove);
        }
        Ok(Self {
            first: route.request_query_first,
            ..Self::of(id, Some(&all), captures)?
        })
    }

    /// Compiles what is declared.
    pub(super) fn of(
        id: &str,
        declared: Option<&model::policy::Edits>,
        captures: &[&str],
    ) -> Result<Self, CompileError> {
        let Some(declared) = declared else {
            return Ok(Self::default());
        };
        let set = declared.set.iter().map(|one| &one.name);
        let dropped = declared.remove.iter().chain(set);
        let put = declared.set.iter().chain(&declared.add);
        let put = put.map(|one| {
            let text = Text::parse(id, &one.value, captures)?;
            Ok((one.name.as_str().into(), text))
        });
        Ok(Self {
            dropped: dropped.map(|name| name.as_str().into()).collect(),
            replaced: declared.replace.iter().map(Replaced::of).collect(),
            first: false,
            put: put.collect::<Result<_, CompileError>>()?,
        })
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.dropped.is_empty() && self.put.is_empty() && self.replaced.is_empty()
    }

    /// In words, for `explain`.
    pub fn describe(&self) -> String {
        let put: Vec<&str> = self.put.iter().map(|(name, _)| &**name).collect();
        let gone = self.dropped.iter().map(|name| &**name);
        let gone: Vec<&str> = gone.filter(|name| !put.contains(name)).collect();
        let replaced: Vec<&str> = self.replaced.iter().map(|one| &*one.field).collect();
        let said = [
            (gone, "taken out"),
            (replaced, "replaced in"),
            (put, "put in"),
        ];
        let said = said.into_iter().filter(|(names, _)| !names.is_empty());
        let said = said.map(|(names, what)| format!("{} {what}", names.join(", ")));
        said.collect::<Vec<_>>().join(", ")
    }

    /// Whether fields go.
    #[inline]
    pub fn drops_any(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// Whether the values of fields are looked through for text that is replaced.
    #[inline]
    pub fn replaces(&self) -> bool {
        !self.replaced.is_empty()
    }

    /// Writes the line of the field `name` with what is replaced in `value`; `false` if nothing is
    /// replaced in that field. `server` is the URL of the server that answered.
    pub fn put_replaced(&self, name: &str, value: &[u8], server: &str, out: &mut Vec<u8>) -> bool {
        let is_for = |one: &&Replaced| one.field.eq_ignore_ascii_case(name);
        if !self.replaced.iter().any(|one| is_for(&one)) {
            return false;
        }
        let mut value = value.to_vec();
        for one in self.replaced.iter().filter(is_for) {
            let find = one.find.as_deref().unwrap_or(server.as_bytes());
            value = replaced(&value, find, &one.with);
        }
        put_field(out, name.as_bytes(), &value);
        true
    }

    /// Whether the field `name` goes; case does not matter.
    pub fn drops_field(&self, name: &str) -> bool {
        self.dropped
            .iter()
            .any(|dropped| dropped.eq_ignore_ascii_case(name))
    }

    /// Writes the field lines that are put in. What a request brings in that no field may have is
    /// left out.
    pub fn put_fields(&self, with: &Filling<'_>, out: &mut Vec<u8>) {
        for (name, text) in &self.put {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            let start = out.len();
            text.fill(with, out);
            drop_controls(out, start);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Writes the query as it is after the changes, without a `?`.
    pub fn edit_query(&self, with: &Filling<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        if self.first {
            self.put_parameters(with, start, out);
        }
        let pairs = with.query.split(|byte| *byte == b'&');
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
            if !self
                .dropped
                .iter()
                .any(|dropped| dropped.as_bytes() == name)
            {
                separate(out, start);
                self.put_pair(name, pair, out);
            }
        }
        if !self.first {
            self.put_parameters(with, start, out);
        }
    }

    /// Writes a parameter of the client, with what is replaced in its value.
    fn put_pair(&self, name: &[u8], pair: &[u8], out: &mut Vec<u8>) {
        let is_for = |one: &&Replaced| one.field.as_bytes() == name;
        if !self.replaced.iter().any(|one| is_for(&one)) {
            return out.extend_from_slice(pair);
        }
        let (name, value) = pair.split_at((name.len() + 1).min(pair.len()));
        let mut value = value.to_vec();
        for one in self.replaced.iter().filter(is_for) {
            value = replaced(&value, one.find.as_deref().unwrap_or_default(), &one.with);
        }
        out.extend_from_slice(name);
        let start = out.len();
        out.extend_from_slice(&value);
        encode(out, start);
    }

    fn put_parameters(&self, with: &Filling<'_>, start: usize, out: &mut Vec<u8>) {
        for (name, text) in &self.put {
            separate(out, start);
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            let value = out.len();
            text.fill(with, out);
            encode(out, value);
        }
    }

    pub(super) fn use_captures(&self) -> bool {
        self.put.iter().any(|(_, text)| text.uses_captures())
    }
}

/// The fields that prove who asks, and those that only a service asked before may set.
fn proofs(auth: &Auth, names: &mut Vec<String>) {
    match auth.kind {
        AuthKind::Anonymous => {}
        AuthKind::Basic => names.push("authorization".to_owned()),
        AuthKind::ApiKey => {
            names.push(auth.header.clone());
            if !auth.entities.is_empty() {
                let entity = [
                    "otoroshi-client-id",
                    "otoroshi-client-secret",
                    "authorization",
                ];
                names.extend(entity.map(str::to_owned));
            }
        }
        AuthKind::Chain => auth.any.iter().for_each(|link| proofs(link, names)),
        AuthKind::ForwardAuth => {
            let forward = auth.forward.iter();
            names.extend(forward.flat_map(|forward| forward.response_headers.iter().cloned()));
        }
        AuthKind::Jwt => {
            let Some(jwt) = auth.jwt.as_ref().filter(|jwt| jwt.strip) else {
                return;
            };
            names.extend(jwt.from.iter().filter_map(|place| place.header.clone()));
            if jwt.from.is_empty() {
                names.push("authorization".to_owned());
            }
        }
    }
}

/// The query parameters that prove who asks.
fn proofs_in_query(auth: &Auth, names: &mut Vec<String>) {
    names.extend(auth.query.clone());
    let jwt = auth.jwt.as_ref().filter(|jwt| jwt.strip);
    let places = jwt.into_iter().flat_map(|jwt| &jwt.from);
    names.extend(places.filter_map(|place| place.query.clone()));
    auth.any
        .iter()
        .for_each(|link| proofs_in_query(link, names));
}

fn separate(out: &mut Vec<u8>, start: usize) {
    if out.len() > start {
        out.push(b'&');
    }
}

/// Takes out of `out`, from `start` on, what would end a line.
fn drop_controls(out: &mut Vec<u8>, start: usize) {
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    if out.get(start..).unwrap_or_default().iter().any(is_control) {
        let mut index = 0;
        out.retain(|byte| {
            index += 1;
            index <= start || !is_control(byte)
        });
    }
}

/// Percent-encodes what of `out`, from `start` on, would end a value or break the request line.
fn encode(out: &mut Vec<u8>, start: usize) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut at = start;
    while let Some(byte) = out.get(at).copied() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~%/:@!$'()*,;".contains(&byte);
        if plain {
            at += 1;
            continue;
        }
        let digits = [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)]);
        out.splice(at..=at, [b'%', digits[0], digits[1]]);
        at += 3;
    }
}

impl Replaced {
    fn of(declared: &Replacement) -> Self {
        let find = declared.find.as_str();
        Self {
            field: declared.name.as_str().into(),
            find: (find != SERVER_URL).then(|| find.as_bytes().into()),
            with: declared.with.as_bytes().into(),
        }
    }
}

/// `value` with `with` wherever it had `find`.
fn replaced(value: &[u8], find: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while !rest.is_empty() {
        if !find.is_empty()
            && let Some(after) = rest.strip_prefix(find)
        {
            out.extend_from_slice(with);
            rest = after;
        } else if let Some((byte, after)) = rest.split_first() {
            out.push(*byte);
            rest = after;
        }
    }
    out
}

// === impl Text ===

impl Text {
    /// Reads `text`, of the route `id`, whose path captures `captures`.
    pub(super) fn parse(id: &str, text: &str, captures: &[&str]) -> Result<Self, CompileError> {
        Self::read(text, captures).map_err(|fault| CompileError::Rewrite {
            route: id.into(),
            template: text.into(),
            fault,
        })
    }

    fn read(text: &str, captures: &[&str]) -> Result<Self, PatternFault> {
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(PatternFault::Control);
        }
        let literal = |text: &str| match text {
            _ if text.contains('}') => Err(PatternFault::Brace),
            "" => Ok(None),
            text => Ok(Some(Piece::Literal(text.as_bytes().into()))),
        };
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(PatternFault::Brace)?;
            pieces.extend(literal(before)?);
            let capture = captures.iter().position(|capture| *capture == name);
            pieces.push(match (capture, name) {
                (Some(index), _) => Piece::Capture(index as u8),
                (None, "client_ip") => Piece::ClientIp,
                (None, "consumer") => Piece::Consumer,
                (None, "host") => Piece::Host,
                (None, "method") => Piece::Method,
                (None, "path") => Piece::Path,
                (None, "query") => Piece::Query,
                (None, "route") => Piece::Route,
                (None, name) => Piece::named(name)?,
            });
            rest = after;
        }
        pieces.extend(literal(rest)?);
        Ok(Self(pieces.into()))
    }

    /// Whether it needs what the path captures.
    pub(super) fn uses_captures(&self) -> bool {
        self.0
            .iter()
            .any(|piece| matches!(piece, Piece::Capture(_)))
    }

    /// Appends the text.
    pub fn fill(&self, with: &Filling<'_>, out: &mut Vec<u8>) {
        for piece in &self.0 {
            out.extend_from_slice(match piece {
                Piece::Claim(quote) => {
                    quote.put(with.claims, out);
                    continue;
                }
                Piece::Field(name) => {
                    with.fields.any(name, &mut |value| {
                        out.extend_from_slice(value);
                        true
                    });
                    continue;
                }
                Piece::Capture(index) => with.captures.text(usize::from(*index), with.path),
                Piece::ClientIp => with.client_ip,
                Piece::Consumer => with.consumer,
                Piece::Host => with.host,
                Piece::Literal(text) => text,
                Piece::Method => with.method,
                Piece::Parameter(name) => pairs::parameter(with.query, name).unwrap_or_default(),
                Piece::Path => with.path,
                Piece::Query => with.query,
                Piece::Route => with.route,
            });
        }
    }
}

// === impl Piece ===

impl Piece {
    /// What a place stands for that has a name of its own.
    fn named(name: &str) -> Result<Self, PatternFault> {
        if let Some(name) = name.strip_prefix(PARAMETER) {
            Ok(Self::Parameter(name.as_bytes().into()))
        } else if let Some(name) = name.strip_prefix(FIELD) {
            Ok(Self::Field(name.to_ascii_lowercase().into_bytes().into()))
        } else if let Some(claim) = name.strip_prefix(CLAIM) {
            Ok(Self::Claim(Quote::parse(claim)))
        } else {
            Err(PatternFault::UnknownCapture)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edits(text: &str) -> Edits {
        let declared: model::policy::Edits = serde_json::from_str(text).unwrap();
        Edits::of("r", Some(&declared), &[]).unwrap()
    }

    fn filling<'a>(query: &'a [u8], captures: &'a Captures) -> Filling<'a> {
        Filling {
            client_ip: b"192.0.2.1",
            consumer: b"",
            claims: None,
            fields: &crate::table::NoFields,
            host: b"h",
            method: b"GET",
            path: b"/p",
            query,
            route: b"r",
            captures,
        }
    }

    #[test]
    fn queries_are_edited() {
        let edits = edits(
            r#"{"remove": ["a"], "set": [{"name": "b", "value": "{path} &"}],
                "add": [{"name": "c", "value": "{method}"}]}"#,
        );
        for (before, after) in [
            ("", "b=/p%20%26&c=GET"),
            ("a=1&b=2&c=3&ab=4", "c=3&ab=4&b=/p%20%26&c=GET"),
            ("a&&x", "x&b=/p%20%26&c=GET"),
        ] {
            let captures = Captures::default();
            let mut out = Vec::new();
            edits.edit_query(&filling(before.as_bytes(), &captures), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), after);
        }
    }

    #[test]
    fn text_is_replaced_and_what_is_put_in_can_come_first() {
        let mut edits = edits(
            r#"{"replace": [{"name": "a", "find": "x", "with": "y&"}, {"name": "B", "find": "1"}],
                "set": [{"name": "n", "value": "1"}]}"#,
        );
        edits.first = true;
        let captures = Captures::default();
        let mut out = Vec::new();
        edits.edit_query(&filling(b"a=axbx&a&B=121&c=x", &captures), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "n=1&a=ay%26by%26&a&B=2&c=x"
        );
        let mut out = Vec::new();
        assert!(edits.put_replaced("b", b"0110", "", &mut out));
        assert!(!edits.put_replaced("c", b"1", "", &mut out));
        assert_eq!(String::from_utf8(out).unwrap(), "b: 00\r\n");
    }

    #[test]
    fn unknown_places_are_refused() {
        for text in ["{unknown}", "{path", "path}", "a\r\nb"] {
            assert!(Text::read(text, &[]).is_err(), "{text}");
        }
        assert!(Text::read("{path}-{id}", &["id"]).is_ok());
    }

    proptest! {
        /// Whatever a request has in it, nothing of it begins a line or leaves its value.
        #[test]
        fn no_request_breaks_out_of_a_value(query in prop::collection::vec(any::<u8>(), 0..40)) {
            let edits = edits(r#"{"set": [{"name": "x", "value": "<{query}>"}]}"#);
            let captures = Captures::default();
            let with = filling(&query, &captures);
            let mut out = b"before\r\n".to_vec();
            edits.put_fields(&with, &mut out);
            prop_assert!(out.starts_with(b"before\r\nx: <") && out.ends_with(b">\r\n"));
            prop_assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 2);
            let mut out = Vec::new();
            let with = Filling { path: &query, ..filling(b"", &captures) };
            let value = edits_of_path();
            value.edit_query(&with, &mut out);
            prop_assert!(out.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'&'));
        }
    }

    fn edits_of_path() -> Edits {
        edits(r#"{"add": [{"name": "x", "value": "{path}"}]}"#)
    }
}
