//! Promise: `Expect: 100-continue` and interim responses never put the two sides out of step.
//! Attack class 10.

mod common;

use common::*;

const EXPECTING: &str = "POST /case HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\n\
    Content-Length: 5\r\n\r\n";
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[test]
fn a_client_that_waits_for_100_gets_it() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            while let Some(mut head) = connection.head() {
                if head.field("expect").is_some() {
                    connection.write("HTTP/1.1 100 Continue\r\n\r\n");
                }
                connection.body(&mut head);
                connection.write(ok(&head.body));
            }
        });
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..2 {
            client.send(EXPECTING);
            assert_eq!(client.reader.head().unwrap().status(), 100);
            client.send("hello");
            assert_eq!(client.response().text(), "hello");
        }
        // One that does not wait gets an answer just the same.
        let impatient = client.exchange([EXPECTING, "hello"].concat());
        assert_eq!(impatient.text(), "hello");
        assert_eq!(client.exchange(NEXT).status(), 200);
        drop(client);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_final_answer_instead_of_100_spares_the_client_its_body() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            while let Some(head) = connection.head() {
                if head.field("expect").is_some() {
                    connection.write("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
                    return;
                }
                connection.write(ok(""));
            }
        });
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        let response = client.exchange(EXPECTING);
        assert_eq!(response.status(), 403);
        // Whether the body still comes cannot be known: either it is read as one, or the
        // connection is closed. What looks like a request in its place is never one.
        client.send("GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n");
        client.expect_close_or_refusal();
        assert_eq!(exchange(ringway.address(), NEXT).status(), 200);
        ringway.finish();
        assert_eq!(origin.targets(), ["/case", "/next"]);
        origin.finish();
    });
}

#[test]
fn an_unknown_expectation_fails() {
    let cases = ["200-ok", "100-continue, x", "100-continued", ""].map(|value| {
        let head = EXPECTING.replace("100-continue", value);
        refused(&[417], head + "hello")
    });
    on_both_drivers(|driver| assert_refused(driver, "", &cases));
}

#[test]
fn interim_responses_pass_in_order() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n".repeat(9);
    let processing = b"HTTP/1.1 102 Processing\r\n\r\n";
    let answer = [early.as_bytes(), processing, &ok("done")].concat();
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(answer.clone());
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..2 {
            let response = client.exchange(NEXT);
            assert_eq!(response.text(), "done");
            assert_eq!(response.interim.len(), 10);
            assert_eq!(response.interim[0].status(), 103);
            assert_eq!(response.interim[0].field("link"), Some("</a.css>"));
            assert_eq!(response.interim[9].status(), 102);
        }
        drop(client);
        // HTTP/1.0 knows no interim responses.
        let old = exchange(
            ringway.address(),
            "GET /next HTTP/1.0\r\nHost: a.example\r\n\r\n",
        );
        assert_eq!(old.text(), "done");
        assert_eq!(old.interim.len(), 0);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_flood_of_interim_responses_ends() {
    let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(11);
    let answer = [flood.as_bytes(), &ok("done")].concat();
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(answer.clone());
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        for _ in 0..2 {
            let response = exchange(ringway.address(), NEXT);
            upstream_error(&response, 502, "http_protocol_error");
            assert!(response.interim.len() <= 10);
        }
        ringway.finish();
        assert_eq!(
            origin.finish().len(),
            2,
            "a flooded connection is not used again"
        );
    });
}

#[test]
fn a_stray_100_does_not_shift_the_answers() {
    let answer = [b"HTTP/1.1 100 Continue\r\n\r\n".as_slice(), &ok("done")].concat();
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(answer.clone());
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..3 {
            assert_eq!(client.exchange(NEXT).text(), "done");
        }
        drop(client);
        ringway.finish();
        origin.finish();
    });
}
