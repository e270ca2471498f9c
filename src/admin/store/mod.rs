//! Stand-in for the store of branch `store`: same names, nothing durable.

use std::path::{Path, PathBuf};

use super::entity::{Entity, EntityChange, Kind};
use crate::model::{self, Config};

/// The store.
#[derive(Debug)]
pub enum Store {
    /// Forgets.
    File(Option<PathBuf>),
}

/// A store and what it holds.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// What it holds.
    pub entities: Vec<Entity>,
    /// Its last epoch.
    pub epoch: u64,
}

/// Why the store cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Someone has edited the file.
    #[error("{0} was edited by hand")]
    EditedByHand(PathBuf),
    /// There is no file.
    #[error("no config file")]
    NoFile,
    /// The file has faults.
    #[error("{0}")]
    Faults(model::Faults),
    /// The file cannot be written.
    #[error("{path} cannot be written: {reason}")]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Unloadable(model::LoadError),
}

impl Store {
    /// Opens it.
    ///
    /// # Errors
    /// Never.
    pub fn open(path: Option<&Path>, config: &Config) -> Result<Opened, StoreError> {
        let entities = entities(config);
        Ok(Opened {
            store: Self::File(path.map(Into::into)),
            entities,
            epoch: 1,
        })
    }

    /// Commits.
    ///
    /// # Errors
    /// If there is no file.
    pub fn commit(&mut self, _: u64, _: &[EntityChange], _: bool) -> Result<(), StoreError> {
        let Self::File(path) = self;
        path.as_ref().map(|_| ()).ok_or(StoreError::NoFile)
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn reload(&mut self) -> Result<Config, StoreError> {
        let Self::File(path) = self;
        let path = path.as_ref().ok_or(StoreError::NoFile)?;
        match model::load(path) {
            Ok(loaded) => Ok(loaded.config),
            Err(model::LoadError::Faults(faults)) => Err(StoreError::Faults(faults)),
            Err(other) => Err(StoreError::Unloadable(other)),
        }
    }

    /// The entities of a configuration.
    #[must_use]
    pub fn declared(&self, config: &Config, _: u64) -> Vec<Entity> {
        entities(config)
    }
}

fn entities(config: &Config) -> Vec<Entity> {
    let routes = config.routes.iter().map(|route| {
        let id = route.id.clone().unwrap_or_else(|| route.derived_id());
        (
            Kind::Route,
            id,
            serde_json::to_value(route).unwrap_or_default(),
        )
    });
    let upstreams = config.upstreams.iter().map(|upstream| {
        let value = serde_json::to_value(upstream).unwrap_or_default();
        (Kind::Upstream, upstream.name.clone(), value)
    });
    routes
        .chain(upstreams)
        .zip(0..)
        .map(|((kind, id, value), age)| Entity {
            kind,
            id,
            revision: 1,
            age,
            created_at: 0,
            updated_at: 0,
            value,
        })
        .collect()
}
