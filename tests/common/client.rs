//! A client that writes what it is told, byte by byte if need be.

use std::io::{ErrorKind, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::PATIENCE;
use super::message::{Message, Reader, ended, show};

/// One connection to the proxy.
pub struct RawClient {
    stream: TcpStream,
    /// What comes back.
    pub reader: Reader<TcpStream>,
}

impl RawClient {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("a connection to the proxy"))
    }

    /// A client on a connection that is open already.
    pub fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            reader: Reader::new(stream.try_clone().unwrap()),
            stream,
        }
    }

    /// Writes all of it. The other side may close meanwhile: what it answered tells.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        match self.stream.write_all(bytes.as_ref()) {
            Err(error) if !ended(&error) => panic!("sending: {error}"),
            _ => self,
        }
    }

    /// Writes each byte in a segment of its own.
    pub fn send_each_byte(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        for byte in bytes.as_ref() {
            self.send([*byte]);
        }
        self
    }

    /// The response to a request with any method but HEAD.
    pub fn response(&mut self) -> Message {
        self.reader.response_to("GET")
    }

    /// Sends a whole request and reads its response.
    pub fn exchange(&mut self, request: impl AsRef<[u8]>) -> Message {
        let method = if request.as_ref().starts_with(b"HEAD ") {
            "HEAD"
        } else {
            "GET"
        };
        self.send(request);
        self.reader.response_to(method)
    }

    /// Sends a request with these fields, which say neither host nor length, and reads its response.
    pub fn ask(
        &mut self,
        (method, target): (&str, &str),
        host: impl std::fmt::Display,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Message {
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in fields {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        self.exchange(request)
    }

    /// Tells the proxy that nothing more comes.
    pub fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("half-close");
    }

    /// Fails unless the proxy closes the connection without another byte.
    pub fn expect_close(mut self) {
        let rest = self.reader.to_end();
        assert!(
            rest.is_empty(),
            "more bytes before the close: {}",
            show(&rest)
        );
    }

    /// Fails unless the proxy closes the connection, after a refusal at the most.
    pub fn expect_close_or_refusal(mut self) {
        if self.reader.wait_for_response() {
            let response = self.response();
            assert!((400..500).contains(&response.status()), "{response:?}");
        }
        self.expect_close();
    }

    /// Fails if the proxy has said anything since, or has closed.
    pub fn expect_quiet(&mut self) {
        let mut byte = [0];
        self.stream.set_nonblocking(true).unwrap();
        let got = self.stream.peek(&mut byte);
        self.stream.set_nonblocking(false).unwrap();
        match got {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("the proxy is not quiet: {other:?}"),
        }
    }

    /// Breaks off with a reset.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Another hand on the sending side, for a thread of its own.
    pub fn writer(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }
}

/// One request on a fresh connection, which is then closed.
pub fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Message {
    RawClient::connect(address).exchange(request)
}

/// One request on a fresh connection that the proxy must close after its response.
pub fn closes(address: SocketAddr, request: impl AsRef<[u8]>) -> Message {
    let mut client = RawClient::connect(address);
    let response = client.exchange(request);
    client.expect_close();
    response
}
