//! What the byte formats cost: heads read and written, paths normalised, chunks decoded.
//!
//! `cargo bench --bench head`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringway::wire::chunk::{self, Decoder, Limits};
use ringway::wire::compose::{self, Forwarding, RequestPlan};
use ringway::wire::head::{self, HeadLimits, Slots};
use ringway::wire::path::{PathRules, normalise};
use ringway::wire::trailer::Trailers;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 16 * 1024,
    fields: 100,
};

/// What a load generator or a service sends.
const SHORT: &[u8] = b"GET /users/42/orders HTTP/1.1\r\nHost: api.example.com\r\n\
    User-Agent: wrk\r\nAccept: */*\r\n\r\n";

/// What a browser sends.
const LONG: &[u8] = b"GET /static/app.js?v=20260718 HTTP/1.1\r\nHost: www.example.com\r\n\
    Connection: keep-alive\r\nsec-ch-ua: \"Chromium\";v=\"150\", \"Not.A/Brand\";v=\"24\"\r\n\
    sec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0.0.0\r\n\
    Accept: */*\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\n\
    Sec-Fetch-Dest: script\r\nReferer: https://www.example.com/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=all\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: application/json\r\n\
    Date: Sat, 18 Jul 2026 12:00:00 GMT\r\nContent-Length: 1024\r\n\
    Cache-Control: max-age=60\r\nETag: \"5f3759df\"\r\n\r\n";

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    let client = Forwarding::of([192, 0, 2, 1].into());
    let mut out = Vec::with_capacity(4096);
    for (name, bytes) in [("short", SHORT), ("long", LONG)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("read", name), |bencher| {
            bencher.iter(|| {
                let mut slots = Slots::new();
                let head = head::request(black_box(bytes), &mut slots, LIMITS);
                head.is_ok_and(|head| black_box(head).is_some())
            });
        });
        let mut slots = Slots::new();
        let Ok(Some(head)) = head::request(bytes, &mut slots, LIMITS) else {
            panic!("the head is whole");
        };
        let plan = RequestPlan {
            path: b"/users/42/orders",
            host: b"example.org",
            query: None,
            client: &client,
            trusted: false,
            upgrade: None,
            drop_underscores: true,
            wants_trailers: false,
            asked_host: b"example.org",
            edits: None,
        };
        group.bench_function(BenchmarkId::new("write", name), |bencher| {
            bencher.iter(|| {
                out.clear();
                compose::request(black_box(&head), &plan, &mut out);
                out.len()
            });
        });
    }
    group.finish();
}

fn responses(criterion: &mut Criterion) {
    criterion.bench_function("response/read", |bencher| {
        bencher.iter(|| {
            let mut slots = Slots::new();
            let head = head::response(black_box(RESPONSE), &mut slots, LIMITS, false);
            head.is_ok_and(|head| black_box(head).is_some())
        });
    });
}

fn paths(criterion: &mut Criterion) {
    let rules = PathRules {
        merge_slashes: true,
        keep_encoded_slashes: false,
    };
    let mut into = Vec::with_capacity(256);
    let mut group = criterion.benchmark_group("path");
    for path in [
        "/users/4242/orders/7",
        "/caf%c3%a9/a%20b/4242",
        "/users/./../x//orders",
    ] {
        group.bench_function(path, |bencher| {
            bencher
                .iter(|| normalise(black_box(path.as_bytes()), rules, &mut into).map(<[u8]>::len));
        });
    }
    group.finish();
}

fn chunks(criterion: &mut Criterion) {
    const SIZE: usize = 4096;
    let mut head = [0; chunk::HEAD_MAX];
    let head = chunk::head(SIZE, &mut head);
    let body = [head, &[b'x'; SIZE], chunk::LINE_END, chunk::END].concat();
    let limits = Limits {
        trailer_bytes_max: 4096,
        trailer_fields_max: 16,
    };
    let mut bytes = body.clone();
    let mut kept = Vec::new();
    let mut group = criterion.benchmark_group("chunk");
    group.throughput(Throughput::Bytes(SIZE as u64));
    group.bench_function("decode 4 KiB", |bencher| {
        bencher.iter(|| {
            bytes.copy_from_slice(&body);
            let mut trailers = Trailers {
                allow: &[],
                into: &mut kept,
            };
            Decoder::new(limits).decode(black_box(&mut bytes), &mut trailers)
        });
    });
    group.finish();
}

criterion_group!(benches, requests, responses, paths, chunks);
criterion_main!(benches);
