//! Dialects: the ways in which clients speak to the one model.

mod flat;
pub mod generic;
pub mod ocelot;
mod write;

pub(super) use self::generic::{Access, Fault, Sessions};
pub(super) use self::ocelot::Administration;
pub(super) use self::write::settle;

use std::net::SocketAddr;
use std::rc::Rc;

use hyper::Method;
use hyper::body::Incoming;
use hyper::http::request::Parts;

pub(super) use self::generic::{dress, effects, is_mine as is_generic, seed};
use super::core::Core;
use super::guard::Principal;
use super::problem::Problem;
use super::request::{Answer, Request, decode};

/// Answers a request in the dialect of its path.
pub(super) async fn answer(core: &Rc<Core>, request: &Request) -> Result<Answer, Problem> {
    if let Some(administration) = ocelot_at(core, request.path()) {
        return Ok(administration.answer(core, request).await);
    }
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

/// Ocelot's administration, if it is served and the path is one of it.
fn ocelot_at(core: &Core, path: &str) -> Option<Rc<Administration>> {
    let administration = core.ocelot.as_ref()?;
    administration.is_mine(path).then(|| administration.clone())
}

/// The client of a request, where a proxy core has passed it on.
pub(super) fn client<B>(core: &Core, request: &hyper::Request<B>) -> Option<SocketAddr> {
    core.ocelot.as_ref()?.client(request.headers())
}

/// Whether a path is for everybody.
pub(super) fn is_open(core: &Core, path: &str) -> bool {
    let administration = core.ocelot.as_ref();
    administration.is_some_and(|administration| administration.is_open(path))
}

/// Sees to it that the credential of a request can be judged.
pub(super) async fn prepare<B>(core: &Core, request: &hyper::Request<B>) {
    if let Some(administration) = ocelot_at(core, request.uri().path()) {
        administration.prepare(request.headers()).await;
    }
}

/// Whether a dialect made an upstream of this name for its routes alone.
pub(super) fn is_own(name: &str) -> bool {
    generic::is_own(name) || crate::model::ocelot::is_own(name)
}

/// A refusal in the words of the dialect of `path`.
pub(super) fn refusal(core: &Core, path: &str, shows_token: bool, problem: Problem) -> Answer {
    if ocelot_at(core, path).is_some() {
        ocelot::refusal(&problem, shows_token)
    } else if is_generic(path) {
        generic::refusal(problem)
    } else {
        problem.answer()
    }
}

/// Who shows a credential that only a dialect knows.
pub(super) fn recognise<B>(core: &Core, request: &hyper::Request<B>) -> Option<Principal> {
    let path = request.uri().path();
    if let Some(administration) = ocelot_at(core, path) {
        return administration.recognise(request.headers());
    }
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
