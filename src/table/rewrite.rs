//! The path that an upstream sees, and other text that is made anew for each request.
//!
//! What comes from the request goes in as it stands there, encoded; nothing is decoded or encoded
//! on the way.

use super::captures::Captures;
use super::condition::{Fields, NoFields};
use super::edit::{CLAIM, FIELD, PARAMETER};
use super::error::{CompileError, PatternFault};
use super::jwt::{Claims, Quote};
use super::pattern::PathPattern;
use crate::model;
use crate::wire::pairs;

/// How the path changes on its way to the upstream.
#[derive(Clone, Debug)]
pub enum Rewrite {
    /// Not at all.
    Keep,
    /// A start of the path is replaced.
    Prefix(Box<PrefixRewrite>),
    /// So many bytes are taken off the start of the path. They are what the route asks for, so
    /// every path that it matches has them.
    Strip(u32),
    /// The path is made anew of text and captures.
    Template(Box<Template>),
}

/// A start of the path, and what takes its place.
#[derive(Clone, Debug)]
pub struct PrefixRewrite {
    /// A path that starts otherwise is kept.
    pub pattern: Box<[u8]>,
    /// What the pattern is replaced by.
    pub replacement: Box<[u8]>,
}

/// A path that is made anew.
#[derive(Clone, Debug)]
pub struct Template {
    /// What it is made of.
    pub pieces: Pieces,
    /// Whether it ends in a slash only where the path of the request does.
    pub trims_slash: bool,
}

/// Text with places that a request fills in.
#[derive(Clone, Debug)]
pub struct Pieces(Box<[Piece]>);

#[derive(Clone, Debug)]
enum Piece {
    Capture(u8),
    /// Of the token that was the proof.
    Claim(Quote),
    /// The value of a field.
    Field(Box<[u8]>),
    Host,
    /// The value of a query parameter.
    Parameter(Box<[u8]>),
    Path,
    Query,
    Text(Box<[u8]>),
    /// One of the values that a part of an aggregate is made for.
    Value,
}

/// What may stand in a template besides captures.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Places {
    /// Fields and claims: it makes a path.
    Captures,
    /// `{value}`: it makes the path of a part.
    Part,
    /// `{host}`, `{path}` and `{query}`.
    Request,
}

/// What a request puts in the places of [`Pieces`].
pub(super) struct Filling<'a> {
    pub(super) path: &'a [u8],
    pub(super) source: &'a Source<'a>,
    pub(super) host: &'a [u8],
    pub(super) query: &'a [u8],
    pub(super) value: &'a [u8],
}

/// What a request has for a path that is made anew.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What its path captures.
    pub captures: &'a Captures,
    /// What its token says, if that was the proof.
    pub claims: Option<&'a Claims>,
    /// Its fields.
    pub fields: &'a dyn Fields,
}

// === impl Source ===

impl<'a> Source<'a> {
    /// A request of which only the path counts.
    pub(super) fn of_path(captures: &'a Captures) -> Self {
        Self {
            captures,
            claims: None,
            fields: &NoFields,
        }
    }
}

// === impl Rewrite ===

impl Rewrite {
    /// Appends the new form of `path` to `into`; it always starts with `/`.
    ///
    /// Captures go in as they stand, encoded as in the path. Where a replaced prefix and what
    /// follows it would bring two slashes together, one is left out.
    pub fn apply(&self, path: &[u8], query: &[u8], source: &Source<'_>, into: &mut Vec<u8>) {
        let start = into.len();
        match self {
            Self::Keep => into.extend_from_slice(path),
            Self::Prefix(prefix) => prefix.apply(path, into),
            Self::Strip(count) => {
                into.extend_from_slice(path.get(*count as usize..).unwrap_or_default());
            }
            Self::Template(template) => {
                template.pieces.fill(
                    &Filling {
                        path,
                        source,
                        host: b"",
                        query,
                        value: b"",
                    },
                    into,
                );
                if template.trims_slash && !path.ends_with(b"/") {
                    while into.len() > start && into.ends_with(b"/") {
                        into.pop();
                    }
                }
            }
        }
        if into.get(start) != Some(&b'/') {
            into.insert(start, b'/');
        }
    }

    pub(super) fn compile(
        id: &str,
        route: &model::Route,
        path: PathPattern<'_>,
    ) -> Result<Self, CompileError> {
        let no_control = |text: &str| {
            let control = text.bytes().any(|byte| byte.is_ascii_control());
            let fault = rewrite_error(id, text, PatternFault::Control);
            if control {
                Err(fault)
            } else {
                Ok(text.as_bytes().into())
            }
        };
        match (&route.rewrite_pattern, &route.rewrite_template) {
            (None, None) => Ok(Self::Keep),
            (_, Some(template)) => {
                let pieces = Pieces::parse(template, &path.capture_names(), Places::Captures);
                let pieces = pieces.map_err(|fault| rewrite_error(id, template, fault))?;
                Ok(Self::Template(Box::new(Template {
                    pieces,
                    trims_slash: route.rewrite_trims_slash,
                })))
            }
            (Some(pattern), None)
                if route.rewrite_replacement.is_empty() && path.has_start(pattern) =>
            {
                Ok(Self::Strip(pattern.len() as u32))
            }
            (Some(pattern), None) => Ok(Self::Prefix(Box::new(PrefixRewrite {
                pattern: no_control(pattern)?,
                replacement: no_control(&route.rewrite_replacement)?,
            }))),
        }
    }
}

// === impl PrefixRewrite ===

impl PrefixRewrite {
    fn apply(&self, path: &[u8], into: &mut Vec<u8>) {
        let Some(rest) = path.strip_prefix(&*self.pattern) else {
            into.extend_from_slice(path);
            return;
        };
        into.extend_from_slice(&self.replacement);
        let doubled = self.replacement.ends_with(b"/");
        let rest = rest.strip_prefix(b"/").filter(|_| doubled).unwrap_or(rest);
        into.extend_from_slice(rest);
    }
}

// === impl Pieces ===

impl Pieces {
    pub(super) fn parse(
        text: &str,
        captures: &[&str],
        places: Places,
    ) -> Result<Self, PatternFault> {
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(PatternFault::Control);
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(PatternFault::Brace)?;
            pieces.extend(Piece::text(before)?);
            let capture = captures.iter().position(|capture| *capture == name);
            pieces.push(match (capture, name, places) {
                (Some(index), _, _) => Piece::Capture(index as u8),
                (None, "host", Places::Request) => Piece::Host,
                (None, "path", Places::Request) => Piece::Path,
                (None, "query", Places::Request) => Piece::Query,
                (None, "value", Places::Part) => Piece::Value,
                (None, name, places) => Piece::named(name, places)?,
            });
            rest = after;
        }
        pieces.extend(Piece::text(rest)?);
        Ok(Self(pieces.into()))
    }

    pub(super) fn use_captures(&self) -> bool {
        self.0
            .iter()
            .any(|piece| matches!(piece, Piece::Capture(_)))
    }

    pub(super) fn fill(&self, with: &Filling<'_>, into: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Capture(index) => {
                    let text = with.source.captures.text(usize::from(*index), with.path);
                    into.extend_from_slice(text);
                }
                Piece::Claim(quote) => {
                    let mut text = Vec::new();
                    quote.put(with.source.claims, &mut text);
                    put_plain(&text, into);
                }
                Piece::Field(name) => {
                    with.source.fields.any(name, &mut |value| {
                        put_plain(value, into);
                        true
                    });
                }
                Piece::Host => into.extend_from_slice(with.host),
                Piece::Parameter(name) => {
                    put_part(pairs::parameter(with.query, name).unwrap_or_default(), into);
                }
                Piece::Path => into.extend_from_slice(with.path),
                Piece::Query if with.query.is_empty() => {}
                Piece::Query => {
                    into.push(b'?');
                    into.extend_from_slice(with.query);
                }
                Piece::Text(text) => into.extend_from_slice(text),
                Piece::Value => put_plain(with.value, into),
            }
        }
    }
}

// === impl Piece ===

impl Piece {
    fn text(text: &str) -> Result<Option<Self>, PatternFault> {
        if text.contains('}') {
            return Err(PatternFault::Brace);
        }
        Ok((!text.is_empty()).then(|| Self::Text(text.as_bytes().into())))
    }

    /// What a place stands for that has a name of its own.
    fn named(name: &str, places: Places) -> Result<Self, PatternFault> {
        if let Some(name) = name.strip_prefix(PARAMETER) {
            return Ok(Self::Parameter(name.as_bytes().into()));
        }
        let field = name.strip_prefix(FIELD);
        let claim = name.strip_prefix(CLAIM);
        match (places, field, claim) {
            (Places::Captures, Some(name), _) => {
                Ok(Self::Field(name.to_ascii_lowercase().into_bytes().into()))
            }
            (Places::Captures, _, Some(claim)) => Ok(Self::Claim(Quote::parse(claim))),
            _ => Err(PatternFault::UnknownCapture),
        }
    }
}

/// The same for a text that is not encoded.
fn put_plain(value: &[u8], into: &mut Vec<u8>) {
    let start = into.len();
    value.iter().for_each(|byte| put_byte(*byte, into));
    if into.iter().skip(start).all(|byte| *byte == b'.') {
        into.truncate(start);
    }
}

/// Puts a value of the query into a path, as a part of a segment: a slash, a backslash or a `?` in
/// it, escaped or not, ends nothing, and dots alone go nowhere.
fn put_part(value: &[u8], into: &mut Vec<u8>) {
    let start = into.len();
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = (byte == b'%').then(|| after.first_chunk::<2>().copied().and_then(unescaped));
        match (byte, escaped.flatten()) {
            (_, Some(plain)) => {
                rest = after.get(2..).unwrap_or_default();
                put_byte(plain, into);
            }
            _ => put_byte(byte, into),
        }
    }
    if into
        .get(start..)
        .unwrap_or_default()
        .iter()
        .all(|byte| *byte == b'.')
    {
        into.truncate(start);
    }
}

fn unescaped([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Puts a byte into a path. What would be a slash stays away: no server is to take it for one.
fn put_byte(byte: u8, into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    match byte {
        b'/' | b'\\' | 0 => {}
        _ if byte.is_ascii_alphanumeric() || b"-._~!$'()*,;:@".contains(&byte) => into.push(byte),
        _ => {
            let digits = [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)]);
            into.extend_from_slice(&[b'%', digits[0], digits[1]]);
        }
    }
}

pub(super) fn rewrite_error(id: &str, template: &str, fault: PatternFault) -> CompileError {
    CompileError::Rewrite {
        route: id.into(),
        template: template.into(),
        fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_CAPTURES: &Captures = &Captures::NONE;

    fn nothing() -> Source<'static> {
        Source::of_path(NO_CAPTURES)
    }

    fn prefix(pattern: &str, replacement: &str) -> Rewrite {
        Rewrite::Prefix(Box::new(PrefixRewrite {
            pattern: pattern.as_bytes().into(),
            replacement: replacement.as_bytes().into(),
        }))
    }

    fn applied(rewrite: &Rewrite, path: &str) -> String {
        let mut into = b"before ".to_vec();
        rewrite.apply(path.as_bytes(), b"", &nothing(), &mut into);
        String::from_utf8(into).expect("text")
    }

    #[test]
    fn a_prefix_is_replaced_and_the_result_is_a_path() {
        for (pattern, replacement, path, expected) in [
            ("/api", "", "/api/x", "/x"),
            ("/api", "", "/api", "/"),
            ("/api/", "", "/api/x", "/x"),
            ("/api", "/", "/api/x", "/x"),
            ("/api", "/v2/", "/api/x", "/v2/x"),
            ("/api", "/v2", "/api/x", "/v2/x"),
            ("/api", "v2", "/api/x", "/v2/x"),
            ("/api", "/v2", "/other", "/other"),
        ] {
            let expected = format!("before {expected}");
            assert_eq!(
                applied(&prefix(pattern, replacement), path),
                expected,
                "{pattern}"
            );
        }
        assert_eq!(applied(&Rewrite::Keep, "/a"), "before /a");
    }

    #[test]
    fn a_slash_at_the_end_can_be_that_of_the_request() {
        for (text, path, expected) in [
            ("/a/", "/x", "/a"),
            ("/a/", "/x/", "/a/"),
            ("/", "/x", "/"),
            ("/a", "/x/", "/a"),
        ] {
            let rewrite = Rewrite::Template(Box::new(Template {
                pieces: Pieces::parse(text, &[], Places::Captures).unwrap(),
                trims_slash: true,
            }));
            assert_eq!(applied(&rewrite, path), format!("before {expected}"));
        }
    }

    #[test]
    fn a_value_of_the_query_stays_within_its_segment() {
        let pieces = Pieces::parse("/a/{query.v}/z", &[], Places::Captures).unwrap();
        let rewrite = Rewrite::Template(Box::new(Template {
            pieces,
            trims_slash: false,
        }));
        for (query, expected) in [
            ("v=5", "/a/5/z"),
            ("x=1&v=a.b", "/a/a.b/z"),
            ("v=a%20b%3f", "/a/a%20b%3F/z"),
            ("v=../../etc", "/a/....etc/z"),
            ("v=%2e%2E%2f", "/a//z"),
            ("v=..", "/a//z"),
            ("v=a?b%", "/a/a%3Fb%25/z"),
            ("", "/a//z"),
        ] {
            let mut into = Vec::new();
            rewrite.apply(b"/", query.as_bytes(), &nothing(), &mut into);
            assert_eq!(String::from_utf8(into).unwrap(), expected, "{query}");
        }
    }

    #[test]
    fn templates_refuse_what_they_cannot_fill_in() {
        let parse = |text, places| Pieces::parse(text, &["id"], places).map(|_| ()).err();
        assert_eq!(parse("/{id}/{id}", Places::Captures), None);
        assert_eq!(parse("https://{host}{path}{query}", Places::Request), None);
        assert_eq!(
            parse("/{path}", Places::Captures),
            Some(PatternFault::UnknownCapture)
        );
        assert_eq!(
            parse("/{name}", Places::Request),
            Some(PatternFault::UnknownCapture)
        );
        assert_eq!(parse("/{id", Places::Captures), Some(PatternFault::Brace));
        assert_eq!(parse("/id}", Places::Captures), Some(PatternFault::Brace));
        assert_eq!(
            parse("/a\r\n", Places::Captures),
            Some(PatternFault::Control)
        );
    }
}
