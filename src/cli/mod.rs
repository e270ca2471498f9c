//! The commands of the `ringway` binary, one file each.

pub mod check;
pub mod explain;
pub mod hash;
pub mod origin;
pub mod quickstart;
pub mod run;
pub mod schema;

use std::path::Path;

use crate::model::{self, Config};

/// Loads a configuration; what is wrong with it goes to stderr, and then there is none.
fn load(path: &Path) -> Option<Config> {
    match model::load(path) {
        Ok(loaded) => {
            let file = path.display().to_string();
            loaded
                .warnings
                .iter()
                .for_each(|warning| eprintln!("{}", warning.warning_in(&file)));
            Some(loaded.config)
        }
        Err(error) => {
            eprintln!("{error}");
            None
        }
    }
}
