//! Routes: one path matcher, and a host, methods and conditions that a request can meet.

use std::collections::HashSet;

use regex::Regex;

use super::action;
use super::pattern::{compile, sentence};
use super::policy;
use super::template::{CAPTURES_MAX, Segment, segments};
use super::text::{host_fault, is_field_value, is_token, path_fault};
use crate::model::config::{EncodedSlashes, Http};
use crate::model::faults::{Report, at_index, at_key, nearest, quoted};
use crate::model::route::{Condition, Route};
use crate::wire::path::PathRules;

/// The most bytes of a path that a route matches.
pub const PATH_BYTES_MAX: usize = 8_191;
/// The most segments of a path that a route matches.
pub const SEGMENTS_MAX: usize = 128;

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
    action::check(route, rules, captures.as_deref(), place, report);
    policy::check(route, captures.as_deref(), place, report);
    if !route.also.is_empty() && report.faults.is_empty() {
        further(route, http, place, report);
    }
}

/// Checks each further host and path as a route of its own.
fn further(route: &Route, http: &Http, place: &str, report: &mut Report) {
    let list = at_key(place, "also");
    for (index, one) in route.each().iter().skip(1).enumerate() {
        // Its id is made of that of the route, which has been checked.
        let one = Route {
            id: None,
            ..one.clone()
        };
        check(&one, http, &at_index(&list, index), report);
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
            (route.rank, route.ignore_case),
            &route.host,
            (&route.path, &route.path_prefix, template, &route.path_regex),
            methods,
            sorted(&route.headers, true),
            sorted(&route.query, false),
            &route.also,
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
            let key = at_key(place, key);
            plain_path(path, rules, &key, report);
            size(path, &key, report);
        }
    }
    if let Some(template) = &route.path_template {
        let key = at_key(place, "path_template");
        size(template, &key, report);
        return template_names(template, rules, &key, report);
    }
    if let Some(pattern) = &route.path_regex {
        return regex_names(pattern, &at_key(place, "path_regex"), report);
    }
    Some(Vec::new())
}

fn size(path: &str, place: &str, report: &mut Report) {
    if path.len() > PATH_BYTES_MAX {
        report.fault(
            place,
            format!(
                "the path has {} bytes, and the most is {PATH_BYTES_MAX}",
                path.len()
            ),
            "write a shorter one",
        );
    }
    let segments = path.split('/').skip(1).count();
    if segments > SEGMENTS_MAX {
        report.fault(
            place,
            format!("the path has {segments} segments, and the most is {SEGMENTS_MAX}"),
            "write a shorter one",
        );
    }
}

fn regex_names(pattern: &str, place: &str, report: &mut Report) -> Option<Vec<String>> {
    let regex = check_pattern(pattern, place, report)?;
    let names: Vec<String> = regex.capture_names().flatten().map(str::to_owned).collect();
    if pattern.len() > PATH_BYTES_MAX {
        report.fault(
            place,
            format!(
                "the expression has {} bytes, and the most is {PATH_BYTES_MAX}",
                pattern.len()
            ),
            "write a shorter one",
        );
    }
    if names.len() > CAPTURES_MAX {
        report.fault(
            place,
            format!("there are more than {CAPTURES_MAX} named groups"),
            "write (?:…) for what need not be told apart",
        );
    }
    Some(names)
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
    for (index, one) in list.iter().enumerate() {
        condition(one, fields, &at_index(place, index), report);
    }
}

/// Checks a condition on a field (or cookie), or on a query parameter.
pub(super) fn condition(condition: &Condition, fields: bool, place: &str, report: &mut Report) {
    if condition.value.is_some() && condition.regex.is_some() {
        report.fault(
            place,
            "the condition has both value and regex",
            "keep one of them, or make two conditions",
        );
    }
    if fields && !is_token(&condition.name) {
        report.fault(
            at_key(place, "name"),
            format!("{} is not the name of a field", quoted(&condition.name)),
            "write one such as x-api-version",
        );
    }
    if let Some(value) = condition.value.as_deref().filter(|_| fields)
        && !is_field_value(value)
    {
        report.fault(
            at_key(place, "value"),
            "no field has this value: it has control characters, or spaces around it",
            "remove them",
        );
    }
    if let Some(pattern) = &condition.regex {
        check_pattern(pattern, &at_key(place, "regex"), report);
    }
}
