//! State: the entities in force, indexed by what is asked of them.
//!
//! An entity is kept as the JSON text of its native form: a tree of values would take ten times
//! the memory, and most answers are that text anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;
use serde::Deserialize;
use serde::de::IgnoredAny;
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
    pub(super) upstream: Option<Arc<str>>,
    /// The upstreams that share its requests beside that; most often none.
    parts: Box<[Box<str>]>,
    /// How many routes of the table it is: one for each host and path, none if it is disabled.
    pub(super) pieces: u32,
    /// The hash of what a route matches the path with.
    path: u64,
    /// The native form, as JSON.
    pub(super) text: Arc<str>,
}

/// All entities of one kind.
#[derive(Debug, Default)]
pub(super) struct Entities {
    by_id: HashMap<Rc<str>, Rc<Kept>>,
    by_age: BTreeMap<u64, Rc<Kept>>,
    /// The hash of what a route matches the path with, and its age.
    by_path: BTreeSet<(u64, u64)>,
    /// The ages of the routes that use an upstream.
    users: HashMap<Arc<str>, BTreeSet<u64>>,
}

/// Names come from clients, so the hash has a secret.
type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

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
    pub(super) fn of(entity: &Entity) -> Self {
        let head: Head = match entity.kind {
            // What is no route has none of this.
            Kind::Route => serde_json::from_str(&entity.text).unwrap_or_default(),
            Kind::Upstream | Kind::Document(_) => Head::default(),
        };
        let is_route = entity.kind == Kind::Route;
        let asked = head.auth.forward.into_iter();
        let parts = head.traffic_split.into_iter().chain(asked);
        let parts = parts.map(|part| part.upstream).chain(head.mirror);
        Self {
            kind: entity.kind,
            id: entity.id.as_str().into(),
            revision: entity.revision,
            age: entity.age,
            created_at: entity.created_at,
            updated_at: entity.updated_at,
            upstream: head.upstream.map(Into::into),
            parts: parts.map(Into::into).collect(),
            pieces: match is_route && head.enabled != Some(false) {
                true => 1 + head.also.len() as u32,
                false => 0,
            },
            path: match is_route {
                true => path_hash([
                    head.path_prefix.as_deref(),
                    head.path.as_deref(),
                    head.path_template.as_deref(),
                    head.path_regex.as_deref(),
                ]),
                false => 0,
            },
            text: entity.text.clone(),
        }
    }

    /// A route that is enabled and has one host and path and one upstream. The numbers are its
    /// revision and age, and when it was made and changed.
    pub(super) fn of_plain(
        route: &model::Route,
        upstream: Arc<str>,
        text: Arc<str>,
        (revision, age, created_at, updated_at): (u64, u64, u64, u64),
    ) -> Self {
        Self {
            kind: Kind::Route,
            id: route.id.as_deref().unwrap_or_default().into(),
            revision,
            age,
            created_at,
            updated_at,
            upstream: Some(upstream),
            parts: Box::default(),
            pieces: 1,
            path: path_hash([
                route.path_prefix.as_deref(),
                route.path.as_deref(),
                route.path_template.as_deref(),
                route.path_regex.as_deref(),
            ]),
            text,
        }
    }

    /// All upstreams that a route uses.
    fn used(&self) -> impl Iterator<Item = &str> {
        let parts = self.parts.iter().map(|name| &**name);
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
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// Whether it is this text, or the same in other words.
    pub(super) fn is_written(&self, text: &str) -> bool {
        *self.text == *text
            || serde_json::from_str::<Value>(text).is_ok_and(|text| self.value() == text)
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

/// What the indices have of a route.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    path_prefix: Option<String>,
    path: Option<String>,
    path_template: Option<String>,
    path_regex: Option<String>,
    upstream: Option<String>,
    enabled: Option<bool>,
    also: Vec<IgnoredAny>,
    traffic_split: Vec<Part>,
    auth: Proof,
    mirror: Option<String>,
}

/// A part of a route that names an upstream.
#[derive(Deserialize)]
struct Part {
    upstream: String,
}

/// What the indices have of a proof.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Proof {
    forward: Option<Part>,
}

/// The keys that a route may match the path with.
const PATH_KEYS: [&str; 4] = ["path_prefix", "path", "path_template", "path_regex"];

/// The hash of what a route matches the path with, by the places of the keys.
fn path_hash(given: [Option<&str>; 4]) -> u64 {
    let given = given.into_iter().enumerate();
    let mut given = given.filter_map(|(key, path)| Some((key, path?)));
    SECRET.hash_one(given.next().unwrap_or((PATH_KEYS.len(), "")))
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

    fn at(&self, path: u64) -> impl Iterator<Item = &Rc<Kept>> {
        let found = self.by_path.range((path, 0)..=(path, u64::MAX));
        found.filter_map(|(_, age)| self.by_age.get(age))
    }

    /// The ids of the routes that use an upstream.
    pub(super) fn users(&self, upstream: &str) -> impl Iterator<Item = &Rc<str>> {
        let ages = self.users.get(upstream).into_iter().flatten();
        ages.filter_map(|age| Some(&self.by_age.get(age)?.id))
    }

    /// Adds an entity, or puts it in the place of the one with its id.
    pub(super) fn put(&mut self, kept: Rc<Kept>) {
        self.remove(&kept.id);
        self.add(kept);
    }

    /// Adds an entity whose id is not there.
    pub(super) fn add(&mut self, kept: Rc<Kept>) {
        for upstream in kept.used() {
            match self.users.get_mut(upstream) {
                Some(users) => {
                    users.insert(kept.age);
                }
                None => {
                    let users = BTreeSet::from([kept.age]);
                    self.users.insert(upstream.into(), users);
                }
            }
        }
        if kept.kind == Kind::Route {
            self.by_path.insert((kept.path, kept.age));
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
                users.remove(&kept.age);
                if users.is_empty() {
                    self.users.remove(upstream);
                }
            }
        }
        self.by_path.remove(&(kept.path, kept.age));
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
        // Routes that come one after the other often have one upstream: it is kept once.
        let mut last: Option<Arc<str>> = None;
        for entity in entities {
            state.next_age = state.next_age.max(entity.age + 1);
            let mut kept = Kept::of(entity);
            if last.is_some() && kept.upstream == last {
                kept.upstream.clone_from(&last);
            } else {
                last.clone_from(&kept.upstream);
            }
            state.of_kind_mut(entity.kind).put(Rc::new(kept));
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
