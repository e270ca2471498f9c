//! Request and answer, as the dialects see them: read whole, within limits, by a known principal.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::Value;

use super::commit::Writer;
use super::condition::{Conditions, Tags};
use super::guard::Principal;
use super::payload::Payload;
use super::problem::Problem;
use crate::model;

/// How long an answer waits for the cores, unless the client says otherwise.
const WAIT_MS: u64 = 10_000;
/// How long a client may have it wait.
const WAIT_MS_MAX: u64 = 60_000;

/// The field that says which epoch an answer is about.
pub(super) const EPOCH: HeaderName = HeaderName::from_static("x-ringway-epoch");

/// A request that was let in.
pub(super) struct Request {
    pub(super) method: Method,
    /// As it came, without `/v1`.
    path: String,
    query: Vec<(String, String)>,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
    pub(super) from: SocketAddr,
    pub(super) principal: Principal,
}

/// What is asked of every write.
pub(super) struct Wishes {
    pub(super) dry_run: bool,
    pub(super) force: bool,
    pub(super) wait: Duration,
}

/// An answer.
pub(super) type Answer = Response<Payload>;

impl Request {
    pub(super) fn new(
        parts: hyper::http::request::Parts,
        body: Bytes,
        from: SocketAddr,
        principal: Principal,
    ) -> Self {
        let path = parts.uri.path();
        let path = match path.strip_prefix("/v1") {
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        };
        let query = parts.uri.query().unwrap_or_default().split('&');
        let query = query.filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |text: &str| decode(&text.replace('+', " ")).unwrap_or_default();
            (plain(name), plain(value))
        });
        Self {
            path: path.to_owned(),
            query: query.collect(),
            method: parts.method,
            fields: parts.headers,
            body,
            from,
            principal,
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The query, decoded.
    pub(super) fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// The first value of a query parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    /// A query parameter that is on or off; alone it is on.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.parameter(name) {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(_) => Err(Problem::new(400, format!("?{name}= is true or false"))),
        }
    }

    /// A query parameter that is a whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let number = self.parameter(name).map(str::parse);
        let wrong = |_| Problem::new(400, format!("?{name}= is a whole number"));
        number.transpose().map_err(wrong)
    }

    pub(super) fn wishes(&self) -> Result<Wishes, Problem> {
        let mut wait = self.number("wait_ms")?.unwrap_or(WAIT_MS).min(WAIT_MS_MAX);
        match self.parameter("wait") {
            None | Some("all") => {}
            Some("none") => wait = 0,
            Some(_) => return Err(Problem::new(400, "?wait= is all or none")),
        }
        Ok(Wishes {
            dry_run: self.flag("dry_run")?,
            force: self.flag("force")?,
            wait: Duration::from_millis(wait),
        })
    }

    pub(super) fn conditions(&self) -> Conditions {
        let read = |name| {
            Tags::read(
                self.fields
                    .get_all(name)
                    .iter()
                    .filter_map(|value| value.to_str().ok()),
            )
        };
        Conditions {
            matches: read(header::IF_MATCH),
            matches_none: read(header::IF_NONE_MATCH),
        }
    }

    /// The body as a declaration.
    pub(super) fn declaration(&self) -> Result<Value, Problem> {
        let text = self.text()?;
        model::parse_json(text, "body").map_err(|faults| Problem::invalid_json(&faults))
    }

    /// The body as a merge patch, in which null has a meaning.
    pub(super) fn patch(&self) -> Result<Value, Problem> {
        // The same bounds; only then the nulls.
        self.declaration()?;
        serde_json::from_slice(&self.body).map_err(|_| Problem::new(400, "invalid JSON"))
    }

    fn text(&self) -> Result<&str, Problem> {
        if self.body.trim_ascii().is_empty() {
            return Err(Problem::new(400, "empty body"));
        }
        std::str::from_utf8(&self.body).map_err(|_| {
            Problem::new(400, "invalid JSON").with("detail", "the body is not UTF-8".into())
        })
    }

    pub(super) fn writer(&self) -> Writer {
        Writer {
            name: self.principal.name.clone(),
            from: Some(self.from),
            request: Rc::from(format!("{} {}", self.method, self.path)),
            action: None,
        }
    }
}

/// Reads a body of at most `most` bytes that is there `within` that time.
pub(super) async fn read_body<B>(
    mut body: B,
    most: usize,
    within: Duration,
) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let too_large = || Problem::new(413, format!("the body is larger than {most} bytes"));
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let read = async {
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::new(400, "bad request"))?;
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            if whole.len() + piece.len() > most {
                return Err(too_large());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    };
    let late = |_| Problem::new(408, "the body took too long");
    tokio::time::timeout(within, read).await.map_err(late)?
}

/// Decodes percent escapes; none if one is broken, or the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let [high, low] = digits else { return None };
        bytes.push((digit(*high)? * 16 + digit(*low)?) as u8);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// A JSON answer.
pub(super) fn json(status: u16, value: &Value) -> Answer {
    text(status, "application/json", value.to_string())
}

/// An answer that is there already.
pub(super) fn text(status: u16, kind: &'static str, body: String) -> Answer {
    answer(status, kind, Payload::Whole(Some(body.into())))
}

/// An answer with a body of some kind.
pub(super) fn answer(status: u16, kind: &'static str, body: Payload) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    set(&mut answer, header::CONTENT_TYPE, kind);
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    answer
}

/// Sets a field; a value that no field can have is left out.
pub(super) fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// Nothing new for a client that has this version.
pub(super) fn not_modified(tag: &str) -> Answer {
    let mut answer = Response::new(Payload::Whole(None));
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    set(&mut answer, header::ETAG, tag);
    answer
}

impl Problem {
    pub(super) fn answer(&self) -> Answer {
        let mut answer = json(self.status.as_u16(), &self.body());
        if let Some(allow) = self.allow {
            set(&mut answer, header::ALLOW, allow);
        }
        if matches!(self.status.as_u16(), 429 | 503) {
            set(&mut answer, header::RETRY_AFTER, "1");
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn escapes_are_decoded_or_refused() {
        for (text, decoded) in [
            ("%2Fcanary%2F", Some("/canary/")),
            ("/a b", Some("/a b")),
            ("%c3%A9", Some("é")),
            ("%", None),
            ("%2", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
        }
    }
}
