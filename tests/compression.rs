//! Promise: an encoder that has served other bodies, whole ones and broken ones, compresses the
//! next as if it were new.

mod common;

use std::thread;

use common::*;

const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];
const CLIENTS: u64 = 6;
const ROUNDS: u64 = 30;

/// Lines that are like each other and never the same: an encoder that remembers another body shows.
fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    let mut out = Vec::with_capacity(length + 64);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let line = format!(
            "{{\"seed\":{seed},\"value\":{},\"more\":\"{:x}\"}}\n",
            state % 97,
            state
        );
        out.extend_from_slice(line.as_bytes());
    }
    out.truncate(length);
    out
}

/// Answers `/SEED/LENGTH/SENT` with a body of `LENGTH` bytes of which `SENT` are sent, in pieces.
fn origin() -> ScriptedOrigin {
    ScriptedOrigin::start(|connection, _| {
        while let Some(request) = connection.request() {
            let mut parts = request.target().split('/').skip(1);
            let mut number = || parts.next().unwrap().parse::<usize>().unwrap();
            let (seed, length, sent) = (number(), number(), number());
            let body = content(seed as u64, length);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
            let framing = match seed % 2 {
                0 => format!("Content-Length: {length}\r\n\r\n"),
                _ => format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n"),
            };
            connection.write([head.as_bytes(), framing.as_bytes()].concat());
            for piece in body[..sent].chunks(1 + sent / (1 + seed % 3)) {
                connection.write(piece);
            }
            if sent < length {
                return;
            }
            if seed % 2 == 1 {
                connection.write("\r\n0\r\n\r\n");
            }
        }
    })
}

fn get(seed: u64, length: usize, sent: usize, coding: &str) -> String {
    format!("GET /{seed}/{length}/{sent} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n")
}

fn ask(ringway: &Ringway, client: u64) {
    let mut kept = RawClient::connect(ringway.address());
    for round in 0..ROUNDS {
        let seed = client * ROUNDS + round;
        let coding = CODINGS[(seed % 3) as usize];
        let length = [1_100, 5_000, 20_000, 70_000, 300_000][(seed % 5) as usize];
        if seed % 4 == 3 {
            let mut other = RawClient::connect(ringway.address());
            other.send(get(seed, length, length / 2, coding));
            if seed % 8 == 3 {
                // The client goes away while the body is on its way.
                other.reader.head().expect("a head");
                other.reset();
            } else {
                let all = other.reader.to_end();
                assert!(!all.ends_with(b"0\r\n\r\n"), "a broken body has no end");
            }
        }
        let response = kept.exchange(get(seed, length, length, coding));
        assert_eq!(response.field("content-encoding"), Some(coding), "{seed}");
        assert!(response.body.len() < length, "{seed}");
        assert!(
            plain(coding, &response.body) == content(seed, length),
            "{seed}"
        );
    }
}

#[test]
fn one_body_after_the_other_is_what_it_was() {
    on_both_drivers(|driver| {
        let origin = origin();
        let port = origin.address().port();
        let configuration = format!(
            "upstreams: [{{name: o, servers: [{{address: 127.0.0.1, port: {port}}}]}}]\n\
             routes: [{{path_prefix: /, upstream: o, compress: {{codings: [gzip, br, zstd]}}}}]\n"
        );
        let ringway = Ringway::start(&configuration, driver);
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                let ringway = &ringway;
                scope.spawn(move || ask(ringway, client));
            }
        });
        ringway.finish();
        origin.finish();
    });
}
