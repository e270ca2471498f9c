//! The relay on Ringway's `net`: stock monoio on io_uring, two tasks per pair.

use std::io;
use std::net::Shutdown;
use std::rc::Rc;

use ringway::net::{self, BufferPool, DriverChoice, Listener, Stream};

use super::{BACKLOG, BUFFER_BYTES, Orders};

const RESTING: usize = 1024;

/// Relays until the listener is gone.
pub(super) fn run(orders: Orders) -> io::Result<()> {
    let (driver, _) = net::probe(DriverChoice::IoUring).map_err(io::Error::other)?;
    let socket = net::bind(orders.listen, BACKLOG.unsigned_abs(), driver)?;
    net::run(driver, async move {
        let listener = Rc::new(Listener::adopt(socket)?);
        let buffers = BufferPool::new(BUFFER_BYTES, RESTING, usize::MAX);
        for _ in 1..driver.accepts_at_once() {
            net::spawn(accept(listener.clone(), orders, buffers.clone()));
        }
        accept(listener, orders, buffers).await;
        Ok(())
    })?
}

async fn accept(listener: Rc<Listener>, orders: Orders, buffers: Rc<BufferPool>) {
    while let Ok((client, _)) = listener.accept().await {
        net::spawn(join(client, orders, buffers.clone()));
    }
}

/// Opens the other connection of the pair, and relays both ways.
async fn join(client: Stream, orders: Orders, buffers: Rc<BufferPool>) {
    let Ok(backend) = net::connect_tcp(orders.backend).await else {
        return;
    };
    let pair = Rc::new((client, backend));
    let back = (pair.clone(), buffers.clone());
    net::spawn(async move {
        let (pair, buffers) = back;
        relay(&pair.1, &pair.0, orders, &buffers).await;
    });
    relay(&pair.0, &pair.1, orders, &buffers).await;
}

/// Moves what comes from `near` to `far`; ends both when one is at its end.
async fn relay(near: &Stream, far: &Stream, orders: Orders, buffers: &Rc<BufferPool>) {
    let Some(mut buffer) = buffers.lend() else {
        return;
    };
    loop {
        let (received, lent) = near.receive(buffer).await;
        buffer = lent;
        if !matches!(received, Ok(1..)) {
            break;
        }
        orders.be_busy();
        let (sent, lent) = far.send(buffer).await;
        buffer = lent;
        if sent.is_err() {
            break;
        }
        buffer.reset(0);
    }
    near.shut(Shutdown::Both);
    far.shut(Shutdown::Both);
}
