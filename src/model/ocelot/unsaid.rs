//! Unsaid: what of a route is kept in the document and has no effect, each with the reason.

use super::options::Options;
use crate::model::faults::{Report, at_key};

/// Says that something is kept, and why it has no effect.
pub(super) fn kept(place: impl Into<String>, why: &str, report: &mut Report) {
    report.warn(place, format!("kept, but not in effect: {why}"), "");
}

/// Says it of everything in the route at `place`.
pub(super) fn say(options: &Options<'_>, place: &str, report: &mut Report) {
    let file = options.route;
    let set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let version = &file.downstream_http_version;
    let version = version
        .as_ref()
        .or(options.global.downstream_http_version.as_ref());
    let is_other = version.is_some_and(|one| !matches!(one.as_str(), "" | "1.1" | "1,1"));
    let handlers = !file.delegating_handlers.is_empty();
    let any_certificate = file.dangerous_accept_any_server_certificate_validator;
    for (is_set, member, why) in [
        (
            set(&file.downstream_http_method) && options.method().is_none(),
            "DownstreamHttpMethod",
            "no server is asked with this method",
        ),
        (
            is_other,
            "DownstreamHttpVersion",
            "servers are spoken to with HTTP/1.1",
        ),
        (
            handlers,
            "DelegatingHandlers",
            "they are code of the gateway",
        ),
        (
            any_certificate && !options.is_secure(),
            "DangerousAcceptAnyServerCertificateValidator",
            "the servers are spoken to without TLS",
        ),
        (
            set(&file.request_id_key),
            "RequestIdKey",
            "the field passes on, but none is made",
        ),
    ] {
        if is_set {
            kept(at_key(place, member), why, report);
        }
    }
    for name in options.handler() {
        let place = at_key(&at_key(place, "HttpHandlerOptions"), name);
        kept(place, "connections to servers have no such option", report);
    }
}
