//! A chunked body means the same however it is cut, leaves what follows it alone, and is read
//! back from our own encoding.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::wire::chunk::{self, ChunkFault, Decoder, Limits};
use ringway::wire::trailer::{Trailers, is_forbidden};

const LIMITS: Limits = Limits {
    trailer_bytes_max: 256,
    trailer_fields_max: 4,
};
/// A kept field may be one byte longer than it came: the space after its colon.
const LIMITS_AGAIN: Limits = Limits {
    trailer_bytes_max: 256 + 4,
    ..LIMITS
};

#[derive(Debug, Default, PartialEq)]
struct Body {
    payload: Vec<u8>,
    trailers: Vec<u8>,
    consumed: usize,
    finished: bool,
}

fuzz_target!(|input: &[u8]| {
    let [cut, stride, bytes @ ..] = input else {
        return;
    };
    let whole = decode(&[bytes], LIMITS);
    let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    assert_eq!(decode(&[first, second], LIMITS), whole);
    let pieces: Vec<&[u8]> = bytes.chunks(usize::from(*stride).max(1)).collect();
    assert_eq!(decode(&pieces, LIMITS), whole);

    let Ok(body) = whole else { return };
    if body.finished {
        check_trailers(&body.trailers);
        let encoded = encode(&body, usize::from(*stride).max(1));
        let again = decode(&[&encoded], LIMITS_AGAIN).expect("what we encode is well formed");
        assert_eq!(
            (again.payload, again.trailers),
            (body.payload, body.trailers)
        );
        assert!(again.finished);
    }
});

fn decode(pieces: &[&[u8]], limits: Limits) -> Result<Body, ChunkFault> {
    let allow = [b"a".as_slice().into(), b"te".as_slice().into()];
    let mut body = Body::default();
    let mut decoder = Decoder::new(limits);
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let mut trailers = Trailers {
            allow: &allow,
            into: &mut body.trailers,
        };
        let decoded = decoder.decode(&mut bytes, &mut trailers)?;
        assert!(decoded.payload <= decoded.consumed);
        assert!(decoded.finished || decoded.consumed == piece.len());
        assert_eq!(bytes[decoded.consumed..], piece[decoded.consumed..]);
        body.payload.extend_from_slice(&bytes[..decoded.payload]);
        body.consumed += decoded.consumed;
        body.finished = decoded.finished;
    }
    Ok(body)
}

/// Encodes the payload in chunks of `size`; the kept trailers are lines already.
fn encode(body: &Body, size: usize) -> Vec<u8> {
    let mut encoded = Vec::new();
    for piece in body.payload.chunks(size) {
        let mut out = [0; chunk::HEAD_MAX];
        encoded.extend_from_slice(chunk::head(piece.len(), &mut out));
        encoded.extend_from_slice(piece);
        encoded.extend_from_slice(chunk::LINE_END);
    }
    encoded.extend_from_slice(b"0\r\n");
    encoded.extend_from_slice(&body.trailers);
    encoded.extend_from_slice(chunk::LINE_END);
    encoded
}

fn check_trailers(trailers: &[u8]) {
    let Some(lines) = trailers.strip_suffix(b"\r\n") else {
        return assert_eq!(trailers, b"");
    };
    for line in lines.split(|&byte| byte == b'\n') {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        assert!(name.eq_ignore_ascii_case(b"a") && !is_forbidden(name));
    }
}
