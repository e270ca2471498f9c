//! Effect: what documents change in the table: keys of clients, verifiers of tokens, templates of
//! errors. All other documents are kept and have no effect on traffic.

use std::collections::HashMap;

use serde_json::Value;

use super::commit::route_changes;
use super::dialect;
use super::entity::{Collection, Entity, Kind};
use super::stage::Stage;
use crate::model::Route;
use crate::table::{Change, CompileError};

/// The list of documents that say what the errors of a route look like; an element has the id of
/// the route.
const TEMPLATES: &str = "error-templates";

impl Stage<'_> {
    /// What of the table changes with a document; without a value it goes.
    pub(super) fn effects(
        &self,
        collection: Collection,
        id: &str,
        value: Option<&Value>,
    ) -> Result<Vec<Change>, CompileError> {
        let list = collection.list();
        let mut changes = dialect::effects(list, id, value)?;
        if list == TEMPLATES
            && let Some(kept) = self.get(Kind::Route, id)
            && let Some(mut route) = kept.route()
        {
            route.id = Some(id.to_owned());
            dialect::dress(&mut route, value);
            changes.extend(route_changes(route, kept.age));
        }
        Ok(changes)
    }

    /// Whether there is a template of the errors of this route.
    pub(super) fn has_template(&self, route: &str) -> bool {
        let kind = Kind::of_list(TEMPLATES);
        kind.is_some_and(|kind| self.get(kind, route).is_some())
    }

    /// The route as the table takes it: with the template of its errors.
    pub(super) fn dressed(&self, id: &str, mut route: Route) -> Route {
        let kind = Kind::of_list(TEMPLATES);
        if let Some(template) = kind.and_then(|kind| self.get(kind, id)) {
            dialect::dress(&mut route, Some(&template.value()));
        }
        route
    }
}

/// The templates among `entities`, by the id of their route.
pub(super) fn templates(entities: &[Entity]) -> HashMap<&str, Value> {
    let kind = Kind::of_list(TEMPLATES);
    let templates = entities.iter().filter(|entity| Some(entity.kind) == kind);
    templates
        .map(|entity| (entity.id.as_str(), entity.value()))
        .collect()
}
