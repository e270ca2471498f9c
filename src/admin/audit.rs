//! Audit: one JSON line for each attempt to change something, in a file that only grows.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::rc::Rc;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::clock::{now_ms, rfc3339};
use super::commit::{Difference, Writer};

/// Lines that may wait for the disk; then writes wait too.
const WAITING_MAX: usize = 1_024;
/// Lines that are written at once.
const AT_ONCE: usize = 64;

/// What a write is called: `CREATE_ROUTE`, and the alert that goes with it, `routeCreated`.
#[derive(Clone, Debug)]
pub(super) struct Action {
    pub(super) name: Rc<str>,
    pub(super) alert: Rc<str>,
}

impl Action {
    /// The action of a verb on a noun, both as they stand in the log.
    pub(super) fn of(verb: &str, noun: &str) -> Self {
        let done = match verb {
            "CREATE" | "BULK_CREATE" => "Created",
            "UPDATE" | "BULK_UPDATE" => "Updated",
            "PATCHED" | "BULK_PATCH" => "Patched",
            _ => "Deleted",
        };
        let mut alert = String::new();
        for (index, word) in noun.split('_').enumerate() {
            let (first, rest) = word.split_at(word.len().min(1));
            alert.push_str(&if index == 0 {
                first.to_lowercase()
            } else {
                first.to_owned()
            });
            alert.push_str(&rest.to_lowercase());
        }
        Self {
            name: format!("{verb}_{noun}").into(),
            alert: (alert + done).into(),
        }
    }
}

/// The way to the file.
pub(super) struct Audit(mpsc::Sender<String>);

impl Audit {
    /// Opens the file and starts the thread that writes to it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let (lines, waiting) = mpsc::channel(WAITING_MAX);
        let path = path.display().to_string();
        let thread = std::thread::Builder::new().name("ringway-audit".to_owned());
        thread.spawn(move || write(file, waiting, &path))?;
        Ok(Self(lines))
    }

    /// Adds a line: who, from where, what, what became of it.
    pub(super) async fn note(&self, by: &Writer, status: u16, epoch: u64, changes: &[Difference]) {
        let changes: Vec<Value> = changes
            .iter()
            .map(|change| Value::Object(change.summary()))
            .collect();
        let mut line = json!({
            "time": rfc3339(now_ms()),
            "by": &*by.name,
            "from": by.from.map(|from| from.to_string()),
            "request": &*by.request,
            "status": status,
            "epoch": epoch,
            "changes": changes,
        });
        if let Some(action) = &by.action {
            line["action"] = json!(&*action.name);
            line["alert"] = json!(&*action.alert);
        }
        let _ = self.0.send(format!("{line}\n")).await;
    }
}

fn write(mut file: File, mut waiting: mpsc::Receiver<String>, path: &str) {
    let mut lines = Vec::new();
    let mut failing = false;
    while waiting.blocking_recv_many(&mut lines, AT_ONCE) > 0 {
        let result = file.write_all(lines.concat().as_bytes());
        lines.clear();
        if let Err(error) = &result
            && !failing
        {
            tracing::error!(message = "the audit log cannot be written", path, %error);
        }
        failing = result.is_err();
    }
}
