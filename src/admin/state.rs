//! State: the entities in force, indexed by what is asked of them.
//!
//! An entity is kept as the packed JSON text of its native form: a tree of values would take
//! thirty times the memory. The indices hold numbers and one pointer for each entity.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;
use serde_json::Value;

use super::entity::{Collection, Entity, Kind, Text};
use super::sorted::Sorted;
use crate::epoch::Snapshot;
use crate::model::{self, Config};

/// An entity in force.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) kind: Kind,
    /// How many routes of the table it is: one for each host and path, none if it is disabled.
    pub(super) pieces: u16,
    /// The hash of what a route matches the path with.
    path: u32,
    pub(super) id: Rc<str>,
    pub(super) revision: u64,
    pub(super) age: u64,
    pub(super) created_at: u64,
    pub(super) updated_at: u64,
    /// The upstream that a route uses.
    pub(super) upstream: Option<Arc<str>>,
    /// The upstreams that share its requests beside that; most often none.
    parts: Option<Box<Parts>>,
    /// The native form, as JSON.
    pub(super) text: Text,
}

/// What the indices have of a route; what is none has none of it.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pieces: u16,
    path: u32,
    upstream: Option<Arc<str>>,
    parts: Option<Box<Parts>>,
}

/// Upstreams by name.
#[derive(Debug)]
struct Parts(Box<[Box<str>]>);

/// What one entity may cost beside its texts; there may be a million.
const _: () = assert!(size_of::<Kept>() <= 96);

/// All entities of one kind.
#[derive(Debug, Default)]
pub(super) struct Entities {
    by_id: HashSet<ById>,
    by_age: Ages,
    /// The hash of what a route matches the path with, and its age.
    by_path: Sorted<(u32, u64)>,
    /// The ages of the routes that use an upstream.
    users: HashMap<Arc<str>, Sorted<u64>>,
}

/// An entity that is found by its id.
#[derive(Debug)]
struct ById(Rc<Kept>);

/// Entities by age. Ages are given out one after the other, so they lie close together.
#[derive(Debug, Default)]
struct Ages {
    /// By the age of the first place, divided by the places of a page.
    pages: BTreeMap<u64, Page>,
}

/// The places for the ages from one on.
type Page = Box<[Option<Rc<Kept>>; PAGE]>;

/// Places of a page.
const PAGE: usize = 64;

/// Names come from clients, so the hash has a secret.
type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
type HashSet<K> = std::collections::HashSet<K, RandomState>;

/// The secret of the hashes that are kept.
static SECRET: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// What is in force, and what belongs to it.
pub(super) struct State {
    /// What the cores were last given.
    pub(super) snapshot: Arc<Snapshot>,
    /// The settings; its routes and upstreams are empty, the entities have them.
    pub(super) config: Config,
    pub(super) routes: Entities,
    pub(super) upstreams: Entities,
    documents: [Entities; Collection::COUNT],
    /// The epoch of the last change of each kind.
    pub(super) changed: Changed,
    /// The age of the next new entity.
    pub(super) next_age: u64,
    /// Where the file differs from what is in force, since the last reload.
    pub(super) pending: Vec<String>,
    /// Why the last reload failed, if it did.
    pub(super) last_reload_error: Option<String>,
}

/// The epoch of the last change of each kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed {
    pub(super) routes: u64,
    pub(super) upstreams: u64,
    pub(super) documents: u64,
}

// === impl Kept ===

impl Kept {
    pub(super) fn of(entity: Entity, facts: Facts) -> Self {
        Self {
            kind: entity.kind,
            pieces: facts.pieces,
            path: facts.path,
            id: entity.id.into(),
            revision: entity.revision,
            age: entity.age,
            created_at: entity.created_at,
            updated_at: entity.updated_at,
            upstream: facts.upstream,
            parts: facts.parts,
            text: entity.text,
        }
    }

    /// All upstreams that a route uses.
    fn used(&self) -> impl Iterator<Item = &str> {
        let parts = self.parts.iter().flat_map(|parts| parts.0.iter());
        let parts = parts.map(|name| &**name);
        self.upstream.as_deref().into_iter().chain(parts)
    }

    pub(super) fn entity(&self) -> Entity {
        Entity {
            kind: self.kind,
            id: self.id.to_string(),
            revision: self.revision,
            age: self.age,
            created_at: self.created_at,
            updated_at: self.updated_at,
            text: self.text.clone(),
        }
    }

    pub(super) fn value(&self) -> Value {
        serde_json::from_str(&self.text.json()).unwrap_or_default()
    }

    /// Whether it is this text, or the same in other words.
    pub(super) fn is_written(&self, text: &Text) -> bool {
        self.text == *text
            || serde_json::from_str::<Value>(&text.json()).is_ok_and(|text| self.value() == text)
    }

    pub(super) fn route(&self) -> Option<model::Route> {
        serde_json::from_str(&self.text.json()).ok()
    }

    pub(super) fn declared_upstream(&self) -> Option<model::Upstream> {
        serde_json::from_str(&self.text.json()).ok()
    }

    /// Whether the declarations mean the same, defaults written out or not.
    pub(super) fn means(&self, other: &Value) -> bool {
        match self.kind {
            Kind::Route => self.route().is_some_and(|route| {
                serde_json::from_value::<model::Route>(other.clone()).is_ok_and(|one| one == route)
            }),
            Kind::Upstream => self.declared_upstream().is_some_and(|upstream| {
                serde_json::from_value::<model::Upstream>(other.clone())
                    .is_ok_and(|one| one == upstream)
            }),
            Kind::Document(_) => self.value() == *other,
        }
    }

    /// The entity tag: it also tells apart what two processes made in epochs of one number.
    pub(super) fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.packed().hash(&mut hasher);
        format!("\"{}-{:016x}\"", self.revision, hasher.finish())
    }
}

// === impl Facts ===

impl Facts {
    /// Those of a route; `shared` has the name of an upstream as others have it.
    pub(super) fn of(route: &model::Route, shared: impl FnOnce(&str) -> Arc<str>) -> Self {
        let upstream = route.upstream.as_deref();
        let others = route.upstreams().skip(usize::from(upstream.is_some()));
        let parts: Box<[Box<str>]> = others.map(Into::into).collect();
        let further = u16::try_from(route.also.len()).unwrap_or(u16::MAX - 1);
        Self {
            pieces: if route.enabled { 1 + further } else { 0 },
            path: path_hash([
                route.path_prefix.as_deref(),
                route.path.as_deref(),
                route.path_template.as_deref(),
                route.path_regex.as_deref(),
            ]),
            upstream: upstream.map(shared),
            parts: (!parts.is_empty()).then(|| Box::new(Parts(parts))),
        }
    }
}

/// The keys that a route may match the path with.
const PATH_KEYS: [&str; 4] = ["path_prefix", "path", "path_template", "path_regex"];

/// The hash of what a route matches the path with, by the places of the keys.
fn path_hash(given: [Option<&str>; 4]) -> u32 {
    let given = given.into_iter().enumerate();
    let mut given = given.filter_map(|(key, path)| Some((key, path?)));
    SECRET.hash_one(given.next().unwrap_or((PATH_KEYS.len(), ""))) as u32
}

/// What a route matches the path with, as it was written.
pub(super) fn path_of(value: &Value) -> Option<&str> {
    PATH_KEYS.iter().find_map(|key| value.get(key)?.as_str())
}

// === impl Entities ===

impl Entities {
    pub(super) fn get(&self, id: &str) -> Option<&Rc<Kept>> {
        self.by_id.get(id).map(|found| &found.0)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Rc<Kept>> {
        self.by_age.iter()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.by_id.iter().map(|found| &*found.0.id)
    }

    /// The routes that match the path with what the route `value` has, or none by chance.
    pub(super) fn like(&self, value: &Value) -> impl Iterator<Item = &Rc<Kept>> {
        let given = PATH_KEYS.map(|key| value.get(key).and_then(Value::as_str));
        self.at(path_hash(given))
    }

    /// The routes with this `path_prefix`.
    pub(super) fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = &Rc<Kept>> {
        let found = self.at(path_hash([Some(prefix), None, None, None]));
        found.filter(move |route| {
            route.value().get("path_prefix").and_then(Value::as_str) == Some(prefix)
        })
    }

    fn at(&self, path: u32) -> impl Iterator<Item = &Rc<Kept>> {
        let found = self.by_path.range((path, 0), (path, u64::MAX));
        found.filter_map(|(_, age)| self.by_age.get(age))
    }

    /// The name of an upstream, as the routes that use it have it.
    pub(super) fn shared(&self, upstream: &str) -> Arc<str> {
        match self.users.get_key_value(upstream) {
            Some((known, _)) => known.clone(),
            None => upstream.into(),
        }
    }

    /// The ids of the routes that use an upstream.
    pub(super) fn users(&self, upstream: &str) -> impl Iterator<Item = &Rc<str>> {
        let ages = self.users.get(upstream).into_iter();
        let ages = ages.flat_map(|ages| ages.iter());
        ages.filter_map(|age| Some(&self.by_age.get(age)?.id))
    }

    /// Adds an entity, or puts it in the place of the one with its id.
    pub(super) fn put(&mut self, kept: Rc<Kept>) {
        self.remove(&kept.id);
        self.add(kept);
    }

    /// Adds an entity whose id is not there.
    pub(super) fn add(&mut self, kept: Rc<Kept>) {
        self.add_id(kept.clone());
        self.index(kept);
    }

    /// The same, but it is found by its id alone until [`Entities::index`].
    pub(super) fn add_id(&mut self, kept: Rc<Kept>) {
        self.by_id.insert(ById(kept));
    }

    /// Makes an entity that is found by its id found by all else.
    pub(super) fn index(&mut self, kept: Rc<Kept>) {
        for upstream in kept.used() {
            match self.users.get_mut(upstream) {
                Some(users) => users.insert(kept.age),
                None => {
                    let mut users = Sorted::default();
                    users.insert(kept.age);
                    // Most often the name that the route has: it is kept once.
                    let own = kept.upstream.as_ref().filter(|own| ***own == *upstream);
                    let name = own.cloned().unwrap_or_else(|| upstream.into());
                    self.users.insert(name, users);
                }
            }
        }
        if kept.kind == Kind::Route {
            self.by_path.insert((kept.path, kept.age));
        }
        self.by_age.insert(kept);
    }

    /// Takes out the entity with this id.
    pub(super) fn remove(&mut self, id: &str) -> Option<Rc<Kept>> {
        let ById(kept) = self.by_id.take(id)?;
        self.by_age.remove(kept.age);
        for upstream in kept.used() {
            if let Some(users) = self.users.get_mut(upstream) {
                users.remove(kept.age);
                if users.is_empty() {
                    self.users.remove(upstream);
                }
            }
        }
        if kept.kind == Kind::Route {
            self.by_path.remove((kept.path, kept.age));
        }
        Some(kept)
    }
}

// === impl ById ===

impl Borrow<str> for ById {
    fn borrow(&self) -> &str {
        &self.0.id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.0.id.hash(hasher);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

// === impl Ages ===

impl Ages {
    fn get(&self, age: u64) -> Option<&Rc<Kept>> {
        let (page, place) = place_of(age);
        self.pages.get(&page)?.get(place)?.as_ref()
    }

    fn iter(&self) -> impl Iterator<Item = &Rc<Kept>> {
        self.pages.values().flat_map(|page| page.iter().flatten())
    }

    fn insert(&mut self, kept: Rc<Kept>) {
        let (page, place) = place_of(kept.age);
        let empty = || Box::new([const { None }; PAGE]);
        let page = self.pages.entry(page).or_insert_with(empty);
        if let Some(place) = page.get_mut(place) {
            *place = Some(kept);
        }
    }

    fn remove(&mut self, age: u64) {
        let (number, place) = place_of(age);
        let Some(page) = self.pages.get_mut(&number) else {
            return;
        };
        if let Some(place) = page.get_mut(place) {
            *place = None;
        }
        if page.iter().all(Option::is_none) {
            self.pages.remove(&number);
        }
    }
}

/// The page of an age, and the place there.
fn place_of(age: u64) -> (u64, usize) {
    let places = PAGE as u64;
    (age / places, (age % places) as usize)
}

// === impl State ===

impl State {
    pub(super) fn of(
        snapshot: Arc<Snapshot>,
        config: Config,
        entities: impl Iterator<Item = (Entity, Facts)>,
    ) -> Self {
        let epoch = snapshot.epoch;
        let mut state = Self {
            snapshot,
            config,
            routes: Entities::default(),
            upstreams: Entities::default(),
            documents: std::array::from_fn(|_| Entities::default()),
            changed: Changed {
                routes: epoch,
                upstreams: epoch,
                documents: epoch,
            },
            next_age: 0,
            pending: Vec::new(),
            last_reload_error: None,
        };
        for (entity, facts) in entities {
            state.next_age = state.next_age.max(entity.age + 1);
            let kept = Kept::of(entity, facts);
            state.of_kind_mut(kept.kind).put(Rc::new(kept));
        }
        state
    }

    pub(super) fn epoch(&self) -> u64 {
        self.snapshot.epoch
    }

    pub(super) fn of_kind(&self, kind: Kind) -> &Entities {
        match kind {
            Kind::Route => &self.routes,
            Kind::Upstream => &self.upstreams,
            Kind::Document(collection) => &self.documents[collection.index()],
        }
    }

    pub(super) fn of_kind_mut(&mut self, kind: Kind) -> &mut Entities {
        match kind {
            Kind::Route => &mut self.routes,
            Kind::Upstream => &mut self.upstreams,
            Kind::Document(collection) => &mut self.documents[collection.index()],
        }
    }
}

impl Changed {
    pub(super) fn of_kind(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Route => self.routes,
            Kind::Upstream => self.upstreams,
            Kind::Document(_) => self.documents,
        }
    }

    pub(super) fn set(&mut self, kind: Kind, epoch: u64) {
        match kind {
            Kind::Route => self.routes = epoch,
            Kind::Upstream => self.upstreams = epoch,
            Kind::Document(_) => self.documents = epoch,
        }
    }
}
