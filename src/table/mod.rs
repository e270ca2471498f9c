//! What every proxy core executes: all routes and upstreams, compiled into one immutable table.
//!
//! A change makes a new table that shares all but a few nodes with the old one, so it costs
//! microseconds whatever the size, and old tables stay valid for the requests that run on them.
//! [`Table::find`] chooses a route without a lock and, but for what it says itself, without an
//! allocation. [`Table::explain`] says for one request why each route won or lost.
//!
//! Reading order: `order` (which route wins), `pattern` and `condition` (what a route asks for),
//! `action` and `rewrite` (what it does), `route`, `hosts` and `tree` (how it is found), `map`
//! (what makes sharing possible), `upstream`.

mod action;
mod aggregate;
mod auth;
mod cache;
mod captures;
#[cfg(test)]
mod cases;
mod compress;
mod condition;
mod consumer;
mod cors;
mod directory;
mod edit;
mod error;
mod explain;
mod flat;
mod hosts;
mod jwt;
mod label;
mod limit;
mod maglev;
mod map;
mod order;
mod pages;
mod pattern;
pub mod policy;
mod prove;
mod require;
mod retry;
mod rewrite;
mod route;
mod said;
mod secure;
mod seed;
mod split;
mod spread;
#[cfg(test)]
mod tests;
mod tree;
mod trie;
mod upstream;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

pub use action::{Action, Forward, Redirect, Respond, RouteTimeouts, Terms};
pub use aggregate::{Aggregate, Part};
pub use captures::{CAPTURES_MAX, Captures};
pub use condition::{Conditions, Fields, NoFields, Question, Unmet};
pub use error::{CompileError, PatternFault};
pub use explain::{Outcome, VERDICTS_MAX, Verdict};
pub use maglev::Maglev;
pub use order::{AGE_MAX, Criterion, Order, PATH_BYTES_MAX, SEGMENTS_MAX};
pub use pattern::{HostPattern, PathKind, PathPattern};
pub use retry::Retries;
pub use rewrite::{Pieces, PrefixRewrite, Rewrite, Source, Template};
pub use route::{Route, default_id};
pub use secure::{FileReader, Peer, Secure, roots_of_machine};
pub use spread::{Key, Queue, Spread, Sticky};
pub use upstream::{Endpoint, PoolLimits, Server, Upstream, UpstreamId};

use self::directory::Directory;
use self::hosts::Hosts;
use self::map::Map;
use self::policy::{ErrorPage, Jwt, KeySet};
use self::route::Known;
use self::seed::Seed;
use self::upstream::Upstreams;
use crate::model;

/// All routes and upstreams of one epoch. A clone shares everything.
#[derive(Clone)]
pub struct Table {
    seed: Seed,
    hosts: Hosts,
    routes: Map<Arc<Route>>,
    upstreams: Upstreams,
    directory: Directory,
    /// Those of the route that came last: the next one most often has the same.
    terms: Arc<Terms>,
}

/// One step from a table to the next.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Sets the keys of a file or URL. Nothing happens if nobody takes keys from it.
    Keys {
        /// Its name, as [`Table::key_sources`] has it.
        source: String,
        /// The keys.
        keys: Arc<KeySet>,
    },
    /// Sets the bodies of our own answers where no route has one.
    Pages(Vec<model::policy::ErrorPage>),
    /// Adds the holder of a key, or puts it in the place of the one with its id.
    PutConsumer(Box<model::consumer::Consumer>),
    /// Adds a verifier of tokens, or puts it in the place of the one with its id.
    PutVerifier {
        /// Its id.
        id: String,
        /// What a token must be.
        jwt: Box<Jwt>,
    },
    /// Takes out the holder of the key with this id, if there is one.
    RemoveConsumer(String),
    /// Takes out the verifier with this id, if there is one.
    RemoveVerifier(String),
    /// Adds a route, or puts it in the place of the one with its id ([`default_id`] if it has
    /// none).
    PutRoute {
        /// The route.
        route: Arc<model::Route>,
        /// Its age; smaller is older. No two routes may have the same; equal ones go by id.
        age: u64,
    },
    /// Adds a route that [`Table::prepare`] made for this table or one that it comes from.
    PutPrepared(Arc<Route>),
    /// Adds an upstream, or puts it in the place of the one with its name. It keeps its number and
    /// the addresses of its server names.
    PutUpstream(Box<model::Upstream>),
    /// Takes out the route with this id, if there is one.
    RemoveRoute(String),
    /// Takes out the upstream with this name, if there is one. No route may use it.
    RemoveUpstream(String),
    /// Says whether a server is well. Nothing happens if it is gone, or is not asked any more.
    Health {
        /// The upstream's name.
        upstream: String,
        /// The server's name, as [`Server::name`] has it.
        server: String,
        /// Whether it is well.
        up: bool,
    },
    /// Sets what the files hold that the TLS of an upstream names. Nothing happens if it says
    /// something else by now.
    Secure {
        /// The upstream's name.
        upstream: String,
        /// What [`Secure::again`] has made of them.
        secure: Arc<Secure>,
    },
    /// Sets the addresses of a server name. Nothing happens if no upstream uses the name.
    Resolve {
        /// The server name, as upstreams have it in `address`.
        name: String,
        /// All its addresses.
        addresses: Vec<IpAddr>,
    },
}

/// How many more routes use an upstream than before.
type Uses = HashMap<UpstreamId, i32, foldhash::fast::RandomState>;

/// The route of a request.
#[derive(Debug)]
pub struct Found<'t> {
    /// The route.
    pub route: &'t Arc<Route>,
    /// What its action needs to know of the path; none if it needs nothing.
    pub captures: Captures,
}

// === impl Table ===

impl Default for Table {
    fn default() -> Self {
        Self::empty()
    }
}

impl Table {
    /// A table without routes and upstreams.
    pub fn empty() -> Self {
        let seed = Seed::of_process();
        Self {
            hosts: Hosts::new(),
            routes: Map::new(),
            upstreams: Upstreams::new(seed.clone()),
            directory: Directory::new(seed.clone()),
            terms: Arc::default(),
            seed,
        }
    }

    /// The table of a whole configuration. The first route is the oldest; routes without an id get
    /// their [`default_id`], with `#2`, `#3` and so on where several have the same.
    pub fn compile(
        routes: &[model::Route],
        upstreams: &[model::Upstream],
    ) -> Result<Self, CompileError> {
        Self::empty().replace(routes, upstreams)
    }

    /// As [`Table::compile`], in the place of this table: upstreams that stay keep their numbers
    /// and the addresses of their server names.
    pub fn replace(
        &self,
        routes: &[model::Route],
        upstreams: &[model::Upstream],
    ) -> Result<Self, CompileError> {
        let mut next = Self {
            upstreams: self.upstreams.clone(),
            ..Self::empty()
        };
        next.directory.regions = self.directory.regions.clone();
        next.upstreams.forget_routes();
        let mut uses = Uses::default();
        let mut names = HashSet::new();
        for upstream in upstreams {
            if !names.insert(upstream.name.as_str()) {
                let upstream = upstream.name.clone();
                return Err(CompileError::DuplicateUpstream { upstream });
            }
            next.upstreams.put(upstream)?;
        }
        for upstream in self
            .upstreams()
            .filter(|upstream| !names.contains(&*upstream.name))
        {
            next.upstreams.remove(&upstream.name)?;
        }
        let mut made = HashMap::<String, u32>::new();
        for (age, route) in (0..).zip(routes) {
            let id = route.id.clone().unwrap_or_else(|| {
                let id = default_id(route);
                let count = made.entry(id.clone()).or_default();
                *count += 1;
                if *count == 1 {
                    id
                } else {
                    format!("{id}#{count}")
                }
            });
            if next.route(&id).is_some() {
                return Err(CompileError::DuplicateRoute { route: id });
            }
            next.put_route(&id, route, age, Some(self), &mut uses)?;
        }
        next.count(uses);
        Ok(next)
    }

    /// The table after `changes`, all of them or none.
    ///
    /// The result is that of compiling the changed configuration: upstreams are put before routes
    /// and removed after them, so the changes may come in any order as long as the end is
    /// consistent. Of several changes of one thing the last one counts.
    pub fn change(&self, changes: &[Change]) -> Result<Self, CompileError> {
        let mut next = self.clone();
        next.apply_over(changes, Some(self))?;
        Ok(next)
    }

    /// Compiles a route that has no rate limit, to be put later. Its upstreams must be there.
    pub fn prepare(
        &mut self,
        id: &str,
        route: &model::Route,
        age: u64,
    ) -> Result<Arc<Route>, CompileError> {
        self.compile_route(id, route, age, None)
    }

    /// The same in place, for many changes. After an error the table is of no use.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), CompileError> {
        self.apply_over(changes, None)
    }

    fn apply_over(
        &mut self,
        changes: &[Change],
        before: Option<&Self>,
    ) -> Result<(), CompileError> {
        let mut last = HashMap::new();
        for change in changes {
            match change {
                Change::PutUpstream(upstream) => last.insert(upstream.name.as_str(), true),
                Change::RemoveUpstream(name) => last.insert(name.as_str(), false),
                _ => None,
            };
        }
        for change in changes {
            if let Change::PutUpstream(upstream) = change {
                self.upstreams.put(upstream)?;
            }
        }
        let mut uses = Uses::default();
        for change in changes {
            match change {
                Change::PutRoute { route, age } => {
                    let id = route.id.as_deref().map(Cow::Borrowed);
                    let id = id.unwrap_or_else(|| default_id(route).into());
                    self.put_route(&id, route, *age, before, &mut uses)?;
                }
                Change::PutPrepared(route) => self.put_compiled(route.clone(), &mut uses),
                Change::Keys { source, keys } => self.directory.set_keys(source, keys),
                Change::Pages(pages) => {
                    self.directory.pages = pages.iter().map(ErrorPage::of).collect();
                }
                Change::PutConsumer(consumer) => self.directory.put_consumer(consumer),
                Change::PutVerifier { id, jwt } => {
                    self.directory.put_verifier(id, (**jwt).clone());
                }
                Change::RemoveConsumer(id) => self.directory.remove_consumer(id),
                Change::RemoveVerifier(id) => self.directory.remove_verifier(id),
                Change::RemoveRoute(id) => self.remove_route(id, &mut uses),
                Change::Resolve { name, addresses } => self.upstreams.resolve(name, addresses),
                Change::Secure { upstream, secure } => self.upstreams.set_secure(upstream, secure),
                Change::Health {
                    upstream,
                    server,
                    up,
                } => self.upstreams.set_health(upstream, server, *up),
                Change::PutUpstream(_) | Change::RemoveUpstream(_) => {}
            }
        }
        self.count(uses);
        for (name, _) in last.into_iter().filter(|(_, stays)| !stays) {
            self.upstreams.remove(name)?;
        }
        Ok(())
    }

    /// The route for `question`, the first in the order of [`Order`] that matches.
    ///
    /// Allocates only for a regular expression whose groups the action uses, and for a regular
    /// expression on a query value with escapes in it. A path that does not start with `/` has no
    /// route.
    #[inline]
    pub fn find<F: Fields>(&self, question: &Question<'_, F>) -> Option<Found<'_>> {
        let route = self.hosts.find(&self.seed, question)?;
        Some(Found {
            route,
            captures: route.captures(question.path),
        })
    }

    /// The route with this id for `path`, or one of its further paths; nothing else of it is looked
    /// at. None if there is no such route, or the path is none of its.
    pub fn find_by_id(&self, id: &str, path: &[u8]) -> Option<Found<'_>> {
        let further = (1..).map_while(|number| self.route(&model::Route::further_id(id, number)));
        let mut all = self.route(id).into_iter().chain(further);
        let route = all.find(|route| route.path().matches(path))?;
        let captures = route.captures(path);
        Some(Found { route, captures })
    }

    /// What became of each route that matches host or path of `question`: first the winner, then
    /// those that match but come later in the order, then those that fail a condition, then those
    /// that only have the path or only the host in common. At most [`VERDICTS_MAX`] of them.
    ///
    /// Looks at every route: for people who ask, not for requests.
    pub fn explain<F: Fields>(&self, question: &Question<'_, F>) -> Vec<Verdict<'_>> {
        explain::explain(self.routes(), question)
    }

    /// The route with this id.
    pub fn route(&self, id: &str) -> Option<&Arc<Route>> {
        self.routes.get(self.seed.hash(id.as_bytes()), id)
    }

    /// All routes, in no particular order.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }

    /// How many routes there are.
    pub fn route_count(&self) -> usize {
        self.routes.len()
    }

    /// The upstream with this number.
    #[inline]
    pub fn upstream(&self, id: UpstreamId) -> Option<&Arc<Upstream>> {
        self.upstreams.get(id)
    }

    /// The number of the upstream with this name.
    pub fn upstream_id(&self, name: &str) -> Option<UpstreamId> {
        self.upstreams.id(name)
    }

    /// All upstreams, in no particular order.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.iter()
    }

    /// How many upstreams there are.
    pub fn upstream_count(&self) -> usize {
        self.upstreams.count()
    }

    /// The server names that upstreams use, each with the addresses known of it.
    pub fn server_names(&self) -> impl Iterator<Item = (&str, &[IpAddr])> {
        self.upstreams.names()
    }

    /// The addresses known of a server name, in lower case; none if no upstream uses it.
    pub fn addresses(&self, name: &str) -> &[IpAddr] {
        self.upstreams.addresses(name)
    }

    /// The files and URLs that keys are taken from, and whether keys are known of each.
    pub fn key_sources(&self) -> impl Iterator<Item = (&str, bool)> {
        self.directory.sources()
    }

    /// Whether a route of it keeps responses, or one of a table before it did.
    pub fn keeps_responses(&self) -> bool {
        !self.directory.regions.is_empty()
    }

    /// Drops all that is kept in a region of the output cache, at once and for every core; says
    /// whether a route has that region.
    pub fn drop_region(&self, name: &str) -> bool {
        self.directory.regions.drop_all(name)
    }

    /// The body of our own answer of this status, where the route has none.
    pub fn page(&self, status: u16) -> Option<&ErrorPage> {
        let mut pages = self.directory.pages.iter();
        pages.find(|page| page.is_for(status))
    }

    fn put_route(
        &mut self,
        id: &str,
        declared: &model::Route,
        age: u64,
        before: Option<&Self>,
        uses: &mut Uses,
    ) -> Result<(), CompileError> {
        let route = self.compile_route(id, declared, age, before)?;
        self.put_compiled(route, uses);
        Ok(())
    }

    fn compile_route(
        &mut self,
        id: &str,
        declared: &model::Route,
        age: u64,
        before: Option<&Self>,
    ) -> Result<Arc<Route>, CompileError> {
        // Of what was before only the limit goes on.
        let limited = declared.rate_limit.is_some();
        let before = limited.then(|| before.unwrap_or(self).route(id).cloned());
        let before = before.flatten();
        let upstream = |name: &str| self.upstreams.id(name);
        let known = Known {
            before: before.as_deref(),
            terms: &self.terms,
            regions: &self.directory.regions,
        };
        let route = Route::compile(id, declared, age, &upstream, &known)?;
        if let Action::Forward(forward) = &route.action {
            self.terms = forward.terms.clone();
        }
        Ok(Arc::new(route))
    }

    fn put_compiled(&mut self, route: Arc<Route>, uses: &mut Uses) {
        for upstream in route.upstreams() {
            *uses.entry(upstream).or_default() += 1;
        }
        // Before the old route goes, so that keys that both use stay.
        for source in route.sources() {
            self.directory.count_source(source, true);
        }
        let hash = self.seed.hash(route.id().as_bytes());
        if let Some(before) = self.routes.insert(hash, route.clone()) {
            self.forget(&before, uses);
        }
        self.hosts.insert(&self.seed, &route);
    }

    /// Counts the routes that use each upstream.
    fn count(&mut self, uses: Uses) {
        for (upstream, more) in uses {
            self.upstreams.count_routes(upstream, more);
        }
    }

    fn remove_route(&mut self, id: &str, uses: &mut Uses) {
        let Some(route) = self.routes.remove(self.seed.hash(id.as_bytes()), id) else {
            return;
        };
        self.forget(&route, uses);
    }

    /// Does what else is to be done for a route that is gone.
    fn forget(&mut self, route: &Route, uses: &mut Uses) {
        self.hosts.remove(&self.seed, route);
        for upstream in route.upstreams() {
            *uses.entry(upstream).or_default() -= 1;
        }
        for source in route.sources() {
            self.directory.count_source(source, false);
        }
    }
}
