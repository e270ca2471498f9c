//! Promise: `ringway quickstart` serves without any preparation and leaves nothing behind.

mod common;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use common::*;
use rustix::process::Signal;

fn start() -> (Process, SocketAddr) {
    let process = Process::start(["quickstart", "--port", "0", "--admin-port", "0"]);
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
fn its_own_lines_add_a_route_while_it_runs_and_take_it_away() {
    let (mut process, _) = start();
    process.wait_for(0, |line| line.contains("Ctrl-C").then_some(()));
    let lines = process.lines();
    let live = lines.iter().skip_while(|line| !line.starts_with("Add a"));
    let live = live.map(|line| line.trim());
    let live: Vec<&str> = live.filter(|line| line.starts_with("curl ")).collect();
    let [list, add, see, remove] = live[..] else {
        panic!("four lines to try: {lines:?}");
    };
    let run = |line: &str| {
        let output = Command::new("sh").args(["-c", line]).output();
        String::from_utf8(output.expect("a shell").stdout).unwrap()
    };
    assert!(run(list).contains("\"everything\""), "{}", run(list));
    assert_eq!(run(add), r#"{"ok":true,"route":"/new/"}"#);
    assert_eq!(run(see), "live");
    assert!(run(list).contains("/new/"));
    assert_eq!(run(remove), r#"{"ok":true,"deleted":"/new/"}"#);
    // The origin answers again: it knows no such path.
    assert_ne!(run(see), "live");
    // The key is of this run alone, and without it nobody comes in.
    let key = list.split_once("X-API-Key: ").unwrap().1;
    let key = key.split_once('\'').unwrap().0;
    assert_eq!(key.len(), 32);
    let keyless = list.replace(key, "example");
    assert_eq!(run(&keyless), r#"{"error":"unauthorized"}"#);
    let folder = std::env::temp_dir().join(format!("ringway-quickstart-{}", process.id()));
    assert!(folder.exists());
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(0));
    assert!(!folder.exists(), "it leaves nothing behind");
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    for (option, other) in [("--port", "--admin-port"), ("--admin-port", "--port")] {
        let mut process = Process::start(["quickstart", option, &port, other, "0"]);
        assert_eq!(process.wait().code(), Some(1));
        process.wait_for(0, |line| {
            let told = line.contains(&port) && line.ends_with(&format!("with {option}."));
            told.then_some(())
        });
    }
}
