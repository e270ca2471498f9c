//! Convert: an Otoroshi Route or Backend as a native route or upstream, and back, nothing lost.
//!
//! Both directions go through the words that the two sides have in common. What a client wrote
//! and the native form has no word for becomes a delta and is kept under `extensions.generic`;
//! what the native form has and Otoroshi has no word for is shown, as a delta too, under
//! `ringway`. A delta is laid only over what it was made for, so a later change through another
//! dialect shows.

mod condition;
pub(crate) mod delta;
mod frontend;
mod plugins;
mod route;
mod servers;

use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::form::{self, Form};
use crate::model::{Route, Upstream};

pub(crate) use self::frontend::{read_domain, show_domain};
pub(crate) use self::route::put_first;
#[cfg(test)]
use self::route::{REDIRECTION, STATIC_RESPONSE};
pub(crate) use self::servers::target_id;

/// The dialect's name among the extensions of an entity.
pub(crate) const DIALECT: &str = "generic";
/// The member with what Otoroshi has no word for.
const NATIVE: &str = "ringway";
/// The start of the name of an upstream that routes have to themselves.
const OWN_UPSTREAM: &str = "inline-";

/// A route, and the upstream of its own if it has one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Native {
    pub(crate) route: Route,
    pub(crate) upstream: Option<Upstream>,
}

static ROUTE: LazyLock<Form> = LazyLock::new(form::route);
static BACKEND: LazyLock<Form> = LazyLock::new(form::backend);
static ROUTE_DEFAULTS: LazyLock<Value> = LazyLock::new(|| ROUTE.defaults());
static BACKEND_DEFAULTS: LazyLock<Value> = LazyLock::new(|| BACKEND.defaults());
static BLANK: LazyLock<Option<Route>> = LazyLock::new(|| serde_json::from_value(json!({})).ok());

/// A route of defaults alone.
fn blank() -> Route {
    // Every member of a route has a default, and a test reads this one.
    BLANK
        .clone()
        .unwrap_or_else(|| unreachable!("a route may be empty"))
}

/// Whether routes made the upstream of this name for themselves.
pub(in crate::admin) fn is_own(name: &str) -> bool {
    name.starts_with(OWN_UPSTREAM)
}

/// The native route of an entity that is filled and checked. Routes that have the same servers
/// for themselves share an upstream, which is named by what it says.
///
/// # Errors
/// What has no native meaning, with its place.
pub(crate) fn route_to_native(mut entity: Value) -> Result<Native, String> {
    let own = take(&mut entity, NATIVE);
    let mut native = route::read(&entity)?;
    if let Some(own) = own {
        native = native.with(&own)?;
    }
    if let Some(delta) = delta::between(&words_of_route(&native), &entity) {
        native
            .route
            .extensions
            .insert(DIALECT.to_owned(), kept(&delta));
    }
    Ok(native.named())
}

/// The entity of a native route; `upstream` is the one of its own, if it has one.
pub(crate) fn route_to_generic(route: &Route, upstream: Option<&Upstream>) -> Value {
    let mut native = Native {
        route: route.clone(),
        upstream: upstream.cloned(),
    };
    if let Some(upstream) = &mut native.upstream {
        upstream.extensions.remove(DIALECT);
    }
    let extension = native.route.extensions.remove(DIALECT);
    let mut entity = words_of_route(&native);
    if let Some(delta) = extension.as_ref().and_then(known) {
        delta::lay(&delta, &mut entity);
    }
    let canonical = native.canonical();
    let base = match route::read(&entity) {
        Ok(read) => read.canonical(),
        // A later change made nonsense of what was kept: without that all is said again.
        Err(_) => {
            entity = words_of_route(&native);
            route::read(&entity).map_or_else(|_| json!({}), |read| read.canonical())
        }
    };
    put(&mut entity, NATIVE, delta::between(&base, &canonical));
    entity
}

/// The native upstream of a Backend that is filled and checked.
///
/// # Errors
/// What has no native meaning, with its place.
pub(crate) fn backend_to_native(mut entity: Value) -> Result<Upstream, String> {
    let own = take(&mut entity, NATIVE);
    let mut upstream = read_backend(&entity)?;
    if let Some(own) = own {
        let mut canonical = json!(upstream);
        delta::lay(&own, &mut canonical);
        upstream = typed(canonical)?;
    }
    if let Some(delta) = delta::between(&words_of_backend(&upstream), &entity) {
        upstream.extensions.insert(DIALECT.to_owned(), kept(&delta));
    }
    Ok(upstream)
}

/// The Backend of a native upstream.
pub(crate) fn backend_to_generic(upstream: &Upstream) -> Value {
    let mut upstream = upstream.clone();
    let extension = upstream.extensions.remove(DIALECT);
    let mut entity = words_of_backend(&upstream);
    if let Some(delta) = extension.as_ref().and_then(known) {
        delta::lay(&delta, &mut entity);
    }
    let base = read_backend(&entity).map_or_else(|_| json!({}), |read| json!(read));
    put(&mut entity, NATIVE, delta::between(&base, &json!(upstream)));
    entity
}

/// A delta as it is kept: as a text, for in a configuration file a member without a value is one
/// that is not there, and in a delta it is a value like any other.
fn kept(delta: &Value) -> Value {
    Value::String(delta.to_string())
}

/// A delta that was kept; none if it is no such text.
fn known(kept: &Value) -> Option<Value> {
    serde_json::from_str(kept.as_str()?).ok()
}

/// The upstream that a route with these `targets` has to itself.
pub(crate) fn own_upstream(targets: Vec<Value>) -> Option<Upstream> {
    let mut backend = ROUTE_DEFAULTS.get("backend")?.clone();
    *backend.get_mut("targets")? = Value::Array(targets);
    let native = Native {
        route: blank(),
        upstream: servers::read("", &backend),
    };
    native.named().upstream
}

/// A route as it is kept: what every route is without a word is left out.
pub(crate) fn declared(route: &Route) -> Value {
    static BLANK: LazyLock<Value> = LazyLock::new(|| json!(blank()));
    let mut value = json!(route);
    if let Some(members) = value.as_object_mut() {
        members.retain(|key, member| BLANK.get(key) != Some(member));
    }
    value
}

/// A route that says nothing but what an entity of defaults does.
pub(crate) fn blank_of_generic() -> Route {
    static BLANK: LazyLock<Route> = LazyLock::new(|| {
        let mut route = blank();
        if let Some(backend) = ROUTE_DEFAULTS.get("backend") {
            route::read_times(backend, &mut route);
        }
        route
    });
    BLANK.clone()
}

fn read_backend(entity: &Value) -> Result<Upstream, String> {
    let name = entity.get("id").and_then(Value::as_str).unwrap_or_default();
    servers::read(name, &entity["backend"]).ok_or_else(|| {
        "/backend/targets: there is no server that can be asked; a Backend needs one, and no \
         certificates that Otoroshi holds"
            .to_owned()
    })
}

fn words_of_backend(upstream: &Upstream) -> Value {
    let mut entity = BACKEND_DEFAULTS.clone();
    entity["id"] = json!(upstream.name);
    entity["name"] = json!(upstream.name);
    servers::show(Some(upstream), &mut entity["backend"]);
    entity
}

fn words_of_route(native: &Native) -> Value {
    let mut entity = ROUTE_DEFAULTS.clone();
    route::show(&native.route, native.upstream.as_ref(), &mut entity);
    entity
}

impl Native {
    /// Both as one value. What their names are is left out where they have none of their own.
    fn canonical(&self) -> Value {
        let mut route = json!(self.route);
        let mut upstream = json!(self.upstream);
        if let (Some(members), Some(upstream)) = (route.as_object_mut(), upstream.as_object_mut()) {
            members.insert("upstream".to_owned(), json!(""));
            upstream.insert("name".to_owned(), json!(""));
        }
        json!({"route": route, "upstream": upstream})
    }

    /// The same with a delta laid over.
    fn with(&self, own: &Value) -> Result<Self, String> {
        let mut canonical = self.canonical();
        delta::lay(own, &mut canonical);
        let mut part = |key: &str| canonical.get_mut(key).map(Value::take).unwrap_or_default();
        let route = typed(part("route"))?;
        let upstream = typed(part("upstream"))?;
        Ok(Self { route, upstream })
    }

    /// The same with the name of the upstream of its own, on both sides.
    fn named(mut self) -> Self {
        let Some(upstream) = &mut self.upstream else {
            return self;
        };
        upstream.name.clear();
        let name = format!(
            "{OWN_UPSTREAM}{:016x}",
            fingerprint(&json!(upstream).to_string())
        );
        upstream.name.clone_from(&name);
        upstream
            .extensions
            .insert(DIALECT.to_owned(), json!({"own": true}));
        self.route.upstream = Some(name);
        self
    }
}

/// FNV-1a: the same in every process and every release, for it names what is stored.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("/{NATIVE}: {error}"))
}

fn put(entity: &mut Value, key: &str, value: Option<Value>) {
    if let (Some(members), Some(value)) = (entity.as_object_mut(), value) {
        members.insert(key.to_owned(), value);
    }
}

fn take(entity: &mut Value, key: &str) -> Option<Value> {
    entity
        .as_object_mut()
        .and_then(|members: &mut Map<String, Value>| members.shift_remove(key))
}

#[cfg(test)]
mod tests;
