//! Where the entities outlive the process: the configuration file, or an embedded database.
//!
//! A commit is all or nothing, and on the disk when it returns. Everything here blocks; the commit
//! pipeline calls it where that hurts nobody. Decisions and their reasons stand in
//! `docs/decisions/store.md`.

mod document;
mod embedded;
mod error;
mod file;
mod group;
mod ocelot;
mod replace;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use self::document::Document;
pub use self::embedded::EmbeddedStore;
pub use self::error::StoreError;
pub use self::file::FileStore;
use super::entity::{Entity, EntityChange, Kind};
use crate::model::config::StoreKind;
use crate::model::{self, Config};

/// The epoch of a process that starts from a file, and of a database that was just seeded.
const FIRST_EPOCH: u64 = 1;

/// Where the entities are kept.
#[derive(Debug)]
pub enum Store {
    /// In the configuration file, which is written back.
    File(FileStore),
    /// In a database of its own; the configuration file seeded it.
    Embedded(EmbeddedStore),
}

/// A store and what was in it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// All entities, upstreams first, each kind from the oldest on.
    pub entities: Vec<Entity>,
    /// The epoch of the last commit; the next one must be higher.
    pub epoch: u64,
}

impl Store {
    /// Opens the store that `config` asks for. `config` is what was read from `config_path`.
    ///
    /// A file that cannot be written back is no error here, but of each commit.
    pub fn open(config_path: Option<&Path>, config: &Config) -> Result<Opened, StoreError> {
        match config.store.kind {
            StoreKind::File => Ok(FileStore::open(config_path, config)),
            StoreKind::Embedded => EmbeddedStore::open(config_path, config),
        }
    }

    /// Why no change could be kept, as far as that is known without trying.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        match self {
            Self::File(store) => store.obstacle(),
            Self::Embedded(_) => None,
        }
    }

    /// Keeps `changes` under `epoch`, which must be higher than the last. Durable and atomic when
    /// it returns `Ok`; nothing has happened when it returns `Err`. With `force`, a file that was
    /// edited by hand is overwritten.
    pub fn commit(
        &mut self,
        epoch: u64,
        changes: &[EntityChange],
        force: bool,
    ) -> Result<(), StoreError> {
        match self {
            Self::File(store) => store.commit(changes, force),
            Self::Embedded(store) => store.commit(epoch, changes),
        }
    }

    /// Reads the configuration file anew. From then on commits build upon what it says now.
    pub fn reload(&mut self) -> Result<Config, StoreError> {
        match self {
            Self::File(store) => store.reload(),
            Self::Embedded(store) => store.reload(),
        }
    }

    /// The entities of `config`, which [`Store::reload`] has returned, as the file declares them:
    /// without the defaults that nobody wrote. Their revision is `epoch`.
    #[must_use]
    pub fn declared(&self, config: &Config, epoch: u64) -> Vec<Entity> {
        let path = match self {
            Self::File(store) => store.path(),
            Self::Embedded(store) => store.config_path(),
        };
        entities(
            path.and_then(|path| Document::read(path, config)).as_ref(),
            config,
            epoch,
        )
    }
}

/// The entities of `config`; in the words of `document`, if there is one.
fn entities(document: Option<&Document>, config: &Config, epoch: u64) -> Vec<Entity> {
    let now = now_ms();
    let entity = |kind, id: &str, age, value: &Value| Entity {
        kind,
        id: id.to_owned(),
        revision: epoch,
        age,
        created_at: now,
        updated_at: now,
        text: value.to_string().into(),
    };
    if let Some(document) = document {
        let each = document.elements();
        return each
            .map(|(kind, id, age, value)| entity(kind, id, age, value))
            .collect();
    }
    let upstreams = (0..)
        .zip(&config.upstreams)
        .map(|(age, upstream)| entity(Kind::Upstream, &upstream.name, age, &value_of(upstream)));
    let routes = (0..).zip(&config.routes).map(|(age, route)| {
        let id = route
            .id
            .clone()
            .unwrap_or_else(|| model::Route::derived_id(route));
        entity(Kind::Route, &id, age, &value_of(route))
    });
    let documents = config.entities.iter().flat_map(|(list, values)| {
        let kind = Kind::of_list(list);
        let each = kind.map(|kind| {
            (0..)
                .zip(values)
                .map(move |(age, value)| (kind, age, value))
        });
        each.into_iter().flatten()
    });
    let documents = documents.filter_map(|(kind, age, value)| {
        let id = value.get(kind.id_key())?.as_str()?;
        Some(entity(kind, id, age, &Value::Object(value.clone())))
    });
    upstreams.chain(routes).chain(documents).collect()
}

fn value_of(declared: &impl serde::Serialize) -> Value {
    // Maps with text keys and plain values: there is nothing in them that JSON cannot say.
    serde_json::to_value(declared).unwrap_or_default()
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
