//! Tunnel: after the server's 101, bytes as they come, both ways, until both sides have ended.

use std::cell::Cell;
use std::net::Shutdown;
use std::pin::pin;
use std::task::Poll;

use super::accept::Connection;
use super::answer::After;
use super::body::put_behind;
use super::core::Core;
use super::pool::Link;
use super::record::Entry;
use crate::net::{Deadline, Lease, Stream};

/// Both directions of a tunnel, which end together when nothing moves in either.
struct Tunnel<'a> {
    deadlines: [&'a Deadline; 2],
    idle_ms: u64,
}

impl Tunnel<'_> {
    /// Something moved.
    fn rearm(&self) {
        self.deadlines
            .iter()
            .for_each(|deadline| deadline.set(self.idle_ms));
    }

    /// Moves bytes one way until its sender ends; then the receiver is told.
    async fn one_way(&self, from: &Stream, to: &Stream, mut lease: Lease, bytes: &Cell<u64>) {
        loop {
            if !lease.is_empty() {
                bytes.set(bytes.get() + lease.len() as u64);
                let (sent, lent) = to.send(lease).await;
                lease = lent;
                if sent.is_err() {
                    from.shut(Shutdown::Read);
                    break;
                }
            }
            self.rearm();
            lease.reset(0);
            let (received, lent) = from.receive(lease).await;
            lease = lent;
            if !matches!(received, Ok(1..)) {
                to.finish().await;
                break;
            }
        }
    }
}

/// Serves a connection that has changed its protocol. `lease` begins with the composed 101.
pub(super) async fn tunnel(
    connection: &mut Connection,
    core: &Core,
    link: Box<Link>,
    lease: Lease,
    entry: &mut Entry<'_>,
) -> After {
    let Some(up) = connection.input.take().or_else(|| core.heads.lend()) else {
        return After::Abort;
    };
    // A lease made for one exchange is too large to be held for hours.
    let Some(mut down) = core.heads.lend() else {
        return After::Abort;
    };
    put_behind(&mut down, lease.filled());
    drop(lease);
    core.counters.tunnels.add(1);
    let tunnel = Tunnel {
        deadlines: [&connection.deadline, &link.deadline],
        idle_ms: core.snapshot().settings.timeouts.tunnel_idle_ms,
    };
    let (sent, received) = (Cell::new(0), Cell::new(0));
    {
        let mut upward = pin!(tunnel.one_way(&connection.stream, &link.stream, up, &received));
        let mut downward = pin!(tunnel.one_way(&link.stream, &connection.stream, down, &sent));
        let (mut up_done, mut down_done) = (false, false);
        std::future::poll_fn(|context| {
            up_done = up_done || upward.as_mut().poll(context).is_ready();
            down_done = down_done || downward.as_mut().poll(context).is_ready();
            if up_done && down_done {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
    core.counters.tunnels.sub(1);
    entry.received(received.get());
    entry.sent(sent.get());
    entry.passed(sent.get());
    entry.reason("tunnel");
    After::Close
}
