//! Commit: what a write means, whichever dialect it came in.
//!
//! A write is checked against the state that the writes before it leave: its own declaration, what
//! it refers to, what refers to it, and the conditions its sender made. Here it is only staged;
//! `writer` makes it durable and puts it in force.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

use super::audit::Action;
use super::condition::Conditions;
use super::deny;
use super::dialect::{self, Fault};
use super::entity::{Entity, Kind};
use super::stage::Stage;
use super::state::{Facts, Kept};
use super::store::StoreError;
use crate::model::{self, Faults, checks};
use crate::table::{Change, CompileError};

/// A write, by whom and on what conditions.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) by: Writer,
    pub(super) operation: Operation,
    pub(super) conditions: Conditions,
    /// Nothing is changed: the answer says what would be.
    pub(super) dry_run: bool,
    /// A file that someone edited by hand is written over.
    pub(super) force: bool,
}

/// Who writes.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    /// The name of the key.
    pub(super) name: Rc<str>,
    pub(super) from: Option<SocketAddr>,
    /// The method and the path of the request.
    pub(super) request: Rc<str>,
    /// What it is called in the audit log, where the dialect has a word for it.
    pub(super) action: Option<Action>,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Operation {
    /// A new entity.
    Create { kind: Kind, value: Value },
    /// An entity in the place of a present one.
    Replace {
        kind: Kind,
        target: Target,
        value: Value,
    },
    /// A merge patch (RFC 7396) on a present one.
    Merge {
        kind: Kind,
        target: Target,
        patch: Value,
    },
    /// A present one goes; with a prefix, all routes that have it.
    Remove { kind: Kind, target: Target },
    /// Exactly these entities, instead of all that there are of these kinds.
    Exchange {
        entities: Vec<Entity>,
        kinds: &'static [Kind],
    },
    /// These entities as they were; none means not there.
    Restore { entities: Vec<Was> },
    /// What a dialect makes of the state that the writes before leave.
    Dialect(Box<dyn Act>),
}

/// A write that has to see the state to know what it is.
pub(super) trait Act: std::fmt::Debug {
    /// Stages it, the whole of it or nothing.
    fn act(&self, stage: &mut Stage<'_>) -> Result<Done, Refusal>;
}

/// Where a declaration comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// A client of the flat API.
    Client,
    /// A client of a dialect in which two routes may match the same.
    Dialect,
    /// The file, or an earlier epoch.
    Store,
}

/// An entity as it was, by kind and id; none if it was not there.
pub(super) type Was = (Kind, Rc<str>, Option<Rc<Kept>>);

/// Which entity is meant.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// The one with this id or name.
    Id(String),
    /// The routes with this `path_prefix`.
    Prefix(String),
}

/// One entity that a write changes.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub(super) kind: Kind,
    pub(super) id: Rc<str>,
    pub(super) before: Option<Rc<Kept>>,
    pub(super) after: Option<Rc<Kept>>,
}

/// A write that is done.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// The epoch that has it.
    pub(super) epoch: u64,
    /// What it changed; nothing if all was so already.
    pub(super) differences: Vec<Difference>,
    /// The entity that it was about, if it was one and stays.
    pub(super) subject: Option<Rc<Kept>>,
}

/// Why a write is not done. Nothing of it is left anywhere.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error("{} not found", name(*.0))]
    NotFound(Kind),
    #[error("{} already exists", name(*.0))]
    Exists(Kind),
    #[error("several routes have this prefix; name one by its id")]
    Several(Vec<Rc<str>>),
    #[error("upstream in use")]
    InUse { routes: Vec<Rc<str>>, count: usize },
    #[error("the condition in If-Match or If-None-Match does not hold")]
    Condition,
    #[error("{} required", .0)]
    Missing(&'static str),
    #[error("invalid {}", .0.source)]
    Invalid(#[from] Faults),
    #[error("{0}")]
    Compile(#[from] CompileError),
    #[error("the {0} cannot be changed: it is the name in the path; remove it from the body")]
    Renamed(&'static str),
    #[error("the result is not an object")]
    NotAnObject,
    #[error("{0}")]
    Store(Rc<StoreError>),
    #[error("{}", .0.description)]
    Dialect(Box<Fault>),
    #[error("the admin core is stopping")]
    Stopping,
    #[error("too many writes are waiting; try again")]
    Busy,
}

impl Done {
    /// A write that is about no entity that stays.
    pub(super) fn of_all(epoch: u64, differences: Vec<Difference>) -> Self {
        Self {
            epoch,
            differences,
            subject: None,
        }
    }
}

/// The word for a kind.
pub(super) fn name(kind: Kind) -> &'static str {
    kind.name()
}

/// The most routes that are named where an upstream is in use.
const USERS_SHOWN: usize = 100;

impl Stage<'_> {
    /// Stages a write, the whole of it or nothing.
    pub(super) fn write(&mut self, write: &Write) -> Result<Done, Refusal> {
        self.index();
        let mark = self.mark();
        let done = self.perform(write).and_then(|done| self.sweep(done));
        let done = done.and_then(|done| Ok(self.flush_table().map(|()| done)?));
        if done.is_err() || write.dry_run {
            self.roll_back(mark);
        }
        done
    }

    /// Removes the upstreams that routes had to themselves and that no route has any more.
    fn sweep(&mut self, mut done: Done) -> Result<Done, Refusal> {
        let before = done
            .differences
            .iter()
            .filter_map(|one| one.before.as_ref());
        let upstreams = before.filter_map(|route| route.upstream.clone());
        let own: HashSet<Arc<str>> = upstreams.filter(|name| dialect::is_own(name)).collect();
        if !own.is_empty() {
            self.index();
        }
        for name in own {
            let unused = self.users(&name).next().is_none();
            let Some(upstream) = self.get(Kind::Upstream, &name).filter(|_| unused) else {
                continue;
            };
            self.remove(Kind::Upstream, &upstream.id)?;
            done.differences
                .extend(Difference::of(Some(upstream), None));
        }
        Ok(done)
    }

    fn perform(&mut self, write: &Write) -> Result<Done, Refusal> {
        let conditions = &write.conditions;
        match &write.operation {
            Operation::Create { kind, value } => {
                conditions.on_list(*kind, self.changed(*kind))?;
                self.create(*kind, value.clone())
                    .map(|kept| self.done(None, Some(kept)))
            }
            Operation::Replace {
                kind,
                target,
                value,
            } => {
                let before = self.one(*kind, target)?;
                conditions.on_entity(Some(&before))?;
                self.replace(before, value.clone())
            }
            Operation::Merge {
                kind,
                target,
                patch,
            } => {
                let before = self.one(*kind, target)?;
                conditions.on_entity(Some(&before))?;
                let mut value = before.value();
                json_patch::merge(&mut value, patch);
                self.replace(before, value)
            }
            Operation::Remove { kind, target } => {
                let all = self.all(*kind, target)?;
                match all.as_slice() {
                    [one] => conditions.on_entity(Some(one))?,
                    _ => conditions.on_list(*kind, self.changed(*kind))?,
                }
                self.remove_all(all)
            }
            Operation::Exchange { entities, kinds } => self.exchange(entities, kinds),
            Operation::Restore { entities } => self.restore(entities),
            Operation::Dialect(act) => act.act(self),
        }
    }

    fn done(&self, before: Option<Rc<Kept>>, after: Option<Rc<Kept>>) -> Done {
        let difference = Difference::of(before, after.clone());
        Done {
            epoch: self.epoch,
            differences: difference.into_iter().collect(),
            subject: after,
        }
    }

    /// The one entity that is meant.
    fn one(&self, kind: Kind, target: &Target) -> Result<Rc<Kept>, Refusal> {
        let all = self.all(kind, target)?;
        match all.as_slice() {
            [one] => Ok(one.clone()),
            several => Err(Refusal::Several(
                several.iter().map(|one| one.id.clone()).collect(),
            )),
        }
    }

    /// The entities that are meant; at least one.
    fn all(&self, kind: Kind, target: &Target) -> Result<Vec<Rc<Kept>>, Refusal> {
        let found = match target {
            Target::Id(id) => self.get(kind, id).into_iter().collect(),
            Target::Prefix(prefix) => self.routes_with_prefix(prefix),
        };
        if found.is_empty() {
            Err(Refusal::NotFound(kind))
        } else {
            Ok(found)
        }
    }

    fn create(&mut self, kind: Kind, mut value: Value) -> Result<Rc<Kept>, Refusal> {
        require(kind, &value)?;
        let id = match kind {
            Kind::Upstream | Kind::Document(_) => value
                .get(kind.id_key())
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned(),
            Kind::Route => self.route_id(&mut value)?,
        };
        if self.get(kind, &id).is_some() {
            return Err(Refusal::Exists(kind));
        }
        let age = self.next_age;
        self.next_age += 1;
        self.check_and_put(kind, id, value, (age, self.now), Source::Client)
    }

    /// The id that a new route has: its own, or one made of host and path.
    fn route_id(&self, value: &mut Value) -> Result<String, Refusal> {
        if let Some(id) = value.get("id").and_then(Value::as_str) {
            return Ok(id.to_owned());
        }
        // What is no route has no id either; the check that follows says what is wrong.
        let route: Option<model::Route> = serde_json::from_value(value.clone()).ok();
        let derived = route.map_or_else(|| "root".to_owned(), |route| route.derived_id());
        let mut id = derived.clone();
        for count in 2..10 {
            if self.get(Kind::Route, &id).is_none() {
                break;
            }
            id = format!("{derived}-{count}");
        }
        if self.get(Kind::Route, &id).is_some() {
            id = format!("{derived}-a{}", self.next_age);
        }
        if let Some(object) = value.as_object_mut() {
            object.shift_insert(0, "id".to_owned(), Value::String(id.clone()));
        }
        Ok(id)
    }

    fn replace(&mut self, before: Rc<Kept>, mut value: Value) -> Result<Done, Refusal> {
        let key = before.kind.id_key();
        let object = value.as_object_mut().ok_or(Refusal::NotAnObject)?;
        match object.get(key) {
            None => {
                object.shift_insert(0, key.to_owned(), Value::String(before.id.to_string()));
            }
            Some(given) if given.as_str() == Some(&before.id) => {}
            Some(_) => return Err(Refusal::Renamed(key)),
        }
        require(before.kind, &value)?;
        if before.value() == value {
            return Ok(self.done(Some(before.clone()), Some(before)));
        }
        let id = before.id.to_string();
        let since = (before.age, before.created_at);
        let after = self.check_and_put(before.kind, id, value, since, Source::Client)?;
        Ok(self.done(Some(before), Some(after)))
    }

    /// Checks a declaration in itself and against the others, and puts it. What clients declare
    /// may not point at the admin listener; over the flat API it may not match just what another
    /// route does, either. `since` is its age and when it was made.
    pub(super) fn check_and_put(
        &mut self,
        kind: Kind,
        id: String,
        value: Value,
        since: (u64, u64),
        source: Source,
    ) -> Result<Rc<Kept>, Refusal> {
        self.check_and_put_typed(kind, id, value, None, since, source)
    }

    /// The same; `typed` is the route that `value` says, where it is known.
    pub(super) fn check_and_put_typed(
        &mut self,
        kind: Kind,
        id: String,
        value: Value,
        typed: Option<model::Route>,
        (age, created_at): (u64, u64),
        source: Source,
    ) -> Result<Rc<Kept>, Refusal> {
        let mut facts = Facts::default();
        let changes = match kind {
            Kind::Route => {
                let route = match typed {
                    Some(route) => {
                        model::check_typed_route(&route, &self.state.config.http)?;
                        route
                    }
                    None => model::check_route(&value, &self.state.config.http)?,
                };
                let unknown = {
                    let mut used = route.upstreams();
                    used.find(|name| self.get(Kind::Upstream, name).is_none())
                };
                if let Some(name) = unknown {
                    return Err(model::no_upstream(name, self.upstream_names()).into());
                }
                if source == Source::Client {
                    self.refuse_twin(&id, &value, &route)?;
                }
                facts = Facts::of(&route, |name| self.state.routes.shared(name));
                route_changes(self.dressed(&id, route), age)
            }
            Kind::Upstream => {
                let upstream = model::check_upstream(&value)?;
                if source != Source::Store {
                    deny::check(&upstream, &self.state.config.admin)?;
                }
                vec![Change::PutUpstream(upstream.into())]
            }
            Kind::Document(collection) => self.effects(collection, &id, Some(&value))?,
        };
        let updated_at = self.now;
        let entity = Entity {
            kind,
            id,
            revision: self.epoch,
            age,
            created_at,
            updated_at,
            text: value.to_string().into(),
        };
        let kept = Rc::new(Kept::of(entity, facts));
        self.put(kept.clone(), changes)?;
        Ok(kept)
    }

    /// Two routes for just the same requests: the younger could never be taken.
    fn refuse_twin(&self, id: &str, value: &Value, route: &model::Route) -> Result<(), Refusal> {
        let key = checks::matcher_key(route);
        let mut others = self
            .routes_like(value)
            .into_iter()
            .filter(|other| &*other.id != id);
        let twin = others.any(|other| {
            other
                .route()
                .is_some_and(|other| checks::matcher_key(&other) == key)
        });
        if twin {
            Err(Refusal::Exists(Kind::Route))
        } else {
            Ok(())
        }
    }

    fn remove_all(&mut self, all: Vec<Rc<Kept>>) -> Result<Done, Refusal> {
        for kept in &all {
            self.take_out(kept)?;
        }
        let differences = all
            .into_iter()
            .filter_map(|kept| Difference::of(Some(kept), None));
        Ok(Done::of_all(self.epoch, differences.collect()))
    }

    pub(super) fn take_out(&mut self, kept: &Rc<Kept>) -> Result<(), Refusal> {
        if kept.kind == Kind::Upstream {
            let mut users = self.users(&kept.id);
            let mut routes: Vec<Rc<str>> = users.by_ref().take(USERS_SHOWN).cloned().collect();
            let count = routes.len() + users.count();
            if count > 0 {
                routes.sort_unstable();
                return Err(Refusal::InUse { routes, count });
            }
        }
        Ok(self.remove(kept.kind, &kept.id)?)
    }

    fn exchange(&mut self, entities: &[Entity], kinds: &[Kind]) -> Result<Done, Refusal> {
        let mut differences = Vec::new();
        for kind in kinds.iter().copied() {
            for entity in entities.iter().filter(|entity| entity.kind == kind) {
                let Entity { id, .. } = entity;
                let value = entity.value();
                let before = self.get(kind, id);
                if before.as_ref().is_some_and(|before| before.means(&value)) {
                    continue;
                }
                let (age, created_at) = match &before {
                    Some(before) => (before.age, before.created_at),
                    None => {
                        self.next_age += 1;
                        (self.next_age - 1, self.now)
                    }
                };
                let since = (age, created_at);
                let put = self.check_and_put(kind, id.clone(), value, since, Source::Store)?;
                differences.extend(Difference::of(before, Some(put)));
            }
        }
        for kind in kinds.iter().copied().rev() {
            let stay = entities.iter().filter(|entity| entity.kind == kind);
            let stay: HashSet<&str> = stay.map(|entity| entity.id.as_str()).collect();
            let go = self
                .ids(kind)
                .into_iter()
                .filter(|id| !stay.contains(&**id));
            for id in go.collect::<Vec<_>>() {
                let Some(kept) = self.get(kind, &id) else {
                    continue;
                };
                self.take_out(&kept)?;
                differences.extend(Difference::of(Some(kept), None));
            }
        }
        Ok(Done::of_all(self.epoch, differences))
    }

    fn restore(&mut self, entities: &[Was]) -> Result<Done, Refusal> {
        let mut differences = Vec::new();
        for kind in Kind::ALL {
            for (_, id, then) in entities.iter().filter(|(of, ..)| *of == kind) {
                let Some(then) = then else { continue };
                let before = self.get(kind, id);
                let value = then.value();
                if before
                    .as_ref()
                    .is_some_and(|before| before.value() == value)
                {
                    continue;
                }
                let id = id.to_string();
                let since = (then.age, then.created_at);
                let put = self.check_and_put(kind, id, value, since, Source::Store)?;
                differences.extend(Difference::of(before, Some(put)));
            }
        }
        for kind in Kind::ALL.into_iter().rev() {
            for (_, id, then) in entities.iter().filter(|(of, ..)| *of == kind) {
                let gone = then.is_none();
                let Some(kept) = self.get(kind, id).filter(|_| gone) else {
                    continue;
                };
                self.take_out(&kept)?;
                differences.extend(Difference::of(Some(kept), None));
            }
        }
        Ok(Done::of_all(self.epoch, differences))
    }
}

/// What a route is in the table: a route for each host and path, or none.
pub(super) fn route_changes(route: model::Route, age: u64) -> Vec<Change> {
    if !route.enabled {
        return Vec::new();
    }
    let each = route.into_each().into_iter();
    each.map(|route| Change::PutRoute {
        route: Arc::new(route),
        age,
    })
    .collect()
}

/// What a route may do with its requests.
const ACTIONS: [&str; 5] = [
    "upstream",
    "traffic_split",
    "redirect",
    "respond",
    "aggregate",
];

/// What seed 001 asks for first, in its words.
fn require(kind: Kind, value: &Value) -> Result<(), Refusal> {
    let has = |keys: &[&str]| keys.iter().any(|key| value.get(key).is_some());
    match kind {
        Kind::Route if super::state::path_of(value).is_none() => {
            Err(Refusal::Missing("path_prefix"))
        }
        Kind::Route if !has(&ACTIONS) => Err(Refusal::Missing("upstream")),
        Kind::Upstream if !has(&["name"]) => Err(Refusal::Missing("name")),
        _ => Ok(()),
    }
}

impl Difference {
    /// None if nothing differs.
    pub(super) fn of(before: Option<Rc<Kept>>, after: Option<Rc<Kept>>) -> Option<Self> {
        let some = after.as_ref().or(before.as_ref())?;
        let (kind, id) = (some.kind, some.id.clone());
        let same = matches!((&before, &after), (Some(one), Some(other)) if Rc::ptr_eq(one, other));
        (!same).then_some(Self {
            kind,
            id,
            before,
            after,
        })
    }
}
