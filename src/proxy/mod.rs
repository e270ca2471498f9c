//! The data plane: one of each of these per core, and nothing shared between cores.
//!
//! [`serve`](serve) tells the story of a request; the rooms are its verbs.

mod accept;
mod admit;
mod affinity;
mod aggregate;
mod answer;
mod aside;
mod balance;
mod beside;
mod body;
mod breaker;
mod budget;
mod cache;
mod client;
mod coder;
mod connect;
mod core;
mod exchange;
mod explain;
mod failure;
mod fault;
#[cfg(feature = "fault-points")]
mod fault_point;
mod forward;
mod health;
mod hedge;
mod judge;
mod local;
mod pick;
mod policy;
mod pool;
mod queue;
mod read;
mod recode;
mod record;
mod rewrite;
mod route;
mod seat;
mod serve;
mod shape;
mod splice;
mod tunnel;
mod turn;
mod understand;

pub use self::core::{CoreParts, run};
pub use self::explain::{Explanation, explain};
pub use self::seat::{Seats, seats};
