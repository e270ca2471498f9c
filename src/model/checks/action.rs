//! What a route does: one of three actions, and texts that can be sent.

use super::template::{Piece, field, is_claim, parameter, pieces};
use super::text::{control_character, is_field_value, is_token, path_fault};
use crate::model::faults::{Report, at_index, at_key, nearest, quoted};
use crate::model::route::{Redirect, Respond, Route};
use crate::wire::path::PathRules;

/// Checks the action of `route`. `captures` are the names that its matcher captures; none if the
/// matcher is faulty.
pub(super) fn check(
    route: &Route,
    rules: PathRules,
    captures: Option<&[String]>,
    place: &str,
    report: &mut Report,
) {
    one_action(route, place, report);
    if let Some(aggregate) = &route.aggregate {
        let place = at_key(place, "aggregate");
        super::aggregate::check(aggregate, rules, captures, &place, report);
    }
    retries(route, place, report);
    rewrite(route, rules, captures, place, report);
    if let Some(redirect) = &route.redirect {
        check_redirect(redirect, captures, &at_key(place, "redirect"), report);
    }
    if let Some(respond) = &route.respond {
        check_respond(respond, &at_key(place, "respond"), report);
    }
}

/// The statuses after which a request may be sent again.
fn retries(route: &Route, place: &str, report: &mut Report) {
    let list = at_key(&at_key(place, "retry"), "statuses");
    for (index, status) in route.retry.statuses.iter().enumerate() {
        if !matches!(status, 500..=511 | 520..=530 | 408 | 425 | 429) {
            report.fault(
                at_index(&list, index),
                format!("a request is not sent again after {status}"),
                "write one of 500 to 511, 520 to 530, 408, 425 and 429",
            );
        }
    }
}

fn one_action(route: &Route, place: &str, report: &mut Report) {
    let given: Vec<&str> = [
        ("upstream", route.upstream.is_some()),
        ("redirect", route.redirect.is_some()),
        ("respond", route.respond.is_some()),
        ("aggregate", route.aggregate.is_some()),
    ]
    .into_iter()
    .filter_map(|(key, given)| given.then_some(key))
    .collect();
    match given.as_slice() {
        [] => report.fault(
            place,
            "the route does nothing with its requests",
            "add upstream, redirect, respond or aggregate",
        ),
        [_] => {}
        several => report.fault(
            place,
            format!("the route has {} at once", several.join(" and ")),
            "keep one of them",
        ),
    }
}

fn rewrite(
    route: &Route,
    rules: PathRules,
    captures: Option<&[String]>,
    place: &str,
    report: &mut Report,
) {
    let given = [
        ("rewrite_pattern", route.rewrite_pattern.is_some()),
        ("rewrite_replacement", !route.rewrite_replacement.is_empty()),
        ("rewrite_template", route.rewrite_template.is_some()),
    ];
    for (key, _) in given
        .iter()
        .filter(|(_, given)| *given && route.upstream.is_none())
    {
        report.fault(
            at_key(place, key),
            "a rewrite changes what is forwarded, and this route has no upstream",
            "remove it, or add upstream",
        );
    }
    match (&route.rewrite_pattern, &route.rewrite_template) {
        (Some(_), Some(_)) => report.fault(
            at_key(place, "rewrite_template"),
            "the route has rewrite_pattern and rewrite_template at once",
            "keep one of them",
        ),
        (None, _) if !route.rewrite_replacement.is_empty() => report.fault(
            at_key(place, "rewrite_replacement"),
            "there is no rewrite_pattern that it could replace",
            "add rewrite_pattern, or remove it",
        ),
        (Some(pattern), None) => prefix_rewrite(route, pattern, rules, place, report),
        _ => {}
    }
    if let Some(template) = &route.rewrite_template {
        let place = at_key(place, "rewrite_template");
        let claims = route.auth.as_ref().is_some_and(super::auth::has_claims);
        let also = |name: &str| field(name).is_some() || claims && is_claim(name);
        let pieces = placed(template, captures, &[], &also, &place, report);
        let literal: Option<String> = pieces.map(|pieces| pieces.iter().map(plain).collect());
        if let Some(literal) = literal
            && let Some((what, instead)) = path_fault(&literal, rules)
        {
            // With captures the normal form cannot be written down.
            let instead = if literal == *template {
                instead
            } else {
                String::new()
            };
            report.fault(place, what, instead);
        }
    }
}

fn prefix_rewrite(
    route: &Route,
    pattern: &str,
    rules: PathRules,
    place: &str,
    report: &mut Report,
) {
    let key = at_key(place, "rewrite_pattern");
    if let Some((what, instead)) = path_fault(pattern, rules) {
        report.fault(key, what, instead);
    } else if let Some(path) = route.path_prefix.as_ref().or(route.path.as_ref())
        && !path.starts_with(pattern)
        && !(route.path_prefix.is_some() && pattern.starts_with(path.as_str()))
    {
        report.warn(
            key,
            format!("no path of this route starts with {}", quoted(pattern)),
            format!("write a start of {}", quoted(path)),
        );
    }
    let replacement = route.rewrite_replacement.as_str();
    // An empty replacement takes the start away; what is left gets its '/' back.
    if !replacement.is_empty()
        && let Some((what, instead)) = path_fault(replacement, rules)
    {
        report.fault(at_key(place, "rewrite_replacement"), what, instead);
    }
}

/// A piece of a path as one that could be there.
fn plain<'a>(piece: &Piece<'a>) -> &'a str {
    match piece {
        Piece::Capture(_) => "x",
        Piece::Literal(text) => text,
    }
}

/// Reads `text` and checks that the captures it uses exist; none if it is malformed.
pub(super) fn placed<'a>(
    text: &'a str,
    captures: Option<&[String]>,
    always: &[&str],
    also: &dyn Fn(&str) -> bool,
    place: &str,
    report: &mut Report,
) -> Option<Vec<Piece<'a>>> {
    let pieces = match pieces(text) {
        Ok(pieces) => pieces,
        Err(fault) => {
            report.fault(place, fault.to_string(), "");
            return None;
        }
    };
    // Where the matcher is faulty its captures are not known.
    let known = captures?
        .iter()
        .map(String::as_str)
        .chain(always.iter().copied());
    let known: Vec<&str> = known.collect();
    for piece in &pieces {
        let Piece::Capture(name) = piece else {
            continue;
        };
        if known.contains(name) || parameter(name).is_some() || also(name) {
            continue;
        }
        let instead = match (nearest(name, known.iter().copied()), known.as_slice()) {
            (Some(near), _) => format!("did you mean {{{near}}}?"),
            (None, []) => "use path_template or path_regex to capture it".to_owned(),
            (None, known) => format!("there are {{{}}}", known.join("}, {")),
        };
        report.fault(place, format!("nothing captures {{{name}}}"), instead);
    }
    Some(pieces)
}

fn check_redirect(
    redirect: &Redirect,
    captures: Option<&[String]>,
    place: &str,
    report: &mut Report,
) {
    const ALWAYS: [&str; 3] = ["path", "query", "host"];
    const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];
    if !STATUSES.contains(&redirect.status) {
        report.fault(
            at_key(place, "status"),
            format!("{} is not the status of a redirect", redirect.status),
            "write 301, 302, 303, 307 or 308",
        );
    }
    let place = at_key(place, "to");
    for name in captures.into_iter().flatten() {
        if ALWAYS.contains(&name.as_str()) {
            report.fault(
                &place,
                format!("{{{name}}} is a capture of the route and a part of the request too"),
                "give the capture another name",
            );
        }
    }
    let Some(pieces) = placed(&redirect.to, captures, &ALWAYS, &|_| false, &place, report) else {
        return;
    };
    let is_plain = |piece: &Piece<'_>| plain(piece).bytes().all(|byte| byte.is_ascii_graphic());
    if !pieces.iter().all(is_plain) {
        report.fault(
            place,
            "the target has spaces, control characters or letters outside ASCII",
            "percent-encode them",
        );
    } else if let Some((what, instead)) = target_fault(&pieces) {
        report.fault(place, what, instead);
    }
}

/// Whether a client could choose where the redirect leads: a capture must not stand where a
/// scheme or a host does, nor bring a second slash to the front.
fn target_fault(pieces: &[Piece<'_>]) -> Option<(&'static str, &'static str)> {
    const CAPTURED: char = '\0';
    let mut shape = String::new();
    for piece in pieces {
        match piece {
            Piece::Literal(text) => shape.push_str(text),
            Piece::Capture("host") => shape.push('h'),
            Piece::Capture("path") => shape.push('/'),
            Piece::Capture("query") => shape.push('?'),
            Piece::Capture(_) => shape.push(CAPTURED),
        }
    }
    let after = |scheme| shape.strip_prefix(scheme);
    if let Some(rest) = after("https://").or_else(|| after("http://")) {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        return match host {
            "" => Some(("the target has no host", "write https://{host}/…")),
            host if host.contains(CAPTURED) => Some((
                "what is captured would become a part of the host, and the client chooses it",
                "write a '/' before the capture",
            )),
            _ => None,
        };
    }
    if !shape.starts_with('/') {
        return Some((
            "the target does not begin with '/', http:// or https://",
            "write /… for this host, or https://example.com/… for another one",
        ));
    }
    if shape.starts_with("//") {
        return Some((
            "the target begins with \"//\", and browsers read a host after that",
            "write the host: https://{host}/…",
        ));
    }
    None
}

fn check_respond(respond: &Respond, place: &str, report: &mut Report) {
    const FRAMING: [&str; 9] = [
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    if matches!(respond.status, 204 | 205 | 304) && !respond.body.is_empty() {
        report.fault(
            at_key(place, "body"),
            format!("a {} response has no body (RFC 9110 §15)", respond.status),
            "remove the body, or write another status",
        );
    }
    let fields = at_key(place, "headers");
    for (name, value) in &respond.headers {
        let place = at_key(&fields, name);
        if !is_token(name) {
            report.fault(
                &place,
                format!("{} is not the name of a field", quoted(name)),
                "write one such as content-type",
            );
        } else if FRAMING.contains(&name.to_ascii_lowercase().as_str()) {
            report.fault(
                &place,
                format!("{name} belongs to the connection and is set by the proxy"),
                "remove it",
            );
        }
        if !is_field_value(value) {
            let what = match control_character(value) {
                Some(what) => format!("the value contains {what}"),
                None => "the value has spaces around it".to_owned(),
            };
            report.fault(place, what, "remove it");
        }
    }
}
