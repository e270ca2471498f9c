//! What a person declares: listeners, routes, upstreams, limits.
//!
//! One struct per declared thing. The struct is the only place where a key, its default and its
//! meaning stand: serde reads it, schemars makes the JSON Schema of it, `docs/configuration.md`
//! is printed from that schema. Nothing here knows a socket or a core.

pub mod config;
pub mod defaults;
pub mod listener;
pub mod route;
pub mod secret;
pub mod upstream;

pub use config::Config;
pub use route::Route;
pub use upstream::Upstream;
