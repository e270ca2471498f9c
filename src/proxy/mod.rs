//! The data plane: one of each of these per core, and nothing shared between cores.
//!
//! [`serve`](serve) tells the story of a request; the rooms are its verbs.

mod accept;
mod admit;
mod answer;
mod body;
mod connect;
mod core;
mod explain;
mod fault;
#[cfg(feature = "fault-points")]
mod fault_point;
mod forward;
mod local;
mod pick;
mod pool;
mod read;
mod record;
mod rewrite;
mod route;
mod serve;
mod tunnel;
mod understand;

pub use self::core::{CoreParts, run};
pub use self::explain::{Explanation, explain};
