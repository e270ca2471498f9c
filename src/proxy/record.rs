//! Record: what an exchange adds to the counters and to the access log.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::accept::Connection;
use super::core::Core;
use super::fault::Fault;
use super::pool::Pool;
use super::understand::Understood;
use crate::model::config::LogFormat;
use crate::table::Found;
use crate::wire::compose::put_decimal;
use crate::wire::date::IsoDates;
use crate::wire::field::Name;
use crate::wire::head::Version;

/// The most bytes of one value in a log line; longer ones are cut.
const VALUE_BYTES_MAX: usize = 2048;

/// The time of the present tick, as text.
pub(super) struct Dates {
    /// When it was the present, by both clocks.
    refreshed: (Instant, SystemTime),
    second: u64,
    http: [u8; 29],
    iso: IsoDates,
}

impl Dates {
    /// The present time.
    pub(super) fn now() -> Self {
        let mut dates = Self {
            refreshed: (Instant::now(), SystemTime::now()),
            second: 0,
            http: [b' '; 29],
            iso: IsoDates::default(),
        };
        dates.refresh();
        dates
    }

    /// Follows the clock; once a second there is something to do.
    pub(super) fn refresh(&mut self) {
        let now = SystemTime::now();
        self.refreshed = (Instant::now(), now);
        let second = since_epoch(now).as_secs();
        if second != self.second {
            self.second = second;
            let text = httpdate::fmt_http_date(now);
            if let Ok(text) = text.as_bytes().try_into() {
                self.http = text;
            }
        }
    }

    /// As in `Date` (RFC 9110 §5.6.7).
    pub(super) fn http(&self) -> &[u8] {
        &self.http
    }

    /// As ISO 8601 has it. The clock of the day is not read for it: that of the last refresh, which
    /// is a tick ago, tells as well.
    pub(super) fn put_iso(&mut self, moment: Instant, out: &mut Vec<u8>) {
        let (tick, date) = self.refreshed;
        self.iso
            .put(date + moment.saturating_duration_since(tick), out);
    }

    /// As in the Common Log Format, cut out of the other: `21/Nov/2026:02:17:36 +0000`.
    fn put_common(&self, out: &mut Vec<u8>) {
        let part = |range: std::ops::Range<usize>| self.http.get(range).unwrap_or_default();
        for piece in [
            part(5..7),
            b"/",
            part(8..11),
            b"/",
            part(12..16),
            b":",
            part(17..25),
        ] {
            out.extend_from_slice(piece);
        }
        out.extend_from_slice(b" +0000");
    }
}

fn since_epoch(now: SystemTime) -> Duration {
    now.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// What is known of an exchange when it is over.
pub(super) struct Entry<'c> {
    core: &'c Core,
    status: u16,
    /// Bytes of the bodies, without heads and framing.
    bytes: u64,
    request_bytes: u64,
    reason: &'static str,
    retries: u8,
    reused: bool,
    upstream: Option<Arc<str>>,
    server: Option<Arc<str>>,
    /// Only while requests are logged: reading the clock costs.
    times: Option<Times>,
}

struct Times {
    begun: Instant,
    picked: Option<Instant>,
    connected: Option<Instant>,
    answered: Option<Instant>,
}

impl<'c> Entry<'c> {
    /// The head of a request has been read.
    pub(super) fn begin(core: &'c Core) -> Self {
        core.counters.in_flight.add(1);
        let times = core.log.as_ref().map(|_| Times {
            begun: Instant::now(),
            picked: None,
            connected: None,
            answered: None,
        });
        Self {
            core,
            status: 0,
            bytes: 0,
            request_bytes: 0,
            reason: "done",
            retries: 0,
            reused: false,
            upstream: None,
            server: None,
            times,
        }
    }

    /// A server has been picked.
    pub(super) fn picked(&mut self, upstream: &Pool, server: &Arc<str>) {
        if self.core.log.is_none() {
            return;
        }
        self.upstream = Some(upstream.declared.borrow().name.clone());
        if self.server.replace(server.clone()).is_some() {
            self.retries += 1;
        }
        if let Some(times) = &mut self.times {
            times.picked = Some(Instant::now());
        }
    }

    /// There is a connection to it.
    pub(super) fn connected(&mut self, reused: bool) {
        self.reused = reused;
        if let Some(times) = &mut self.times {
            times.connected = Some(Instant::now());
        }
    }

    /// The head of the response is there.
    pub(super) fn answered(&mut self, status: u16) {
        self.status = status;
        let counters = &self.core.counters;
        match status {
            ..200 => counters.interim.add(1),
            200..300 => counters.responses_2xx.add(1),
            300..400 => counters.responses_3xx.add(1),
            400..500 => counters.responses_4xx.add(1),
            500.. => counters.responses_5xx.add(1),
        }
        if let Some(times) = &mut self.times {
            times.answered = Some(Instant::now());
        }
    }

    /// Bytes have gone to the client.
    pub(super) fn sent(&self, bytes: u64) {
        self.core.counters.bytes_sent.add(bytes);
    }

    /// A part of the response's body has been passed on.
    pub(super) fn passed(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// A part of the request's body has been received.
    pub(super) fn received(&mut self, bytes: u64) {
        self.request_bytes += bytes;
        self.core.counters.bytes_received.add(bytes);
    }

    /// Why the exchange ended as it did, where that is not the usual.
    pub(super) fn reason(&mut self, reason: &'static str) {
        self.reason = reason;
    }

    /// The exchange failed.
    pub(super) fn fail(&mut self, fault: Fault) {
        self.reason = fault.reason();
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.core.counters.in_flight.sub(1);
    }
}

/// Writes the part of the log line that comes from the request, as long as it is at hand.
pub(super) fn begin(
    connection: &Connection,
    core: &Core,
    request: &Understood<'_, '_>,
    found: Option<&Found<'_>>,
    line: &mut Vec<u8>,
) {
    if core.log.is_none() {
        return;
    }
    match core.log_format {
        LogFormat::Json => begin_json(connection, request, found, line),
        LogFormat::Combined => begin_combined(connection, core, request, line),
    }
}

/// The same for what is no valid request.
pub(super) fn begin_refused(connection: &Connection, core: &Core, line: &mut Vec<u8>) {
    if core.log.is_none() {
        return;
    }
    match core.log_format {
        LogFormat::Json => {
            line.extend_from_slice(b"{\"client\":");
            put_json(line, connection.client().to_string().as_bytes());
        }
        LogFormat::Combined => {
            put_combined_start(connection, core, line);
            line.extend_from_slice(b"\"-\" \0\"-\" \"-\"");
        }
    }
}

fn begin_json(
    connection: &Connection,
    request: &Understood<'_, '_>,
    found: Option<&Found<'_>>,
    line: &mut Vec<u8>,
) {
    use std::io::Write;
    let _ = write!(line, "{{\"client\":\"{}\"", connection.client());
    let version: &[u8] = match request.head.version {
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 => b"HTTP/1.1",
    };
    for (key, value) in [
        (",\"method\":", request.head.method.as_bytes()),
        (",\"host\":", request.host),
        (",\"path\":", request.path),
        (",\"query\":", request.query.unwrap_or_default()),
        (",\"protocol\":", version),
        (",\"user_agent\":", value_of(request, Name::UserAgent)),
        (",\"referer\":", value_of(request, Name::Referer)),
    ] {
        line.extend_from_slice(key.as_bytes());
        put_json(line, value);
    }
    if let Some(found) = found {
        line.extend_from_slice(b",\"route\":");
        put_json(line, found.route.id().as_bytes());
    }
}

/// The byte 0, which no other part of a line has, marks where status and size go.
fn begin_combined(
    connection: &Connection,
    core: &Core,
    request: &Understood<'_, '_>,
    line: &mut Vec<u8>,
) {
    put_combined_start(connection, core, line);
    line.push(b'"');
    put_escaped(line, request.head.method.as_bytes());
    line.push(b' ');
    put_escaped(line, request.path);
    if let Some(query) = request.query {
        line.push(b'?');
        put_escaped(line, query);
    }
    line.extend_from_slice(match request.head.version {
        Version::Http10 => b" HTTP/1.0\" \0\"",
        Version::Http11 => b" HTTP/1.1\" \0\"",
    });
    put_or_dash(line, value_of(request, Name::Referer));
    line.extend_from_slice(b"\" \"");
    put_or_dash(line, value_of(request, Name::UserAgent));
    line.push(b'"');
}

fn put_combined_start(connection: &Connection, core: &Core, line: &mut Vec<u8>) {
    line.extend_from_slice(connection.forwarding.address());
    line.extend_from_slice(b" - - [");
    core.dates.borrow().put_common(line);
    line.extend_from_slice(b"] ");
}

fn value_of<'b>(request: &Understood<'b, '_>, name: Name) -> &'b [u8] {
    let field = request
        .head
        .fields
        .iter()
        .find(|field| Name::of(field.name) == name);
    field.map(|field| field.value).unwrap_or_default()
}

/// Completes the line and hands it over.
pub(super) fn record(entry: &Entry<'_>, line: &mut Vec<u8>) {
    let core = entry.core;
    let Some(log) = &core.log else { return };
    match core.log_format {
        LogFormat::Json => end_json(entry, line),
        LogFormat::Combined => end_combined(entry, line),
    }
    if !log.borrow_mut().push(line) {
        core.counters.log_dropped.add(1);
    }
}

fn end_json(entry: &Entry<'_>, line: &mut Vec<u8>) {
    use std::io::Write;
    if let Some(upstream) = &entry.upstream {
        line.extend_from_slice(b",\"upstream\":");
        put_json(line, upstream.as_bytes());
    }
    if let Some(server) = &entry.server {
        line.extend_from_slice(b",\"server\":");
        put_json(line, server.as_bytes());
    }
    let now = since_epoch(SystemTime::now());
    let _ = write!(
        line,
        ",\"time\":{}.{:03},\"status\":{},\"request_bytes\":{},\"bytes\":{},\"retries\":{},\
         \"reused\":{},\"epoch\":{}",
        now.as_secs(),
        now.subsec_millis(),
        entry.status,
        entry.request_bytes,
        entry.bytes,
        entry.retries,
        entry.reused,
        entry.core.snapshot().epoch,
    );
    if let Some(times) = &entry.times {
        let end = Instant::now();
        let us = |from: Option<Instant>, to: Option<Instant>| match (from, to) {
            (Some(from), Some(to)) => to.saturating_duration_since(from).as_micros(),
            _ => 0,
        };
        let _ = write!(
            line,
            ",\"wait_us\":{},\"connect_us\":{},\"first_byte_us\":{},\"total_us\":{}",
            us(Some(times.begun), times.picked),
            us(times.picked, times.connected),
            us(times.connected, times.answered),
            us(Some(times.begun), Some(end)),
        );
    }
    let _ = writeln!(line, ",\"reason\":\"{}\"}}", entry.reason);
}

fn end_combined(entry: &Entry<'_>, line: &mut Vec<u8>) {
    let Some(at) = line.iter().position(|byte| *byte == 0) else {
        return;
    };
    let mut middle = Vec::with_capacity(32);
    put_decimal(&mut middle, u64::from(entry.status));
    middle.push(b' ');
    put_decimal(&mut middle, entry.bytes);
    middle.push(b' ');
    line.splice(at..=at, middle);
    line.push(b'\n');
}

/// Writes a JSON string; nothing in it can end the line or colour a terminal.
fn put_json(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    put_escaped_with(out, value, |out, byte| {
        out.extend_from_slice(b"\\u00");
        put_hex(out, byte);
    });
    out.push(b'"');
}

fn put_escaped(out: &mut Vec<u8>, value: &[u8]) {
    put_escaped_with(out, value, |out, byte| {
        out.extend_from_slice(b"\\x");
        put_hex(out, byte);
    });
}

fn put_or_dash(out: &mut Vec<u8>, value: &[u8]) {
    if value.is_empty() {
        out.push(b'-')
    } else {
        put_escaped(out, value)
    }
}

fn put_escaped_with(out: &mut Vec<u8>, value: &[u8], escape: impl Fn(&mut Vec<u8>, u8)) {
    for &byte in value.iter().take(VALUE_BYTES_MAX) {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => escape(out, byte),
        }
    }
}

fn put_hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(&[
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]);
}
