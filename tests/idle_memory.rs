//! Promise: an idle connection holds little memory, counted to the byte.

#![allow(missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ringway::boot;
use ringway::model::{self, Format};
use ringway::net::DriverChoice;

/// Counts the bytes that are out, but for those of threads that said they are the test's own.
struct Counting;

static OUT: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static OURS: Cell<bool> = const { Cell::new(false) };
}

fn count(bytes: i64) {
    if !OURS.try_with(Cell::get).unwrap_or(true) {
        OUT.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator with what it was called with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// More clients than a core keeps buffers for heads.
const FIRST: usize = 150;
const HEAD_BUFFER_BYTES: i64 = 2_048;
const CLIENTS: usize = 600;
/// What each may hold, at most: it is 510 to 550, futures without optimisation included, and the
/// rest of a list that grows by doubling. The promise is 1 KiB with what the allocator adds: it
/// rounds up, and a page goes back only when nothing is left in it.
const BYTES_MAX: i64 = 680;
const PATIENCE: Duration = Duration::from_secs(30);
const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: example.org\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";

fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        OURS.set(true);
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                OURS.set(true);
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                    stream.write_all(RESPONSE).unwrap();
                }
            });
        }
    });
    address
}

fn proxy(choice: DriverChoice, origin: SocketAddr) -> SocketAddr {
    let (ready, listening) = mpsc::channel();
    let text = format!(
        "listeners: [{{address: 127.0.0.1, port: 0}}]
workers: 1
timeouts: {{idle_ms: 600000, header_ms: 600000}}
upstreams: [{{name: o, servers: [{{address: 127.0.0.1, port: {}}}]}}]
routes: [{{path_prefix: /, upstream: o}}]
",
        origin.port()
    );
    let config = model::read(&text, Format::Yaml, "test").unwrap().config;
    thread::spawn(move || {
        boot::run(None, config, choice, move |addresses| {
            ready.send(addresses.clients[0]).unwrap();
        })
        .unwrap();
    });
    listening.recv().unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn answer(client: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nbody") {
        let mut buffer = [0; 1024];
        let count = client.read(&mut buffer).unwrap();
        assert!(count > 0, "an answer");
        answer.extend_from_slice(&buffer[..count]);
    }
}

/// Waits until `done` says so of the bytes that are out, and gives them.
fn wait(what: &str, done: impl Fn(i64) -> bool) -> i64 {
    let start = Instant::now();
    loop {
        let out = OUT.load(Ordering::Relaxed);
        if done(out) {
            return out;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {out} bytes are out");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Clients that all have a request at the same time, half of its head: so the core has what it
/// keeps of buffers and turns when they rest. They do when the last is answered: a second wait
/// begins without a buffer.
fn first_clients(address: SocketAddr) -> Vec<TcpStream> {
    let empty = OUT.load(Ordering::Relaxed);
    let (part, rest) = REQUEST.split_at(10);
    let mut clients: Vec<_> = (0..FIRST).map(|_| connect(address)).collect();
    for client in &mut clients {
        client.write_all(part).unwrap();
    }
    let buffers = empty + FIRST as i64 * HEAD_BUFFER_BYTES;
    wait("each has a buffer", |out| out >= buffers);
    for client in &mut clients {
        client.write_all(rest).unwrap();
        answer(client);
    }
    clients
}

#[test]
fn an_idle_connection_holds_no_more_than_it_may() {
    OURS.set(true);
    let server = origin();
    let mut held = Vec::new();
    for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
        let address = proxy(choice, server);
        let mut one = connect(address);
        one.write_all(REQUEST).unwrap();
        answer(&mut one);
        held.extend(first_clients(address));
        // The core comes to this after all that it had to do for the others.
        one.write_all(REQUEST).unwrap();
        answer(&mut one);
        let before = OUT.load(Ordering::Relaxed);
        for requests in [0, 1, 2, 4].into_iter().cycle().take(CLIENTS) {
            let mut client = connect(address);
            for _ in 0..requests {
                client.write_all(REQUEST).unwrap();
                answer(&mut client);
            }
            held.push(client);
        }
        let most = before + CLIENTS as i64 * BYTES_MAX;
        let out = wait("all rest", |out| out <= most);
        let each = (out - before) / CLIENTS as i64;
        assert!(
            each > 100,
            "what is counted? {each} bytes each ({choice:?})"
        );
        held.push(one);
    }
}
