//! An embedded database as the store, for tables too large to be written anew with each change.
//!
//! One commit is one transaction with its epoch in it. The database is made and seeded under
//! another name and then renamed, so that one which is there is whole.

use std::cmp::Ordering;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::document::Document;
use super::error::StoreError;
use super::replace::{beside, folder_of, sync};
use super::{FIRST_EPOCH, Opened, Store, entities};
use crate::admin::entity::{Entity, EntityChange, Kind};
use crate::model::{self, Config};

/// Entities: `route/` or `upstream/` and the id, to a [`Stored`] as JSON.
const ENTITIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entities");
/// Numbers about the whole.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// In [`META`]: the form of all this.
const SCHEMA_KEY: &str = "schema";
/// In [`META`]: the epoch of the last commit.
const EPOCH_KEY: &str = "epoch";
/// The form that is written and read here.
const SCHEMA: u64 = 1;
/// Memory for pages of the database; what is not in it is mostly in the kernel's.
const CACHE_BYTES: usize = 32 * 1024 * 1024;
/// The mode of a new database.
const MODE: u32 = 0o600;

/// An embedded database as the store.
#[derive(Debug)]
pub struct EmbeddedStore {
    path: PathBuf,
    config_path: Option<PathBuf>,
    /// None after a failure, until it could be opened again.
    database: Option<Database>,
    /// The epoch of the last commit that was answered with `Ok`.
    epoch: u64,
}

/// An entity as the value of its key.
#[derive(Deserialize)]
struct Stored<'t> {
    revision: u64,
    age: u64,
    created_at: u64,
    updated_at: u64,
    #[serde(borrow)]
    value: &'t RawValue,
}

impl EmbeddedStore {
    pub(super) fn open(config_path: Option<&Path>, config: &Config) -> Result<Opened, StoreError> {
        let path = config.store.path.clone().ok_or(StoreError::NoPath)?;
        let is_new = match fs::metadata(&path) {
            Ok(found) => found.len() == 0,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(StoreError::io("cannot look at", &path)(error)),
        };
        if is_new {
            let document = config_path.and_then(|path| Document::read(path, config));
            seed(&path, &entities(document.as_ref(), config, FIRST_EPOCH))?;
        }
        let database = open_database(&path)?;
        let (epoch, entities) = load(&path, &database)?;
        let config_path = config_path.map(Path::to_owned);
        let store = Self {
            path,
            config_path,
            database: Some(database),
            epoch,
        };
        Ok(Opened {
            store: Store::Embedded(store),
            entities,
            epoch,
        })
    }

    pub(super) fn config_path(&self) -> Option<&Path> {
        self.config_path.as_deref()
    }

    pub(super) fn reload(&self) -> Result<Config, StoreError> {
        let path = self.config_path.as_deref().ok_or(StoreError::NoFile)?;
        Ok(model::load(path)?.config)
    }

    pub(super) fn commit(
        &mut self,
        epoch: u64,
        changes: &[EntityChange],
    ) -> Result<(), StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.open_again()?,
        };
        match write(&database, epoch, changes) {
            Ok(()) => {
                self.database = Some(database);
                self.epoch = epoch;
                Ok(())
            }
            Err(error) => {
                // A database that has failed refuses everything until it is opened again.
                drop(database);
                self.settle(epoch, error)
            }
        }
    }

    /// After a failure: looks on the disk whether the commit took place.
    fn settle(&mut self, epoch: u64, error: redb::Error) -> Result<(), StoreError> {
        if let Ok(database) = open_database(&self.path) {
            let found = epoch_of(&database);
            if found.is_ok_and(|found| found == epoch) {
                self.epoch = epoch;
                self.database = Some(database);
                return Ok(());
            }
        }
        Err(failed(&self.path)(error))
    }

    fn open_again(&self) -> Result<Database, StoreError> {
        let database = open_database(&self.path)?;
        match epoch_of(&database)
            .map_err(failed(&self.path))?
            .cmp(&self.epoch)
        {
            Ordering::Equal => Ok(database),
            _ => Err(StoreError::Unreadable {
                path: self.path.clone(),
                what: "a change that was answered with an error is in it after all; restart \
                       Ringway to go on from there"
                    .into(),
            }),
        }
    }
}

/// Makes the database at `path` with `entities` in it.
fn seed(path: &Path, entities: &[Entity]) -> Result<(), StoreError> {
    let new = beside(path, ".ringway-new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StoreError::io("cannot remove", &new)(error));
        }
        _ => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&new)
        .map_err(StoreError::io("cannot create", &new))?;
    let database = builder()
        .create_file(file)
        .map_err(|error| failed(&new)(error.into()))?;
    let changes: Vec<_> = entities.iter().cloned().map(EntityChange::Put).collect();
    write(&database, FIRST_EPOCH, &changes).map_err(failed(&new))?;
    drop(database);
    File::open(&new)
        .and_then(|file| file.sync_all())
        .map_err(StoreError::io("cannot sync", &new))?;
    fs::rename(&new, path).map_err(StoreError::io("cannot name", path))?;
    let folder = folder_of(path);
    sync(&folder).map_err(StoreError::io("cannot make durable", &folder))
}

/// Opens the database. redb checks what a crash can leave, but panics over some of what only a
/// broken disk or another program can.
fn open_database(path: &Path) -> Result<Database, StoreError> {
    let opened = catch_unwind(|| builder().open(path));
    let damaged = |_| StoreError::Unreadable {
        path: path.to_owned(),
        what: "it is damaged; put a copy of it in its place".into(),
    };
    opened
        .map_err(damaged)?
        .map_err(|error| failed(path)(error.into()))
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn write(database: &Database, epoch: u64, changes: &[EntityChange]) -> Result<(), redb::Error> {
    let mut keyed: Vec<(String, &EntityChange)> = changes
        .iter()
        .map(|change| (key_of(change), change))
        .collect();
    // In the order of the keys a page is touched once. Stable: the last change of a key counts.
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    let mut transaction = database.begin_write()?;
    // Without it the first start after a crash would read the whole file.
    transaction.set_quick_repair(true);
    {
        let mut table = transaction.open_table(ENTITIES)?;
        let mut stored = Vec::new();
        for (key, change) in &keyed {
            match change {
                EntityChange::Put(entity) => {
                    stored.clear();
                    encode(entity, &mut stored)?;
                    table.insert(key.as_str(), stored.as_slice())?;
                }
                EntityChange::Remove { .. } => {
                    table.remove(key.as_str())?;
                }
            }
        }
        let mut meta = transaction.open_table(META)?;
        meta.insert(EPOCH_KEY, epoch)?;
        meta.insert(SCHEMA_KEY, SCHEMA)?;
    }
    transaction.commit()?;
    Ok(())
}

fn load(path: &Path, database: &Database) -> Result<(u64, Vec<Entity>), StoreError> {
    let unreadable = |what: String| StoreError::Unreadable {
        path: path.to_owned(),
        what,
    };
    let failed = |error: redb::Error| failed(path)(error);
    let epoch = epoch_of(database).map_err(failed)?;
    let transaction = database
        .begin_read()
        .map_err(|error| failed(error.into()))?;
    let meta = transaction
        .open_table(META)
        .map_err(|error| failed(error.into()))?;
    let schema = meta.get(SCHEMA_KEY).map_err(|error| failed(error.into()))?;
    let schema = schema.map_or(SCHEMA, |schema| schema.value());
    if schema != SCHEMA {
        return Err(unreadable(format!(
            "its form is {schema}, and this Ringway reads {SCHEMA}; use the Ringway that wrote it"
        )));
    }
    let table = transaction
        .open_table(ENTITIES)
        .map_err(|error| failed(error.into()))?;
    let mut entities = Vec::new();
    for pair in table.iter().map_err(|error| failed(error.into()))? {
        let (key, value) = pair.map_err(|error| failed(error.into()))?;
        let entity = decode(key.value(), value.value());
        entities.push(entity.ok_or_else(|| unreadable(format!("{:?} has no sense", key.value())))?);
    }
    let place = |kind| Kind::ALL.iter().position(|listed| *listed == kind);
    entities.sort_by_key(|entity| (place(entity.kind), entity.age));
    Ok((epoch, entities))
}

fn epoch_of(database: &Database) -> Result<u64, redb::Error> {
    let meta = database.begin_read()?.open_table(META)?;
    let epoch = meta.get(EPOCH_KEY)?;
    Ok(epoch.map_or(FIRST_EPOCH, |epoch| epoch.value()))
}

fn key_of(change: &EntityChange) -> String {
    match change {
        EntityChange::Put(entity) => key(entity.kind, &entity.id),
        EntityChange::Remove { kind, id } => key(*kind, id),
    }
}

fn key(kind: Kind, id: &str) -> String {
    [kind.name(), "/", id].concat()
}

/// Writes `entity` into `stored`. Its text is JSON already, so it is not read.
fn encode(entity: &Entity, stored: &mut Vec<u8>) -> Result<(), redb::Error> {
    let Entity {
        revision,
        age,
        created_at,
        updated_at,
        ..
    } = entity;
    write!(
        stored,
        "{{\"revision\":{revision},\"age\":{age},\"created_at\":{created_at},\
         \"updated_at\":{updated_at},\"value\":"
    )?;
    stored.extend_from_slice(entity.text.as_bytes());
    stored.push(b'}');
    Ok(())
}

fn decode(key: &str, stored: &[u8]) -> Option<Entity> {
    let (kind, id) = key.split_once('/')?;
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
    let Stored {
        revision,
        age,
        created_at,
        updated_at,
        value,
    } = serde_json::from_slice::<Stored<'_>>(stored).ok()?;
    Some(Entity {
        kind,
        id: id.to_owned(),
        revision,
        age,
        created_at,
        updated_at,
        text: value.get().into(),
    })
}

fn failed(path: &Path) -> impl Fn(redb::Error) -> StoreError {
    move |source| StoreError::Embedded {
        path: path.to_owned(),
        source: Box::new(source),
    }
}
