//! What a route does with a request: forward it, redirect the client, or answer by itself.

use super::condition::Question;
use super::error::{CompileError, PatternFault};
use super::pattern::Captures;
use super::retry::Retries;
use super::upstream::UpstreamId;
use crate::model;

/// What a route does with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Sends it on to an upstream.
    Forward(Forward),
    /// Sends the client elsewhere.
    Redirect(Box<Redirect>),
    /// Answers with something fixed.
    Respond(Box<Respond>),
}

/// How a request is sent on.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Who answers.
    pub upstream: UpstreamId,
    /// The path that the upstream sees.
    pub rewrite: Rewrite,
    /// How long to wait.
    pub timeouts: RouteTimeouts,
    /// Bytes of a response body, at most.
    pub max_response_bytes: u64,
    /// Bytes of a request body, at most, instead of the process-wide limit.
    pub max_body_bytes: Option<u64>,
    /// When a failed try may be repeated.
    pub retries: Retries,
}

/// How long to wait for an upstream, in milliseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RouteTimeouts {
    /// For a connection; the pool of the upstream may say less.
    pub connect_ms: u32,
    /// For a server that takes nothing of the request.
    pub send_ms: u32,
    /// For a server that says nothing.
    pub read_ms: u32,
    /// From the routed request to the last byte of the response.
    pub total_ms: u32,
}

/// How the path changes on its way to the upstream.
#[derive(Clone, Debug)]
pub enum Rewrite {
    /// Not at all.
    Keep,
    /// A start of the path is replaced.
    Prefix(Box<PrefixRewrite>),
    /// The path is made anew of text and captures.
    Template(Pieces),
}

/// A start of the path, and what takes its place.
#[derive(Clone, Debug)]
pub struct PrefixRewrite {
    /// A path that starts otherwise is kept.
    pub pattern: Box<[u8]>,
    /// What the pattern is replaced by.
    pub replacement: Box<[u8]>,
}

/// An answer that sends the client elsewhere.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The `Location`.
    pub to: Pieces,
}

/// A fixed answer.
#[derive(Clone, Debug)]
pub struct Respond {
    /// The status.
    pub status: u16,
    /// The field lines, each with its line end; none about framing or the connection.
    pub fields: Box<[u8]>,
    /// The body.
    pub body: Box<[u8]>,
}

/// Text with places that a request fills in.
#[derive(Clone, Debug)]
pub struct Pieces(Box<[Piece]>);

#[derive(Clone, Debug)]
enum Piece {
    Capture(u8),
    Host,
    Path,
    Query,
    Text(Box<[u8]>),
}

/// What may stand in a template besides captures.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Places {
    /// Nothing: it makes a path.
    Captures,
    /// `{host}`, `{path}` and `{query}`.
    Request,
}

/// Fields that a fixed answer may not set: whoever sends it does.
const OWN_FIELDS: [&str; 8] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

// === impl Action ===

impl Action {
    /// Reads what `route` does, which has the id `id`; `upstream` is the number of the upstream
    /// that it names, `captures` what its path captures.
    pub(super) fn compile(
        id: &str,
        route: &model::Route,
        upstream: Option<UpstreamId>,
        captures: &[&str],
    ) -> Result<Self, CompileError> {
        match (upstream, &route.redirect, &route.respond) {
            (Some(upstream), None, None) => Ok(Self::Forward(Forward {
                upstream,
                rewrite: Rewrite::compile(id, route, captures)?,
                timeouts: RouteTimeouts::of(route),
                max_response_bytes: route.max_response_bytes,
                max_body_bytes: route.max_body_bytes,
                retries: Retries::of(&route.retry),
            })),
            (None, Some(redirect), None) => {
                let to = Pieces::parse(&redirect.to, captures, Places::Request);
                let to = to.map_err(|fault| rewrite_error(id, &redirect.to, fault))?;
                Ok(Self::Redirect(Box::new(Redirect {
                    status: redirect.status,
                    to,
                })))
            }
            (None, None, Some(respond)) => {
                Ok(Self::Respond(Box::new(Respond::compile(id, respond)?)))
            }
            _ => Err(CompileError::Action { route: id.into() }),
        }
    }

    /// Whether it needs to know what the path captures.
    pub(super) fn uses_captures(&self) -> bool {
        match self {
            Self::Forward(Forward {
                rewrite: Rewrite::Template(pieces),
                ..
            }) => pieces.use_captures(),
            Self::Redirect(redirect) => redirect.to.use_captures(),
            Self::Forward(_) | Self::Respond(_) => false,
        }
    }
}

// === impl RouteTimeouts ===

impl RouteTimeouts {
    fn of(route: &model::Route) -> Self {
        let clamp = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
        Self {
            connect_ms: clamp(route.connect_timeout_ms),
            send_ms: clamp(route.send_timeout_ms),
            read_ms: clamp(route.read_timeout_ms),
            total_ms: clamp(route.total_timeout_ms),
        }
    }
}

// === impl Rewrite ===

impl Rewrite {
    /// Appends the new form of `path` to `into`; it always starts with `/`.
    ///
    /// Captures go in as they stand, encoded as in the path. Where a replaced prefix and what
    /// follows it would bring two slashes together, one is left out.
    pub fn apply(&self, path: &[u8], captures: &Captures, into: &mut Vec<u8>) {
        let start = into.len();
        match self {
            Self::Keep => into.extend_from_slice(path),
            Self::Prefix(prefix) => prefix.apply(path, into),
            Self::Template(pieces) => {
                pieces.fill(
                    &Filling {
                        path,
                        captures,
                        host: b"",
                        query: b"",
                    },
                    into,
                );
            }
        }
        if into.get(start) != Some(&b'/') {
            into.insert(start, b'/');
        }
    }

    fn compile(id: &str, route: &model::Route, captures: &[&str]) -> Result<Self, CompileError> {
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
                let pieces = Pieces::parse(template, captures, Places::Captures);
                let pieces = pieces.map_err(|fault| rewrite_error(id, template, fault))?;
                Ok(Self::Template(pieces))
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

// === impl Redirect ===

impl Redirect {
    /// Appends the `Location` for `question` to `into`.
    ///
    /// What the request has goes in as it stands. `{query}` brings its `?` along, if there is one.
    pub fn location<F>(&self, question: &Question<'_, F>, captures: &Captures, into: &mut Vec<u8>) {
        let Question {
            host, path, query, ..
        } = *question;
        self.to.fill(
            &Filling {
                path,
                captures,
                host,
                query,
            },
            into,
        );
    }
}

// === impl Respond ===

impl Respond {
    fn compile(id: &str, respond: &model::route::Respond) -> Result<Self, CompileError> {
        let mut fields = Vec::new();
        for (name, value) in &respond.headers {
            let own = OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(name));
            let token = !name.is_empty() && name.bytes().all(is_token_byte);
            let text = |byte: u8| byte == b'\t' || !byte.is_ascii_control();
            if own || !token || !value.bytes().all(text) {
                return Err(CompileError::Field {
                    route: id.into(),
                    name: name.clone(),
                });
            }
            fields.extend_from_slice(format!("{name}: {}\r\n", value.trim()).as_bytes());
        }
        let body = respond.body.as_bytes().into();
        Ok(Self {
            status: respond.status,
            fields: fields.into(),
            body,
        })
    }
}

// === impl Pieces ===

/// What a request puts in the places of [`Pieces`].
struct Filling<'a> {
    path: &'a [u8],
    captures: &'a Captures,
    host: &'a [u8],
    query: &'a [u8],
}

impl Pieces {
    fn parse(text: &str, captures: &[&str], places: Places) -> Result<Self, PatternFault> {
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
                (None, _, _) => return Err(PatternFault::UnknownCapture),
            });
            rest = after;
        }
        pieces.extend(Piece::text(rest)?);
        Ok(Self(pieces.into()))
    }

    fn use_captures(&self) -> bool {
        self.0
            .iter()
            .any(|piece| matches!(piece, Piece::Capture(_)))
    }

    fn fill(&self, with: &Filling<'_>, into: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Capture(index) => {
                    into.extend_from_slice(with.captures.text(usize::from(*index), with.path));
                }
                Piece::Host => into.extend_from_slice(with.host),
                Piece::Path => into.extend_from_slice(with.path),
                Piece::Query if with.query.is_empty() => {}
                Piece::Query => {
                    into.push(b'?');
                    into.extend_from_slice(with.query);
                }
                Piece::Text(text) => into.extend_from_slice(text),
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
}

fn rewrite_error(id: &str, template: &str, fault: PatternFault) -> CompileError {
    CompileError::Rewrite {
        route: id.into(),
        template: template.into(),
        fault,
    }
}

/// RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(pattern: &str, replacement: &str) -> Rewrite {
        Rewrite::Prefix(Box::new(PrefixRewrite {
            pattern: pattern.as_bytes().into(),
            replacement: replacement.as_bytes().into(),
        }))
    }

    fn applied(rewrite: &Rewrite, path: &str) -> String {
        let mut into = b"before ".to_vec();
        rewrite.apply(path.as_bytes(), &Captures::default(), &mut into);
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

    #[test]
    fn a_fixed_answer_cannot_set_framing_or_break_lines() {
        let respond = |name: &str, value: &str| model::route::Respond {
            status: 200,
            headers: [(name.to_owned(), value.to_owned())].into(),
            body: String::new(),
        };
        for (name, value) in [
            ("Content-Length", "1"),
            ("transfer-encoding", "chunked"),
            ("a b", "c"),
            ("", "c"),
            ("a", "b\r\nc: d"),
        ] {
            assert!(
                Respond::compile("r", &respond(name, value)).is_err(),
                "{name}"
            );
        }
        let fine = Respond::compile("r", &respond("X-A", " b ")).expect("fine");
        assert_eq!(&*fine.fields, b"X-A: b\r\n");
    }
}
