//! Aggregates: parts that can be asked for, each under a key of its own.

use std::collections::{HashMap, HashSet};

use super::action::placed;
use super::text::path_fault;
use crate::model::aggregate::{Aggregate, Part};
use crate::model::faults::{Report, at_index, at_key, nearest, quoted};
use crate::model::route::Route;
use crate::wire::json;
use crate::wire::path::{PathRules, query_is_valid};

/// What stands for a value of `for_each`.
const VALUE: &str = "value";

/// Checks the aggregate at `place`. `captures` are the names that the matcher of its route
/// captures; none if that is faulty.
pub(super) fn check(
    aggregate: &Aggregate,
    rules: PathRules,
    captures: Option<&[String]>,
    place: &str,
    report: &mut Report,
) {
    let list = at_key(place, "parts");
    let mut keys = HashSet::new();
    for (index, part) in aggregate.parts.iter().enumerate() {
        let place = at_index(&list, index);
        if !keys.insert(part.key.as_str()) {
            let what = format!("there is a part with the key {} already", quoted(&part.key));
            let instead = "give each part a key of its own";
            report.fault(at_key(&place, "key"), what, instead);
        }
        check_path(part, rules, captures, &place, report);
        let Some(path) = &part.for_each else { continue };
        let place = at_key(&place, "for_each");
        if index == 0 {
            let what = "the values come from the first part, and this is the first";
            report.fault(place, what, "put the part that has them in front");
        } else if json::Path::parse(path).is_none() {
            let what = format!("{} is no path that is known here", quoted(path));
            report.fault(place, what, "write one such as $[*].userId or $..id");
        } else if !part.path.contains("{value}") {
            let what = "every request of the part would be the same";
            report.warn(place, what, "write {value} in its path");
        }
    }
}

fn check_path(
    part: &Part,
    rules: PathRules,
    captures: Option<&[String]>,
    place: &str,
    report: &mut Report,
) {
    let place = at_key(place, "path");
    let always: &[&str] = match part.for_each {
        Some(_) => &[VALUE],
        None => &[],
    };
    for name in captures.into_iter().flatten() {
        if always.contains(&name.as_str()) {
            let what = "{value} is a capture of the route and the value of for_each too";
            report.fault(&place, what, "give the capture another name");
        }
    }
    let (path, query) = match part.path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (part.path.as_str(), None),
    };
    if query.is_some_and(|query| !query_is_valid(query.as_bytes())) {
        let what = "the query has spaces, control characters or letters outside ASCII";
        report.fault(&place, what, "percent-encode them");
    }
    if placed(&part.path, captures, always, &|_| false, &place, report).is_none() {
        return;
    }
    // With something in its places, so that the whole is a path.
    let mut plain = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        plain.push_str(before);
        plain.push('x');
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    if let Some((what, instead)) = path_fault(&plain, rules) {
        let instead = match plain == part.path {
            true => instead,
            false => String::new(),
        };
        report.fault(place, what, instead);
    }
}

/// Checks that the routes of all parts are there and can be parts; `at` has where each route of
/// `routes` stands.
pub(super) fn check_routes(routes: &[Route], at: &dyn Fn(usize) -> String, report: &mut Report) {
    let known = routes
        .iter()
        .filter_map(|route| Some((route.id.as_deref()?, route.aggregate.is_some())));
    let known: HashMap<&str, bool> = match routes.iter().any(|route| route.aggregate.is_some()) {
        true => known.collect(),
        false => return,
    };
    for (index, route) in routes.iter().enumerate() {
        let parts = route
            .aggregate
            .iter()
            .flat_map(|aggregate| &aggregate.parts);
        for (number, part) in parts.enumerate() {
            let parts = at_key(&at_key(&at(index), "aggregate"), "parts");
            let place = at_key(&at_index(&parts, number), "route");
            match known.get(part.route.as_str()) {
                Some(false) => {}
                Some(true) => {
                    let what = format!("{} is an aggregate too", quoted(&part.route));
                    report.fault(place, what, "name the routes of its parts");
                }
                None => {
                    let near = nearest(&part.route, known.keys().copied());
                    let instead = near.map(|near| format!("did you mean {}?", quoted(near)));
                    let what = format!(
                        "there is no route {}; as long as there is none the answer is 503",
                        quoted(&part.route)
                    );
                    report.warn(place, what, instead.unwrap_or_default());
                }
            }
        }
    }
}
