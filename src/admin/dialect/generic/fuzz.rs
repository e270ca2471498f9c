//! Fuzz: the ways into the parts of this dialect that read what strangers write, for the fuzz
//! targets of `tests/fuzz`, which see only what is public.

use std::cell::RefCell;

use serde_json::{Value, json};

use super::body::{self, Content};
use super::catalogue;
use super::listing::Listing;
use super::patch::Patch;
use super::plain::{Buffers, Plain};
use super::{check, convert};
use crate::admin::entity::Text;
use crate::model;

/// Reads a query and looks with it at an entity.
pub fn listing(query: &str, entity: &Value) {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let pairs: Vec<(String, String)> = pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if let Ok(listing) = Listing::read(&pairs) {
        listing.takes(entity);
        let keys = listing.keys(entity);
        listing.compare(&keys, &keys);
        listing.project(entity.clone());
    }
}

/// Reads a text as each kind of patch and changes an entity with it.
pub fn patch(text: &str, entity: &Value) {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let patches = [
        Patch::operations(value.clone()),
        Patch::places(value.clone()),
        Patch::form(text),
        Ok(Patch::Merge(value)),
    ];
    for patch in patches.into_iter().flatten() {
        let mut entity = entity.clone();
        let _ = patch.apply(&mut entity);
    }
}

/// Reads a body and brings it into the form of a route, and that into the native one and back.
pub fn body(kind: &str, text: &[u8]) {
    let Ok(Content::Entity(mut entity)) = body::read(Some(kind), text, false) else {
        return;
    };
    let Some(resource) = catalogue::all().first() else {
        return;
    };
    body::normalise(resource, &mut entity);
    if resource.form.check(&entity).is_err() {
        return;
    }
    if let Ok(native) = convert::route_to_native(entity.clone()) {
        let mut shown = convert::route_to_generic(&native.route, native.upstream.as_ref());
        if let Some(members) = shown.as_object_mut() {
            members.shift_remove("ringway");
        }
        if let Some(members) = entity.as_object_mut() {
            members.shift_remove("ringway");
        }
        assert_eq!(shown, entity, "an entity comes back as it was");
    }
}

/// Reads a line of a bulk request the short way and, if it can be read so, the general way, which
/// must make the same of it.
pub fn line(line: &[u8]) {
    if let Some(short) = short(line) {
        assert_eq!(
            Some(short),
            general(line),
            "both ways make the same of a line"
        );
    }
}

thread_local! {
    /// The same for one line after the other, as in a bulk request.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// What the short way makes of a line: the text that is kept, and the upstream of its own.
pub(super) fn short(line: &[u8]) -> Option<(String, Value)> {
    let plain = Plain::read(line)?;
    let upstream = plain.upstream()?;
    BUFFERS.with_borrow_mut(|buffers| {
        let (route, text) = plain.native(&upstream.name, buffers)?;
        let mut kept: model::Route = serde_json::from_str(&text.json()).ok()?;
        kept.extensions.clear();
        assert_eq!(kept, *route, "what is kept is what the table gets");
        assert_eq!(text, Text::of(&text.json()), "it is packed in one way");
        Some((text.json(), json!(upstream)))
    })
}

/// What the general way makes of it.
pub(super) fn general(line: &[u8]) -> Option<(String, Value)> {
    let resource = catalogue::find("any", "any", "routes")?;
    let mut entity = body::entity(line).ok()?;
    body::normalise(resource, &mut entity);
    resource.form.check(&entity).ok()?;
    check::entity(resource, &entity).ok()?;
    let native = convert::route_to_native(entity).ok()?;
    model::check_typed_route(&native.route, &Default::default()).ok()?;
    let route = convert::declared(&native.route);
    Some((route.to_string(), json!(native.upstream)))
}
