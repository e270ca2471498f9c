//! Route: which route the request takes, and what it asks the server for.

use super::fault::Refusal;
use super::understand::Understood;
use crate::table::{Found, Table};

const NO_ROUTE: Refusal = Refusal {
    status: 404,
    reason: "no_route",
    sentence: "no route matches the request",
};

/// Finds the route.
#[inline]
pub(super) fn route<'t>(
    request: &Understood<'_, '_>,
    table: &'t Table,
) -> Result<Found<'t>, Refusal> {
    table.find(&request.question()).ok_or(NO_ROUTE)
}
