//! Promise: a request has one length, or it is refused. Attack classes 1 to 5.

mod common;

use common::*;

/// What a smuggler hides in a body.
const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn post(fields: &str, body: &str) -> Vec<u8> {
    let body = body.as_bytes();
    [head("POST", fields.as_bytes()).as_slice(), body].concat()
}

fn head(method: &str, fields: &[u8]) -> Vec<u8> {
    let start = format!("{method} /case HTTP/1.1\r\nHost: a.example\r\n");
    [start.as_bytes(), fields, b"\r\n\r\n"].concat()
}

#[test]
fn length_and_coding_together_are_refused() {
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    let length = format!("Content-Length: {}", chunked.len());
    let coding = "Transfer-Encoding: chunked";
    let mut cases = Vec::new();
    for fields in [
        format!("{length}\r\n{coding}"),
        format!("{coding}\r\n{length}"),
        format!("Content-Length: 3\r\n{coding}"),
        format!("{coding}\r\nContent-Length: 0"),
        format!("{coding}\r\nX: y\r\nContent-Length: 0"),
    ] {
        for method in ["POST", "GET", "OPTIONS", "PUT"] {
            let mut bytes = head(method, fields.as_bytes());
            bytes.extend_from_slice(chunked.as_bytes());
            cases.push(refused(&[400], bytes));
        }
    }
    on_both_drivers(|driver| assert_refused(driver, "", &cases));
}

#[test]
fn lengths_that_are_not_one_number_are_refused() {
    let cases: Vec<_> = [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nX: y\r\ncontent-length: 5",
        "Content-Length: 5, 5",
        "Content-Length: 5,5",
        "Content-Length: 5, 6",
        "Content-Length: 5;",
        "Content-Length: 5 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: -0",
        "Content-Length: 0x5",
        "Content-Length: 5.0",
        "Content-Length: 5e0",
        "Content-Length: 1_0",
        "Content-Length: \"5\"",
        "Content-Length: five",
        "Content-Length:",
        "Content-Length: ,5",
        "Content-Length: 18446744073709551616",
        "Content-Length: 18446744073709551621",
        "Content-Length: 99999999999999999999999999",
        "Content-Length : 5",
        " Content-Length: 5",
    ]
    .into_iter()
    .map(|fields| refused(&[400], post(fields, HIDDEN)))
    .collect();
    on_both_drivers(|driver| assert_refused(driver, "", &cases));
}

/// Disguises of `Transfer-Encoding: chunked` in which one byte too many stands somewhere.
fn disguises() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let control = (0x00..0x09).chain([0x0b, 0x0c, 0x0e, 0x1b, 0x1f, 0x7f]);
    for byte in control.chain([0x80, 0x85, 0xa0, 0xe2, 0xff]) {
        for (before, after) in [
            ("Transfer-Encoding: ", "chunked"),
            ("Transfer-Encoding: chunked", ""),
            ("Transfer-Encoding", ": chunked"),
            ("", "Transfer-Encoding: chunked"),
            ("Transfer-Encoding: chu", "nked"),
        ] {
            found.push([before.as_bytes(), &[byte], after.as_bytes()].concat());
        }
    }
    found
}

#[test]
fn a_coding_that_is_not_exactly_chunked_is_refused() {
    let mut gadgets = disguises();
    for text in [
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "\tTransfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: \r\n\tchunked",
        "Transfer-Encoding: chun\r\n ked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "X: y\r\rTransfer-Encoding: chunked",
        "\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\n",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding: \"chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: chunked-false",
        "Transfer-Encoding: cow",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: , chunked,",
        "Transfer-Encoding: chunked;",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked; a=b",
        "Transfer-Encoding: chunked chunked",
        "Transfer-Encoding: (chunked)",
        "Transfer-Encoding: [chunked]",
        "Transfer-Encoding: {chunked}",
        "Transfer-Encoding: chunk",
        "Transfer-Encoding: c\\u0068unked",
        "Transfer-Encoding: %63hunked",
        "Transfer-Encoding: =?UTF-8?B?Y2h1bmtlZA==?=",
        "Transfer-Encoding:",
        "Transfer-Encoding: \r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\ntransfer-encoding: x",
    ] {
        gadgets.push(text.as_bytes().to_vec());
    }
    // Each alone, and beside a length that would carry the hidden request.
    let mut cases = Vec::new();
    for gadget in &gadgets {
        let body = format!("0\r\n\r\n{HIDDEN}");
        let length = format!("Content-Length: {}\r\n", body.len());
        for length in ["", length.as_str()] {
            let fields = [length.as_bytes(), gadget].concat();
            let bytes = [head("POST", &fields).as_slice(), body.as_bytes()].concat();
            cases.push(refused(&[400, 501], bytes));
        }
    }
    on_both_drivers(|driver| assert_refused(driver, "", &cases));
}

#[test]
fn an_unknown_coding_is_not_implemented() {
    let cases = ["gzip", "br", "compress"]
        .map(|coding| refused(&[501], post(&format!("Transfer-Encoding: {coding}"), "")));
    on_both_drivers(|driver| assert_refused(driver, "", &cases));
}

#[test]
fn every_spelling_that_means_chunked_is_read_as_chunked() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let spellings = [
            "Transfer-Encoding: chunked",
            "transfer-encoding:chunked",
            "Transfer-Encoding:\tchunked\t ",
            "TRANSFER-ENCODING: Chunked",
        ];
        for spelling in spellings {
            let request = post(spelling, "5\r\nhello\r\n0\r\n\r\n");
            assert_eq!(
                exchange(ringway.address(), request).status(),
                200,
                "{spelling}"
            );
        }
        ringway.finish();
        let requests = origin.requests();
        assert_eq!(requests.len(), spellings.len());
        for request in requests {
            assert_eq!(request.body, b"hello");
            assert_eq!(request.all("content-length"), Vec::<&str>::new());
        }
        origin.finish();
    });
}

#[test]
fn a_coding_on_http_1_0_is_refused() {
    let fields = "Host: a.example\r\nTransfer-Encoding: chunked";
    let cases = ["", "Connection: keep-alive\r\n"].map(|more| {
        let text = format!("POST / HTTP/1.0\r\n{more}{fields}\r\n\r\n0\r\n\r\n{HIDDEN}");
        refused(&[400], text)
    });
    on_both_drivers(|driver| assert_refused(driver, "", &cases));
}

#[test]
fn a_body_on_any_method_goes_on_with_its_length() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let methods = ["GET", "DELETE", "OPTIONS", "PATCH"];
        for method in methods {
            let length = format!("Content-Length: {}", HIDDEN.len());
            let mut request = head(method, length.as_bytes());
            request.extend_from_slice(HIDDEN.as_bytes());
            let mut client = RawClient::connect(ringway.address());
            assert_eq!(client.exchange(request).status(), 200, "{method}");
            // The body was taken as one: the connection is at the start of the next request.
            let next = client.exchange("GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n");
            assert_eq!(next.status(), 200, "{method}");
        }
        ringway.finish();
        let requests = origin.requests();
        assert_eq!(requests.len(), 2 * methods.len());
        for (pair, method) in requests.chunks(2).zip(methods) {
            assert_eq!(pair[0].method(), method);
            assert_eq!(pair[0].target(), "/case");
            assert_eq!(pair[0].body, HIDDEN.as_bytes());
            assert_eq!(pair[1].target(), "/next");
            assert_eq!(pair[1].framing, Framing::None);
        }
        origin.finish();
    });
}

#[test]
fn chunks_that_break_the_grammar_are_refused() {
    let cases: Vec<_> = [
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "1_0\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\t5\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;=x\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;a\0b\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\r\nhello\r\n0\r\n\r\n",
        "5,5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";a\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "5h\r\nhello\r\n0\r\n\r\n",
        "\"5\"\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "00000000000000000000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n-0\r\n\r\n",
        "5\r\nhello\r\n0x0\r\n\r\n",
        "5\r\nhello\r\n0 \r\n\r\n",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        "5\r\nhello\r\n0\r\nA : b\r\n\r\n",
        "5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n",
        "5\r\nhello\r\n0\r\nA: b\0\r\n\r\n",
        "5\r\nhello\r\n0\r\nA: b\n\r\n",
    ]
    .into_iter()
    .map(|body| {
        let bytes = post("Transfer-Encoding: chunked", &format!("{body}{HIDDEN}"));
        refused(&[400], bytes)
    })
    .collect();
    on_both_drivers(|driver| assert_bodies_refused(driver, "", &cases));
}

#[test]
fn chunk_extensions_end_at_the_proxy() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(""));
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let body = "5;a\r\nhello\r\n1;b=c\r\n \r\n05;d=\"e;\\\"f\"\r\nworld\r\n0;g=h\r\n\r\n";
        let request = post("Transfer-Encoding: chunked", body);
        assert_eq!(exchange(ringway.address(), &request).status(), 200);
        let mut slow = RawClient::connect(ringway.address());
        assert_eq!(slow.send_each_byte(&request).response().status(), 200);
        drop(slow);
        ringway.finish();
        let requests = origin.requests();
        assert_eq!(requests.len(), 2);
        for request in requests {
            assert_eq!(request.body, b"hello world");
        }
        // The little reader takes no extensions: that it read the requests shows there are none.
        origin.finish();
    });
}
