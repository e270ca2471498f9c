//! Ringway: a reverse proxy and API gateway for Linux.

pub mod admin;
pub mod boot;
pub mod cli;
pub mod epoch;
pub mod model;
pub mod net;
pub mod proxy;
pub mod table;
pub mod wire;
