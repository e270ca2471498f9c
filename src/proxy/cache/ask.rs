//! Ask: whether a request can have what is kept, and what becomes of it if nothing is.
//!
//! What is not a plain request for a whole response goes past the cache: a range, a precondition
//! for a change (`If-Match`), a change of protocol, a body that is not in the key.

use std::sync::Arc;

use super::fill::{Fill, Stage};
use super::give::{Manner, Unless, give};
use super::key::{self, Lines, Parts};
use crate::cache::{Boarding, Entry, Kind};
use crate::proxy::core::Core;
use crate::proxy::local::Local;
use crate::proxy::policy::{Drafts, Visit};
use crate::proxy::serve::is_modern;
use crate::table::policy::{Authorized, Cache};
use crate::wire::cache_control::Directives;
use crate::wire::field::Field;
use crate::wire::head::{Body, Request};

/// Bytes of a body that can be in a key.
pub(super) const BODY_BYTES_MAX: u64 = 64 * 1024;

/// A request on a route that keeps responses.
pub(in crate::proxy) struct Ask<'a, 'b, 's> {
    pub(in crate::proxy) visit: &'a Visit<'a, 'b, 's>,
    pub(in crate::proxy) parts: Parts<'a>,
}

/// What becomes of it.
pub(in crate::proxy) enum Asked {
    /// It has its answer.
    Given(Local),
    /// It goes on, and what comes back may be kept.
    Fill(Box<Fill>),
    /// It goes on as if nothing was kept.
    Past,
}

/// What the fields of a request say to a cache.
#[derive(Default)]
pub(super) struct Wishes<'b> {
    /// It is for no cache.
    past: bool,
    /// It wants a new response.
    anew: bool,
    unless: Unless<'b>,
    pub(super) authorization: Option<&'b [u8]>,
}

/// What a request means to the cache.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Meaning {
    /// It asks for what may be kept.
    Asks,
    /// The same, but the key needs its body.
    AsksWithBody,
    /// It changes what it names.
    Changes,
    Other,
}

/// What is found under a key.
pub(super) enum Found {
    Fresh(Local),
    Stale(Arc<Entry>),
    /// A word that nothing is kept.
    Passes,
    Nothing,
}

impl Ask<'_, '_, '_> {
    /// Answers the request, or says how it goes on.
    pub(in crate::proxy) fn ask(&self, drafts: &mut Drafts) -> Asked {
        let cache = self.parts.cache;
        let head = &self.visit.request.head;
        let meaning = self.meaning();
        if meaning == Meaning::Other {
            return Asked::Past;
        }
        let wishes = Wishes::of(head.fields, cache.client_control);
        let uri = key::put(self.visit, &self.parts, &wishes, &mut drafts.key);
        drafts.bare = drafts.key.len();
        if meaning == Meaning::Changes {
            return Asked::Fill(self.fill(drafts, uri, Stage::Change));
        }
        let proof = self.parts.proof;
        let is_somebody =
            wishes.authorization.is_some() || !proof.consumer.is_empty() || proof.claims.is_some();
        if wishes.past || is_somebody && cache.authorized == Authorized::Bypass {
            return Asked::Past;
        }
        if meaning == Meaning::AsksWithBody {
            return Asked::Fill(self.fill(drafts, uri, Stage::Body));
        }
        if wishes.anew {
            self.visit.core.counters.cache_misses.add(1);
            return Asked::Fill(self.fill(drafts, uri, Stage::Alone));
        }
        match self.search(drafts, uri, wishes.unless) {
            Found::Fresh(local) => Asked::Given(local),
            found => self.miss(drafts, uri, &wishes, found),
        }
    }

    fn meaning(&self) -> Meaning {
        let request = self.visit.request;
        let head: &Request<'_, '_> = &request.head;
        let hashes = self.parts.cache.hash_body;
        let may_have_body = match head.body {
            Body::None => true,
            Body::Length(length) => {
                let is_coming = request.body_is_at_hand || !head.expects_continue;
                hashes && length <= BODY_BYTES_MAX && is_coming
            }
            Body::Chunked | Body::UntilClose => false,
        };
        let sent = self.visit.policies.method_for(head.method);
        // A method that the route makes another is kept only if that is GET.
        let is_another = sent.is_some_and(|sent| !matches!(sent, "GET") && sent != head.method);
        match head.method {
            _ if head.upgrade.is_some() || is_another => Meaning::Other,
            "GET" | "HEAD" if head.body == Body::None => Meaning::Asks,
            "GET" | "HEAD" if !may_have_body => Meaning::Other,
            "GET" | "HEAD" => Meaning::AsksWithBody,
            "POST" | "QUERY" if hashes && may_have_body => Meaning::AsksWithBody,
            "OPTIONS" | "QUERY" | "TRACE" => Meaning::Other,
            _ => Meaning::Changes,
        }
    }

    fn search(&self, drafts: &mut Drafts, uri: u64, unless: Unless<'_>) -> Found {
        let Visit { core, request, .. } = *self.visit;
        let head = &request.head;
        let Drafts {
            key,
            bare,
            varied,
            lines,
            ..
        } = drafts;
        key.truncate(*bare);
        let manner = Manner {
            to_head: head.method == "HEAD",
            keep: head.is_persistent() && request.body_is_at_hand && !core.is_draining(),
            modern: is_modern(head.version),
            left: head.body,
            unless,
            lines,
            stale: false,
        };
        let space = Space { key, varied };
        search(core, self.parts.cache, uri, head.fields, space, &manner)
    }

    /// Nothing fresh is kept: the request goes for it, waits for another, or has what is stale.
    fn miss(&self, drafts: &mut Drafts, uri: u64, wishes: &Wishes<'_>, found: Found) -> Asked {
        let Visit { core, request, .. } = *self.visit;
        // What comes back for such a request may be nothing for the others.
        let has_own = request.head.method == "HEAD" || wishes.unless.is_some();
        if has_own || matches!(found, Found::Passes) {
            core.counters.cache_misses.add(1);
            return Asked::Fill(self.fill(drafts, uri, Stage::Alone));
        }
        let cache = self.parts.cache;
        let now = core.cache_clock.get();
        let name = core.cache.key_of(&drafts.key, uri);
        let stage = match core.cache.board(&name, &cache.region, now, cache.wait_ms) {
            Boarding::Lead(lead) => {
                // The flight before this one may have landed since we looked.
                if let Found::Fresh(local) = self.search(drafts, uri, wishes.unless) {
                    return Asked::Given(local);
                }
                Stage::Lead(lead)
            }
            Boarding::Wait(flight) => Stage::Wait(flight),
            Boarding::Alone => Stage::Alone,
        };
        let mut stale = None;
        if let Found::Stale(entry) = found {
            if !matches!(stage, Stage::Lead(_)) {
                return self.give_stale(&entry, drafts);
            }
            stale = Some(entry);
        }
        if !matches!(stage, Stage::Wait(_)) {
            core.counters.cache_misses.add(1);
        }
        let mut fill = self.fill(drafts, uri, stage);
        fill.stale = stale;
        Asked::Fill(fill)
    }

    /// Gives what is stale: somebody else is asking for a new one.
    #[cold]
    fn give_stale(&self, entry: &Arc<Entry>, drafts: &Drafts) -> Asked {
        let Visit { core, request, .. } = *self.visit;
        let head = &request.head;
        let manner = Manner {
            to_head: head.method == "HEAD",
            keep: head.is_persistent() && request.body_is_at_hand && !core.is_draining(),
            modern: is_modern(head.version),
            left: head.body,
            unless: Unless::default(),
            lines: drafts.lines(),
            stale: true,
        };
        match entry.whole() {
            Some(kept) => Asked::Given(give(core, entry, kept, &manner)),
            None => Asked::Past,
        }
    }

    #[cold]
    fn fill(&self, drafts: &Drafts, uri: u64, stage: Stage) -> Box<Fill> {
        let Visit {
            core,
            request,
            policies,
            ..
        } = *self.visit;
        let began = core.cache.begin(&self.parts.cache.region, uri);
        let fields = request.head.fields;
        Fill::new(policies, began, &drafts.key, drafts.bare, fields, stage)
    }
}

/// Where a key is made.
pub(super) struct Space<'k> {
    /// The key; what the `Vary` of the response says is added.
    pub(super) key: &'k mut Vec<u8>,
    pub(super) varied: &'k mut Vec<u8>,
}

/// Looks for what is kept under a key.
pub(super) fn search<L: Lines + ?Sized>(
    core: &Core,
    cache: &Cache,
    uri: u64,
    lines: &L,
    space: Space<'_>,
    manner: &Manner<'_>,
) -> Found {
    let Space { key, varied } = space;
    let now = core.cache_clock.get();
    // Once for what is asked for, and once more for its variant.
    for _ in 0..2 {
        varied.clear();
        let name = core.cache.key_of(key, uri);
        let found = core
            .cache
            .find(&name, &cache.region, now, |entry| match &entry.kind {
                Kind::Passes => Some(Found::Passes),
                Kind::Varies(names) => {
                    key::put_fields(names, lines, varied);
                    None
                }
                Kind::Whole(kept) if now < entry.fresh_until => {
                    Some(Found::Fresh(give(core, entry, kept, manner)))
                }
                Kind::Whole(_) => Some(Found::Stale(entry.clone())),
            });
        match found {
            Some(Some(found)) => return found,
            Some(None) => key.extend_from_slice(varied),
            None => return Found::Nothing,
        }
    }
    Found::Nothing
}

impl<'b> Wishes<'b> {
    /// Reads them. Directives of a request count only where they may (RFC 9111 §5.2.1: they are
    /// advice).
    fn of(fields: &[Field<'b>], control: bool) -> Self {
        let mut wishes = Self::default();
        for field in fields {
            let name = field.name;
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            match name.len() {
                5 if is("range") => wishes.past = true,
                6 if control && is("pragma") => {
                    wishes.anew |= field.value.eq_ignore_ascii_case(b"no-cache");
                }
                8 if is("if-range") || is("if-match") => wishes.past = true,
                13 if is("authorization") => {
                    wishes.past |= wishes.authorization.is_some();
                    wishes.authorization = Some(field.value);
                }
                13 if is("if-none-match") => {
                    wishes.past |= wishes.unless.tags.is_some();
                    wishes.unless.tags = Some(field.value);
                }
                13 if control && is("cache-control") => {
                    let mut said = Directives::default();
                    said.add(field.value);
                    wishes.anew |= said.no_cache || said.max_age == Some(0);
                    wishes.past |= said.no_store;
                }
                17 if is("if-modified-since") => wishes.unless.since = Some(field.value),
                19 if is("if-unmodified-since") => wishes.past = true,
                _ => {}
            }
        }
        wishes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_wishes_counts_where_it_may() {
        let wishes = |name, value: &'static [u8], control| {
            let wishes = Wishes::of(&[Field { name, value }], control);
            (wishes.past, wishes.anew)
        };
        for (name, value, control, expected) in [
            ("Range", &b"bytes=0-1"[..], false, (true, false)),
            ("If-Match", b"\"a\"", false, (true, false)),
            ("Cache-Control", b"no-cache", false, (false, false)),
            ("Cache-Control", b"no-cache", true, (false, true)),
            ("cache-control", b"max-age=0", true, (false, true)),
            ("cache-control", b"max-age=5", true, (false, false)),
            ("Cache-Control", b"no-store", true, (true, false)),
            ("Pragma", b"no-cache", true, (false, true)),
            ("Accept", b"*/*", true, (false, false)),
        ] {
            assert_eq!(wishes(name, value, control), expected, "{name} {value:?}");
        }
        let twice = [
            Field {
                name: "authorization",
                value: b"a",
            },
            Field {
                name: "Authorization",
                value: b"b",
            },
        ];
        assert!(Wishes::of(&twice, false).past);
    }
}
