//! Admit: whether this request may go on, before anything of it is passed on.

use super::fault::Refusal;
use crate::wire::head::{Body, Request};

const TOO_LARGE: Refusal = Refusal {
    status: 413,
    reason: "request_too_large",
    sentence: "the request body is too large",
};

/// Refuses a body that says of itself that it is larger than `most` bytes. One that does not say
/// is counted on its way.
#[inline]
pub(super) fn admit(head: &Request<'_, '_>, most: u64) -> Result<(), Refusal> {
    match head.body {
        Body::Length(length) if length > most => Err(TOO_LARGE),
        _ => Ok(()),
    }
}
