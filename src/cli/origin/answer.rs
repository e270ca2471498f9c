//! What the origin answers on each of its paths.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::body::{Paced, Pattern, Reply};

/// The longest that `/delay` and each pause of `/stream` take.
const PAUSE_MS_MAX: u64 = 60_000;

/// The most lines of `/stream`.
const LINES_MAX: u32 = 100_000;

const HELP: &str = "\
ringway origin answers on these paths:
/0 /100 /1k /4k /16k /64k /256k /1m   so many bytes
/bytes/{n}          n bytes, with Content-Length
/chunked/{n}        n bytes, chunked
/echo               the request body
/count              how many bytes the request body has
/headers            the request line and fields as it saw them, as JSON
/status/{code}      that status
/delay/{ms}         an answer after so many milliseconds
/stream/{n}/{ms}    n lines, so many milliseconds apart
/ws-echo            with `Upgrade: echo`: 101, then every byte comes back
/close              an answer that closes the connection
";

/// Answers one request.
pub(super) async fn answer(mut request: Request<Incoming>) -> Result<Response<Reply>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut segments = path.split('/').skip(1);
    let first = segments.next().unwrap_or_default();
    let rest: Vec<&str> = segments.collect();
    Ok(match (first, rest.as_slice()) {
        ("", []) => text(StatusCode::OK, HELP),
        ("bytes", [length]) => with_number(length, |length| pattern(length, Reply::Sized)),
        ("chunked", [length]) => with_number(length, |length| pattern(length, Reply::Chunked)),
        ("echo", []) => echo(request),
        ("count", []) => count(request).await,
        ("headers", []) => headers(&request),
        ("status", [code]) => match StatusCode::from_bytes(code.as_bytes()) {
            Ok(status) if !status.is_informational() => text(status, ""),
            _ => bad("the status must be a number from 200 to 999"),
        },
        ("delay", [pause]) => match pause_of(pause) {
            Some(pause) => {
                sleep(pause).await;
                text(StatusCode::OK, "waited\n")
            }
            None => bad("the delay must be 0 to 60000 milliseconds"),
        },
        ("stream", [lines, pause]) => match (lines.parse(), pause_of(pause)) {
            (Ok(lines @ 0..=LINES_MAX), Some(pause)) => {
                plain(Reply::Paced(Paced::new(lines, pause)))
            }
            _ => bad("use /stream/{lines}/{ms}: at most 100000 lines, 60000 milliseconds apart"),
        },
        ("ws-echo", []) => upgrade(&mut request),
        ("close", []) => {
            let mut response = text(StatusCode::OK, "closing\n");
            let fields = response.headers_mut();
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
        (size, []) => match fixed_size(size) {
            Some(length) => pattern(length, Reply::Sized),
            None => not_found(),
        },
        _ => not_found(),
    })
}

fn fixed_size(name: &str) -> Option<u64> {
    Some(match name {
        "0" => 0,
        "100" => 100,
        "1k" => 1 << 10,
        "4k" => 4 << 10,
        "16k" => 16 << 10,
        "64k" => 64 << 10,
        "256k" => 256 << 10,
        "1m" => 1 << 20,
        _ => return None,
    })
}

fn pattern(length: u64, framed: fn(Pattern) -> Reply) -> Response<Reply> {
    plain(framed(Pattern::new(length)))
}

fn echo(request: Request<Incoming>) -> Response<Reply> {
    let (head, body) = request.into_parts();
    let mut response = Response::new(Reply::Echo(body));
    if let Some(content_type) = head.headers.get(CONTENT_TYPE) {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, content_type.clone());
    }
    response
}

async fn count(request: Request<Incoming>) -> Response<Reply> {
    let mut body = request.into_body();
    let mut bytes: u64 = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Err(error) => return bad(&format!("the body broke off: {error}")),
        }
    }
    text(StatusCode::OK, &bytes.to_string())
}

fn headers(request: &Request<Incoming>) -> Response<Reply> {
    let fields: Vec<[String; 2]> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            [name.to_string(), value.into_owned()]
        })
        .collect();
    let seen = json!({
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "version": format!("{:?}", request.version()),
        "fields": fields,
    });
    let mut response = Response::new(Reply::Bytes(Bytes::from(format!("{seen:#}\n"))));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Agrees to `Upgrade: echo`; then everything that comes goes back.
fn upgrade(request: &mut Request<Incoming>) -> Response<Reply> {
    let asked = request.headers().get(UPGRADE);
    if !asked.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"echo")) {
        let mut response = text(StatusCode::UPGRADE_REQUIRED, "ask with `Upgrade: echo`\n");
        let fields = response.headers_mut();
        fields.insert(UPGRADE, HeaderValue::from_static("echo"));
        fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        return response;
    }
    tokio::spawn(echo_bytes(hyper::upgrade::on(request)));
    let mut response = Response::new(Reply::Bytes(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(UPGRADE, HeaderValue::from_static("echo"));
    fields.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response
}

async fn echo_bytes(upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let mut stream = TokioIo::new(upgraded);
    let mut buffer = vec![0; 16 << 10];
    while let Ok(size @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..size]).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

fn with_number(text: &str, make: impl FnOnce(u64) -> Response<Reply>) -> Response<Reply> {
    match text.parse() {
        Ok(number) => make(number),
        Err(_) => bad("the length must be a number of bytes"),
    }
}

fn pause_of(text: &str) -> Option<Duration> {
    let pause_ms = text.parse().ok()?;
    (pause_ms <= PAUSE_MS_MAX).then(|| Duration::from_millis(pause_ms))
}

fn not_found() -> Response<Reply> {
    text(
        StatusCode::NOT_FOUND,
        "no such path; / lists those there are\n",
    )
}

fn bad(reason: &str) -> Response<Reply> {
    text(StatusCode::BAD_REQUEST, &format!("{reason}\n"))
}

fn text(status: StatusCode, text: &str) -> Response<Reply> {
    let mut response = plain(Reply::Bytes(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
}

fn plain(reply: Reply) -> Response<Reply> {
    let mut response = Response::new(reply);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
