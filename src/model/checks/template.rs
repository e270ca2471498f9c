//! Templates: paths with captures, and texts with the places where captures go.
//!
//! `path_template` captures whole segments: `/users/{id}/{rest*}`. `rewrite_template` and
//! `redirect.to` use what was captured, anywhere in their text: `/v2/{id}`.

use thiserror::Error;

use super::text::is_token;

/// The most captures of a path template.
pub const CAPTURES_MAX: usize = 16;
/// The most bytes of a capture's name.
const NAME_BYTES_MAX: usize = 64;

/// A segment of a path template.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Segment<'a> {
    /// `{name}`: one segment.
    Capture(&'a str),
    /// This text.
    Literal(&'a str),
    /// `{name*}`: all that is left.
    Rest(&'a str),
}

/// A piece of a text in which captures are put.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Piece<'a> {
    /// `{name}`: the capture of that name.
    Capture(&'a str),
    /// This text.
    Literal(&'a str),
}

/// Why a template is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum TemplateFault {
    /// A `{` without `}`, or the other way round.
    #[error("a brace has no partner; write captures as {{name}}")]
    Brace,
    /// Two captures of one name.
    #[error("the capture {{{0}}} is there twice; give each a name of its own")]
    Duplicate(String),
    /// More than [`CAPTURES_MAX`].
    #[error(
        "there are more than {CAPTURES_MAX} captures; use {{rest*}} for what need not be told apart"
    )]
    Many,
    /// A name that is none.
    #[error(
        "{0:?} is no name for a capture; use letters, digits and '_', a letter in front, 64 at most"
    )]
    Name(String),
    /// A capture that is only a part of its segment.
    #[error(
        "the capture in {0:?} is only a part of its segment; write /{{name}}/, or use path_regex"
    )]
    Part(String),
    /// `{name*}` before the end.
    #[error("{{{0}*}} takes all that is left, so nothing can come after it; move it to the end")]
    RestNotLast(String),
    /// `{name*}` where captures are used.
    #[error("{{{0}*}} is how a capture is made; to use it write {{{0}}}")]
    RestUsed(String),
}

/// The segments of a path template, without its leading `/`.
pub fn segments(template: &str) -> Result<Vec<Segment<'_>>, TemplateFault> {
    let path = template.strip_prefix('/').unwrap_or(template);
    let mut segments = Vec::new();
    let mut names = Vec::new();
    for text in path.split('/') {
        if let Some(Segment::Rest(name)) = segments.last() {
            return Err(TemplateFault::RestNotLast((*name).to_owned()));
        }
        let segment = segment(text)?;
        if let Segment::Capture(name) | Segment::Rest(name) = segment {
            if names.contains(&name) {
                return Err(TemplateFault::Duplicate(name.to_owned()));
            }
            names.push(name);
        }
        segments.push(segment);
    }
    if names.len() > CAPTURES_MAX {
        return Err(TemplateFault::Many);
    }
    Ok(segments)
}

fn segment(text: &str) -> Result<Segment<'_>, TemplateFault> {
    if !text.contains(['{', '}']) {
        return Ok(Segment::Literal(text));
    }
    if text.matches('{').count() != text.matches('}').count() {
        return Err(TemplateFault::Brace);
    }
    let name = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .filter(|name| !name.contains(['{', '}']))
        .ok_or_else(|| TemplateFault::Part(text.to_owned()))?;
    match name.strip_suffix('*') {
        Some(name) => Ok(Segment::Rest(valid_name(name)?)),
        None => Ok(Segment::Capture(valid_name(name)?)),
    }
}

/// The pieces of a text in which captures are put.
pub fn pieces(text: &str) -> Result<Vec<Piece<'_>>, TemplateFault> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or(TemplateFault::Brace)?;
        push_literal(&mut pieces, literal)?;
        if let Some(name) = name.strip_suffix('*') {
            return Err(TemplateFault::RestUsed(valid_name(name)?.to_owned()));
        }
        // A claim may have any name that a token gives it.
        if !is_claim(name) && parameter(name).is_none() && field(name).is_none() {
            valid_name(name)?;
        }
        pieces.push(Piece::Capture(name));
        rest = after;
    }
    push_literal(&mut pieces, rest)?;
    Ok(pieces)
}

fn push_literal<'a>(pieces: &mut Vec<Piece<'a>>, text: &'a str) -> Result<(), TemplateFault> {
    if text.contains('}') {
        return Err(TemplateFault::Brace);
    }
    if !text.is_empty() {
        pieces.push(Piece::Literal(text));
    }
    Ok(())
}

/// The name of the query parameter that a place stands for: `{query.name}`.
pub fn parameter(name: &str) -> Option<&str> {
    let name = name.strip_prefix("query.")?;
    let is_good = |byte: u8| byte.is_ascii_graphic() && !b"&=#{}".contains(&byte);
    (!name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_good)).then_some(name)
}

/// Whether a place stands for a claim: `{claim.name}`.
pub(super) fn is_claim(name: &str) -> bool {
    name.strip_prefix("claim.")
        .is_some_and(|claim| !claim.is_empty())
}

/// The name of the field that a place stands for: `{header.name}`.
pub(super) fn field(name: &str) -> Option<&str> {
    let name = name.strip_prefix("header.")?;
    (name.len() <= NAME_BYTES_MAX && is_token(name)).then_some(name)
}

fn valid_name(name: &str) -> Result<&str, TemplateFault> {
    let word = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let first = name.bytes().next();
    let begins = first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if word && begins && name.len() <= NAME_BYTES_MAX {
        return Ok(name);
    }
    Err(TemplateFault::Name(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_template_is_split_into_segments() {
        use Segment::{Capture, Literal, Rest};
        for (template, expected) in [
            ("/", vec![Literal("")]),
            ("/users/{id}", vec![Literal("users"), Capture("id")]),
            ("/{a}/x/{b*}", vec![Capture("a"), Literal("x"), Rest("b")]),
            ("/{a}/", vec![Capture("a"), Literal("")]),
        ] {
            assert_eq!(segments(template).unwrap(), expected, "{template}");
        }
    }

    #[test]
    fn malformed_path_templates_are_refused() {
        for (template, fault) in [
            ("/{id", TemplateFault::Brace),
            ("/id}", TemplateFault::Brace),
            ("/{}", TemplateFault::Name(String::new())),
            ("/{1a}", TemplateFault::Name("1a".into())),
            ("/{a-b}", TemplateFault::Name("a-b".into())),
            ("/x{id}", TemplateFault::Part("x{id}".into())),
            ("/{a}{b}", TemplateFault::Part("{a}{b}".into())),
            ("/{a*}/b", TemplateFault::RestNotLast("a".into())),
            ("/{a*}/", TemplateFault::RestNotLast("a".into())),
            ("/{a}/{a}", TemplateFault::Duplicate("a".into())),
            ("/{a}/{a*}", TemplateFault::Duplicate("a".into())),
        ] {
            assert_eq!(segments(template), Err(fault), "{template}");
        }
    }

    #[test]
    fn captures_are_bounded() {
        let template = |count: usize| (0..count).map(|n| format!("/{{c{n}}}")).collect::<String>();
        assert!(segments(&template(CAPTURES_MAX)).is_ok());
        assert_eq!(
            segments(&template(CAPTURES_MAX + 1)),
            Err(TemplateFault::Many)
        );
    }

    #[test]
    fn a_text_is_split_into_pieces() {
        use Piece::{Capture, Literal};
        for (text, expected) in [
            ("", vec![]),
            ("/x", vec![Literal("/x")]),
            (
                "/v2/{id}-{n}",
                vec![Literal("/v2/"), Capture("id"), Literal("-"), Capture("n")],
            ),
        ] {
            assert_eq!(pieces(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn malformed_texts_are_refused() {
        for (text, fault) in [
            ("/{id", TemplateFault::Brace),
            ("/id}", TemplateFault::Brace),
            ("/{id}}", TemplateFault::Brace),
            ("/{{id}}", TemplateFault::Name("{id".into())),
            ("/{rest*}", TemplateFault::RestUsed("rest".into())),
        ] {
            assert_eq!(pieces(text), Err(fault), "{text}");
        }
    }
}
