//! Dialects: the ways in which clients speak to the one model.

mod flat;
mod generic;
mod write;

pub(super) use self::generic::Fault;
pub(super) use self::write::settle;

use std::rc::Rc;

use super::core::Core;
use super::problem::Problem;
use super::request::{Answer, Request};

/// Answers a request in the dialect of its path.
pub(super) async fn answer(core: &Rc<Core>, request: &Request) -> Result<Answer, Problem> {
    flat::answer(core, request).await
}
