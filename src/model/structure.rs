//! What the JSON Schema finds wrong, in plain sentences with the value to write instead.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::faults::{
    FAULTS_MAX, ROOT, Report, at_index, at_key, nearest, parent, push_key, quoted,
};
use super::schema::{self, EXPECT, Member};

/// Adds every difference between `value` and the schema to `report`.
pub(crate) fn check(value: &Value, report: &mut Report) {
    for error in schema::validator().iter_errors(value).take(FAULTS_MAX) {
        explain(&error, report);
    }
}

/// Adds what is wrong with the keys that have no value: those that are not known, and those of
/// free maps, where a key without a value says nothing.
pub(crate) fn check_empty(places: &[String], report: &mut Report) {
    for place in places {
        let Some((object, key)) = object_of(place) else {
            continue;
        };
        match schema::member(object, &key) {
            Member::Known(_) => {}
            Member::Free => report.fault(place, "has no value", "write one, or remove the key"),
            Member::Unknown(known) => unknown_key(place, &key, &known, report),
        }
    }
}

/// The schema of the object that holds the last key of `place`, and that key.
fn object_of(place: &str) -> Option<(&'static Value, String)> {
    let around = parent(place)?;
    Some((schema_of(around)?, key_of(place.get(around.len()..)?)?))
}

fn schema_of(place: &str) -> Option<&'static Value> {
    if place == ROOT {
        return Some(schema::schema());
    }
    let around = parent(place)?;
    let part = schema_of(around)?;
    match key_of(place.get(around.len()..)?) {
        Some(key) => match schema::member(part, &key) {
            Member::Known(part) => Some(part),
            _ => None,
        },
        None => part.get("items").map(schema::resolve),
    }
}

/// The key of a step such as `.key` or `["a b"]`; none of `[3]`.
fn key_of(step: &str) -> Option<String> {
    if let Some(key) = step.strip_prefix('.') {
        return Some(key.to_owned());
    }
    let quoted = step.strip_prefix('[')?.strip_suffix(']')?;
    quoted
        .strip_prefix('"')?
        .strip_suffix('"')
        .map(str::to_owned)
}

fn explain(error: &ValidationError<'_>, report: &mut Report) {
    let place = place_of(error.instance_path());
    let part = schema_around(error.schema_path());
    let expect = part
        .and_then(|part| part.get(EXPECT))
        .and_then(Value::as_str);
    let secret = part.is_some_and(|part| part.get("writeOnly").is_some());
    let instance = error.instance().as_ref();
    let shown = if secret {
        "it".to_owned()
    } else {
        shown(instance)
    };
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => {
            let known = part.map(schema::keys).unwrap_or_default();
            for key in unexpected {
                unknown_key(&at_key(&place, key), key, &known, report);
            }
        }
        Kind::Required { property } => missing_key(&place, property, part, report),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            if let Some(options) = part.and_then(constants) {
                return wrong_word(&place, &shown, instance, &options, report);
            }
            if !secret && let Some(branch) = branch_meant(context) {
                branch.iter().for_each(|error| explain(error, report));
                return;
            }
            let expect = expect.unwrap_or("one of the forms in docs/configuration.md");
            report.fault(
                place,
                format!("{shown} is not what belongs here"),
                write(expect),
            );
        }
        Kind::Type { kind } => {
            let (what, instead) = wrong_type(instance, &shown, kind, expect, part);
            report.fault(place, what, instead);
        }
        Kind::Enum { options } => wrong_choice(&place, &shown, instance, options, report),
        kind => {
            let (what, instead) = out_of_bounds(kind, &shown, expect, error);
            report.fault(place, what, instead);
        }
    }
}

/// Sentences for a value of the right type that is too much, too little or of the wrong form.
fn out_of_bounds(
    kind: &Kind,
    shown: &str,
    expect: Option<&str>,
    error: &ValidationError<'_>,
) -> (String, String) {
    let (what, instead) = match kind {
        Kind::Minimum { limit } => (
            format!("{shown} is too small"),
            format!("the least is {limit}"),
        ),
        Kind::Maximum { limit } => (
            format!("{shown} is too large"),
            format!("the most is {limit}"),
        ),
        Kind::MinLength { limit: 1 } => {
            ("the text is empty".to_owned(), "write something".to_owned())
        }
        Kind::MinLength { limit } => (
            "the text is too short".to_owned(),
            format!("write at least {limit} characters"),
        ),
        Kind::MaxLength { limit } => (
            "the text is too long".to_owned(),
            format!("write at most {limit} characters"),
        ),
        Kind::MinItems { limit: 1 } => (
            "the list is empty".to_owned(),
            "give at least one".to_owned(),
        ),
        Kind::MinItems { limit } => (
            "the list is too short".to_owned(),
            format!("give at least {limit}"),
        ),
        Kind::MaxItems { limit } => (
            "the list is too long".to_owned(),
            format!("give at most {limit}"),
        ),
        Kind::Format { format } if format == "ip" => (
            format!("{shown} is not an IP address"),
            "write one such as 127.0.0.1 or ::1".to_owned(),
        ),
        Kind::Format { format } if format == "cidr" => {
            (format!("{shown} is not a network"), network_instead(error))
        }
        Kind::Pattern { .. } => (
            format!("{shown} is not of the right form"),
            write(expect.unwrap_or("it as docs/configuration.md says")),
        ),
        // No other keyword is in the schema today; the library's sentence is better than none.
        _ => (error.masked_with("it").to_string(), String::new()),
    };
    (what, instead)
}

fn network_instead(error: &ValidationError<'_>) -> String {
    let address = error
        .instance()
        .as_str()
        .and_then(|text| text.parse::<std::net::IpAddr>().ok());
    match address {
        Some(address) => format!("write {}", quoted(&ipnet::IpNet::from(address).to_string())),
        None => "write one such as 10.0.0.0/8 or fd00::/8".to_owned(),
    }
}

fn unknown_key(place: &str, key: &str, known: &[&str], report: &mut Report) {
    let instead = match nearest(key, known.iter().copied()) {
        Some(word) => format!("did you mean {}?", quoted(word)),
        None => format!("the keys here are {}", known.join(", ")),
    };
    report.fault(place, format!("unknown key {}", quoted(key)), instead);
}

fn missing_key(place: &str, property: &Value, part: Option<&'static Value>, report: &mut Report) {
    let key = property.as_str().unwrap_or_default();
    let about = part
        .and_then(|part| {
            part.get("properties")?
                .get(key)?
                .get("description")?
                .as_str()
        })
        .unwrap_or_default();
    // The first sentence says what it is.
    let about = about.split(['.', ';', ':']).next().unwrap_or_default();
    let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
    report.fault(
        place,
        format!("the key {} is missing", quoted(key)),
        format!("add it ({})", lower_first(&about)),
    );
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

fn wrong_choice(place: &str, shown: &str, given: &Value, options: &Value, report: &mut Report) {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let words: Vec<&str> = options.iter().filter_map(Value::as_str).collect();
    if !words.is_empty() {
        return wrong_word(place, shown, given, &words, report);
    }
    let values: Vec<String> = options.iter().map(Value::to_string).collect();
    report.fault(
        place,
        format!("{shown} is none of the values that it may have"),
        write(&alternatives(&values)),
    );
}

fn wrong_word(place: &str, shown: &str, given: &Value, known: &[&str], report: &mut Report) {
    let near = given
        .as_str()
        .and_then(|given| nearest(given, known.iter().copied()));
    let instead = match near {
        Some(word) => format!("did you mean {}?", quoted(word)),
        None => {
            let words: Vec<String> = known.iter().map(|word| quoted(word)).collect();
            format!("write {}", alternatives(&words))
        }
    };
    report.fault(
        place,
        format!("{shown} is not one of the known words"),
        instead,
    );
}

/// The words of a choice, where each branch is one word.
fn constants(part: &'static Value) -> Option<Vec<&'static str>> {
    part.get("oneOf")?
        .as_array()?
        .iter()
        .map(|branch| branch.get("const")?.as_str())
        .collect()
}

/// The branch whose form the value has, if that is clear: the only one that finds fault with
/// something other than the kind of the value.
fn branch_meant<'a>(
    context: &'a [Vec<ValidationError<'static>>],
) -> Option<&'a [ValidationError<'static>]> {
    let here = context_path(context);
    let mut fitting = context.iter().filter(|branch| {
        !branch.iter().any(|error| {
            matches!(
                error.kind(),
                Kind::Type { .. } | Kind::Enum { .. } | Kind::Constant { .. }
            ) && *error.instance_path() == here
        })
    });
    let branch = fitting.next()?;
    fitting.next().is_none().then_some(branch.as_slice())
}

/// The path of the value itself: the shortest that any branch complains about.
fn context_path(context: &[Vec<ValidationError<'static>>]) -> Location {
    context
        .iter()
        .flatten()
        .map(ValidationError::instance_path)
        .min_by_key(|path| path.as_str().len())
        .cloned()
        .unwrap_or_default()
}

fn wrong_type(
    instance: &Value,
    shown: &str,
    kind: &TypeKind,
    expect: Option<&str>,
    part: Option<&'static Value>,
) -> (String, String) {
    let wanted: Vec<JsonType> = match kind {
        TypeKind::Single(one) => vec![*one],
        TypeKind::Multiple(several) => several.iter().collect(),
    };
    let names: Vec<String> = wanted
        .iter()
        .map(|one| type_name(*one).to_owned())
        .collect();
    let what = match instance {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => {
            format!("{shown} is {}", kind_name(instance))
        }
        _ => format!("this is {}", kind_name(instance)),
    };
    let what = format!("{what}, where {} belongs", alternatives(&names));
    let instead = match (instance, wanted.as_slice()) {
        _ if expect.is_some() => write(expect.unwrap_or_default()),
        (Value::String(text), [JsonType::Integer]) => match text.trim().parse::<i64>() {
            Ok(number) => format!("write {number}, without quotes"),
            Err(_) => "write a whole number, without quotes".to_owned(),
        },
        (Value::String(text), [JsonType::Boolean]) => {
            let on = ["true", "yes", "on", "1"].contains(&text.to_ascii_lowercase().as_str());
            format!("write {on}, without quotes")
        }
        (Value::Number(_) | Value::Bool(_), [JsonType::String]) => {
            format!("write it in quotes: \"{shown}\"")
        }
        (Value::Object(_), [JsonType::Array]) => "put a \"-\" before each element".to_owned(),
        (one, [JsonType::Array]) if !one.is_null() => format!("write a list: [{shown}]"),
        (_, [JsonType::Object]) => match part.map(schema::keys) {
            Some(keys) if !keys.is_empty() => format!("its keys are {}", keys.join(", ")),
            _ => "write keys with values".to_owned(),
        },
        _ => format!("write {}", alternatives(&names)),
    };
    (what, instead)
}

fn type_name(one: JsonType) -> &'static str {
    match one {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "nothing",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a text",
    }
}

fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "a list",
        Value::Bool(_) => "true or false",
        Value::Null => "empty",
        Value::Number(number) if number.is_f64() => "no whole number",
        Value::Number(_) => "a number",
        Value::Object(_) => "an object",
        Value::String(_) => "a text",
    }
}

/// A value for people: short ones as they are, large ones by what they are.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "this list".to_owned(),
        Value::Object(_) => "this object".to_owned(),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// `a, b or c`.
fn alternatives(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn write(expect: &str) -> String {
    format!("write {expect}")
}

fn place_of(path: &Location) -> String {
    let mut place = ROOT.to_owned();
    for segment in path {
        match segment {
            LocationSegment::Property(key) => push_key(&mut place, &key),
            LocationSegment::Index(index) => place = at_index(&place, index),
        }
    }
    place
}

/// The schema whose keyword failed.
fn schema_around(path: &Location) -> Option<&'static Value> {
    let (around, _) = path.as_str().rsplit_once('/')?;
    schema::at_pointer(around)
}
