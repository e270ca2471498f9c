//! A TLS session towards a server: records in, plaintext out, and back. It knows no socket.
//!
//! Ciphertext lies in lent buffers and is decrypted there; plaintext goes straight into the buffer
//! that it is wanted in, and into one of the session's own only where that has no room. What TLS
//! itself has to say (the end of a handshake, an alert, a change of keys) waits in `control` and
//! leaves in front of whatever is sealed next: the order of records is the order of sending.
//! rustls copies each record once on its way, both ways, in memory of its own.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus};
use rustls::{ClientConfig, Error};

use super::buffer::{Buffer, Lease};
use super::records::{LARGE, RECORD, RECORDS, Records, SMALL};

/// What sealing adds to one record at the most, of the suites that are spoken.
const OVERHEAD: usize = 64;
/// Bytes of a record's head (RFC 8446 §5.1).
const HEAD: usize = 5;

/// What went wrong between us and a server that TLS was spoken with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsFault {
    /// It is not who it should be.
    Certificate,
    /// It said that something is wrong with us.
    Alert,
    /// It does not speak TLS as it should.
    Protocol,
}

/// The session of one connection.
pub(super) struct Session {
    tls: UnbufferedClientConnection,
    records: Rc<Records>,
    /// What has come and is not read yet; none where there is nothing.
    incoming: Option<Lease>,
    /// Plaintext that had no room where it was wanted.
    pending: Option<Lease>,
    /// Records that have to leave before all others.
    control: Option<Lease>,
    /// The server has said that nothing more comes.
    ended: bool,
    /// What went wrong; nothing goes on after that.
    fault: Option<TlsFault>,
    /// Whether the last receive had no room left: a body is on its way.
    in_bulk: bool,
}

/// How far the session has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// There is more to do with what is at hand.
    Again,
    /// Nothing goes on before more has come.
    Blocked,
    /// The handshake is done, and all that is at hand is read.
    Ready,
    /// Both sides have said that nothing more comes.
    Closed,
}

impl TlsFault {
    fn of(error: &Error) -> Self {
        match error {
            Error::AlertReceived(_) => Self::Alert,
            Error::InvalidCertificate(_)
            | Error::InvalidCertRevocationList(_)
            | Error::NoCertificatesPresented
            | Error::UnsupportedNameType => Self::Certificate,
            _ => Self::Protocol,
        }
    }
}

impl Session {
    /// One that has its first message to send.
    pub(super) fn new(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        records: &Rc<Records>,
    ) -> Result<Self, TlsFault> {
        let tls = UnbufferedClientConnection::new(config, name);
        Ok(Self {
            tls: tls.map_err(|error| TlsFault::of(&error))?,
            records: records.clone(),
            incoming: None,
            pending: None,
            control: None,
            ended: false,
            fault: None,
            in_bulk: true,
        })
    }

    /// Goes on with the handshake; whether it is done. If not, what is in `control` must be sent
    /// and more received.
    pub(super) fn shake(&mut self) -> io::Result<bool> {
        match self.run()? {
            Step::Ready if self.fault.is_none() => {
                self.in_bulk = false;
                Ok(true)
            }
            Step::Blocked if !self.ended => Ok(false),
            _ => Err(self.fail(TlsFault::Protocol)),
        }
    }

    /// Whether the session goes on where another one ended.
    pub(super) fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// What went wrong, if something did.
    pub(super) fn fault(&self) -> Option<TlsFault> {
        self.fault
    }

    /// The server has said that nothing more comes.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes the records that have to leave.
    pub(super) fn take_control(&mut self) -> Option<Lease> {
        self.control.take()
    }

    /// Puts plaintext behind the filled part of `into`, as much as is at hand and has room; says
    /// how much. 0 means that more has to come, or that nothing will.
    pub(super) fn open(&mut self, into: &mut Buffer) -> io::Result<usize> {
        let before = into.len();
        loop {
            self.take_pending(into);
            let taken = into.len() - before;
            let fits = taken == 0 || self.next_record() <= into.room();
            if self.pending.is_some() || !fits {
                return Ok(taken);
            }
            match self.step(Some(into)) {
                Ok(Step::Again) => {}
                Ok(_) => return Ok(into.len() - before),
                // What came before is good; the failure will be there the next time too.
                Err(_) if into.len() > before => return Ok(into.len() - before),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether nothing of use to us lies here, and the server has not ended.
    pub(super) fn is_quiet(&mut self) -> bool {
        matches!(self.run(), Ok(Step::Ready)) && self.pending.is_none() && !self.ended
    }

    /// A buffer to receive into; what has come already will stand in front.
    pub(super) fn room(&self) -> io::Result<Lease> {
        let at_hand = self.incoming.as_ref().map_or(0, |incoming| incoming.len());
        let bytes = match self.in_bulk || at_hand > 0 {
            true => LARGE,
            false => SMALL,
        };
        let mut lease = self.records.lend(bytes)?;
        lease.reset(at_hand);
        if lease.room() == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(lease)
    }

    /// Takes what has been received into a buffer from [`Session::room`].
    pub(super) fn arrived(&mut self, mut fresh: Lease) -> io::Result<()> {
        self.in_bulk = fresh.room() == 0;
        if let Some(before) = self.incoming.take()
            && !fresh.prepend(before.filled())
        {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.incoming = Some(fresh);
        Ok(())
    }

    /// Seals as much of `plain` as goes into one buffer, behind what has to leave before it; says
    /// how much that is.
    pub(super) fn seal(&mut self, plain: &[u8]) -> io::Result<(Lease, usize)> {
        match self.run()? {
            Step::Ready => {}
            Step::Again | Step::Blocked | Step::Closed => {
                return Err(io::ErrorKind::NotConnected.into());
            }
        }
        let mut out = match self.control.take() {
            // Only a long chain of certificates of ours is that long: it goes alone.
            Some(control) if control.len() > LARGE / 2 => return Ok((control, 0)),
            control => control,
        };
        let said = out.as_ref().map_or(0, |control| control.len());
        let most = LARGE - said - OVERHEAD * (RECORDS + 1);
        let count = plain.len().min(most).min(RECORDS * RECORD);
        let bytes = said + count + OVERHEAD * (count.div_ceil(RECORD) + 1);
        let mut out = match out.take() {
            Some(control) if control.headroom() + bytes <= control.capacity() => control,
            control => {
                let mut larger = self.records.lend(bytes)?;
                let control = control.as_ref().map(|control| control.filled());
                let _ = larger.append(control.unwrap_or_default());
                larger
            }
        };
        let incoming = at_hand(&mut self.incoming);
        let UnbufferedStatus { discard, state } = self.tls.process_tls_records(incoming);
        let sealed = match state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let piece = plain.get(..count).unwrap_or_default();
                traffic.encrypt(piece, out.spare_mut()).ok()
            }
            _ => None,
        };
        self.discard(discard);
        let Some(sealed) = sealed else {
            return Err(self.fail(TlsFault::Protocol));
        };
        out.added(sealed);
        Ok((out, count))
    }

    /// Says that nothing more comes from us; it has to leave then.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if self.run()? != Step::Ready {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let mut control = match self.control.take() {
            Some(control) => control,
            None => self.records.lend(SMALL)?,
        };
        let incoming = at_hand(&mut self.incoming);
        let UnbufferedStatus { discard, state } = self.tls.process_tls_records(incoming);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state
            && let Ok(count) = traffic.queue_close_notify(control.spare_mut())
        {
            control.added(count);
        }
        self.discard(discard);
        self.control = Some(control);
        Ok(())
    }

    /// Goes on until there is nothing more to do with what is at hand; plaintext is kept.
    fn run(&mut self) -> io::Result<Step> {
        loop {
            match self.step(None)? {
                Step::Again => {}
                step => return Ok(step),
            }
        }
    }

    /// One step. Plaintext goes into `into`, and what has no room there is kept.
    fn step(&mut self, mut into: Option<&mut Buffer>) -> io::Result<Step> {
        if self.fault.is_some() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let incoming = at_hand(&mut self.incoming);
        let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(incoming);
        let step = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                let mut kept = Ok(());
                while let Some(Ok(record)) = traffic.next_record() {
                    discard += record.discard;
                    let rest = put(record.payload, into.as_deref_mut());
                    kept = kept.and_then(|()| keep(&mut self.pending, rest, &self.records));
                }
                kept.map(|()| Step::Again).map_err(|_| TlsFault::Protocol)
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                let said = say(&mut self.control, &self.records, |out| data.encode(out));
                said.map(|()| Step::Again).map_err(|_| TlsFault::Protocol)
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Step::Again)
            }
            Ok(ConnectionState::PeerClosed) => {
                self.ended = true;
                Ok(Step::Again)
            }
            Ok(ConnectionState::Closed) => Ok(Step::Closed),
            Ok(ConnectionState::BlockedHandshake) => Ok(Step::Blocked),
            Ok(ConnectionState::WriteTraffic(_)) => Ok(Step::Ready),
            Ok(_) => Err(TlsFault::Protocol),
            Err(error) => Err(TlsFault::of(&error)),
        };
        self.discard(discard);
        step.map_err(|fault| self.fail(fault))
    }

    /// Notes what went wrong. What rustls wants the server to know of that is to leave.
    #[cold]
    fn fail(&mut self, fault: TlsFault) -> io::Error {
        self.fault = Some(fault);
        // Only then: what has failed must not be looked at again.
        while self.tls.wants_write() {
            let incoming = at_hand(&mut self.incoming);
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(incoming);
            let said = match state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    say(&mut self.control, &self.records, |out| data.encode(out)).is_ok()
                }
                _ => false,
            };
            self.discard(discard);
            if !said {
                break;
            }
        }
        io::ErrorKind::InvalidData.into()
    }

    fn discard(&mut self, bytes: usize) {
        let Some(incoming) = &mut self.incoming else {
            return;
        };
        incoming.consume(bytes);
        if incoming.is_empty() {
            self.incoming = None;
        }
    }

    /// Moves kept plaintext to where it is wanted.
    fn take_pending(&mut self, into: &mut Buffer) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        let count = pending.len().min(into.room());
        if into.append(pending.filled().get(..count).unwrap_or_default()) {
            pending.consume(count);
        }
        if pending.is_empty() {
            self.pending = None;
        }
    }

    /// The bytes of the record that comes next, sealed; 0 if its head is not at hand.
    fn next_record(&self) -> usize {
        let incoming = self.incoming.as_ref().map(|incoming| incoming.filled());
        match incoming.and_then(|incoming| incoming.get(..HEAD)) {
            Some([_, _, _, high, low]) => usize::from(u16::from_be_bytes([*high, *low])),
            _ => 0,
        }
    }
}

/// What has come and is not read yet.
fn at_hand(incoming: &mut Option<Lease>) -> &mut [u8] {
    incoming
        .as_mut()
        .map_or(&mut [], |incoming| incoming.filled_mut())
}

/// Puts what there is room for behind the filled part of `into`; gives back the rest.
fn put<'b>(bytes: &'b [u8], into: Option<&mut Buffer>) -> &'b [u8] {
    let Some(into) = into else { return bytes };
    let (now, rest) = bytes.split_at(bytes.len().min(into.room()));
    match into.append(now) {
        true => rest,
        false => bytes,
    }
}

/// Keeps plaintext that has no other place yet.
fn keep(pending: &mut Option<Lease>, bytes: &[u8], records: &Records) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut lease = match pending.take() {
        Some(lease) => lease,
        None => records.lend(LARGE)?,
    };
    let kept = lease.append(bytes);
    *pending = Some(lease);
    match kept {
        true => Ok(()),
        false => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

/// Has a record written behind what has to leave, in a larger buffer if need be.
fn say(
    control: &mut Option<Lease>,
    records: &Records,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> io::Result<()> {
    let mut lease = match control.take() {
        Some(lease) => lease,
        None => records.lend(SMALL)?,
    };
    let mut written = encode(lease.spare_mut());
    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = written {
        let mut larger = records.lend((lease.len() + required_size).max(SMALL + 1))?;
        let _ = larger.append(lease.filled());
        lease = larger;
        written = encode(lease.spare_mut());
    }
    let said = written.map(|count| lease.added(count));
    *control = Some(lease);
    said.map_err(|_| io::ErrorKind::OutOfMemory.into())
}

#[cfg(test)]
mod tests;
