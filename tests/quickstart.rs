//! Promise: `ringway quickstart` serves without any preparation and leaves nothing behind.

mod common;

use std::net::{SocketAddr, TcpListener, TcpStream};

use common::*;
use rustix::process::Signal;

fn start() -> (Process, SocketAddr) {
    let process = Process::start(["quickstart", "--port", "0"]);
    let address = process.wait_for(0, |line| {
        let (_, rest) = line.split_once("http://127.0.0.1:")?;
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        format!("127.0.0.1:{port}").parse().ok()
    });
    (process, address)
}

#[test]
fn it_serves_and_stops_at_an_interrupt() {
    for signal in [Signal::INT, Signal::TERM] {
        let (mut process, address) = start();
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        // The address is printed when it can be used, or just before.
        wait_until("it listens", || TcpStream::connect(address).ok());
        let mut client = RawClient::connect(address);
        for (path, length) in [("/0", 0), ("/1k", 1 << 10), ("/1m", 1 << 20)] {
            let response = client.exchange(get(path));
            assert_eq!(response.status(), 200);
            assert!(response.body == pattern(length), "{path}");
        }
        let post = get("/echo")
            .replace("GET", "POST")
            .replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(client.exchange(post).text(), "hello");
        assert_eq!(client.exchange(get("/status/404")).status(), 404);
        drop(client);
        process.signal(signal);
        assert_eq!(process.wait().code(), Some(0), "{:?}", process.lines());
        TcpStream::connect(address).expect_err("nobody listens any more");
    }
}

#[test]
fn it_says_what_to_try() {
    let (mut process, address) = start();
    process.wait_for(0, |line| {
        (line.contains("curl ") && line.contains(&address.to_string())).then_some(())
    });
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let mut process = Process::start(["quickstart", "--port", &port]);
    assert_eq!(process.wait().code(), Some(1));
    process.wait_for(0, |line| {
        (line.contains(&port) && line.contains("--port")).then_some(())
    });
}
