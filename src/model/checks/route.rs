//! Routes: one matcher, one action, and texts that can be matched and sent.

use std::collections::HashSet;

use regex::Regex;

use super::pattern::{compile, sentence};
use super::template::{Piece, Segment, pieces, segments};
use super::text::{control_character, host_fault, is_field_value, is_token, path_fault};
use crate::model::config::{EncodedSlashes, Http};
use crate::model::faults::{Report, at_index, at_key, nearest, quoted};
use crate::model::route::{Condition, Redirect, Respond, Route};
use crate::wire::path::PathRules;

/// Checks everything about `route` that can be seen in itself.
pub(super) fn check(route: &Route, http: &Http, place: &str, report: &mut Report) {
    let rules = PathRules {
        merge_slashes: http.merge_slashes,
        keep_encoded_slashes: http.encoded_slashes == EncodedSlashes::Keep,
    };
    if let Some((what, instead)) = route.host.as_deref().and_then(host_fault) {
        report.fault(at_key(place, "host"), what, instead);
    }
    let captures = matcher(route, rules, place, report);
    methods(route, place, report);
    conditions(&route.headers, &at_key(place, "headers"), true, report);
    conditions(&route.query, &at_key(place, "query"), false, report);
    action(route, place, report);
    rewrite(route, rules, captures.as_ref(), place, report);
    if let Some(redirect) = &route.redirect {
        check_redirect(
            redirect,
            captures.as_ref(),
            &at_key(place, "redirect"),
            report,
        );
    }
    if let Some(respond) = &route.respond {
        check_respond(respond, &at_key(place, "respond"), report);
    }
}

/// Checks that the upstream of `route` is one of `names`.
pub(super) fn check_upstream(
    route: &Route,
    names: &HashSet<String>,
    place: &str,
    report: &mut Report,
) {
    let Some(name) = route
        .upstream
        .as_ref()
        .filter(|name| !names.contains(*name))
    else {
        return;
    };
    let instead = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {}?", quoted(near)),
        None => "add it to upstreams".to_owned(),
    };
    report.fault(
        at_key(place, "upstream"),
        format!("there is no upstream {}", quoted(name)),
        instead,
    );
}

/// Two routes with the same key match the same requests with the same rank.
pub(super) fn matcher_key(route: &Route) -> String {
    let template = route.path_template.as_deref().map(|template| {
        // The names of captures do not change what is matched.
        segments(template).map_or_else(
            |_| vec![template],
            |segments| {
                let shape = |segment| match segment {
                    Segment::Capture(_) => "{}",
                    Segment::Literal(text) => text,
                    Segment::Rest(_) => "{*}",
                };
                segments.into_iter().map(shape).collect()
            },
        )
    });
    let sorted = |list: &[Condition], fold: bool| {
        let mut list: Vec<_> = list
            .iter()
            .map(|one| {
                let name = if fold {
                    one.name.to_ascii_lowercase()
                } else {
                    one.name.clone()
                };
                (name, one.value.as_deref(), one.regex.as_deref())
            })
            .collect::<Vec<_>>();
        list.sort_unstable();
        format!("{list:?}")
    };
    let mut methods = route.methods.clone();
    methods.sort_unstable();
    methods.dedup();
    format!(
        "{:?}",
        (
            route.rank,
            &route.host,
            (&route.path, &route.path_prefix, template, &route.path_regex),
            methods,
            sorted(&route.headers, true),
            sorted(&route.query, false),
        )
    )
}

/// Checks the path matcher; returns the names of its captures if they are known.
fn matcher(
    route: &Route,
    rules: PathRules,
    place: &str,
    report: &mut Report,
) -> Option<Vec<String>> {
    let given: Vec<&str> = [
        ("path_prefix", &route.path_prefix),
        ("path", &route.path),
        ("path_template", &route.path_template),
        ("path_regex", &route.path_regex),
    ]
    .into_iter()
    .filter_map(|(key, value)| value.as_ref().map(|_| key))
    .collect();
    match given.as_slice() {
        [] => report.fault(
            place,
            "the route has no path to match",
            "add path_prefix, path, path_template or path_regex; path_prefix: / matches all",
        ),
        [_] => {}
        several => report.fault(
            place,
            format!("the route has {} at once", several.join(" and ")),
            "keep one of them, or make two routes",
        ),
    }
    for (key, path) in [("path", &route.path), ("path_prefix", &route.path_prefix)] {
        if let Some(path) = path {
            plain_path(path, rules, &at_key(place, key), report);
        }
    }
    if let Some(template) = &route.path_template {
        return template_names(template, rules, &at_key(place, "path_template"), report);
    }
    if let Some(pattern) = &route.path_regex {
        let regex = check_pattern(pattern, &at_key(place, "path_regex"), report)?;
        return Some(regex.capture_names().flatten().map(str::to_owned).collect());
    }
    Some(Vec::new())
}

fn plain_path(path: &str, rules: PathRules, place: &str, report: &mut Report) {
    if path.contains(['{', '}']) {
        report.fault(
            place,
            "braces are plain text here, and a path has none",
            format!("write path_template: {} if they are captures", quoted(path)),
        );
    } else if let Some((what, instead)) = path_fault(path, rules) {
        report.fault(place, what, instead);
    }
}

fn template_names(
    template: &str,
    rules: PathRules,
    place: &str,
    report: &mut Report,
) -> Option<Vec<String>> {
    let segments = match segments(template) {
        Ok(segments) => segments,
        Err(fault) => {
            report.fault(place, fault.to_string(), "");
            return None;
        }
    };
    if !template.starts_with('/') {
        report.fault(
            place,
            "a path starts with '/'",
            format!("write {}", quoted(&format!("/{template}"))),
        );
        return None;
    }
    let mut names = Vec::new();
    for segment in segments {
        match segment {
            Segment::Capture(name) | Segment::Rest(name) => names.push(name.to_owned()),
            // An empty one is the slash at the end, or one that the whole path shows.
            Segment::Literal(text) => {
                if let Some((what, instead)) = path_fault(&format!("/{text}"), rules) {
                    report.fault(place, format!("{}: {what}", quoted(text)), instead);
                }
            }
        }
    }
    if rules.merge_slashes && template.contains("//") {
        report.fault(
            place,
            "no request has \"//\" in its path: it is read as \"/\"",
            "write one slash, or set http.merge_slashes: false",
        );
    }
    Some(names)
}

fn check_pattern(pattern: &str, place: &str, report: &mut Report) -> Option<Regex> {
    match compile(pattern) {
        Ok(regex) => Some(regex),
        Err(error) => {
            report.fault(place, sentence(&error), "");
            None
        }
    }
}

fn methods(route: &Route, place: &str, report: &mut Report) {
    const KNOWN: [&str; 8] = [
        "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
    ];
    let list = at_key(place, "methods");
    for (index, method) in route.methods.iter().enumerate() {
        let place = at_index(&list, index);
        let upper = method.to_ascii_uppercase();
        if upper == "CONNECT" {
            report.fault(place, "CONNECT is never forwarded", "remove it");
        } else if !is_token(method) {
            report.fault(
                place,
                format!("{} is not a method", quoted(method)),
                "write one such as GET",
            );
        } else if upper != *method && KNOWN.contains(&upper.as_str()) {
            report.fault(
                place,
                format!(
                    "methods are case-sensitive, and {} is not {upper}",
                    quoted(method)
                ),
                format!("write {upper}"),
            );
        }
    }
}

fn conditions(list: &[Condition], place: &str, fields: bool, report: &mut Report) {
    for (index, condition) in list.iter().enumerate() {
        let place = at_index(place, index);
        if condition.value.is_some() && condition.regex.is_some() {
            report.fault(
                &place,
                "the condition has both value and regex",
                "keep one of them, or make two conditions",
            );
        }
        if fields && !is_token(&condition.name) {
            report.fault(
                at_key(&place, "name"),
                format!("{} is not the name of a field", quoted(&condition.name)),
                "write one such as x-api-version",
            );
        }
        if let Some(value) = condition.value.as_deref().filter(|_| fields)
            && !is_field_value(value)
        {
            report.fault(
                at_key(&place, "value"),
                "no field has this value: it has control characters, or spaces around it",
                "remove them",
            );
        }
        if let Some(pattern) = &condition.regex {
            check_pattern(pattern, &at_key(&place, "regex"), report);
        }
    }
}

fn action(route: &Route, place: &str, report: &mut Report) {
    let given: Vec<&str> = [
        ("upstream", route.upstream.is_some()),
        ("redirect", route.redirect.is_some()),
        ("respond", route.respond.is_some()),
    ]
    .into_iter()
    .filter_map(|(key, given)| given.then_some(key))
    .collect();
    match given.as_slice() {
        [] => report.fault(
            place,
            "the route does nothing with its requests",
            "add upstream, redirect or respond",
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
    captures: Option<&Vec<String>>,
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
        if let Some(literal) = placed(template, captures, &[], &place, report)
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

/// Checks that the captures used in `text` exist. Returns the text with `x` in their places, or
/// none if it is malformed.
fn placed(
    text: &str,
    captures: Option<&Vec<String>>,
    always: &[&str],
    place: &str,
    report: &mut Report,
) -> Option<String> {
    let pieces = match pieces(text) {
        Ok(pieces) => pieces,
        Err(fault) => {
            report.fault(place, fault.to_string(), "");
            return None;
        }
    };
    let mut literal = String::new();
    for piece in pieces {
        let name = match piece {
            Piece::Literal(text) => {
                literal.push_str(text);
                continue;
            }
            Piece::Capture(name) => name,
        };
        literal.push('x');
        // Where the matcher is faulty its captures are not known.
        let Some(captures) = captures.filter(|_| !always.contains(&name)) else {
            continue;
        };
        if captures.iter().any(|capture| capture == name) {
            continue;
        }
        let known: Vec<&str> = captures
            .iter()
            .map(String::as_str)
            .chain(always.iter().copied())
            .collect();
        let instead = match (nearest(name, known.iter().copied()), known.as_slice()) {
            (Some(near), _) => format!("did you mean {{{near}}}?"),
            (None, []) => "use path_template or path_regex to capture it".to_owned(),
            (None, known) => format!("there are {{{}}}", known.join("}, {")),
        };
        report.fault(place, format!("nothing captures {{{name}}}"), instead);
    }
    Some(literal)
}

fn check_redirect(
    redirect: &Redirect,
    captures: Option<&Vec<String>>,
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
    let Some(literal) = placed(&redirect.to, captures, &ALWAYS, &place, report) else {
        return;
    };
    if !literal.bytes().all(|byte| byte.is_ascii_graphic()) {
        report.fault(
            place,
            "the target has spaces, control characters or letters outside ASCII",
            "percent-encode them",
        );
    }
}

fn check_respond(respond: &Respond, place: &str, report: &mut Report) {
    const FRAMING: [&str; 8] = [
        "connection",
        "content-length",
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
