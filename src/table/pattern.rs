//! What a route says about host and path, and what a path template captures.
//!
//! A path is a list of segments: what stands between its slashes, an empty one after a last slash.
//! The tree walks them one by one; the plain checks here (`matches`) say the same without a tree
//! and serve `explain`.

use std::borrow::Cow;

use regex::bytes::Regex;

use super::captures::{CAPTURES_MAX, Captures, capture_name};
use super::error::{CompileError, PatternFault};
use super::order::{Criteria, PATH_BYTES_MAX, SEGMENTS_MAX};
use crate::model;

/// The most bytes that one compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Which hosts a route is for; names are in lower case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostPattern<'r> {
    /// Every host.
    Any,
    /// Every name below this one, however deep; not this one itself.
    Below(&'r str),
    /// This host.
    Exact(&'r str),
}

/// How the path of a route is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PathKind {
    /// One literal path.
    Exact,
    /// A start of paths.
    Prefix,
    /// A regular expression for the whole path.
    Regex,
    /// Literal segments and captures.
    Template,
}

/// Which paths a route is for.
#[derive(Clone, Copy, Debug)]
pub struct PathPattern<'r> {
    /// What is written, in normal form.
    pub text: &'r str,
    pub(super) shape: Shape,
    pub(super) regex: Option<&'r Regex>,
}

/// How the text of a path is to be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shape {
    /// How it is written.
    pub(super) kind: PathKind,
    /// Whether letters match in either case; its literal text is in lower case then.
    pub(super) ignores_case: bool,
    /// What may follow its last segment.
    pub(super) end: End,
}

/// The path of a declared route, read.
pub(super) struct ReadPath<'m> {
    pub(super) text: Cow<'m, str>,
    pub(super) shape: Shape,
    pub(super) regex: Option<Regex>,
}

/// What may follow the last segment of a pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// Nothing.
    Nothing,
    /// A slash, and then anything.
    Slash,
    /// Nothing, or a slash and then anything.
    Whole,
}

/// One step down the tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Edge<'p> {
    /// This segment.
    Literal(&'p str),
    /// Any segment that is not empty.
    Capture,
}

// === impl HostPattern ===

impl<'r> HostPattern<'r> {
    /// Reads the `host` of a route, which is in lower case.
    pub(super) fn parse(host: Option<&'r str>) -> Option<Self> {
        let Some(host) = host else {
            return Some(Self::Any);
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let name = host.strip_prefix("*.").unwrap_or(host);
        let bad = |byte: u8| !byte.is_ascii_graphic() || b"*/\\@?#,%".contains(&byte);
        let dots = name.starts_with('.') || name.contains("..");
        if name.is_empty() || name.len() > 253 || dots || name.bytes().any(bad) {
            return None;
        }
        let wildcard = name.len() != host.len();
        Some(if wildcard {
            Self::Below(name)
        } else {
            Self::Exact(name)
        })
    }

    /// The name; none for every host.
    pub(super) fn name(self) -> &'r str {
        match self {
            Self::Any => "",
            Self::Below(name) | Self::Exact(name) => name,
        }
    }

    /// Whether `host` (lower case, no port, no last dot) is one of them.
    pub fn matches(self, host: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Below(name) => host
                .strip_suffix(name.as_bytes())
                .is_some_and(|below| below.ends_with(b".")),
            Self::Exact(name) => host == name.as_bytes(),
        }
    }

    /// How specific it is, as [`Criteria::host`] has it.
    pub(super) fn weight(self) -> u8 {
        match self {
            Self::Any => 0,
            Self::Below(name) => name.len().min(254) as u8,
            Self::Exact(_) => 255,
        }
    }
}

// === impl PathPattern ===

impl<'r> PathPattern<'r> {
    /// How it is written.
    #[must_use]
    pub fn kind(self) -> PathKind {
        self.shape.kind
    }

    /// Whether letters match in either case; its literal text is in lower case then.
    #[must_use]
    pub fn ignores_case(self) -> bool {
        self.shape.ignores_case
    }

    /// Whether `path` (normal form) is one of them.
    pub fn matches(self, path: &[u8]) -> bool {
        if let Some(regex) = self.regex {
            return path.first() == Some(&b'/') && regex.is_match(path);
        }
        let rest = path.strip_prefix(b"/");
        rest.is_some() && self.fits(0, rest)
    }

    /// Whether `rest`, what follows the slash after a segment of a path, is what may follow the
    /// first `from` bytes, which end with that segment. None is the end of the path.
    #[inline]
    pub(super) fn fits(self, from: usize, rest: Option<&[u8]>) -> bool {
        let Shape {
            kind, ignores_case, ..
        } = self.shape;
        if matches!(kind, PathKind::Exact | PathKind::Prefix) && !ignores_case {
            self.literal_fits(from, rest)
        } else {
            self.segments_fit(from, rest)
        }
    }

    /// The same for literal text: all its segments at once.
    #[inline]
    fn literal_fits(self, from: usize, rest: Option<&[u8]>) -> bool {
        let text = self.text.as_bytes().get(from..).unwrap_or_default();
        let end = self.shape.end;
        let Some((_, text)) = text.split_first() else {
            return end.fits(rest);
        };
        let after = rest.and_then(|rest| rest.strip_prefix(text));
        after.is_some_and(|after| match end {
            End::Nothing => after.is_empty(),
            End::Slash => true,
            End::Whole => after.first().is_none_or(|byte| *byte == b'/'),
        })
    }

    /// The same segment by segment.
    fn segments_fit(self, mut from: usize, mut rest: Option<&[u8]>) -> bool {
        while let Some((edge, after)) = self.step(from) {
            let Some(left) = rest else { return false };
            let (segment, left) = split_segment(left);
            let fits = match edge {
                Edge::Capture => !segment.is_empty(),
                Edge::Literal(literal) if self.shape.ignores_case => {
                    segment.eq_ignore_ascii_case(literal.as_bytes())
                }
                Edge::Literal(literal) => segment == literal.as_bytes(),
            };
            if !fits {
                return false;
            }
            (from, rest) = (after, left);
        }
        self.shape.end.fits(rest)
    }

    /// Whether every path that matches surely starts with `start`, letter by letter.
    pub(super) fn has_start(self, start: &str) -> bool {
        let is_literal = matches!(self.shape.kind, PathKind::Exact | PathKind::Prefix);
        is_literal && !self.shape.ignores_case && self.text.starts_with(start)
    }

    /// The names that rewrites may use, in the order of [`Captures`].
    pub(super) fn capture_names(self) -> Vec<&'r str> {
        if let Some(regex) = self.regex {
            return regex.capture_names().flatten().collect();
        }
        if self.shape.kind != PathKind::Template {
            return Vec::new();
        }
        let names = self.text.split('/').filter_map(capture_name);
        names.map(|name| name.trim_end_matches('*')).collect()
    }

    /// Where the captures lie in `path`, which matches.
    pub(super) fn captures(self, path: &[u8]) -> Captures {
        let mut captures = Captures::default();
        match (self.regex, self.shape.kind) {
            (Some(regex), _) => captures.fill_from_regex(regex, path),
            (None, PathKind::Template) => captures.fill_from_template(self.text, path),
            _ => {}
        }
        captures
    }

    pub(super) fn regex_matches(self, path: &[u8]) -> bool {
        self.regex.is_some_and(|regex| regex.is_match(path))
    }

    /// The step down the tree after the first `from` bytes, which end with a segment, and the
    /// bytes up to its end; none where the pattern ends. A regular expression has no steps.
    #[inline]
    pub(super) fn step(self, from: usize) -> Option<(Edge<'r>, usize)> {
        if self.shape.kind == PathKind::Regex {
            return None;
        }
        let rest = self.text.get(from..)?.strip_prefix('/')?;
        let segment = match slash(rest.as_bytes()) {
            Some(slash) => rest.get(..slash)?,
            // What may follow the slash at the end is no step.
            None if self.shape.end == End::Slash => return None,
            None => rest,
        };
        let is_capture = self.shape.kind == PathKind::Template && capture_name(segment).is_some();
        let edge = if is_capture {
            Edge::Capture
        } else {
            Edge::Literal(segment)
        };
        Some((edge, from + 1 + segment.len()))
    }

    /// The segment that ends after so many bytes.
    pub(super) fn segment_before(self, end: usize) -> &'r [u8] {
        let before = self.text.as_bytes().get(..end).unwrap_or_default();
        before
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or_default()
    }

    /// Sets what the order takes from the path.
    pub(super) fn weigh(self, criteria: &mut Criteria) {
        let Shape { kind, end, .. } = self.shape;
        criteria.exact = kind == PathKind::Exact;
        criteria.kind = match (kind, end) {
            (PathKind::Template, End::Slash) => 2,
            (PathKind::Exact | PathKind::Template, _) => 3,
            (PathKind::Prefix, _) => 1,
            (PathKind::Regex, _) => 0,
        };
        if kind == PathKind::Regex {
            return;
        }
        criteria.text = self.text.bytes().filter(|byte| *byte == b'/').count();
        let template = kind == PathKind::Template;
        for segment in self.text.split('/').filter(|segment| !segment.is_empty()) {
            if !(template && capture_name(segment).is_some()) {
                criteria.segments += 1;
                criteria.text += segment.len();
            }
        }
    }
}

// === impl ReadPath ===

impl<'m> ReadPath<'m> {
    /// Reads the path of `route`, which has the id `id`.
    pub(super) fn of(id: &str, route: &'m model::Route) -> Result<Self, CompileError> {
        let path = |path: &str, fault| CompileError::Path {
            route: id.into(),
            path: path.into(),
            fault,
        };
        let written = (
            &route.path_prefix,
            &route.path,
            &route.path_template,
            &route.path_regex,
        );
        let pattern = match written {
            (Some(text), None, None, None) => Self::prefix(text).map_err(|fault| path(text, fault)),
            (None, Some(text), None, None) => Self::exact(text).map_err(|fault| path(text, fault)),
            (None, None, Some(text), None) => {
                Self::template(text).map_err(|fault| path(text, fault))
            }
            (None, None, None, Some(text)) => {
                let regex = whole_regex(text);
                let regex = regex.map_err(|source| CompileError::Regex {
                    route: id.into(),
                    source: Box::new(source),
                })?;
                if text.len() > PATH_BYTES_MAX {
                    return Err(path(text, PatternFault::TooLong));
                }
                if regex.capture_names().flatten().count() > CAPTURES_MAX {
                    return Err(path(text, PatternFault::TooManyCaptures));
                }
                let mut read = Self::literal(text, PathKind::Regex, End::Nothing);
                read.regex = Some(regex);
                Ok(read)
            }
            _ => Err(CompileError::Paths { route: id.into() }),
        };
        pattern.map(|pattern| {
            if route.ignore_case {
                pattern.folded()
            } else {
                pattern
            }
        })
    }

    pub(super) fn pattern(&self) -> PathPattern<'_> {
        PathPattern {
            text: &self.text,
            shape: self.shape,
            regex: self.regex.as_ref(),
        }
    }

    /// The same for letters in either case.
    fn folded(mut self) -> Self {
        if self.regex.is_some() {
            return self;
        }
        let template = self.shape.kind == PathKind::Template;
        let segments = self.text.split('/').map(|segment| {
            if template && capture_name(segment).is_some() {
                segment.to_owned()
            } else {
                segment.to_ascii_lowercase()
            }
        });
        self.text = segments.collect::<Vec<_>>().join("/").into();
        self.shape.ignores_case = true;
        self
    }

    fn exact(path: &'m str) -> Result<Self, PatternFault> {
        check(path)?;
        Ok(Self::literal(path, PathKind::Exact, End::Nothing))
    }

    fn prefix(path: &'m str) -> Result<Self, PatternFault> {
        check(path)?;
        let end = if path.ends_with('/') {
            End::Slash
        } else {
            End::Whole
        };
        Ok(Self::literal(path, PathKind::Prefix, end))
    }

    fn literal(path: &'m str, kind: PathKind, end: End) -> Self {
        Self {
            text: path.into(),
            shape: Shape {
                kind,
                ignores_case: false,
                end,
            },
            regex: None,
        }
    }

    fn template(path: &'m str) -> Result<Self, PatternFault> {
        check(path)?;
        let mut names = Vec::new();
        let mut end = End::Nothing;
        for segment in path.split('/') {
            if end == End::Slash {
                return Err(PatternFault::RestNotLast);
            }
            let Some(name) = capture_name(segment) else {
                if segment.contains(['{', '}']) {
                    return Err(PatternFault::Brace);
                }
                continue;
            };
            let plain = name.strip_suffix('*').unwrap_or(name);
            if plain.len() != name.len() {
                end = End::Slash;
            }
            if plain.is_empty() || !plain.bytes().all(is_name_byte) {
                return Err(PatternFault::Brace);
            }
            if names.contains(&plain) {
                return Err(PatternFault::DuplicateCapture);
            }
            names.push(plain);
        }
        if names.len() > CAPTURES_MAX {
            return Err(PatternFault::TooManyCaptures);
        }
        Ok(Self::literal(path, PathKind::Template, end))
    }
}

// === impl End ===

impl End {
    /// Whether `rest`, what follows the slash after the last segment, may follow.
    pub(super) fn fits(self, rest: Option<&[u8]>) -> bool {
        match self {
            Self::Nothing => rest.is_none(),
            Self::Slash => rest.is_some(),
            Self::Whole => true,
        }
    }
}

/// Compiles `text` so that it must match the whole of what it is tried on.
pub(super) fn whole_regex(text: &str) -> Result<Regex, regex::Error> {
    // On its own first: what is not a regex by itself must not become one inside the group.
    let compile = |text: &str| {
        regex::bytes::RegexBuilder::new(text)
            .size_limit(REGEX_BYTES_MAX)
            .build()
    };
    compile(text)?;
    compile(&format!(r"\A(?:{text})\z"))
}

/// Splits what follows a slash into the next segment and what follows the slash after it.
#[inline]
pub(super) fn split_segment(rest: &[u8]) -> (&[u8], Option<&[u8]>) {
    match slash(rest) {
        Some(slash) => {
            let (segment, after) = rest.split_at(slash);
            (segment, after.get(1..))
        }
        None => (rest, None),
    }
}

/// Where the first slash is; eight bytes at a time, as one number.
#[inline]
fn slash(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHS: u64 = ONES << 7;
    const SLASHES: u64 = ONES * b'/' as u64;
    let mut rest = text;
    while let Some((bytes, after)) = rest.split_first_chunk::<8>() {
        // A byte is zero where the slash is; the lowest high bit that is set is its own.
        let bytes = u64::from_le_bytes(*bytes) ^ SLASHES;
        let zeros = bytes.wrapping_sub(ONES) & !bytes & HIGHS;
        if zeros != 0 {
            return Some(text.len() - rest.len() + zeros.trailing_zeros() as usize / 8);
        }
        rest = after;
    }
    let index = rest.iter().position(|byte| *byte == b'/')?;
    Some(text.len() - rest.len() + index)
}

/// Whether the tree can hold `path`. That it is in normal form, the model has seen to.
fn check(path: &str) -> Result<(), PatternFault> {
    if path.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(PatternFault::Control);
    }
    if !path.starts_with('/') {
        return Err(PatternFault::NoSlash);
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(PatternFault::TooLong);
    }
    if path.split('/').skip(1).count() > SEGMENTS_MAX {
        return Err(PatternFault::TooManySegments);
    }
    Ok(())
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_slash_is_found(text in "[/.0a\u{e9}\u{0}]{0,40}") {
            let text = text.as_bytes();
            prop_assert_eq!(slash(text), text.iter().position(|byte| *byte == b'/'));
        }

        #[test]
        fn literal_text_fits_at_once_where_its_segments_fit(
            text in "(/[ab]{0,2}){1,4}",
            path in "(/[ab]{0,2}){1,5}",
            is_prefix in any::<bool>(),
        ) {
            let read = if is_prefix { ReadPath::prefix(&text) } else { ReadPath::exact(&text) };
            let read = read.expect("a valid path");
            let pattern = read.pattern();
            let mut end = Some(0);
            while let Some(from) = end {
                let rest = path.as_bytes().get(from + 1..);
                prop_assert_eq!(pattern.literal_fits(from, rest), pattern.segments_fit(from, rest));
                prop_assert_eq!(pattern.literal_fits(from, None), pattern.segments_fit(from, None));
                end = pattern.step(from).map(|(_, end)| end);
            }
        }
    }
}
