//! Promise: a server that is declared with TLS is spoken to under TLS or not at all.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use common::admin::body;
use common::secure::*;
use common::*;
use rustls::version::{TLS12, TLS13};
use serde_json::json;

const GET: &str = "GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// Bodies around the bounds of records and buffers.
const SIZES: [usize; 9] = [0, 1, 1_000, 4_096, 16_384, 16_385, 65_536, 100_000, 1 << 20];

#[test]
fn bodies_of_all_sizes_pass_both_ways_on_one_connection() {
    on_both_drivers(|driver| {
        for versions in [&[&TLS13][..], &[&TLS12]] {
            let origin = ScriptedOrigin::start(|connection, _| {
                while let Some(request) = connection.request() {
                    let body = &request.body;
                    if request.target() == "/chunked" {
                        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                        connection.write(head);
                        for piece in body.chunks(10_000) {
                            connection.write(format!("{:x}\r\n", piece.len()));
                            connection.write([piece, b"\r\n"].concat());
                        }
                        connection.write("0\r\n\r\n");
                    } else {
                        connection.write(ok(body));
                    }
                }
            });
            let setup = Setup::speaking(&origin, versions);
            let ringway = setup.run(driver);
            let mut client = RawClient::connect(ringway.address());
            for size in SIZES {
                let body = pattern(size);
                for target in ["/length", "/chunked"] {
                    let head = format!(
                        "POST {target} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {size}\r\n\r\n"
                    );
                    let response = client.exchange([head.as_bytes(), &body].concat());
                    assert_eq!(response.status(), 200, "{size} {target}: {response:?}");
                    assert!(response.body == body, "{size} {target}");
                }
                let head = "POST /up HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked";
                let mut request = format!("{head}\r\n\r\n").into_bytes();
                for piece in body.chunks(7_000) {
                    request.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    request.extend_from_slice(piece);
                    request.extend_from_slice(b"\r\n");
                }
                request.extend_from_slice(b"0\r\n\r\n");
                let response = client.exchange(request);
                assert!(response.body == body, "{size} in chunks");
            }
            let status = ringway.status();
            assert_eq!(status.sum("upstream_connects"), 1);
            assert_eq!(status.sum("upstream_handshakes"), 1);
            assert_eq!(status.sum("upstream_reuses"), 3 * SIZES.len() as u64 - 1);
            assert_eq!(setup.front.handshakes(), 1);
            drop(client);
            ringway.finish();
            origin.finish();
        }
    });
}

#[test]
fn a_server_that_is_not_who_it_should_be_gets_nothing() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("never"));
        let (ours, other) = (Authority::new(), Authority::new());
        let directory = new_directory();
        let ca = ca(&ours.write(&directory, "ca.pem"));
        let names = ["127.0.0.1", "right.test"];
        let mut texts = Vec::new();
        let fronts = [
            (ours.vouch(&["10.0.0.1", "wrong.test"]), ""),
            (ours.vouch(&names), ", server_name: wrong.test"),
            (ours.vouch_expired(&names), ""),
            (other.vouch(&names), ""),
            (other.vouch(&names), ", server_name: right.test"),
        ]
        .map(|(identity, more)| {
            let front = TlsFront::start(identity.server(&BOTH, None), origin.address());
            texts.push((front.address(), format!("{ca}{more}")));
            front
        });
        // Nobody whom this machine trusts vouches for it either.
        texts.push((fronts[1].address(), String::new()));
        let (mut upstreams, mut routes) = (String::new(), String::new());
        for (index, (address, tls)) in texts.iter().enumerate() {
            upstreams += &format!(
                "  - {{name: u{index}, servers: [{{address: 127.0.0.1, port: {}}}], \
                 tls: {{{tls}}}}}\n",
                address.port()
            );
            routes += &format!("  - {{path: /{index}, upstream: u{index}}}\n");
        }
        let configuration = format!("upstreams:\n{upstreams}routes:\n{routes}");
        let ringway = Ringway::start_in(directory, &configuration, driver);
        for index in 0..texts.len() {
            let request = format!("GET /{index} HTTP/1.1\r\nHost: a.example\r\n\r\n");
            let response = exchange(ringway.address(), request);
            upstream_error(&response, 502, "tls_certificate_error");
        }
        let handshakes = fronts.iter().map(TlsFront::handshakes);
        assert_eq!(handshakes.sum::<usize>(), 0);
        assert_eq!(ringway.status().sum("upstream_handshakes"), 0);
        ringway.finish();
        assert!(origin.requests().is_empty());
        origin.finish();
    });
}

#[test]
fn without_verification_anybody_is_the_server() {
    on_both_drivers(|driver| {
        for versions in [&[&TLS13][..], &[&TLS12]] {
            let origin = ScriptedOrigin::answering(ok("served"));
            let identity = Authority::new().vouch_expired(&["wrong.test"]);
            let front = TlsFront::start(identity.server(versions, None), origin.address());
            let ringway = Ringway::start(&secured(front.address(), "verify: false", ""), driver);
            assert_eq!(exchange(ringway.address(), GET).text(), "served");
            ringway.finish();
            origin.finish();
        }
    });
}

#[test]
fn the_name_that_is_declared_is_asked_for_and_checked() {
    on_both_drivers(|driver| {
        let ours = Authority::new();
        let directory = new_directory();
        let ca = ca(&ours.write(&directory, "ca.pem"));
        let (tell, asked) = mpsc::channel();
        let config = ours.vouch(&["right.test"]).server(&BOTH, None);
        let tell = Mutex::new(tell);
        let address = tls_server(config, move |stream| {
            while read_head(stream).is_some() {
                let name = stream.conn.server_name().map(str::to_owned);
                tell.lock().unwrap().send(name).unwrap();
                stream.write_all(&ok("served"))?;
            }
            Ok(())
        });
        let tls = format!("{ca}, server_name: right.test");
        let ringway = Ringway::start_in(directory, &secured(address, &tls, ""), driver);
        assert_eq!(exchange(ringway.address(), GET).text(), "served");
        assert_eq!(asked.recv().unwrap().as_deref(), Some("right.test"));
        ringway.finish();
    });
}

#[test]
fn a_server_that_asks_who_we_are_is_told() {
    on_both_drivers(|driver| {
        for versions in [&[&TLS13][..], &[&TLS12]] {
            let origin = ScriptedOrigin::answering(ok("served"));
            let (ours, clients) = (Authority::new(), Authority::new());
            let directory = new_directory();
            let ca = ca(&ours.write(&directory, "ca.pem"));
            let (certificate, key) = clients.vouch(&["ringway.test"]).write(&directory, "own");
            let config = ours.vouch(&["127.0.0.1"]).server(versions, Some(&clients));
            let front = TlsFront::start(config, origin.address());
            let (certificate, key) = (certificate.display(), key.display());
            let tls = format!("{ca}, certificate: {certificate}, key: {key}");
            let configuration = secured(front.address(), &tls, "");
            let ringway = Ringway::start_in(directory, &configuration, driver);
            assert_eq!(exchange(ringway.address(), GET).text(), "served");
            ringway.finish();
            origin.finish();
        }
    });
}

#[test]
fn a_server_that_wants_to_know_who_we_are_refuses_others() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("never"));
        let (ours, clients) = (Authority::new(), Authority::new());
        let directory = new_directory();
        let ca = ca(&ours.write(&directory, "ca.pem"));
        // In TLS 1.3 the server would say it only after it had got the request.
        let config = ours.vouch(&["127.0.0.1"]).server(&[&TLS12], Some(&clients));
        let front = TlsFront::start(config, origin.address());
        let configuration = secured(front.address(), &ca, "");
        let ringway = Ringway::start_in(directory, &configuration, driver);
        let response = exchange(ringway.address(), GET);
        upstream_error(&response, 502, "tls_alert_received");
        ringway.finish();
        assert!(origin.requests().is_empty());
        origin.finish();
    });
}

#[test]
fn what_is_no_tls_is_told_apart() {
    on_both_drivers(|driver| {
        // One speaks HTTP, one ends, one says nothing at all.
        let speaks = plain_server(|mut stream| {
            let mut some = [0; 1_000];
            let _ = stream.read(&mut some);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read(&mut some);
        });
        let ends = plain_server(drop);
        let silent = plain_server(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
        let pool = ", connection_pool: {connect_timeout_ms: 200}";
        for (server, status, error) in [
            (speaks, 502, "tls_protocol_error"),
            (ends, 502, "tls_protocol_error"),
            (silent, 504, "connection_timeout"),
        ] {
            let configuration = secured(server, "verify: false", pool);
            let ringway = Ringway::start(&configuration, driver);
            upstream_error(&exchange(ringway.address(), GET), status, error);
            assert_eq!(ringway.status().sum("upstream_handshakes"), 0);
            ringway.finish();
        }
    });
}

#[test]
fn a_next_connection_resumes_the_session() {
    on_both_drivers(|driver| {
        for versions in [&[&TLS13][..], &[&TLS12]] {
            let origin = ScriptedOrigin::answering(ok("served"));
            let setup = Setup::speaking(&origin, versions);
            // Nothing is kept, and other writes come between.
            let pool = ", connection_pool: {max_idle: 0}";
            let configuration = secured(setup.front.address(), &setup.ca, pool);
            let ringway = setup.run_with(&format!("{configuration}{ADMIN}"), driver);
            for round in 0..3 {
                assert_eq!(exchange(ringway.address(), GET).text(), "served");
                let heavier = json!({"retry_budget_percent": 30 + round});
                let answer = ringway.admin().patch("/upstreams/origin", &heavier);
                assert_eq!(answer.status(), 200, "{}", answer.text());
            }
            assert_eq!((setup.front.handshakes(), setup.front.resumed()), (3, 2));
            let status = ringway.status();
            assert_eq!(status.sum("upstream_handshakes"), 3);
            assert_eq!(status.sum("upstream_resumptions"), 2);
            ringway.finish();
            origin.finish();
        }
    });
}

#[test]
fn a_body_that_is_cut_off_is_not_passed_for_a_whole_one() {
    on_both_drivers(|driver| {
        let authority = Authority::new();
        let directory = new_directory();
        let ca = ca(&authority.write(&directory, "ca.pem"));
        let config = authority.vouch(&["127.0.0.1"]).server(&BOTH, None);
        let address = tls_server(config, |stream| {
            let head = read_head(stream).unwrap_or_default();
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            if head.contains("/length") {
                stream.write_all(b"Content-Length: 4\r\n")?;
            }
            stream.write_all(b"\r\nbody")?;
            match head.contains("/whole") {
                true => end(stream),
                false => stream.flush(),
            }
        });
        let ringway = Ringway::start_in(directory, &secured(address, &ca, ""), driver);
        for (path, is_whole) in [("/whole", true), ("/cut", false), ("/length", true)] {
            let mut client = TcpStream::connect(ringway.address()).unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            client.write_all(request.as_bytes()).unwrap();
            let mut got = Vec::new();
            // A reset is how the proxy says that there was more.
            let _ = client.read_to_end(&mut got);
            let got = String::from_utf8(got).unwrap();
            assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {got}");
            let ended = got.ends_with("0\r\n\r\n") || got.ends_with("\r\n\r\nbody");
            assert_eq!(ended, is_whole, "{path}: {got}");
        }
        ringway.finish();
    });
}

const POST: &str = "POST /case HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";

/// A server that answers on each connection once, does something then, and says when it is done.
fn once_and_then(
    config: rustls::ServerConfig,
    then: impl Fn(&mut TlsStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> (SocketAddr, mpsc::Receiver<()>) {
    let (tell, done) = mpsc::channel();
    let tell = Mutex::new(tell);
    let address = tls_server(config, move |stream| {
        while read_head(stream).is_some() {
            let mut body = [0; 5];
            stream.read_exact(&mut body)?;
            stream.write_all(&ok("served"))?;
            then(stream)?;
            tell.lock().unwrap().send(()).unwrap();
        }
        Ok(())
    });
    (address, done)
}

#[test]
fn a_connection_that_the_server_has_ended_is_not_used_again() {
    on_both_drivers(|driver| {
        let authority = Authority::new();
        let directory = new_directory();
        let ca = ca(&authority.write(&directory, "ca.pem"));
        let config = authority.vouch(&["127.0.0.1"]).server(&BOTH, None);
        // TLS has ended, and nothing else yet.
        let (address, done) = once_and_then(config, |stream| {
            stream.conn.send_close_notify();
            stream.flush()
        });
        let ringway = Ringway::start_in(directory, &secured(address, &ca, ""), driver);
        for _ in 0..3 {
            // It cannot be sent a second time.
            assert_eq!(exchange(ringway.address(), POST).text(), "served");
            done.recv_timeout(PATIENCE).unwrap();
        }
        let status = ringway.status();
        assert_eq!(status.sum("upstream_handshakes"), 3);
        assert_eq!(status.sum("retries"), 0);
        ringway.finish();
    });
}

#[test]
fn what_tls_says_to_itself_does_not_end_a_kept_connection() {
    on_both_drivers(|driver| {
        let authority = Authority::new();
        let directory = new_directory();
        let ca = ca(&authority.write(&directory, "ca.pem"));
        let config = authority.vouch(&["127.0.0.1"]).server(&[&TLS13], None);
        let (address, done) = once_and_then(config, |stream| {
            for _ in 0..3 {
                stream.conn.refresh_traffic_keys().unwrap();
                stream.flush()?;
            }
            Ok(())
        });
        let ringway = Ringway::start_in(directory, &secured(address, &ca, ""), driver);
        for _ in 0..10 {
            assert_eq!(exchange(ringway.address(), POST).text(), "served");
            done.recv_timeout(PATIENCE).unwrap();
        }
        let status = ringway.status();
        assert_eq!(status.sum("upstream_handshakes"), 1);
        assert_eq!(status.sum("upstream_reuses"), 9);
        ringway.finish();
    });
}

#[test]
fn a_tunnel_carries_large_messages_both_ways_and_ends_as_tls_wants_it() {
    const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\n\r\n";
    const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
        Upgrade: websocket\r\n\r\n";
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            connection.request();
            connection.write(AGREE);
            connection.echo();
        });
        let setup = Setup::before(&origin);
        let ringway = setup.run(driver);
        let mut client = RawClient::connect(ringway.address());
        assert_eq!(client.exchange(UPGRADE).status(), 101);
        for size in [1, 125, 70_000, 3 << 20] {
            let message = pattern(size);
            std::thread::scope(|scope| {
                let mut writer = client.writer();
                let message = &message;
                scope.spawn(move || writer.write_all(message).unwrap());
                assert!(client.reader.exactly(size) == *message, "{size}");
            });
        }
        client.end();
        client.expect_close();
        ringway.finish();
        wait_until("the front has seen the end", || {
            (setup.front.ends() == (1, 0)).then_some(())
        });
        origin.finish();
    });
}

#[test]
fn a_kept_connection_is_parted_with_as_tls_wants_it() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("served"));
        let setup = Setup::before(&origin);
        let pool = ", connection_pool: {idle_timeout_ms: 100}";
        let configuration = secured(setup.front.address(), &setup.ca, pool);
        let ringway = setup.run_with(&configuration, driver);
        assert_eq!(exchange(ringway.address(), GET).text(), "served");
        wait_until("the front has seen the end", || {
            (setup.front.ends() == (1, 0)).then_some(())
        });
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_server_that_fails_the_handshake_makes_way_for_another() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("served"));
        let setup = Setup::before(&origin);
        let wrong = Authority::new().vouch(&["127.0.0.1"]).server(&BOTH, None);
        let wrong = TlsFront::start(wrong, origin.address());
        let configuration = format!(
            "upstreams: [{{name: origin, tls: {{{}}}, servers: [\
             {{address: 127.0.0.1, port: {}, max_fails: 2}}, \
             {{address: 127.0.0.1, port: {}}}]}}]\n\
             routes: [{{path_prefix: /, upstream: origin, \
             retry: {{max_retries: 1, on: [connect]}}}}]\n",
            setup.ca,
            wrong.address().port(),
            setup.front.address().port()
        );
        let ringway = setup.run_with(&configuration, driver);
        for _ in 0..8 {
            assert_eq!(exchange(ringway.address(), POST).text(), "served");
        }
        // After two failures it was left alone.
        assert_eq!(wrong.accepted(), 2);
        assert_eq!(ringway.status().sum("retries"), 2);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn servers_are_asked_for_their_health_over_tls() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("served"));
        let setup = Setup::before(&origin);
        let wrong = Authority::new().vouch(&["127.0.0.1"]).server(&BOTH, None);
        let wrong = TlsFront::start(wrong, origin.address());
        let check = ", all_down: refuse, health_check: {path: /health, interval_ms: 20, \
                     unhealthy_threshold: 1, healthy_threshold: 1}";
        let text = |front: &TlsFront| secured(front.address(), &setup.ca, check);
        let ringway = setup.run_with(&text(&setup.front), driver);
        wait_until("it is asked", || {
            origin
                .targets()
                .contains(&"/health".to_owned())
                .then_some(())
        });
        assert_eq!(exchange(ringway.address(), GET).text(), "served");
        ringway.finish();
        let ringway = Ringway::start(&text(&wrong).replace(&setup.ca, "verify: true"), driver);
        wait_until("it is down", || {
            let response = exchange(ringway.address(), GET);
            (response.status() == 503).then_some(())
        });
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_unix_socket_can_be_under_tls() {
    on_both_drivers(|driver| {
        let directory = new_directory();
        let authority = Authority::new();
        let ca = ca(&authority.write(&directory, "ca.pem"));
        let config = Arc::new(authority.vouch(&["app.test"]).server(&BOTH, None));
        let path = directory.join("app.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let mut stream = under_tls(&config, listener.accept().unwrap().0);
            while read_head(&mut stream).is_some() {
                stream.write_all(&ok("from the socket")).unwrap();
            }
        });
        let configuration = format!(
            "upstreams: [{{name: origin, servers: [{{unix: {}}}], \
             tls: {{{ca}, server_name: app.test}}}}]\n\
             routes: [{{path_prefix: /, upstream: origin}}]\n",
            path.display()
        );
        let ringway = Ringway::start_in(directory, &configuration, driver);
        for _ in 0..2 {
            assert_eq!(exchange(ringway.address(), GET).text(), "from the socket");
        }
        assert_eq!(ringway.status().sum("upstream_handshakes"), 1);
        ringway.finish();
    });
}

#[test]
fn what_is_asked_beside_a_request_is_asked_over_tls_too() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok(r#"{"a": 1}"#));
        let setup = Setup::before(&origin);
        let configuration = format!(
            "upstreams: [{{name: origin, tls: {{{}}}, \
             servers: [{{address: 127.0.0.1, port: {}}}]}}]\n\
             routes:\n\
             - {{id: part, path: /part, upstream: origin}}\n\
             - {{path: /joined, aggregate: {{parts: [{{route: part, key: one, path: /part}}, \
               {{route: part, key: two, path: /part}}]}}}}\n\
             - {{path: /asked, upstream: origin, \
               auth: {{type: forward_auth, forward: {{upstream: origin, path: /verify}}}}}}\n\
             - {{path: /copied, upstream: origin, mirror: origin}}\n",
            setup.ca,
            setup.front.address().port()
        );
        let ringway = setup.run_with(&configuration, driver);
        let ask = |path: &str| {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            exchange(ringway.address(), request)
        };
        let joined = ask("/joined");
        assert_eq!(body(&joined), json!({"one": {"a": 1}, "two": {"a": 1}}));
        assert_eq!(body(&ask("/asked")), json!({"a": 1}));
        assert!(origin.targets().contains(&"/verify".to_owned()));
        assert_eq!(body(&ask("/copied")), json!({"a": 1}));
        wait_until("the copy is there", || {
            let targets = origin.targets();
            let copies = targets.iter().filter(|target| *target == "/copied");
            (copies.count() == 2).then_some(())
        });
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_slow_server_is_not_waited_for_where_another_answers() {
    on_both_drivers(|driver| {
        let served = pattern(100_000);
        let origin = ScriptedOrigin::answering(ok(&served));
        let mute = ScriptedOrigin::start(|connection, _| {
            connection.request();
            connection.reader.to_end();
        });
        let silent = plain_server(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
        for shakes_hands in [true, false] {
            let setup = Setup::before(&origin);
            let config = setup.authority.vouch(&["127.0.0.1"]).server(&BOTH, None);
            let shaken = TlsFront::start(config, mute.address());
            let slow = if shakes_hands {
                shaken.address()
            } else {
                silent
            };
            let configuration = format!(
                "upstreams: [{{name: origin, tls: {{{}}}, servers: [\
                 {{address: 127.0.0.1, port: {}, max_fails: 0}}, \
                 {{address: 127.0.0.1, port: {}, max_fails: 0}}]}}]\n\
                 routes: [{{path_prefix: /, upstream: origin, \
                 retry: {{max_retries: 0, hedge_after_ms: 30}}}}]\n",
                setup.ca,
                slow.port(),
                setup.front.address().port()
            );
            let ringway = setup.run_with(&configuration, driver);
            let mut client = RawClient::connect(ringway.address());
            for _ in 0..6 {
                assert!(client.exchange(GET).body == served);
            }
            assert!(ringway.status().sum("hedged") > 0);
            assert!(!mute.requests().is_empty());
            drop(client);
            ringway.finish();
        }
        mute.finish();
        origin.finish();
    });
}
