//! Ringway: a reverse proxy and API gateway for Linux.

pub mod cli;
pub mod model;
pub mod wire;
