//! Fuzz: the ways into the parts of this dialect that read what strangers write, for the fuzz
//! targets of `tests/fuzz`, which see only what is public.

use serde_json::Value;

use super::body::{self, Content};
use super::catalogue;
use super::listing::Listing;
use super::patch::Patch;

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
    if let Ok(native) = super::convert::route_to_native(entity.clone()) {
        let mut shown = super::convert::route_to_generic(&native.route, native.upstream.as_ref());
        if let Some(members) = shown.as_object_mut() {
            members.shift_remove("ringway");
        }
        if let Some(members) = entity.as_object_mut() {
            members.shift_remove("ringway");
        }
        assert_eq!(shown, entity, "an entity comes back as it was");
    }
}
