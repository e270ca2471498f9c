//! A strict little HTTP/1.1 reader for tests. Written without a look at Ringway's own: whatever is
//! not exactly well formed fails the test.

use std::io::{self, ErrorKind, Read};

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    Chunked,
    Close,
    Length(usize),
    None,
}

/// A request or a response.
#[derive(Clone, Debug)]
pub struct Message {
    /// The first line, without its line ending.
    pub line: String,
    /// Names as they were written, and values; bytes beyond ASCII as Latin-1.
    pub fields: Vec<(String, String)>,
    /// How the body was framed.
    pub framing: Framing,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// The chunks that the body came in.
    pub chunks: Vec<usize>,
    /// Fields after a chunked body.
    pub trailers: Vec<(String, String)>,
    /// The interim responses before this one.
    pub interim: Vec<Self>,
}

impl Message {
    /// The method of a request.
    pub fn method(&self) -> &str {
        self.line.split(' ').next().unwrap()
    }

    /// The target of a request.
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Every value of a field, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The value of a field that may be there once at the most.
    pub fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(
            all.len() <= 1,
            "{name} is there {} times: {self:?}",
            all.len()
        );
        all.first().copied()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether `Connection` has this option.
    pub fn connection_has(&self, option: &str) -> bool {
        self.all("connection")
            .iter()
            .flat_map(|value| value.split(','))
            .any(|given| given.trim().eq_ignore_ascii_case(option))
    }

    fn parse_head(head: &[u8]) -> Self {
        let text: String = head.iter().map(|&byte| byte as char).collect();
        let mut lines = text
            .strip_suffix("\r\n\r\n")
            .expect("a whole head")
            .split("\r\n");
        let line = lines.next().unwrap().to_owned();
        assert!(
            !line.contains(['\r', '\n', '\0']),
            "bad first line {line:?}"
        );
        Self {
            line,
            fields: lines.map(parse_field).collect(),
            framing: Framing::None,
            body: Vec::new(),
            chunks: Vec::new(),
            trailers: Vec::new(),
            interim: Vec::new(),
        }
    }

    fn declared_framing(&self) -> Framing {
        let length = self.field("content-length");
        match self.field("transfer-encoding") {
            Some(coding) => {
                assert_eq!(coding, "chunked", "{self:?}");
                assert_eq!(length, None, "both framings: {self:?}");
                Framing::Chunked
            }
            None => length.map_or(Framing::None, |length| {
                assert!(length.bytes().all(|byte| byte.is_ascii_digit()), "{self:?}");
                Framing::Length(length.parse().unwrap())
            }),
        }
    }
}

fn parse_field(line: &str) -> (String, String) {
    let (name, value) = line
        .split_once(':')
        .unwrap_or_else(|| panic!("no colon in {line:?}"));
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    assert!(
        !name.is_empty() && name.chars().all(token),
        "bad name in {line:?}"
    );
    let value = value.trim_matches([' ', '\t']);
    let allowed = |c: char| c == '\t' || (c >= ' ' && c != '\x7f');
    assert!(value.chars().all(allowed), "bad value in {line:?}");
    (name.to_owned(), value.to_owned())
}

/// Reads messages from a stream; what it has read and not used stays for the next one.
pub struct Reader<R> {
    stream: R,
    unread: Vec<u8>,
    /// Every byte that ever came.
    pub record: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            unread: Vec::new(),
            record: Vec::new(),
        }
    }

    /// Waits for more; false at the end of the stream (a reset is an end too).
    fn more(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(size) => {
                self.unread.extend_from_slice(&piece[..size]);
                self.record.extend_from_slice(&piece[..size]);
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if ended(&error) => false,
            Err(error) => panic!("{error}, after {:?}", show(&self.record)),
        }
    }

    /// Waits for the first byte of a response; false when the stream ends instead.
    pub fn wait_for_response(&mut self) -> bool {
        !self.unread.is_empty() || self.more()
    }

    /// A head, without its body. Nothing if the stream ends before its first byte.
    pub fn head(&mut self) -> Option<Message> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.unread[searched..]
                .windows(4)
                .position(|w| w == b"\r\n\r\n")
            {
                let head: Vec<u8> = self.unread.drain(..searched + end + 4).collect();
                return Some(Message::parse_head(&head));
            }
            searched = self.unread.len().saturating_sub(3);
            if !self.more() {
                let left = show(&self.unread);
                assert!(left.is_empty(), "the stream ended within a head: {left:?}");
                return None;
            }
        }
    }

    /// A request with its body. Nothing if the stream ends before its first byte.
    pub fn request(&mut self) -> Option<Message> {
        let mut message = self.head()?;
        self.request_body(&mut message);
        Some(message)
    }

    /// The body of a request whose head was read.
    pub fn request_body(&mut self, message: &mut Message) {
        message.framing = message.declared_framing();
        self.body(message);
    }

    /// The response to a request with this method, with its body and the interim ones before it.
    pub fn response_to(&mut self, method: &str) -> Message {
        let mut interim = Vec::new();
        loop {
            let mut message = self.head().expect("a response, not the end of the stream");
            let version = &message.line[..9];
            assert!(
                ["HTTP/1.1 ", "HTTP/1.0 "].contains(&version),
                "{:?}",
                message.line
            );
            match message.status() {
                100 | 102..=199 => {
                    assert_eq!(message.declared_framing(), Framing::None);
                    interim.push(message);
                    continue;
                }
                101 | 204 | 304 => {}
                _ if method == "HEAD" => {}
                _ => {
                    message.framing = match message.declared_framing() {
                        Framing::None => Framing::Close,
                        framing => framing,
                    }
                }
            }
            self.body(&mut message);
            message.interim = interim;
            return message;
        }
    }

    /// What has come, at least one byte; nothing at the end of the stream.
    pub fn some(&mut self) -> Vec<u8> {
        if self.unread.is_empty() {
            self.more();
        }
        std::mem::take(&mut self.unread)
    }

    /// So many bytes, whatever they are.
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            let seen = self.unread.len();
            assert!(
                self.more(),
                "the stream ended after {seen} of {length} bytes"
            );
        }
        let rest = self.unread.split_off(length);
        std::mem::replace(&mut self.unread, rest)
    }

    /// Everything up to the end of the stream.
    pub fn to_end(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.unread)
    }

    fn body(&mut self, message: &mut Message) {
        match message.framing {
            Framing::Chunked => self.chunked(message),
            Framing::Close => message.body = self.to_end(),
            Framing::Length(length) => message.body = self.exactly(length),
            Framing::None => {}
        }
    }

    fn chunked(&mut self, message: &mut Message) {
        loop {
            let line = self.line();
            let digits = |c: char| c.is_ascii_hexdigit();
            assert!(
                !line.is_empty() && line.chars().all(digits),
                "bad chunk size {line:?}"
            );
            let size = usize::from_str_radix(&line, 16).unwrap();
            if size == 0 {
                break;
            }
            let data = self.exactly(size);
            message.body.extend_from_slice(&data);
            message.chunks.push(size);
            assert_eq!(self.exactly(2), b"\r\n", "after a chunk");
        }
        loop {
            let line = self.line();
            if line.is_empty() {
                return;
            }
            message.trailers.push(parse_field(&line));
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return line[..end].iter().map(|&byte| byte as char).collect();
            }
            assert!(
                self.more(),
                "the stream ended within {:?}",
                show(&self.unread)
            );
        }
    }
}

/// Whether the other side is gone.
pub fn ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

/// Bytes to look at in a failure, the first thousand of them.
pub fn show(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(1_000)].escape_ascii().to_string()
}
