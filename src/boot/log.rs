//! The access log's thread: takes pages of lines from the cores and writes them.

use std::fs::OpenOptions;
use std::io::Write;
use std::thread::JoinHandle;

use super::{BootError, system};
use crate::epoch::lines::{self, Lines};
use crate::model::config::AccessLog;

/// Opens the log, if there is to be one: an end for each worker, and the thread.
pub(super) fn open(
    config: &AccessLog,
    workers: usize,
) -> Result<(Vec<Lines>, Option<JoinHandle<()>>), BootError> {
    let Some(path) = &config.path else {
        return Ok((Vec::new(), None));
    };
    let mut out: Box<dyn Write + Send> = match path.to_str() {
        Some("stdout") => Box::new(std::io::stdout()),
        Some("stderr") => Box::new(std::io::stderr()),
        _ => Box::new(
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|source| BootError::AccessLog {
                    path: path.clone(),
                    source,
                })?,
        ),
    };
    let (lines, pages) = lines::pages(workers, config.buffer_bytes as usize);
    let write = move || {
        let mut failed = false;
        pages.drain(
            |page| match out.write_all(page).and_then(|()| out.flush()) {
                Ok(()) => failed = false,
                Err(error) if !failed => {
                    failed = true;
                    tracing::error!(message = "the access log cannot be written", %error);
                }
                Err(_) => {}
            },
        );
    };
    let thread = std::thread::Builder::new()
        .name("ringway-log".into())
        .spawn(write)
        .map_err(system("a thread cannot be started"))?;
    Ok((lines, Some(thread)))
}
