//! An `ocelot.json` as the store: the FileConfiguration with what is in force, and what Ocelot has
//! no word for under its member `Ringway`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::replace::replace;
use crate::admin::entity::{DOCUMENTS, Entity, EntityChange, Kind};
use crate::model::ocelot::{self, Folded, Naming, Ocelot, named};
use crate::model::{Config, DOCUMENT_BYTES_MAX, Format, Route, Upstream, ocelot_in};

/// The variable that names the environment, whose file is written too.
const ENVIRONMENT: &str = "ASPNETCORE_ENVIRONMENT";

/// The document, and all entities.
#[derive(Clone)]
pub(super) struct OcelotDocument {
    /// The settings under `Ringway`, as they are in the file.
    settings: Arc<Map<String, Value>>,
    entities: BTreeMap<(Kind, String), Arc<Entity>>,
}

impl std::fmt::Debug for OcelotDocument {
    /// Without values: some of them are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.settings.keys()).finish()
    }
}

impl OcelotDocument {
    /// The document that `text` is, if it is one; `config` is what was read from it.
    pub(super) fn parse(text: &[u8], config: &Config) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document = ocelot_in(text, Format::Json)?;
        let mut settings = Ocelot::read(&document).own;
        for list in [Kind::Route.list(), Kind::Upstream.list(), DOCUMENTS] {
            settings.shift_remove(list);
        }
        let entities = super::entities(None, config, super::FIRST_EPOCH);
        let entities = entities.into_iter();
        Some(Self {
            settings: Arc::new(settings),
            entities: entities
                .map(|entity| ((entity.kind, entity.id.clone()), Arc::new(entity)))
                .collect(),
        })
    }

    /// The document after `changes`; none if they change nothing in it.
    pub(super) fn change(&self, changes: &[EntityChange]) -> Option<Self> {
        let mut next = self.clone();
        let mut changed = false;
        for change in changes {
            match change {
                EntityChange::Put(entity) => {
                    let key = (entity.kind, entity.id.clone());
                    let old = next.entities.get(&key);
                    if old.is_none_or(|old| old.text != entity.text) {
                        next.entities.insert(key, Arc::new(entity.clone()));
                        changed = true;
                    }
                }
                EntityChange::Remove { kind, id, .. } => {
                    changed |= next.entities.remove(&(*kind, id.clone())).is_some();
                }
            }
        }
        changed.then_some(next)
    }

    /// The text of it, in PascalCase as Ocelot writes its file, or why there is none.
    pub(super) fn render(&self) -> Result<Vec<u8>, String> {
        let document = Kind::of_list(ocelot::LIST).and_then(|kind| self.get(kind, ocelot::ID));
        let document = document.map(|entity| entity.value()[ocelot::DOCUMENT].take());
        let document = document.unwrap_or_else(|| json!({"Routes": []}));
        let is_there = |route: &Route, upstream: Option<&Upstream>| {
            let id = route.id.as_deref().unwrap_or_default();
            self.has(Kind::Route, id, route)
                && upstream.is_none_or(|one| self.has(Kind::Upstream, &one.name, one))
        };
        let Folded { document, ids } = ocelot::fold(&document, is_there);
        let mut document = named(&document, Naming::Pascal);
        let mut own = (*self.settings).clone();
        let mut documents = Map::new();
        for kind in Kind::ALL {
            let values: Vec<Value> = self
                .of_kind(kind)
                .into_iter()
                .filter(|entity| kind.is_document() || !ids.contains(&entity.id))
                .map(|entity| entity.value())
                .collect();
            if values.is_empty() || kind.list() == ocelot::LIST {
                continue;
            }
            let into = if kind.is_document() {
                &mut documents
            } else {
                &mut own
            };
            into.insert(kind.list().to_owned(), Value::Array(values));
        }
        if !documents.is_empty() {
            own.insert(DOCUMENTS.to_owned(), Value::Object(documents));
        }
        if let Value::Object(members) = &mut document
            && !own.is_empty()
        {
            members.insert(ocelot::OWN.to_owned(), Value::Object(own));
        }
        let mut text = serde_json::to_vec_pretty(&document).map_err(|error| error.to_string())?;
        text.push(b'\n');
        if text.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err("it would be larger than 64 MiB; set store to embedded".into());
        }
        Ok(text)
    }

    fn get(&self, kind: Kind, id: &str) -> Option<&Arc<Entity>> {
        self.entities.get(&(kind, id.to_owned()))
    }

    /// Whether an entity is there and says the same.
    fn has<T>(&self, kind: Kind, id: &str, declared: &T) -> bool
    where
        T: for<'de> serde::Deserialize<'de> + PartialEq,
    {
        self.get(kind, id).is_some_and(|entity| {
            serde_json::from_value::<T>(entity.value()).is_ok_and(|read| read == *declared)
        })
    }

    /// All of a kind, the oldest first.
    fn of_kind(&self, kind: Kind) -> Vec<&Arc<Entity>> {
        let all = self.entities.iter();
        let mut found: Vec<&Arc<Entity>> = all
            .filter(|((of, _), _)| *of == kind)
            .map(|(_, entity)| entity)
            .collect();
        found.sort_by_key(|entity| entity.age);
        found
    }
}

/// Writes the same to the file of the environment, if there is one beside `path`: Ocelot reads that
/// one. It is the second copy, so a failure is only reported.
pub(super) fn write_environment(path: &Path, text: &[u8]) {
    let Some(other) = of_environment(path).filter(|other| other.is_file()) else {
        return;
    };
    if fs::read(&other).is_ok_and(|present| present == text) {
        return;
    }
    if let Err(error) = replace(&other, text, |_| Ok(())) {
        tracing::warn!(message = "the file of the environment stays as it was", %error);
    }
}

/// `ocelot.Production.json` for `ocelot.json`.
fn of_environment(path: &Path) -> Option<PathBuf> {
    let environment = std::env::var(ENVIRONMENT).ok()?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if environment.is_empty() || !environment.bytes().all(is_name) {
        return None;
    }
    let stem = path.file_stem()?.to_str()?;
    Some(path.with_file_name(format!("{stem}.{environment}.json")))
}
