//! Connect: a kept connection to the server, or a new one.

use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::fault::Fault;
use super::pick::Picked;
use super::pool::{Link, Pool};
use crate::net::{self, Stream};
use crate::table::Endpoint;

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
    let (endpoints, pool_limit_ms) = {
        let declared = pool.declared.borrow();
        let server = declared.servers.get(picked.index);
        let endpoints = server
            .map(|server| server.endpoints.clone())
            .unwrap_or_default();
        (endpoints, u64::from(declared.pool.connect_timeout_ms))
    };
    let limit = Duration::from_millis(limit_ms.min(pool_limit_ms));
    let mut fault = Fault::NoServer;
    for endpoint in &endpoints {
        match net::within(limit, Box::pin(reach(endpoint))).await {
            Some(Ok(stream)) => {
                core.counters.upstream_connects.add(1);
                let stream = Rc::new(stream);
                let deadline = core.deadlines.watch(stream.clone());
                return Ok(Connected {
                    link: Box::new(Link::new(stream, deadline, place)),
                    reused: false,
                });
            }
            Some(Err(_)) => fault = Fault::Unreachable,
            None => fault = Fault::ConnectTimeout,
        }
        core.counters.upstream_connect_failures.add(1);
    }
    Err(fault)
}

async fn reach(endpoint: &Endpoint) -> std::io::Result<Stream> {
    match endpoint {
        Endpoint::Tcp(address) => net::connect_tcp(*address).await,
        Endpoint::Unix(path) => net::connect_unix(path).await,
    }
}
