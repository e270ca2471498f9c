//! Directory: what routes refer to by name beside upstreams: key sets of files and URLs, token
//! verifiers, holders of keys, regions of the output cache, and the pages of last resort.
//!
//! Like all of the table it is immutable and shared: a change copies one path of a map. Routes
//! look things up when a request needs them, so a changed key touches no route.

use std::sync::Arc;

use super::consumer::Consumer;
use super::jwt::{Jwt, KeySet};
use super::map::{Entry, Map};
use super::policy::ErrorPage;
use super::seed::Seed;
use crate::cache::Regions;
use crate::model;

/// What routes refer to by name.
#[derive(Clone)]
pub(super) struct Directory {
    seed: Seed,
    sources: Map<Arc<Source>>,
    verifiers: Map<Arc<Verifier>>,
    consumers: Map<Arc<Consumer>>,
    pub(super) pages: Arc<[ErrorPage]>,
    /// Those of the output cache; all tables of a process share them.
    pub(super) regions: Regions,
}

/// A file or URL with keys, and how many routes and verifiers use it.
#[derive(Clone)]
struct Source {
    name: Arc<str>,
    users: u32,
    keys: Option<Arc<KeySet>>,
}

struct Verifier {
    id: Box<str>,
    jwt: Jwt,
}

impl Directory {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            seed,
            sources: Map::new(),
            verifiers: Map::new(),
            consumers: Map::new(),
            pages: Arc::default(),
            regions: Regions::default(),
        }
    }

    /// The keys of a file or URL.
    pub(super) fn keys(&self, name: &str) -> Option<&Arc<KeySet>> {
        self.sources.get(self.hash(name), name)?.keys.as_ref()
    }

    /// The files and URLs that are in use, and whether keys are known of each.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&str, bool)> {
        let sources = self.sources.iter();
        sources.map(|source| (&*source.name, source.keys.is_some()))
    }

    pub(super) fn verifier(&self, id: &str) -> Option<&Jwt> {
        Some(&self.verifiers.get(self.hash(id), id)?.jwt)
    }

    pub(super) fn consumer(&self, id: &str) -> Option<&Arc<Consumer>> {
        self.consumers.get(self.hash(id), id)
    }

    /// Sets the keys of a file or URL; nothing happens if nobody uses it.
    pub(super) fn set_keys(&mut self, name: &str, keys: &Arc<KeySet>) {
        let hash = self.hash(name);
        if let Some(source) = self.sources.get(hash, name) {
            let next = Source {
                keys: Some(keys.clone()),
                ..(**source).clone()
            };
            self.sources.insert(hash, Arc::new(next));
        }
    }

    /// Notes that a file or URL is used once more, or (`false`) once less.
    pub(super) fn count_source(&mut self, name: &str, more: bool) {
        let hash = self.hash(name);
        let known = self
            .sources
            .get(hash, name)
            .map(|source| (**source).clone());
        let mut source = known.unwrap_or_else(|| Source {
            name: name.into(),
            users: 0,
            keys: None,
        });
        source.users = match more {
            true => source.users + 1,
            false => source.users.saturating_sub(1),
        };
        if source.users == 0 {
            self.sources.remove(hash, name);
        } else {
            self.sources.insert(hash, Arc::new(source));
        }
    }

    pub(super) fn put_verifier(&mut self, id: &str, jwt: Jwt) {
        self.remove_verifier(id);
        if let Some(source) = jwt.source() {
            self.count_source(source, true);
        }
        let verifier = Verifier { id: id.into(), jwt };
        self.verifiers.insert(self.hash(id), Arc::new(verifier));
    }

    pub(super) fn remove_verifier(&mut self, id: &str) {
        let removed = self.verifiers.remove(self.hash(id), id);
        if let Some(source) = removed.as_ref().and_then(|one| one.jwt.source()) {
            self.count_source(source, false);
        }
    }

    pub(super) fn put_consumer(&mut self, declared: &model::consumer::Consumer) {
        let before = self.consumer(&declared.id).cloned();
        let consumer = Consumer::of(declared, before.as_deref());
        self.consumers
            .insert(self.hash(&declared.id), Arc::new(consumer));
    }

    pub(super) fn remove_consumer(&mut self, id: &str) {
        self.consumers.remove(self.hash(id), id);
    }

    fn hash(&self, name: &str) -> u32 {
        self.seed.hash(name.as_bytes())
    }
}

impl Entry for Source {
    type Key = str;

    fn key(&self) -> &str {
        &self.name
    }
}

impl Entry for Verifier {
    type Key = str;

    fn key(&self) -> &str {
        &self.id
    }
}
