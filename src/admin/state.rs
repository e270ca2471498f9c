//! State: the entities in force, indexed by what is asked of them.
//!
//! An entity is kept as the JSON text of its native form: a tree of values would take ten times
//! the memory, and most answers are that text anyway.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use super::entity::{Collection, Entity, Kind};
use crate::epoch::Snapshot;
use crate::model::{self, Config};

/// An entity in force.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) kind: Kind,
    pub(super) id: Rc<str>,
    pub(super) revision: u64,
    pub(super) age: u64,
    pub(super) created_at: u64,
    pub(super) updated_at: u64,
    /// The upstream that a route uses.
    pub(super) upstream: Option<Box<str>>,
    /// The upstreams that share its requests beside that; most often none.
    parts: Box<[Box<str>]>,
    /// How many routes of the table it is: one for each host and path, none if it is disabled.
    pub(super) pieces: u32,
    /// The hash of what a route matches the path with.
    path: u64,
    /// The native form, as JSON.
    pub(super) text: Box<str>,
}

/// All entities of one kind.
#[derive(Debug, Default)]
pub(super) struct Entities {
    by_id: HashMap<Rc<str>, Rc<Kept>>,
    by_age: BTreeMap<u64, Rc<Kept>>,
    by_path: HashMap<u64, Few>,
    users: HashMap<Box<str>, BTreeSet<Rc<str>>>,
}

/// One in almost every case.
#[derive(Debug)]
enum Few {
    One(Rc<Kept>),
    More(Vec<Rc<Kept>>),
}

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
    pub(super) fn of(entity: &Entity) -> Self {
        let value = &entity.value;
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        Self {
            kind: entity.kind,
            id: entity.id.as_str().into(),
            revision: entity.revision,
            age: entity.age,
            created_at: entity.created_at,
            updated_at: entity.updated_at,
            upstream: text("upstream")
                .filter(|_| entity.kind == Kind::Route)
                .map(Into::into),
            parts: parts(entity),
            pieces: pieces(entity),
            path: if entity.kind == Kind::Route {
                path_hash(value)
            } else {
                0
            },
            text: value.to_string().into(),
        }
    }

    /// All upstreams that a route uses.
    fn used(&self) -> impl Iterator<Item = &str> {
        let parts = self.parts.iter();
        self.upstream.iter().chain(parts).map(|name| &**name)
    }

    pub(super) fn entity(&self) -> Entity {
        Entity {
            kind: self.kind,
            id: self.id.to_string(),
            revision: self.revision,
            age: self.age,
            created_at: self.created_at,
            updated_at: self.updated_at,
            value: self.value(),
        }
    }

    pub(super) fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub(super) fn route(&self) -> Option<model::Route> {
        serde_json::from_str(&self.text).ok()
    }

    pub(super) fn declared_upstream(&self) -> Option<model::Upstream> {
        serde_json::from_str(&self.text).ok()
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
        self.text.hash(&mut hasher);
        format!("\"{}-{:016x}\"", self.revision, hasher.finish())
    }
}

fn pieces(entity: &Entity) -> u32 {
    if entity.kind != Kind::Route || entity.value.get("enabled") == Some(&Value::Bool(false)) {
        return 0;
    }
    let also = entity.value.get("also").and_then(Value::as_array);
    1 + also.map_or(0, |also| also.len() as u32)
}

/// The upstreams that a route uses beside its own: those that share its requests, the one that is
/// asked about them, and the one that gets copies.
fn parts(entity: &Entity) -> Box<[Box<str>]> {
    if entity.kind != Kind::Route {
        return Box::default();
    }
    let split = entity.value.get("traffic_split");
    let targets = split.and_then(Value::as_array).into_iter().flatten();
    let asked = entity.value.pointer("/auth/forward");
    let users = targets.chain(asked);
    let users = users.filter_map(|user| user.get("upstream")?.as_str());
    let mirror = entity.value.get("mirror").and_then(Value::as_str);
    users.chain(mirror).map(Into::into).collect()
}

/// The keys that a route may match the path with.
const PATH_KEYS: [&str; 4] = ["path_prefix", "path", "path_template", "path_regex"];

/// The hash of what the route `value` matches the path with.
fn path_hash(value: &Value) -> u64 {
    let given = PATH_KEYS
        .iter()
        .find_map(|key| Some((key, value.get(key)?.as_str()?)));
    let (key, path) = given.unwrap_or((&"", ""));
    hash_of(key, path)
}

fn hash_of(key: &str, path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, path).hash(&mut hasher);
    hasher.finish()
}

/// What a route matches the path with, as it was written.
pub(super) fn path_of(value: &Value) -> Option<&str> {
    PATH_KEYS.iter().find_map(|key| value.get(key)?.as_str())
}

// === impl Entities ===

impl Entities {
    pub(super) fn get(&self, id: &str) -> Option<&Rc<Kept>> {
        self.by_id.get(id)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Rc<Kept>> {
        self.by_age.values()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.by_id.keys().map(|id| &**id)
    }

    /// The routes that match the path with what the route `value` has, or none by chance.
    pub(super) fn like(&self, value: &Value) -> &[Rc<Kept>] {
        self.at(path_hash(value))
    }

    /// The routes with this `path_prefix`.
    pub(super) fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = &Rc<Kept>> {
        let found = self.at(hash_of("path_prefix", prefix)).iter();
        found.filter(move |route| {
            route.value().get("path_prefix").and_then(Value::as_str) == Some(prefix)
        })
    }

    fn at(&self, path: u64) -> &[Rc<Kept>] {
        match self.by_path.get(&path) {
            None => &[],
            Some(Few::One(one)) => std::slice::from_ref(one),
            Some(Few::More(more)) => more,
        }
    }

    /// The ids of the routes that use an upstream.
    pub(super) fn users(&self, upstream: &str) -> impl Iterator<Item = &Rc<str>> {
        self.users.get(upstream).into_iter().flatten()
    }

    /// Adds an entity, or puts it in the place of the one with its id.
    pub(super) fn put(&mut self, kept: Rc<Kept>) {
        self.remove(&kept.id);
        for upstream in kept.used() {
            self.users
                .entry(upstream.into())
                .or_default()
                .insert(kept.id.clone());
        }
        if kept.kind == Kind::Route {
            match self.by_path.get_mut(&kept.path) {
                None => {
                    self.by_path.insert(kept.path, Few::One(kept.clone()));
                }
                Some(Few::More(more)) => more.push(kept.clone()),
                Some(few) => {
                    let Few::One(one) = &*few else { return };
                    *few = Few::More(vec![one.clone(), kept.clone()]);
                }
            }
        }
        self.by_age.insert(kept.age, kept.clone());
        self.by_id.insert(kept.id.clone(), kept);
    }

    /// Takes out the entity with this id.
    pub(super) fn remove(&mut self, id: &str) -> Option<Rc<Kept>> {
        let kept = self.by_id.remove(id)?;
        self.by_age.remove(&kept.age);
        for upstream in kept.used() {
            if let Some(users) = self.users.get_mut(upstream) {
                users.remove(id);
                if users.is_empty() {
                    self.users.remove(upstream);
                }
            }
        }
        if let Some(few) = self.by_path.get_mut(&kept.path) {
            match few {
                Few::More(more) if more.len() > 1 => more.retain(|one| one.id != kept.id),
                Few::More(_) | Few::One(_) => {
                    self.by_path.remove(&kept.path);
                }
            }
        }
        Some(kept)
    }
}

// === impl State ===

impl State {
    pub(super) fn of(snapshot: Arc<Snapshot>, config: Config, entities: &[Entity]) -> Self {
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
        for entity in entities {
            state.next_age = state.next_age.max(entity.age + 1);
            state
                .of_kind_mut(entity.kind)
                .put(Rc::new(Kept::of(entity)));
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
