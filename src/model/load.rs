//! Reading a configuration: text to checked [`Config`], with every fault found at once.
//!
//! The order is: syntax, then the JSON Schema over the whole tree, then serde and the checks of
//! meaning over every part that could be read. A part with a fault does not hide the faults of
//! the others.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

use super::checks::{self, Origin};
use super::config::Config;
use super::document::{self, DOCUMENT_BYTES_MAX, Document, Format};
use super::faults::{FAULTS_MAX, Fault, Faults, ROOT, Report, at_index, at_key, parent};
use super::ids::name_routes;
use super::lines::Lines;
use super::ocelot::{self, Ocelot};
use super::structure;

/// A configuration that can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What was declared. Every route has its id.
    pub config: Config,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Fault>,
}

/// Why a configuration file could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The document has faults.
    #[error("{0}")]
    Faults(Faults),
    /// The file's name does not say how it is written.
    #[error("{0}: a configuration file ends in .json, .yaml or .yml; rename it")]
    Format(PathBuf),
    /// The file is longer than [`DOCUMENT_BYTES_MAX`].
    #[error("{0}: the file is larger than 64 MiB; split it, or load routes over the admin API")]
    Long(PathBuf),
    /// The file cannot be read.
    #[error("{0}: {1}; check the path and its permissions")]
    Read(PathBuf, #[source] io::Error),
    /// The file is not UTF-8.
    #[error("{0}: the file is not UTF-8 text; save it as UTF-8")]
    Utf8(PathBuf),
}

/// Reads and checks the file at `path`; its extension says how it is written.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let format = format_of(path).ok_or_else(|| LoadError::Format(path.to_owned()))?;
    let text = read_file(path)?;
    read(&text, format, &path.display().to_string()).map_err(LoadError::Faults)
}

/// Reads and checks `text`; `source` names it in messages.
pub fn read(text: &str, format: Format, source: &str) -> Result<Loaded, Faults> {
    let mut report = Report::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut duplicates = Vec::new();
    if let Some(document) = ocelot_in(text, format) {
        let config = examine_ocelot(&document, &mut report);
        return finish(config, text, format, &[], report, source);
    }
    let config = match document::parse(text, format) {
        Ok(mut document) => {
            duplicates = std::mem::take(&mut document.duplicates);
            examine(document, &mut report)
        }
        Err(syntax) => {
            report.faults.push(Fault {
                path: ROOT.to_owned(),
                line: syntax.line,
                what: syntax.what,
                instead: String::new(),
            });
            Config::default()
        }
    };
    finish(config, text, format, &duplicates, report, source)
}

fn finish(
    config: Config,
    text: &str,
    format: Format,
    duplicates: &[String],
    mut report: Report,
    source: &str,
) -> Result<Loaded, Faults> {
    locate(text, format, duplicates, &mut report);
    if report.faults.is_empty() {
        return Ok(Loaded {
            config,
            warnings: report.warnings,
        });
    }
    Err(Faults {
        source: source.to_owned(),
        list: report.faults,
    })
}

fn format_of(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "json" => Some(Format::Json),
        "yaml" | "yml" => Some(Format::Yaml),
        _ => None,
    }
}

fn read_file(path: &Path) -> Result<String, LoadError> {
    let fault = |error| LoadError::Read(path.to_owned(), error);
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(fault)?
        .take(DOCUMENT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(fault)?;
    if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(LoadError::Long(path.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| LoadError::Utf8(path.to_owned()))
}

/// Checks the tree; the returned configuration holds every part that could be read.
fn examine(document: Document, report: &mut Report) -> Config {
    structure::check_empty(&document.empty, report);
    structure::check(&document.value, report);
    let (mut config, origin) = assemble(document.value, report);
    checks::check(&config, &origin, report);
    name_routes(&mut config.routes);
    config
}

/// The FileConfiguration of Ocelot that `text` is, if it is one: known by its members.
pub(crate) fn ocelot_in(text: &str, format: Format) -> Option<Value> {
    // Most files are none, and reading one twice takes long.
    let signs = [
        "PathTemplate",
        "GlobalConfiguration",
        "\"Routes\"",
        "\"Ringway\"",
    ];
    let has = |sign: &&str| {
        let (text, sign) = (text.as_bytes(), sign.as_bytes());
        text.windows(sign.len())
            .any(|window| window.eq_ignore_ascii_case(sign))
    };
    if format != Format::Json || !signs.iter().any(has) {
        return None;
    }
    let document = serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(&ocelot::relaxed(text)))
        .ok()?;
    ocelot::is_ocelot(&document).then_some(document)
}

/// Checks a FileConfiguration, and then the native document that it comes to.
fn examine_ocelot(document: &Value, report: &mut Report) -> Config {
    let mut read = Ocelot::read(document);
    let verifiers: HashSet<String> = read.verifiers().map(str::to_owned).collect();
    read.require_providers(|key| verifiers.contains(key));
    report.faults.extend(read.report.faults.iter().cloned());
    report.warnings.extend(read.report.warnings.iter().cloned());
    if !report.faults.is_empty() {
        return Config::default();
    }
    let mut of_native = Report::default();
    let native = Document {
        value: read.native(),
        empty: Vec::new(),
        duplicates: Vec::new(),
    };
    let config = examine(native, &mut of_native);
    for fault in of_native.faults.iter_mut().chain(&mut of_native.warnings) {
        read.relocate(fault);
    }
    report.faults.append(&mut of_native.faults);
    report.warnings.append(&mut of_native.warnings);
    config
}

/// Makes a [`Config`] of the parts that serde can read. What it cannot is in `report` already,
/// or is added here.
fn assemble(value: Value, report: &mut Report) -> (Config, Origin) {
    let Value::Object(mut parts) = value else {
        // The schema has said so.
        return (Config::default(), Origin::unreadable());
    };
    let mut origin = Origin::default();
    if let Some(upstreams) = parts.get("upstreams").and_then(Value::as_array) {
        origin.upstream_names = upstreams
            .iter()
            .filter_map(|upstream| Some(upstream.get("name")?.as_str()?.to_owned()))
            .collect();
    }
    origin.listeners_given = match parts.get("listeners") {
        Some(Value::Array(list)) => !list.is_empty(),
        given => given.is_some(),
    };
    let config = Config {
        listeners: list(&mut parts, "listeners", &mut origin.listeners, report),
        workers: section(&mut parts, "workers", report),
        timeouts: section(&mut parts, "timeouts", report),
        limits: section(&mut parts, "limits", report),
        http: section(&mut parts, "http", report),
        forwarded: section(&mut parts, "forwarded", report),
        access_log: section(&mut parts, "access_log", report),
        admin: section(&mut parts, "admin", report),
        dns: section(&mut parts, "dns", report),
        store: section(&mut parts, "store", report),
        error_pages: section(&mut parts, "error_pages", report),
        upstreams: list(&mut parts, "upstreams", &mut origin.upstreams, report),
        routes: list(&mut parts, "routes", &mut origin.routes, report),
        entities: section(&mut parts, "entities", report),
    };
    (config, origin)
}

/// Reads a section that stands once. One with a fault has its defaults, so that the checks of
/// meaning do not say the same again in other words.
fn section<T: DeserializeOwned + Default>(
    parts: &mut Map<String, Value>,
    key: &str,
    report: &mut Report,
) -> T {
    let place = at_key(ROOT, key);
    let read = parts
        .remove(key)
        .and_then(|value| part(value, &place, report));
    let faulty = report
        .faults
        .iter()
        .any(|fault| is_within(&fault.path, &place));
    read.filter(|_| !faulty).unwrap_or_default()
}

/// Reads the elements of a list one by one; `places` keeps the index of each that was read.
fn list<T: DeserializeOwned>(
    parts: &mut Map<String, Value>,
    key: &str,
    places: &mut Vec<usize>,
    report: &mut Report,
) -> Vec<T> {
    let Some(Value::Array(values)) = parts.remove(key) else {
        return Vec::new();
    };
    let place = at_key(ROOT, key);
    let mut read = Vec::with_capacity(values.len());
    for (index, value) in values.into_iter().enumerate() {
        if let Some(element) = part(value, &at_index(&place, index), report) {
            places.push(index);
            read.push(element);
        }
    }
    read
}

fn part<T: DeserializeOwned>(value: Value, place: &str, report: &mut Report) -> Option<T> {
    match serde_json::from_value(value) {
        Ok(part) => Some(part),
        Err(error) => {
            let mut known = report.faults.iter().map(|fault| &fault.path);
            // A full report takes no more; searching it for each part would cost much.
            if known.len() < FAULTS_MAX && !known.any(|path| is_within(path, place)) {
                report.fault(place, error.to_string(), "");
            }
            None
        }
    }
}

fn is_within(path: &str, place: &str) -> bool {
    let mut next = Some(path);
    while let Some(path) = next {
        if path == place {
            return true;
        }
        next = parent(path);
    }
    false
}

/// Gives every fault and warning its line, adds the keys that are given more than once, and puts
/// all in the order of the text.
fn locate(text: &str, format: Format, duplicates: &[String], report: &mut Report) {
    let located = |fault: &Fault| fault.line.is_some() || fault.path == ROOT;
    let mut found = report.faults.iter().chain(&report.warnings);
    if duplicates.is_empty() && found.all(located) {
        return;
    }
    let found = report.faults.iter().chain(&report.warnings);
    let places = found.map(|fault| fault.path.as_str());
    let lines = Lines::find(
        text,
        format,
        places.chain(duplicates.iter().map(String::as_str)),
    );
    for fault in report.faults.iter_mut().chain(&mut report.warnings) {
        if !located(fault) {
            fault.line = lines.first(&fault.path);
        }
    }
    for place in duplicates {
        let given = lines.all(place);
        let first = given.first().copied().unwrap_or_default();
        report.faults.push(Fault {
            path: place.clone(),
            line: given.last().copied(),
            what: format!("this key is given more than once, first on line {first}"),
            instead: "keep one of them".to_owned(),
        });
    }
    report.faults.truncate(FAULTS_MAX);
    report.faults.sort_by_key(|fault| fault.line);
    report.warnings.sort_by_key(|fault| fault.line);
}
