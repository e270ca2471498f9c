//! Dialects: the ways in which clients speak to the one model.

mod flat;
pub mod generic;
mod write;

pub(super) use self::generic::{Access, Fault, Sessions};
pub(super) use self::write::settle;

use std::rc::Rc;

use hyper::Method;
use hyper::body::Incoming;
use hyper::http::request::Parts;

pub(super) use self::generic::{dress, effects, is_mine as is_generic, is_own, seed};
use super::core::Core;
use super::guard::Principal;
use super::problem::Problem;
use super::request::{Answer, Request, decode};

/// Answers a request in the dialect of its path.
pub(super) async fn answer(core: &Rc<Core>, request: &Request) -> Result<Answer, Problem> {
    if is_generic(request.path()) {
        return Ok(generic::answer(core, request).await);
    }
    flat::answer(core, request).await
}

/// Whether the body of a request is to be read piece by piece.
pub(super) fn is_stream(parts: &Parts) -> bool {
    generic::is_bulk(parts.uri.path()) && parts.method != Method::GET
}

/// Answers a request whose body is read piece by piece.
pub(super) async fn stream(core: &Rc<Core>, request: &Request, body: Incoming) -> Answer {
    generic::bulk_answer(core, request, body).await
}

/// A refusal in the words of the dialect of `path`.
pub(super) fn refusal(path: &str, problem: Problem) -> Answer {
    if is_generic(path) {
        generic::refusal(problem)
    } else {
        problem.answer()
    }
}

/// Who shows a credential that only a dialect knows.
pub(super) fn recognise<B>(core: &Core, request: &hyper::Request<B>) -> Option<Principal> {
    let path = request.uri().path();
    if !is_generic(path) {
        return None;
    }
    if path.starts_with("/.well-known/") {
        let query = request.uri().query().unwrap_or_default();
        let shown = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("access_key="))?;
        return generic::monitor(core, &decode(shown)?);
    }
    generic::recognise(core, request.headers())
}
