//! An origin that follows a script and records every byte that it gets.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::PATIENCE;
use super::message::{Message, Reader, ended};

/// A 200 with a length.
pub fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Another hand on each open connection, by its number.
type Streams = Arc<Mutex<BTreeMap<usize, TcpStream>>>;

/// A server of the test's own. One thread per connection runs the script.
pub struct ScriptedOrigin {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<Vec<JoinHandle<Vec<u8>>>>>,
    requests: Arc<Mutex<Vec<Message>>>,
    streams: Streams,
}

impl ScriptedOrigin {
    /// Runs `script` for each connection, with its number from 0. When the script returns, nothing
    /// more is sent, and what comes until the proxy closes is recorded.
    pub fn start(script: impl Fn(&mut Connection, usize) + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), script)
    }

    /// Answers each request with 200 and `served` when the test says so.
    pub fn held() -> (Self, mpsc::Sender<()>) {
        let (go, gone) = mpsc::channel::<()>();
        let gone = Mutex::new(gone);
        let origin = Self::start(move |connection, _| {
            while connection.request().is_some() {
                let _ = gone.lock().unwrap().recv();
                connection.write(ok("served"));
            }
        });
        (origin, go)
    }

    /// As `start`, at an address that was used before.
    pub fn start_at(
        address: SocketAddr,
        script: impl Fn(&mut Connection, usize) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("the origin's port");
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let streams = Streams::default();
        let accepting = {
            let (stop, requests) = (Arc::clone(&stop), Arc::clone(&requests));
            let streams = Arc::clone(&streams);
            let script = Arc::new(script);
            thread::spawn(move || {
                let mut connections = Vec::new();
                loop {
                    let (stream, _) = listener.accept().expect("accept");
                    if stop.load(Ordering::SeqCst) {
                        return connections;
                    }
                    let (script, index) = (Arc::clone(&script), connections.len());
                    let requests = Arc::clone(&requests);
                    let streams = Arc::clone(&streams);
                    streams
                        .lock()
                        .unwrap()
                        .insert(index, stream.try_clone().unwrap());
                    connections.push(thread::spawn(move || {
                        let mut connection = Connection::new(stream, requests, (streams, index));
                        script(&mut connection, index);
                        connection.end()
                    }));
                }
            })
        };
        Self {
            address,
            stop,
            accepting: Some(accepting),
            requests,
            streams,
        }
    }

    /// Answers every request with these bytes.
    pub fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |connection, _| {
            while connection.request().is_some() {
                connection.write(&answer);
            }
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests that were read so far, over all connections, in the order they were read.
    pub fn requests(&self) -> Vec<Message> {
        self.requests.lock().unwrap().clone()
    }

    /// The targets of the requests that were read so far.
    pub fn targets(&self) -> Vec<String> {
        let requests = self.requests();
        requests
            .iter()
            .map(|request| request.target().to_owned())
            .collect()
    }

    /// Closes the listener and resets every connection, as a process that is killed.
    pub fn abandon(mut self) {
        // In this order: a connection that comes in between is ended, too.
        let connections = self.stop_accepting();
        for stream in self.streams.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for connection in connections {
            let _ = connection.join();
        }
    }

    /// Stops, and gives every byte that came on each connection. To be called when the proxy is
    /// gone (or has closed its connections): then nothing can be on its way any more.
    pub fn finish(mut self) -> Vec<Vec<u8>> {
        self.stop_accepting()
            .into_iter()
            .map(|connection| match connection.join() {
                Ok(record) => record,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    }

    fn stop_accepting(&mut self) -> Vec<JoinHandle<Vec<u8>>> {
        let Some(accepting) = self.accepting.take() else {
            return Vec::new();
        };
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        accepting.join().expect("the origin's accept loop")
    }
}

impl Drop for ScriptedOrigin {
    fn drop(&mut self) {
        self.stop_accepting();
    }
}

/// One connection from the proxy.
pub struct Connection {
    stream: TcpStream,
    /// What the proxy sends.
    pub reader: Reader<TcpStream>,
    requests: Arc<Mutex<Vec<Message>>>,
    read: usize,
    listed: (Streams, usize),
}

impl Connection {
    fn new(
        stream: TcpStream,
        requests: Arc<Mutex<Vec<Message>>>,
        listed: (Streams, usize),
    ) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            reader: Reader::new(stream.try_clone().unwrap()),
            stream,
            requests,
            read: 0,
            listed,
        }
    }

    /// The next request with its body. Nothing when the proxy closes instead.
    pub fn request(&mut self) -> Option<Message> {
        let request = self.reader.request()?;
        self.read += 1;
        self.requests.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// Sends back what comes, until the proxy ends it.
    pub fn echo(&mut self) {
        loop {
            let bytes = self.reader.some();
            if bytes.is_empty() {
                return;
            }
            self.write(bytes);
        }
    }

    /// Whether a request before the present one was read on this connection.
    pub fn served(&self) -> bool {
        self.read > 1
    }

    /// The next request's head; its body is still to be read.
    pub fn head(&mut self) -> Option<Message> {
        let head = self.reader.head()?;
        self.requests.lock().unwrap().push(head.clone());
        Some(head)
    }

    /// The body of a request whose head was read.
    pub fn body(&mut self, message: &mut Message) {
        self.reader.request_body(message);
    }

    /// Writes all of it. The proxy may close meanwhile.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        match self.stream.write_all(bytes.as_ref()) {
            Err(error) if !ended(&error) => panic!("the origin writes: {error}"),
            _ => {}
        }
    }

    /// Writes each byte in a segment of its own.
    pub fn write_each_byte(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            self.write([*byte]);
        }
    }

    /// Writes an urgent byte, which is not part of what is read in order.
    pub fn write_urgent(&mut self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.send_out_of_band(b"!").expect("an urgent byte");
    }

    /// Ends the sending side. On this machine the proxy can see that at once.
    pub fn close(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("close");
    }

    /// Breaks off with a reset.
    pub fn reset(&mut self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        self.unlist();
        // The reader's clone is the same socket: only when both are gone is it reset.
        let placeholder = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpStream::connect(placeholder.local_addr().unwrap()).unwrap();
        let record = std::mem::take(&mut self.reader.record);
        self.reader = Reader::new(other.try_clone().unwrap());
        self.reader.record = record;
        self.stream = other;
    }

    /// The socket closes when its last hand is gone.
    fn unlist(&self) {
        let (streams, index) = &self.listed;
        streams.lock().unwrap().remove(index);
    }

    fn end(mut self) -> Vec<u8> {
        let _ = self.stream.shutdown(Shutdown::Write);
        self.reader.to_end();
        self.unlist();
        self.reader.record
    }
}
