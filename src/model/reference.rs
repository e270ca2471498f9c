//! The reference part of `docs/configuration.md`, printed from the schema.
//!
//! One section per object, in the order of the document: its place, what it is, and a table of
//! its keys with type, default and meaning.

use std::fmt::Write as _;

use serde_json::Value;

use super::schema::{self, EXPECT};

/// The reference as Markdown; its sections are of the third level.
#[must_use]
pub fn markdown() -> String {
    let mut sections = Vec::new();
    collect("", schema::schema(), &mut sections);
    let mut text = String::new();
    for section in &sections {
        print(section, &sections, &mut text);
    }
    text
}

/// An object of the document.
struct Section {
    /// Where it may stand: `routes[].headers[]`; empty for the document itself.
    places: Vec<String>,
    part: &'static Value,
}

/// Adds the object `part` at `place` and every object in it; one that is known gets the place.
fn collect(place: &str, part: &'static Value, sections: &mut Vec<Section>) {
    let part = schema::resolve(part);
    if let Some(items) = part.get("items") {
        return collect(&format!("{place}[]"), items, sections);
    }
    for branch in branches(part) {
        collect(place, branch, sections);
    }
    let Some(keys) = part.get("properties").and_then(Value::as_object) else {
        return;
    };
    if let Some(known) = sections
        .iter_mut()
        .find(|section| std::ptr::eq(section.part, part))
    {
        known.places.push(place.to_owned());
        return;
    }
    sections.push(Section {
        places: vec![place.to_owned()],
        part,
    });
    for (key, value) in keys {
        let inside = if place.is_empty() {
            key.clone()
        } else {
            format!("{place}.{key}")
        };
        collect(&inside, value, sections);
    }
}

fn branches(part: &'static Value) -> impl Iterator<Item = &'static Value> {
    part.get("anyOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn print(section: &Section, sections: &[Section], text: &mut String) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "### {}\n", heading(section, sections));
    if let Some((also, [first, ..])) = section.places.get(1..).zip(section.places.get(..1))
        && !also.is_empty()
    {
        let _ = writeln!(text, "At `{first}` and at `{}`.\n", also.join("` and at `"));
    }
    let _ = writeln!(text, "{}\n", paragraphs(section.part));
    text.push_str("| Key | Type | Default | Meaning |\n| --- | --- | --- | --- |\n");
    let required: Vec<&str> = section
        .part
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let keys = section.part.get("properties").and_then(Value::as_object);
    for (key, value) in keys.into_iter().flatten() {
        let default = if required.contains(&key.as_str()) {
            "required".to_owned()
        } else {
            default(value)
        };
        let _ = writeln!(
            text,
            "| `{key}` | {} | {default} | {} |",
            kind(value, sections),
            meaning(value),
        );
    }
    text.push('\n');
}

/// The place, with the keys where several objects may stand in it.
fn heading(section: &Section, sections: &[Section]) -> String {
    let place = section.places.first().map_or("", String::as_str);
    if place.is_empty() {
        return "The document".to_owned();
    }
    let shared = |other: &&Section| other.places.first() == section.places.first();
    if sections.iter().filter(shared).count() > 1 {
        return format!("{place} with {}", schema::keys(section.part).join(", "));
    }
    place.to_owned()
}

/// The address that Markdown viewers give a heading.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            letter if letter.is_alphanumeric() || letter == '_' || letter == '-' => Some(letter),
            _ => None,
        })
        .collect()
}

fn paragraphs(part: &Value) -> String {
    let text = part
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    text.split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// What a key means, on one line; the words of a choice with what each means.
fn meaning(value: &'static Value) -> String {
    let mut text = paragraphs(value).replace("\n\n", " ");
    let words = schema::resolve(value)
        .get("oneOf")
        .and_then(Value::as_array);
    for word in words.into_iter().flatten() {
        if let Some(name) = word.get("const").and_then(Value::as_str) {
            let _ = write!(text, "<br>`{name}`: {}", paragraphs(word));
        }
    }
    text.replace('|', "\\|")
}

fn default(value: &'static Value) -> String {
    match value.get("default") {
        Some(Value::Object(_)) => "its defaults".to_owned(),
        Some(Value::Array(list)) if list.is_empty() => "none".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(other) => format!("`{other}`"),
        None => "none".to_owned(),
    }
}

fn kind(value: &'static Value, sections: &[Section]) -> String {
    let part = schema::resolve(value);
    let expect = value.get(EXPECT).or_else(|| part.get(EXPECT));
    if let Some(expect) = expect.and_then(Value::as_str) {
        return expect.to_owned();
    }
    if let Some(section) = sections
        .iter()
        .find(|section| std::ptr::eq(section.part, part))
    {
        let heading = heading(section, sections);
        return format!("[object](#{})", anchor(&heading));
    }
    if part.get("oneOf").is_some() {
        return "one of the words".to_owned();
    }
    match part.get("type").and_then(Value::as_str) {
        Some("array") => match part.get("items") {
            Some(items) => format!("list: {}", kind(items, sections)),
            None => "list".to_owned(),
        },
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("integer") => format!("whole number{}", range(part)),
        Some("object") => "texts by name".to_owned(),
        Some("string") => match part.get("format").and_then(Value::as_str) {
            Some("ip") => "IP address".to_owned(),
            Some("cidr") => "network (CIDR)".to_owned(),
            _ => "text".to_owned(),
        },
        _ => "any".to_owned(),
    }
}

fn range(part: &Value) -> String {
    let limit = |key: &str| part.get(key).and_then(Value::as_i64).unwrap_or_default();
    let (least, most) = (limit("minimum"), limit("maximum"));
    // The ends of 32 and 53 bits say nothing to a person.
    let whole = [i64::from(i32::MAX), i64::from(u32::MAX), (1 << 53) - 1].contains(&most);
    match (least, whole) {
        (least, true) if least < 0 => ", also negative".to_owned(),
        (least, true) => format!(", {least} or more"),
        (least, false) => format!(", {least} to {most}"),
    }
}
