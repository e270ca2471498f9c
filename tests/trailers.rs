//! Promise: nothing that comes after a body changes what the message means. Attack class 7.

mod common;

use common::*;

const REQUEST: &str = "POST /case HTTP/1.1\r\nHost: a.example\r\nTE: trailers\r\n\
    Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
    Content-Length: 9\r\nTransfer-Encoding: gzip\r\nHost: b.example\r\n\
    Authorization: Basic YTpi\r\nX-Forwarded-For: 1.2.3.4\r\nContent_Length: 9\r\n\
    X-Checksum: abc\r\n\r\n";

const RESPONSE: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
    Content-Length: 9\r\nTransfer-Encoding: gzip\r\nSet-Cookie: a=b\r\n\
    Location: http://b.example/\r\nX-Checksum: def\r\n\r\n";

/// Every name that the trailers above have.
const ALL: &str = "http: {allowed_trailers: [content-length, transfer-encoding, host, \
    authorization, x-forwarded-for, content_length, set-cookie, location, x-checksum]}\n";

fn round(driver: Driver, configuration: &str) -> (Message, Message) {
    let origin = ScriptedOrigin::answering(RESPONSE);
    let ringway = Ringway::start(&(forwarding(origin.address()) + configuration), driver);
    let mut client = RawClient::connect(ringway.address());
    let response = client.exchange(REQUEST);
    // The connection is where the next request begins.
    assert_eq!(client.exchange(REQUEST).status(), 200);
    drop(client);
    ringway.finish();
    let request = origin.requests().swap_remove(0);
    origin.finish();
    assert_eq!(request.body, b"hello");
    assert_eq!(response.body, b"hello");
    (request, response)
}

#[test]
fn trailers_are_dropped() {
    on_both_drivers(|driver| {
        let (request, response) = round(driver, "");
        assert_eq!(request.trailers, []);
        assert_eq!(response.trailers, []);
        assert_eq!(request.field("host"), Some("a.example"));
        assert_eq!(request.all("authorization"), Vec::<&str>::new());
    });
}

#[test]
fn an_allowed_trailer_passes_alone() {
    on_both_drivers(|driver| {
        let (request, response) = round(driver, "http: {allowed_trailers: [X-Checksum]}\n");
        let one = |value: &str| [("X-Checksum".to_owned(), value.to_owned())];
        assert_eq!(request.trailers, one("abc"));
        assert_eq!(response.trailers, one("def"));
    });
}

#[test]
fn some_trailers_never_pass() {
    on_both_drivers(|driver| {
        let (request, response) = round(driver, ALL);
        for trailers in [request.trailers, response.trailers] {
            let names: Vec<_> = trailers.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["X-Checksum"]);
        }
    });
}

#[test]
fn a_trailer_section_has_an_end() {
    let start = "POST /case HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = "a".repeat(100 << 10);
    let many = "A: b\r\n".repeat(1_000);
    let cases = [
        format!("0\r\nA: {long}\r\n\r\n"),
        format!("0\r\n{many}\r\n"),
    ]
    .map(|end| refused(&[400, 431], format!("{start}{end}")));
    on_both_drivers(|driver| assert_bodies_refused(driver, "", &cases));
}
