//! History: what the last epochs changed, who asked for it, and the way back.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::clock::rfc3339;
use super::commit::{Difference, Was, Writer, name};
use super::entity::Kind;
use super::state::{Kept, State};

/// Epochs that are remembered.
const EPOCHS_MAX: usize = 1_024;
/// Bytes of entities that are remembered, over all epochs.
const BYTES_MAX: usize = 64 << 20;

/// The last epochs, the oldest first, without a gap.
#[derive(Default)]
pub(super) struct History {
    records: VecDeque<Rc<Record>>,
    bytes: usize,
}

/// One epoch.
pub(super) struct Record {
    pub(super) epoch: u64,
    pub(super) at: u64,
    pub(super) by: Vec<Writer>,
    pub(super) differences: Vec<Difference>,
    /// Server names that got other addresses.
    pub(super) resolved: Vec<String>,
    /// Whether settings came from the file.
    pub(super) settings: bool,
}

/// What an epoch has to be undone to be as it was.
pub(super) type Earlier = Vec<Was>;

impl History {
    pub(super) fn push(&mut self, record: Record) {
        self.bytes += record.bytes();
        self.records.push_back(Rc::new(record));
        while self.records.len() > EPOCHS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.records.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
        }
    }

    /// The epoch, if it is remembered.
    pub(super) fn get(&self, epoch: u64) -> Option<&Rc<Record>> {
        let first = self.records.front()?.epoch;
        self.records
            .get(usize::try_from(epoch.checked_sub(first)?).ok()?)
    }

    /// The newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Rc<Record>> {
        self.records.iter().rev()
    }

    /// The epochs after `epoch`, the oldest first; none if some of them are forgotten, or not made.
    pub(super) fn after(
        &self,
        epoch: u64,
        present: u64,
    ) -> Option<impl Iterator<Item = &Rc<Record>>> {
        let skip = match self.records.front() {
            _ if epoch == present => self.records.len(),
            Some(first) => usize::try_from((epoch + 1).checked_sub(first.epoch)?).ok()?,
            None => return None,
        };
        (epoch <= present).then(|| self.records.iter().skip(skip))
    }

    /// What was other at the end of `epoch` than it is now.
    pub(super) fn earlier(&self, epoch: u64, state: &State) -> Option<Earlier> {
        let mut then: HashMap<(Kind, Rc<str>), Option<Rc<Kept>>> = HashMap::new();
        for record in self.after(epoch, state.epoch())? {
            for difference in &record.differences {
                let key = (difference.kind, difference.id.clone());
                then.entry(key).or_insert_with(|| difference.before.clone());
            }
        }
        let mut earlier: Earlier = then
            .into_iter()
            .map(|((kind, id), kept)| (kind, id, kept))
            .collect();
        earlier.sort_by_key(|(_, _, kept)| kept.as_ref().map_or(u64::MAX, |kept| kept.age));
        Some(earlier)
    }
}

impl Record {
    fn bytes(&self) -> usize {
        let of = |kept: &Option<Rc<Kept>>| {
            kept.as_ref()
                .map_or(0, |kept| kept.text.packed().len() + 256)
        };
        let each = self.differences.iter();
        each.map(|difference| of(&difference.before) + of(&difference.after))
            .sum::<usize>()
            + 256
    }

    /// Number, time, who, what.
    pub(super) fn summary(&self) -> Value {
        self.show(|difference| difference.summary())
    }

    /// As [`Record::summary`], with every entity before and after.
    pub(super) fn detail(&self) -> Value {
        self.show(|difference| {
            let mut shown = difference.summary();
            let value = |kept: &Option<Rc<Kept>>| kept.as_ref().map(|kept| kept.value());
            shown.insert("before".into(), json!(value(&difference.before)));
            shown.insert("after".into(), json!(value(&difference.after)));
            shown
        })
    }

    /// As the stream of changes has it: with every entity as it is now.
    pub(super) fn event(&self) -> Value {
        self.show(|difference| {
            let mut shown = difference.summary();
            if let Some(after) = &difference.after {
                shown.insert("value".into(), after.value());
            }
            shown
        })
    }

    fn show(&self, each: impl Fn(&Difference) -> Map<String, Value>) -> Value {
        let by: Vec<Value> = self.by.iter().map(Writer::show).collect();
        let changes: Vec<Value> = self
            .differences
            .iter()
            .map(|difference| Value::Object(each(difference)))
            .collect();
        let mut shown = json!({
            "epoch": self.epoch,
            "time": rfc3339(self.at),
            "by": by,
            "changes": changes,
        });
        if !self.resolved.is_empty() {
            shown["resolved"] = json!(self.resolved);
        }
        if self.settings {
            shown["settings"] = Value::Bool(true);
        }
        shown
    }
}

impl Writer {
    /// Who, from where, with what request.
    pub(super) fn show(&self) -> Value {
        let mut shown = json!({"name": &*self.name, "request": &*self.request});
        if let Some(from) = self.from {
            shown["from"] = json!(from.to_string());
        }
        if let Some(action) = &self.action {
            shown["action"] = json!(&*action.name);
            shown["alert"] = json!(&*action.alert);
        }
        shown
    }
}

impl Difference {
    /// What became of which entity, and its revisions.
    pub(super) fn summary(&self) -> Map<String, Value> {
        let action = match (&self.before, &self.after) {
            (None, _) => "created",
            (Some(_), Some(_)) => "updated",
            (Some(_), None) => "removed",
        };
        let mut shown = Map::new();
        shown.insert("kind".into(), json!(name(self.kind)));
        shown.insert("id".into(), json!(&*self.id));
        shown.insert("action".into(), json!(action));
        for (key, kept) in [("before_revision", &self.before), ("revision", &self.after)] {
            if let Some(kept) = kept {
                shown.insert(key.into(), json!(kept.revision));
            }
        }
        shown
    }
}
