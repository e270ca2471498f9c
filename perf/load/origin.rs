//! The origin: prepared responses of known sizes, and the count of the bytes of each upload.
//!
//! It does as little as an origin can, so that the proxy is what is measured: one receive and one
//! send per request, no allocation once a connection is open.

use std::io;
use std::net::SocketAddr;

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::body::{self, Body, Malformed, Pattern};
use crate::poll::{Poller, READ_BYTES, Ready, Side, Slots, Socket};
use crate::websocket;

/// The paths of the origin and how long their bodies are.
pub(crate) const SIZES: [(&str, usize); 11] = [
    ("/0", 0),
    ("/100", 100),
    ("/1k", 1024),
    ("/4k", 4096),
    ("/16k", 16_384),
    ("/32k", 32_768),
    ("/64k", 65_536),
    ("/128k", 131_072),
    ("/256k", 262_144),
    ("/1m", 1_048_576),
    (CHUNKED, 16_384),
];

const CHUNKED: &str = "/chunked16k";
const CHUNK_BYTES: usize = 4096;
const MAX_FIELDS: usize = 64;
const BACKLOG: i32 = 4096;
const ACCEPTS_PER_EVENT: usize = 64;
const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A listening origin and its connections.
pub(crate) struct Origin {
    listener: OwnedFd,
    connections: Slots<Connection>,
    responses: Vec<(&'static str, Vec<u8>)>,
    pattern: Pattern,
    buffer: Vec<u8>,
}

struct Connection {
    socket: Socket,
    /// What came in and could not be read yet: a part of a head, or a pipelined request.
    held: Vec<u8>,
    upload: Option<Upload>,
    output: Option<Output>,
    sent: usize,
    closes: bool,
    /// Whether what comes in are messages of a WebSocket.
    is_websocket: bool,
}

struct Upload {
    body: Body,
    received: u64,
    intact: bool,
}

enum Output {
    /// The response with this index.
    Prepared(usize),
    NotFound,
    Made(Vec<u8>),
}

/// A connection that has to be closed, for whatever reason.
struct Finished;

impl From<io::Error> for Finished {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl From<Malformed> for Finished {
    fn from(_: Malformed) -> Self {
        Self
    }
}

impl Origin {
    pub(crate) fn listen(poller: &Poller, address: SocketAddr) -> io::Result<Self> {
        let listener = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )?;
        rustix::net::sockopt::set_socket_reuseaddr(&listener, true)?;
        rustix::net::bind(&listener, &address)?;
        rustix::net::listen(&listener, BACKLOG)?;
        poller.watch(&listener, Side::Listener, 0, false)?;
        Ok(Self {
            listener,
            connections: Slots::new(),
            responses: SIZES
                .iter()
                .map(|(path, size)| (*path, response(path, *size)))
                .collect(),
            pattern: Pattern::new(READ_BYTES),
            buffer: vec![0; READ_BYTES],
        })
    }

    pub(crate) fn accept(&mut self, poller: &Poller) -> io::Result<()> {
        for _ in 0..ACCEPTS_PER_EVENT {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let Ok(fd) = rustix::net::accept_with(&self.listener, flags) else {
                return Ok(());
            };
            self.connections.insert(|slot| {
                let socket = Socket::watch(poller, fd, Side::Origin, slot, false)?;
                Ok(Connection {
                    socket,
                    held: Vec::new(),
                    upload: None,
                    output: None,
                    sent: 0,
                    closes: false,
                    is_websocket: false,
                })
            })?;
        }
        Ok(())
    }

    pub(crate) fn serve(&mut self, poller: &Poller, ready: Ready) {
        let Some(connection) = self.connections.get(ready.slot) else {
            return;
        };
        let rig = Rig {
            poller,
            responses: &self.responses,
            pattern: &self.pattern,
        };
        if connection.serve(&rig, &mut self.buffer).is_err() {
            self.connections.remove(ready.slot);
        }
    }
}

/// What every connection uses.
struct Rig<'a> {
    poller: &'a Poller,
    responses: &'a [(&'static str, Vec<u8>)],
    pattern: &'a Pattern,
}

impl Connection {
    fn serve(&mut self, rig: &Rig<'_>, buffer: &mut [u8]) -> Result<(), Finished> {
        if self.output.is_some() {
            self.flush(rig)?;
            if self.output.is_some() {
                return Ok(());
            }
            self.read_held(rig)?;
        }
        let Some(received) = self.socket.receive(buffer)? else {
            return Ok(());
        };
        if received == 0 {
            return Err(Finished);
        }
        if self.held.is_empty() {
            let used = self.read(rig, &buffer[..received])?;
            self.held.extend_from_slice(&buffer[used..received]);
            Ok(())
        } else {
            self.held.extend_from_slice(&buffer[..received]);
            self.read_held(rig)
        }
    }

    fn read_held(&mut self, rig: &Rig<'_>) -> Result<(), Finished> {
        let held = std::mem::take(&mut self.held);
        let used = self.read(rig, &held)?;
        self.held = held;
        self.held.drain(..used);
        Ok(())
    }

    /// Reads requests until one is incomplete or its response waits; returns the bytes used.
    fn read(&mut self, rig: &Rig<'_>, input: &[u8]) -> Result<usize, Finished> {
        let mut at = 0;
        while self.output.is_none() && at < input.len() {
            if self.is_websocket {
                let Some((used, echo)) = websocket::echo(&input[at..]) else {
                    break;
                };
                self.output = Some(Output::Made(echo));
                at += used;
            } else if let Some(upload) = &mut self.upload {
                at += upload.take(rig.pattern, &input[at..])?;
            } else {
                let used = self.read_head(rig, &input[at..])?;
                if used == 0 {
                    break;
                }
                at += used;
            }
            if let Some(upload) = self.upload.take_if(|upload| upload.body.is_complete()) {
                self.output = Some(Output::Made(upload.answer()));
            }
            self.flush(rig)?;
        }
        Ok(at)
    }

    /// Reads one head; 0 if it is incomplete.
    fn read_head(&mut self, rig: &Rig<'_>, input: &[u8]) -> Result<usize, Finished> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let used = match request.parse(input) {
            Ok(httparse::Status::Complete(used)) => used,
            Ok(httparse::Status::Partial) => return Ok(0),
            Err(_) => return Err(Finished),
        };
        self.closes = body::closes(request.headers)
            || (request.version == Some(0) && body::field(request.headers, "connection").is_none());
        if websocket::is_asked(request.headers) {
            self.is_websocket = true;
            self.closes = false;
            self.output = Some(Output::Made(websocket::agreement()));
        } else if request.method == Some("POST") {
            if body::field(request.headers, "expect").is_some() {
                self.socket.send(rig.poller, CONTINUE, &mut 0)?;
            }
            let body = Body::of(request.headers)?.unwrap_or(Body::Length(0));
            self.upload = Some(Upload {
                body,
                received: 0,
                intact: true,
            });
        } else {
            let known = rig
                .responses
                .iter()
                .position(|(path, _)| Some(*path) == request.path);
            self.output = Some(known.map_or(Output::NotFound, Output::Prepared));
        }
        Ok(used)
    }

    /// Sends what waits. A connection whose last response is out is finished.
    fn flush(&mut self, rig: &Rig<'_>) -> Result<(), Finished> {
        let bytes = match &self.output {
            None => return Ok(()),
            Some(Output::Prepared(index)) => &rig.responses[*index].1,
            Some(Output::NotFound) => NOT_FOUND,
            Some(Output::Made(bytes)) => bytes.as_slice(),
        };
        if self.socket.send(rig.poller, bytes, &mut self.sent)? {
            self.output = None;
            self.sent = 0;
            if self.closes {
                return Err(Finished);
            }
        }
        Ok(())
    }
}

impl Upload {
    fn take(&mut self, pattern: &Pattern, input: &[u8]) -> Result<usize, Malformed> {
        let Self {
            body,
            received,
            intact,
        } = self;
        body.take(input, |data| {
            *intact &= pattern.matches(*received, data);
            *received += data.len() as u64;
        })
    }

    /// The count of the bytes received, or a word that no client takes for one.
    fn answer(&self) -> Vec<u8> {
        let count = if self.intact {
            self.received.to_string()
        } else {
            "corrupt".to_owned()
        };
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{count}",
            count.len()
        )
        .into_bytes()
    }
}

fn response(path: &str, size: usize) -> Vec<u8> {
    let framing = match path {
        CHUNKED => "Transfer-Encoding: chunked".to_owned(),
        _ => format!("Content-Length: {size}"),
    };
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nServer: load\r\nDate: Fri, 20 Nov 2026 23:42:20 GMT\r\n\
         Content-Type: application/octet-stream\r\n{framing}\r\n\r\n"
    )
    .into_bytes();
    let body = Pattern::body(size);
    if path != CHUNKED {
        bytes.extend_from_slice(&body);
        return bytes;
    }
    for chunk in body.chunks(CHUNK_BYTES) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}
