//! A stream under TLS: the handshake, and receiving and sending at the same time.
//!
//! Each direction has a task of its own, made once with the stream, which does one job after the
//! other: so nothing is allocated per job, and what is under way stays where it is. It runs only
//! while somebody waits for the job. Both tasks look at the session between their waits only.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::buffer::Lease;
use super::records::Records;
use super::session::{Session, TlsFault};
use super::stream::{Done, Socket, Stream};

/// Receives that are looked through to find out whether a kept connection is quiet. What TLS has to
/// say after a handshake, a few tickets, is far less.
const LOOKS_MAX: usize = 4;

/// The state of a stream under TLS.
pub(super) struct Secure {
    shared: Rc<Shared>,
    receiving: Lane,
    sending: Lane,
}

struct Shared {
    socket: Socket,
    session: RefCell<Session>,
}

/// One direction.
pub(super) struct Lane {
    desk: Rc<Desk>,
    task: RefCell<Pin<Box<dyn Future<Output = ()>>>>,
}

/// Where a job is put for the task of its direction, and its result for whoever waits.
#[derive(Default)]
struct Desk {
    asked: Cell<Option<Lease>>,
    done: Cell<Option<Done>>,
    /// Whether a job is under way.
    busy: Cell<bool>,
}

/// A handshake that was done.
#[derive(Debug)]
pub struct Shaken {
    /// The stream.
    pub stream: Stream,
    /// Whether it goes on with what was agreed on an earlier one.
    pub resumed: bool,
}

/// Speaks TLS over a connected stream from now on, as a client; `name` is who the server must be.
///
/// # Errors
/// What went wrong. An end of the connection is none of TLS's ends.
pub async fn shake_hands(
    stream: Stream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    records: &Rc<Records>,
) -> Result<Shaken, TlsFault> {
    let Some(socket) = stream.into_socket() else {
        return Err(TlsFault::Protocol);
    };
    let session = RefCell::new(Session::new(config, name, records)?);
    let shared = Rc::new(Shared { socket, session });
    if shared.shake().await.is_err() {
        shared.send_what_waits();
        let fault = shared.session.borrow().fault();
        return Err(fault.unwrap_or(TlsFault::Protocol));
    }
    let resumed = shared.session.borrow().is_resumed();
    let secure = Secure {
        receiving: Lane::new(|desk| receive_all(shared.clone(), desk)),
        sending: Lane::new(|desk| send_all(shared.clone(), desk)),
        shared,
    };
    Ok(Shaken {
        stream: Stream::of_secure(secure),
        resumed,
    })
}

async fn receive_all(shared: Rc<Shared>, desk: Rc<Desk>) {
    loop {
        let mut lease = desk.next().await;
        let received = shared.receive(&mut lease).await;
        desk.done.set(Some((received, lease)));
    }
}

async fn send_all(shared: Rc<Shared>, desk: Rc<Desk>) {
    loop {
        let lease = desk.next().await;
        let sent = shared.send(&lease).await;
        desk.done.set(Some((sent, lease)));
    }
}

impl Secure {
    pub(super) fn socket(&self) -> &Socket {
        &self.shared.socket
    }

    /// Begins to receive plaintext behind the filled part of `buffer`.
    pub(super) fn receive(&self, buffer: Lease) -> &Lane {
        self.receiving.ask(buffer)
    }

    /// Begins to send the filled part of `buffer`, or as much as is sealed at once.
    pub(super) fn send_once(&self, buffer: Lease) -> &Lane {
        self.sending.ask(buffer)
    }

    /// Says that nothing more comes from us.
    pub(super) async fn finish(&self) {
        if self.shared.session.borrow_mut().end().is_ok() {
            let control = self.shared.session.borrow_mut().take_control();
            if let Some(control) = control {
                let _ = self.shared.write_all(control).await;
            }
        }
    }

    /// Whether nothing lies here or comes in but what TLS has to say to itself.
    pub(super) fn is_quiet(&self) -> bool {
        self.shared.is_quiet().unwrap_or(false)
    }

    /// What went wrong, if something did.
    pub(super) fn fault(&self) -> Option<TlsFault> {
        self.shared.session.borrow().fault()
    }
}

impl Drop for Secure {
    /// Takes leave as RFC 8446 §6.1 asks for, if that can be done at once.
    fn drop(&mut self) {
        if !self.sending.desk.busy.get() && self.shared.session.borrow_mut().end().is_ok() {
            self.shared.send_what_waits();
        }
    }
}

impl Shared {
    async fn shake(&self) -> io::Result<()> {
        while !self.session.borrow_mut().shake()? {
            let control = self.session.borrow_mut().take_control();
            if let Some(control) = control {
                self.write_all(control).await?;
            }
            self.receive_more().await?;
        }
        Ok(())
    }

    async fn receive(&self, into: &mut Lease) -> io::Result<usize> {
        if into.room() == 0 {
            return Ok(0);
        }
        loop {
            {
                let mut session = self.session.borrow_mut();
                let opened = session.open(into);
                if opened.is_err() {
                    drop(session);
                    self.send_what_waits();
                    return opened;
                }
                if session.has_ended() || matches!(opened, Ok(1..)) {
                    return opened;
                }
            }
            self.receive_more().await?;
        }
    }

    /// Receives ciphertext; an end is an error, as the server has not said that it would end.
    async fn receive_more(&self) -> io::Result<()> {
        let room = self.session.borrow().room()?;
        let (received, lease) = self.socket.receive(room).await;
        match received? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => self.session.borrow_mut().arrived(lease),
        }
    }

    async fn send(&self, plain: &Lease) -> io::Result<usize> {
        loop {
            let (sealed, count) = self.session.borrow_mut().seal(plain.filled())?;
            self.write_all(sealed).await?;
            if count > 0 || plain.is_empty() {
                return Ok(count);
            }
        }
    }

    async fn write_all(&self, mut sealed: Lease) -> io::Result<()> {
        while !sealed.is_empty() {
            let (sent, lent) = self.socket.send_once(sealed).await;
            sealed = lent;
            match sent? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => sealed.advance(count),
            }
        }
        Ok(())
    }

    /// Sends an alert, if there is room for it; nobody waits for that.
    #[cold]
    fn send_what_waits(&self) {
        let Some(control) = self.session.borrow_mut().take_control() else {
            return;
        };
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let _ = rustix::net::send(&self.socket, control.filled(), flags);
    }

    fn is_quiet(&self) -> io::Result<bool> {
        let mut session = self.session.borrow_mut();
        for _ in 0..LOOKS_MAX {
            if !session.is_quiet() {
                return Ok(false);
            }
            let mut lease = session.room()?;
            match rustix::net::recv(&self.socket, lease.spare_mut(), RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN) => return Ok(true),
                Ok((1.., count)) => lease.added(count),
                Ok(_) | Err(_) => return Ok(false),
            }
            session.arrived(lease)?;
        }
        Ok(false)
    }
}

impl Lane {
    fn new<T>(task: impl FnOnce(Rc<Desk>) -> T) -> Self
    where
        T: Future<Output = ()> + 'static,
    {
        let desk = Rc::<Desk>::default();
        Self {
            task: RefCell::new(Box::pin(task(desk.clone()))),
            desk,
        }
    }

    fn ask(&self, lease: Lease) -> &Self {
        self.desk.asked.set(Some(lease));
        self.desk.busy.set(true);
        self
    }

    /// Goes on with the job; ready with its result.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Done> {
        let _ = self.task.borrow_mut().as_mut().poll(context);
        match self.desk.done.take() {
            Some(done) => {
                self.desk.busy.set(false);
                Poll::Ready(done)
            }
            None => Poll::Pending,
        }
    }
}

impl Desk {
    /// Waits for a job. Nobody has to be woken: who puts one there looks after it.
    async fn next(&self) -> Lease {
        poll_fn(|_| match self.asked.take() {
            Some(lease) => Poll::Ready(lease),
            None => Poll::Pending,
        })
        .await
    }
}
