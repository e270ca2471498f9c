//! Promise: requests are spread as declared, and a server that fails is told apart by how.

mod common;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use common::*;

const GET: &str = "GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";
const POST: &str = "POST /case HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";

/// One upstream of these servers, each with fields of its own.
fn spread(servers: &[(SocketAddr, &str)], more: &str) -> String {
    let servers: Vec<_> = servers
        .iter()
        .map(|(at, more)| format!("{{address: {}, port: {}{more}}}", at.ip(), at.port()))
        .collect();
    format!(
        "upstreams: [{{name: origin, servers: [{}]{more}}}]\n\
         routes: [{{path_prefix: /, upstream: origin}}]\n",
        servers.join(", ")
    )
}

/// The same configuration with fields of the route's.
fn route(configuration: String, fields: &str) -> String {
    configuration.replace(
        "upstream: origin}",
        &format!("upstream: origin, {fields}}}"),
    )
}

/// A port on which nobody listens, as long as this is held.
fn nobody() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

#[test]
fn round_robin_goes_round() {
    on_both_drivers(|driver| {
        let origins = ["a", "b", "c"].map(|name| ScriptedOrigin::answering(ok(name)));
        let servers: Vec<_> = origins
            .iter()
            .map(|origin| (origin.address(), ""))
            .collect();
        let ringway = Ringway::start(&spread(&servers, ""), driver);
        let answers: String = (0..9)
            .map(|_| exchange(ringway.address(), GET).text())
            .collect();
        let first = answers.chars().next().unwrap();
        let start = "abc".find(first).unwrap();
        assert_eq!(answers, "abcabcabcabc"[start..start + 9]);
        ringway.finish();
        for origin in origins {
            origin.finish();
        }
    });
}

#[test]
fn weights_are_shares_smoothly_mixed() {
    on_both_drivers(|driver| {
        let origins = ["a", "b", "c"].map(|name| ScriptedOrigin::answering(ok(name)));
        let weights = [", weight: 5", ", weight: 1", ", weight: 0"];
        let servers: Vec<_> = origins
            .iter()
            .zip(weights)
            .map(|(origin, w)| (origin.address(), w))
            .collect();
        let balancer = ", load_balancer: weighted_round_robin";
        let ringway = Ringway::start(&spread(&servers, balancer), driver);
        let answers: String = (0..12)
            .map(|_| exchange(ringway.address(), GET).text())
            .collect();
        assert_eq!(answers.matches('a').count(), 10, "{answers}");
        assert_eq!(answers.matches('b').count(), 2, "{answers}");
        assert!(!answers.contains("bb"), "{answers}");
        ringway.finish();
        for origin in origins {
            origin.finish();
        }
    });
}

#[test]
fn a_unix_socket_is_a_server_too() {
    on_both_drivers(|driver| {
        let directory = new_directory();
        let path = directory.join("origin.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let serving = std::thread::spawn(move || {
            use std::io::Write;
            let (stream, _) = listener.accept().unwrap();
            let mut writer = stream.try_clone().unwrap();
            let mut reader = Reader::new(stream);
            let mut count = 0;
            while let Some(request) = reader.request() {
                assert_eq!(request.body, b"hello");
                writer.write_all(&ok("from the socket")).unwrap();
                count += 1;
            }
            count
        });
        let ringway = Ringway::start_in(directory, &forwarding_to_unix(&path), driver);
        for _ in 0..2 {
            assert_eq!(exchange(ringway.address(), POST).text(), "from the socket");
        }
        ringway.finish();
        assert_eq!(serving.join().unwrap(), 2);
    });
}

#[test]
fn a_name_is_resolved() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("here"));
        let port = origin.address().port();
        let configuration = spread(&[(origin.address(), "")], "");
        let configuration = configuration.replace("address: 127.0.0.1", "address: localhost");
        assert!(configuration.contains(&port.to_string()));
        let ringway = Ringway::start(&configuration, driver);
        // A name may take a moment after the start; until then there is no server.
        wait_until("the name is resolved", || {
            let response = exchange(ringway.address(), GET);
            assert!([200, 503].contains(&response.status()), "{response:?}");
            (response.status() == 200).then_some(())
        });
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn a_server_that_refuses_is_502() {
    on_both_drivers(|driver| {
        let (_held, address) = nobody();
        let ringway = Ringway::start(&spread(&[(address, "")], ""), driver);
        let mut client = RawClient::connect(ringway.address());
        for request in [GET, POST] {
            upstream_error(&client.exchange(request), 502, "connection_refused");
        }
        let head = client.exchange(GET.replace("GET", "HEAD"));
        assert_eq!((head.status(), head.body.len()), (502, 0));
        drop(client);
        ringway.finish();
    });
}

#[test]
fn another_server_is_tried_when_one_refuses() {
    on_both_drivers(|driver| {
        let (_held, nobody) = nobody();
        let origin = ScriptedOrigin::answering(ok("here"));
        let servers = [(nobody, ""), (origin.address(), "")];
        let ringway = Ringway::start(&spread(&servers, ""), driver);
        // Nothing was sent to the one that refused: even a POST may go to the other.
        for request in [GET, GET, POST, POST] {
            assert_eq!(exchange(ringway.address(), request).text(), "here");
        }
        ringway.finish();
        assert_eq!(origin.requests().len(), 4);
        origin.finish();
        let (_held, other) = self::nobody();
        let servers = [(nobody, ""), (other, "")];
        let ringway = Ringway::start(&spread(&servers, ""), driver);
        upstream_error(&exchange(ringway.address(), GET), 502, "connection_refused");
        ringway.finish();
    });
}

#[test]
fn a_server_that_does_not_accept_is_504() {
    on_both_drivers(|driver| {
        // A full accept queue: the kernel leaves further connections without an answer.
        let (socket, address) = nobody();
        socket.listen(0).unwrap();
        let filling: Vec<_> = (0..4)
            .map(|_| {
                let domain = socket2::Domain::IPV4;
                let one = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
                one.set_nonblocking(true).unwrap();
                let _ = one.connect(&address.into());
                one
            })
            .collect();
        let configuration = route(spread(&[(address, "")], ""), "connect_timeout_ms: 200");
        let ringway = Ringway::start(&configuration, driver);
        upstream_error(&exchange(ringway.address(), GET), 504, "connection_timeout");
        drop(filling);
        ringway.finish();
    });
}

#[test]
fn a_server_that_does_not_answer_is_504() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            connection.request();
            connection.reader.to_end();
        });
        for fields in ["read_timeout_ms: 200", "total_timeout_ms: 200"] {
            let configuration = route(spread(&[(origin.address(), "")], ""), fields);
            let ringway = Ringway::start(&configuration, driver);
            let mut client = RawClient::connect(ringway.address());
            for request in [GET, POST] {
                upstream_error(&client.exchange(request), 504, "http_response_timeout");
            }
            drop(client);
            ringway.finish();
        }
        // Never again what may have been done already.
        assert_eq!(origin.targets().len(), 4);
        origin.finish();
    });
}

#[test]
fn a_server_that_takes_nothing_is_504() {
    on_both_drivers(|driver| {
        let (leave, left) = mpsc::channel::<()>();
        let left = std::sync::Mutex::new(left);
        let origin = ScriptedOrigin::start(move |connection, _| {
            connection.head();
            let _ = left.lock().unwrap().recv();
        });
        let configuration = route(
            spread(&[(origin.address(), "")], ""),
            "send_timeout_ms: 200, max_body_bytes: 100000000",
        );
        let ringway = Ringway::start(&configuration, driver);
        let mut client = RawClient::connect(ringway.address());
        let mut writer = client.writer();
        let sending = std::thread::spawn(move || {
            use std::io::Write;
            let head = POST.replace("5\r\n\r\nhello", "100000000\r\n\r\n");
            let _ = writer.write_all(head.as_bytes());
            let piece = vec![b'x'; 1 << 20];
            while writer.write_all(&piece).is_ok() {}
        });
        let response = client.response();
        own_answer(&response, 504);
        drop(client);
        sending.join().unwrap();
        drop(leave);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn an_answer_that_stalls_breaks_off() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, _| {
            connection.request();
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
            connection.reader.to_end();
        });
        let configuration = route(
            spread(&[(origin.address(), "")], ""),
            "read_timeout_ms: 200",
        );
        let ringway = Ringway::start(&configuration, driver);
        let mut client = RawClient::connect(ringway.address());
        client.send(GET);
        assert_eq!(client.reader.head().unwrap().status(), 200);
        assert_eq!(client.reader.to_end(), b"half");
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn no_free_connection_is_503() {
    on_both_drivers(|driver| {
        let (go, gone) = mpsc::channel::<()>();
        let gone = std::sync::Mutex::new(gone);
        let origin = ScriptedOrigin::start(move |connection, _| {
            while connection.request().is_some() {
                let _ = gone.lock().unwrap().recv();
                connection.write(ok("served"));
            }
        });
        let pool = ", connection_pool: {max_connections: 1}";
        let ringway = Ringway::start(&spread(&[(origin.address(), "")], pool), driver);
        let mut first = RawClient::connect(ringway.address());
        first.send(GET);
        ringway.wait_for_status("the first is being served", |status| {
            status.sum("upstream_connections") == 1
        });
        let response = exchange(ringway.address(), GET);
        upstream_error(&response, 503, "connection_limit_reached");
        go.send(()).unwrap();
        assert_eq!(first.response().text(), "served");
        go.send(()).unwrap();
        assert_eq!(exchange(ringway.address(), GET).text(), "served");
        drop((first, go));
        ringway.finish();
        assert_eq!(origin.finish().len(), 1);
    });
}

#[test]
fn no_server_is_503() {
    on_both_drivers(|driver| {
        let configuration = "upstreams: [{name: origin, \
            servers: [{address: does-not-exist.invalid, port: 80}]}]\n\
            routes: [{path_prefix: /, upstream: origin}]\n";
        let ringway = Ringway::start(configuration, driver);
        let response = exchange(ringway.address(), GET);
        upstream_error(&response, 503, "destination_unavailable");
        ringway.finish();
    });
}

#[test]
fn a_kept_connection_that_the_server_closed_is_noticed() {
    on_both_drivers(|driver| {
        for request in [GET, POST] {
            let (close, closed) = mpsc::channel();
            let origin = ScriptedOrigin::start(move |connection, index| {
                while connection.request().is_some() {
                    connection.write(ok("served"));
                    if index == 0 {
                        connection.close();
                        close.send(()).unwrap();
                        return;
                    }
                }
            });
            let ringway = Ringway::start(&spread(&[(origin.address(), "")], ""), driver);
            assert_eq!(exchange(ringway.address(), GET).text(), "served");
            closed.recv_timeout(PATIENCE).unwrap();
            assert_eq!(exchange(ringway.address(), request).text(), "served");
            ringway.finish();
            assert_eq!(origin.requests().len(), 2);
            assert_eq!(origin.finish().len(), 2);
        }
    });
}

/// An origin that closes its first connection when it has read a second request on it.
fn closing() -> ScriptedOrigin {
    ScriptedOrigin::start(|connection, index| {
        while connection.request().is_some() {
            if index == 0 && connection.served() {
                return;
            }
            connection.write(ok("served"));
        }
    })
}

#[test]
fn a_request_lost_on_a_kept_connection_is_repeated_only_if_that_is_safe() {
    let put = POST.replace("POST", "PUT");
    let cases = [
        (GET, 200),
        (put.as_str(), 200),
        (POST, 502),
        (
            "PATCH / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n",
            502,
        ),
    ];
    on_both_drivers(|driver| {
        for (request, status) in cases {
            let origin = closing();
            let ringway = Ringway::start(&spread(&[(origin.address(), "")], ""), driver);
            assert_eq!(exchange(ringway.address(), GET).text(), "served");
            let response = exchange(ringway.address(), request);
            assert_eq!(response.status(), status, "{request:?}");
            if status == 502 {
                upstream_error(&response, 502, "connection_terminated");
            }
            ringway.finish();
            let requests = origin.requests();
            assert_eq!(
                requests.len(),
                if status == 200 { 3 } else { 2 },
                "{request:?}"
            );
            let last = requests.last().unwrap();
            assert_eq!(last.method(), request.split(' ').next().unwrap());
            assert_eq!(last.body.is_empty(), !request.ends_with("hello"));
            origin.finish();
        }
    });
}

#[test]
fn an_upload_that_has_begun_is_not_repeated() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::start(|connection, index| {
            if index == 0 && connection.request().is_some() {
                connection.write(ok("served"));
                connection.head();
                connection.reader.exactly(1);
                connection.reset();
            }
        });
        let ringway = Ringway::start(&spread(&[(origin.address(), "")], ""), driver);
        assert_eq!(exchange(ringway.address(), GET).text(), "served");
        let mut client = RawClient::connect(ringway.address());
        client.send(
            POST.replace("POST", "PUT")
                .replace("5\r\n\r\nhello", "500000\r\n\r\nhello"),
        );
        upstream_error(&client.response(), 502, "connection_terminated");
        drop(client);
        ringway.finish();
        assert_eq!(origin.finish().len(), 1);
    });
}

#[test]
fn an_origin_that_comes_back_is_used_again() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("before"));
        let address = origin.address();
        let ringway = Ringway::start(&spread(&[(address, "")], ""), driver);
        let stop = Arc::new(AtomicBool::new(false));
        let client = {
            let (stop, ringway) = (Arc::clone(&stop), ringway.address());
            std::thread::spawn(move || {
                let mut statuses = std::collections::BTreeMap::new();
                while !stop.load(Ordering::Relaxed) {
                    let status = exchange(ringway, GET).status();
                    *statuses.entry(status).or_insert(0) += 1;
                }
                statuses
            })
        };
        wait_until("it is served", || {
            (origin.requests().len() > 20).then_some(())
        });
        origin.abandon();
        wait_until("it is missed", || {
            (exchange(ringway.address(), GET).status() == 502).then_some(())
        });
        let origin = ScriptedOrigin::start_at(address, |connection, _| {
            while connection.request().is_some() {
                connection.write(ok("after"));
            }
        });
        wait_until("it is back", || {
            (exchange(ringway.address(), GET).text() == "after").then_some(())
        });
        // From here on no request fails any more.
        for _ in 0..100 {
            assert_eq!(exchange(ringway.address(), GET).text(), "after");
        }
        stop.store(true, Ordering::Relaxed);
        let statuses = client.join().unwrap();
        assert!(
            statuses.keys().all(|status| [200, 502].contains(status)),
            "{statuses:?}"
        );
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn requests_that_wait_for_a_silent_server_hold_up_no_others() {
    on_both_drivers(|driver| {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = ScriptedOrigin::answering(ok("here"));
        let upstream = |name: &str, at: SocketAddr| {
            format!(
                "{{name: {name}, servers: [{{address: 127.0.0.1, port: {}}}]}}",
                at.port()
            )
        };
        let configuration = format!(
            "upstreams: [{}, {}]\nroutes:\n- {{path_prefix: /silent, upstream: silent, read_timeout_ms: 1000}}\n\
             - {{path_prefix: /, upstream: origin}}\n",
            upstream("silent", silent.local_addr().unwrap()),
            upstream("origin", origin.address())
        );
        let ringway = Ringway::start(&configuration, driver);
        let mut waiting: Vec<_> = (0..32)
            .map(|_| {
                let mut client = RawClient::connect(ringway.address());
                client.send(GET.replace("/case", "/silent"));
                client
            })
            .collect();
        ringway.wait_for_status("they wait", |status| status.sum("in_flight") == 32);
        assert_eq!(exchange(ringway.address(), GET).text(), "here");
        for client in &mut waiting {
            upstream_error(&client.response(), 504, "http_response_timeout");
        }
        drop(waiting);
        ringway.finish();
        origin.finish();
        drop(silent);
    });
}

#[test]
fn a_server_that_takes_nothing_gets_no_time_for_interim_answers() {
    on_both_drivers(|driver| {
        let (answered, is_answered) = mpsc::channel::<()>();
        let is_answered = std::sync::Mutex::new(is_answered);
        let origin = ScriptedOrigin::start(move |connection, _| {
            connection.head();
            std::thread::sleep(std::time::Duration::from_millis(200));
            connection.write("HTTP/1.1 103 Early Hints\r\n\r\n");
            // The rest of the request stays where it is.
            let _ = is_answered.lock().unwrap().recv();
        });
        let configuration = route(forwarding(origin.address()), "send_timeout_ms: 400");
        let ringway = Ringway::start(&configuration, driver);
        let mut client = RawClient::connect(ringway.address());
        let mut writer = client.writer();
        let sending = std::thread::spawn(move || {
            use std::io::Write;
            let length = 30_000_000;
            let head =
                format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {length}\r\n\r\n");
            let _ = writer.write_all(head.as_bytes());
            let _ = writer.write_all(&pattern(length));
        });
        let response = client.response();
        assert_eq!((response.status(), response.interim.len()), (504, 1));
        answered.send(()).unwrap();
        drop(client);
        sending.join().unwrap();
        ringway.finish();
        origin.finish();
    });
}
