//! A stream of pipelined requests is cut into the same messages however it arrives, and what
//! would be sent to the origin is cut there into exactly as many.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::wire::chunk::{self, Decoder, Limits};
use ringway::wire::head::{self, Body, HeadLimits, Slots};
use ringway::wire::trailer::Trailers;

const HEAD_LIMITS: HeadLimits = HeadLimits {
    bytes: 1024,
    fields: 16,
};
/// What we write may be longer than what came: it always has a host and a length.
const HEAD_LIMITS_AGAIN: HeadLimits = HeadLimits {
    bytes: 2048,
    ..HEAD_LIMITS
};
const TRAILER_LIMITS: Limits = Limits {
    trailer_bytes_max: 256,
    trailer_fields_max: 4,
};

/// One message as it was understood.
#[derive(Clone, Debug, Default, PartialEq)]
struct Message {
    method: String,
    fields: usize,
    body: Vec<u8>,
    chunked: bool,
}

/// What a connection has read so far.
#[derive(Debug, Default)]
struct Connection {
    unread: Vec<u8>,
    messages: Vec<Message>,
    body: Option<Reading>,
    refused: bool,
}

/// A body that is being read, for the last of the messages.
#[derive(Debug)]
enum Reading {
    Length(u64),
    Chunked(Decoder),
}

fuzz_target!(|input: &[u8]| {
    let [cut, stride, stream @ ..] = input else {
        return;
    };
    let whole = read(&[stream], HEAD_LIMITS);
    let (first, second) = stream.split_at(usize::from(*cut).min(stream.len()));
    assert_alike(&read(&[first, second], HEAD_LIMITS), &whole);
    let pieces: Vec<&[u8]> = stream.chunks(usize::from(*stride).max(1)).collect();
    assert_alike(&read(&pieces, HEAD_LIMITS), &whole);

    let complete = whole.messages.len() - usize::from(whole.body.is_some());
    let messages = &whole.messages[..complete];
    let again = read(&[&write(messages)], HEAD_LIMITS_AGAIN);
    assert!(!again.refused && again.body.is_none() && again.unread.is_empty());
    assert_eq!(again.messages.len(), messages.len());
    for (message, again) in messages.iter().zip(&again.messages) {
        assert_eq!(
            (&again.method, &again.body),
            (&message.method, &message.body)
        );
    }
});

fn assert_alike(one: &Connection, other: &Connection) {
    assert_eq!(one.refused, other.refused);
    // A refused connection is closed: how far its last body came depends on the cut.
    let read = |of: &Connection| of.messages.len() - usize::from(of.refused && of.body.is_some());
    assert_eq!(read(one), read(other));
    assert_eq!(one.messages[..read(one)], other.messages[..read(other)]);
    assert!(one.refused || one.unread == other.unread);
}

fn read(pieces: &[&[u8]], limits: HeadLimits) -> Connection {
    let mut connection = Connection::default();
    for piece in pieces {
        connection.unread.extend_from_slice(piece);
        while !connection.refused && connection.advance(limits) {}
    }
    connection
}

fn write(messages: &[Message]) -> Vec<u8> {
    let mut out = Vec::new();
    for Message {
        method,
        body,
        chunked,
        ..
    } in messages
    {
        out.extend_from_slice(format!("{method} / HTTP/1.1\r\nHost: a\r\n").as_bytes());
        if *chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for piece in body.chunks(7) {
                let mut digits = [0; chunk::HEAD_MAX];
                out.extend_from_slice(chunk::head(piece.len(), &mut digits));
                out.extend_from_slice(piece);
                out.extend_from_slice(chunk::LINE_END);
            }
            out.extend_from_slice(chunk::END);
        } else {
            out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            out.extend_from_slice(body);
        }
    }
    out
}

impl Connection {
    /// Reads one head or part of a body; returns whether there may be more to read.
    fn advance(&mut self, limits: HeadLimits) -> bool {
        match self.body.take() {
            None => self.advance_head(limits),
            Some(Reading::Length(left)) => self.advance_length(left),
            Some(Reading::Chunked(decoder)) => self.advance_chunked(decoder),
        }
    }

    fn advance_head(&mut self, limits: HeadLimits) -> bool {
        let mut slots = Slots::new();
        let head = match head::request(&self.unread, &mut slots, limits) {
            Ok(Some(head)) => head,
            Ok(None) => return false,
            Err(_) => {
                self.refused = true;
                return false;
            }
        };
        self.messages.push(Message {
            method: head.method.to_owned(),
            fields: head.fields.len(),
            body: Vec::new(),
            chunked: head.body == Body::Chunked,
        });
        self.body = match head.body {
            Body::None => None,
            Body::Length(length) => Some(Reading::Length(length)),
            Body::Chunked => Some(Reading::Chunked(Decoder::new(TRAILER_LIMITS))),
            Body::UntilClose => panic!("a request does not end with its connection"),
        };
        let length = head.length;
        self.unread.drain(..length);
        true
    }

    fn advance_length(&mut self, left: u64) -> bool {
        let taken =
            usize::try_from(left).map_or(self.unread.len(), |left| left.min(self.unread.len()));
        self.push_body(taken, taken);
        let left = left - taken as u64;
        self.body = (left > 0).then_some(Reading::Length(left));
        left == 0
    }

    fn advance_chunked(&mut self, mut decoder: Decoder) -> bool {
        let mut kept = Vec::new();
        let mut trailers = Trailers {
            allow: &[],
            into: &mut kept,
        };
        let decoded = decoder.decode(&mut self.unread, &mut trailers);
        let Ok(decoded) = decoded else {
            self.refused = true;
            self.body = Some(Reading::Chunked(decoder));
            return false;
        };
        self.push_body(decoded.payload, decoded.consumed);
        self.body = (!decoded.finished).then_some(Reading::Chunked(decoder));
        decoded.finished
    }

    fn push_body(&mut self, payload: usize, consumed: usize) {
        if let Some(message) = self.messages.last_mut() {
            message.body.extend_from_slice(&self.unread[..payload]);
        }
        self.unread.drain(..consumed);
    }
}
