//! Names: an answer about an upstream waits until the names of its servers have been looked up, so
//! that the next request finds them. It does not wait for ever: a name that cannot be resolved is
//! in the answer, and is asked for again as long as the upstream uses it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::commit::Done;
use super::core::Core;
use super::entity::Kind;

/// The longest that an answer waits for names.
const NAMES_WITHIN: Duration = Duration::from_secs(5);

/// The names that could not be resolved when they were last asked for.
pub(super) struct Failed {
    names: RefCell<BTreeSet<String>>,
    changed: watch::Sender<()>,
}

impl Default for Failed {
    fn default() -> Self {
        Self {
            names: RefCell::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Failed {
    /// Notes how the last question for a name went.
    pub(super) fn note(&self, name: &str, failed: bool) {
        let mut names = self.names.borrow_mut();
        if failed {
            names.insert(name.to_owned());
        } else {
            names.remove(name);
        }
        drop(names);
        self.changed.send_replace(());
    }

    /// Forgets all names but these.
    pub(super) fn keep(&self, followed: &BTreeSet<String>) {
        self.names
            .borrow_mut()
            .retain(|name| followed.contains(name));
    }
}

/// Waits for the names of the upstreams that `done` has changed; gives the epoch by which they are
/// known, and those that are not.
pub(super) async fn looked_up(core: &Core, done: &Done, within: Duration) -> (u64, Vec<String>) {
    let names = names_of(core, done);
    if names.is_empty() {
        return (done.epoch, Vec::new());
    }
    let until = Instant::now() + within.min(NAMES_WITHIN);
    let mut newest = core.newest.subscribe();
    let mut failures = core.failed.changed.subscribe();
    loop {
        newest.mark_unchanged();
        failures.mark_unchanged();
        let unknown: Vec<String> = names
            .iter()
            .filter(|name| {
                core.state
                    .borrow()
                    .snapshot
                    .table
                    .addresses(name)
                    .is_empty()
            })
            .map(|name| name.to_string())
            .collect();
        let failed = |name: &String| core.failed.names.borrow().contains(name);
        if unknown.iter().all(failed) {
            return (core.epoch(), unknown);
        }
        let more = async {
            tokio::select! {
                _ = newest.changed() => {}
                _ = failures.changed() => {}
            }
        };
        if timeout_at(until, more).await.is_err() {
            return (core.epoch(), unknown);
        }
    }
}

/// The names of the servers of the upstreams that `done` has changed.
fn names_of(core: &Core, done: &Done) -> BTreeSet<Arc<str>> {
    let state = core.state.borrow();
    let table = &state.snapshot.table;
    let changed = done.differences.iter();
    let changed = changed.filter(|change| change.kind == Kind::Upstream);
    changed
        .filter_map(|change| table.upstream(table.upstream_id(&change.id)?))
        .flat_map(|upstream| upstream.servers.iter())
        .filter_map(|server| server.host.clone())
        .collect()
}
