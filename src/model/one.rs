//! One route or one upstream, as the admin API gets them: the same schema, the same checks and the
//! same sentences as for a whole file, with places that start at the thing itself.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::checks;
use super::config::Http;
use super::defaults::MS_MAX;
use super::document::{self, Format};
use super::faults::{Fault, Faults, ROOT, Report, nearest, quoted};
use super::route::{Condition, Route};
use super::schema::EXACT_MAX;
use super::structure;
use super::upstream::Upstream;

/// Reads `text` as JSON within the bounds of a configuration: keys without a value are left out,
/// keys that are given twice are a fault.
///
/// # Errors
/// What is wrong with the text; `source` names it.
pub fn parse_json(text: &str, source: &str) -> Result<Value, Faults> {
    parse(text, Format::Json, source)
}

/// Reads `text` as one YAML document within the bounds of a configuration; JSON is YAML too. Keys
/// without a value are left out, keys that are given twice are a fault.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_yaml(text: &str) -> Result<Value, Faults> {
    parse(text, Format::Yaml, "body")
}

fn parse(text: &str, format: Format, source: &str) -> Result<Value, Faults> {
    let fault = |path: &str, line, what: String| Fault {
        path: path.to_owned(),
        line,
        what,
        instead: String::new(),
    };
    let faults = |list| Faults {
        source: source.to_owned(),
        list,
    };
    let document = document::parse(text, format)
        .map_err(|syntax| faults(vec![fault(ROOT, syntax.line, syntax.what)]))?;
    if document.duplicates.is_empty() {
        return Ok(document.value);
    }
    let twice = "this key is given more than once".to_owned();
    let places = document.duplicates.iter();
    Err(faults(
        places
            .map(|place| fault(place, None, twice.clone()))
            .collect(),
    ))
}

/// Checks a route against everything but the upstreams that there are.
///
/// # Errors
/// Every fault of it; their places start at the route.
pub fn check_route(value: &Value, http: &Http) -> Result<Route, Faults> {
    check(value, "routes", |route: &Route, report| {
        checks::one_route(route, http, report)
    })
}

/// Checks a route that is read already. What the schema bounds is looked at by hand first, for the
/// schema itself costs more than all the rest; it has the last word where that finds something.
///
/// # Errors
/// Every fault of it; their places start at the route.
pub fn check_typed_route(route: &Route, http: &Http) -> Result<(), Faults> {
    if !is_within_bounds(route) {
        let value = serde_json::to_value(route).unwrap_or_default();
        return check_route(&value, http).map(drop);
    }
    let mut report = Report::default();
    checks::one_route(route, http, &mut report);
    if report.faults.is_empty() {
        return Ok(());
    }
    Err(Faults {
        source: "route".to_owned(),
        list: report.faults,
    })
}

/// Whether the schema surely finds nothing; where there is doubt, it is asked.
fn is_within_bounds(route: &Route) -> bool {
    let is_name = |id: &String| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let times = [
        route.connect_timeout_ms,
        route.send_timeout_ms,
        route.read_timeout_ms,
        route.total_timeout_ms,
    ];
    let is_condition = |one: &Condition| (1..=256).contains(&one.name.len());
    let conditions = [&route.headers, &route.query];
    route.id.as_ref().is_none_or(is_name)
        && times.into_iter().all(|ms| (1..=MS_MAX).contains(&ms))
        && conditions
            .into_iter()
            .all(|list| list.len() <= 32 && list.iter().all(is_condition))
        && route.also.len() <= 64
        && route.retry.max_retries <= 10
        && route.redirect.is_none()
        && route
            .respond
            .as_ref()
            .is_none_or(|one| one.body.len() <= 1_024 && one.status >= 200)
        && route.max_response_bytes <= EXACT_MAX
        && route.max_body_bytes.is_none_or(|most| most <= EXACT_MAX)
}

/// Checks an upstream.
///
/// # Errors
/// Every fault of it; their places start at the upstream.
pub fn check_upstream(value: &Value) -> Result<Upstream, Faults> {
    check(value, "upstreams", checks::one_upstream)
}

/// The fault of a route whose upstream is not one of `names`.
pub fn no_upstream<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Faults {
    let instead = match nearest(name, names) {
        Some(near) => format!("did you mean {}?", quoted(near)),
        None => "add it first".to_owned(),
    };
    let path = format!("{ROOT}.upstream");
    let what = format!("there is no upstream {}", quoted(name));
    Faults {
        source: "route".to_owned(),
        list: vec![Fault {
            path,
            line: None,
            what,
            instead,
        }],
    }
}

/// The schema is that of a document, so the thing is put into one.
fn check<T: DeserializeOwned>(
    value: &Value,
    list: &str,
    check: impl FnOnce(&T, &mut Report),
) -> Result<T, Faults> {
    let mut report = Report::default();
    structure::check(&json!({ list: [value] }), &mut report);
    let around = format!("{ROOT}.{list}[0]");
    for fault in &mut report.faults {
        if let Some(rest) = fault.path.strip_prefix(&around) {
            fault.path = format!("{ROOT}{rest}");
        }
    }
    let read = match serde_json::from_value::<T>(value.clone()) {
        Ok(read) => {
            check(&read, &mut report);
            Some(read)
        }
        Err(error) => {
            if report.faults.is_empty() {
                report.fault(ROOT, error.to_string(), "");
            }
            None
        }
    };
    match read {
        Some(read) if report.faults.is_empty() => Ok(read),
        _ => Err(Faults {
            source: list.trim_end_matches('s').to_owned(),
            list: report.faults,
        }),
    }
}
