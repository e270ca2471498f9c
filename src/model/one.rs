//! One route or one upstream, as the admin API gets them: the same schema, the same checks and the
//! same sentences as for a whole file, with places that start at the thing itself.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::checks;
use super::config::Http;
use super::document::{self, Format};
use super::faults::{Fault, Faults, ROOT, Report, nearest, quoted};
use super::route::Route;
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
