//! Policies: names that can be sent, texts that can be filled in, settings that agree.

use std::collections::HashSet;

use super::template::{Piece, field, is_claim, parameter, pieces};
use super::text::{control_character, is_field_value, is_token};
use crate::model::faults::{Report, at_index, at_key, nearest, quoted};
use crate::model::policy::{
    AuthKind, Cors, Edits, NamedValue, RateAlgorithm, RateKey, Replacement,
};
use crate::model::route::Route;

/// What a request always has, for the places in texts.
const PLACES: [&str; 7] = [
    "client_ip",
    "consumer",
    "host",
    "method",
    "path",
    "query",
    "route",
];
/// Fields that belong to the connection or that the proxy writes itself.
const OWN: [&str; 18] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Whether a route may set or remove the field `name`.
#[must_use]
pub fn is_free_field(name: &str) -> bool {
    is_token(name) && !OWN.contains(&name.to_ascii_lowercase().as_str())
}

/// Checks the policies of `route`. `captures` are the names that its matcher captures; none if the
/// matcher is faulty.
pub(super) fn check(route: &Route, captures: Option<&[String]>, place: &str, report: &mut Report) {
    let claims = route.auth.as_ref().is_some_and(super::auth::has_claims);
    let texts = Texts {
        captures,
        claims,
        report,
    };
    texts.all(route, place);
    for (index, method) in route.allow_methods.iter().enumerate() {
        if !is_token(method) {
            report.fault(
                at_index(&at_key(place, "allow_methods"), index),
                format!("{} is not a method", quoted(method)),
                "write one such as GET",
            );
        }
    }
    if let Some(cors) = &route.cors {
        check_cors(cors, &at_key(place, "cors"), report);
    }
    if let Some(auth) = &route.auth {
        let place = at_key(place, "auth");
        super::auth::check(auth, &place, report);
        if auth.kind == AuthKind::ForwardAuth && route.upstream.is_none() {
            report.fault(
                at_key(&place, "type"),
                "forward_auth asks about requests that go on, and this route has no upstream",
                "write another type, or put it on the routes that have one",
            );
        }
    }
    method_rewrite(route, place, report);
    limit(route, place, report);
    super::cache::check(route, place, report);
    split(route, place, report);
    let types = route.error_pages.iter().map(|page| &page.content_type);
    for text in types.chain(route.maintenance.iter().map(|one| &one.content_type)) {
        if !is_field_value(text) {
            report.fault(
                place,
                format!("{} is not a content type", quoted(text)),
                "write one such as text/html",
            );
        }
    }
    if route
        .maintenance
        .as_ref()
        .is_some_and(|m| matches!(m.status, 204 | 205 | 304))
    {
        report.fault(
            at_key(&at_key(place, "maintenance"), "status"),
            "a response of this status has no body (RFC 9110 §15)",
            "write another, such as 503",
        );
    }
}

/// Checks that the upstreams that a route names beside its own are among `names`.
pub(super) fn check_upstreams(
    route: &Route,
    names: &HashSet<String>,
    place: &str,
    report: &mut Report,
) {
    let list = at_key(place, "traffic_split");
    let split = route.traffic_split.iter().enumerate();
    let split = split.map(|(index, target)| (at_index(&list, index), &target.upstream));
    let asked = route.auth.iter().filter_map(|auth| auth.forward.as_ref());
    let asked = asked.map(|forward| (at_key(&at_key(place, "auth"), "forward"), &forward.upstream));
    let named = split.chain(asked);
    let named = named.map(|(place, upstream)| (at_key(&place, "upstream"), upstream));
    let mirror = route
        .mirror
        .iter()
        .map(|name| (at_key(place, "mirror"), name));
    for (place, upstream) in named.chain(mirror) {
        if !names.contains(upstream) {
            let instead = match nearest(upstream, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {}?", quoted(near)),
                None => "add it to upstreams".to_owned(),
            };
            report.fault(
                place,
                format!("there is no upstream {}", quoted(upstream)),
                instead,
            );
        }
    }
}

/// The texts of a route that a request fills in.
struct Texts<'a> {
    captures: Option<&'a [String]>,
    /// Whether the proof may be a token, so that `{claim.NAME}` stands for something.
    claims: bool,
    report: &'a mut Report,
}

impl Texts<'_> {
    fn all(mut self, route: &Route, place: &str) {
        for (key, edits, fields) in [
            ("request_headers", &route.request_headers, true),
            ("response_headers", &route.response_headers, true),
            ("request_query", &route.request_query, false),
        ] {
            if let Some(edits) = edits {
                self.edits(edits, fields, &at_key(place, key));
            }
        }
        self.values(
            &route.upstream_headers,
            true,
            &at_key(place, "upstream_headers"),
        );
        let required = route.auth.iter().flat_map(|auth| &auth.require);
        for (index, one) in required.enumerate() {
            let list = at_key(&at_key(place, "auth"), "require");
            let list = at_key(&at_index(&list, index), "any_of");
            for (number, text) in one.any_of.iter().enumerate() {
                self.text(text, &at_index(&list, number));
            }
        }
        if let Some(host) = &route.host_rewrite {
            let place = at_key(place, "host_rewrite");
            if host.contains([' ', '/', '@', '?', '#']) {
                self.report.fault(
                    &place,
                    format!("{} is not a host", quoted(host)),
                    "write one such as app.internal or app.internal:8080",
                );
            }
            self.text(host, &place);
        }
    }

    fn edits(&mut self, edits: &Edits, fields: bool, place: &str) {
        let list = at_key(place, "remove");
        for (index, name) in edits.remove.iter().enumerate() {
            self.name(name, fields, &at_index(&list, index));
        }
        self.replacements(&edits.replace, fields, &at_key(place, "replace"));
        self.values(&edits.set, fields, &at_key(place, "set"));
        self.values(&edits.add, fields, &at_key(place, "add"));
    }

    fn replacements(&mut self, list: &[Replacement], fields: bool, place: &str) {
        for (index, one) in list.iter().enumerate() {
            let place = at_index(place, index);
            self.name(&one.name, fields, &at_key(&place, "name"));
            for (key, text) in [("find", &one.find), ("with", &one.with)] {
                if let Some(what) = control_character(text) {
                    let what = format!("the text contains {what}");
                    self.report.fault(at_key(&place, key), what, "remove it");
                }
            }
        }
    }

    fn values(&mut self, values: &[NamedValue], fields: bool, place: &str) {
        for (index, one) in values.iter().enumerate() {
            let place = at_index(place, index);
            self.name(&one.name, fields, &at_key(&place, "name"));
            self.text(&one.value, &at_key(&place, "value"));
        }
    }

    fn name(&mut self, name: &str, field: bool, place: &str) {
        if field {
            field_name(name, place, self.report);
        } else if !name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"&=#".contains(&byte))
        {
            self.report.fault(
                place,
                format!("{} is not the name of a query parameter", quoted(name)),
                "write it as it stands in a URL",
            );
        }
    }

    fn text(&mut self, text: &str, place: &str) {
        if let Some(what) = control_character(text) {
            let what = format!("the text contains {what}");
            return self.report.fault(place, what, "remove it");
        }
        let pieces = match pieces(text) {
            Ok(pieces) => pieces,
            Err(fault) => return self.report.fault(place, fault.to_string(), ""),
        };
        let Some(captures) = self.captures else {
            return;
        };
        let known = |name: &str| {
            (self.claims && is_claim(name))
                || PLACES.contains(&name)
                || parameter(name).is_some()
                || field(name).is_some()
                || captures.iter().any(|one| one == name)
        };
        for piece in pieces {
            if let Piece::Capture(name) = piece
                && !known(name)
            {
                self.report.fault(
                    place,
                    format!("nothing is known as {{{name}}} here"),
                    format!(
                        "write a capture of the path, or one of {}",
                        PLACES.join(", ")
                    ),
                );
            }
        }
    }
}

/// Checks the name of a field that may be changed.
pub(super) fn field_name(name: &str, place: &str, report: &mut Report) {
    if OWN.contains(&name.to_ascii_lowercase().as_str()) {
        report.fault(
            place,
            format!("{name} is written by the proxy"),
            "remove it; host_rewrite sets the host",
        );
    } else if !is_token(name) {
        report.fault(
            place,
            format!("{} is not the name of a field", quoted(name)),
            "write one such as x-request-source",
        );
    }
}

fn check_cors(cors: &Cors, place: &str, report: &mut Report) {
    for (index, origin) in cors.allow_origins.iter().enumerate() {
        let place = at_index(&at_key(place, "allow_origins"), index);
        let host = origin.split_once("://").map(|(_, host)| host);
        let plain = host.is_some_and(|host| {
            let host = host.strip_prefix("*.").unwrap_or(host);
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
        });
        if origin != "*" && !plain {
            report.fault(
                place,
                format!("{} is not an origin", quoted(origin)),
                "write a scheme and a host, such as https://app.example.com, or *",
            );
        }
    }
    if cors.allow_credentials && cors.allow_origins.iter().any(|origin| origin == "*") {
        report.fault(
            at_key(place, "allow_credentials"),
            "with credentials no browser takes * for an origin",
            "name the origins, or write false",
        );
    }
    for (key, names) in [
        ("allow_methods", &cors.allow_methods),
        ("allow_headers", &cors.allow_headers),
        ("expose_headers", &cors.expose_headers),
    ] {
        for (index, name) in names.iter().enumerate() {
            if !is_token(name) {
                report.fault(
                    at_index(&at_key(place, key), index),
                    format!("{} is not a name", quoted(name)),
                    "write one name in each place",
                );
            }
        }
    }
}

fn method_rewrite(route: &Route, place: &str, report: &mut Report) {
    let Some(method) = &route.method_rewrite else {
        return;
    };
    let place = at_key(place, "method_rewrite");
    if route.upstream.is_none() {
        let what = "only what is forwarded has another method";
        report.fault(place, what, "remove it, or add upstream");
    } else if !is_token(method) || matches!(method.as_str(), "CONNECT" | "HEAD" | "TRACE") {
        let what = format!("{} is not a method that a server can get", quoted(method));
        report.fault(place, what, "write one such as POST");
    }
}

fn limit(route: &Route, place: &str, report: &mut Report) {
    let Some(limit) = &route.rate_limit else {
        return;
    };
    let place = at_key(place, "rate_limit");
    if limit.key != RateKey::Header
        && (!limit.exempt.is_empty() || limit.missing_header_status.is_some())
    {
        report.fault(
            &place,
            "only key: header looks at a field",
            "remove exempt and missing_header_status, or write key: header",
        );
    }
    if limit.wait_ms.is_some() && limit.algorithm != RateAlgorithm::FixedWindow {
        report.fault(
            at_key(&place, "wait_ms"),
            "only a fixed window has a wait",
            "remove it, or write algorithm: fixed_window",
        );
    }
    match (&limit.header, limit.key) {
        (None, RateKey::Header) => report.fault(place, "the key has no name", "add header"),
        (Some(_), key) if key != RateKey::Header => report.fault(
            at_key(&place, "header"),
            "only key: header looks at a field",
            "remove it, or write key: header",
        ),
        (Some(name), _) if !is_token(name) => report.fault(
            at_key(&place, "header"),
            format!("{} is not the name of a field", quoted(name)),
            "write one such as x-user",
        ),
        _ => {}
    }
}

fn split(route: &Route, place: &str, report: &mut Report) {
    let list = at_key(place, "traffic_split");
    let targets = &route.traffic_split;
    if !targets.is_empty() && route.upstream.is_none() {
        let what = "only a route with an upstream can be split";
        report.fault(
            &list,
            what,
            "add upstream; it is not used as long as there is a split",
        );
    }
    if !targets.is_empty() && targets.iter().all(|target| target.weight == 0) {
        let what = "every part has the weight 0, so most requests go nowhere";
        report.fault(&list, what, "give at least one a weight of 1 or more");
    }
    if let Some(sticky) = &route.split_sticky {
        let place = at_key(place, "split_sticky");
        if targets.is_empty() {
            report.fault(&place, "there is no split to stick to", "add traffic_split");
        }
        if !is_token(&sticky.cookie) {
            let what = format!("{} is not the name of a cookie", quoted(&sticky.cookie));
            report.fault(at_key(&place, "cookie"), what, "write one such as part");
        }
    }
    for (index, target) in targets.iter().enumerate() {
        let place = at_index(&list, index);
        for (key, condition) in [("header", &target.header), ("cookie", &target.cookie)] {
            if let Some(condition) = condition {
                super::route::condition(condition, true, &at_key(&place, key), report);
            }
        }
    }
}
