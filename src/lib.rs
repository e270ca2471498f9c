//! Ringway: a reverse proxy and API gateway for Linux.

pub mod model;
pub mod table;
