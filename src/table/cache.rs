//! The output cache of a route, compiled: what is kept, for how long, in which region.

use std::sync::Arc;

use crate::cache::{Region, Regions};
use crate::model::Route;
pub use crate::model::cache::Authorized;
use crate::wire::hash;

/// What a route keeps.
#[derive(Clone, Debug)]
pub struct Cache {
    /// What sets its keys apart from those of other routes, and from its own before it was changed.
    pub salt: u64,
    /// Its region.
    pub region: Arc<Region>,
    /// How long a response is fresh, at the most, in milliseconds.
    pub ttl_ms: u64,
    /// How long it may be used after that.
    pub stale_ms: u64,
    /// How long a request waits for another.
    pub wait_ms: u64,
    /// The fields of a request that are in its key, in lower case.
    pub vary: Box<[Box<str>]>,
    /// Whether the body is in the key too.
    pub hash_body: bool,
    /// Bytes of a body that is kept, at the most.
    pub max_body_bytes: usize,
    /// What becomes of requests of somebody in particular.
    pub authorized: Authorized,
    /// Whether a `Set-Cookie` is kept.
    pub keep_set_cookie: bool,
    /// Whether a request may ask for a new response.
    pub client_control: bool,
    /// Whether the response has no say.
    pub ignore_cache_control: bool,
    statuses: Box<[u16]>,
    name: Box<str>,
}

impl Cache {
    /// What `route`, under the id `id`, declares; nothing if it has nothing to keep.
    pub(super) fn of(id: &str, route: &Route, regions: &Regions) -> Option<Self> {
        let declared = route.cache.as_ref()?;
        route.upstream.as_ref()?;
        // The further paths of a route have its region.
        let own = id.split('+').next().unwrap_or(id);
        let name = declared.region.as_deref().unwrap_or(own);
        let ms = |seconds: u32| u64::from(seconds) * 1_000;
        Some(Self {
            salt: salt(id, route),
            region: regions.named(name),
            ttl_ms: ms(declared.ttl_s),
            stale_ms: ms(declared.stale_s),
            wait_ms: declared.wait_ms,
            vary: declared
                .vary
                .iter()
                .map(|name| name.to_ascii_lowercase().into())
                .collect(),
            hash_body: declared.hash_body,
            max_body_bytes: usize::try_from(declared.max_body_bytes).unwrap_or(usize::MAX),
            authorized: declared.authorized,
            keep_set_cookie: declared.keep_set_cookie,
            client_control: declared.client_control,
            ignore_cache_control: declared.ignore_cache_control,
            statuses: declared.statuses.clone().into(),
            name: name.into(),
        })
    }

    /// Whether a response of this status is kept.
    pub fn keeps(&self, status: u16) -> bool {
        self.statuses.contains(&status)
    }

    /// In words, for `explain`.
    pub fn describe(&self) -> String {
        let mut said = format!("{} s in region {}", self.ttl_ms / 1_000, self.name);
        if !self.vary.is_empty() {
            said.push_str(&format!(", told apart by {}", self.vary.join(", ")));
        }
        if self.hash_body {
            said.push_str(", and by the body");
        }
        said
    }
}

/// A number that changes with everything that a response can depend on. The rank only says which
/// route is taken; ranks of routes that come from a document change with their places in it.
fn salt(id: &str, route: &Route) -> u64 {
    let bare = Route {
        rank: 0,
        extensions: Default::default(),
        ..route.clone()
    };
    let mut text = id.as_bytes().to_vec();
    text.push(0);
    // What was read as JSON can be written as JSON.
    text.extend(serde_json::to_vec(&bare).unwrap_or_default());
    hash::of(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(text: &str) -> Cache {
        let route: Route = serde_json::from_str(text).unwrap();
        Cache::of("r+1", &route, &Regions::default()).unwrap()
    }

    #[test]
    fn a_changed_route_has_other_keys_but_its_place_does_not_matter() {
        let one = cache(r#"{"path": "/a", "upstream": "u", "cache": {"vary": ["X-A"]}}"#);
        let moved =
            cache(r#"{"path": "/a", "upstream": "u", "rank": 5, "cache": {"vary": ["X-A"]}}"#);
        let other = cache(r#"{"path": "/a", "upstream": "v", "cache": {"vary": ["X-A"]}}"#);
        assert_eq!(one.salt, moved.salt);
        assert_ne!(one.salt, other.salt);
        assert_eq!(one.describe(), "60 s in region r, told apart by x-a");
        assert!(one.keeps(200) && !one.keeps(500));
    }

    #[test]
    fn only_what_is_forwarded_is_kept() {
        let route = r#"{"path": "/a", "respond": {}, "cache": {}}"#;
        let route: Route = serde_json::from_str(route).unwrap();
        assert!(Cache::of("r", &route, &Regions::default()).is_none());
    }
}
