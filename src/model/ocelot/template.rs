//! Path templates: what an upstream template matches, and the path that a downstream template
//! makes, in native words.
//!
//! The rules are those of Ocelot's UpstreamTemplatePatternCreator: `{name}` is one segment while a
//! `/` follows it somewhere, and everything that is left otherwise; a last segment that is a
//! placeholder may be missing; a template that ends in `/` matches without it too. Literal text is
//! taken literally, where Ocelot takes it for a part of a regular expression.

use std::collections::{BTreeMap, BTreeSet};

use super::query::{query_conditions, query_edits};
use crate::model::policy::Edits;
use crate::model::route::{Also, Condition, Route};

/// A piece of a template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Piece {
    Place(String),
    Text(String),
}

/// A template, read.
#[derive(Clone, Debug, Default)]
pub(super) struct Template {
    pub(super) path: Vec<Piece>,
    /// What follows the `?`, if there is one.
    pub(super) query: Option<Vec<Piece>>,
}

/// A way in which a template matches a path.
#[derive(Clone, Debug)]
struct Matcher {
    written: Written,
    /// The placeholder that is empty here.
    empty: Option<String>,
}

#[derive(Clone, Debug)]
enum Written {
    Path(String),
    Regex(String),
    Template(String),
}

impl Matcher {
    /// The same with a slash at the end.
    fn slashed(&self) -> Self {
        let slashed = |text: &String| format!("{text}/");
        Self {
            written: match &self.written {
                Written::Path(text) => Written::Path(slashed(text)),
                Written::Regex(text) => Written::Regex(slashed(text)),
                Written::Template(text) => Written::Template(slashed(text)),
            },
            empty: self.empty.clone(),
        }
    }
}

/// Placeholders that the path and the query do not stand for, each with its native place.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// They go before those of the path.
    pub(super) of_claims: BTreeMap<String, String>,
    /// They come after those.
    pub(super) of_fields: BTreeMap<String, String>,
}

/// What a pair of templates is in native words.
pub(super) struct Translated {
    /// The first is the route's own, the others are its `also`.
    pub(super) paths: Vec<Also>,
    pub(super) query: Vec<Condition>,
    pub(super) edits: Option<Edits>,
    /// Whether what the query gets comes first in it.
    pub(super) edits_first: bool,
    /// What cannot be said.
    pub(super) unsaid: Vec<String>,
}

// === impl Template ===

impl Template {
    pub(super) fn read(template: &str) -> Self {
        let (path, query) = match template.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (template, None),
        };
        Self {
            path: pieces(path),
            query: query.map(pieces),
        }
    }

    /// The names of the placeholders, in their order.
    pub(super) fn names(&self) -> Vec<&str> {
        let all = self.path.iter().chain(self.query.iter().flatten());
        all.filter_map(Piece::name).collect()
    }

    /// Whether it is `/{name}` alone, which comes after all others.
    pub(super) fn is_catch_all(&self) -> bool {
        self.query.is_none()
            && matches!(self.path.as_slice(), [Piece::Text(slash), Piece::Place(_)] if slash == "/")
    }

    /// The placeholders of the path, each with the name of its capture.
    pub(super) fn captures(&self) -> Vec<(&str, String)> {
        let names = self.path.iter().filter_map(Piece::name);
        names
            .enumerate()
            .map(|(index, name)| (name, capture(index)))
            .collect()
    }

    /// The segments of the path, each as its pieces.
    fn segments(&self) -> Vec<Vec<Piece>> {
        let mut segments = vec![Vec::new()];
        for piece in &self.path {
            match piece {
                Piece::Place(_) => push(&mut segments, piece.clone()),
                Piece::Text(text) => {
                    for (index, part) in text.split('/').enumerate() {
                        if index > 0 {
                            segments.push(Vec::new());
                        }
                        if !part.is_empty() {
                            push(&mut segments, Piece::Text(part.to_owned()));
                        }
                    }
                }
            }
        }
        // What stands before the first slash is nothing.
        segments.split_off(1)
    }
}

fn push(segments: &mut [Vec<Piece>], piece: Piece) {
    if let Some(last) = segments.last_mut() {
        last.push(piece);
    }
}

impl Names {
    /// The names of all of them.
    pub(super) fn known(&self) -> impl Iterator<Item = &str> {
        let all = self.of_claims.keys().chain(self.of_fields.keys());
        all.map(String::as_str)
    }
}

impl Piece {
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Place(name) => Some(name),
            Self::Text(_) => None,
        }
    }
}

fn capture(index: usize) -> String {
    format!("p{index}")
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Place(name.to_owned()));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    pieces
}

/// What `upstream` and `downstream` are in native words.
pub(super) fn translate(
    upstream: &Template,
    downstream: &Template,
    is_case_sensitive: bool,
    more: &Names,
) -> Translated {
    let mut unsaid = Vec::new();
    let names = upstream.captures();
    let used: BTreeSet<&str> = downstream
        .query
        .iter()
        .flatten()
        .filter_map(Piece::name)
        .collect();
    let uses_path = names.iter().any(|(name, _)| used.contains(name));
    let keeps = is_case_sensitive
        && more.of_claims.is_empty()
        && same_path(&upstream.path, &downstream.path);
    let paths = all_matchers(upstream, uses_path)
        .into_iter()
        .map(|matcher| {
            let mut path = matcher.written.also(is_case_sensitive);
            if !keeps {
                let template = rewritten(downstream, upstream, &matcher, more, &mut unsaid);
                path.rewrite_template = Some(template);
            }
            path
        })
        .collect();
    let edits = query_edits(upstream, downstream, more, &mut unsaid);
    unsaid.dedup();
    Translated {
        paths,
        query: query_conditions(upstream, is_case_sensitive),
        edits_first: downstream.query.is_some() && edits.is_some(),
        edits,
        unsaid,
    }
}

/// What `upstream` matches in native words, without a change of the path. Every path has a capture
/// for each placeholder.
pub(super) fn matched(upstream: &Template, is_case_sensitive: bool) -> Translated {
    let matchers = all_matchers(upstream, true).into_iter();
    Translated {
        paths: matchers
            .map(|matcher| matcher.written.also(is_case_sensitive))
            .collect(),
        query: query_conditions(upstream, is_case_sensitive),
        edits: None,
        edits_first: false,
        unsaid: Vec::new(),
    }
}

/// All ways in which a template matches a path; with `whole` every one has all captures.
fn all_matchers(upstream: &Template, whole: bool) -> Vec<Matcher> {
    let mut matchers = matchers(upstream, whole);
    let ends_in_text =
        matches!(upstream.path.last(), Some(Piece::Text(text)) if !text.ends_with('/'));
    if upstream.query.is_some() && ends_in_text {
        // `/path?a=…` is `/path/?a=…` too.
        let slashed: Vec<Matcher> = matchers.iter().map(Matcher::slashed).collect();
        matchers.extend(slashed);
    }
    matchers
}

fn same_path(one: &[Piece], other: &[Piece]) -> bool {
    one == other && !matches!(one.last(), Some(Piece::Text(text)) if text.ends_with('/'))
}

/// The same as far as the path itself says.
fn matchers(template: &Template, whole: bool) -> Vec<Matcher> {
    let segments = template.segments();
    let Some((last, before)) = segments.split_last() else {
        return Vec::new();
    };
    let is_plain = segments
        .iter()
        .all(|segment| matches!(segment.as_slice(), [] | [_]));
    let ends_open = matches!(last.as_slice(), [Piece::Place(_)]);
    if !is_plain || (ends_open && !before.is_empty() && whole) {
        return regexes(last, before);
    }
    let base: String = native(before);
    let one = |text: String, empty| Matcher {
        written: if text.contains('{') {
            Written::Template(text)
        } else {
            Written::Path(text)
        },
        empty,
    };
    match last.as_slice() {
        [] if before.is_empty() => vec![one("/".to_owned(), None)],
        [] => vec![one(base.clone(), None), one(format!("{base}/"), None)],
        [Piece::Place(name)] => {
            let rest = capture(places(before));
            let all = one(format!("{base}/{{{rest}*}}"), None);
            if before.is_empty() {
                vec![all]
            } else {
                vec![one(base, Some(name.clone())), all]
            }
        }
        _ => vec![one(native(&segments), None)],
    }
}

fn places(segments: &[Vec<Piece>]) -> usize {
    segments.iter().flatten().filter_map(Piece::name).count()
}

/// Plain segments as a native path or template.
fn native(segments: &[Vec<Piece>]) -> String {
    let mut index = 0;
    let mut text = String::new();
    for segment in segments {
        text.push('/');
        match segment.as_slice() {
            [Piece::Place(_)] => {
                text.push_str(&format!("{{{}}}", capture(index)));
                index += 1;
            }
            [Piece::Text(literal)] => text.push_str(literal),
            _ => {}
        }
    }
    text
}

/// The same as regular expressions.
fn regexes(last: &[Piece], before: &[Vec<Piece>]) -> Vec<Matcher> {
    let mut index = 0;
    let mut text = String::new();
    for segment in before {
        text.push('/');
        segment
            .iter()
            .for_each(|piece| text.push_str(&expression(piece, "[^/]+", &mut index)));
    }
    let one = |text: String| Matcher {
        written: Written::Regex(text),
        empty: None,
    };
    match last {
        [] => vec![one(text.clone()), one(format!("{text}/"))],
        [Piece::Place(_)] => {
            let rest = capture(index);
            vec![one(format!("{text}(?:/(?P<{rest}>.*))?"))]
        }
        pieces => {
            text.push('/');
            for piece in pieces {
                text.push_str(&expression(piece, ".*", &mut index));
            }
            vec![one(text)]
        }
    }
}

fn expression(piece: &Piece, any: &str, index: &mut usize) -> String {
    match piece {
        Piece::Text(text) => regex::escape(text),
        Piece::Place(_) => {
            let name = capture(*index);
            *index += 1;
            format!("(?P<{name}>{any})")
        }
    }
}

impl Written {
    fn also(&self, is_case_sensitive: bool) -> Also {
        let mut also = Also::default();
        match self {
            Self::Path(path) => also.path = Some(path.clone()),
            Self::Template(template) => also.path_template = Some(template.clone()),
            Self::Regex(regex) if is_case_sensitive => also.path_regex = Some(regex.clone()),
            Self::Regex(regex) => also.path_regex = Some(format!("(?i:{regex})")),
        }
        also
    }
}

/// The path that a downstream template makes where `matcher` matched.
fn rewritten(
    downstream: &Template,
    upstream: &Template,
    matcher: &Matcher,
    more: &Names,
    unsaid: &mut Vec<String>,
) -> String {
    let mut text = String::new();
    for piece in &downstream.path {
        match piece {
            Piece::Text(literal) => text.push_str(literal),
            Piece::Place(name)
                if matcher.empty.as_deref() == Some(name) && !more.of_claims.contains_key(name) => {
            }
            Piece::Place(name) => text.push_str(&place(name, upstream, more, unsaid)),
        }
    }
    // An empty placeholder may leave two slashes together, which no path has.
    while text.contains("//") {
        text = text.replace("//", "/");
    }
    if text.starts_with('/') {
        text
    } else {
        format!("/{text}")
    }
}

/// A placeholder as a native place, in the path or a value.
pub(super) fn place(
    name: &str,
    upstream: &Template,
    more: &Names,
    unsaid: &mut Vec<String>,
) -> String {
    if let Some(place) = more.of_claims.get(name) {
        return place.clone();
    }
    let captures = upstream.captures();
    if let Some((_, capture)) = captures.iter().find(|(known, _)| *known == name) {
        return format!("{{{capture}}}");
    }
    if let Some(parameter) = upstream.parameter_of(name) {
        return format!("{{query.{parameter}}}");
    }
    if let Some(place) = more.of_fields.get(name) {
        return place.clone();
    }
    unsaid.push(format!(
        "nothing is known as {{{name}}}; it is sent as it is written"
    ));
    format!("%7B{name}%7D")
}

impl Translated {
    /// Gives a route what it matches and how the path changes.
    pub(super) fn give(self, route: &mut Route) {
        let mut paths = self.paths.into_iter();
        if let Some(first) = paths.next() {
            route.path = first.path;
            route.path_template = first.path_template;
            route.path_regex = first.path_regex;
            route.rewrite_trims_slash = first.rewrite_template.is_some();
            route.rewrite_template = first.rewrite_template;
        }
        route.also = paths
            .map(|mut also| {
                also.host.clone_from(&route.host);
                also
            })
            .collect();
        route.query.extend(self.query);
        route.request_query = self.edits;
        route.request_query_first = self.edits_first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each path, with what it becomes.
    fn said(upstream: &str, downstream: &str) -> Vec<String> {
        let translated = translate(
            &Template::read(upstream),
            &Template::read(downstream),
            true,
            &Names::default(),
        );
        let show = |also: &Also| {
            let path = [&also.path, &also.path_template, &also.path_regex];
            let path = path
                .into_iter()
                .flatten()
                .next()
                .cloned()
                .unwrap_or_default();
            let to = also.rewrite_template.as_deref().unwrap_or("as it is");
            format!("{path} -> {to}")
        };
        translated.paths.iter().map(show).collect()
    }

    #[test]
    fn templates_are_said_in_native_words() {
        for (upstream, downstream, expected) in [
            ("/{all}", "/{all}", vec!["/{p0*} -> as it is"]),
            ("/{all}", "/api/{all}", vec!["/{p0*} -> /api/{p0}"]),
            ("/", "/home/", vec!["/ -> /home/"]),
            ("/a/b", "/c/", vec!["/a/b -> /c/"]),
            ("/a/", "/c/", vec!["/a -> /c/", "/a/ -> /c/"]),
            (
                "/a/{id}",
                "/c/{id}",
                vec!["/a -> /c/", "/a/{p0*} -> /c/{p0}"],
            ),
            (
                "/a/{x}/{y}",
                "/{y}/{x}",
                vec!["/a/{p0} -> /{p0}", "/a/{p0}/{p1*} -> /{p1}/{p0}"],
            ),
            ("/a/{x}/b", "/{x}", vec!["/a/{p0}/b -> /{p0}"]),
            ("/a-{x}/b", "/{x}", vec!["/a\\-(?P<p0>[^/]+)/b -> /{p0}"]),
            ("/a/{x}", "/c?id={x}", vec!["/a(?:/(?P<p0>.*))? -> /c"]),
            (
                "/a?id={x}",
                "/c/{x}",
                vec!["/a -> /c/{query.id}", "/a/ -> /c/{query.id}"],
            ),
            ("/a", "/c?x=1", vec!["/a -> /c"]),
        ] {
            assert_eq!(
                said(upstream, downstream),
                expected,
                "{upstream} {downstream}"
            );
        }
    }

    #[test]
    fn queries_are_asked_for_and_changed() {
        let upstream = Template::read("/a/{x}/?unit={u}&kind=new");
        let downstream = Template::read("/b?x={x}&unit={u}&fixed=1");
        let translated = translate(&upstream, &downstream, true, &Names::default());
        let names: Vec<&str> = translated
            .query
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        assert_eq!(names, ["unit", "kind"]);
        assert_eq!(translated.query[1].value.as_deref(), Some("new"));
        let edits = translated.edits.unwrap();
        let set: Vec<(&str, &str)> = edits
            .set
            .iter()
            .map(|one| (one.name.as_str(), one.value.as_str()))
            .collect();
        assert_eq!(
            set,
            [("x", "{p0}"), ("unit", "{query.unit}"), ("fixed", "1")]
        );
        assert_eq!(edits.remove, ["u"]);
        assert!(translated.unsaid.is_empty());
    }
}
