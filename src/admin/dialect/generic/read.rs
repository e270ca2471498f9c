//! Read: lists, counts and single entities.

use std::collections::VecDeque;

use hyper::header;
use serde_json::{Value, json};

use super::catalogue::Resource;
use super::fault::Fault;
use super::listing::{Key, Listing};
use super::render::{ListWriter, Style};
use super::view::{Shown, Viewer};
use super::{Call, answer};
use crate::admin::payload::Payload;
use crate::admin::request::{self, Answer};

/// Entities that are looked at before other tasks get their turn.
const TURN: usize = 512;
/// Bytes of a piece of a list, about.
const PIECE: usize = 64 * 1024;

/// All entities of a resource that a query asks for.
pub(crate) async fn list(call: &Call<'_>, resource: &'static Resource) -> Result<Answer, Fault> {
    let listing = Listing::read(call.request.query()).map_err(Fault::bad_request)?;
    let style = call.style(true)?;
    let viewer = Viewer::of(resource);
    let mut found = found(call, &viewer, &listing).await;
    if listing.sorts() {
        found = sorted(found, &viewer, &listing).await;
    }
    let pages = match listing.page {
        Some(page) => {
            let count = found.len();
            found = found.drain(page.range(count)).collect();
            page.pages(count).to_string()
        }
        None => "-1".to_owned(),
    };
    let kind = style.kind;
    let gzip = style.gzip;
    let label = call.label(resource);
    let payload = pieces(resource, viewer, listing, style, label, found);
    let mut answer = request::answer(200, kind.field(), payload);
    answer::add_fields(&mut answer, call, Some(resource), &pages);
    if gzip {
        request::set(&mut answer, header::CONTENT_ENCODING, "gzip");
    }
    Ok(answer)
}

/// How many entities the caller may see.
pub(crate) async fn count(call: &Call<'_>, resource: &'static Resource) -> Result<Answer, Fault> {
    let viewer = Viewer::of(resource);
    let found = found(call, &viewer, &Listing::default()).await;
    let body = json!({"count": found.len(), "kind": call.label(resource)});
    call.whole(200, Some(resource), body)
}

/// One entity.
pub(crate) fn one(call: &Call<'_>, resource: &'static Resource, id: &str) -> Result<Answer, Fault> {
    let listing = Listing::read(call.request.query()).map_err(Fault::bad_request)?;
    let style = call.style(false)?;
    let viewer = Viewer::of(resource);
    let missing = || Fault::not_found("resource not found");
    let shown = {
        let state = call.core.state.borrow();
        let kept = state.of_kind(resource.stored()).get(id).cloned();
        let kept = kept
            .filter(|kept| viewer.covers(kept))
            .ok_or_else(missing)?;
        viewer.with_own(kept, |name| state.upstreams.get(name).cloned())
    };
    let entity = viewer.show(&shown);
    if !call.rights.sees(&entity) {
        return Err(missing());
    }
    let tag = shown.0.tag();
    if call.request.conditions().has_seen(&tag) {
        return Ok(request::not_modified(&tag));
    }
    let entity = style.entity(resource, &call.label(resource), &listing, entity);
    let mut answer = call.styled(200, Some(resource), entity, &style);
    request::set(&mut answer, header::ETAG, &tag);
    Ok(answer)
}

/// The entities of one moment that the caller may see and the query asks for, the oldest first.
async fn found(call: &Call<'_>, viewer: &Viewer, listing: &Listing) -> VecDeque<Shown> {
    let all: Vec<Shown> = viewer.all(&call.core.state.borrow()).collect();
    if listing.shows_all() && call.rights.is_everywhere() {
        return all.into();
    }
    let mut found = VecDeque::new();
    for (index, shown) in all.into_iter().enumerate() {
        let entity = viewer.show(&shown);
        if call.rights.sees(&entity) && listing.takes(&entity) {
            found.push_back(shown);
        }
        if index % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
    }
    found
}

async fn sorted(found: VecDeque<Shown>, viewer: &Viewer, listing: &Listing) -> VecDeque<Shown> {
    let mut keyed: Vec<(Vec<Key>, Shown)> = Vec::with_capacity(found.len());
    for (index, shown) in found.into_iter().enumerate() {
        keyed.push((listing.keys(&viewer.show(&shown)), shown));
        if index % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
    }
    keyed.sort_by(|(one, _), (other, _)| listing.compare(one, other));
    keyed.into_iter().map(|(_, shown)| shown).collect()
}

/// The list, written as it is read: what is in memory at one time is a piece.
fn pieces(
    resource: &'static Resource,
    viewer: Viewer,
    listing: Listing,
    style: Style,
    label: String,
    mut found: VecDeque<Shown>,
) -> Payload {
    let mut writer = Some(ListWriter::new(style.clone()));
    Payload::Lazy(Box::new(move || {
        loop {
            let writing = writer.as_mut()?;
            while writing.waiting() < PIECE {
                let Some(shown) = found.pop_front() else {
                    break;
                };
                let entity = style.entity(resource, &label, &listing, viewer.show(&shown));
                writing.add(&entity);
            }
            let last = found.is_empty();
            let piece = writing.take(last);
            if last {
                writer = None;
            }
            if last || !piece.is_empty() {
                return Some(piece);
            }
        }
    }))
}

/// The schema of a resource, as it is.
pub(crate) fn schema(call: &Call<'_>, resource: &'static Resource) -> Result<Answer, Fault> {
    call.whole(200, Some(resource), resource.form.schema().clone())
}

/// The entity to begin with.
pub(crate) fn template(call: &Call<'_>, resource: &'static Resource) -> Result<Answer, Fault> {
    let id = super::act::new_id(resource);
    let entity =
        super::template::of(resource, id, call.request.query()).map_err(Fault::bad_request)?;
    match entity {
        Some(entity) => call.whole(200, Some(resource), entity),
        None => Err(Fault {
            error: "template not found !",
            ..Fault::not_found("there is none")
        }),
    }
}

/// What is served, with schemas or without.
pub(crate) fn catalogue(call: &Call<'_>) -> Result<Answer, Fault> {
    let with_schema = call.request.parameter("schema") != Some("false");
    let resources: Vec<Value> = super::catalogue::all()
        .iter()
        .map(|resource| resource.describe(with_schema))
        .collect();
    call.whole(
        200,
        None,
        json!({"version": super::VERSION, "resources": resources}),
    )
}
