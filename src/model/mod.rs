//! What a person declares: listeners, routes, upstreams, limits.
//!
//! One struct per declared thing. The struct is the only place where a key, its default and its
//! meaning stand: serde reads it, schemars makes the JSON Schema of it, `docs/configuration.md`
//! is printed from that schema. [`load`] reads a file into a [`Config`] and finds every fault of
//! it at once. Nothing here knows a socket or a core.

#![forbid(unsafe_code)]

pub mod aggregate;
mod auth;
mod balance;
pub mod cache;
pub mod checks;
pub mod compress;
pub mod config;
pub mod consumer;
pub mod defaults;
mod document;
pub mod faults;
mod health;
mod ids;
mod lines;
pub mod listener;
mod load;
pub mod ocelot;
mod one;
pub mod policy;
pub mod reference;
pub mod route;
mod schema;
pub mod secret;
mod structure;
pub mod upstream;

pub use config::Config;
pub(crate) use document::parse as parse_document;
pub use document::{DEPTH_MAX, DOCUMENT_BYTES_MAX, Format};
pub use faults::{Fault, Faults};
pub use ids::name_routes;
pub(crate) use load::ocelot_in;
pub use load::{LoadError, Loaded, load, read};
pub use one::{
    check_route, check_typed_route, check_upstream, no_upstream, parse_json, parse_yaml,
};
pub use route::Route;
pub use schema::schema;
pub use upstream::Upstream;

#[cfg(test)]
mod tests;
