//! An embedded database as the store, for tables too large to be written anew with each change.
//!
//! One commit is one transaction with its epoch in it. The database is made and seeded under
//! another name and then renamed, so that one which is there is whole.

use std::cmp::Ordering;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction,
};

use super::document::Document;
use super::error::StoreError;
use super::group;
use super::replace::{beside, folder_of, sync};
use super::{FIRST_EPOCH, Opened, Store, entities};
use crate::admin::entity::{Entity, EntityChange, Kind};
use crate::model::{self, Config};

/// Entities in groups: the name of the kind, `/` and the number of the group in hexadecimal, to
/// what [`group`] makes of it.
const GROUPS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("groups");
/// Entities in the first form: the name of the kind, `/` and the id, to one of them.
const ENTITIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entities");
/// Numbers about the whole.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// In [`META`]: the form of all this.
const SCHEMA_KEY: &str = "schema";
/// In [`META`]: the epoch of the last commit.
const EPOCH_KEY: &str = "epoch";
/// The form that is written here; a database in the first form is brought into it.
const SCHEMA: u64 = 2;
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
    let transaction = database.begin_write()?;
    put_groups(&transaction, changes)?;
    finish(transaction, epoch)
}

fn finish(mut transaction: WriteTransaction, epoch: u64) -> Result<(), redb::Error> {
    // Without it the first start after a crash would read the whole file.
    transaction.set_quick_repair(true);
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert(EPOCH_KEY, epoch)?;
        meta.insert(SCHEMA_KEY, SCHEMA)?;
    }
    transaction.commit()?;
    Ok(())
}

fn put_groups(transaction: &WriteTransaction, changes: &[EntityChange]) -> Result<(), redb::Error> {
    let places = changes.iter().enumerate();
    let places = places.map(|(at, change)| (change.kind().place(), group_of(change), at));
    let mut places: Vec<(usize, u64, usize)> = places.collect();
    // Each group is written once, and in the order of their keys a page is touched once.
    places.sort_unstable();
    let mut table = transaction.open_table(GROUPS)?;
    let mut value = Vec::new();
    for some in places.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
        let some = some.iter().filter_map(|(.., at)| changes.get(*at));
        let some: Vec<&EntityChange> = some.collect();
        let Some(first) = some.first() else { continue };
        let key = format!("{}/{:014x}", first.kind().name(), group_of(first));
        value.clear();
        let changed = match table.get(key.as_str())? {
            Some(stored) => group::change(Some(stored.value()), &some, &mut value),
            None => group::change(None, &some, &mut value),
        };
        if changed.is_none() {
            return Err(redb::Error::Corrupted(no_sense(&key)));
        }
        if value.is_empty() {
            table.remove(key.as_str())?;
        } else {
            table.insert(key.as_str(), value.as_slice())?;
        }
    }
    Ok(())
}

fn group_of(change: &EntityChange) -> u64 {
    change.age() / group::AGES
}

fn load(path: &Path, database: &Database) -> Result<(u64, Vec<Entity>), StoreError> {
    let unreadable = |what: String| StoreError::Unreadable {
        path: path.to_owned(),
        what,
    };
    let (epoch, schema) = numbers_of(database).map_err(failed(path))?;
    if !(1..=SCHEMA).contains(&schema) {
        return Err(unreadable(format!(
            "its form is {schema}, and this Ringway reads 1 to {SCHEMA}; use the Ringway that \
             wrote it"
        )));
    }
    let read = if schema == 1 { read_first } else { read_groups };
    let mut entities = Vec::new();
    if let Some(key) = read(database, &mut entities).map_err(failed(path))? {
        return Err(unreadable(no_sense(&key)));
    }
    if schema == 1 {
        renew(database, epoch, &entities).map_err(failed(path))?;
    }
    entities.sort_unstable_by_key(|entity| (entity.kind.place(), entity.age));
    Ok((epoch, entities))
}

fn no_sense(key: &str) -> String {
    format!("{key:?} has no sense")
}

/// Reads all entities; gives the key of a value that has no sense, if there is one.
fn read_groups(
    database: &Database,
    entities: &mut Vec<Entity>,
) -> Result<Option<String>, redb::Error> {
    for pair in database.begin_read()?.open_table(GROUPS)?.iter()? {
        let (key, value) = pair?;
        let kind = kind_of(key.value());
        if kind.and_then(|(kind, _)| group::entities(kind, value.value(), entities)) != Some(()) {
            return Ok(Some(key.value().to_owned()));
        }
    }
    Ok(None)
}

/// The same of the first form.
fn read_first(
    database: &Database,
    entities: &mut Vec<Entity>,
) -> Result<Option<String>, redb::Error> {
    for pair in database.begin_read()?.open_table(ENTITIES)?.iter()? {
        let (key, value) = pair?;
        let known = kind_of(key.value());
        match known.and_then(|(kind, id)| group::first(kind, id, value.value())) {
            Some(entity) => entities.push(entity),
            None => return Ok(Some(key.value().to_owned())),
        }
    }
    Ok(None)
}

/// Brings a database of the first form into the present one.
fn renew(database: &Database, epoch: u64, entities: &[Entity]) -> Result<(), redb::Error> {
    let changes: Vec<_> = entities.iter().cloned().map(EntityChange::Put).collect();
    let transaction = database.begin_write()?;
    put_groups(&transaction, &changes)?;
    transaction.delete_table(ENTITIES)?;
    finish(transaction, epoch)
}

/// The kind that a key names, and what follows.
fn kind_of(key: &str) -> Option<(Kind, &str)> {
    let (kind, rest) = key.split_once('/')?;
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
    Some((kind, rest))
}

fn epoch_of(database: &Database) -> Result<u64, redb::Error> {
    numbers_of(database).map(|(epoch, _)| epoch)
}

/// The epoch of the last commit, and the form.
fn numbers_of(database: &Database) -> Result<(u64, u64), redb::Error> {
    let meta = database.begin_read()?.open_table(META)?;
    let epoch = meta.get(EPOCH_KEY)?.map(|epoch| epoch.value());
    let schema = meta.get(SCHEMA_KEY)?.map(|schema| schema.value());
    Ok((epoch.unwrap_or(FIRST_EPOCH), schema.unwrap_or(SCHEMA)))
}

fn failed(path: &Path) -> impl Fn(redb::Error) -> StoreError {
    move |source| StoreError::Embedded {
        path: path.to_owned(),
        source: Box::new(source),
    }
}
