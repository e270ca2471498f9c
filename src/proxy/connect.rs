//! Connect: a kept connection to the server, or a new one.

use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::fault::Fault;
use super::pick::Picked;
use super::pool::{Link, Pool};
use crate::net::{self, Stream};
use crate::table::{Endpoint, Peer, Secure};

/// A connection that a request may use.
pub(super) struct Connected {
    pub(super) link: Box<Link>,
    /// Whether it has served a request before: then the server may have closed it meanwhile.
    pub(super) reused: bool,
}

/// A kept connection is looked at before use if it rested longer than this many ticks.
const TRUSTED_TICKS: u64 = 2;

/// A kept connection to the picked server.
///
/// `repeatable` says that a request which meets a closed connection can be sent again, so that the
/// look at it can be saved while it is hot.
pub(super) fn kept(
    core: &Core,
    pool: &Pool,
    picked: &Picked,
    repeatable: bool,
) -> Option<Connected> {
    while let Some((link, since)) = pool.kept(&picked.server) {
        let age = core.deadlines.now().saturating_sub(since);
        if (repeatable && age <= TRUSTED_TICKS) || link.stream.is_quiet() {
            core.counters.upstream_reuses.add(1);
            return Some(Connected { link, reused: true });
        }
    }
    None
}

/// Opens a new connection to the picked server.
#[cold]
pub(super) async fn open(
    core: &Core,
    pool: &Rc<Pool>,
    picked: &Picked,
    limit_ms: u64,
) -> Result<Connected, Fault> {
    let place = match pool.place() {
        Some(place) => place,
        None if pool.make_room() => pool.place().ok_or(Fault::PoolFull)?,
        None => return Err(Fault::PoolFull),
    };
    let (endpoints, secure, pool_limit_ms) = {
        let declared = pool.declared.borrow();
        let server = declared.servers.get(picked.index);
        let endpoints = server
            .map(|server| server.endpoints.clone())
            .unwrap_or_default();
        let pool_limit_ms = u64::from(declared.pool.connect_timeout_ms);
        (endpoints, declared.secure.clone(), pool_limit_ms)
    };
    let secure = secure.as_deref().map(|secure| (secure, picked.index));
    let limit = Duration::from_millis(limit_ms.min(pool_limit_ms));
    let mut fault = Fault::NoServer;
    for endpoint in &endpoints {
        match net::within(limit, Box::pin(reach(core, endpoint, secure))).await {
            Some(Ok(stream)) => {
                core.counters.upstream_connects.add(1);
                let stream = Rc::new(stream);
                let deadline = core.deadlines.watch(stream.clone());
                return Ok(Connected {
                    link: Box::new(Link::new(stream, deadline, place)),
                    reused: false,
                });
            }
            Some(Err(reason)) => fault = reason,
            None => fault = Fault::ConnectTimeout,
        }
        core.counters.upstream_connect_failures.add(1);
    }
    Err(fault)
}

/// A stream to `endpoint`, under TLS if that is said, to the server of that number.
async fn reach(
    core: &Core,
    endpoint: &Endpoint,
    secure: Option<(&Secure, usize)>,
) -> Result<Stream, Fault> {
    let stream = match endpoint {
        Endpoint::Tcp(address) => net::connect_tcp(*address).await,
        Endpoint::Unix(path) => net::connect_unix(path).await,
    };
    let stream = stream.map_err(|_| Fault::Unreachable)?;
    let Some((secure, index)) = secure else {
        return Ok(stream);
    };
    let Peer { config, name } = secure.peer(index).ok_or(Fault::NoServer)?;
    let shaken = net::shake_hands(stream, config, name, &core.records).await?;
    core.counters.upstream_handshakes.add(1);
    if shaken.resumed {
        core.counters.upstream_resumptions.add(1);
    }
    Ok(shaken.stream)
}
