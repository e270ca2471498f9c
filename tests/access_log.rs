//! Promise: each request is one line of the access log, which says how it went and which nothing
//! that a client sends can break.

mod common;

use std::path::Path;

use common::*;
use serde_json::Value;

const GET: &str = "GET /case?q=1 HTTP/1.1\r\nHost: a.example\r\nUser-Agent: test/1\r\n\
    Referer: http://r.example/\r\n\r\n";

/// Starts with an access log in a directory of the test's own.
fn start(driver: Driver, configuration: &str, format: &str) -> (Ringway, std::path::PathBuf) {
    let directory = new_directory();
    let log = directory.join("access.log");
    let configuration = format!(
        "{configuration}access_log: {{path: {}, format: {format}}}\n",
        log.display()
    );
    (Ringway::start_in(directory, &configuration, driver), log)
}

/// The lines, when there are so many of them.
fn lines(log: &Path, count: usize) -> Vec<String> {
    wait_until("the lines are in the log", || {
        let text = std::fs::read(log).unwrap_or_default();
        let text = String::from_utf8(text).expect("the log is UTF-8");
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        assert!(lines.len() <= count, "more lines than requests:\n{text}");
        (lines.len() == count && text.ends_with('\n')).then_some(lines)
    })
}

fn json(log: &Path, count: usize) -> Vec<Value> {
    let entry = |line: &String| serde_json::from_str(line).expect("a JSON line");
    lines(log, count).iter().map(entry).collect()
}

#[test]
fn a_json_line_says_what_was_asked_and_how_it_went() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("hello"));
        let configuration =
            forwarding(origin.address()).replace("{path_prefix", "{id: all, path_prefix");
        let (ringway, log) = start(driver, &configuration, "json");
        let mut client = RawClient::connect(ringway.address());
        assert_eq!(client.exchange(GET).status(), 200);
        assert_eq!(client.exchange(GET).status(), 200);
        drop(client);
        let entries = json(&log, 2);
        let server = origin.address().to_string();
        for entry in &entries {
            for (key, value) in [
                ("method", "GET"),
                ("host", "a.example"),
                ("path", "/case"),
                ("query", "q=1"),
                ("protocol", "HTTP/1.1"),
                ("user_agent", "test/1"),
                ("referer", "http://r.example/"),
                ("route", "all"),
                ("upstream", "origin"),
                ("server", server.as_str()),
                ("reason", "done"),
            ] {
                assert_eq!(entry[key], value, "{key} in {entry}");
            }
            assert!(
                entry["client"].as_str().unwrap().starts_with("127.0.0.1"),
                "{entry}"
            );
            assert_eq!(entry["status"], 200);
            assert_eq!(entry["request_bytes"], 0, "{entry}");
            assert_eq!(entry["bytes"], 5, "{entry}");
            for timer in ["wait_us", "connect_us", "first_byte_us", "total_us"] {
                let took = entry[timer].as_u64();
                assert!(took.is_some_and(|us| us < 60_000_000), "{timer} in {entry}");
            }
        }
        assert_eq!(entries[0]["reused"], false);
        assert_eq!(entries[1]["reused"], true);
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn sizes_are_those_of_the_bodies() {
    on_both_drivers(|driver| {
        let body = pattern(300_000);
        let origin = ScriptedOrigin::answering(ok(&body));
        let (ringway, log) = start(driver, &forwarding(origin.address()), "json");
        let head = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 200000\r\n\r\n";
        let request = [head.as_bytes(), &pattern(200_000)].concat();
        assert_eq!(exchange(ringway.address(), request).body.len(), 300_000);
        let entry = json(&log, 1).remove(0);
        assert_eq!(entry["request_bytes"], 200_000, "{entry}");
        assert_eq!(entry["bytes"], 300_000, "{entry}");
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn the_combined_format_is_the_known_one() {
    on_both_drivers(|driver| {
        let origin = ScriptedOrigin::answering(ok("hello"));
        let (ringway, log) = start(driver, &forwarding(origin.address()), "combined");
        assert_eq!(exchange(ringway.address(), GET).status(), 200);
        let bare =
            "GET / HTTP/1.0\r\nUser-Agent: a\"b\\c\x1b[31m\u{e4}\r\n\r\n".replace('\x1b', "\t");
        assert_eq!(exchange(ringway.address(), bare).status(), 200);
        let lines = lines(&log, 2);
        let (before, rest) = lines[0].split_once('[').unwrap();
        assert_eq!(before, "127.0.0.1 - - ");
        let (time, rest) = rest.split_once("] ").unwrap();
        assert_eq!(time.len(), "21/Nov/2026:02:17:36 +0000".len());
        assert!(time.ends_with(" +0000"), "{time}");
        assert_eq!(
            rest,
            "\"GET /case?q=1 HTTP/1.1\" 200 5 \"http://r.example/\" \"test/1\""
        );
        let (_, rest) = lines[1].split_once("] ").unwrap();
        let agent = "a\\\"b\\\\c\\x09[31m\\xc3\\xa4";
        assert_eq!(rest, format!("\"GET / HTTP/1.0\" 200 5 \"-\" \"{agent}\""));
        ringway.finish();
        origin.finish();
    });
}

#[test]
fn hostile_bytes_stay_within_their_value() {
    on_both_drivers(|driver| {
        for format in ["json", "combined"] {
            let origin = ScriptedOrigin::answering(ok(""));
            let (ringway, log) = start(driver, &forwarding(origin.address()), format);
            let agent = b"x\", \"status\": 999, \"\xff\x80\\\t\xe2\x80\xa8 %0a";
            let request = [
                b"GET /a\"b%0b?c\"d HTTP/1.1\r\nHost: a.example\r\nUser-Agent: ".as_slice(),
                agent,
                b"\r\n\r\n",
            ]
            .concat();
            let status = exchange(ringway.address(), &request).status();
            assert_eq!(status, 400, "an escaped control character");
            let request = String::from_utf8_lossy(&request).replace("%0b", "%22");
            assert_eq!(exchange(ringway.address(), request).status(), 200);
            let long = format!(
                "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: {}\r\n\r\n",
                "\t\"".repeat(9_000)
            );
            assert_eq!(
                exchange(ringway.address(), long.replace(": \t", ": ")).status(),
                200
            );
            let lines = lines(&log, 3);
            for line in &lines {
                assert!(
                    line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                    "{line}"
                );
            }
            if format == "json" {
                for entry in lines
                    .iter()
                    .map(|line| serde_json::from_str::<Value>(line).unwrap())
                {
                    assert!(entry["status"] != 999, "{entry}");
                }
            }
            ringway.finish();
            origin.finish();
        }
    });
}

/// What a client does, and the status and the reason that the log then has.
fn assert_reason(driver: Driver, configuration: &str, request: &str, status: u16, reason: &str) {
    let (ringway, log) = start(driver, configuration, "json");
    let mut client = RawClient::connect(ringway.address());
    client.send(request);
    client.reader.wait_for_response();
    drop(client);
    let entry = json(&log, 1).remove(0);
    assert_eq!(entry["status"], status, "{entry}");
    assert_eq!(entry["reason"], reason, "{entry}");
    ringway.finish();
}

#[test]
fn the_reason_tells_failures_apart() {
    on_both_drivers(|driver| {
        let bad = ScriptedOrigin::answering("garbage\r\n\r\n");
        let silent = ScriptedOrigin::start(|connection, _| {
            connection.head();
            connection.reader.to_end();
        });
        let closing = ScriptedOrigin::start(|connection, _| {
            connection.head();
        });
        let nobody = "upstreams: [{name: origin, servers: [{address: none.invalid, port: 1}]}]\n\
            routes: [{path_prefix: /, upstream: origin}]\n";
        let waiting = forwarding(silent.address())
            .replace("{path_prefix", "{read_timeout_ms: 100, path_prefix");
        let timeouts = forwarding(silent.address()) + "timeouts: {header_ms: 100, body_ms: 100}\n";
        let post = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\nhalf";
        let chunked =
            "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n";
        for (configuration, request, status, reason) in [
            ("routes: []\n", GET, 404, "no_route"),
            (nobody, GET, 503, "no_server"),
            (&forwarding(bad.address()), GET, 502, "bad_response"),
            (&forwarding(closing.address()), GET, 502, "server_closed"),
            (&waiting, GET, 504, "server_timeout"),
            (&timeouts, post, 408, "client_timeout"),
            (&timeouts, chunked, 400, "request_broken"),
        ] {
            assert_reason(driver, configuration, request, status, reason);
        }
        for origin in [bad, silent, closing] {
            origin.finish();
        }
    });
}

#[test]
fn a_refused_request_is_logged_too() {
    on_both_drivers(|driver| {
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/9.9\r\nHost: a.example\r\n\r\n", 505),
            ("\u{1b}]0;title\x07\r\n\r\n", 400),
        ] {
            let (ringway, log) = start(driver, "routes: []\n", "json");
            assert_eq!(exchange(ringway.address(), request).status(), status);
            let entry = json(&log, 1).remove(0);
            assert_eq!(entry["status"], status, "{entry}");
            assert!(
                entry["reason"]
                    .as_str()
                    .is_some_and(|reason| reason != "done"),
                "{entry}"
            );
            ringway.finish();
        }
    });
}

#[test]
fn what_is_asked_of_the_proxy_itself_has_a_line_of_its_own() {
    on_both_drivers(|driver| {
        for format in ["json", "combined"] {
            let (ringway, log) = start(driver, "routes: []\n", format);
            let mut client = RawClient::connect(ringway.address());
            assert_eq!(client.exchange(GET).status(), 404);
            let options = "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n";
            let status = client.exchange(options).status();
            drop(client);
            let second = lines(&log, 2).remove(1);
            for part in ["OPTIONS", &status.to_string()] {
                assert!(second.contains(part), "{part} in {second}");
            }
            assert!(!second.contains("/case"), "{second}");
            ringway.finish();
        }
    });
}

#[test]
fn lines_in_waiting_are_written_before_the_process_ends() {
    on_both_drivers(|driver| {
        let directory = new_directory();
        let log = std::env::temp_dir()
            .join(directory.file_name().unwrap())
            .with_extension("log");
        let configuration = format!(
            "routes: [{{path_prefix: /, respond: {{body: x}}}}]\naccess_log: {{path: {}}}\n",
            log.display()
        );
        let ringway = Ringway::start_in(directory, &configuration, driver);
        let mut client = RawClient::connect(ringway.address());
        for _ in 0..100 {
            assert_eq!(client.exchange(GET).status(), 200);
        }
        drop(client);
        ringway.finish();
        let text = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        assert_eq!(text.lines().count(), 100);
    });
}
