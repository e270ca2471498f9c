//! View: an entity as it is shown, whatever it is stored as.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};

use super::body;
use super::catalogue::{Resource, View};
use super::convert;
use crate::admin::clock::rfc3339;
use crate::admin::entity::Kind;
use crate::admin::state::{Kept, State};
use crate::model::Upstream;

/// Shows entities of one kind. Routes that come one after the other often share an upstream, so
/// the last one is remembered.
#[derive(Debug)]
pub(crate) struct Viewer {
    resource: &'static Resource,
    last: RefCell<Option<(Rc<Kept>, Upstream)>>,
}

/// An entity, and the upstream of its own if it is a route that has one.
pub(crate) type Shown = (Rc<Kept>, Option<Rc<Kept>>);

impl Viewer {
    pub(crate) fn of(resource: &'static Resource) -> Self {
        Self {
            resource,
            last: RefCell::new(None),
        }
    }

    /// Whether an entity of the stored kind is one of the resource: upstreams that routes have to
    /// themselves are no Backends.
    pub(crate) fn covers(&self, kept: &Kept) -> bool {
        self.resource.view != View::Backend || !convert::is_own(&kept.id)
    }

    /// All of the resource that `state` has, the oldest first.
    pub(crate) fn all(&self, state: &State) -> impl Iterator<Item = Shown> {
        let kept = state.of_kind(self.resource.stored()).iter();
        let upstream = |name: &str| state.upstreams.get(name).cloned();
        kept.filter(|kept| self.covers(kept))
            .map(move |kept| self.with_own(kept.clone(), upstream))
    }

    /// An entity together with the upstream of its own, which `upstream` finds.
    pub(crate) fn with_own(
        &self,
        kept: Rc<Kept>,
        upstream: impl FnOnce(&str) -> Option<Rc<Kept>>,
    ) -> Shown {
        let own = kept
            .upstream
            .as_deref()
            .filter(|name| convert::is_own(name));
        let own = own
            .filter(|_| self.resource.view == View::Route)
            .and_then(upstream);
        (kept, own)
    }

    /// The entity as it is shown, without its kind.
    pub(crate) fn show(&self, (kept, own): &Shown) -> Value {
        let mut entity = match self.resource.view {
            View::Route => match kept.route() {
                Some(mut route) => {
                    // A route that was declared without an id has one of its own making.
                    route.id = Some(kept.id.to_string());
                    let own = own.as_ref().and_then(|own| self.upstream(own));
                    convert::route_to_generic(&route, own.as_ref())
                }
                None => kept.value(),
            },
            View::Backend => match kept.declared_upstream() {
                Some(upstream) => convert::backend_to_generic(&upstream),
                None => kept.value(),
            },
            View::Stored(kind) => {
                let mut entity = kept.value();
                if kind.is_document() {
                    self.resource.form.fill(&mut entity);
                } else if let Some(members) = entity.as_object_mut()
                    && !members.contains_key(kind.id_key())
                {
                    members.shift_insert(0, kind.id_key().to_owned(), json!(&*kept.id));
                }
                entity
            }
        };
        if !body::is_native(self.resource) {
            add_times(kept, &mut entity);
        }
        entity
    }

    fn upstream(&self, own: &Rc<Kept>) -> Option<Upstream> {
        let mut last = self.last.borrow_mut();
        if let Some((kept, upstream)) = &*last
            && Rc::ptr_eq(kept, own)
        {
            return Some(upstream.clone());
        }
        let upstream = own.declared_upstream()?;
        *last = Some((own.clone(), upstream.clone()));
        Some(upstream)
    }
}

/// What is stored of a document: without members that have no value, which a configuration file
/// cannot say; the form says what they are.
pub(crate) fn stored(kind: Kind, mut entity: Value) -> Value {
    if kind.is_document() {
        drop_nulls(&mut entity);
    }
    entity
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn add_times(kept: &Kept, entity: &mut Value) {
    let Some(members) = entity.as_object_mut() else {
        return;
    };
    let metadata = members.entry("metadata").or_insert_with(|| json!({}));
    let Some(metadata) = metadata.as_object_mut() else {
        return;
    };
    metadata.insert("created_at".to_owned(), json!(rfc3339(kept.created_at)));
    if kept.updated_at != kept.created_at {
        metadata.insert("updated_at".to_owned(), json!(rfc3339(kept.updated_at)));
    }
}
