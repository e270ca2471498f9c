//! The configuration document as a person wrote it, edited element by element.
//!
//! All keys and their order stay; only the elements that change do: of `routes`, of `upstreams`
//! and of the lists under `entities`. A copy shares its elements, so that a change can be made
//! aside and thrown away.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::de::Deserialize as _;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};

use crate::admin::entity::{DOCUMENTS, Entity, EntityChange, Kind};
use crate::model::{self, Config, DOCUMENT_BYTES_MAX, Format, ocelot_in, parse_document};

/// Text up to this long stays on its line in YAML; folded, a long pattern could not be read.
const YAML_LINE_MAX: usize = 65_536;

/// A document that loads.
#[derive(Clone)]
pub(super) struct Document {
    format: Format,
    /// All keys; in place of the lists there is nothing.
    keys: Arc<Map<String, Value>>,
    /// In the order of [`Kind::ALL`].
    lists: Vec<Vec<Arc<Element>>>,
}

/// An element of a list.
struct Element {
    id: String,
    /// Never less than that of the element before it. Where a person has changed the order, it
    /// is not the age of the entity.
    age: u64,
    /// Whether it gets this id again when it is read: it has it, or it would be derived.
    settled: bool,
    value: Value,
}

impl std::fmt::Debug for Document {
    /// Without values: some of them are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.keys()).finish()
    }
}

impl Document {
    /// The document at `path`; none if it does not declare the routes and upstreams of `config`.
    pub(super) fn read(path: &Path, config: &Config) -> Option<Self> {
        Self::parse(&fs::read(path).ok()?, format_of(path), config)
    }

    /// The document that `text` is; none if it does not declare the routes and upstreams of
    /// `config`.
    pub(super) fn parse(text: &[u8], format: Format, config: &Config) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if ocelot_in(text, format).is_some() {
            return None;
        }
        let Value::Object(mut keys) = parse_document(text, format).ok()?.value else {
            return None;
        };
        let mut take = |kind: Kind| match keys.get_mut(kind.list()).map(Value::take) {
            Some(Value::Array(values)) => Some(values),
            None => Some(Vec::new()),
            Some(_) => None,
        };
        let upstreams = take(Kind::Upstream)?;
        let routes = take(Kind::Route)?;
        let mut lists = documents(&mut keys, config)?;
        let name = |upstream: &model::Upstream| upstream.name.clone();
        lists[Kind::Upstream.place()] = named(upstreams, &config.upstreams, name)?;
        let id = |route: &model::Route| route.id.clone().unwrap_or_else(|| route.derived_id());
        lists[Kind::Route.place()] = named(routes, &config.routes, id)?;
        let keys = Arc::new(keys);
        Some(Self {
            format,
            keys,
            lists,
        })
    }

    /// Kind, id, age and value of each element; upstreams first, each kind in its order.
    pub(super) fn elements(&self) -> impl Iterator<Item = (Kind, &str, u64, &Value)> {
        Kind::ALL.into_iter().flat_map(|kind| {
            let list = self.list(kind).iter();
            list.map(move |element| (kind, element.id.as_str(), element.age, &element.value))
        })
    }

    /// Takes over the ages that `old` knows, as far as the order of the elements allows.
    pub(super) fn keep_ages(&mut self, old: &Self) {
        for (list, old) in self.lists.iter_mut().zip(&old.lists) {
            let known: HashMap<&str, u64> = old
                .iter()
                .map(|element| (element.id.as_str(), element.age))
                .collect();
            let mut least = 0;
            for element in list.iter_mut().filter_map(Arc::get_mut) {
                least = known
                    .get(element.id.as_str())
                    .map_or(least, |age| least.max(*age));
                element.age = least;
            }
        }
    }

    /// The document after `changes`; none if they change nothing in it.
    pub(super) fn change(&self, changes: &[EntityChange]) -> Option<Self> {
        let mut next = self.clone();
        let mut changed = false;
        for kind in Kind::ALL {
            let of_kind = changes.iter().filter(|change| change.kind() == kind);
            let list = &mut next.lists[kind.place()];
            changed |= change_list(kind, list, of_kind);
            let key = if kind.is_document() {
                DOCUMENTS
            } else {
                kind.list()
            };
            if !list.is_empty() && !next.keys.contains_key(key) {
                Arc::make_mut(&mut next.keys).insert(key.to_owned(), Value::Null);
            }
        }
        changed.then_some(next)
    }

    /// The text of it, or why there is none that would load.
    pub(super) fn render(&self) -> Result<Vec<u8>, String> {
        let text = match self.format {
            Format::Json => {
                let mut text =
                    serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
                text.push(b'\n');
                text
            }
            Format::Yaml => self.render_yaml()?.into_bytes(),
        };
        if text.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err("it would be larger than 64 MiB; set store to embedded".into());
        }
        Ok(text)
    }

    fn render_yaml(&self) -> Result<String, String> {
        let options = serde_saphyr::ser_options! { folded_wrap_chars: YAML_LINE_MAX };
        let text = serde_saphyr::to_string_with_options(self, options)
            .map_err(|error| error.to_string())?;
        // YAML has more ways to say a thing than anybody can test: read what will be read.
        match parse_document(&text, Format::Yaml) {
            Ok(read) if self.is(&read.value) => Ok(text),
            _ => Err("written as YAML it would not read back the same; use a .json file".into()),
        }
    }

    fn is(&self, read: &Value) -> bool {
        read.as_object().is_some_and(|read| {
            read.keys().eq(self.keys.keys())
                && read.iter().all(|(key, value)| match list_kind(key) {
                    Some(kind) => self.is_list(kind, value),
                    None if key == DOCUMENTS => self.is_documents(value),
                    None => self.keys.get(key) == Some(value),
                })
        })
    }

    fn is_list(&self, kind: Kind, read: &Value) -> bool {
        let own = self.list(kind).iter().map(|element| &element.value);
        read.as_array().is_some_and(|values| values.iter().eq(own))
    }

    fn is_documents(&self, read: &Value) -> bool {
        let lists: Vec<Kind> = self.documents().collect();
        let unknown = self.unknown();
        read.as_object().is_some_and(|read| {
            read.len() == lists.len() + unknown.map_or(0, Map::len)
                && read.iter().all(|(key, value)| match Kind::of_list(key) {
                    Some(kind) => lists.contains(&kind) && self.is_list(kind, value),
                    None => unknown.and_then(|unknown| unknown.get(key)) == Some(value),
                })
        })
    }

    fn list(&self, kind: Kind) -> &[Arc<Element>] {
        &self.lists[kind.place()]
    }

    /// The kinds of documents that there are some of.
    fn documents(&self) -> impl Iterator<Item = Kind> {
        let all = Kind::ALL.into_iter();
        all.filter(|kind| kind.is_document() && !self.list(*kind).is_empty())
    }

    /// Lists of documents that nothing is known about.
    fn unknown(&self) -> Option<&Map<String, Value>> {
        self.keys.get(DOCUMENTS).and_then(Value::as_object)
    }
}

/// The lists under `entities`; those that are not known stay there.
fn documents(keys: &mut Map<String, Value>, config: &Config) -> Option<Vec<Vec<Arc<Element>>>> {
    let mut lists = vec![Vec::new(); Kind::ALL.len()];
    let unread = match keys.get_mut(DOCUMENTS) {
        None => return Some(lists),
        Some(Value::Object(unread)) => unread,
        Some(_) => return None,
    };
    let mut unknown = Map::new();
    for (list, values) in std::mem::take(unread) {
        let Some(kind) = Kind::of_list(&list) else {
            unknown.insert(list, values);
            continue;
        };
        let Value::Array(values) = values else {
            return None;
        };
        if config.entities.get(&list).map(Vec::len) != Some(values.len()) {
            return None;
        }
        let element = |(age, value): (u64, Value)| {
            let id = value.get(kind.id_key()).and_then(Value::as_str);
            let id = id.map_or_else(|| age.to_string(), str::to_owned);
            let settled = would_be_named(kind, &value, &id);
            Arc::new(Element {
                id,
                age,
                settled,
                value,
            })
        };
        lists[kind.place()] = (0..).zip(values).map(element).collect();
    }
    *unread = unknown;
    Some(lists)
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.keys.len()))?;
        for (key, value) in self.keys.iter() {
            match list_kind(key) {
                Some(kind) => map.serialize_entry(key, &Values(self.list(kind)))?,
                None if key == DOCUMENTS => map.serialize_entry(key, &Documents(self))?,
                None => map.serialize_entry(key, value)?,
            }
        }
        map.end()
    }
}

/// The lists of documents.
struct Documents<'a>(&'a Document);

impl Serialize for Documents<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(document) = self;
        let mut map = serializer.serialize_map(None)?;
        for kind in document.documents() {
            map.serialize_entry(kind.list(), &Values(document.list(kind)))?;
        }
        for (key, value) in document.unknown().into_iter().flatten() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// The values of a list.
struct Values<'a>(&'a [Arc<Element>]);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|element| &element.value))
    }
}

/// How the file at `path` is written; it has been loaded, so its name says it.
pub(super) fn format_of(path: &Path) -> Format {
    match path.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("json") => Format::Json,
        _ => Format::Yaml,
    }
}

fn list_kind(key: &str) -> Option<Kind> {
    Kind::TRAFFIC.into_iter().find(|kind| kind.list() == key)
}

/// Gives each value the id of what was read from it; none if something else was.
fn named<T>(
    values: Vec<Value>,
    declared: &[T],
    id: impl Fn(&T) -> String,
) -> Option<Vec<Arc<Element>>>
where
    T: for<'de> serde::Deserialize<'de> + PartialEq + Named,
{
    if values.len() != declared.len() {
        return None;
    }
    let element = |(age, (value, declared)): (u64, (Value, &T))| {
        let id = id(declared);
        let read = T::deserialize(&value).ok()?;
        let settled = read.would_be_named(&id);
        (read.named(&id) == *declared).then(|| {
            Arc::new(Element {
                id,
                age,
                settled,
                value,
            })
        })
    };
    (0..)
        .zip(values.into_iter().zip(declared))
        .map(element)
        .collect()
}

/// What may come without a name.
trait Named {
    /// Itself, named.
    fn named(self, id: &str) -> Self;
    /// Whether it has this name, or would get it if no other had it.
    fn would_be_named(&self, id: &str) -> bool;
}

impl Named for model::Route {
    fn named(self, id: &str) -> Self {
        Self {
            id: Some(id.to_owned()),
            ..self
        }
    }

    fn would_be_named(&self, id: &str) -> bool {
        self.id
            .as_ref()
            .map_or_else(|| self.derived_id() == id, |own| own == id)
    }
}

impl Named for model::Upstream {
    fn named(self, _: &str) -> Self {
        self
    }

    fn would_be_named(&self, id: &str) -> bool {
        self.name == id
    }
}

fn change_list<'c>(
    kind: Kind,
    list: &mut Vec<Arc<Element>>,
    changes: impl Iterator<Item = &'c EntityChange>,
) -> bool {
    let mut changes = changes.peekable();
    if changes.peek().is_none() {
        return false;
    }
    let mut places: HashMap<String, usize> = (0..)
        .zip(list.iter())
        .map(|(place, element)| (element.id.clone(), place))
        .collect();
    let mut slots: Vec<Option<Arc<Element>>> = list.drain(..).map(Some).collect();
    let mut changed = false;
    for change in changes {
        match change {
            EntityChange::Remove { id, .. } => {
                if let Some(place) = places.remove(id) {
                    changed |= take(&mut slots, place).is_some();
                }
            }
            EntityChange::Put(entity) => {
                let place = *places.entry(entity.id.clone()).or_insert_with(|| {
                    slots.push(None);
                    slots.len() - 1
                });
                let Some(slot) = slots.get_mut(place) else {
                    continue;
                };
                let old = slot.as_ref();
                let value = entity.value();
                if old.is_none_or(|old| old.value != value) {
                    let age = old.map_or(entity.age, |old| old.age);
                    *slot = Some(Element::of(entity, value, age));
                    changed = true;
                }
            }
        }
    }
    list.extend(slots.into_iter().flatten());
    if changed {
        // Stable: only new elements move, and only where a restored one is older than others.
        list.sort_by_key(|element| element.age);
        list.iter_mut().for_each(|element| pin(kind, element));
    }
    changed
}

impl Element {
    fn of(entity: &Entity, value: Value, age: u64) -> Arc<Self> {
        Arc::new(Self {
            id: entity.id.clone(),
            age,
            settled: would_be_named(entity.kind, &value, &entity.id),
            value,
        })
    }
}

fn take(slots: &mut [Option<Arc<Element>>], place: usize) -> Option<Arc<Element>> {
    slots.get_mut(place).and_then(Option::take)
}

/// Writes down the name of an element that would get another one when it is read again.
fn pin(kind: Kind, element: &mut Arc<Element>) {
    if element.settled {
        return;
    }
    let mut value = element.value.clone();
    if let Some(object) = value.as_object_mut() {
        object.shift_remove(kind.id_key());
        object.shift_insert(0, kind.id_key().to_owned(), element.id.clone().into());
    }
    let (id, age) = (element.id.clone(), element.age);
    *element = Arc::new(Element {
        id,
        age,
        settled: true,
        value,
    });
}

fn would_be_named(kind: Kind, value: &Value, id: &str) -> bool {
    match kind {
        Kind::Route => model::Route::deserialize(value).is_ok_and(|read| read.would_be_named(id)),
        Kind::Upstream | Kind::Document(_) => {
            value.get(kind.id_key()).and_then(Value::as_str) == Some(id)
        }
    }
}
