//! Plain: the routes that come by the million, passed without a report.
//!
//! Where a route has a host, one path and an upstream and little else, a look at its bytes is
//! enough. Where that is not sure, the checks of `route` have the word.

use super::route::{PATH_BYTES_MAX, SEGMENTS_MAX};
use super::text::{NAME_BYTES_MAX, is_dns_name};
use crate::model::defaults::MS_MAX;
use crate::model::route::Route;

/// Bytes of an id (the schema has the same).
const ID_BYTES_MAX: usize = 128;

/// Whether the schema and every check surely find nothing in `route`.
#[must_use]
pub fn is_plain(route: &Route) -> bool {
    is_bare(route)
        && route.id.as_deref().is_none_or(is_id)
        && route.host.as_deref().is_none_or(is_plain_host)
        && route.methods.iter().all(|method| is_known(method))
        && is_path_plain(route)
        && times(route)
            .into_iter()
            .all(|ms| (1..=MS_MAX).contains(&ms))
}

/// Whether it has a host, methods, one path, an upstream and a rewrite of the start at the most.
fn is_bare(route: &Route) -> bool {
    let bare_match = route.path_template.is_none()
        && route.path_regex.is_none()
        && route.headers.is_empty()
        && route.query.is_empty()
        && !route.ignore_case
        && route.also.is_empty();
    let bare_action = route.upstream.is_some()
        && route.redirect.is_none()
        && route.respond.is_none()
        && route.aggregate.is_none()
        && route.rewrite_template.is_none()
        && !route.rewrite_trims_slash
        && route.max_body_bytes.is_none()
        && route.retry.max_retries <= 10
        && route.retry.statuses == [502, 503, 504]
        && route.retry.per_try_timeout_ms.is_none()
        && route.retry.hedge_after_ms.is_none();
    bare_match && bare_action && has_no_policy(route)
}

fn has_no_policy(route: &Route) -> bool {
    route.traffic_split.is_empty()
        && route.split_sticky.is_none()
        && route.allow_methods.is_empty()
        && route.ip.is_none()
        && route.cors.is_none()
        && route.auth.is_none()
        && route.rate_limit.is_none()
        && route.maintenance.is_none()
        && route.request_headers.is_none()
        && route.upstream_headers.is_empty()
        && route.request_query.is_none()
        && !route.request_query_first
        && route.method_rewrite.is_none()
        && route.host_rewrite.is_none()
        && route.response_headers.is_none()
        && route.cache.is_none()
        && route.compress.is_none()
        && route.mirror.is_none()
        && route.mirror_percent.is_none()
        && route.error_pages.is_empty()
}

fn times(route: &Route) -> [u64; 4] {
    [
        route.connect_timeout_ms,
        route.send_timeout_ms,
        route.read_timeout_ms,
        route.total_timeout_ms,
    ]
}

fn is_id(id: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_fit)
}

/// A DNS name in lower case, without `_`, whose last label begins with a letter, so that it is no
/// address.
fn is_plain_host(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_fit = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    last.starts_with(|letter: char| letter.is_ascii_lowercase())
        && host.len() <= NAME_BYTES_MAX
        && name.bytes().all(is_fit)
        && is_dns_name(name)
}

fn is_known(method: &str) -> bool {
    matches!(
        method,
        "DELETE" | "GET" | "HEAD" | "OPTIONS" | "PATCH" | "POST" | "PUT" | "TRACE"
    )
}

/// The path, and what it is rewritten to.
fn is_path_plain(route: &Route) -> bool {
    let ((Some(path), None) | (None, Some(path))) = (&route.path_prefix, &route.path) else {
        return false;
    };
    let is_replaced = match &route.rewrite_pattern {
        Some(pattern) => {
            (pattern == path || pattern == "/")
                && (route.rewrite_replacement.is_empty()
                    || is_plain_path(&route.rewrite_replacement))
        }
        None => route.rewrite_replacement.is_empty(),
    };
    is_replaced && is_plain_path(path)
}

/// Segments of letters, digits, `-`, `_`, `~` and dots inside: the one form of a path, whatever
/// the rules are.
fn is_plain_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let body = rest.strip_suffix('/').unwrap_or(rest);
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_~.".contains(&byte))
    };
    path.len() <= PATH_BYTES_MAX
        && rest.split('/').count() <= SEGMENTS_MAX
        && (rest.is_empty() || body.split('/').all(is_segment))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::model::check_route;
    use crate::model::config::Http;

    fn check(host: &str, path: &str, replacement: &str, method: &str) -> (bool, bool) {
        let value = json!({
            "id": "r", "host": host, "path_prefix": path, "methods": [method], "upstream": "u",
            "rewrite_pattern": path, "rewrite_replacement": replacement,
        });
        let route: Route = serde_json::from_value(value.clone()).unwrap();
        let http = Http::default();
        (is_plain(&route), check_route(&value, &http).is_ok())
    }

    #[test]
    fn most_routes_are_plain() {
        for (host, path, replacement) in [
            ("h0.example.com", "/v1", ""),
            ("*.example.com", "/", "/a/b"),
            ("a.io", "/a/b.c/", "/v~1"),
        ] {
            let checked = check(host, path, replacement, "GET");
            assert_eq!(checked, (true, true), "{host} {path}");
        }
        for (host, path, method) in [
            ("127.0.0.1", "/", "GET"),
            ("A.io", "/", "GET"),
            ("a.io", "/../b", "GET"),
            ("a.io", "//", "GET"),
            ("a.io", "/%41", "GET"),
            ("a.io", "/", "get"),
        ] {
            assert!(!check(host, path, "", method).0, "{host} {path} {method}");
        }
    }

    proptest! {
        #[test]
        fn what_is_plain_has_no_fault(
            host in r"(\*\.)?[a-b0-1A.\-_]{0,6}",
            path in r"/?[a.%~/\-{]{0,6}",
            replacement in r"(/[a.%/]{0,4})?",
            method in "(GET|get|M|CONNECT)",
        ) {
            let (plain, right) = check(&host, &path, &replacement, &method);
            prop_assert!(right || !plain);
        }
    }
}
