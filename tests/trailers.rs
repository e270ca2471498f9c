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
fn what_frames_or_routes_cannot_be_allowed() {
    let directory = new_directory();
    for name in [
        "Content-Length",
        "transfer-encoding",
        "host",
        "authorization",
        "set-cookie",
    ] {
        let path = directory.join("ringway.yaml");
        let configuration = format!("http: {{allowed_trailers: [{name}]}}\nroutes: []\n");
        std::fs::write(&path, configuration).unwrap();
        let mut process = Process::start(["run", "--config", path.to_str().unwrap()]);
        assert_eq!(process.wait().code(), Some(1));
        process.wait_for(0, |line| line.contains("allowed_trailers[0]").then_some(()));
    }
    std::fs::remove_dir_all(directory).unwrap();
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
