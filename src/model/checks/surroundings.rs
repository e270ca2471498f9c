//! What a configuration needs of the machine it is checked on: files, folders, variables.
//!
//! These are warnings: a configuration may be checked on one machine and run on another.

use std::path::Path;

use rustix::fs::{Access, access};

use crate::model::config::Config;
use crate::model::faults::{Fault, Report};

/// Looks for what `config` names on this machine.
#[must_use]
pub fn surroundings(config: &Config) -> Vec<Fault> {
    let mut report = Report::default();
    if let Some(path) = &config.access_log.path
        && !["stdout", "stderr"]
            .iter()
            .any(|stream| path == Path::new(stream))
    {
        log_file(path, &mut report);
    }
    if let Some(secret) = &config.admin.api_key
        && let Err(error) = secret.reveal()
    {
        report.warn("$.admin.api_key", error.to_string(), "");
    }
    report.warnings
}

fn log_file(path: &Path, report: &mut Report) {
    const PLACE: &str = "$.access_log.path";
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let shown = folder.display();
    if path.is_dir() {
        report.warn(
            PLACE,
            format!("{} is a folder", path.display()),
            "name a file in it",
        );
    } else if !folder.is_dir() {
        report.warn(
            PLACE,
            format!("the folder {shown} does not exist"),
            "create it before the start",
        );
    } else if path.exists() && access(path, Access::WRITE_OK).is_err() {
        report.warn(
            PLACE,
            format!("{} cannot be written to by this user", path.display()),
            "change its permissions, or name another file",
        );
    } else if !path.exists() && access(folder, Access::WRITE_OK).is_err() {
        report.warn(
            PLACE,
            format!("the folder {shown} cannot be written to by this user"),
            "change its permissions, or name another file",
        );
    }
}
