//! Answer: what every answer of the generic API has in common.

use hyper::header::{self, HeaderName};
use serde_json::Value;

use super::Call;
use super::catalogue::Resource;
use super::fault::Fault;
use super::render::{self, Style};
use crate::admin::payload::Payload;
use crate::admin::problem::Problem;
use crate::admin::request::{self, Answer};

/// How many pages a list has; -1 where there are none.
const PAGES: HeaderName = HeaderName::from_static("x-pages");
/// Whether the version of a resource is on its way out.
const DEPRECATED: HeaderName = HeaderName::from_static("otoroshi-api-deprecated");
/// Whether an upsert changed what is stored.
pub(crate) const UPDATED: HeaderName = HeaderName::from_static("otoroshi-entity-updated");

/// Adds the fields that every answer has.
pub(crate) fn add_fields(
    answer: &mut Answer,
    call: &Call<'_>,
    resource: Option<&Resource>,
    pages: &str,
) {
    request::set(answer, PAGES, pages);
    request::set(answer, header::VARY, "Accept, Accept-Encoding");
    if resource.is_some_and(|resource| resource.deprecated) {
        request::set(answer, DEPRECATED, "yes");
    }
    request::set(answer, request::EPOCH, &call.core.epoch().to_string());
}

/// An answer with one value for a body.
pub(crate) fn whole(
    call: &Call<'_>,
    status: u16,
    resource: Option<&Resource>,
    value: Value,
    style: &Style,
) -> Answer {
    let (body, compressed) = render::gzipped(style.whole(value), style);
    let payload = Payload::Whole(Some(body.into()));
    let mut answer = request::answer(status, style.kind.field(), payload);
    add_fields(&mut answer, call, resource, "-1");
    if compressed {
        request::set(&mut answer, header::CONTENT_ENCODING, "gzip");
    }
    answer
}

/// An answer that says no.
pub(crate) fn fault(fault: &Fault, style: &Style) -> Answer {
    let body = style.whole(fault.body());
    let payload = Payload::Whole(Some(body.into()));
    let mut answer = request::answer(fault.status, style.kind.field(), payload);
    match fault.status {
        401 => request::set(
            &mut answer,
            header::WWW_AUTHENTICATE,
            "Basic realm=\"Ringway\"",
        ),
        405 => request::set(&mut answer, header::ALLOW, "GET, POST, PUT, PATCH, DELETE"),
        429 | 503 => request::set(&mut answer, header::RETRY_AFTER, "1"),
        _ => {}
    }
    answer
}

/// What the guard or the listener refuses, in the words of this API.
pub(crate) fn refusal(problem: Problem) -> Answer {
    fault(&problem.into(), &Style::plain())
}
