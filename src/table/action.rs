//! What a route does with a request: forward it, redirect the client, answer by itself, or ask
//! several other routes.

use std::sync::Arc;

use super::aggregate::Aggregate;
use super::captures::Captures;
use super::condition::Question;
use super::error::CompileError;
use super::pattern::PathPattern;
use super::retry::Retries;
use super::rewrite::{Filling, Pieces, Places, Rewrite, Source, rewrite_error};
use super::upstream::UpstreamId;
use crate::model;

/// What a route does with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Asks several routes and joins their answers.
    Aggregate(Box<Aggregate>),
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
    /// On what terms; most routes of a table share them.
    pub terms: Arc<Terms>,
}

/// On what terms a request is sent on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Terms {
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
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
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
    /// that it names. `terms` are shared if it has the same.
    pub(super) fn compile(
        id: &str,
        route: &model::Route,
        upstream: Option<UpstreamId>,
        path: PathPattern<'_>,
        terms: &Arc<Terms>,
    ) -> Result<Self, CompileError> {
        match (upstream, &route.redirect, &route.respond) {
            (None, None, None) => match &route.aggregate {
                Some(declared) => {
                    let captures = path.capture_names();
                    let aggregate = Aggregate::compile(id, declared, route, &captures)?;
                    Ok(Self::Aggregate(Box::new(aggregate)))
                }
                None => Err(CompileError::Action { route: id.into() }),
            },
            _ if route.aggregate.is_some() => Err(CompileError::Action { route: id.into() }),
            (Some(upstream), None, None) => Ok(Self::Forward(Forward {
                upstream,
                rewrite: Rewrite::compile(id, route, path)?,
                terms: Terms::of(route, terms),
            })),
            (None, Some(redirect), None) => {
                let captures = path.capture_names();
                let to = Pieces::parse(&redirect.to, &captures, Places::Request);
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
                rewrite: Rewrite::Template(template),
                ..
            }) => template.pieces.use_captures(),
            Self::Aggregate(aggregate) => aggregate.uses_captures(),
            Self::Redirect(redirect) => redirect.to.use_captures(),
            Self::Forward(_) | Self::Respond(_) => false,
        }
    }
}

// === impl Terms ===

impl Terms {
    /// Those of `route`; `known` if they are the same.
    fn of(route: &model::Route, known: &Arc<Self>) -> Arc<Self> {
        let terms = Self {
            timeouts: RouteTimeouts::of(route),
            max_response_bytes: route.max_response_bytes,
            max_body_bytes: route.max_body_bytes,
            retries: Retries::of(&route.retry),
        };
        if terms == **known {
            known.clone()
        } else {
            Arc::new(terms)
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
                source: &Source::of_path(captures),
                host,
                query,
                value: b"",
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

/// RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

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
