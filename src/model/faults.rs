//! What is wrong with a document: where, what, and what to write instead.
//!
//! A fault never shows the value of a secret. Places are written as people write them,
//! `$.routes[3].upstream`; the functions at the end build them.

use std::fmt;

/// The most faults, and the most warnings, that are collected of one document.
pub const FAULTS_MAX: usize = 1_000;

/// One fault or warning.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Where: `$.routes[3].upstream`; `$` is the whole document.
    pub path: String,
    /// The line, from 1; none if the document did not come as text.
    pub line: Option<u32>,
    /// What is wrong.
    pub what: String,
    /// What to write instead; may be empty.
    pub instead: String,
}

impl Fault {
    /// The fault as a line about the document `source`: `config.yaml:12: $.routes[3]: …`.
    #[must_use]
    pub fn line_in(&self, source: &str) -> String {
        match self.line {
            Some(line) => format!("{source}:{line}: {self}"),
            None => format!("{source}: {self}"),
        }
    }

    /// The same, said to be a warning.
    #[must_use]
    pub fn warning_in(&self, source: &str) -> String {
        match self.line {
            Some(line) => format!("{source}:{line}: warning: {self}"),
            None => format!("{source}: warning: {self}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)?;
        if !self.instead.is_empty() {
            write!(f, "; {}", self.instead)?;
        }
        Ok(())
    }
}

/// All faults of one document, in its order; shown as one `source:line: path: …` line each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Faults {
    /// The name of the document: the file, for people.
    pub source: String,
    /// The faults; never empty.
    pub list: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&fault.line_in(&self.source))?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// What the checks found: faults refuse the document, warnings do not.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Why the document cannot be used.
    pub faults: Vec<Fault>,
    /// What can be used but is probably not meant.
    pub warnings: Vec<Fault>,
}

impl Report {
    /// Adds a fault; beyond [`FAULTS_MAX`] it is left out.
    pub fn fault(
        &mut self,
        path: impl Into<String>,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        push(&mut self.faults, path.into(), what.into(), instead.into());
    }

    /// Adds a warning; beyond [`FAULTS_MAX`] it is left out.
    pub fn warn(
        &mut self,
        path: impl Into<String>,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        push(&mut self.warnings, path.into(), what.into(), instead.into());
    }
}

fn push(list: &mut Vec<Fault>, path: String, what: String, instead: String) {
    if list.len() < FAULTS_MAX {
        list.push(Fault {
            path,
            line: None,
            what,
            instead,
        });
    }
}

/// The place of the whole document.
pub(crate) const ROOT: &str = "$";

/// The place of `key` in the object at `place`.
pub(crate) fn at_key(place: &str, key: &str) -> String {
    let mut path = place.to_owned();
    push_key(&mut path, key);
    path
}

/// The place of element `index` of the list at `place`.
pub(crate) fn at_index(place: &str, index: usize) -> String {
    format!("{place}[{index}]")
}

/// Extends `place` by `key`; a key that is no plain word is quoted: `$["a b"]`.
pub(crate) fn push_key(place: &mut String, key: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(plain) {
        place.push('.');
        place.push_str(key);
    } else {
        place.push('[');
        place.push_str(&quoted(key));
        place.push(']');
    }
}

/// The place that contains `place`; none for the whole document.
pub(crate) fn parent(place: &str) -> Option<&str> {
    let mut cut = None;
    let mut in_quotes = false;
    let mut escaped = false;
    for (index, byte) in place.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_quotes => escaped = true,
            b'"' => in_quotes = !in_quotes,
            b'.' | b'[' if !in_quotes => cut = Some(index),
            _ => {}
        }
    }
    cut.and_then(|index| place.get(..index))
}

/// `text` in double quotes, cut to a length that people read, control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// The word among `known` that is most like `given`, if any is like it.
pub(crate) fn nearest<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Words longer than any key of ours are not worth a quadratic comparison.
    const COMPARED_MAX: usize = 128;
    if given.len() > COMPARED_MAX {
        return None;
    }
    let given = given.to_ascii_lowercase();
    known
        .into_iter()
        .filter(|word| word.len() <= COMPARED_MAX)
        .map(|word| {
            (
                strsim::jaro_winkler(&given, &word.to_ascii_lowercase()),
                word,
            )
        })
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_like_code() {
        let route = at_index(&at_key(ROOT, "routes"), 3);
        assert_eq!(at_key(&route, "upstream"), "$.routes[3].upstream");
        assert_eq!(at_key(&route, "a b"), r#"$.routes[3]["a b"]"#);
        assert_eq!(at_key(ROOT, ""), r#"$[""]"#);
    }

    #[test]
    fn the_parent_of_a_place_is_its_container() {
        let odd = at_key("$.routes[3]", "a.b[\"]");
        assert_eq!(parent(&odd), Some("$.routes[3]"));
        assert_eq!(parent("$.routes[3]"), Some("$.routes"));
        assert_eq!(parent("$.routes"), Some("$"));
        assert_eq!(parent("$"), None);
    }

    #[test]
    fn the_nearest_word_is_one_that_could_be_meant() {
        let known = ["upstream", "host", "path"];
        assert_eq!(nearest("upstrem", known), Some("upstream"));
        assert_eq!(nearest("Host", known), Some("host"));
        assert_eq!(nearest("zzz", known), None);
    }

    #[test]
    fn a_report_is_bounded() {
        let mut report = Report::default();
        for _ in 0..FAULTS_MAX + 5 {
            report.fault("$", "wrong", "");
        }
        assert_eq!(report.faults.len(), FAULTS_MAX);
    }
}
