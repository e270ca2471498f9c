//! JSON (RFC 8259) looked at where it stands: whether a text is one value, and what a path finds in
//! it. No tree is made of it, and what is nested too deeply is refused.

/// The most levels of lists and objects.
pub const DEPTH_MAX: usize = 64;
/// The most steps of a path.
pub const STEPS_MAX: usize = 16;

/// A path to values in a JSON text, in the form of JSONPath: `$.a`, `$['a']`, `$[0]`, `$[*]` and
/// once `$..a`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Path(Box<[Step]>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Step {
    /// Every element, or the value of every member.
    Each,
    /// The element at this place.
    Element(usize),
    /// The value of this member.
    Member(Box<str>),
    /// The value itself, and all that is in it.
    Within,
}

/// Whether `text` is one value of JSON, with nothing around it but white space.
#[must_use]
pub fn is_value(text: &[u8]) -> bool {
    if std::str::from_utf8(text).is_err() {
        return false;
    }
    let end = value(text, blank(text, 0), 0);
    end.is_some_and(|end| blank(text, end) == text.len())
}

/// Appends the text that a scalar value stands for: a string without its quotes and escapes, a
/// number, `true` or `false` as it stands. `false` for anything else.
pub fn put_scalar(value: &[u8], out: &mut Vec<u8>) -> bool {
    match value.first() {
        Some(b'"') => {
            let inner = value.get(1..value.len().saturating_sub(1));
            put_string(inner.unwrap_or_default(), out);
            true
        }
        Some(b'-' | b'0'..=b'9' | b't' | b'f') => {
            out.extend_from_slice(value);
            true
        }
        _ => false,
    }
}

/// Appends `text` as a string of JSON.
pub fn put_quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            ..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

// === impl Path ===

impl Path {
    /// Reads a path; none if it is none, or has what is not known here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut steps = Vec::new();
        match rest.strip_prefix('$') {
            Some(after) => rest = after,
            // A name alone is a member of the whole.
            None if !rest.starts_with(['.', '[']) => rest = member(rest, &mut steps)?,
            None => {}
        }
        while !rest.is_empty() {
            rest = if let Some(after) = rest.strip_prefix("..") {
                steps.push(Step::Within);
                match after.starts_with('[') {
                    true => after,
                    false => member(after, &mut steps)?,
                }
            } else if let Some(after) = rest.strip_prefix('.') {
                member(after, &mut steps)?
            } else {
                let (inner, after) = bracketed(rest.strip_prefix('[')?)?;
                steps.push(inner);
                after
            };
        }
        let within = steps.iter().filter(|step| **step == Step::Within).count();
        (within <= 1 && steps.len() <= STEPS_MAX).then(|| Self(steps.into()))
    }

    /// Calls `take` with each value that is found in `text`, which is a value, in its order.
    pub fn find<'t>(&self, text: &'t [u8], take: &mut dyn FnMut(&'t [u8])) {
        walk(text, blank(text, 0), &self.0, 0, take);
    }
}

fn member<'p>(rest: &'p str, steps: &mut Vec<Step>) -> Option<&'p str> {
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    if name.is_empty() || name.contains([' ', ']', '?', '(', '@', '\'', '"']) {
        return None;
    }
    steps.push(match name {
        "*" => Step::Each,
        name => Step::Member(name.into()),
    });
    Some(rest)
}

/// What stands in brackets, and what follows them.
fn bracketed(rest: &str) -> Option<(Step, &str)> {
    let quote = rest
        .chars()
        .next()
        .filter(|first| matches!(first, '\'' | '"'));
    if let Some(quote) = quote {
        let (name, rest) = rest.get(1..)?.split_once(quote)?;
        return Some((Step::Member(name.into()), rest.strip_prefix(']')?));
    }
    let (inner, rest) = rest.split_once(']')?;
    let step = match inner.trim() {
        "*" => Step::Each,
        number => Step::Element(number.parse().ok()?),
    };
    Some((step, rest))
}

/// Takes the values that `steps` find from the value that begins at `at`; gives its end.
fn walk<'t>(
    text: &'t [u8],
    at: usize,
    steps: &[Step],
    depth: usize,
    take: &mut dyn FnMut(&'t [u8]),
) -> Option<usize> {
    let end = value(text, at, depth)?;
    let Some((step, rest)) = steps.split_first() else {
        take(text.get(at..end)?);
        return Some(end);
    };
    if *step == Step::Within {
        walk(text, at, rest, depth, take)?;
    }
    let is_object = text.get(at) == Some(&b'{');
    let mut index = 0;
    children(text, at, depth, &mut |name, child| {
        let goes = match step {
            Step::Each => true,
            Step::Element(wanted) => !is_object && *wanted == index,
            Step::Member(wanted) => name.is_some_and(|name| is_name(name, wanted)),
            Step::Within => {
                walk(text, child, steps, depth + 1, take)?;
                false
            }
        };
        index += 1;
        match goes {
            true => walk(text, child, rest, depth + 1, take),
            false => value(text, child, depth + 1),
        }
    })?;
    Some(end)
}

/// Whether a name as it stands between its quotes is `wanted`.
fn is_name(name: &[u8], wanted: &str) -> bool {
    if !name.contains(&b'\\') {
        return name == wanted.as_bytes();
    }
    let mut plain = Vec::with_capacity(name.len());
    put_string(name, &mut plain);
    plain == wanted.as_bytes()
}

/// Where white space ends.
fn blank(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// Where the value that begins at `at` ends; none if there is no whole one.
fn value(text: &[u8], at: usize, depth: usize) -> Option<usize> {
    match text.get(at)? {
        b'{' | b'[' => children(text, at, depth, &mut |_, child| {
            value(text, child, depth + 1)
        }),
        b'"' => string(text, at),
        b't' => word(text, at, b"true"),
        b'f' => word(text, at, b"false"),
        b'n' => word(text, at, b"null"),
        _ => number(text, at),
    }
}

/// Goes through the list or object that begins at `at`: `each` gets the name, if there is one, and
/// the start of each value, and gives its end. Gives the end of the whole.
fn children<'t>(
    text: &'t [u8],
    at: usize,
    depth: usize,
    each: &mut dyn FnMut(Option<&'t [u8]>, usize) -> Option<usize>,
) -> Option<usize> {
    let (is_object, close) = match text.get(at)? {
        b'{' => (true, b'}'),
        b'[' => (false, b']'),
        _ => return Some(at),
    };
    if depth >= DEPTH_MAX {
        return None;
    }
    let mut at = blank(text, at + 1);
    if text.get(at) == Some(&close) {
        return Some(at + 1);
    }
    loop {
        let mut name = None;
        if is_object {
            let end = string(text, at)?;
            name = text.get(at + 1..end - 1);
            at = blank(text, end);
            if text.get(at) != Some(&b':') {
                return None;
            }
            at = blank(text, at + 1);
        }
        at = blank(text, each(name, at)?);
        match text.get(at)? {
            b',' => at = blank(text, at + 1),
            byte if *byte == close => return Some(at + 1),
            _ => return None,
        }
    }
}

fn word(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text.get(at..)?.starts_with(word).then(|| at + word.len())
}

fn string(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => {
                at += match text.get(at + 1)? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                    b'u' => {
                        unit(text, at + 2)?;
                        6
                    }
                    _ => return None,
                };
            }
            ..0x20 => return None,
            _ => at += 1,
        }
    }
}

/// The four hexadecimal digits at `at`.
fn unit(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    digits.iter().try_fold(0, |sum, digit| {
        Some(sum * 16 + char::from(*digit).to_digit(16)?)
    })
}

fn number(text: &[u8], at: usize) -> Option<usize> {
    let digits = |mut at: usize| {
        let start = at;
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        (at > start).then_some(at)
    };
    let start = at + usize::from(text.get(at) == Some(&b'-'));
    let mut end = digits(start)?;
    if text.get(start) == Some(&b'0') && end > start + 1 {
        return None;
    }
    if text.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Some(end)
}

/// Appends what stands between the quotes of a string, without its escapes.
fn put_string(inner: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(byte) = inner.get(at) {
        if *byte != b'\\' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let escaped = inner.get(at + 1).copied().unwrap_or_default();
        at += 2;
        let letter = match escaped {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = unit(inner, at).unwrap_or_default();
                at += 4;
                let low = match inner.get(at..at + 2) {
                    Some(b"\\u") => unit(inner, at + 2),
                    _ => None,
                };
                match (high, low) {
                    (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
                        at += 6;
                        let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                        char::from_u32(code)
                    }
                    (high, _) => char::from_u32(high),
                }
                .unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => char::from(other),
        };
        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::{Value, json};

    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let path = Path::parse(path).expect("a path");
        let mut found = Vec::new();
        path.find(text.as_bytes(), &mut |value| {
            found.push(String::from_utf8(value.to_vec()).unwrap());
        });
        found
    }

    #[test]
    fn paths_find_what_they_name() {
        let text = r#" {"a": [{"id": 1}, {"id" : "x"}, 3, {"b": {"id": null}}], "id": 9} "#;
        for (path, expected) in [
            ("$", vec![text.trim()]),
            ("$.id", vec!["9"]),
            ("id", vec!["9"]),
            ("$['id']", vec!["9"]),
            ("$[\"id\"]", vec!["9"]),
            ("$.a[0].id", vec!["1"]),
            ("a[1]", vec![r#"{"id" : "x"}"#]),
            ("$.a[*].id", vec!["1", "\"x\""]),
            ("$.a.*.id", vec!["1", "\"x\""]),
            ("$..id", vec!["9", "1", "\"x\"", "null"]),
            ("$..[0]", vec![r#"{"id": 1}"#]),
            ("$.a[7]", vec![]),
            ("$[0]", vec![]),
            ("$.none.id", vec![]),
        ] {
            let mut found = found(path, text);
            let mut expected: Vec<String> = expected.iter().map(|&one| one.to_owned()).collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            "",
            "$.",
            "$[",
            "$[?(@.a)]",
            "$[1:2]",
            "$..a..b",
            "$.a b",
            "$[-1]",
            "$x",
        ] {
            assert_eq!(Path::parse(text), None, "{text}");
        }
    }

    #[test]
    fn too_deep_is_no_value() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(is_value(deep(DEPTH_MAX).as_bytes()));
        assert!(!is_value(deep(DEPTH_MAX + 1).as_bytes()));
        assert!(!is_value(deep(100_000).as_bytes()));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_text_is_a_value_where_serde_says_so(
            text in "[\\[\\]{}:,\"\\\\ \n0-9.eE+tfnurlasb-]{0,24}"
        ) {
            let expected = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            prop_assert_eq!(is_value(text.as_bytes()), expected, "{}", text);
        }

        #[test]
        fn every_value_is_one_and_is_found(value in any_value(), pretty: bool) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert!(is_value(text.as_bytes()));
            let mut scalars = Vec::new();
            if let Value::Array(list) = &value {
                scalars.extend(list.iter().map(Value::to_string));
            }
            let mut seen = Vec::new();
            let each = Path::parse("$[*]").unwrap();
            each.find(text.as_bytes(), &mut |one| {
                seen.push(serde_json::from_slice::<Value>(one).unwrap().to_string());
            });
            if value.is_array() {
                prop_assert_eq!(seen, scalars);
            }
        }

        #[test]
        fn a_text_survives_its_quotes(text in any::<String>()) {
            let mut quoted = Vec::new();
            put_quoted(&text, &mut quoted);
            prop_assert_eq!(serde_json::from_slice::<String>(&quoted).unwrap(), text.clone());
            let mut plain = Vec::new();
            prop_assert!(put_scalar(json!(text).to_string().as_bytes(), &mut plain));
            prop_assert_eq!(String::from_utf8(plain).unwrap(), text);
        }

        #[test]
        fn no_bytes_make_it_panic(
            text in prop::collection::vec(any::<u8>(), 0..40), path in "[$.a\\[\\]*0'\"]{0,8}"
        ) {
            let _ = is_value(&text);
            if let Some(path) = Path::parse(&path) {
                path.find(&text, &mut |found| {
                    put_scalar(found, &mut Vec::new());
                });
            }
        }
    }
}
