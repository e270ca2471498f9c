//! Discover: resolves the names of servers and follows them as their TTL says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use tokio::task::JoinSet;

use super::names::Failed;
use crate::model::config::Dns;
use crate::table::{Change, Table};

/// How long the start waits for names; servers whose names come later are out until then.
const FIRST_WITHIN: Duration = Duration::from_secs(3);

/// The names that are followed.
pub(super) struct Discovery {
    resolver: Option<TokioResolver>,
    limits: Dns,
    followed: BTreeSet<String>,
    known: BTreeMap<String, Vec<IpAddr>>,
    asking: JoinSet<Answer>,
    failed: Rc<Failed>,
}

struct Answer {
    name: String,
    /// None when the name could not be resolved: what was known stays.
    addresses: Option<Vec<IpAddr>>,
    valid_until: Instant,
}

impl Discovery {
    pub(super) fn of(limits: &Dns, failed: Rc<Failed>) -> Self {
        let builder = TokioResolver::builder_tokio();
        let resolver = builder.and_then(|builder| builder.build());
        if let Err(error) = &resolver {
            tracing::warn!(message = "names cannot be resolved", %error);
        }
        Self {
            resolver: resolver.ok(),
            limits: *limits,
            followed: BTreeSet::new(),
            known: BTreeMap::new(),
            asking: JoinSet::new(),
            failed,
        }
    }

    /// Asks for every name in the table; gives what is known within a few seconds.
    pub(super) async fn first(&mut self, table: &Table) -> Vec<Change> {
        self.follow(table);
        let count = self.followed.len();
        let mut changes = Vec::new();
        let all = async {
            while changes.len() < count {
                changes.push(self.next().await);
            }
        };
        if tokio::time::timeout(FIRST_WITHIN, all).await.is_err() {
            tracing::warn!(message = "some server names are not resolved yet");
        }
        changes
    }

    /// Follows the names that are in `table`, and no others. Gives what is known of names that the
    /// table knows nothing of: it forgets them when no upstream uses them.
    pub(super) fn follow(&mut self, table: &Table) -> Vec<Change> {
        let mut followed = BTreeSet::new();
        let mut changes = Vec::new();
        for (name, addresses) in table.server_names() {
            followed.insert(name.to_owned());
            if !self.followed.contains(name) {
                self.ask(name.to_owned(), Duration::ZERO);
            } else if addresses.is_empty()
                && let Some(known) = self.known.get(name).filter(|known| !known.is_empty())
            {
                changes.push(Change::Resolve {
                    name: name.to_owned(),
                    addresses: known.clone(),
                });
            }
        }
        self.known.retain(|name, _| followed.contains(name));
        self.failed.keep(&followed);
        self.followed = followed;
        changes
    }

    /// Waits for the next change of addresses.
    pub(super) async fn next(&mut self) -> Change {
        loop {
            let Some(answered) = self.asking.join_next().await else {
                std::future::pending::<()>().await;
                continue;
            };
            let Ok(answer) = answered else { continue };
            if !self.followed.contains(&answer.name) {
                continue;
            }
            let wait = answer.valid_until.saturating_duration_since(Instant::now());
            self.ask(answer.name.clone(), wait);
            self.failed.note(&answer.name, answer.addresses.is_none());
            match answer.addresses {
                Some(addresses) if self.known.get(&answer.name) != Some(&addresses) => {
                    self.known.insert(answer.name.clone(), addresses.clone());
                    return Change::Resolve {
                        name: answer.name,
                        addresses,
                    };
                }
                _ => {}
            }
        }
    }

    fn ask(&mut self, name: String, wait: Duration) {
        let Some(resolver) = self.resolver.clone() else {
            self.failed.note(&name, true);
            return;
        };
        let least = Duration::from_millis(self.limits.min_ttl_ms);
        let most = Duration::from_millis(self.limits.max_ttl_ms.max(self.limits.min_ttl_ms));
        self.asking.spawn_local(async move {
            tokio::time::sleep(wait).await;
            match resolver.lookup_ip(name.as_str()).await {
                Ok(found) => {
                    let ttl = found
                        .valid_until()
                        .saturating_duration_since(Instant::now());
                    let mut addresses: Vec<IpAddr> = found.iter().collect();
                    addresses.sort_unstable();
                    let valid_until = Instant::now() + ttl.clamp(least, most);
                    Answer {
                        name,
                        addresses: Some(addresses),
                        valid_until,
                    }
                }
                Err(error) => {
                    tracing::warn!(message = "a server name cannot be resolved", name, %error);
                    Answer {
                        name,
                        addresses: None,
                        valid_until: Instant::now() + least,
                    }
                }
            }
        });
    }
}

impl std::fmt::Debug for Discovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(&self.known).finish()
    }
}
