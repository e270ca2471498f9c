//! Act: what a write of the generic API means, over the state that the writes before it leave.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};

use super::access::Rights;
use super::body::{self, Content};
use super::catalogue::{Resource, View};
use super::fault::Fault;
use super::patch::Patch;
use super::view::Viewer;
use super::{check, convert, template, view};
use crate::admin::commit::{Act, Difference, Done, Refusal, Source};
use crate::admin::condition::Conditions;
use crate::admin::entity::Kind;
use crate::admin::stage::Stage;
use crate::admin::state::Kept;
use crate::model::{Route, Upstream};

/// A write of one entity, or the removal of all of a kind.
#[derive(Debug)]
pub(crate) struct EntityWrite {
    pub(crate) resource: &'static Resource,
    pub(crate) rights: Rc<Rights>,
    /// Taken when it is done.
    pub(crate) step: RefCell<Option<Step>>,
    pub(crate) conditions: Conditions,
    /// What the creation of an entity that is there answers.
    pub(crate) exists_status: u16,
    /// Whether the outcome is to have the entity.
    pub(crate) shows: bool,
    /// Where the outcome is put.
    pub(crate) outcome: Rc<RefCell<Option<Outcome>>>,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A new entity.
    Create(Content),
    /// A present one goes.
    Delete(String),
    /// All go that the writer may remove, but for the one with this id: the key in use.
    DeleteAll(Option<Rc<str>>),
    /// A present one changes.
    Patch(String, Patch),
    /// An entity in the place of a present one.
    Replace(String, Content),
    /// An entity, there or not.
    Upsert(String, Content),
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) id: Rc<str>,
    /// The entity as it is shown, or was before it was removed.
    pub(crate) entity: Value,
    pub(crate) created: bool,
    pub(crate) changed: bool,
}

impl Act for EntityWrite {
    fn act(&self, stage: &mut Stage<'_>) -> Result<Done, Refusal> {
        let step = self.step.take().ok_or(Refusal::Stopping)?;
        let (outcome, done) = self.perform(stage, step)?;
        *self.outcome.borrow_mut() = Some(outcome);
        Ok(done)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Dialect(Box::new(fault))
    }
}

impl EntityWrite {
    /// Stages it and says what became of it.
    pub(crate) fn perform(
        &self,
        stage: &mut Stage<'_>,
        step: Step,
    ) -> Result<(Outcome, Done), Refusal> {
        match step {
            Step::Create(content) => self.create(stage, content),
            Step::Delete(id) => self.delete(stage, &id),
            Step::DeleteAll(but) => self.delete_all(stage, but.as_deref()),
            Step::Patch(id, patch) => {
                let before = self.present(stage, &id)?;
                self.conditions.on_entity(Some(&before))?;
                let mut entity = self.show(stage, &before);
                patch.apply(&mut entity).map_err(Fault::bad_request)?;
                self.put(stage, &id, entity, Some(before))
            }
            Step::Replace(id, content) => {
                let before = self.present(stage, &id)?;
                self.conditions.on_entity(Some(&before))?;
                let entity = self.entity(stage, content, Some(&before))?;
                self.put(stage, &id, entity, Some(before))
            }
            Step::Upsert(id, content) => {
                let before = stage.get(self.resource.stored(), &id);
                let allowed = match before {
                    Some(_) => self.resource.can.update,
                    None => self.resource.can.create,
                };
                if !allowed {
                    return Err(Fault::unauthorized("you cannot do that").into());
                }
                self.conditions.on_entity(before.as_deref())?;
                let entity = self.entity(stage, content, before.as_ref())?;
                self.put(stage, &id, entity, before)
            }
        }
    }

    fn create(&self, stage: &mut Stage<'_>, content: Content) -> Result<(Outcome, Done), Refusal> {
        let entity = self.entity(stage, content, None)?;
        let key = self.resource.id_key;
        let id = match entity.get(key).and_then(Value::as_str) {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => new_id(self.resource),
        };
        if stage.get(self.resource.stored(), &id).is_some() {
            let description = json!("resource already exists");
            let error = if self.exists_status == 401 {
                "unauthorized"
            } else {
                "conflict"
            };
            return Err(Fault {
                status: self.exists_status,
                error,
                description,
            }
            .into());
        }
        self.put(stage, &id, entity, None)
    }

    /// The entity that a body says; a patch is of the present one, or of the template.
    fn entity(
        &self,
        stage: &Stage<'_>,
        content: Content,
        before: Option<&Rc<Kept>>,
    ) -> Result<Value, Refusal> {
        let patch = match content {
            Content::Entity(entity) => return Ok(entity),
            Content::Patch(patch) => patch,
        };
        let mut base = match before {
            Some(before) => self.show(stage, before),
            None => template::of(self.resource, new_id(self.resource), &[])
                .map_err(Fault::bad_request)?
                .unwrap_or_else(|| json!({})),
        };
        patch.apply(&mut base).map_err(Fault::bad_request)?;
        Ok(base)
    }

    /// The entity that is there, if the writer may see it.
    fn present(&self, stage: &Stage<'_>, id: &str) -> Result<Rc<Kept>, Refusal> {
        let viewer = Viewer::of(self.resource);
        let found = stage
            .get(self.resource.stored(), id)
            .filter(|kept| viewer.covers(kept));
        let found = found.filter(|kept| {
            self.rights.is_everywhere() || self.rights.sees(&self.show(stage, kept))
        });
        found.ok_or_else(|| Fault::not_found("resource not found").into())
    }

    fn show(&self, stage: &Stage<'_>, kept: &Rc<Kept>) -> Value {
        let viewer = Viewer::of(self.resource);
        let upstream = |name: &str| stage.get(Kind::Upstream, name);
        viewer.show(&viewer.with_own(kept.clone(), upstream))
    }

    fn put(
        &self,
        stage: &mut Stage<'_>,
        id: &str,
        mut entity: Value,
        before: Option<Rc<Kept>>,
    ) -> Result<(Outcome, Done), Refusal> {
        let resource = self.resource;
        if let Some(members) = entity.as_object_mut() {
            members.insert(resource.id_key.to_owned(), json!(id));
        }
        body::normalise(resource, &mut entity);
        self.may_write(&entity)?;
        if let Some(before) = &before
            && !self.rights.is_everywhere()
        {
            self.may_write(&self.show(stage, before))?;
        }
        if let Err(faults) = resource.form.check(&entity) {
            return Err(Fault::bad_request(faults).into());
        }
        check::entity(resource, &entity).map_err(Fault::bad_request)?;
        let mut differences = Vec::new();
        let mut typed = None;
        let value = match resource.view {
            View::Route => {
                let native = convert::route_to_native(entity).map_err(Fault::bad_request)?;
                if let Some(upstream) = native.upstream
                    && stage.get(Kind::Upstream, &upstream.name).is_none()
                {
                    let put = put_own(stage, &upstream)?;
                    differences.extend(Difference::of(None, Some(put)));
                }
                let value = convert::declared(&native.route);
                typed = Some(native.route);
                value
            }
            View::Backend => json!(convert::backend_to_native(entity).map_err(Fault::bad_request)?),
            View::Stored(kind) => view::stored(kind, entity),
        };
        let after = put_value(
            stage,
            resource.stored(),
            id,
            (value, typed),
            before.as_ref(),
        )?;
        let changed = before
            .as_ref()
            .is_none_or(|before| !Rc::ptr_eq(before, &after));
        differences.extend(Difference::of(before.clone(), Some(after.clone())));
        let outcome = Outcome {
            id: after.id.clone(),
            entity: if self.shows {
                self.show(stage, &after)
            } else {
                Value::Null
            },
            created: before.is_none(),
            changed,
        };
        Ok((
            outcome,
            Done {
                epoch: stage.epoch,
                differences,
                subject: Some(after),
            },
        ))
    }

    fn may_write(&self, entity: &Value) -> Result<(), Refusal> {
        if self.rights.writes(entity) {
            return Ok(());
        }
        Err(Fault::unauthorized("you cannot access this resource").into())
    }

    fn delete(&self, stage: &mut Stage<'_>, id: &str) -> Result<(Outcome, Done), Refusal> {
        let before = self.present(stage, id)?;
        self.conditions.on_entity(Some(&before))?;
        let entity = self.show(stage, &before);
        self.may_write(&entity)?;
        let mut differences = Vec::new();
        take_out(stage, &before, &mut differences)?;
        let outcome = Outcome {
            id: before.id.clone(),
            entity,
            created: false,
            changed: true,
        };
        Ok((outcome, Done::of_all(stage.epoch, differences)))
    }

    fn delete_all(
        &self,
        stage: &mut Stage<'_>,
        but: Option<&str>,
    ) -> Result<(Outcome, Done), Refusal> {
        let viewer = Viewer::of(self.resource);
        let mut differences = Vec::new();
        for id in stage.ids(self.resource.stored()) {
            let Some(kept) = stage.get(self.resource.stored(), &id) else {
                continue;
            };
            let open = self.rights.is_everywhere() || self.rights.writes(&self.show(stage, &kept));
            if open && viewer.covers(&kept) && but != Some(&*id) {
                take_out(stage, &kept, &mut differences)?;
            }
        }
        let outcome = Outcome {
            changed: !differences.is_empty(),
            ..Outcome::default()
        };
        Ok((outcome, Done::of_all(stage.epoch, differences)))
    }
}

/// Puts a value, with the route that it says; one that is there already stays as it is.
fn put_value(
    stage: &mut Stage<'_>,
    kind: Kind,
    id: &str,
    (value, typed): (Value, Option<Route>),
    before: Option<&Rc<Kept>>,
) -> Result<Rc<Kept>, Refusal> {
    let since = match before {
        Some(before) if before.value() == value => return Ok(before.clone()),
        Some(before) => (before.age, before.created_at),
        None => {
            stage.next_age += 1;
            (stage.next_age - 1, stage.now)
        }
    };
    stage.check_and_put_typed(kind, id.to_owned(), value, typed, since, Source::Dialect)
}

/// Puts the upstream that a route has to itself; other routes with the same servers share it.
pub(crate) fn put_own(stage: &mut Stage<'_>, upstream: &Upstream) -> Result<Rc<Kept>, Refusal> {
    let value = (json!(upstream), None);
    put_value(stage, Kind::Upstream, &upstream.name, value, None)
}

fn take_out(
    stage: &mut Stage<'_>,
    kept: &Rc<Kept>,
    differences: &mut Vec<Difference>,
) -> Result<(), Refusal> {
    stage.take_out(kept)?;
    differences.extend(Difference::of(Some(kept.clone()), None));
    Ok(())
}

/// `route_` and 32 random hexadecimal digits, for what is created without an id.
pub(crate) fn new_id(resource: &Resource) -> String {
    format!("{}_{}", resource.singular, super::random_text(16))
}
