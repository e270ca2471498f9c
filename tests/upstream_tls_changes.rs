//! Promise: what is changed about the TLS of a server is in force for the next request, and what
//! cannot be used changes nothing.

mod common;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use common::secure::*;
use common::*;
use serde_json::json;

const GET: &str = "GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// A server that speaks TLS with who begins it and HTTP with everyone else, and says which of both
/// it was; `/held` is answered when the test says so.
fn either(config: rustls::ServerConfig) -> (SocketAddr, mpsc::Sender<()>) {
    fn serve(mut stream: impl Read + Write, how: &str, gone: &Mutex<mpsc::Receiver<()>>) {
        while let Some(head) = read_head(&mut stream) {
            if head.contains("/held") {
                let _ = gone.lock().unwrap().recv();
            }
            if stream.write_all(&ok(how)).is_err() {
                return;
            }
        }
    }
    let (go, gone) = mpsc::channel();
    let (gone, config) = (Mutex::new(gone), Arc::new(config));
    let address = plain_server(move |stream| {
        let mut first = [0];
        match stream.peek(&mut first) {
            Ok(1) if first[0] == 0x16 => serve(under_tls(&config, stream), "tls", &gone),
            Ok(1) => serve(stream, "plain", &gone),
            _ => {}
        }
    });
    (address, go)
}

#[test]
fn a_change_to_tls_is_in_force_for_the_next_request() {
    const HELD: &str = "GET /held HTTP/1.1\r\nHost: a.example\r\n\r\n";
    on_both_drivers(|driver| {
        let authority = Authority::new();
        let directory = new_directory();
        let file = authority.write(&directory, "ca.pem");
        let config = authority.vouch(&["127.0.0.1"]).server(&BOTH, None);
        let (address, go) = either(config);
        let ringway = Ringway::start_in(
            directory,
            &format!("{}{ADMIN}", forwarding(address)),
            driver,
        );
        let mut admin = ringway.admin();
        for round in 0..5 {
            let mut clients = [0, 1, 2].map(|_| RawClient::connect(ringway.address()));
            let before = if round == 0 { "plain" } else { "tls" };
            // One is kept, one is in use, when the change comes.
            assert_eq!(clients[0].exchange(GET).text(), "plain", "{before}");
            clients[1].send(HELD);
            ringway.wait_for_status("it is in flight", |status| status.sum("in_flight") == 1);
            let secure = json!({"tls": {"ca_file": file}});
            assert_eq!(admin.patch("/upstreams/origin", &secure).status(), 200);
            assert_eq!(clients[0].exchange(GET).text(), "tls");
            go.send(()).unwrap();
            assert_eq!(clients[1].response().text(), "plain");
            for client in &mut clients {
                assert_eq!(client.exchange(GET).text(), "tls");
            }
            let plain = json!({"tls": null});
            assert_eq!(admin.patch("/upstreams/origin", &plain).status(), 200);
            for client in &mut clients {
                assert_eq!(client.exchange(GET).text(), "plain");
            }
        }
        drop(admin);
        ringway.finish();
    });
}

#[test]
fn files_that_cannot_be_used_change_nothing() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("served"));
        let setup = Setup::before(&origin);
        let other = Authority::new()
            .vouch(&["x"])
            .write(&setup.directory, "other");
        let own = setup.authority.vouch(&["x"]).write(&setup.directory, "own");
        std::fs::write(setup.directory.join("text.pem"), "hello").unwrap();
        let at = |name: &str| setup.directory.join(name);
        let configuration = secured(setup.front.address(), &setup.ca, "");
        let ringway = setup.run_with(&format!("{configuration}{ADMIN}"), driver);
        let mut admin = ringway.admin();
        let file = std::fs::read(ringway.config_path()).unwrap();
        for (tls, what) in [
            (json!({"ca_file": at("none.pem")}), "cannot be read"),
            (
                json!({"ca_file": at("text.pem")}),
                "there is no certificate",
            ),
            (json!({"ca_file": own.1}), "there is no certificate"),
            (
                json!({"certificate": own.0, "key": own.0}),
                "there is no private key",
            ),
            (
                json!({"certificate": own.0, "key": other.1}),
                "cannot be used with",
            ),
            (json!({"certificate": own.0}), "without a key"),
            (
                json!({"server_name": "a b"}),
                "neither an IP address nor a DNS name",
            ),
        ] {
            let answer = admin.patch("/upstreams/origin", &json!({ "tls": tls }));
            assert!((400..500).contains(&answer.status()), "{tls}: {answer:?}");
            assert!(answer.text().contains(what), "{tls}: {}", answer.text());
        }
        assert_eq!(exchange(ringway.address(), GET).text(), "served");
        assert_eq!(std::fs::read(ringway.config_path()).unwrap(), file);
        drop(admin);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn files_are_followed() {
    on_both_drivers(|driver| {
        let (first, second) = (Authority::new(), Authority::new());
        let origin = ScriptedOrigin::answering(ok("served"));
        let directory = new_directory();
        let file = first.write(&directory, "ca.pem");
        let front = |authority: &Authority| {
            let config = authority.vouch(&["127.0.0.1"]).server(&BOTH, None);
            TlsFront::start(config, origin.address())
        };
        let (before, after) = (front(&first), front(&second));
        let configuration = format!(
            "upstreams:\n\
             - {{name: before, tls: {{{ca}}}, servers: [{{address: 127.0.0.1, port: {}}}]}}\n\
             - {{name: after, tls: {{{ca}}}, servers: [{{address: 127.0.0.1, port: {}}}]}}\n\
             routes: [{{path: /before, upstream: before}}, {{path: /after, upstream: after}}]\n",
            before.address().port(),
            after.address().port(),
            ca = ca(&file),
        );
        let ringway = Ringway::start_in(directory.clone(), &configuration, driver);
        let mut client = RawClient::connect(ringway.address());
        let mut ask = |path: &str| {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
            client.exchange(request).status()
        };
        assert_eq!((ask("/before"), ask("/after")), (200, 502));
        // What is no certificate changes nothing.
        std::fs::write(&file, "hello").unwrap();
        wait_until("it is in the log", || {
            let log = ringway.log().join("\n");
            log.contains("the certificates stay as they are")
                .then_some(())
        });
        assert_eq!((ask("/before"), ask("/after")), (200, 502));
        second.write(&directory, "ca.pem");
        wait_until("it is in force", || (ask("/after") == 200).then_some(()));
        // The connection that was kept is not used any more either.
        wait_until("for both", || (ask("/before") == 502).then_some(()));
        drop(client);
        ringway.finish();
        origin.finish();
    });
}
