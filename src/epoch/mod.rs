//! The only bridge between the planes.
//!
//! The admin core publishes a snapshot and its epoch; each proxy core takes it between two
//! requests, acknowledges it in a cache line of its own, and sends the old snapshot back, because
//! freeing a large table takes milliseconds. Counters, log lines and the answers to inquiries
//! come the other way.

pub mod counters;
mod inquiry;
pub mod lines;
mod mailbox;
mod snapshot;
mod sync;

pub use inquiry::{Asker, Inbox, Inquiry, Report, ServerReport, inquiries};
pub use mailbox::{Mailbox, Order, Publisher, Taken};
pub use snapshot::{Settings, Snapshot};
