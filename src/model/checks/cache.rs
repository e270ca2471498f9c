//! The output cache: that it has something to keep, and that what it keeps may be given out.

use super::text::{control_character, is_token};
use crate::model::config::Limits;
use crate::model::faults::{Report, at_index, at_key, quoted};
use crate::model::policy::{Auth, AuthKind};
use crate::model::route::Route;

/// Checks the cache of `route`.
pub(super) fn check(route: &Route, place: &str, report: &mut Report) {
    let Some(cache) = &route.cache else { return };
    let place = at_key(place, "cache");
    if route.upstream.is_none() {
        report.fault(
            &place,
            "only responses of an upstream are kept",
            "remove it, or add upstream",
        );
    }
    if route.auth.as_ref().is_some_and(asks_another) {
        report.fault(
            &place,
            "a kept response would be given out before the service of forward_auth is asked",
            "remove one of them",
        );
    }
    let list = at_key(&place, "vary");
    for (index, name) in cache.vary.iter().enumerate() {
        if !is_token(name) {
            report.fault(
                at_index(&list, index),
                format!("{} is not the name of a field", quoted(name)),
                "write one such as accept-language",
            );
        }
    }
    let list = at_key(&place, "statuses");
    for (index, status) in cache.statuses.iter().enumerate() {
        if matches!(status, 206 | 304) {
            report.fault(
                at_index(&list, index),
                format!("a response with {status} is not a whole one"),
                "remove it",
            );
        }
    }
    if let Some(what) = cache.region.as_deref().and_then(control_character) {
        let what = format!("the name contains {what}");
        report.fault(at_key(&place, "region"), what, "remove it");
    }
}

/// Warns of what `limits` leave no room for.
pub(super) fn check_limits(route: &Route, limits: &Limits, place: &str, report: &mut Report) {
    let Some(cache) = &route.cache else { return };
    let place = at_key(place, "cache");
    if limits.cache_bytes == 0 {
        report.warn(
            place,
            "nothing is kept, because limits.cache_bytes is 0",
            "remove the cache, or write a higher limit",
        );
    } else if cache.max_body_bytes > limits.cache_bytes {
        report.warn(
            at_key(&place, "max_body_bytes"),
            format!(
                "limits.cache_bytes is {}, which is less",
                limits.cache_bytes
            ),
            "write a lower one here, or a higher one there",
        );
    }
}

fn asks_another(auth: &Auth) -> bool {
    auth.kind == AuthKind::ForwardAuth || auth.any.iter().any(asks_another)
}
