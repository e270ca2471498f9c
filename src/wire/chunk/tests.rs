use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    trailer_bytes_max: 64,
    trailer_fields_max: 3,
};

/// What a body decodes to: payload, kept trailers, bytes consumed, whether it finished.
type Outcome = Result<(Vec<u8>, Vec<u8>, usize, bool), ChunkFault>;

/// Decodes `pieces` one after the other, and checks that what follows the body is untouched.
fn decode_pieces(pieces: &[&[u8]], allow: &[&str]) -> Outcome {
    let allow: Vec<Box<[u8]>> = allow.iter().map(|name| name.as_bytes().into()).collect();
    let mut kept = Vec::new();
    let mut trailers = Trailers {
        allow: &allow,
        into: &mut kept,
    };
    let mut decoder = Decoder::new(LIMITS);
    let mut payload = Vec::new();
    let mut consumed = 0;
    for piece in pieces {
        let mut bytes = piece.to_vec();
        let decoded = decoder.decode(&mut bytes, &mut trailers)?;
        assert!(decoded.payload <= decoded.consumed && decoded.consumed <= piece.len());
        assert!(decoded.finished || decoded.consumed == piece.len());
        assert_eq!(bytes[decoded.consumed..], piece[decoded.consumed..]);
        payload.extend_from_slice(&bytes[..decoded.payload]);
        consumed += decoded.consumed;
    }
    Ok((payload, kept, consumed, decoder.is_finished()))
}

fn decode(body: &[u8]) -> Outcome {
    decode_pieces(&[body], &[])
}

fn fault(body: &[u8]) -> ChunkFault {
    decode(body).expect_err(&String::from_utf8_lossy(body))
}

#[test]
fn chunks_are_joined_and_the_next_message_stays() {
    let body = b"5\r\nhello\r\n00A;a;b=c;d=\"x; \\\"y\"\r\n0123456789\r\n000\r\n\r\nGET / HT";
    let expected = (b"hello0123456789".to_vec(), vec![], body.len() - 8, true);
    assert_eq!(decode(body), Ok(expected));
}

#[test]
fn a_finished_decoder_reads_nothing_more() {
    let outcome = decode_pieces(&[b"0\r\n\r\n", b"0\r\n\r\n"], &[]);
    assert_eq!(outcome, Ok((vec![], vec![], 5, true)));
}

#[test]
fn malformed_sizes_are_refused() {
    let sizes: [&[u8]; 14] = [
        b"0x5", b"+5", b"-5", b"1_0", b"5 ", b" 5", b"5\t", b"", b";a", b"5,", b"g", b"\0", b"\r5",
        b"\xb5",
    ];
    for size in sizes {
        assert_eq!(
            fault(&[size, b"\r\nhello\r\n0\r\n\r\n"].concat()),
            ChunkFault::Size
        );
    }
}

#[test]
fn oversized_chunks_are_refused() {
    assert!(decode(b"1000000000000000\r\n").is_ok());
    assert!(decode(b"0000000000000001\r\n").is_ok());
    let sizes: [&[u8]; 4] = [
        b"1000000000000001\r\n",
        b"ffffffffffffffff\r\n",
        b"00000000000000001\r\n",
        b"10000000000000005\r\n",
    ];
    for size in sizes {
        assert_eq!(fault(size), ChunkFault::SizeOverflow);
    }
}

#[test]
fn malformed_extensions_are_refused() {
    let extensions: [&[u8]; 14] = [
        b";",
        b";;a",
        b";=a",
        b";a=",
        b"; a",
        b";a =b",
        b";a= b",
        b";a=b ",
        b";a=\"b\"c",
        b";a=\"\0\"",
        b";a=\"\\\0\"",
        b";a=\"b\n\"",
        b";a\0",
        b";a\n",
    ];
    for extension in extensions {
        let body = [b"5", extension, b"\r\nhello\r\n0\r\n\r\n"].concat();
        assert_eq!(
            fault(&body),
            ChunkFault::Extension,
            "{}",
            extension.escape_ascii()
        );
    }
}

#[test]
fn lines_end_with_both_bytes() {
    let bodies: [&[u8]; 7] = [
        b"5\rhello",
        b"5;a\rb",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello0\r\n",
        b"5\r\nhello\r0",
        b"0\r\n\r\r",
        b"0\r\na: b\rc",
    ];
    for body in bodies {
        assert_eq!(fault(body), ChunkFault::LineEnd, "{}", body.escape_ascii());
    }
    assert_eq!(fault(b"5\nhello"), ChunkFault::Size);
    assert_eq!(fault(b"0\r\n\n"), ChunkFault::FieldName);
    assert_eq!(fault(b"0\r\na: b\n"), ChunkFault::FieldValue);
}

#[test]
fn size_lines_and_their_sum_are_bounded() {
    let line = |length: usize| [b"1;".as_slice(), &vec![b'a'; length - 2], b"\r\n"].concat();
    assert!(decode(&line(256)).is_ok());
    assert_eq!(fault(&line(257)), ChunkFault::SizeLineLong);

    let chunk = [line(256), b"x\r\n".to_vec()].concat();
    assert!(decode(&chunk.repeat(64)).is_ok());
    assert_eq!(fault(&chunk.repeat(65)), ChunkFault::Extensions);
}

#[test]
fn trailers_are_dropped_unless_allowed() {
    let body: &[u8] = b"0\r\nX-Sum: \t a b \t\r\nother:1\r\nHost: evil\r\n\r\n";
    let kept = |allow: &[&str]| decode_pieces(&[body], allow).map(|outcome| outcome.1);
    assert_eq!(kept(&[]), Ok(vec![]));
    assert_eq!(kept(&["x-sum", "host"]), Ok(b"X-Sum: a b\r\n".to_vec()));
    assert_eq!(kept(&["other"]), Ok(b"other: 1\r\n".to_vec()));
}

#[test]
fn malformed_trailers_are_refused() {
    let fields: [&[u8]; 7] = [
        b":a", b"a b: c", b"a : b", b" a: b", b"\ta", b"a\0: b", b"a\r\n",
    ];
    for field in fields {
        let body = [b"0\r\n", field, b"\r\n\r\n"].concat();
        assert_eq!(
            fault(&body),
            ChunkFault::FieldName,
            "{}",
            field.escape_ascii()
        );
    }
    assert_eq!(fault(b"0\r\na: b\r\n c\r\n\r\n"), ChunkFault::FieldName);
    assert_eq!(fault(b"0\r\na: \0\r\n\r\n"), ChunkFault::FieldValue);
}

#[test]
fn trailer_sections_are_bounded() {
    let section = |field: &[u8], times| [b"0\r\n", &*field.repeat(times), b"\r\n"].concat();
    assert!(decode(&section(b"a:b\r\n", 3)).is_ok());
    assert_eq!(fault(&section(b"a:b\r\n", 4)), ChunkFault::TrailerMany);
    let field = |length: usize| [b"a:".as_slice(), &vec![b'b'; length - 4], b"\r\n"].concat();
    assert!(decode(&section(&field(64), 1)).is_ok());
    assert_eq!(fault(&section(&field(65), 1)), ChunkFault::TrailerLong);
}

#[test]
fn heads_are_hexadecimal() {
    let mut out = [0; HEAD_MAX];
    assert_eq!(head(1, &mut out), b"1\r\n");
    assert_eq!(head(0x3FFF0, &mut out), b"3fff0\r\n");
    assert_eq!(head(usize::MAX, &mut out), b"ffffffffffffffff\r\n");
}

fn bodies() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let extension = prop_oneof![Just(""), Just(";a"), Just(";a=b"), Just(";a=\"\\\"\t\""),];
    let chunk = (prop::collection::vec(any::<u8>(), 1..40), extension);
    prop::collection::vec(chunk, 0..6).prop_map(|chunks| {
        let mut payload = Vec::new();
        let mut body = Vec::new();
        for (piece, extension) in chunks {
            let mut out = [0; HEAD_MAX];
            let digits = head(piece.len(), &mut out).trim_ascii_end();
            body.extend([digits, extension.as_bytes(), LINE_END, &piece, LINE_END].concat());
            payload.extend(piece);
        }
        body.extend_from_slice(END);
        (payload, body)
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_at_every_split((payload, body) in bodies()) {
        let whole = Ok((payload, vec![], body.len(), true));
        let followed = [&body, b"HTTP/1.1".as_slice()].concat();
        prop_assert_eq!(&decode(&followed), &whole);
        for split in 0..=body.len() {
            let (first, second) = followed.split_at(split);
            prop_assert_eq!(&decode_pieces(&[first, second], &[]), &whole);
        }
        let bytes: Vec<&[u8]> = followed.chunks(1).collect();
        prop_assert_eq!(&decode_pieces(&bytes, &[]), &whole);
    }

    #[test]
    fn splits_change_nothing_in_malformed_bodies(body in "[0-2aAx;:=\"\\\\\r\n \t]{0,40}") {
        let body = body.as_bytes();
        let whole = decode_pieces(&[body], &["a"]);
        for split in 0..=body.len() {
            let (first, second) = body.split_at(split);
            prop_assert_eq!(&decode_pieces(&[first, second], &["a"]), &whole);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&body);
    }
}
