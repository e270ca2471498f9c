//! How an upstream spreads its requests, as a core uses it.

use std::sync::Arc;

use super::maglev::Maglev;
use super::upstream::Server;
use crate::model;
use crate::model::upstream::{AllDown, HashBy, LoadBalancer};

/// How an upstream spreads its requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// How a server is picked.
    pub balancer: LoadBalancer,
    /// The table of `consistent_hash`.
    pub maglev: Option<Arc<Maglev>>,
    /// The key of a request, for balancers that have one.
    pub key: Option<Key>,
    /// The most requests in flight of one server, in percent of the mean; 0 is no bound.
    pub load_bound_percent: u32,
    /// The cookie that keeps a client with its server.
    pub sticky: Option<Sticky>,
    /// How long a server takes to its full share, in milliseconds.
    pub slow_start_ms: u32,
    /// Requests that may wait for a server.
    pub queue: Option<Queue>,
    /// What to do when every server is out.
    pub all_down: AllDown,
    /// Whether some servers are backups of the others.
    pub has_backups: bool,
}

/// What of a request is its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Key {
    /// The client's address.
    Client,
    /// The first field of this name.
    Header(Box<str>),
    /// The cookie of this name.
    Cookie(Box<str>),
    /// The query parameter of this name.
    Query(Box<str>),
    /// The path.
    Path,
}

/// A cookie that keeps a client with its server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sticky {
    /// Its name.
    pub cookie: Box<str>,
    /// What follows its value: `; Path=/; HttpOnly` and so on.
    pub attributes: Box<str>,
}

/// Requests that may wait for a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Queue {
    /// How many.
    pub max_requests: u32,
    /// How long each, in milliseconds.
    pub timeout_ms: u32,
}

// === impl Spread ===

impl Spread {
    /// What `declared` says, whose servers are `servers`.
    pub(super) fn of(declared: &model::Upstream, servers: &[Server]) -> Self {
        let hash = declared.hash.as_ref();
        let key = match declared.load_balancer {
            LoadBalancer::IpHash => Some(Key::Client),
            LoadBalancer::ConsistentHash => Some(hash.map_or(Key::Client, Key::of)),
            _ => None,
        };
        let hashed = declared.load_balancer == LoadBalancer::ConsistentHash;
        Self {
            balancer: declared.load_balancer,
            maglev: hashed.then(|| maglev(servers)).flatten(),
            key,
            load_bound_percent: hash
                .filter(|_| hashed)
                .and_then(|hash| hash.load_bound_percent)
                .unwrap_or(0),
            sticky: declared.sticky.as_ref().map(Sticky::of),
            slow_start_ms: clamp(declared.slow_start_ms),
            queue: declared.queue.map(|queue| Queue {
                max_requests: queue.max_requests,
                timeout_ms: clamp(queue.timeout_ms),
            }),
            all_down: declared.all_down,
            has_backups: servers.iter().any(|server| server.backup),
        }
    }

    /// Whether the choice depends on the request.
    #[inline]
    pub fn looks_at_requests(&self) -> bool {
        self.key.is_some() || self.sticky.is_some()
    }

    /// In words, for `explain`.
    pub fn describe(&self) -> String {
        let mut text = match self.balancer {
            LoadBalancer::RoundRobin => "round robin",
            LoadBalancer::WeightedRoundRobin => "smooth weighted round robin",
            LoadBalancer::LeastConn => "the fewest requests in flight",
            LoadBalancer::PeakEwma => "the sooner of two (peak EWMA)",
            LoadBalancer::Random => "at random",
            LoadBalancer::IpHash => "the hash of the client's address",
            LoadBalancer::ConsistentHash => "the consistent hash",
        }
        .to_owned();
        if self.balancer == LoadBalancer::ConsistentHash {
            text.push_str(&match &self.key {
                Some(Key::Header(name)) => format!(" of the field {name}"),
                Some(Key::Cookie(name)) => format!(" of the cookie {name}"),
                Some(Key::Query(name)) => format!(" of the parameter {name}"),
                Some(Key::Path) => " of the path".to_owned(),
                _ => " of the client's address".to_owned(),
            });
        }
        if let Some(sticky) = &self.sticky {
            text.push_str(&format!(", kept by the cookie {}", sticky.cookie));
        }
        text
    }
}

fn maglev(servers: &[Server]) -> Option<Arc<Maglev>> {
    // Only if there is no other do backups serve, and then they are all there is.
    let all = servers.iter().all(|server| server.backup);
    let listed = servers.iter().enumerate();
    let listed = listed.filter(|(_, server)| all || !server.backup);
    Maglev::of(listed.map(|(index, server)| (index, &*server.name, server.weight))).map(Arc::new)
}

fn clamp(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}

// === impl Key ===

impl Key {
    fn of(declared: &model::upstream::Hash) -> Self {
        let name = || declared.name.as_deref().unwrap_or_default().into();
        match declared.by {
            HashBy::Client => Self::Client,
            HashBy::Header => Self::Header(name()),
            HashBy::Cookie => Self::Cookie(name()),
            HashBy::Query => Self::Query(name()),
            HashBy::Path => Self::Path,
        }
    }
}

// === impl Sticky ===

impl Sticky {
    fn of(declared: &model::upstream::Sticky) -> Self {
        let mut attributes = "; Path=/; HttpOnly; SameSite=Lax".to_owned();
        if let Some(seconds) = declared.max_age_s {
            attributes.push_str(&format!("; Max-Age={seconds}"));
        }
        if declared.secure {
            attributes.push_str("; Secure");
        }
        Self {
            cookie: declared.cookie.as_str().into(),
            attributes: attributes.into(),
        }
    }
}
