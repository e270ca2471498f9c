//! Cache-Control (RFC 9111 §5.2) and entity tags (RFC 9110 §8.8.3): what a cache must know of them.
//!
//! A directive is looked for in every element of the list, also where a quoted text has a comma in
//! it: so a malformed value can only say more against keeping a response, never less.

use super::field::elements;

/// The most seconds that a lifetime has (RFC 9111 §1.2.2).
const SECONDS_MAX: u32 = i32::MAX.cast_unsigned();

/// What the `Cache-Control` lines of a message say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Directives {
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`, with or without field names.
    pub no_cache: bool,
    /// `private`, with or without field names.
    pub private: bool,
    /// `must-revalidate`, `proxy-revalidate` or `s-maxage`: not to be used once it is stale.
    pub must_revalidate: bool,
    /// `max-age` in seconds; 0 where it cannot be read.
    pub max_age: Option<u32>,
    /// `s-maxage` in seconds; 0 where it cannot be read.
    pub s_maxage: Option<u32>,
}

impl Directives {
    /// Adds what one `Cache-Control` line says.
    pub fn add(&mut self, value: &[u8]) {
        for element in elements(value) {
            let mut parts = element.splitn(2, |byte| *byte == b'=');
            let name = parts.next().unwrap_or_default();
            let name = name.trim_ascii();
            let name = name.strip_suffix(b"\"").unwrap_or(name);
            let name = name.strip_prefix(b"\"").unwrap_or(name).trim_ascii();
            let argument = parts.next().map(<[u8]>::trim_ascii);
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            if is("no-store") {
                self.no_store = true;
            } else if is("no-cache") {
                self.no_cache = true;
            } else if is("private") {
                self.private = true;
            } else if is("must-revalidate") || is("proxy-revalidate") {
                self.must_revalidate = true;
            } else if is("max-age") {
                self.max_age = least(self.max_age, seconds(argument));
            } else if is("s-maxage") {
                self.s_maxage = least(self.s_maxage, seconds(argument));
                self.must_revalidate = true;
            }
        }
    }

    /// How long a shared cache may use the response, as far as this says (RFC 9111 §4.2.1).
    #[must_use]
    pub fn lifetime(&self) -> Option<u32> {
        self.s_maxage.or(self.max_age)
    }
}

fn least(known: Option<u32>, other: u32) -> Option<u32> {
    Some(known.map_or(other, |known| known.min(other)))
}

/// Seconds, with or without quotation marks; what is no number is 0, so that nothing is kept for
/// it.
fn seconds(argument: Option<&[u8]>) -> u32 {
    let given = argument.unwrap_or_default();
    let bare = given
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(given);
    if bare.is_empty() || !bare.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let most = u64::from(SECONDS_MAX);
    let number = bare.iter().fold(0_u64, |sum, digit| {
        (sum * 10 + u64::from(digit - b'0')).min(most)
    });
    u32::try_from(number).unwrap_or(SECONDS_MAX)
}

/// The seconds of an `Age` (RFC 9111 §5.1); what cannot be read is as old as can be.
#[must_use]
pub fn age(value: &[u8]) -> u32 {
    match value.trim_ascii() {
        digits if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            seconds(Some(digits))
        }
        _ => SECONDS_MAX,
    }
}

/// The part of an entity tag between its quotation marks, these included: what weak comparison
/// looks at (RFC 9110 §8.8.3.2). None if it is no tag.
#[must_use]
pub fn opaque_tag(value: &[u8]) -> Option<&[u8]> {
    let tag = value.trim_ascii();
    let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
    let inside = tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    (!inside.contains(&b'"')).then_some(tag)
}

/// Whether `If-None-Match` names the tag `opaque`, or says `*` (RFC 9110 §13.1.2).
#[must_use]
pub fn names_tag(value: &[u8], opaque: &[u8]) -> bool {
    let mut rest = value.trim_ascii();
    if rest == b"*" {
        return true;
    }
    // A tag may have a comma in it, so the list is walked from mark to mark.
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let tag = rest.get(start..).unwrap_or_default();
        let Some(end) = tag.iter().skip(1).position(|byte| *byte == b'"') else {
            return false;
        };
        let (tag, after) = tag.split_at(end + 2);
        if tag == opaque {
            return true;
        }
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn directives(value: &str) -> Directives {
        let mut directives = Directives::default();
        directives.add(value.as_bytes());
        directives
    }

    #[test]
    fn directives_are_known_in_any_case_and_the_shortest_life_counts() {
        let said = directives("Public, MAX-AGE=60 , max-age=\"30\",s-maxage = 5");
        assert_eq!((said.max_age, said.s_maxage), (Some(30), Some(5)));
        assert_eq!(said.lifetime(), Some(5));
        assert!(said.must_revalidate && !said.no_store);
        for (value, seconds) in [
            ("max-age", 0),
            ("max-age=", 0),
            ("max-age=-1", 0),
            ("max-age=1x", 0),
            ("max-age=99999999999999999999999", SECONDS_MAX),
        ] {
            assert_eq!(directives(value).max_age, Some(seconds), "{value}");
        }
        assert!(directives("private=\"x-a, no-store\"").no_store);
        assert!(directives("no-cache=\"set-cookie\"").no_cache);
        assert_eq!(directives("x=\"a, max-age=9\"").max_age, Some(0));
    }

    #[test]
    fn tags_are_compared_weakly() {
        let tag = opaque_tag(b"W/\"a,b\"").unwrap();
        for list in ["\"a,b\"", "W/\"a,b\"", "\"x\", \"a,b\" , \"y\"", "*"] {
            assert!(names_tag(list.as_bytes(), tag), "{list}");
        }
        for list in ["\"a\"", "a,b", "", "\"a,b", "\"x\",\"a,bc\""] {
            assert!(!names_tag(list.as_bytes(), tag), "{list}");
        }
        for wrong in ["abc", "\"a", "\"a\"b\"", ""] {
            assert_eq!(opaque_tag(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(
            (age(b" 7 "), age(b"x"), age(b"")),
            (7, SECONDS_MAX, SECONDS_MAX)
        );
    }

    proptest! {
        /// Whatever stands around it, a word against keeping is heard.
        #[test]
        fn no_text_hides_a_directive(before in "[ -~]{0,20}", after in "[ -~]{0,20}") {
            let value = format!("{before}, no-store ,{after}");
            prop_assert!(directives(&value).no_store);
        }

        #[test]
        fn any_bytes_can_be_read(value in prop::collection::vec(any::<u8>(), 0..60)) {
            Directives::default().add(&value);
            let _ = age(&value);
            if let Some(tag) = opaque_tag(&value) {
                prop_assert!(names_tag(&value, tag));
            }
        }
    }
}
