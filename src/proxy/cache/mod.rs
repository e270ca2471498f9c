//! Cache: what a route with an output cache answers from what is kept, and what it keeps.
//!
//! After the policies have let a request in, `ask` looks for what is kept under its `key`. If there
//! is something, `give` composes the answer, and the request is over before a server is picked.
//! If not, the request goes on with a `fill`, which takes down what comes back, or it waits first
//! (`wait`) for another one that is on its way for the same. What RFC 9111 leaves to a cache is
//! decided in `ask` (requests) and in `worth` (responses).

mod ask;
mod fill;
mod give;
mod key;
mod wait;
mod worth;

pub(super) use self::ask::{Ask, Asked};
pub(super) use self::fill::{Fill, Filling, Response};
pub(super) use self::give::{Rest, send_rest};
pub(super) use self::key::Parts;
pub(super) use self::wait::{Waiting, before, instead};
