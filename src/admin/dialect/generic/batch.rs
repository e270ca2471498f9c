//! Batch: what the lines of a batch mean, as one write.
//!
//! A line of the sort that comes by the million takes the short way of `plain`; every other takes
//! the way of a single entity, the whole of it or nothing.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde_json::{Value, json};

use super::access::Rights;
use super::act::{EntityWrite, Outcome, Step, put_own};
use super::body::{self, Content};
use super::catalogue::{Resource, View};
use super::fault::Fault;
use super::patch::Patch;
use super::plain::{Buffers, Plain};
use crate::admin::commit::{Act, Difference, Done, Refusal};
use crate::admin::condition::Conditions;
use crate::admin::entity::{Entity, Kind};
use crate::admin::stage::Stage;
use crate::admin::state::{Facts, Kept};
use crate::model::Upstream;

/// Bytes of a line.
pub(super) const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Lines that the table takes at once.
const FLUSH_LINES: usize = 1_024;
/// Tells an entity that is there already from every other fault.
const EXISTS: u16 = 409;

/// What is done with each line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    Create,
    Delete,
    Patch,
    Update,
}

/// What a request asks of each of its lines.
pub(super) struct Asked {
    pub(super) resource: &'static Resource,
    pub(super) verb: Verb,
    pub(super) rights: Rc<Rights>,
    pub(super) servers: RefCell<Servers>,
}

impl Asked {
    /// What is said of each line that is done, before and after its id.
    pub(super) fn frame(&self) -> (String, String) {
        let (status, word) = self.verb.success();
        (
            format!("{{\"status\":{status},\"{word}\":true,\"id\":"),
            format!(",\"id_field\":\"{}\"}}\n", self.resource.id_key),
        )
    }

    /// What a line asks for.
    fn step(&self, text: Option<&[u8]>) -> Result<Step, Fault> {
        let text = text.ok_or_else(|| {
            Fault::bad_request(format!("the line has more than {LINE_BYTES_MAX} bytes"))
        })?;
        let mut value = body::entity(text)?;
        if let Verb::Create = self.verb {
            return Ok(Step::Create(Content::Entity(value)));
        }
        let key = self.resource.id_key;
        let id = value.get(key).or_else(|| value.get("id"));
        let id = id
            .and_then(Value::as_str)
            .filter(|id| !id.is_empty())
            .ok_or_else(|| Fault::bad_request(format!("the line has no {key}")))?
            .to_owned();
        Ok(match self.verb {
            Verb::Delete => Step::Delete(id),
            Verb::Patch => {
                let patch = value.get_mut("patch").map(Value::take).unwrap_or_default();
                Step::Patch(id, Patch::operations(patch).map_err(Fault::bad_request)?)
            }
            Verb::Create | Verb::Update => Step::Replace(id, Content::Entity(value)),
        })
    }
}

/// Lines to be done, in their order.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// The number of each, and where its text is unless it was too long.
    each: Vec<(u64, Option<Range<usize>>)>,
}

impl Lines {
    /// Adds one: its number, and its text unless it was too long.
    pub(super) fn add(&mut self, number: u64, text: Option<&[u8]>) {
        let start = self.bytes.len();
        let place = text.map(|text| {
            self.bytes.extend_from_slice(text);
            start..self.bytes.len()
        });
        self.each.push((number, place));
    }

    pub(super) fn len(&self) -> usize {
        self.each.len()
    }

    /// Bytes of all texts.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.each.iter().map(|(number, _)| *number)
    }

    fn iter(&self) -> impl Iterator<Item = (u64, Option<&[u8]>)> {
        self.each.iter().map(|(number, place)| {
            let place = place.clone();
            (*number, place.and_then(|place| self.bytes.get(place)))
        })
    }
}

/// What became of a line: the id of its entity, if it is done.
pub(super) type LineResult = (u64, Result<Rc<str>, Box<LineFault>>);

/// Why a line is not done, and what it says if it can be read.
#[derive(Clone)]
pub(super) struct LineFault {
    fault: Fault,
    entity: Option<Value>,
}

impl LineFault {
    pub(super) fn of(fault: Fault, entity: Option<Value>) -> Box<Self> {
        Box::new(Self { fault, entity })
    }

    /// Writes what is said of the line.
    pub(super) fn show(&self, line: u64, text: &mut Vec<u8>) {
        let mut shown = json!({
            "status": self.fault.status,
            "error": self.fault.error,
            "error_description": self.fault.description,
            "line": line,
        });
        if let Some(entity) = &self.entity {
            shown["entity"] = entity.clone();
        }
        // Writing to memory never fails.
        let _ = serde_json::to_writer(&mut *text, &shown);
        text.push(b'\n');
    }
}

/// A batch of lines as one write.
pub(super) struct BatchWrite {
    pub(super) asked: Rc<Asked>,
    pub(super) lines: Lines,
    pub(super) atomic: bool,
    pub(super) results: Rc<RefCell<Vec<LineResult>>>,
}

impl std::fmt::Debug for BatchWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchWrite")
            .field("lines", &self.lines.len())
            .finish_non_exhaustive()
    }
}

impl Act for BatchWrite {
    fn act(&self, stage: &mut Stage<'_>) -> Result<Done, Refusal> {
        let mut all = Done::of_all(stage.epoch, Vec::new());
        let mut results = Vec::with_capacity(self.lines.len());
        let mut failed = false;
        for (index, (number, text)) in self.lines.iter().enumerate() {
            if index % FLUSH_LINES == 0 {
                stage.flush_table()?;
            }
            if let Some(id) = self.plain(stage, text, &mut all.differences)? {
                results.push((number, Ok(id)));
                continue;
            }
            stage.flush()?;
            let result = self.line(stage, text).map(|(outcome, done)| {
                all.differences.extend(done.differences);
                outcome.id
            });
            failed |= result.is_err();
            results.push((number, result));
        }
        if self.atomic && failed {
            let undone = Fault {
                status: 400,
                error: "not_applied",
                description: json!("another line failed, and all were to be done or none"),
            };
            for (_, result) in results.iter_mut().filter(|(_, result)| result.is_ok()) {
                *result = Err(LineFault::of(undone.clone(), None));
            }
            *self.results.borrow_mut() = results;
            return Err(undone.into());
        }
        *self.results.borrow_mut() = results;
        Ok(all)
    }
}

impl BatchWrite {
    /// One line of the sort that comes by the million: the id of its route; none if it is another
    /// line, or not right, and then nothing has happened.
    fn plain(
        &self,
        stage: &mut Stage<'_>,
        text: Option<&[u8]>,
        differences: &mut Vec<Difference>,
    ) -> Result<Option<Rc<str>>, Refusal> {
        let asked = &*self.asked;
        let is_open = asked.resource.view == View::Route && asked.rights.is_everywhere();
        if !is_open || !matches!(asked.verb, Verb::Create | Verb::Update) {
            return Ok(None);
        }
        let Some(plain) = text.and_then(Plain::read) else {
            return Ok(None);
        };
        let before = stage.get(Kind::Route, plain.id());
        match (asked.verb, &before) {
            (Verb::Create, Some(_)) | (Verb::Update, None) => return Ok(None),
            _ => {}
        }
        let mut servers = asked.servers.borrow_mut();
        let Some((upstream, new)) = servers.upstream(&plain, stage) else {
            return Ok(None);
        };
        if stage.has_template(plain.id()) {
            return Ok(None);
        }
        let Some((route, text)) = plain.native(&upstream, &mut servers.buffers) else {
            return Ok(None);
        };
        if let Some(new) = new {
            stage.flush()?;
            let Ok(put) = put_own(stage, &new) else {
                return Ok(None);
            };
            differences.extend(Difference::of(None, Some(put)));
        }
        let since = match &before {
            Some(before) if before.is_written(&text) => {
                return Ok(Some(before.id.clone()));
            }
            Some(before) => (before.age, before.created_at),
            None => {
                stage.next_age += 1;
                (stage.next_age - 1, stage.now)
            }
        };
        let facts = Facts::of(route, |_| upstream);
        let entity = Entity {
            kind: Kind::Route,
            id: route.id.clone().unwrap_or_default(),
            revision: stage.epoch,
            age: since.0,
            created_at: since.1,
            updated_at: stage.now,
            text,
        };
        let after = Rc::new(Kept::of(entity, facts));
        stage.put_later(after.clone(), route, before.as_ref())?;
        let id = after.id.clone();
        differences.extend(Difference::of(before, Some(after)));
        Ok(Some(id))
    }

    /// One line, the whole of it or nothing.
    fn line(
        &self,
        stage: &mut Stage<'_>,
        text: Option<&[u8]>,
    ) -> Result<(Outcome, Done), Box<LineFault>> {
        // What a line says is shown where it fails, if it says anything.
        let entity = || serde_json::from_slice(text?).ok();
        let step = self
            .asked
            .step(text)
            .map_err(|fault| LineFault::of(fault, entity()))?;
        let act = EntityWrite {
            resource: self.asked.resource,
            rights: self.asked.rights.clone(),
            step: RefCell::default(),
            conditions: Conditions::default(),
            exists_status: EXISTS,
            shows: false,
            outcome: Rc::default(),
        };
        let mark = stage.mark();
        act.perform(stage, step).map_err(|refusal| {
            stage.roll_back(mark);
            LineFault::of(self.asked.verb.word_for(refusal.into()), entity())
        })
    }
}

impl Verb {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Create => "BULK_CREATE",
            Self::Update => "BULK_UPDATE",
            Self::Patch => "BULK_PATCH",
            Self::Delete => "BULK_DELETED",
        }
    }

    fn success(self) -> (u16, &'static str) {
        match self {
            Self::Create => (201, "created"),
            Self::Update | Self::Patch => (200, "updated"),
            Self::Delete => (200, "deleted"),
        }
    }

    /// A fault in the words that lines have for it.
    fn word_for(self, fault: Fault) -> Fault {
        let (status, description) = match (self, fault.status) {
            (Self::Create, EXISTS) if fault.error == "conflict" => {
                (400, json!("entity already exists"))
            }
            (Self::Patch, 404) => (400, json!({"error": "entity not found"})),
            (_, 404) => (404, json!("entity does not exists")),
            _ => return fault,
        };
        Fault {
            status,
            error: "bad_entity",
            description,
        }
    }
}

/// The upstreams that lines were found to have, so that each is made once.
#[derive(Default)]
pub(super) struct Servers {
    known: HashMap<Box<[u8]>, Arc<str>, RandomState>,
    key: Vec<u8>,
    buffers: Buffers,
}

/// Upstreams that are remembered.
const SERVERS_MAX: usize = 4_096;

impl Servers {
    /// The upstream of a route, and what it says if it is not there yet.
    fn upstream(
        &mut self,
        plain: &Plain<'_>,
        stage: &Stage<'_>,
    ) -> Option<(Arc<str>, Option<Upstream>)> {
        plain.servers_key(&mut self.key);
        let known = self.known.get(self.key.as_slice());
        if let Some(name) = known.filter(|name| stage.get(Kind::Upstream, name).is_some()) {
            return Some((name.clone(), None));
        }
        let upstream = plain.upstream()?;
        let name: Arc<str> = upstream.name.as_str().into();
        if self.known.len() == SERVERS_MAX {
            self.known.clear();
        }
        self.known.insert(self.key.as_slice().into(), name.clone());
        let is_new = stage.get(Kind::Upstream, &name).is_none();
        Some((name, is_new.then_some(upstream)))
    }
}
