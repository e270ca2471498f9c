//! Amend: gives the refusals that hyper makes itself the body that all our answers have.
//!
//! What is no HTTP never reaches a service: hyper answers it with a bare head, which is the last
//! thing that it writes on a connection. No answer of ours looks like one: a refusal of ours has a
//! body, and JSON has no line ends within, or it names the epoch or the way to come in.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A head of hyper's own is shorter than this.
const HEAD_MAX: usize = 256;

/// A stream on which bare refusals get a body.
pub(super) struct Amend<S> {
    stream: S,
    instead: Option<Instead>,
}

/// What is written in the place of a bare refusal.
struct Instead {
    bytes: Vec<u8>,
    written: usize,
    /// How many bytes hyper takes to be written with it.
    stands_for: usize,
}

impl<S> Amend<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            instead: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Amend<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Amend<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, instead } = &mut *self;
        let mut stream = Pin::new(stream);
        if instead.is_none() {
            match refusal(bytes) {
                Some((0, status)) => *instead = Some(Instead::of(status, bytes.len())),
                // What comes before it first.
                Some((at, _)) => return stream.poll_write(context, bytes.get(..at).unwrap_or(&[])),
                None => {}
            }
        }
        let Some(ours) = instead else {
            return stream.poll_write(context, bytes);
        };
        while let Some(rest) = ours
            .bytes
            .get(ours.written..)
            .filter(|rest| !rest.is_empty())
        {
            match ready!(stream.as_mut().poll_write(context, rest))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                count => ours.written += count,
            }
        }
        let stands_for = ours.stands_for.min(bytes.len());
        *instead = None;
        Poll::Ready(Ok(stands_for))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Instead {
    fn of(status: &[u8], stands_for: usize) -> Self {
        let (line, error) = match status {
            b"414" => ("414 URI Too Long", "the request line is too long"),
            b"431" => (
                "431 Request Header Fields Too Large",
                "the head of the request is too large",
            ),
            _ => ("400 Bad Request", "bad request"),
        };
        let body = format!("{{\"error\":\"{error}\"}}");
        let head = "content-type: application/json\r\ncache-control: no-store\r\nconnection: close";
        let length = body.len();
        let bytes = format!("HTTP/1.1 {line}\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        Self {
            bytes: bytes.into_bytes(),
            written: 0,
            stands_for,
        }
    }
}

/// Where in `bytes` a bare refusal begins, and its status, if they end with one.
fn refusal(bytes: &[u8]) -> Option<(usize, &[u8])> {
    const LINE: &[u8] = b"HTTP/1.";
    let from = bytes.len().saturating_sub(HEAD_MAX);
    let tail = bytes.get(from..)?;
    let tail = tail.ends_with(b"\r\n\r\n").then_some(tail)?;
    let at = tail
        .windows(LINE.len())
        .rposition(|window| window == LINE)?;
    let head = tail.get(at..)?;
    // `HTTP/1.1 400 …`
    let status = head.get(9..12).filter(|status| status.starts_with(b"4"))?;
    let has = |line: &[u8]| head.windows(line.len()).any(|window| window == line);
    let is_ours = has(b"\r\nx-ringway-epoch: ") || has(b"\r\nwww-authenticate: ");
    (has(b"\r\ncontent-length: 0\r\n") && !is_ours).then_some((from + at, status))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const OURS: &str =
        "HTTP/1.1 404 Not Found\r\ncontent-length: 21\r\n\r\n{\"error\":\"not found\"}";
    const BARE: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                        date: Sat, 21 Nov 2026 05:56:05 GMT\r\n\r\n";

    /// What comes out of a stream that takes `room` bytes at a time.
    fn amended(bytes: &str, room: usize) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        runtime.block_on(async {
            let (stream, mut other) = tokio::io::duplex(room);
            let write = async {
                let mut amend = Amend::new(stream);
                amend.write_all(bytes.as_bytes()).await.unwrap();
            };
            let mut read = String::new();
            let (_, count) = tokio::join!(write, other.read_to_string(&mut read));
            count.unwrap();
            read
        })
    }

    #[test]
    fn a_bare_refusal_gets_a_body_and_nothing_else_is_touched() {
        let told = "{\"error\":\"bad request\"}";
        for room in [1, 7, 4_096] {
            assert_eq!(amended(OURS, room), OURS);
            let alone = amended(BARE, room);
            assert!(alone.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{alone}");
            assert!(alone.ends_with(told), "{alone}");
            let both = amended(&format!("{OURS}{BARE}"), room);
            assert_eq!(both, format!("{OURS}{alone}"));
        }
        for field in ["x-ringway-epoch: 7", "www-authenticate: Bearer"] {
            let ours = BARE.replace("connection: close", field);
            assert_eq!(amended(&ours, 4_096), ours);
        }
        let long = amended(&BARE.replace("400 Bad Request", "414 URI Too Long"), 64);
        assert!(
            long.ends_with("{\"error\":\"the request line is too long\"}"),
            "{long}"
        );
    }
}
