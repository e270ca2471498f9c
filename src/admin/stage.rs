//! Stage: what the state will be once the writes of a batch are committed.
//!
//! The state itself stays as it is; the stage lies over it. A write that fails half way is rolled
//! back, so the others of its batch see nothing of it.

use std::collections::HashSet;
use std::rc::Rc;

use super::entity::{Collection, EntityChange, Kind};
use super::state::{Changed, Entities, Kept, State};
use crate::model::Route;
use crate::table::{Change, CompileError, Table};

/// A state over the state.
pub(super) struct Stage<'s> {
    pub(super) state: &'s State,
    /// The epoch that the batch will be.
    pub(super) epoch: u64,
    /// When it is.
    pub(super) now: u64,
    pub(super) next_age: u64,
    pub(super) changed: Changed,
    table: Table,
    routes: Layer,
    upstreams: Layer,
    documents: [Layer; Collection::COUNT],
    undo: Vec<Undo>,
    /// What the table does not have yet: it takes many changes at once for less than one by one.
    waiting: Vec<Change>,
    /// New routes that their layer finds by their id alone yet.
    unindexed: Vec<Rc<Kept>>,
}

/// What differs from the state, for one kind.
#[derive(Default)]
struct Layer {
    /// New or changed.
    put: Entities,
    /// Ids that the state has and that are changed or gone.
    hidden: HashSet<Rc<str>>,
}

struct Undo {
    kind: Kind,
    id: Rc<str>,
    put: Option<Rc<Kept>>,
    hidden: bool,
}

/// Where a write began, to return to.
pub(super) struct Mark {
    table: Table,
    changed: Changed,
    next_age: u64,
    undo: usize,
}

/// What a stage comes to.
pub(super) struct Staged {
    pub(super) table: Table,
    pub(super) changed: Changed,
    pub(super) next_age: u64,
    pub(super) put: Vec<Rc<Kept>>,
    /// More of them, whose ids the state has not.
    new: Vec<Rc<Kept>>,
    pub(super) removed: Vec<Rc<Kept>>,
    /// As they were before, those that are another age now.
    moved: Vec<Rc<Kept>>,
}

impl<'s> Stage<'s> {
    pub(super) fn over(state: &'s State, now: u64) -> Self {
        Self {
            state,
            epoch: state.epoch() + 1,
            now,
            next_age: state.next_age,
            changed: state.changed,
            table: state.snapshot.table.clone(),
            routes: Layer::default(),
            upstreams: Layer::default(),
            documents: std::array::from_fn(|_| Layer::default()),
            undo: Vec::new(),
            waiting: Vec::new(),
            unindexed: Vec::new(),
        }
    }

    pub(super) fn get(&self, kind: Kind, id: &str) -> Option<Rc<Kept>> {
        let layer = self.layer(kind);
        let kept = layer.put.get(id).or_else(|| {
            let below = self.state.of_kind(kind).get(id)?;
            (!layer.hidden.contains(id)).then_some(below)
        });
        kept.cloned()
    }

    /// The routes that match the path with what `value` has, or none by chance.
    pub(super) fn routes_like(&self, value: &serde_json::Value) -> Vec<Rc<Kept>> {
        let layer = &self.routes;
        let below = self.state.routes.like(value);
        let below = below.filter(|route| !layer.hidden.contains(&route.id));
        below.chain(layer.put.like(value)).cloned().collect()
    }

    /// The routes with this `path_prefix`.
    pub(super) fn routes_with_prefix(&self, prefix: &str) -> Vec<Rc<Kept>> {
        let layer = &self.routes;
        let below = self.state.routes.with_prefix(prefix);
        let below = below.filter(|route| !layer.hidden.contains(&route.id));
        below
            .chain(layer.put.with_prefix(prefix))
            .cloned()
            .collect()
    }

    /// The ids of the routes that use an upstream.
    pub(super) fn users<'a>(&'a self, upstream: &'a str) -> impl Iterator<Item = &'a Rc<str>> {
        let layer = &self.routes;
        let below = self.state.routes.users(upstream);
        let below = below.filter(|route| !layer.hidden.contains(&**route));
        below.chain(layer.put.users(upstream))
    }

    /// The names of all upstreams.
    pub(super) fn upstream_names(&self) -> impl Iterator<Item = &str> {
        let layer = &self.upstreams;
        let below = self
            .state
            .upstreams
            .ids()
            .filter(|name| !layer.hidden.contains(*name));
        below.chain(layer.put.ids())
    }

    /// The ids of all of a kind.
    pub(super) fn ids(&self, kind: Kind) -> Vec<Rc<str>> {
        let layer = self.layer(kind);
        let below = self.state.of_kind(kind).iter();
        let below = below.filter(|kept| !layer.hidden.contains(&kept.id));
        below
            .chain(layer.put.iter())
            .map(|kept| kept.id.clone())
            .collect()
    }

    /// The epoch of the last change of a kind that others may see.
    pub(super) fn changed(&self, kind: Kind) -> u64 {
        self.changed.of_kind(kind)
    }

    /// Puts an entity; `changes` are the same for the table.
    pub(super) fn put(
        &mut self,
        kept: Rc<Kept>,
        mut changes: Vec<Change>,
    ) -> Result<(), CompileError> {
        if kept.kind == Kind::Route {
            let before = self
                .get(Kind::Route, &kept.id)
                .map_or(0, |before| before.pieces);
            changes.extend(removals(&kept.id, kept.pieces, before));
        }
        self.flush()?;
        if !changes.is_empty() {
            self.table = self.table.change(&changes)?;
        }
        self.lay(kept);
        Ok(())
    }

    /// Puts a route of one host and path, without policies. [`Stage::flush`] brings it into the
    /// table. `before` is the route with its id, if there is one.
    pub(super) fn put_later(
        &mut self,
        kept: Rc<Kept>,
        route: &Route,
        before: Option<&Rc<Kept>>,
    ) -> Result<(), CompileError> {
        let pieces = before.map_or(0, |before| before.pieces);
        let prepared = self.table.prepare(&kept.id, route, kept.age)?;
        self.waiting.push(Change::PutPrepared(prepared));
        self.waiting.extend(removals(&kept.id, kept.pieces, pieces));
        if before.is_some() {
            self.lay(kept);
            return Ok(());
        }
        // What is not there is neither in the state nor in the layer over it.
        self.undo.push(Undo {
            kind: kept.kind,
            id: kept.id.clone(),
            put: None,
            hidden: self.routes.hidden.contains(&kept.id),
        });
        self.changed.set(kept.kind, self.epoch);
        self.routes.put.add_id(kept.clone());
        self.unindexed.push(kept);
        Ok(())
    }

    /// Brings what waits to where others look for it. After an error the stage must be rolled back.
    pub(super) fn flush(&mut self) -> Result<(), CompileError> {
        self.index();
        self.flush_table()
    }

    /// Brings into the table what waits; the same holds after an error.
    pub(super) fn flush_table(&mut self) -> Result<(), CompileError> {
        if !self.waiting.is_empty() {
            self.table.apply(&std::mem::take(&mut self.waiting))?;
        }
        Ok(())
    }

    /// Makes the new routes known to all who look for them.
    pub(super) fn index(&mut self) {
        for kept in self.unindexed.drain(..) {
            self.routes.put.index(kept);
        }
    }

    fn lay(&mut self, kept: Rc<Kept>) {
        self.index();
        self.note(kept.kind, &kept.id);
        self.changed.set(kept.kind, self.epoch);
        if self.state.of_kind(kept.kind).get(&kept.id).is_some() {
            self.layer_mut(kept.kind).hidden.insert(kept.id.clone());
        }
        self.layer_mut(kept.kind).put.put(kept);
    }

    /// Takes an entity out.
    pub(super) fn remove(&mut self, kind: Kind, id: &Rc<str>) -> Result<(), CompileError> {
        let changes = match kind {
            Kind::Route => {
                let pieces = self.get(kind, id).map_or(0, |kept| kept.pieces);
                removals(id, 0, pieces).collect()
            }
            Kind::Upstream => vec![Change::RemoveUpstream(id.to_string())],
            Kind::Document(collection) => self.effects(collection, id, None)?,
        };
        self.flush()?;
        if !changes.is_empty() {
            self.table = self.table.change(&changes)?;
        }
        self.note(kind, id);
        self.changed.set(kind, self.epoch);
        if self.state.of_kind(kind).get(id).is_some() {
            self.layer_mut(kind).hidden.insert(id.clone());
        }
        self.layer_mut(kind).put.remove(id);
        Ok(())
    }

    /// Begins a write.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            undo: self.undo.len(),
            table: self.table.clone(),
            changed: self.changed,
            next_age: self.next_age,
        }
    }

    /// Takes back everything since `mark`.
    pub(super) fn roll_back(&mut self, mark: Mark) {
        self.index();
        for undo in self.undo.split_off(mark.undo).into_iter().rev() {
            let layer = self.layer_mut(undo.kind);
            match undo.put {
                Some(kept) => layer.put.put(kept),
                None => {
                    layer.put.remove(&undo.id);
                }
            }
            if !undo.hidden {
                layer.hidden.remove(&undo.id);
            }
        }
        // A mark is set where nothing waits.
        self.waiting.clear();
        self.table = mark.table;
        self.changed = mark.changed;
        self.next_age = mark.next_age;
    }

    /// The whole, to be committed.
    pub(super) fn finish(mut self) -> Staged {
        let mut put: Vec<Rc<Kept>> = self.upstreams.put.iter().cloned().collect();
        put.extend(self.routes.put.iter().cloned());
        let mut new = std::mem::take(&mut self.unindexed);
        if !self.routes.hidden.is_empty() {
            put.append(&mut new);
        }
        put.extend(
            self.documents
                .iter()
                .flat_map(|layer| layer.put.iter().cloned()),
        );
        let (mut removed, mut moved) = (Vec::new(), Vec::new());
        for kind in Kind::ALL.into_iter().rev() {
            let layer = self.layer(kind);
            for id in &layer.hidden {
                let Some(before) = self.state.of_kind(kind).get(id) else {
                    continue;
                };
                match layer.put.get(id) {
                    None => removed.push(before.clone()),
                    Some(after) if after.age != before.age => moved.push(before.clone()),
                    Some(_) => {}
                }
            }
        }
        Staged {
            table: self.table,
            changed: self.changed,
            next_age: self.next_age,
            put,
            new,
            removed,
            moved,
        }
    }

    fn note(&mut self, kind: Kind, id: &Rc<str>) {
        let layer = self.layer(kind);
        let undo = Undo {
            kind,
            id: id.clone(),
            put: layer.put.get(id).cloned(),
            hidden: layer.hidden.contains(id),
        };
        self.undo.push(undo);
    }

    fn layer(&self, kind: Kind) -> &Layer {
        match kind {
            Kind::Route => &self.routes,
            Kind::Upstream => &self.upstreams,
            Kind::Document(collection) => &self.documents[collection.index()],
        }
    }

    fn layer_mut(&mut self, kind: Kind) -> &mut Layer {
        match kind {
            Kind::Route => &mut self.routes,
            Kind::Upstream => &mut self.upstreams,
            Kind::Document(collection) => &mut self.documents[collection.index()],
        }
    }
}

/// Takes the routes of the table out that a route had and has no more.
fn removals(id: &str, now: u16, before: u16) -> impl Iterator<Item = Change> + use<'_> {
    (now..before).map(move |piece| {
        Change::RemoveRoute(match piece {
            0 => id.to_owned(),
            further => Route::further_id(id, usize::from(further)),
        })
    })
}

impl Staged {
    pub(super) fn is_empty(&self) -> bool {
        self.put.is_empty() && self.new.is_empty() && self.removed.is_empty()
    }

    /// As the store takes it.
    pub(super) fn changes(&self) -> Vec<EntityChange> {
        let removed = self.removed.iter().chain(&self.moved);
        let removed = removed.map(|kept| EntityChange::Remove {
            kind: kept.kind,
            id: kept.id.to_string(),
            age: kept.age,
        });
        let put = self.put.iter().chain(&self.new);
        let put = put.map(|kept| EntityChange::Put(kept.entity()));
        removed.chain(put).collect()
    }

    /// Makes it the state.
    pub(super) fn settle(self, state: &mut State) {
        state.changed = self.changed;
        state.next_age = self.next_age;
        for kept in self.removed {
            state.of_kind_mut(kept.kind).remove(&kept.id);
        }
        for kept in self.put {
            state.of_kind_mut(kept.kind).put(kept);
        }
        for kept in self.new {
            state.of_kind_mut(kept.kind).add(kept);
        }
    }
}
