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
    send_all(&ringway, cases);
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
    send_all(&ringway, cases);
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

/// Sends each case and, after it, the probe; names every case that was not refused as expected.
fn send_all(ringway: &Ringway, cases: &[Refused]) {
    let mut wrong = Vec::new();
    for case in cases {
        if let Err(fault) = send(ringway, case) {
            wrong.push(format!("{fault}\n    for {}", show(&case.bytes)));
        }
        let probe = exchange(ringway.address(), PROBE);
        assert_eq!(probe.text(), "served", "after {}", show(&case.bytes));
    }
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "{count} of {}:\n{}",
        cases.len(),
        wrong.join("\n")
    );
}

fn send(ringway: &Ringway, case: &Refused) -> Result<(), String> {
    let mut client = RawClient::connect(ringway.address());
    client.send(&case.bytes);
    if !client.reader.wait_for_response() {
        return Err("no answer".to_owned());
    }
    let response = client.response();
    let status = response.status();
    if !case.statuses.contains(&status) {
        return Err(format!("{status}, not {:?}", case.statuses));
    }
    own_answer(&response, status);
    if !response.connection_has("close") {
        return Err(format!("{status} does not say that the connection closes"));
    }
    client.expect_close();
    Ok(())
}
