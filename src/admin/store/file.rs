//! The configuration file as the store: read once, written back with each commit.
//!
//! What a person does to the file meanwhile is noticed by its content and never overwritten
//! silently. Revisions and times of entities are not in the file; they begin anew with the process.

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};

use super::document::{Document, format_of};
use super::error::StoreError;
use super::ocelot::{OcelotDocument, write_environment};
use super::replace::{obstacle, replace};
use super::{FIRST_EPOCH, Opened, Store, entities};
use crate::admin::entity::EntityChange;
use crate::model::{self, Config};

/// The configuration file as the store.
#[derive(Debug)]
pub struct FileStore(Option<Target>);

/// The file that is written back.
#[derive(Debug)]
struct Target {
    path: PathBuf,
    /// What the file says, and by which content it is known; none if it does not say what is in
    /// force, because it was edited before it could be read again.
    known: Option<Known>,
    /// Why it cannot be written.
    obstacle: Option<String>,
}

#[derive(Debug)]
struct Known {
    document: Written,
    content: Fingerprint,
}

/// A document in the words in which it is written.
#[derive(Debug)]
enum Written {
    Native(Document),
    Ocelot(OcelotDocument),
}

/// A content, known by its length and its hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Fingerprint {
    bytes: usize,
    hash: u64,
}

impl FileStore {
    pub(super) fn open(path: Option<&Path>, config: &Config) -> Opened {
        let target = path.map(|path| Target {
            path: path.to_owned(),
            known: Known::read(path, config),
            obstacle: obstacle(path),
        });
        let known = target.as_ref().and_then(|target| target.known.as_ref());
        let native = known.and_then(|known| known.document.native());
        let entities = entities(native, config, FIRST_EPOCH);
        Opened {
            store: Store::File(Self(target)),
            entities,
            epoch: FIRST_EPOCH,
        }
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.0.as_ref().map(|target| target.path.as_path())
    }

    pub(super) fn obstacle(&self) -> Option<String> {
        let target = self.0.as_ref()?;
        let reason = target.obstacle.as_ref()?;
        Some(format!("{}: {reason}", target.path.display()))
    }

    pub(super) fn commit(
        &mut self,
        changes: &[EntityChange],
        force: bool,
    ) -> Result<(), StoreError> {
        self.0
            .as_mut()
            .ok_or(StoreError::NoFile)?
            .commit(changes, force)
    }

    pub(super) fn reload(&mut self) -> Result<Config, StoreError> {
        let target = self.0.as_mut().ok_or(StoreError::NoFile)?;
        let config = model::load(&target.path)?.config;
        let mut known = Known::read(&target.path, &config);
        if let (Some(new), Some(old)) = (&mut known, &target.known) {
            new.document.keep_ages(&old.document);
        }
        target.known = known;
        target.obstacle = obstacle(&target.path);
        Ok(config)
    }
}

impl Target {
    fn commit(&mut self, changes: &[EntityChange], force: bool) -> Result<(), StoreError> {
        let path = &self.path;
        if let Some(reason) = self.obstacle.clone() {
            return Err(StoreError::NotWritable {
                path: path.clone(),
                reason,
            });
        }
        let Some(known) = &mut self.known else {
            // What else the file says is not known either: even by force it could not be kept.
            return Err(StoreError::EditedByHand(path.clone()));
        };
        let next = known.document.change(changes);
        let rendered = next.as_ref().unwrap_or(&known.document).render();
        let text = rendered.map_err(|why| StoreError::Unfit {
            path: path.clone(),
            why,
        })?;
        replace(path, &text, |present| {
            if force || present.map(Fingerprint::of) == Some(known.content) {
                return Ok(());
            }
            Err(StoreError::EditedByHand(path.clone()))
        })?;
        known.content = Fingerprint::of(&text);
        if let Written::Ocelot(_) = known.document {
            write_environment(path, &text);
        }
        if let Some(next) = next {
            known.document = next;
        }
        Ok(())
    }
}

impl Known {
    fn read(path: &Path, config: &Config) -> Option<Self> {
        let text = fs::read(path).ok()?;
        let ocelot = OcelotDocument::parse(&text, config).map(Written::Ocelot);
        let native = || Document::parse(&text, format_of(path), config).map(Written::Native);
        let document = ocelot.or_else(native)?;
        Some(Self {
            document,
            content: Fingerprint::of(&text),
        })
    }
}

impl Written {
    fn native(&self) -> Option<&Document> {
        match self {
            Self::Native(document) => Some(document),
            Self::Ocelot(_) => None,
        }
    }

    fn keep_ages(&mut self, old: &Self) {
        if let (Self::Native(new), Self::Native(old)) = (self, old) {
            new.keep_ages(old);
        }
    }

    fn change(&self, changes: &[EntityChange]) -> Option<Self> {
        match self {
            Self::Native(document) => document.change(changes).map(Self::Native),
            Self::Ocelot(document) => document.change(changes).map(Self::Ocelot),
        }
    }

    fn render(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Native(document) => document.render(),
            Self::Ocelot(document) => document.render(),
        }
    }
}

impl Fingerprint {
    fn of(content: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(content);
        Self {
            bytes: content.len(),
            hash: hasher.finish(),
        }
    }
}
