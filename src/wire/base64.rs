//! Base64 (RFC 4648 §4), as credentials have it: with or without its padding.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Decodes with padding or without, encodes with it.
pub const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes `text` into `space`; none if it is malformed or too long.
pub fn decode<'s>(text: &[u8], space: &'s mut [u8]) -> Option<&'s [u8]> {
    let length = LENIENT.decode_slice(text, space).ok()?;
    space.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_may_be_missing_and_nothing_else() {
        let decoded = |text: &str| decode(text.as_bytes(), &mut [0; 16]).map(<[u8]>::to_vec);
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8", "fo"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(decoded(text).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        for wrong in ["Z", "Zh==", "Z*==", "Zg==Zg==", "Zm9vYmFyZm9vYmFyZm9vYmFy"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }
}
