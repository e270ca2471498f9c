//! The output cache: responses that all cores share, bounded by bytes.
//!
//! Entries are immutable and stand in a table of sets (`store`); a core that looks one up takes no
//! lock, counts no references and allocates nothing: the table hands out hazard pointers
//! (arc-swap), so that what is replaced is freed when the last reader has let go of it. Whoever
//! keeps a response first takes its bytes out of the budget (`budget`), for which others may have
//! to go. What is dropped by `region` is out of use at once, on every core. Requests for the same
//! thing share one `flight` to the server.
//!
//! The room knows no request and no socket: what is kept, for how long and under which key is said
//! in `proxy::cache`.

#![forbid(unsafe_code)]

mod budget;
mod entry;
mod flight;
mod region;
mod store;
#[cfg(test)]
mod tests;

pub use budget::Held;
pub use entry::{Began, Entry, Kept, Kind};
pub use flight::{Boarding, Flight, Lead, Ring};
pub use region::{Region, Regions};
pub use store::{ENTRY_BYTES, Key, Store};
