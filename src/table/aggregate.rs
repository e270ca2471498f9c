//! What an aggregate asks for, compiled.

use super::captures::Captures;
use super::error::CompileError;
use super::rewrite::{Filling, Pieces, Places, Source, rewrite_error};
use crate::model;
use crate::wire::json;

/// Several requests that are made of one, and answered as one.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// The requests.
    pub parts: Box<[Part]>,
    /// Bytes of the body of one part, and of the request, at most.
    pub part_bytes_max: usize,
    /// Bytes of all parts together, at most.
    pub bytes_max: usize,
    /// Requests at most.
    pub requests_max: usize,
    /// Bytes of a request body, at most, instead of the process-wide limit.
    pub max_body_bytes: Option<u64>,
    /// From the routed request to the last byte of the response, in milliseconds.
    pub total_ms: u32,
}

/// One of the requests.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name in the answer, as a string of JSON.
    pub key: Box<[u8]>,
    /// The route that it takes, by id.
    pub route: Box<str>,
    /// What it is made once for each of, in the body of the first part.
    pub for_each: Option<json::Path>,
    /// Path and query.
    target: Pieces,
}

// === impl Aggregate ===

impl Aggregate {
    pub(super) fn compile(
        id: &str,
        declared: &model::aggregate::Aggregate,
        route: &model::Route,
        captures: &[&str],
    ) -> Result<Self, CompileError> {
        let parts = declared.parts.iter().map(|part| {
            let target = Pieces::parse(&part.path, captures, Places::Part);
            let mut key = Vec::new();
            json::put_quoted(&part.key, &mut key);
            Ok(Part {
                key: key.into(),
                route: part.route.as_str().into(),
                for_each: part.for_each.as_deref().and_then(json::Path::parse),
                target: target.map_err(|fault| rewrite_error(id, &part.path, fault))?,
            })
        });
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Ok(Self {
            parts: parts.collect::<Result<_, CompileError>>()?,
            part_bytes_max: bytes(declared.max_part_bytes),
            bytes_max: bytes(declared.max_bytes),
            requests_max: usize::from(declared.max_requests),
            max_body_bytes: route.max_body_bytes,
            total_ms: u32::try_from(route.total_timeout_ms).unwrap_or(u32::MAX),
        })
    }

    pub(super) fn uses_captures(&self) -> bool {
        self.parts.iter().any(|part| part.target.use_captures())
    }
}

// === impl Part ===

impl Part {
    /// Appends the path, and the query after a `?`, that the part asks for where the client asked
    /// for `path` and `query`; `value` is one of those that it is made for.
    pub fn put_target(
        &self,
        path: &[u8],
        query: &[u8],
        captures: &Captures,
        value: &[u8],
        into: &mut Vec<u8>,
    ) {
        self.target.fill(
            &Filling {
                path,
                source: &Source::of_path(captures),
                host: b"",
                query,
                value,
            },
            into,
        );
    }
}
