//! A request on a kept-alive connection allocates nothing once the core is warm. To a server under
//! TLS rustls allocates a piece of memory for each record, one there and one back.

#![allow(missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use ringway::boot;
use ringway::model::{self, Format};
use ringway::net::DriverChoice;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Counts what threads allocate that have not said they are the test's own.
struct Counting;

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OURS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn count() {
    if COUNTING.load(Ordering::Relaxed) && !OURS.try_with(std::cell::Cell::get).unwrap_or(true) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator with what it was called with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: passed on.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP: usize = 200;
const REQUESTS: usize = 5_000;
const REQUEST: &[u8] = b"GET /a/b%41?c=d HTTP/1.1\r\nHost: example.org\r\nUser-Agent: test\r\n\
    Accept: */*\r\nCookie: a=b\r\n\r\n";
/// Bytes of a body that is copied, and of one that is spliced.
const SMALL: usize = 1024;
const LARGE: usize = 200_000;

/// Answers every request with so many bytes, under TLS or not.
fn origin(listener: &TcpListener, bytes: usize, tls: Option<Arc<ServerConfig>>) {
    for stream in listener.incoming() {
        let (stream, tls) = (stream.unwrap(), tls.clone());
        std::thread::spawn(move || {
            OURS.set(true);
            match tls {
                None => answer_all(stream, bytes),
                Some(config) => {
                    let connection = ServerConnection::new(config).unwrap();
                    answer_all(StreamOwned::new(connection, stream), bytes);
                }
            }
        });
    }
}

fn answer_all(mut stream: impl Read + Write, bytes: usize) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\nServer: test\r\n\r\n");
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + bytes, b'x');
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
        stream.write_all(&answer).unwrap();
    }
}

/// Starts an origin.
fn start(bytes: usize, tls: Option<Arc<ServerConfig>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        OURS.set(true);
        origin(&listener, bytes, tls);
    });
    address
}

/// TLS with a certificate that nobody vouches for.
fn tls() -> Arc<ServerConfig> {
    let own = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_no_client_auth();
    let config = builder.with_single_cert(vec![own.cert.der().clone()], key);
    Arc::new(config.unwrap())
}

fn exchange(client: &mut TcpStream, buffer: &mut [u8], bytes: usize) {
    client.write_all(REQUEST).unwrap();
    let mut filled = 0;
    let end = loop {
        filled += client.read(&mut buffer[filled..]).unwrap();
        let head = buffer[..filled]
            .windows(4)
            .position(|part| part == b"\r\n\r\n");
        if let Some(head) = head {
            break head + 4 + bytes;
        }
    };
    assert!(buffer.starts_with(b"HTTP/1.1 200 OK"));
    while filled < end {
        filled += client.read(&mut buffer[filled..]).unwrap();
    }
    assert_eq!(filled, end);
}

/// A route that does all that a request with this head can meet.
const POLICIES: &str = ", ip: {allow: [127.0.0.0/8]}, allow_methods: [GET], \
    cors: {allow_origins: ['https://a.example']}, \
    rate_limit: {requests_per_second: 1000000, burst_size: 1000000, key: ip}, \
    request_headers: {remove: [accept], set: [{name: x-a, value: '{path} {client_ip}'}]}, \
    request_query: {add: [{name: b, value: '{method}'}]}, host_rewrite: inside, \
    response_headers: {remove: [server], add: [{name: x-b, value: '{query}'}]}, \
    traffic_split: [{upstream: o}], split_sticky: {cookie: part}, error_pages: [{body: x}]";
/// After the first request all others are answered with what is kept.
const CACHE: &str = ", cache: {ttl_s: 600, vary: [accept], hash_body: true}";
/// An upstream that judges, counts and compares.
const UPSTREAM: &str = ", load_balancer: peak_ewma, sticky: {cookie: server}, outlier: {}, \
    circuit_breaker: {}, queue: {max_requests: 5}, slow_start_ms: 1000";

fn proxy(choice: DriverChoice, origin: SocketAddr, upstream: &str, route: &str) -> SocketAddr {
    let (ready, listening) = mpsc::channel();
    let text = format!(
        "listeners: [{{address: 127.0.0.1, port: 0}}]
workers: 1
upstreams: [{{name: o, servers: [{{address: 127.0.0.1, port: {}}}]{upstream}}}]
routes: [{{path_prefix: /a/, upstream: o, rewrite_pattern: /a/, rewrite_replacement: /{route}}}]
",
        origin.port()
    );
    let config = model::read(&text, Format::Yaml, "test").unwrap().config;
    std::thread::spawn(move || {
        boot::run(None, config, choice, move |addresses| {
            ready.send(addresses.clients[0]).unwrap()
        })
        .unwrap();
    });
    listening.recv().unwrap()
}

#[test]
fn a_warm_request_allocates_nothing() {
    OURS.set(true);
    let bare = (start(SMALL, None), SMALL);
    let large = (start(LARGE, None), LARGE);
    let secure = (start(SMALL, Some(tls())), SMALL);
    let all = format!("{POLICIES}{CACHE}");
    for ((address, bytes), upstream, route, of_rustls) in [
        (bare, "", "", 0),
        (large, "", "", 0),
        (bare, UPSTREAM, POLICIES, 0),
        (bare, "", CACHE, 0),
        (bare, UPSTREAM, &all, 0),
        (secure, ", tls: {verify: false}", "", 2),
    ] {
        for choice in [DriverChoice::IoUring, DriverChoice::Epoll] {
            let mut client = TcpStream::connect(proxy(choice, address, upstream, route)).unwrap();
            let mut buffer = vec![0; 8192 + bytes];
            (0..WARM_UP).for_each(|_| exchange(&mut client, &mut buffer, bytes));
            ALLOCATIONS.store(0, Ordering::Relaxed);
            COUNTING.store(true, Ordering::Relaxed);
            let began = Instant::now();
            (0..REQUESTS).for_each(|_| exchange(&mut client, &mut buffer, bytes));
            COUNTING.store(false, Ordering::Relaxed);
            // Once a second the core writes the date anew: that is the clock's, not a request's.
            let of_the_clock = 50 * (1 + began.elapsed().as_secs());
            let allocations = ALLOCATIONS.load(Ordering::Relaxed);
            assert!(
                allocations < of_the_clock + of_rustls * REQUESTS as u64,
                "{allocations} allocations in {REQUESTS} requests ({choice:?}{route})"
            );
        }
    }
}
