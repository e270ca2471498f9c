//! Regular expressions of routes: linear time, limited size, always over the whole text.

use regex::{Regex, RegexBuilder};

/// The most bytes that a compiled expression may take.
pub const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// Compiles `pattern` so that it matches a whole text or nothing.
pub fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    // Alone first: `a)|(b` must not become valid by what is put around it.
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
}

/// The fault of an expression in one line.
pub(super) fn sentence(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => {
            format!("the regular expression takes more than {PATTERN_BYTES_MAX} bytes")
        }
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            let last = last.strip_prefix("error: ").unwrap_or(last);
            format!("the regular expression is not valid: {last}")
        }
    }
}
