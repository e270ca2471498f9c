//! What the captures of a route stand for in the path of a request.

use regex::bytes::Regex;

use super::pattern::split_segment;

/// The most captures of a template, or named groups of a regular expression.
pub const CAPTURES_MAX: usize = 16;

/// Where the captures of a matched route lie in the path of the request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Captures {
    count: u8,
    ranges: [(u32, u32); CAPTURES_MAX],
}

// === impl Captures ===

impl Captures {
    /// None at all.
    pub const NONE: Self = Self {
        count: 0,
        ranges: [(0, 0); CAPTURES_MAX],
    };

    /// How many there are.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The text of the capture `index`, as it stands in `path`; empty if there is none.
    pub fn text<'p>(&self, index: usize, path: &'p [u8]) -> &'p [u8] {
        let range = self.ranges.get(index).copied().unwrap_or_default();
        path.get(range.0 as usize..range.1 as usize)
            .unwrap_or_default()
    }

    fn push(&mut self, start: usize, end: usize) {
        if let Some(range) = self.ranges.get_mut(usize::from(self.count)) {
            *range = (start as u32, end as u32);
            self.count += 1;
        }
    }

    pub(super) fn fill_from_template(&mut self, template: &str, path: &[u8]) {
        let mut start = 1;
        for segment in template.split('/').skip(1) {
            let rest = path.get(start..).unwrap_or_default();
            let end = start + split_segment(rest).0.len();
            match capture_name(segment) {
                Some(name) if name.ends_with('*') => self.push(start, path.len()),
                Some(_) => self.push(start, end),
                None => {}
            }
            start = end + 1;
        }
    }

    pub(super) fn fill_from_regex(&mut self, regex: &Regex, path: &[u8]) {
        let mut locations = regex.capture_locations();
        regex.captures_read(&mut locations, path);
        for (group, name) in regex.capture_names().enumerate() {
            if name.is_some() {
                let (start, end) = locations.get(group).unwrap_or_default();
                self.push(start, end);
            }
        }
    }
}

/// What stands between the braces of a segment that is a capture.
pub(super) fn capture_name(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}
