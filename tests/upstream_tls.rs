//! Promise: a server that is declared with TLS is spoken to under TLS or not at all.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use common::admin::body;
use common::secure::*;
use common::*;
use rustls::version::{TLS12, TLS13};
use serde_json::json;

const GET: &str = "GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// A server that is spoken to under TLS, and what more is said of its upstream.
fn secured(server: SocketAddr, tls: &str, more: &str) -> String {
    format!(
        "upstreams: [{{name: origin, servers: [{{address: {}, port: {}}}], \
         tls: {{{tls}}}{more}}}]\n\
         routes: [{{path_prefix: /, upstream: origin}}]\n",
        server.ip(),
        server.port()
    )
}

fn ca(path: &Path) -> String {
    format!("ca_file: {}", path.display())
}

/// A server behind TLS that shows a certificate for 127.0.0.1, and a proxy that knows who vouches
/// for it.
struct Setup {
    authority: Authority,
    directory: PathBuf,
    front: TlsFront,
    ca: String,
}

impl Setup {
    fn before(origin: &ScriptedOrigin) -> Self {
        Self::speaking(origin, &[&TLS13, &TLS12])
    }

    fn speaking(
        origin: &ScriptedOrigin,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let authority = Authority::new();
        let directory = new_directory();
        let config = authority.vouch(&["127.0.0.1"]).server(versions, None);
        Self {
            ca: ca(&authority.write(&directory, "ca.pem")),
            front: TlsFront::start(config, origin.address()),
            authority,
            directory,
        }
    }

    fn run(&self, driver: Driver) -> Ringway {
        self.run_with(&secured(self.front.address(), &self.ca, ""), driver)
    }

    fn run_with(&self, configuration: &str, driver: Driver) -> Ringway {
        Ringway::start_in(self.directory.clone(), configuration, driver)
    }
}

/// What TLS can be spoken in.
const BOTH: [&rustls::SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

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
