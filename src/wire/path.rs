//! The path of a request target, in one normal form used for matching and for forwarding.
//!
//! What a route matches is what the origin receives, so that no spelling of a path slips past
//! a route and means something else behind it. Escapes of unreserved characters are decoded, the
//! others are kept with upper-case digits, dot segments are removed after decoding, and whatever
//! two servers could read differently is refused. A path that is already normal, which is nearly
//! every path, costs one table lookup per byte and no copy. Source: RFC 3986 §3.3, §5.2.4, §6.2.2.

use thiserror::Error;

/// Where an operator may choose how paths are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathRules {
    /// Reads a run of slashes as one.
    pub merge_slashes: bool,
    /// Keeps `%2F` and `%5C` as they are (upper-cased) instead of refusing them.
    pub keep_encoded_slashes: bool,
}

/// Why a path is refused; the answer is 400.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathFault {
    /// `/..` at the root.
    #[error("the path climbs above the root; remove the surplus '..' segments")]
    AboveRoot,
    /// A raw `\`, which some servers read as `/`.
    #[error("the path contains a backslash; write it as %5C if it is meant")]
    Backslash,
    /// A control character, raw or escaped; `%00` is one.
    #[error("the path contains a control character, raw or percent-encoded")]
    Control,
    /// `.;x` or `..;x`, or a dot segment between encoded slashes.
    #[error("the path hides a dot segment behind a parameter or an encoded slash")]
    DisguisedDots,
    /// `%2F` or `%5C` where the rules do not keep them.
    #[error(
        "the path contains an encoded slash or backslash (%2F, %5C), which is not allowed here"
    )]
    EncodedSlash,
    /// A raw `#`: fragments are never sent.
    #[error("the path contains '#'; a fragment must not be sent to a server")]
    Fragment,
    /// A `%` without two hexadecimal digits.
    #[error("the path contains '%' without two hexadecimal digits after it")]
    IncompleteEscape,
    /// A raw byte of 0x80 or more.
    #[error("the path contains a raw byte outside ASCII; percent-encode it")]
    NotAscii,
    /// No `/` at the front.
    #[error("the path does not start with '/'")]
    NotRooted,
    /// A UTF-8 sequence longer than its character needs.
    #[error("the path contains an overlong UTF-8 sequence, a disguise for another character")]
    Overlong,
    /// A raw `?`: the caller must split off the query first.
    #[error("the path contains '?', which begins the query")]
    Query,
    /// A raw space.
    #[error("the path contains a space; write it as %20")]
    Space,
}

impl PathFault {
    /// A short word for logs and `Proxy-Status` details.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Self::AboveRoot => "path_above_root",
            Self::Backslash => "path_backslash",
            Self::Control => "path_control",
            Self::DisguisedDots => "path_disguised_dots",
            Self::EncodedSlash => "path_encoded_slash",
            Self::Fragment => "path_fragment",
            Self::IncompleteEscape => "path_incomplete_escape",
            Self::NotAscii => "path_not_ascii",
            Self::NotRooted => "path_not_rooted",
            Self::Overlong => "path_overlong",
            Self::Query => "path_query",
            Self::Space => "path_space",
        }
    }
}

/// Returns the normal form of `path`: `path` itself where it is normal, else what is written to
/// `into` (at most three times as long). `path` carries no query.
///
/// The function is idempotent: the normal form of a normal form is itself.
pub fn normalise<'a>(
    path: &'a [u8],
    rules: PathRules,
    into: &'a mut Vec<u8>,
) -> Result<&'a [u8], PathFault> {
    if path.first() != Some(&b'/') {
        return Err(PathFault::NotRooted);
    }
    if is_plain(path) {
        return Ok(path);
    }
    rewrite(path, rules, into)?;
    Ok(if into.as_slice() == path { path } else { into })
}

/// Whether `query` (without its `?`) may be forwarded as it is: visible ASCII without `#`.
///
/// Queries are opaque to a proxy, so incomplete escapes are let through (RFC 3986 §3.4).
#[must_use]
pub fn query_is_valid(query: &[u8]) -> bool {
    // Without a branch per byte, so that the compiler makes vector instructions of it.
    query.iter().fold(true, |valid, &byte| {
        valid & byte.is_ascii_graphic() & (byte != b'#')
    })
}

/// Whether no byte needs work and no segment begins with a dot or is empty.
fn is_plain(path: &[u8]) -> bool {
    let mut before = ALWAYS;
    let mut found = 0;
    for &byte in path {
        let class = CLASSES[usize::from(byte)];
        found |= class & (before >> ARMS);
        before = class;
    }
    found == 0
}

/// Writes the normal form of `path`, which starts with `/`.
fn rewrite(path: &[u8], rules: PathRules, into: &mut Vec<u8>) -> Result<(), PathFault> {
    into.clear();
    into.push(b'/');
    let mut output = Output {
        bytes: into,
        segment: 1,
        rules,
    };
    let mut rest = path.get(1..).unwrap_or_default();
    let mut escape_before = None;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let mut escape = None;
        match byte {
            b'/' => output.end_segment(false)?,
            b'%' => {
                let (value, tail) = unescape(rest)?;
                if is_overlong(escape_before, value) {
                    return Err(PathFault::Overlong);
                }
                output.push_escaped(value)?;
                escape = Some(value);
                rest = tail;
            }
            _ => output.push_raw(*byte)?,
        }
        escape_before = escape;
    }
    output.end_segment(true)
}

/// Reads the two digits after a `%`; returns the byte they mean and what follows.
fn unescape(digits: &[u8]) -> Result<(u8, &[u8]), PathFault> {
    let [high, low, tail @ ..] = digits else {
        return Err(PathFault::IncompleteEscape);
    };
    match (hex_value(*high), hex_value(*low)) {
        (Some(high), Some(low)) => Ok((high << 4 | low, tail)),
        _ => Err(PathFault::IncompleteEscape),
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Whether two neighbouring escapes begin a UTF-8 sequence that a shorter one could replace.
///
/// Other invalid UTF-8 passes: paths in Latin-1 and its like exist, and stay encoded.
fn is_overlong(before: Option<u8>, value: u8) -> bool {
    match before {
        Some(0xC0 | 0xC1 | 0xF8..=0xFF) => (0x80..0xC0).contains(&value),
        Some(0xE0) => (0x80..0xA0).contains(&value),
        Some(0xF0) => (0x80..0x90).contains(&value),
        _ => false,
    }
}

/// The normal form while it is written.
struct Output<'a> {
    bytes: &'a mut Vec<u8>,
    /// Where the segment being written begins; the byte before it is a slash.
    segment: usize,
    rules: PathRules,
}

impl Output<'_> {
    fn push_raw(&mut self, byte: u8) -> Result<(), PathFault> {
        match byte {
            b'\\' => Err(PathFault::Backslash),
            b'#' => Err(PathFault::Fragment),
            b'?' => Err(PathFault::Query),
            b' ' => Err(PathFault::Space),
            0..0x20 | 0x7F => Err(PathFault::Control),
            0x80.. => Err(PathFault::NotAscii),
            _ if CLASSES[usize::from(byte)] & WORK == 0 => {
                self.bytes.push(byte);
                Ok(())
            }
            // Not allowed raw, but sent by some clients and harmless.
            _ => {
                self.encode(byte);
                Ok(())
            }
        }
    }

    fn push_escaped(&mut self, value: u8) -> Result<(), PathFault> {
        match value {
            0..0x20 | 0x7F => return Err(PathFault::Control),
            b'/' | b'\\' if !self.rules.keep_encoded_slashes => {
                return Err(PathFault::EncodedSlash);
            }
            _ if is_unreserved(value) => self.bytes.push(value),
            _ => self.encode(value),
        }
        Ok(())
    }

    fn encode(&mut self, byte: u8) {
        const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
        let high = DIGITS[usize::from(byte >> 4)];
        let low = DIGITS[usize::from(byte & 0xF)];
        self.bytes.extend_from_slice(&[b'%', high, low]);
    }

    /// Applies what the finished segment means; `last` where the path ends with it.
    fn end_segment(&mut self, last: bool) -> Result<(), PathFault> {
        let segment = self.bytes.get(self.segment..).unwrap_or_default();
        match segment {
            // The slash before a dot segment stays and the one after it goes.
            b"." => self.bytes.truncate(self.segment),
            b".." => self.climb()?,
            b"" if self.rules.merge_slashes => {}
            _ if has_disguised_dots(segment) => return Err(PathFault::DisguisedDots),
            _ if !last => {
                self.bytes.push(b'/');
                self.segment = self.bytes.len();
            }
            _ => {}
        }
        Ok(())
    }

    /// Removes the `..` just written and the segment before it.
    fn climb(&mut self) -> Result<(), PathFault> {
        let above = self.bytes.get(..self.segment - 1).unwrap_or_default();
        let Some(slash) = above.iter().rposition(|&byte| byte == b'/') else {
            return Err(PathFault::AboveRoot);
        };
        self.segment = slash + 1;
        self.bytes.truncate(self.segment);
        Ok(())
    }
}

/// Whether a server that strips parameters, or decodes slashes, would find a dot segment here.
fn has_disguised_dots(segment: &[u8]) -> bool {
    let mut rest = segment;
    loop {
        let dots = rest.iter().take_while(|&&byte| byte == b'.').count();
        let after = rest.get(dots..).unwrap_or_default();
        if matches!(dots, 1 | 2) && (after.is_empty() || begins_with_separator(after)) {
            return true;
        }
        // The next piece begins after the next encoded slash.
        let Some(slash) = after
            .windows(3)
            .position(|three| matches!(three, b"%2F" | b"%5C"))
        else {
            return false;
        };
        rest = after.get(slash + 3..).unwrap_or_default();
    }
}

/// Whether a parameter sign or an encoded slash comes first.
fn begins_with_separator(bytes: &[u8]) -> bool {
    matches!(bytes, [b';', ..])
        || [b"%2F", b"%3B", b"%5C"]
            .iter()
            .any(|&separator| bytes.starts_with(separator))
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const fn is_sub_delimiter(byte: u8) -> bool {
    matches!(
        byte,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
    )
}

/// Class bit: the byte cannot stand in a normal path, or begins an escape.
const WORK: u8 = 1;
/// Class bit: the byte makes its segment special when it comes right after a slash.
const BOUNDARY: u8 = 2;
/// Moved down by this, the next two bits of one byte select the two above of the byte after it.
const ARMS: u32 = 2;
/// Class bit of every byte: `WORK` counts after any.
const ALWAYS: u8 = WORK << ARMS;
/// Class bit of the slash: `BOUNDARY` counts after it.
const SLASH: u8 = BOUNDARY << ARMS;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        classes[index] = ALWAYS
            | match byte {
                b'/' => SLASH | BOUNDARY,
                b'.' => BOUNDARY,
                b':' | b'@' => 0,
                _ if is_unreserved(byte) || is_sub_delimiter(byte) => 0,
                _ => WORK,
            };
        index += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRICT: PathRules = PathRules {
        merge_slashes: true,
        keep_encoded_slashes: false,
    };
    const LOOSE: PathRules = PathRules {
        merge_slashes: false,
        keep_encoded_slashes: true,
    };

    fn normal(path: &str, rules: PathRules) -> Result<String, PathFault> {
        let mut into = Vec::new();
        let form = normalise(path.as_bytes(), rules, &mut into)?;
        Ok(String::from_utf8(form.to_vec()).expect("a normal form is ASCII"))
    }

    #[test]
    fn normal_paths_are_returned_without_a_copy() {
        for path in [
            "/",
            "/a",
            "/users/42/",
            "/a.b/c..d;v=1/@me:x",
            "/!$&'()*+,;=-_~",
            "/.well",
        ] {
            let mut into = Vec::new();
            let form = normalise(path.as_bytes(), STRICT, &mut into).expect(path);
            assert!(std::ptr::eq(form, path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn spellings_of_one_path_have_one_form() {
        let cases = [
            ("/%41%7e%2Da", "/A~-a"),
            ("/a%3ab%c3%a9", "/a%3Ab%C3%A9"),
            ("/a{b}|\"<>^`[0]", "/a%7Bb%7D%7C%22%3C%3E%5E%60%5B0%5D"),
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e/b/.%2E/c", "/a/c"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a//b///c//", "/a/b/c/"),
            ("//a", "/a"),
            ("/a//../b", "/b"),
            ("/...", "/..."),
            ("/.../%2e%2e%2e", "/.../..."),
            ("/a;x=1/b", "/a;x=1/b"),
            ("/%252e%252e/", "/%252e%252e/"),
            ("/%25%32%65", "/%252e"),
            ("/%20", "/%20"),
            ("/%FCber", "/%FCber"),
        ];
        for (path, form) in cases {
            let found = normal(path, STRICT).unwrap_or_default();
            assert_eq!(found, form, "{path}");
        }
    }

    #[test]
    fn the_rules_decide_about_slashes() {
        assert_eq!(normal("/a//b", LOOSE).as_deref(), Ok("/a//b"));
        assert_eq!(normal("/a//../b", LOOSE).as_deref(), Ok("/a/b"));
        assert_eq!(normal("/a%2fb%5cc", LOOSE).as_deref(), Ok("/a%2Fb%5Cc"));
        assert_eq!(normal("/a%2fb", STRICT), Err(PathFault::EncodedSlash));
        assert_eq!(normal("/a%5Cb", STRICT), Err(PathFault::EncodedSlash));
    }

    #[test]
    fn dangerous_paths_are_refused() {
        use PathFault::*;
        let cases = [
            ("", NotRooted),
            ("a", NotRooted),
            ("*", NotRooted),
            ("/..", AboveRoot),
            ("/a/../..", AboveRoot),
            ("/%2e%2e/etc", AboveRoot),
            ("/./..", AboveRoot),
            ("//..", AboveRoot),
            ("/a\\b", Backslash),
            ("/a\0", Control),
            ("/a%00", Control),
            ("/a%0d%0aX:1", Control),
            ("/a\x7f", Control),
            ("/a%7F", Control),
            ("/a/..;/b", DisguisedDots),
            ("/a/..;x=1/b", DisguisedDots),
            ("/a/.;x", DisguisedDots),
            ("/a/%2e%2e;x", DisguisedDots),
            ("/a/..%3bx", DisguisedDots),
            ("/a#b", Fragment),
            ("/%", IncompleteEscape),
            ("/%4", IncompleteEscape),
            ("/%4g", IncompleteEscape),
            ("/%u002f", IncompleteEscape),
            ("/%+1", IncompleteEscape),
            ("/é", NotAscii),
            ("/%c0%af", Overlong),
            ("/%C0%AE%C0%AE/", Overlong),
            ("/%C1%9C", Overlong),
            ("/%C0%80", Overlong),
            ("/%E0%80%AF", Overlong),
            ("/%F0%80%80%AF", Overlong),
            ("/%F8%80%80%80%AF", Overlong),
            ("/a?b", Query),
            ("/a b", Space),
        ];
        for (path, fault) in cases {
            assert_eq!(normal(path, STRICT), Err(fault), "{path}");
        }
    }

    #[test]
    fn dots_between_kept_slashes_are_refused() {
        for path in [
            "/a/..%2f..%2fetc",
            "/a%2F..",
            "/a%5c..%5cb",
            "/%2F.%2Fx",
            "/a%2f..;x%2fb",
        ] {
            assert_eq!(normal(path, LOOSE), Err(PathFault::DisguisedDots), "{path}");
        }
        assert_eq!(
            normal("/a%2F...%2Fb.", LOOSE).as_deref(),
            Ok("/a%2F...%2Fb.")
        );
    }

    #[test]
    fn queries_are_visible_ascii() {
        for query in ["", "a=1&b=%zz", "q[]={\"x\"}|\\"] {
            assert!(query_is_valid(query.as_bytes()), "{query}");
        }
        for query in ["a b", "a#b", "a\r\nb", "é", "a\0", "a\x7f"] {
            assert!(!query_is_valid(query.as_bytes()), "{query}");
        }
    }

    /// Paths made of the pieces that matter, so that most are near a rule.
    fn paths() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just("/"),
            Just("."),
            Just(".."),
            Just("%2e"),
            Just("%2F"),
            Just("%5c"),
            Just(";"),
            Just("%3b"),
            Just("%25"),
            Just("2e"),
            Just("%41"),
            Just("a"),
            Just("{"),
            Just("%C3"),
            Just("%a9"),
            Just("%C0"),
            Just("%E0"),
            Just("//"),
            Just("/../"),
            Just("/./"),
        ];
        let pieces = prop::collection::vec(piece, 0..12);
        let raw = prop::collection::vec(any::<u8>(), 0..24);
        prop_oneof![
            4 => pieces.prop_map(|pieces| format!("/{}", pieces.concat()).into_bytes()),
            1 => raw.prop_map(|raw| [b"/", raw.as_slice()].concat()),
        ]
    }

    proptest! {
        #[test]
        fn a_normal_form_is_normal(path in paths(), merge: bool, keep: bool) {
            let rules = PathRules { merge_slashes: merge, keep_encoded_slashes: keep };
            let mut into = Vec::new();
            let Ok(form) = normalise(&path, rules, &mut into) else { return Ok(()) };
            let mut again = Vec::new();
            prop_assert_eq!(normalise(form, rules, &mut again), Ok(form));
            prop_assert!(form.len() <= 3 * path.len());
            prop_assert!(form.split(|&b| b == b'/').all(|s| s != b"." && s != b".."));
            prop_assert!(form.iter().all(|b| b.is_ascii_graphic() && !b"\\#?".contains(b)));
            if merge {
                prop_assert!(!form.windows(2).any(|two| two == b"//"));
            }
        }
    }
}
