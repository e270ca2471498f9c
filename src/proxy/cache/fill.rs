//! Fill: a request whose response may be kept, and the response as it comes in.
//!
//! What is kept is what the client gets, but for the lines that depend on the one request: the
//! body after it was compressed and before it is framed, the field lines as they go on. The bytes
//! are taken out of the budget before they are copied. Whatever goes wrong on the way, the copy is
//! dropped, and with it the lead of the flight: whoever waits for it goes on.

use std::sync::Arc;

use super::give::seconds;
use super::key::{self, Copied};
use super::worth::{Life, Worth};
use crate::cache::{Began, ENTRY_BYTES, Entry, Flight, Held, Kept, Kind, Lead, Store};
use crate::proxy::core::Core;
use crate::table::policy::{Cache, Policies};
use crate::wire::cache_control::opaque_tag;
use crate::wire::compose::{self, Edits, put_decimal, put_field};
use crate::wire::field::Field;
use crate::wire::head::{self, Body};

/// How long it is remembered that responses under a key are not kept.
const PASS_MS: u64 = 10_000;
/// Fields that a 304 has too (RFC 9110 §15.4.5).
const OF_UNCHANGED: [&str; 6] = [
    "cache-control",
    "content-location",
    "date",
    "etag",
    "expires",
    "vary",
];

/// A request whose response may be kept.
pub(in crate::proxy) struct Fill {
    pub(super) policies: Arc<Policies>,
    pub(super) began: Began,
    /// The key under which nothing was found.
    pub(super) key: Vec<u8>,
    pub(super) fields: Copied,
    pub(super) stage: Stage,
    /// What can be given if no server answers.
    pub(super) stale: Option<Arc<Entry>>,
    /// Bytes of the key without what a `Vary` adds.
    pub(super) bare: usize,
}

/// How far a request has come.
pub(super) enum Stage {
    /// It goes; nobody waits for it.
    Alone,
    /// Its key needs its body.
    Body,
    /// It changes what it names.
    Change,
    /// It goes, and others wait.
    Lead(#[expect(dead_code, reason = "the flight ends when it is dropped")] Lead),
    /// It waits for another.
    Wait(Arc<Flight>),
}

/// A response that is being kept.
pub(in crate::proxy) struct Filling {
    fill: Box<Fill>,
    store: Arc<Store>,
    kept: Kept,
    body: Vec<u8>,
    /// Bytes that a body may have.
    most: usize,
    held: Held,
    life: Life,
    now: u64,
}

/// A response whose head is at hand.
pub(in crate::proxy) struct Response<'a> {
    pub(in crate::proxy) head: &'a head::Response<'a, 'a>,
    /// What the route takes from every response.
    pub(in crate::proxy) edits: Option<&'a dyn Edits>,
    /// Lines that go with the body as it is kept.
    pub(in crate::proxy) of_body: &'a dyn Fn(&mut Vec<u8>),
    /// Whether it answers HEAD.
    pub(in crate::proxy) to_head: bool,
}

impl std::fmt::Debug for Filling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Filling").field(&self.body.len()).finish()
    }
}

impl Fill {
    pub(super) fn new(
        policies: &Arc<Policies>,
        began: Began,
        key: &[u8],
        bare: usize,
        fields: &[Field<'_>],
        stage: Stage,
    ) -> Box<Self> {
        Box::new(Self {
            policies: policies.clone(),
            began,
            key: key.to_vec(),
            bare,
            fields: Copied::of(fields),
            stage,
            stale: None,
        })
    }

    /// Whether something is to be waited for before the request can go on.
    pub(in crate::proxy) fn waits(&self) -> bool {
        matches!(self.stage, Stage::Body | Stage::Wait(_))
    }

    pub(super) fn cache(&self) -> Option<&Cache> {
        self.policies.cache.as_ref()
    }

    /// The response has begun: takes down its head, if it is kept.
    pub(in crate::proxy) fn begin(
        self: Box<Self>,
        core: &Core,
        response: &Response<'_>,
    ) -> Option<Box<Filling>> {
        let store = &core.cache;
        let head = response.head;
        if let Stage::Change = self.stage {
            // RFC 9111 §4.4: before the client hears that it has been changed.
            if (200..400).contains(&head.status) {
                store.change(self.began.uri());
            }
            return None;
        }
        let cache = self.cache().filter(|_| !response.to_head)?;
        let now = store.clock();
        let life = match Worth::of(head, cache) {
            Worth::Kept(life) => life,
            Worth::NotNow => return None,
            Worth::Never => {
                self.pass(store, now);
                return None;
            }
        };
        let most = cache.max_body_bytes;
        let (text, validators) = compose(core, response);
        let known = match head.body {
            Body::Length(length) => usize::try_from(length).ok()?,
            _ => 0,
        };
        let names: usize = life.varies.iter().map(|name| name.len() + 16).sum();
        let bytes = ENTRY_BYTES + 2 * self.key.len() + names + text.len() + known;
        let held = store.take(bytes, now)?;
        let value = |name: &str| {
            let mut fields = head.fields.iter();
            let field = fields.find(|field| field.name.eq_ignore_ascii_case(name))?;
            Some(field.value)
        };
        let age = life.age;
        let kept = Kept {
            status: head.status,
            text: text.into(),
            validators,
            tag: value("etag").and_then(opaque_tag).map(Into::into),
            modified: value("last-modified").and_then(seconds),
            born: i64::try_from(now).unwrap_or(i64::MAX)
                - i64::try_from(age).unwrap_or(i64::MAX / 2),
            body: Box::default(),
        };
        Some(Box::new(Filling {
            store: store.clone(),
            kept,
            body: Vec::with_capacity(known),
            most,
            held,
            life,
            now,
            fill: self,
        }))
    }

    /// Remembers that responses under this key are not kept, so that nobody waits for one.
    fn pass(&self, store: &Store, now: u64) {
        if let Some(held) = store.take(ENTRY_BYTES + self.key.len(), now) {
            let until = now + PASS_MS;
            let entry = Entry::new(
                &self.key,
                self.began.clone(),
                Kind::Passes,
                (until, until),
                held,
            );
            store.put(entry, now);
        }
    }
}

/// The status line and the field lines as every client gets them, and where those that a 304 has
/// too are among them.
fn compose(core: &Core, response: &Response<'_>) -> (Vec<u8>, std::ops::Range<usize>) {
    let head = response.head;
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(b"HTTP/1.1 ");
    put_decimal(&mut text, u64::from(head.status));
    text.push(b' ');
    text.extend_from_slice(head.reason.as_bytes());
    text.extend_from_slice(b"\r\n");
    let start = text.len();
    let is_of_unchanged = |name: &str| {
        OF_UNCHANGED
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    };
    let goes = |field: &Field<'_>| {
        compose::goes_to_client(head, field)
            && !field.name.eq_ignore_ascii_case("age")
            && !response.edits.is_some_and(|edits| edits.drops(field.name))
    };
    let mut end = start;
    for of_unchanged in [true, false] {
        for field in head.fields {
            if is_of_unchanged(field.name) == of_unchanged && goes(field) {
                put_line(field, response.edits, &mut text);
            }
        }
        if of_unchanged {
            (response.of_body)(&mut text);
            if !head.has_date {
                put_field(&mut text, b"Date", core.dates.borrow().http());
            }
            compose::put_via(head, &mut text);
            end = text.len();
        }
    }
    (text, start..end)
}

fn put_line(field: &Field<'_>, edits: Option<&dyn Edits>, text: &mut Vec<u8>) {
    if !edits.is_some_and(|edits| edits.replace(field, text)) {
        put_field(text, field.name.as_bytes(), field.value);
    }
}

impl Filling {
    /// Takes down a piece of the body; `false` if there is no room for it.
    pub(in crate::proxy) fn push(&mut self, piece: &[u8]) -> bool {
        let length = self.body.len() + piece.len();
        if length > self.most {
            self.fill.pass(&self.store, self.now);
            return false;
        }
        if length > self.body.capacity() {
            // As much again, so that a long body does not ask with every piece.
            let more = length.max(2 * self.body.capacity()).min(self.most);
            let more = more - self.body.capacity();
            let Some(held) = self.store.take(more, self.now) else {
                return false;
            };
            self.held.join(held);
            self.body
                .reserve_exact(more + self.body.capacity() - self.body.len());
        }
        self.body.extend_from_slice(piece);
        true
    }

    /// All of it has come: it is kept.
    pub(in crate::proxy) fn finish(self: Box<Self>) {
        let Self {
            fill,
            store,
            mut kept,
            body,
            mut held,
            life,
            now,
            ..
        } = *self;
        kept.body = body.into_boxed_slice();
        if !matches!(kept.status, 204 | 304) {
            let mut text = std::mem::take(&mut kept.text).into_vec();
            text.extend_from_slice(b"Content-Length: ");
            put_decimal(&mut text, kept.body.len() as u64);
            text.extend_from_slice(b"\r\n");
            kept.text = text.into();
        }
        let until = (now + life.fresh, now + life.stale);
        let bare = fill.key.get(..fill.bare).unwrap_or_default();
        let mut name = bare.to_vec();
        key::put_fields(&life.varies, &fill.fields, &mut name);
        held.shrink_to((ENTRY_BYTES + name.len() + kept.text.len() + kept.body.len()) as u64);
        let began = fill.began.clone();
        store.put(
            Entry::new(&name, began, Kind::Whole(kept), until, held),
            now,
        );
        if !life.varies.is_empty() {
            let names: usize = life.varies.iter().map(|name| name.len() + 16).sum();
            if let Some(held) = store.take(ENTRY_BYTES + bare.len() + names, now) {
                let kind = Kind::Varies(life.varies.into());
                let until = (until.1, until.1);
                store.put(Entry::new(bare, fill.began.clone(), kind, until, held), now);
            }
        }
        // Here the lead ends, and whoever waits for it looks again.
    }
}
