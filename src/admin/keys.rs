//! Keys: fetches the key sets that tokens are checked with, and follows them.
//!
//! A set that has changed is a change of the table and so an epoch: all cores take it together.
//! One that cannot be had again stays as it is. A URL is asked again when its `Cache-Control` says
//! so, a file is looked at often.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::fetch::{Fetched, Fetcher};
use crate::table::policy::KeySet;
use crate::table::{Change, Table};

/// The most bytes of a key set in a file.
const SET_MAX: usize = 1 << 20;
/// How long a URL may take to answer.
const FETCH_WITHIN: Duration = Duration::from_secs(10);
/// When a URL is asked again that does not say when; and the bounds of what it may say.
const REFRESH: Duration = Duration::from_secs(300);
const REFRESH_MIN: Duration = Duration::from_secs(1);
const REFRESH_MAX: Duration = Duration::from_secs(3_600);
/// How often a file is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// The pauses after failures, each twice the one before.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Sets that may wait to be taken.
const FOUND_MAX: usize = 64;

/// The key sets that are followed.
pub(super) struct Keys {
    followed: HashMap<String, Followed>,
    fetcher: Rc<Fetcher>,
    found: mpsc::Receiver<Found>,
    finder: mpsc::Sender<Found>,
}

struct Followed {
    keys: Option<Arc<KeySet>>,
    task: AbortHandle,
}

struct Found {
    source: String,
    keys: KeySet,
}

impl Keys {
    /// None is followed yet.
    pub(super) fn new() -> Self {
        let (finder, found) = mpsc::channel(FOUND_MAX);
        Self {
            followed: HashMap::new(),
            fetcher: Rc::default(),
            found,
            finder,
        }
    }

    /// Follows the sources of `table`, and no others. Gives what is known of sources that the table
    /// knows nothing of.
    pub(super) fn follow(&mut self, table: &Table) -> Vec<Change> {
        let mut before = std::mem::take(&mut self.followed);
        let mut changes = Vec::new();
        for (name, known) in table.key_sources() {
            let followed = match before.remove(name) {
                Some(followed) => followed,
                None => self.begin(name),
            };
            if let Some(keys) = followed.keys.as_ref().filter(|_| !known) {
                changes.push(change(name, keys));
            }
            self.followed.insert(name.to_owned(), followed);
        }
        before.into_values().for_each(|gone| gone.task.abort());
        changes
    }

    /// Waits for the next set that has changed.
    pub(super) async fn next(&mut self) -> Change {
        loop {
            let Some(Found { source, keys }) = self.found.recv().await else {
                return std::future::pending().await;
            };
            if let Some(followed) = self.followed.get_mut(&source) {
                tracing::info!(message = "keys", source, count = keys.len());
                let keys = Arc::new(keys);
                let change = change(&source, &keys);
                followed.keys = Some(keys);
                return change;
            }
        }
    }

    fn begin(&self, name: &str) -> Followed {
        let source = Source::of(name);
        let watch = watch(
            name.to_owned(),
            source,
            self.fetcher.clone(),
            self.finder.clone(),
        );
        let task = tokio::task::spawn_local(watch);
        Followed {
            keys: None,
            task: task.abort_handle(),
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.followed.values().for_each(|one| one.task.abort());
    }
}

fn change(source: &str, keys: &Arc<KeySet>) -> Change {
    Change::Keys {
        source: source.to_owned(),
        keys: keys.clone(),
    }
}

/// Where a set comes from.
enum Source {
    File(PathBuf),
    Url(String),
}

impl Source {
    fn of(name: &str) -> Self {
        let is_url = ["http://", "https://"]
            .iter()
            .any(|scheme| name.starts_with(scheme));
        match is_url {
            true => Self::Url(name.to_owned()),
            false => Self::File(name.into()),
        }
    }

    /// The text of the set, and when to look again.
    async fn load(&self, fetcher: &Fetcher) -> Result<(Bytes, Duration), String> {
        let url = match self {
            Self::File(path) => return Ok((read(path).await?, LOOK)),
            Self::Url(url) => url,
        };
        let fetched = tokio::time::timeout(FETCH_WITHIN, fetcher.fetch(url)).await;
        let Fetched { body, max_age } =
            fetched.unwrap_or_else(|_| Err("no answer in time".to_owned()))?;
        let again = max_age.map_or(REFRESH, |age| age.clamp(REFRESH_MIN, REFRESH_MAX));
        Ok((body, again))
    }
}

/// Loads a set again and again, and hands it on when it has changed.
async fn watch(name: String, source: Source, fetcher: Rc<Fetcher>, finder: mpsc::Sender<Found>) {
    let mut known = Bytes::new();
    let mut pause = RETRY_MIN;
    loop {
        let loaded = source.load(&fetcher).await.and_then(|(text, again)| {
            let keys = (text != known).then(|| KeySet::parse(&text)).transpose();
            Ok((keys.map_err(|error| error.to_string())?, text, again))
        });
        let wait = match loaded {
            Ok((keys, text, again)) => {
                let found = keys.map(|keys| Found {
                    source: name.clone(),
                    keys,
                });
                if let Some(found) = found
                    && finder.send(found).await.is_err()
                {
                    return;
                }
                known = text;
                pause = RETRY_MIN;
                again
            }
            Err(error) => {
                tracing::warn!(message = "the keys cannot be had", source = name, error);
                let wait = pause;
                pause = (pause * 2).min(RETRY_MAX);
                wait
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn read(path: &Path) -> Result<Bytes, String> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        use std::io::Read as _;
        let mut text = Vec::new();
        let file = std::fs::File::open(&path)?;
        file.take(SET_MAX as u64).read_to_end(&mut text)?;
        Ok(text)
    });
    match read.await {
        Ok(text) => text
            .map(Bytes::from)
            .map_err(|error: std::io::Error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_url_or_a_file() {
        assert!(matches!(Source::of("http://a/b"), Source::Url(_)));
        assert!(matches!(Source::of("https://a/b"), Source::Url(_)));
        assert!(matches!(Source::of("/etc/keys.json"), Source::File(_)));
        assert!(matches!(Source::of("keys.json"), Source::File(_)));
    }
}
