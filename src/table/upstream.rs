//! The upstreams of a table: their numbers, their servers, and the addresses of server names.
//!
//! An upstream has one number as long as it exists; a number is never given out twice. The
//! addresses of a server name are known to the registry, not to the upstream that first used it,
//! so they outlive a change of the upstream; they go with the last upstream that uses the name.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::error::CompileError;
use super::map::{Entry, Map};
use super::secure::Secure;
use super::seed::Seed;
use super::spread::Spread;
use crate::model;
use crate::model::upstream::{CircuitBreaker, HealthCheck, Outlier};
use crate::wire::hash;

/// The number of an upstream: small, and the same for one upstream as long as it exists.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UpstreamId(pub u32);

/// A group of servers, as a core uses it.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Its number.
    pub id: UpstreamId,
    /// Grows with each change of this upstream, its resolved addresses included.
    pub version: u64,
    /// Its name.
    pub name: Arc<str>,
    /// How requests are spread.
    pub spread: Spread,
    /// Who answers.
    pub servers: Vec<Server>,
    /// How they are spoken to over TLS, if they are.
    pub secure: Option<Arc<Secure>>,
    /// How servers are asked whether they are well.
    pub check: Option<HealthCheck>,
    /// By what share of failures servers are taken out.
    pub outlier: Option<Outlier>,
    /// The most servers, in percent, that are taken out for their failures.
    pub max_ejection_percent: u8,
    /// When requests are refused for a while.
    pub breaker: Option<CircuitBreaker>,
    /// Retries, in percent of the requests.
    pub retry_budget_percent: u8,
    /// Connections that each core keeps.
    pub pool: PoolLimits,
}

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// `host:port`, or the path of a unix socket.
    pub name: Arc<str>,
    /// Where it can be reached; none while its name is not resolved.
    pub endpoints: Vec<Endpoint>,
    /// Its number for cookies: the same wherever and whenever its name is.
    pub number: u64,
    /// Its share of the requests.
    pub weight: u32,
    /// Whether it serves only while no other server is up.
    pub backup: bool,
    /// Whether it has answered well when it was asked; so is one that nobody has asked.
    pub up: bool,
    /// Whether it gets no new clients.
    pub drain: bool,
    /// Requests in flight to it, at the most, per core.
    pub max_connections: u32,
    /// Failures in a row that take it out; 0 is never.
    pub max_fails: u32,
    /// For how many milliseconds.
    pub fail_timeout_ms: u32,
    /// The name that `endpoints` are resolved from, in lower case; none for an address.
    pub host: Option<Arc<str>>,
    /// Its TCP port; 0 for a unix socket.
    pub port: u16,
}

/// Where a server can be reached.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Endpoint {
    /// By TCP.
    Tcp(SocketAddr),
    /// By a unix stream socket.
    Unix(PathBuf),
}

/// Connections to the servers of an upstream that each core keeps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PoolLimits {
    /// Connections to all servers.
    pub max_connections: u32,
    /// Of these, how many may be idle.
    pub max_idle: u32,
    /// An idle connection is closed after this many milliseconds.
    pub idle_timeout_ms: u32,
    /// How long opening a connection may take, in milliseconds, unless the route says less.
    pub connect_timeout_ms: u32,
}

/// All upstreams of a table.
#[derive(Clone)]
pub(super) struct Upstreams {
    seed: Seed,
    by_id: Map<Arc<Upstream>>,
    names: Map<Arc<Named>>,
    resolutions: Map<Arc<Resolution>>,
    next: u32,
    count: usize,
}

/// The number of a name, and how many routes use it.
#[derive(Clone)]
struct Named {
    name: Arc<str>,
    id: UpstreamId,
    routes: u32,
}

/// The addresses of a server name, and the upstreams that use it.
#[derive(Clone)]
struct Resolution {
    name: Arc<str>,
    addresses: Arc<[IpAddr]>,
    users: Vec<UpstreamId>,
}

// === impl Upstreams ===

impl Upstreams {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            seed,
            by_id: Map::new(),
            names: Map::new(),
            resolutions: Map::new(),
            next: 0,
            count: 0,
        }
    }

    /// Adds `declared`, or puts it in the place of the one with its name.
    pub(super) fn put(&mut self, declared: &model::Upstream) -> Result<(), CompileError> {
        let name = declared.name.as_str();
        let before = self.id(name).and_then(|id| self.get(id)).cloned();
        let id = match &before {
            Some(before) => before.id,
            None => self.give_id(name)?,
        };
        let mut servers = self.servers(declared)?;
        if let Some(before) = before.as_ref().filter(|_| declared.health_check.is_some()) {
            for server in &mut servers {
                let known = before
                    .servers
                    .iter()
                    .find(|known| known.name == server.name);
                server.up = known.is_none_or(|known| known.up);
            }
        }
        let mut after = Upstream {
            id,
            version: before.as_ref().map_or(0, |before| before.version),
            name: name.into(),
            spread: Spread::of(declared, &servers),
            servers,
            secure: Secure::of(declared)?,
            check: declared.health_check.clone(),
            outlier: declared.outlier,
            max_ejection_percent: declared.max_ejection_percent,
            breaker: declared.circuit_breaker,
            retry_budget_percent: declared.retry_budget_percent,
            pool: PoolLimits::of(&declared.connection_pool),
        };
        if before.as_deref() == Some(&after) {
            return Ok(());
        }
        after.version += 1;
        if let Some(before) = &before {
            self.release_names(before);
        } else {
            let named = Named {
                name: after.name.clone(),
                id,
                routes: 0,
            };
            self.names
                .insert(self.seed.hash(name.as_bytes()), Arc::new(named));
            self.next += 1;
            self.count += 1;
        }
        self.use_names(&after, before.as_deref());
        self.by_id.insert(id.0, Arc::new(after));
        Ok(())
    }

    /// Takes out the upstream `name`; nothing happens if there is none.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), CompileError> {
        let hash = self.seed.hash(name.as_bytes());
        let Some(named) = self.names.get(hash, name) else {
            return Ok(());
        };
        if named.routes > 0 {
            let routes = named.routes;
            return Err(CompileError::UpstreamInUse {
                upstream: name.into(),
                routes,
            });
        }
        let id = named.id;
        self.names.remove(hash, name);
        if let Some(upstream) = self.by_id.remove(id.0, &id) {
            self.release_names(&upstream);
            self.forget_unused(&upstream);
            self.count -= 1;
        }
        Ok(())
    }

    /// Sets the addresses of a server name; nothing happens if no upstream uses it.
    pub(super) fn resolve(&mut self, name: &str, addresses: &[IpAddr]) {
        let name = name.to_ascii_lowercase();
        let hash = self.seed.hash(name.as_bytes());
        let Some(known) = self.resolutions.get(hash, name.as_str()) else {
            return;
        };
        if *known.addresses == *addresses {
            return;
        }
        let users = known.users.clone();
        self.resolutions.edit(hash, name.as_str(), |resolution| {
            resolution.addresses = addresses.into();
            true
        });
        for id in users {
            self.by_id.edit(id.0, &id, |upstream| {
                upstream.version += 1;
                let servers = upstream.servers.iter_mut();
                for server in servers.filter(|server| server.host.as_deref() == Some(&name)) {
                    server.endpoints = endpoints(addresses, server.port);
                }
                true
            });
        }
    }

    /// Notes whether a server is well; nothing happens if it is gone, or is not asked any more.
    pub(super) fn set_health(&mut self, upstream: &str, server: &str, up: bool) {
        let Some(id) = self.id(upstream) else { return };
        self.by_id.edit(id.0, &id, |upstream| {
            if upstream.check.is_none() {
                return true;
            }
            let servers = upstream.servers.iter_mut();
            for known in servers.filter(|known| *known.name == *server && known.up != up) {
                known.up = up;
                upstream.version += 1;
            }
            true
        });
    }

    /// Takes over what the files of an upstream's TLS hold now.
    pub(super) fn set_secure(&mut self, upstream: &str, secure: &Arc<Secure>) {
        let Some(id) = self.id(upstream) else { return };
        self.by_id.edit(id.0, &id, |upstream| {
            let known = upstream.secure.as_ref();
            if known.is_some_and(|known| known.says_as(secure) && known != secure) {
                upstream.secure = Some(secure.clone());
                upstream.version += 1;
            }
            true
        });
    }

    /// Notes that so many more routes use `id`, or less.
    pub(super) fn count_routes(&mut self, id: UpstreamId, more: i32) {
        let Some(name) = self.get(id).map(|upstream| upstream.name.clone()) else {
            return;
        };
        self.names
            .edit(self.seed.hash(name.as_bytes()), &name, |named| {
                named.routes = named.routes.saturating_add_signed(more);
                true
            });
    }

    /// Notes that no route uses any upstream.
    pub(super) fn forget_routes(&mut self) {
        let used = self.names.iter().filter(|named| named.routes > 0);
        let used = used.map(|named| named.name.clone()).collect::<Vec<_>>();
        for name in used {
            self.names
                .edit(self.seed.hash(name.as_bytes()), &name, |named| {
                    named.routes = 0;
                    true
                });
        }
    }

    #[inline]
    pub(super) fn get(&self, id: UpstreamId) -> Option<&Arc<Upstream>> {
        self.by_id.get(id.0, &id)
    }

    pub(super) fn id(&self, name: &str) -> Option<UpstreamId> {
        self.names
            .get(self.seed.hash(name.as_bytes()), name)
            .map(|named| named.id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.by_id.iter()
    }

    /// The server names in use, and the addresses known of them.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &[IpAddr])> {
        let resolutions = self.resolutions.iter();
        resolutions.map(|resolution| (&*resolution.name, &*resolution.addresses))
    }

    /// The addresses known of a server name.
    pub(super) fn addresses(&self, name: &str) -> &[IpAddr] {
        let resolution = self.resolutions.get(self.seed.hash(name.as_bytes()), name);
        resolution.map_or(&[], |resolution| &resolution.addresses)
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn give_id(&self, name: &str) -> Result<UpstreamId, CompileError> {
        if self.next == u32::MAX {
            return Err(CompileError::TooManyUpstreams {
                upstream: name.into(),
            });
        }
        Ok(UpstreamId(self.next))
    }

    fn servers(&self, declared: &model::Upstream) -> Result<Vec<Server>, CompileError> {
        let servers = declared.servers.iter().enumerate();
        let servers = servers.map(|(index, server)| {
            let upstream = || declared.name.clone();
            self.server(server).ok_or_else(|| CompileError::Server {
                upstream: upstream(),
                index,
            })
        });
        servers.collect()
    }

    fn server(&self, declared: &model::upstream::Server) -> Option<Server> {
        let server = |name: String, endpoints| Server {
            number: hash::of(name.as_bytes()),
            name: name.into(),
            endpoints,
            weight: u32::from(declared.weight),
            backup: declared.backup,
            up: true,
            drain: declared.drain,
            max_connections: declared.max_connections.unwrap_or(u32::MAX),
            max_fails: declared.max_fails,
            fail_timeout_ms: u32::try_from(declared.fail_timeout_ms).unwrap_or(u32::MAX),
            host: None,
            port: declared.port.unwrap_or(0),
        };
        match (&declared.address, declared.port, &declared.unix) {
            (None, None, Some(path)) => Some(server(
                path.to_string_lossy().into_owned(),
                vec![Endpoint::Unix(path.clone())],
            )),
            (Some(address), Some(port), None) => {
                let bare = address
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'));
                if let Ok(ip) = bare.unwrap_or(address).parse() {
                    let socket = SocketAddr::new(ip, port);
                    return Some(server(socket.to_string(), vec![Endpoint::Tcp(socket)]));
                }
                let host = address.to_ascii_lowercase();
                let known = self
                    .resolutions
                    .get(self.seed.hash(host.as_bytes()), host.as_str());
                let known = known.map_or_else(Vec::new, |known| endpoints(&known.addresses, port));
                Some(Server {
                    host: Some(host.as_str().into()),
                    ..server(format!("{host}:{port}"), known)
                })
            }
            _ => None,
        }
    }

    /// Notes that `after` uses the names of its servers; forgets those that only `before` used.
    fn use_names(&mut self, after: &Upstream, before: Option<&Upstream>) {
        for host in after.hosts() {
            let hash = self.seed.hash(host.as_bytes());
            if self.resolutions.get(hash, host).is_none() {
                let name = host.clone();
                let new = Resolution {
                    name,
                    addresses: Arc::default(),
                    users: Vec::new(),
                };
                self.resolutions.insert(hash, Arc::new(new));
            }
            self.resolutions.edit(hash, host, |resolution| {
                // An upstream's own entries follow each other: it was released before.
                if resolution.users.last() != Some(&after.id) {
                    resolution.users.push(after.id);
                }
                true
            });
        }
        if let Some(before) = before {
            self.forget_unused(before);
        }
    }

    fn release_names(&mut self, upstream: &Upstream) {
        for host in upstream.hosts() {
            self.resolutions
                .edit(self.seed.hash(host.as_bytes()), host, |resolution| {
                    resolution.users.retain(|user| *user != upstream.id);
                    true
                });
        }
    }

    fn forget_unused(&mut self, upstream: &Upstream) {
        for host in upstream.hosts() {
            self.resolutions
                .edit(self.seed.hash(host.as_bytes()), host, |resolution| {
                    !resolution.users.is_empty()
                });
        }
    }
}

// === impl Upstream ===

impl Upstream {
    fn hosts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.servers
            .iter()
            .filter_map(|server| server.host.as_ref())
    }
}

impl Entry for Upstream {
    type Key = UpstreamId;

    fn key(&self) -> &UpstreamId {
        &self.id
    }
}

impl Entry for Named {
    type Key = str;

    fn key(&self) -> &str {
        &self.name
    }
}

impl Entry for Resolution {
    type Key = str;

    fn key(&self) -> &str {
        &self.name
    }
}

// === impl PoolLimits ===

impl PoolLimits {
    fn of(declared: &model::upstream::ConnectionPool) -> Self {
        let clamp = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
        Self {
            max_connections: declared.max_connections,
            max_idle: declared.max_idle,
            idle_timeout_ms: clamp(declared.idle_timeout_ms),
            connect_timeout_ms: clamp(declared.connect_timeout_ms),
        }
    }
}

fn endpoints(addresses: &[IpAddr], port: u16) -> Vec<Endpoint> {
    let sockets = addresses
        .iter()
        .map(|address| SocketAddr::new(*address, port));
    sockets.map(Endpoint::Tcp).collect()
}
