//! Regions: dropping what the output cache keeps under a name, in whatever dialect it is asked.

use hyper::{Method, Response, StatusCode};

use super::core::Core;
use super::payload::Payload;
use super::problem::Problem;
use super::request::{Answer, Request, decode};

/// Answers `DELETE /cache/{region}`.
pub(super) async fn answer(
    core: &Core,
    request: &Request,
    region: &str,
) -> Result<Answer, Problem> {
    if request.method != Method::DELETE {
        return Err(Problem::method_not_allowed("DELETE"));
    }
    let region = decode(region).ok_or_else(|| Problem::new(400, "bad request"))?;
    drop_all(core, request, &region).await;
    let mut answer = Response::new(Payload::Whole(None));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    Ok(answer)
}

/// Drops all that is kept in a region. No core uses any of it from here on: there is nothing to
/// wait for. That no route has the region is no fault.
pub(super) async fn drop_all(core: &Core, request: &Request, region: &str) {
    core.state.borrow().snapshot.table.drop_region(region);
    if let Some(audit) = &core.audit {
        let epoch = core.epoch();
        audit.note(&request.writer(), 204, epoch, &[]).await;
    }
}
