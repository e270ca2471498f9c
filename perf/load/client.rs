//! The load generator: connections that send one request after the other and check every response.
//!
//! Closed loop: a connection sends its next request when it has the response. Open loop (`--rate`):
//! requests arrive on a fixed schedule, wait for a free connection, and their latency counts from
//! the scheduled arrival, so that a slow proxy cannot slow down its own measurement.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::Options;
use crate::body::{self, Body, Pattern};
use crate::measure::{Fault, Tally};
use crate::origin::SIZES;
use crate::poll::{Poller, READ_BYTES, Ready, Side, Slots, Socket};
use crate::websocket;

/// Idle connections that are being opened at any one time.
const OPENING_AT_ONCE: usize = 64;
/// Loopback addresses that short connections come from, so that ports last.
const SOURCES: u8 = 16;
/// Bodies longer than this are checked byte by byte one time in eight.
const CHECKED_ALWAYS: u64 = 65_536;
const MAX_FIELDS: usize = 64;

/// Where a run stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// The idle connections are being opened.
    Filling,
    WarmUp,
    Measuring,
    /// No request is begun: another target has its turn.
    Resting,
}

/// The client side of a run, of one target.
pub(crate) struct Client {
    number: u8,
    plan: Plan,
    connections: Slots<Connection>,
    pub(crate) tally: Tally,
    pub(crate) phase: Phase,
    schedule: Option<Schedule>,
    idle_to_open: usize,
    idle_opening: usize,
    /// Connections that are not open yet.
    opening: usize,
    sequence: u64,
    /// Requests without their response.
    in_flight: usize,
    /// Connections that wait for the next turn (closed loop).
    rested: Vec<usize>,
    buffer: Vec<u8>,
}

/// What every request is, and what its response must be.
struct Plan {
    target: SocketAddr,
    request: Vec<u8>,
    /// The body that the answer to an upload must have.
    count: Option<Vec<u8>>,
    expected: Option<u64>,
    pattern: Pattern,
    one_request_each: bool,
    echo: Option<Echo>,
}

/// A WebSocket's message, and the same from the other side.
struct Echo {
    message: Vec<u8>,
    answer: Vec<u8>,
}

/// The arrivals of an open loop.
struct Schedule {
    interval: f64,
    arrivals: u64,
    start: Option<u64>,
    waiting: VecDeque<u64>,
    free: Vec<usize>,
}

struct Connection {
    socket: Socket,
    state: State,
    /// Stays silent after its first request.
    idle: bool,
    scheduled: u64,
    sent: usize,
    /// A part of a response head.
    held: Vec<u8>,
    response: Option<Response>,
    checked: bool,
    /// Whether the connection has become a WebSocket.
    upgraded: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Connecting,
    Free,
    Waiting,
}

/// How far a response has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    Part,
    /// The origin has agreed to a WebSocket; no response of the kind that is counted.
    Upgraded,
    Whole,
}

struct Response {
    body: Body,
    received: u64,
    closes: bool,
}

impl Client {
    /// A client of the target with this number.
    pub(crate) fn new(options: &Options, number: u8, target: SocketAddr) -> Self {
        let schedule = options.rate.map(|rate| Schedule {
            interval: 1e9 / rate,
            arrivals: 0,
            start: None,
            waiting: VecDeque::new(),
            free: Vec::new(),
        });
        Self {
            number,
            plan: Plan::new(options, target),
            connections: Slots::new(),
            tally: Tally::new(),
            phase: Phase::Filling,
            schedule,
            idle_to_open: options.idle,
            idle_opening: 0,
            opening: 0,
            sequence: 0,
            in_flight: 0,
            rested: Vec::new(),
            buffer: vec![0; READ_BYTES],
        }
    }

    /// Opens a further share of the idle connections; says whether all of them are there.
    pub(crate) fn fill(&mut self, poller: &Poller) -> io::Result<bool> {
        while self.idle_to_open > 0 && self.idle_opening < OPENING_AT_ONCE {
            self.idle_to_open -= 1;
            self.idle_opening += 1;
            self.open(poller, true)?;
        }
        Ok(self.idle_opening == 0)
    }

    /// Opens the busy connections; they begin at once, or rest until `resume`.
    pub(crate) fn begin(
        &mut self,
        poller: &Poller,
        connections: usize,
        phase: Phase,
    ) -> io::Result<()> {
        self.phase = phase;
        (0..connections).try_for_each(|_| self.open(poller, false))
    }

    /// Begins a turn: what rested is busy again, and counted anew.
    pub(crate) fn resume(&mut self, poller: &Poller, now: u64) {
        self.phase = Phase::Measuring;
        self.tally = Tally::new();
        if let Some(schedule) = &mut self.schedule {
            schedule.arrivals = 0;
            schedule.start = None;
        }
        for slot in std::mem::take(&mut self.rested) {
            let rests = |it: &mut Connection| it.state == State::Free;
            if self.connections.get(slot).is_some_and(rests) {
                self.start(poller, slot, now);
            }
        }
    }

    /// Ends a turn: responses that are due are still counted, no request is begun.
    pub(crate) fn rest(&mut self) {
        self.phase = Phase::Resting;
        if let Some(schedule) = &mut self.schedule {
            schedule.waiting.clear();
        }
    }

    /// Whether each request has its response, and each connection is open.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.in_flight == 0 && self.opening == 0
    }

    /// Starts the requests that are due by `now` (open loop).
    pub(crate) fn arrive(&mut self, poller: &Poller, now: u64) {
        let Some(schedule) = &mut self.schedule else {
            return;
        };
        let start = *schedule.start.get_or_insert(now);
        loop {
            let due = start + (schedule.arrivals as f64 * schedule.interval) as u64;
            if due > now {
                break;
            }
            schedule.arrivals += 1;
            schedule.waiting.push_back(due);
        }
        while let Some(schedule) = &mut self.schedule
            && !schedule.waiting.is_empty()
            && let Some(slot) = schedule.free.pop()
        {
            let free = self
                .connections
                .get(slot)
                .is_some_and(|it| it.state == State::Free);
            if free && let Some(due) = schedule.waiting.pop_front() {
                self.start(poller, slot, due);
            }
        }
        self.tally.unserved = self.schedule.as_ref().map_or(0, |it| it.waiting.len());
    }

    /// How long until the next request is due (open loop).
    pub(crate) fn until_arrival(&self, now: u64) -> Duration {
        let due = self.schedule.as_ref().and_then(|schedule| {
            let since = (schedule.arrivals as f64 * schedule.interval) as u64;
            Some(schedule.start? + since)
        });
        Duration::from_nanos(due.map_or(0, |due| due.saturating_sub(now)))
    }

    pub(crate) fn serve(&mut self, poller: &Poller, ready: Ready, now: impl Fn() -> u64) {
        let Some(connection) = self.connections.get(ready.slot) else {
            return;
        };
        if connection.state == State::Connecting {
            self.opening -= 1;
            match connection.socket.connected(poller) {
                Ok(()) => self.next(poller, ready.slot, now()),
                Err(_) => self.fail(poller, ready.slot, Fault::Connect),
            }
            return;
        }
        if ready.writable {
            self.send(poller, ready.slot);
        }
        if ready.readable {
            self.receive(poller, ready.slot, now);
        }
    }

    fn open(&mut self, poller: &Poller, idle: bool) -> io::Result<()> {
        let source = self.plan.one_request_each.then(|| {
            let last = 2 + (self.tally.connections_opened % u64::from(SOURCES)) as u8;
            SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0))
        });
        self.tally.connections_opened += 1;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        if let Some(source) = source {
            rustix::net::bind(&fd, &source)?;
        }
        match rustix::net::connect(&fd, &self.plan.target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let side = Side::Client(self.number);
        self.connections.insert(|slot| {
            Ok(Connection {
                socket: Socket::watch(poller, fd, side, slot, true)?,
                state: State::Connecting,
                idle,
                scheduled: 0,
                sent: 0,
                held: Vec::new(),
                response: None,
                checked: true,
                upgraded: false,
            })
        })?;
        self.opening += 1;
        Ok(())
    }

    /// What a connection does that has nothing to do.
    fn next(&mut self, poller: &Poller, slot: usize, now: u64) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        connection.state = State::Free;
        let rests = self.phase == Phase::Resting && !connection.idle;
        match &mut self.schedule {
            None if rests => self.rested.push(slot),
            Some(schedule) if !connection.idle => match schedule.waiting.pop_front() {
                Some(due) => self.start(poller, slot, due),
                None => schedule.free.push(slot),
            },
            _ => self.start(poller, slot, now),
        }
    }

    fn start(&mut self, poller: &Poller, slot: usize, scheduled: u64) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        self.sequence += 1;
        let long = self
            .plan
            .expected
            .is_some_and(|length| length > CHECKED_ALWAYS);
        connection.checked = !long || self.sequence.is_multiple_of(8);
        connection.scheduled = scheduled;
        connection.state = State::Waiting;
        connection.sent = 0;
        self.in_flight += 1;
        self.send(poller, slot);
    }

    fn send(&mut self, poller: &Poller, slot: usize) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        let bytes = match &self.plan.echo {
            Some(echo) if connection.upgraded => &echo.message,
            _ => &self.plan.request,
        };
        // A failed send shows as an end of the stream when the response is read.
        let _ = connection.socket.send(poller, bytes, &mut connection.sent);
    }

    fn receive(&mut self, poller: &Poller, slot: usize, now: impl Fn() -> u64) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        match connection.socket.receive(&mut self.buffer) {
            Ok(None) => {}
            Ok(Some(0)) => self.ended(poller, slot),
            Ok(Some(received)) => match connection.read(&self.plan, &self.buffer[..received]) {
                Ok(Progress::Part) => {}
                Ok(Progress::Upgraded) => {
                    self.in_flight -= 1;
                    self.next(poller, slot, now());
                }
                Ok(Progress::Whole) => self.complete(poller, slot, now()),
                Err(fault) => self.fail(poller, slot, fault),
            },
            Err(_) => self.fail(poller, slot, Fault::Reset),
        }
    }

    fn complete(&mut self, poller: &Poller, slot: usize, now: u64) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        let response = connection.response.take();
        self.in_flight -= 1;
        if matches!(self.phase, Phase::Measuring | Phase::Resting) {
            self.tally.ok += 1;
            self.tally.body_bytes += response.as_ref().map_or(0, |response| response.received);
            self.tally
                .latency
                .record(now.saturating_sub(connection.scheduled));
        }
        if connection.idle {
            connection.state = State::Free;
            self.idle_opening -= 1;
        } else if self.plan.one_request_each || response.is_some_and(|response| response.closes) {
            self.reopen(poller, slot);
        } else {
            self.next(poller, slot, now);
        }
    }

    /// The other side closed. Between two requests it may.
    fn ended(&mut self, poller: &Poller, slot: usize) {
        let Some(connection) = self.connections.get(slot) else {
            return;
        };
        if connection.state == State::Waiting {
            self.fail(poller, slot, Fault::Closed);
        } else if connection.idle {
            self.tally.idle_closed += 1;
            self.connections.remove(slot);
        } else {
            self.reopen(poller, slot);
        }
    }

    fn fail(&mut self, poller: &Poller, slot: usize, fault: Fault) {
        self.tally.fault(fault, self.phase == Phase::Measuring);
        let connection = self.connections.get(slot);
        if connection
            .as_ref()
            .is_some_and(|it| it.state == State::Waiting)
        {
            self.in_flight -= 1;
        }
        if connection.is_some_and(|connection| connection.idle) {
            self.idle_opening = self.idle_opening.saturating_sub(1);
            self.connections.remove(slot);
        } else {
            self.reopen(poller, slot);
        }
    }

    fn reopen(&mut self, poller: &Poller, slot: usize) {
        self.connections.remove(slot);
        if self.open(poller, false).is_err() {
            self.tally
                .fault(Fault::Connect, self.phase == Phase::Measuring);
        }
    }
}

impl Connection {
    /// Reads a piece of the response.
    fn read(&mut self, plan: &Plan, input: &[u8]) -> Result<Progress, Fault> {
        if let Some(echo) = &plan.echo {
            return self.read_websocket(echo, input);
        }
        if self.response.is_some() {
            return self.read_body(plan, input);
        }
        if self.held.is_empty() {
            let used = self.read_head(plan, input)?;
            if used == 0 {
                self.held.extend_from_slice(input);
                return Ok(Progress::Part);
            }
            return self.read_body(plan, &input[used..]);
        }
        self.held.extend_from_slice(input);
        let held = std::mem::take(&mut self.held);
        self.read(plan, &held)
    }

    /// Reads a piece of the agreement, or of a message.
    fn read_websocket(&mut self, echo: &Echo, input: &[u8]) -> Result<Progress, Fault> {
        self.held.extend_from_slice(input);
        if !self.upgraded {
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            let mut head = httparse::Response::new(&mut fields);
            let used = match head.parse(&self.held) {
                Ok(httparse::Status::Complete(used)) => used,
                Ok(httparse::Status::Partial) => return Ok(Progress::Part),
                Err(_) => return Err(Fault::Head),
            };
            let accept = body::field(head.headers, "sec-websocket-accept");
            if head.code != Some(101) || accept != Some(websocket::ACCEPT) {
                return Err(Fault::Status);
            }
            // Nothing was sent that could be answered already.
            if used != self.held.len() {
                return Err(Fault::Length);
            }
            self.upgraded = true;
            self.held.clear();
            return Ok(Progress::Upgraded);
        }
        if self.held.len() < echo.answer.len() {
            return Ok(Progress::Part);
        }
        let right = self.held == echo.answer;
        self.held.clear();
        if right {
            Ok(Progress::Whole)
        } else {
            Err(Fault::Body)
        }
    }

    fn read_body(&mut self, plan: &Plan, input: &[u8]) -> Result<Progress, Fault> {
        let Some(response) = &mut self.response else {
            return Err(Fault::Head);
        };
        let (mut right, received, checked) = (true, &mut response.received, self.checked);
        let used = response
            .body
            .take(input, |data| {
                right &= !checked || plan.is_body(*received, data);
                *received += data.len() as u64;
            })
            .map_err(|_| Fault::Head)?;
        if !right {
            return Err(Fault::Body);
        }
        if !response.body.is_complete() {
            return Ok(Progress::Part);
        }
        let right_length = plan
            .expected
            .is_none_or(|expected| response.received == expected);
        if right_length && used == input.len() {
            Ok(Progress::Whole)
        } else {
            Err(Fault::Length)
        }
    }

    /// Reads the head and returns its length; 0 if it is incomplete.
    fn read_head(&mut self, plan: &Plan, input: &[u8]) -> Result<usize, Fault> {
        if self.state != State::Waiting {
            return Err(Fault::Head);
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let used = match head.parse(input) {
            Ok(httparse::Status::Complete(used)) => used,
            Ok(httparse::Status::Partial) => return Ok(0),
            Err(_) => return Err(Fault::Head),
        };
        if head.code != Some(200) {
            return Err(Fault::Status);
        }
        let body = Body::of(head.headers)
            .map_err(|_| Fault::Head)?
            .ok_or(Fault::Head)?;
        if let (Body::Length(length), Some(expected)) = (&body, plan.expected)
            && *length != expected
        {
            return Err(Fault::Length);
        }
        let closes = body::closes(head.headers);
        self.response = Some(Response {
            body,
            received: 0,
            closes,
        });
        Ok(used)
    }
}

impl Plan {
    fn new(options: &Options, target: SocketAddr) -> Self {
        let (method, body) = match options.post {
            Some(length) => ("POST", Pattern::body(length)),
            None => ("GET", Vec::new()),
        };
        let mut request = format!("{method} {} HTTP/1.1\r\nHost: {}\r\n", options.path, target);
        if options.post.is_some() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        if options.one_request_each {
            request.push_str("Connection: close\r\n");
        }
        let echo = options.websocket.map(|length| {
            request.push_str(&websocket::fields());
            let payload = Pattern::body(length.into());
            Echo {
                message: websocket::message(&payload),
                answer: websocket::answer(payload.into_iter()),
            }
        });
        request.push_str("\r\n");
        let count = options.post.map(|length| length.to_string().into_bytes());
        let known = SIZES.iter().find(|(path, _)| *path == options.path);
        let answer = count.as_ref().map(|digits| digits.len() as u64);
        Self {
            target,
            request: [request.as_bytes(), &body].concat(),
            expected: answer
                .or(options.expect)
                .or_else(|| known.map(|(_, size)| *size as u64)),
            count,
            pattern: Pattern::new(READ_BYTES),
            one_request_each: options.one_request_each,
            echo,
        }
    }

    /// Whether `data` is what the response body has at `offset`.
    fn is_body(&self, offset: u64, data: &[u8]) -> bool {
        match &self.count {
            Some(count) => count
                .get(offset as usize..)
                .is_some_and(|rest| rest.starts_with(data)),
            None => self.pattern.matches(offset, data),
        }
    }
}
