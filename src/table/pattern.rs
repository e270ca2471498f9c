//! What a route says about host and path, and what a path template captures.
//!
//! A path is a list of segments: what stands between its slashes, an empty one after a last slash.
//! The tree walks them one by one; the plain checks here (`matches`) say the same without a tree
//! and serve `explain`.

use regex::bytes::Regex;

use super::captures::{CAPTURES_MAX, Captures, capture_name};
use super::error::{CompileError, PatternFault};
use super::order::{Criteria, PATH_BYTES_MAX, SEGMENTS_MAX};
use crate::model;

/// The most bytes that one compiled regular expression may take.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// Which hosts a route is for; names are in lower case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HostPattern {
    /// Every host.
    Any,
    /// Every name below this one, however deep; not this one itself.
    Below(Box<str>),
    /// This host.
    Exact(Box<str>),
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
#[derive(Clone, Debug)]
pub struct PathPattern {
    /// How it is written.
    pub kind: PathKind,
    /// What is written, in normal form.
    pub text: Box<str>,
    /// Whether letters match in either case; its literal text is in lower case then.
    pub ignores_case: bool,
    end: End,
    regex: Option<Box<Regex>>,
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
    Capture(&'p str),
}

// === impl HostPattern ===

impl HostPattern {
    /// Reads the `host` of a route.
    pub(super) fn parse(host: Option<&str>) -> Option<Self> {
        let Some(host) = host else {
            return Some(Self::Any);
        };
        let host = host.to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let name = host.strip_prefix("*.").unwrap_or(host);
        let bad = |byte: u8| !byte.is_ascii_graphic() || b"*/\\@?#,%".contains(&byte);
        let dots = name.starts_with('.') || name.contains("..");
        if name.is_empty() || name.len() > 253 || dots || name.bytes().any(bad) {
            return None;
        }
        let wildcard = name.len() != host.len();
        Some(if wildcard {
            Self::Below(name.into())
        } else {
            Self::Exact(name.into())
        })
    }

    /// Whether `host` (lower case, no port, no last dot) is one of them.
    pub fn matches(&self, host: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Below(name) => host
                .strip_suffix(name.as_bytes())
                .is_some_and(|below| below.ends_with(b".")),
            Self::Exact(name) => host == name.as_bytes(),
        }
    }

    /// How specific it is, as [`Criteria::host`] has it.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Self::Any => 0,
            Self::Below(name) => name.len().min(254) as u8,
            Self::Exact(_) => 255,
        }
    }
}

// === impl PathPattern ===

impl PathPattern {
    /// Reads the path of `route`, which has the id `id`.
    pub(super) fn compile(id: &str, route: &model::Route) -> Result<Self, CompileError> {
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
                Ok(Self {
                    kind: PathKind::Regex,
                    text: text.as_str().into(),
                    ignores_case: false,
                    end: End::Nothing,
                    regex: Some(Box::new(regex)),
                })
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

    /// The same for letters in either case.
    fn folded(mut self) -> Self {
        if self.regex.is_some() {
            return self;
        }
        let template = self.kind == PathKind::Template;
        let segments = self.text.split('/').map(|segment| {
            if template && capture_name(segment).is_some() {
                segment.to_owned()
            } else {
                segment.to_ascii_lowercase()
            }
        });
        self.text = segments.collect::<Vec<_>>().join("/").into();
        self.ignores_case = true;
        self
    }

    /// Whether `path` (normal form) is one of them.
    pub fn matches(&self, path: &[u8]) -> bool {
        if let Some(regex) = &self.regex {
            return path.first() == Some(&b'/') && regex.is_match(path);
        }
        let Some(path) = path.strip_prefix(b"/") else {
            return false;
        };
        let mut rest = Some(path);
        for edge in self.edges() {
            let Some(left) = rest else { return false };
            let (segment, after) = split_segment(left);
            let fits = match edge {
                Edge::Capture(_) => !segment.is_empty(),
                Edge::Literal(literal) if self.ignores_case => {
                    segment.eq_ignore_ascii_case(literal.as_bytes())
                }
                Edge::Literal(literal) => segment == literal.as_bytes(),
            };
            if !fits {
                return false;
            }
            rest = after;
        }
        self.end.fits(rest)
    }

    /// The names that rewrites may use, in the order of [`Captures`].
    pub(super) fn capture_names(&self) -> Vec<&str> {
        if let Some(regex) = &self.regex {
            return regex.capture_names().flatten().collect();
        }
        if self.kind != PathKind::Template {
            return Vec::new();
        }
        let names = self.text.split('/').filter_map(capture_name);
        names.map(|name| name.trim_end_matches('*')).collect()
    }

    /// Where the captures lie in `path`, which matches.
    pub(super) fn captures(&self, path: &[u8]) -> Captures {
        let mut captures = Captures::default();
        match (&self.regex, self.kind) {
            (Some(regex), _) => captures.fill_from_regex(regex, path),
            (None, PathKind::Template) => captures.fill_from_template(&self.text, path),
            _ => {}
        }
        captures
    }

    pub(super) fn regex_matches(&self, path: &[u8]) -> bool {
        self.regex
            .as_ref()
            .is_some_and(|regex| regex.is_match(path))
    }

    pub(super) fn end(&self) -> End {
        self.end
    }

    /// The steps down the tree to where the pattern ends; none for a regular expression.
    pub(super) fn edges(&self) -> impl Iterator<Item = Edge<'_>> + use<'_> {
        let template = self.kind == PathKind::Template;
        let body = self.text.strip_prefix('/').filter(|_| self.regex.is_none());
        let body = match self.end {
            End::Nothing | End::Whole => body,
            End::Slash => body
                .and_then(|body| body.rsplit_once('/'))
                .map(|(before, _)| before),
        };
        let segments = body.into_iter().flat_map(|body| body.split('/'));
        segments.map(
            move |segment| match capture_name(segment).filter(|_| template) {
                Some(name) => Edge::Capture(name),
                None => Edge::Literal(segment),
            },
        )
    }

    /// Sets what the order takes from the path.
    pub(super) fn weigh(&self, criteria: &mut Criteria) {
        criteria.exact = self.kind == PathKind::Exact;
        criteria.kind = match (self.kind, self.end) {
            (PathKind::Template, End::Slash) => 2,
            (PathKind::Exact | PathKind::Template, _) => 3,
            (PathKind::Prefix, _) => 1,
            (PathKind::Regex, _) => 0,
        };
        if self.kind == PathKind::Regex {
            return;
        }
        criteria.text = self.text.matches('/').count();
        let template = self.kind == PathKind::Template;
        for segment in self.text.split('/').filter(|segment| !segment.is_empty()) {
            if !(template && capture_name(segment).is_some()) {
                criteria.segments += 1;
                criteria.text += segment.len();
            }
        }
    }

    fn exact(path: &str) -> Result<Self, PatternFault> {
        Self::literal(path, PathKind::Exact, End::Nothing)
    }

    fn prefix(path: &str) -> Result<Self, PatternFault> {
        let end = if path.ends_with('/') {
            End::Slash
        } else {
            End::Whole
        };
        Self::literal(path, PathKind::Prefix, end)
    }

    fn literal(path: &str, kind: PathKind, end: End) -> Result<Self, PatternFault> {
        check(path)?;
        let text = path.into();
        Ok(Self {
            kind,
            text,
            ignores_case: false,
            end,
            regex: None,
        })
    }

    fn template(path: &str) -> Result<Self, PatternFault> {
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
        Ok(Self {
            kind: PathKind::Template,
            text: path.into(),
            ignores_case: false,
            end,
            regex: None,
        })
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
    match rest.iter().position(|byte| *byte == b'/') {
        Some(slash) => {
            let (segment, after) = rest.split_at(slash);
            (segment, after.get(1..))
        }
        None => (rest, None),
    }
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
