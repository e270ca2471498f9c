//! Promise: connections are used again on both sides, answers come in the order of the requests,
//! and an end is announced.

mod common;

use common::*;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

/// An origin whose answer names the path.
fn naming() -> ScriptedOrigin {
    ScriptedOrigin::start(|connection, _| {
        while let Some(request) = connection.request() {
            connection.write(ok(request.target()));
        }
    })
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    on_both_drivers(|driver| {
        let origin = naming();
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let paths: Vec<_> = (0..200).map(|i| format!("/{i}")).collect();
        let mut client = RawClient::connect(ringway.address());
        let body = "POST /body HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
        let requests: String = paths.iter().map(|path| get(path) + body).collect();
        client.send(requests);
        for path in &paths {
            assert_eq!(client.response().text(), *path);
            assert_eq!(client.response().text(), "/body");
        }
        drop(client);
        let mut slow = RawClient::connect(ringway.address());
        slow.send_each_byte([get("/a"), body.to_owned(), get("/b")].concat());
        assert_eq!(slow.response().text(), "/a");
        assert_eq!(slow.response().text(), "/body");
        assert_eq!(slow.response().text(), "/b");
        drop(slow);
        ringway.finish();
        assert_eq!(origin.requests().len(), 403);
        origin.finish();
    });
}

#[test]
fn a_refused_request_ends_the_pipeline() {
    on_both_drivers(|driver| {
        let origin = naming();
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send([get("/a"), "GET bad\r\n\r\n".to_owned(), get("/b")].concat());
        assert_eq!(client.response().text(), "/a");
        own_answer(&client.response(), 400);
        client.expect_close();
        ringway.finish();
        assert_eq!(origin.targets(), ["/a"]);
        origin.finish();
    });
}

#[test]
fn many_clients_share_few_connections_to_the_origin() {
    on_both_drivers(|driver| {
        let origin = naming();
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        for i in 0..50 {
            let path = format!("/{i}");
            assert_eq!(exchange(ringway.address(), get(&path)).text(), path);
        }
        ringway.finish();
        assert_eq!(origin.finish().len(), 1);
    });
}

#[test]
fn close_is_obeyed_and_announced() {
    on_both_drivers(|driver| {
        let origin = naming();
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        for fields in [
            "Connection: close",
            "connection: Close",
            "Connection: x, close",
        ] {
            let request = format!("GET /a HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n\r\n");
            // What follows the last request is not one.
            let response = closes(ringway.address(), request + &get("/b"));
            assert!(response.connection_has("close"), "{response:?}");
        }
        let old = closes(ringway.address(), "GET /a HTTP/1.0\r\n\r\n");
        assert_eq!(old.text(), "/a");
        let mut kept = RawClient::connect(ringway.address());
        for _ in 0..2 {
            let request = "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
            let response = kept.exchange(request);
            assert!(response.connection_has("keep-alive"), "{response:?}");
        }
        drop(kept);
        ringway.finish();
        assert_eq!(origin.targets(), ["/a"; 6]);
        assert_eq!(
            origin.finish().len(),
            1,
            "the client's close is not the origin's"
        );
    });
}

#[test]
fn a_close_of_the_origins_is_not_the_clients() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            connection.request();
            connection.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na");
        });
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..3 {
            let response = client.exchange(get("/a"));
            assert_eq!(response.text(), "a");
            assert!(!response.connection_has("close"), "{response:?}");
        }
        drop(client);
        ringway.finish();
        assert_eq!(origin.finish().len(), 3);
    });
}

#[test]
fn a_client_may_end_its_side_after_the_request() {
    on_both_drivers(|driver| {
        let origin = naming();
        let ringway = Ringway::start(&forwarding(origin.address()), driver);
        let mut client = RawClient::connect(ringway.address());
        client.send(get("/a") + &get("/b"));
        client.end();
        assert_eq!(client.response().text(), "/a");
        assert_eq!(client.response().text(), "/b");
        client.expect_close();
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn an_idle_connection_to_the_origin_is_closed_after_a_while() {
    on_both_drivers(|driver| {
        let origin = naming();
        let configuration = forwarding(origin.address())
            .replace("]}]", "], connection_pool: {idle_timeout_ms: 200}}]");
        let ringway = Ringway::start(&configuration, driver);
        assert_eq!(exchange(ringway.address(), get("/a")).status(), 200);
        ringway.wait_for_status("the idle connection is closed", |status| {
            status.sum("upstream_connections") == 0
        });
        assert_eq!(exchange(ringway.address(), get("/b")).status(), 200);
        ringway.finish();
        assert_eq!(origin.finish().len(), 2);
    });
}

#[test]
fn no_more_than_the_chosen_number_is_kept_idle() {
    on_both_drivers(|driver| {
        let origin = naming();
        let configuration =
            forwarding(origin.address()).replace("]}]", "], connection_pool: {max_idle: 0}}]");
        let ringway = Ringway::start(&configuration, driver);
        for _ in 0..3 {
            assert_eq!(exchange(ringway.address(), get("/a")).status(), 200);
        }
        // The client has its answer before the connection to the server is gone.
        ringway.wait_for_status("no connection is kept", |status| {
            status.sum("upstream_connections") == 0
        });
        ringway.finish();
        assert_eq!(origin.finish().len(), 3);
    });
}
