//! Certificates: follows the files that upstreams name for TLS.
//!
//! Files that hold something else are a change of the table and so an epoch: from then on no
//! connection is used that was opened with what they held before. What cannot be used changes
//! nothing, and is said once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::table::{Change, FileReader, Secure, Table};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Changes that may wait to be taken.
const FOUND_MAX: usize = 64;

/// What is followed: upstreams, by their names.
type Followed = Rc<RefCell<Vec<(Arc<str>, Arc<Secure>)>>>;

/// What has become of the files of an upstream; none where they hold what they held.
type Again = Result<Option<Secure>, String>;

/// The files that are followed.
pub(super) struct Certificates {
    followed: Followed,
    found: mpsc::Receiver<Change>,
    task: AbortHandle,
}

impl Certificates {
    /// None is followed yet.
    pub(super) fn new() -> Self {
        let followed = Followed::default();
        let (finder, found) = mpsc::channel(FOUND_MAX);
        let task = tokio::task::spawn_local(watch(followed.clone(), finder));
        Self {
            followed,
            found,
            task: task.abort_handle(),
        }
    }

    /// Follows the files that the upstreams of `table` name, and no others.
    pub(super) fn follow(&self, table: &Table) {
        let named = table.upstreams().filter_map(|upstream| {
            let secure = upstream.secure.as_ref().filter(|one| one.names_files())?;
            Some((upstream.name.clone(), secure.clone()))
        });
        *self.followed.borrow_mut() = named.collect();
    }

    /// Waits for the next files that hold something else.
    pub(super) async fn next(&mut self) -> Change {
        match self.found.recv().await {
            Some(change) => change,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(followed: Followed, finder: mpsc::Sender<Change>) {
    let mut failed: HashMap<Arc<str>, String> = HashMap::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let named = followed.borrow().clone();
        failed.retain(|name, _| named.iter().any(|(known, _)| known == name));
        for (upstream, again) in look(named).await {
            let known = failed.remove(&upstream);
            match again {
                Ok(None) => {}
                Ok(Some(secure)) => {
                    tracing::info!(message = "the certificates have changed", %upstream);
                    let upstream = upstream.to_string();
                    let secure = Arc::new(secure);
                    if finder
                        .send(Change::Secure { upstream, secure })
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                Err(error) => {
                    if known.as_ref() != Some(&error) {
                        let message = "the certificates stay as they are";
                        tracing::warn!(message, %upstream, error);
                    }
                    failed.insert(upstream, error);
                }
            }
        }
    }
}

/// What has become of the files of each. A file that several name is read once.
async fn look(named: Vec<(Arc<str>, Arc<Secure>)>) -> Vec<(Arc<str>, Again)> {
    let read = tokio::task::spawn_blocking(move || {
        let mut reader = FileReader::default();
        let each = named.into_iter();
        each.map(|(upstream, secure)| (upstream, secure.again(&mut reader)))
            .collect()
    });
    // What breaks off is looked at again in the next round.
    read.await.unwrap_or_default()
}
