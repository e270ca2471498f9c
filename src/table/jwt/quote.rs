//! What a text has of a claim: all of it, or one part.

use super::Claims;

/// What stands between the name of a claim and the number of a part.
const PART: &str = " part ";
/// What stands between the number of a part and the letters that parts are split at.
const BY: &str = " by ";

/// What a text has of a claim.
#[derive(Clone, Debug)]
pub(in crate::table) struct Quote {
    claim: Box<str>,
    /// The number of the part, from 0, and the letters that stand between parts.
    part: Option<(usize, Box<str>)>,
}

impl Quote {
    /// Reads `NAME`, or `NAME part NUMBER by LETTERS`.
    pub(in crate::table) fn parse(text: &str) -> Self {
        let split = text.split_once(PART).and_then(|(claim, rest)| {
            let (number, letters) = rest.split_once(BY)?;
            Some((claim, number.parse().ok()?, letters))
        });
        match split {
            Some((claim, number, letters)) if !letters.is_empty() => Self {
                claim: claim.into(),
                part: Some((number, letters.into())),
            },
            _ => Self {
                claim: text.into(),
                part: None,
            },
        }
    }

    /// Appends it; nothing where there is no such claim or part.
    pub(in crate::table) fn put(&self, claims: Option<&Claims>, out: &mut Vec<u8>) {
        let Some(text) = claims.and_then(|claims| claims.text(&self.claim)) else {
            return;
        };
        let text = match &self.part {
            None => &*text,
            Some((number, letters)) => {
                let mut parts = text.split(|letter| letters.contains(letter));
                parts.nth(*number).unwrap_or_default()
            }
        };
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_quoted_whole_or_in_part() {
        let claims = json!({"sub": "user|7", "a part of": "x", "n": 5, "list": ["a", "b"]});
        let claims = Claims(claims.as_object().unwrap().clone());
        for (text, expected) in [
            ("sub", "user|7"),
            ("sub part 0 by |", "user"),
            ("sub part 1 by |", "7"),
            ("sub part 2 by |", ""),
            ("sub part 1 by /|", "7"),
            ("a part of", "x"),
            ("n", "5"),
            ("list part 1 by ,", "b"),
            ("none", ""),
        ] {
            let mut out = Vec::new();
            Quote::parse(text).put(Some(&claims), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
        let mut out = Vec::new();
        Quote::parse("sub").put(None, &mut out);
        assert!(out.is_empty());
    }
}
