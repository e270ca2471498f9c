use super::*;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 4096,
    fields: 16,
};

fn read(text: &str) -> Result<Option<(Body, usize)>, HeadFault> {
    let mut slots = Slots::new();
    request(text.as_bytes(), &mut slots, LIMITS)
        .map(|head| head.map(|head| (head.body, head.length)))
}

fn refused(text: &str) -> HeadFault {
    match read(text) {
        Err(fault) => fault,
        other => panic!("{text:?} gave {other:?}"),
    }
}

fn answer(text: &str, to_head: bool) -> Result<Option<Body>, HeadFault> {
    let mut slots = Slots::new();
    response(text.as_bytes(), &mut slots, LIMITS, to_head).map(|head| head.map(|head| head.body))
}

#[test]
fn a_plain_request_is_read() {
    let text = "POST /a?b=c HTTP/1.1\r\nHost: x:80\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(read(text), Ok(Some((Body::Length(3), text.len() - 3))));
    assert_eq!(
        read("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        Ok(Some((Body::None, 29)))
    );
}

#[test]
fn any_prefix_of_a_request_is_incomplete() {
    let text = "GET /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    for end in 0..text.len() {
        assert_eq!(read(&text[..end]), Ok(None), "{end}");
    }
    assert_eq!(read(text), Ok(Some((Body::Chunked, text.len()))));
}

#[test]
fn what_is_ambiguous_is_refused() {
    let host = "GET / HTTP/1.1\r\nHost: x\r\n";
    for (rest, fault) in [
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            HeadFault::LengthAndCoding,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            HeadFault::LengthAndCoding,
        ),
        (
            "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
            HeadFault::ContentLength,
        ),
        ("Content-Length: 5, 5\r\n\r\n", HeadFault::ContentLength),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            HeadFault::TransferEncoding,
        ),
        (
            "Transfer-Encoding: chunked, identity\r\n\r\n",
            HeadFault::TransferEncoding,
        ),
        (
            "Transfer-Encoding: xchunked\r\n\r\n",
            HeadFault::TransferEncoding,
        ),
        ("Transfer-Encoding: gzip\r\n\r\n", HeadFault::UnknownCoding),
        ("Host: y\r\n\r\n", HeadFault::Host),
        ("A: b\n\r\n", HeadFault::BareLineFeed),
        ("A: b\r\n\n", HeadFault::BareLineFeed),
        ("A : b\r\n\r\n", HeadFault::Field),
        ("A: b\r\n c\r\n\r\n", HeadFault::Field),
        ("A: b\0c\r\n\r\n", HeadFault::Field),
        ("A: b\rc\r\n\r\n", HeadFault::Field),
        ("Expect: wonders\r\n\r\n", HeadFault::Expectation),
    ] {
        assert_eq!(refused(&format!("{host}{rest}")), fault, "{rest:?}");
    }
}

#[test]
fn start_lines_are_strict() {
    for (line, fault) in [
        ("GET  / HTTP/1.1", HeadFault::StartLine),
        ("GET / HTTP/2.0", HeadFault::Version),
        ("GET / http/1.1", HeadFault::StartLine),
        ("GET /a#b HTTP/1.1", HeadFault::Target),
        ("GET a HTTP/1.1", HeadFault::Target),
        ("GET * HTTP/1.1", HeadFault::Target),
        ("GET ftp://x/ HTTP/1.1", HeadFault::Target),
        ("GET http:///a HTTP/1.1", HeadFault::Authority),
        ("GET http://u@x/a HTTP/1.1", HeadFault::Authority),
        ("CONNECT x:80 HTTP/1.1", HeadFault::Connect),
        ("\r\n\r\nGET / HTTP/1.1", HeadFault::StartLine),
        ("\nGET / HTTP/1.1", HeadFault::StartLine),
    ] {
        assert_eq!(
            refused(&format!("{line}\r\nHost: x\r\n\r\n")),
            fault,
            "{line:?}"
        );
    }
    assert_eq!(refused("GET / HTTP/1.1\r\n\r\n"), HeadFault::Host);
    assert_eq!(
        refused("GET / HTTP/1.1\nHost: x\r\n\r\n"),
        HeadFault::BareLineFeed
    );
    assert_eq!(
        refused("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        HeadFault::TransferEncoding
    );
}

#[test]
fn sizes_are_limited() {
    let long = "a".repeat(5000);
    assert_eq!(refused(&format!("GET /{long}")), HeadFault::TargetTooLong);
    assert_eq!(
        refused(&format!("GET / HTTP/1.1\r\nA: {long}")),
        HeadFault::TooLarge
    );
    let many = "A: b\r\n".repeat(17);
    assert_eq!(
        refused(&format!("GET / HTTP/1.1\r\n{many}\r\n")),
        HeadFault::TooManyFields
    );
}

#[test]
fn the_authority_of_the_target_wins() {
    let mut slots = Slots::new();
    let text = b"GET http://a.example:8080/p?q HTTP/1.1\r\nHost: b.example\r\n\r\n";
    let head = request(text, &mut slots, LIMITS)
        .ok()
        .flatten()
        .map(|head| {
            assert_eq!(
                head.target,
                Target::Path {
                    path: b"/p",
                    query: Some(b"q")
                }
            );
            (head.host_text, head.authority.map(|named| named.host))
        });
    assert_eq!(
        head,
        Some((&b"a.example:8080"[..], Some(&b"a.example"[..])))
    );
}

#[test]
fn an_upgrade_needs_the_option_too() {
    let mut slots = Slots::new();
    let text = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n";
    let head = request(text, &mut slots, LIMITS).ok().flatten();
    assert_eq!(head.map(|head| head.upgrade), Some(None));
}

#[test]
fn bodies_of_responses_end_as_rfc_9112_says() {
    for (text, to_head, body) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            false,
            Body::Length(5),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            true,
            Body::None,
        ),
        ("HTTP/1.1 200\r\n\r\n", false, Body::UntilClose),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
            Body::Chunked,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", false, Body::None),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            false,
            Body::None,
        ),
        ("HTTP/1.1 100 Continue\r\n\r\n", false, Body::None),
        ("HTTP/1.0 200 OK\r\n\r\n", false, Body::UntilClose),
    ] {
        assert_eq!(answer(text, to_head), Ok(Some(body)), "{text:?}");
    }
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
    ] {
        assert!(answer(text, false).is_err(), "{text:?}");
    }
}
