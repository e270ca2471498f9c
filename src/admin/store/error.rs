//! Why a store did not do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::model::{Faults, LoadError};

/// Why the store could not be opened, or a change could not be kept. Nothing has happened then.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The configuration file is not as it was last read or written.
    #[error(
        "{0} was edited by hand since it was last read, and the change would undo that; reload it \
         first, or repeat the change with ?force=true"
    )]
    EditedByHand(PathBuf),
    /// The database failed.
    #[error("the store {path}: {source}")]
    Embedded {
        /// The file of the database.
        path: PathBuf,
        /// What failed.
        source: Box<redb::Error>,
    },
    /// The configuration file has faults.
    #[error("{0}")]
    Faults(Faults),
    /// The system refused an operation on a file.
    #[error("{what} {path}: {source}; nothing was changed")]
    Io {
        /// What was tried, such as `cannot write`.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It has failed so that nothing more can be said about it.
    #[error("the store has failed; see the log, and restart Ringway")]
    Gone,
    /// There is no configuration file that the change could be written to.
    #[error("there is no config file to keep the change in; start with --config, or set store")]
    NoFile,
    /// The store is embedded, but nobody said where.
    #[error("store.kind is embedded, but store.path is not set; name a file for the database")]
    NoPath,
    /// The configuration file or its folder may not be written.
    #[error("the change cannot be kept, because {path} cannot be written: {reason}")]
    NotWritable {
        /// The configuration file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The database holds something that cannot be read.
    #[error("the store {path}: {what}")]
    Unreadable {
        /// The file of the database.
        path: PathBuf,
        /// What cannot be read.
        what: String,
    },
    /// The configuration file cannot be read.
    #[error(transparent)]
    Unloadable(LoadError),
    /// The changed document cannot be written so that it would load again.
    #[error("{path} cannot hold the change: {why}")]
    Unfit {
        /// The configuration file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl StoreError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

impl From<LoadError> for StoreError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Faults(faults) => Self::Faults(faults),
            other => Self::Unloadable(other),
        }
    }
}
