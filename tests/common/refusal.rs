//! What must be refused: the client is told so and the connection closed, the origin sees nothing
//! that it could take for a request, and the next client is served.

use super::message::{Reader, show};
use super::{Driver, RawClient, Ringway, ScriptedOrigin, exchange, forwarding, ok, own_answer};

/// The request that must still work after each refusal.
const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// Bytes that a client sends, and the statuses that refuse them.
pub struct Refused {
    pub bytes: Vec<u8>,
    pub statuses: &'static [u16],
}

/// These bytes, refused with one of `statuses`.
pub fn refused(statuses: &'static [u16], bytes: impl Into<Vec<u8>>) -> Refused {
    Refused {
        bytes: bytes.into(),
        statuses,
    }
}

/// Sends each case on a connection of its own. All of its head is malformed, or its framing: not a
/// byte may reach the origin.
pub fn assert_refused(driver: Driver, configuration: &str, cases: &[Refused]) {
    assert!(!cases.is_empty());
    let origin = ScriptedOrigin::answering(ok("served"));
    let ringway = Ringway::start(&(forwarding(origin.address()) + configuration), driver);
    for case in cases {
        send_refused(&ringway, case);
        let probe = exchange(ringway.address(), PROBE);
        assert_eq!(probe.text(), "served", "after {}", show(&case.bytes));
    }
    ringway.finish();
    let mut probes = 0;
    for record in origin.finish() {
        let mut reader = Reader::new(record.as_slice());
        while let Some(request) = reader.request() {
            assert_eq!(request.target(), "/probe", "{request:?}");
            probes += 1;
        }
    }
    assert_eq!(probes, cases.len());
}

/// Sends each case on a connection of its own. Its head is right, its body is not: the origin may
/// have seen the head and the good part of the body, but never an end of it or a second request.
pub fn assert_bodies_refused(driver: Driver, configuration: &str, cases: &[Refused]) {
    assert!(!cases.is_empty());
    let origin = ScriptedOrigin::start(|connection, _| {
        while connection
            .reader
            .head()
            .is_some_and(|head| head.target() == "/probe")
        {
            connection.write(ok("served"));
        }
        connection.reader.to_end();
    });
    let ringway = Ringway::start(&(forwarding(origin.address()) + configuration), driver);
    for case in cases {
        send_refused(&ringway, case);
        let probe = exchange(ringway.address(), PROBE);
        assert_eq!(probe.text(), "served", "after {}", show(&case.bytes));
    }
    ringway.finish();
    for record in origin.finish() {
        let text = String::from_utf8_lossy(&record);
        let heads = text.matches(" HTTP/1.1\r\n").count();
        let probes = text.matches("GET /probe HTTP/1.1\r\n").count();
        assert!(heads - probes <= 1, "a second request: {}", show(&record));
        assert!(
            !text.ends_with("\r\n0\r\n\r\n"),
            "an end: {}",
            show(&record)
        );
        assert!(!text.contains("smuggled"), "{}", show(&record));
    }
}

fn send_refused(ringway: &Ringway, case: &Refused) {
    let shown = show(&case.bytes);
    let mut client = RawClient::connect(ringway.address());
    client.send(&case.bytes);
    let head = client.reader.wait_for_response();
    assert!(head, "no answer to {shown}");
    let response = client.response();
    let status = response.status();
    assert!(case.statuses.contains(&status), "{status} for {shown}");
    own_answer(&response, status);
    assert!(response.connection_has("close"), "{response:?} for {shown}");
    client.expect_close();
}
