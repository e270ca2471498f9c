//! Base64 (RFC 4648 §4), as credentials have it: with or without its padding, nothing else.

/// Decodes `text` into `space`; none if it is malformed or too long.
pub fn decode<'s>(text: &[u8], space: &'s mut [u8]) -> Option<&'s [u8]> {
    let bare = match text {
        [rest @ .., b'=', b'='] | [rest @ .., b'='] => rest,
        bare => bare,
    };
    let padded = bare.len() < text.len();
    if bare.len() % 4 == 1 || (padded && !text.len().is_multiple_of(4)) {
        return None;
    }
    let length = bare.len() / 4 * 3 + (bare.len() % 4).saturating_sub(1);
    let out = space.get_mut(..length)?;
    for (group, bytes) in bare.chunks(4).zip(out.chunks_mut(3)) {
        let mut bits = 0u32;
        for digit in group {
            bits = bits << 6 | u32::from(value(*digit)?);
        }
        bits <<= 6 * (4 - group.len());
        let [_, first, second, third] = bits.to_be_bytes();
        for (byte, value) in bytes.iter_mut().zip([first, second, third]) {
            *byte = value;
        }
        // Bits that stand for nothing must be none: one text, one encoding.
        if bits & (0xFF_FFFF >> (8 * bytes.len())) != 0 {
            return None;
        }
    }
    Some(out)
}

fn value(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> Option<Vec<u8>> {
        decode(text.as_bytes(), &mut [0; 16]).map(<[u8]>::to_vec)
    }

    #[test]
    fn the_vectors_of_the_standard() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm8", "fo"),
        ] {
            assert_eq!(decoded(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        for wrong in [
            "Z",
            "Zg=",
            "Zm9v=",
            "Zh==",
            "Z*==",
            "Zg==Zg==",
            "Zm9vYmFyZm9vYmFyZm9vYmFy",
        ] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut space = [0; 16];
            if let Some(bytes) = decode(&text, &mut space) {
                prop_assert!(bytes.len() <= text.len());
            }
        }
    }
}
