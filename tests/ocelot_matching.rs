//! Promise: a document routes as Ocelot does. The reference here is its own way, a regular
//! expression for each template and then the rule of host, priority and file order, in plain code.

use proptest::prelude::*;
use regex::Regex;
use ringway::model::{self, Format};
use ringway::proxy::explain;
use serde_json::{Value, json};

/// A route as it is generated.
#[derive(Clone, Debug)]
struct Given {
    upstream: String,
    downstream: String,
    host: &'static str,
    priority: i64,
    is_case_sensitive: bool,
    method: &'static str,
}

/// A request.
#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    host: &'static str,
    path: String,
    query: &'static str,
}

fn segment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "B", "c-d", "{}", "{}", "x-{}", "{}.z", "{}-{}"])
}

/// A template whose placeholders are numbered.
fn template(query: bool) -> impl Strategy<Value = String> {
    let query = if query {
        vec!["", "", "", "?q={}"]
    } else {
        vec![""]
    };
    let segments = prop::collection::vec(segment(), 0..4);
    (segments, any::<bool>(), prop::sample::select(query)).prop_map(|(segments, slash, query)| {
        let mut text: String = segments.iter().map(|one| format!("/{one}")).collect();
        if text.is_empty() || (slash && query.is_empty()) {
            text.push('/');
        }
        let ends_open = text.ends_with('}');
        if !ends_open {
            text.push_str(query);
        }
        let mut number = 0;
        while text.contains("{}") {
            text = text.replacen("{}", &format!("{{p{number}}}"), 1);
            number += 1;
        }
        text
    })
}

fn given() -> impl Strategy<Value = Given> {
    (
        template(true),
        template(false),
        prop::sample::select(vec!["", "", "h.test"]),
        0..3_i64,
        any::<bool>(),
        prop::sample::select(vec!["", "GET", "POST"]),
    )
        .prop_map(|(upstream, downstream, host, priority, case, method)| {
            // Only placeholders that the upstream template has.
            let count = upstream.matches('{').count();
            let mut downstream = downstream;
            for number in count..10 {
                downstream = downstream.replace(&format!("{{p{number}}}"), "fixed");
            }
            Given {
                upstream,
                downstream,
                host,
                priority,
                is_case_sensitive: case,
                method,
            }
        })
}

fn asked() -> impl Strategy<Value = Asked> {
    let part = prop::sample::select(vec!["a", "A", "b", "B", "c-d", "x-1", "7.z", "m-n", "y"]);
    (
        prop::sample::select(vec!["GET", "POST"]),
        prop::sample::select(vec!["h.test", "other.test"]),
        prop::collection::vec(part, 0..5),
        any::<bool>(),
        prop::sample::select(vec!["", "q=5", "r=1"]),
    )
        .prop_map(|(method, host, parts, slash, query)| {
            let mut path: String = parts.iter().map(|part| format!("/{part}")).collect();
            if path.is_empty() || slash {
                path.push('/');
            }
            Asked {
                method,
                host,
                path,
                query,
            }
        })
}

/// The expression that Ocelot makes of a template.
fn expression(given: &Given) -> Regex {
    let template = &given.upstream;
    let (path, query) = match template.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (template.as_str(), None),
    };
    let mut text = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap();
        text.push_str(&regex::escape(before));
        let any = if after.contains('/') { "[^/]+" } else { ".*" };
        text.push_str(&format!("(?P<{name}>{any})"));
        rest = after;
    }
    text.push_str(&regex::escape(rest));
    let last = path.rsplit('/').next().unwrap();
    let is_open = last.starts_with('{') && last.ends_with('}') && last.matches('{').count() == 1;
    if path == format!("/{last}") && is_open {
        text = format!("/(?P<{}>.*)", &last[1..last.len() - 1]);
    } else if is_open {
        let tail = format!("/(?P<{}>.*)", &last[1..last.len() - 1]);
        text = format!("{}(?:|{tail})", text.strip_suffix(&tail).unwrap());
    } else if text.len() > 1 && text.ends_with('/') {
        text.pop();
        text.push_str("(/|)");
    }
    if let Some(query) = query {
        let name = query.trim_start_matches("q={").trim_end_matches('}');
        let path = if text == "/" { String::new() } else { text };
        text = format!("{path}(/$|/\\?|\\?|$)q=(?P<{name}>.*)");
    }
    let case = if given.is_case_sensitive { "" } else { "(?i)" };
    Regex::new(&format!("^{case}{text}$")).unwrap()
}

/// Where Ocelot would send a request: the number of the route, and the path.
fn reference(routes: &[Given], asked: &Asked) -> Option<(usize, String)> {
    let is_catch_all = |given: &Given| {
        given.upstream.starts_with("/{")
            && given.upstream.find('}') == Some(given.upstream.len() - 1)
    };
    let mut order: Vec<usize> = (0..routes.len()).collect();
    order.sort_by_key(|index| {
        let priority = if is_catch_all(&routes[*index]) {
            0
        } else {
            routes[*index].priority
        };
        std::cmp::Reverse(priority)
    });
    let text = |given: &Given| match (given.upstream.contains('?'), asked.query) {
        (true, query) if !query.is_empty() => format!("{}?{query}", asked.path),
        _ => asked.path.clone(),
    };
    let mut matching = order.into_iter().filter(|index| {
        let given = &routes[*index];
        (given.method.is_empty() || given.method == asked.method)
            && (given.host.is_empty() || given.host == asked.host)
            && expression(given).is_match(&text(given))
    });
    let all: Vec<usize> = matching.by_ref().collect();
    let with_host = all.iter().find(|index| !routes[**index].host.is_empty());
    let index = *with_host.or_else(|| all.first())?;
    let given = &routes[index];
    let found = expression(given);
    let text = text(given);
    let values = found.captures(&text).unwrap();
    let mut path = given.downstream.clone();
    for name in found.capture_names().flatten() {
        let value = values.name(name).map_or("", |value| value.as_str());
        path = path.replace(&format!("{{{name}}}"), value);
    }
    if path.ends_with('/') && !asked.path.ends_with('/') {
        path = path.trim_end_matches('/').to_owned();
    }
    Some((index, one_slash(&format!("/{path}"))))
}

/// Ringway has no two slashes together in a path.
fn one_slash(path: &str) -> String {
    let mut path = path.to_owned();
    while path.contains("//") {
        path = path.replace("//", "/");
    }
    path
}

fn document(routes: &[Given]) -> Value {
    let each = (1..).zip(routes).map(|(port, given)| {
        let methods: Vec<&str> = Some(given.method)
            .filter(|one| !one.is_empty())
            .into_iter()
            .collect();
        json!({
            "UpstreamPathTemplate": given.upstream,
            "UpstreamHost": given.host,
            "UpstreamHttpMethod": methods,
            "RouteIsCaseSensitive": given.is_case_sensitive,
            "Priority": given.priority,
            "DownstreamPathTemplate": given.downstream,
            "DownstreamHostAndPorts": [{"Host": "s", "Port": 1_000 + port}],
        })
    });
    json!({"Routes": each.collect::<Vec<_>>()})
}

/// The same, with the last of them as aggregates from `start` on: what was the downstream template
/// is that of a route which the aggregate asks.
fn document_with_aggregates(routes: &[Given], start: usize) -> Value {
    let mut document = document(routes);
    let all = document["Routes"].as_array_mut().expect("a list");
    let mut aggregates = all.split_off(start.min(all.len()));
    let servers = json!([{"Host": "s", "Port": 1_000}]);
    for (index, aggregate) in aggregates.iter_mut().enumerate() {
        let template = format!("/part{index}{}", routes[start + index].downstream);
        let key = format!("part{index}");
        all.push(json!({
            "UpstreamPathTemplate": template, "DownstreamPathTemplate": template, "Key": key,
            "UpstreamHost": "part.test", "DownstreamHostAndPorts": servers,
        }));
        aggregate["RouteKeys"] = json!([key, "other"]);
    }
    all.push(json!({
        "UpstreamPathTemplate": "/other", "DownstreamPathTemplate": "/", "Key": "other",
        "UpstreamHost": "part.test", "DownstreamHostAndPorts": servers,
    }));
    document["Aggregates"] = Value::Array(aggregates);
    document
}

/// The path for which the first part of an aggregate is asked, without a slash at its end.
fn part_path(outcome: &str) -> Option<(usize, String)> {
    let (_, rest) = outcome.split_once("one object of \"part")?;
    let (index, rest) = rest.split_once('"')?;
    let (path, _) = rest.split_once(" as ")?.1.split_once(',')?;
    let path = one_slash(path.split('?').next()?);
    Some((index.parse().ok()?, path.trim_end_matches('/').to_owned()))
}

/// Two routes that Ocelot would refuse together: the younger goes.
fn without_twins(routes: Vec<Given>) -> Vec<Given> {
    let mut kept: Vec<Given> = Vec::new();
    for given in routes {
        let twin = kept.iter().any(|other| {
            other.upstream == given.upstream
                && other.host == given.host
                && (other.method == given.method
                    || other.method.is_empty()
                    || given.method.is_empty())
        });
        if !twin {
            kept.push(given);
        }
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_document_routes_as_ocelot_does(
        routes in prop::collection::vec(given(), 1..6),
        requests in prop::collection::vec(asked(), 1..12),
    ) {
        let routes = without_twins(routes);
        let text = document(&routes).to_string();
        let loaded = model::read(&text, Format::Json, "ocelot.json");
        let loaded = loaded.map_err(|faults| TestCaseError::fail(format!("{faults}\n{text}")))?;
        for asked in requests {
            let mark = if asked.query.is_empty() { "" } else { "?" };
            let url = format!("http://{}{}{mark}{}", asked.host, asked.path, asked.query);
            let explained = explain(&loaded.config, asked.method, &url, &[]).unwrap();
            let found = explained.forwarded.map(|head| {
                let path = head.split(' ').nth(1).unwrap();
                let path = path.split('?').next().unwrap();
                let host = head.lines().find_map(|line| line.strip_prefix("Host: s:1")).unwrap();
                (host.parse::<usize>().unwrap() - 1, one_slash(path))
            });
            prop_assert_eq!(
                found,
                reference(&routes, &asked),
                "{} {}\n{:#?}\n{:?}", asked.method, url, routes, explained.verdicts
            );
        }
    }
    #[test]
    fn aggregates_are_found_as_routes_are_and_hand_placeholders_on(
        routes in prop::collection::vec(given(), 1..6),
        start in 0..5_usize,
        requests in prop::collection::vec(asked(), 1..12),
    ) {
        let routes = without_twins(routes);
        let start = start.min(routes.len() - 1);
        // An aggregate may have no twin at all.
        let (plain, joined) = routes.split_at(start);
        let mut routes = plain.to_vec();
        for given in joined {
            let is_twin = |other: &Given| (&other.upstream, other.host) == (&given.upstream, given.host);
            if !routes.iter().any(is_twin) {
                routes.push(given.clone());
            }
        }
        let text = document_with_aggregates(&routes, start).to_string();
        let loaded = model::read(&text, Format::Json, "ocelot.json");
        let loaded = loaded.map_err(|faults| TestCaseError::fail(format!("{faults}\n{text}")))?;
        for asked in requests {
            let mark = if asked.query.is_empty() { "" } else { "?" };
            let url = format!("http://{}{}{mark}{}", asked.host, asked.path, asked.query);
            let explained = explain(&loaded.config, asked.method, &url, &[]).unwrap();
            let expected = reference(&routes, &asked);
            let expected = expected.filter(|(index, _)| *index >= start);
            let expected = expected.map(|(index, path)| {
                let index = index - start;
                let path = format!("/part{index}{path}");
                (index, path.trim_end_matches('/').to_owned())
            });
            prop_assert_eq!(
                part_path(&explained.outcome),
                expected,
                "{} {}\n{:#?}\n{:?}", asked.method, url, routes, explained
            );
        }
    }
}
