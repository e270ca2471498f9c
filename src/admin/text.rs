//! Text: the JSON of an entity, packed.
//!
//! There may be a million, and most of each is what all have: the names of members and what stands
//! between them. A piece that is in the list here is one byte. The store keeps texts in this form
//! too, so a piece never changes its byte; a new one takes a byte that none has.

use std::fmt;
use std::sync::LazyLock;

/// A JSON text, packed.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Text(Box<[u8]>);

/// The byte before one that stands for itself, although it would stand for a piece.
const PLAIN: u8 = 0;

/// Pieces and the bytes that stand for them: bytes that no JSON text has but where someone laid it
/// out, and no UTF-8 at all. The longest of several that fit is taken.
const PIECES: [(u8, &str); 36] = [
    (0x01, r#"{"id":""#),
    (0x02, r#"","host":""#),
    (0x03, r#"","path_prefix":""#),
    (0x04, r#"","path":""#),
    (0x05, r#"","path_template":""#),
    (0x06, r#"","upstream":""#),
    (0x07, r#"","upstream":"inline-"#),
    (0x08, r#"","rewrite_pattern":""#),
    (0x09, r#"","connect_timeout_ms":10000"#),
    (0x0a, r#","extensions":{"generic":"{\""#),
    (0x0b, r#"backend\":{\"targets\":{\"0\":{\"id\":[\""#),
    (0x0c, r#"\",0,0]},\"_t\":\"a\"}}"#),
    (0x0d, r#",\"name\":[\""#),
    (0x0e, r#"\",\""#),
    (0x0f, r#"\"]}"}}"#),
    (0x10, r#"","rewrite_replacement":""#),
    (0x11, r#","methods":[""#),
    (0x12, r#"],"upstream":""#),
    (0x13, r#","connect_timeout_ms":"#),
    (0x14, r#","send_timeout_ms":"#),
    (0x15, r#","read_timeout_ms":"#),
    (0x16, r#","total_timeout_ms":"#),
    (0x17, r#",\"metadata\":{\""#),
    (0x18, r#",\"tags\":[[],[\""#),
    (0x19, r#"\"],\""#),
    (0x1a, r#"],"headers":[{"name":""#),
    (0x1b, r#"","value":""#),
    (0x1c, r#","retry":{"max_retries":"#),
    (0x1d, r#","request_headers":{"set":[{"name":""#),
    (0x1e, r#"\":[\"\",\""#),
    (0x1f, r#"","rank":"#),
    (0xf8, r#"","servers":[{"address":""#),
    (0xf9, r#"","port":"#),
    (0xfa, r#","weight":"#),
    (0xfb, r#"http://"#),
    (0xfc, r#"_timeout_ms":"#),
];

/// Bytes of the shortest piece.
const PIECE_BYTES_MIN: usize = 5;

/// The pieces by the byte that they have at the place of their fifth; the longest first.
type Candidates = [Vec<(u8, &'static [u8])>; 256];

static CANDIDATES: LazyLock<Candidates> = LazyLock::new(|| {
    let mut candidates: Candidates = std::array::from_fn(|_| Vec::new());
    for (byte, piece) in PIECES {
        let piece = piece.as_bytes();
        if let Some(fifth) = piece.get(PIECE_BYTES_MIN - 1) {
            candidates[usize::from(*fifth)].push((byte, piece));
        }
    }
    for some in &mut candidates {
        some.sort_by_key(|(_, piece)| std::cmp::Reverse(piece.len()));
    }
    candidates
});

/// The piece that each byte stands for.
static MEANINGS: LazyLock<[Option<&'static str>; 256]> = LazyLock::new(|| {
    let mut meanings = [None; 256];
    for (byte, piece) in PIECES {
        meanings[usize::from(byte)] = Some(piece);
    }
    meanings
});

/// The byte that stands for a piece of the list.
pub(crate) const fn byte_of(piece: &str) -> u8 {
    let mut at = 0;
    while at < PIECES.len() {
        if is_same(PIECES[at].1.as_bytes(), piece.as_bytes()) {
            return PIECES[at].0;
        }
        at += 1;
    }
    panic!("there is no such piece")
}

/// Whether two texts are the same, at compile time.
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

// === impl Text ===

impl Text {
    /// Packs a JSON text.
    #[must_use]
    pub fn of(json: &str) -> Self {
        let mut packed = Vec::new();
        pack(json, &mut packed);
        Self(packed.into())
    }

    /// What [`Text::packed`] had.
    pub(crate) fn of_packed(packed: &[u8]) -> Self {
        Self(packed.into())
    }

    /// In the form in which it is kept.
    pub(super) fn packed(&self) -> &[u8] {
        &self.0
    }

    /// The JSON text; empty if it was not packed here.
    #[must_use]
    pub fn json(&self) -> String {
        let meanings = &*MEANINGS;
        let mut json = Vec::with_capacity(self.0.len() * 4);
        let mut bytes = self.0.iter();
        while let Some(byte) = bytes.next() {
            match meanings[usize::from(*byte)] {
                Some(piece) => json.extend_from_slice(piece.as_bytes()),
                None if *byte == PLAIN => json.extend(bytes.next()),
                None => json.push(*byte),
            }
        }
        String::from_utf8(json).unwrap_or_default()
    }
}

/// Packs what stands between the quotes of a JSON text behind what is in `packed`; none, if it
/// would have to be escaped there.
pub(crate) fn pack_plain(text: &str, packed: &mut Vec<u8>) -> Option<()> {
    let mut has_colon = false;
    for byte in text.bytes() {
        if byte < b' ' || matches!(byte, b'"' | b'\\') {
            return None;
        }
        has_colon |= byte == b':';
    }
    if has_colon {
        pack(text, packed);
    } else {
        // All pieces without a quote have a colon.
        packed.extend_from_slice(text.as_bytes());
    }
    Some(())
}

/// Packs `json` behind what is in `packed`.
fn pack(json: &str, packed: &mut Vec<u8>) {
    let candidates = &*CANDIDATES;
    let mut rest = json.as_bytes();
    while let Some(&byte) = rest.first() {
        if matches!(byte, b'"' | b',' | b'\\' | b'{' | b']' | b'b' | b'h' | b'_')
            && let Some(fifth) = rest.get(PIECE_BYTES_MIN - 1)
            && let Some((piece, text)) = candidates[usize::from(*fifth)]
                .iter()
                .find(|(_, text)| rest.starts_with(text))
        {
            packed.push(*piece);
            rest = rest.get(text.len()..).unwrap_or_default();
            continue;
        }
        if byte < b' ' {
            packed.push(PLAIN);
        }
        packed.push(byte);
        rest = rest.get(1..).unwrap_or_default();
    }
}

impl From<String> for Text {
    fn from(json: String) -> Self {
        Self::of(&json)
    }
}

impl From<&str> for Text {
    fn from(json: &str) -> Self {
        Self::of(json)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.json())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn pieces_are_told_apart_and_found() {
        let bytes: HashSet<u8> = PIECES.iter().map(|(byte, _)| *byte).collect();
        let texts: HashSet<&str> = PIECES.iter().map(|(_, text)| *text).collect();
        assert_eq!((bytes.len(), texts.len()), (PIECES.len(), PIECES.len()));
        for (byte, text) in PIECES {
            assert!(byte != PLAIN && !(b' '..=0xf4).contains(&byte), "{text}");
            assert_eq!(Text::of(text).packed(), [byte], "{text}");
            assert_eq!(byte_of(text), byte, "{text}");
            assert!(text.contains(['"', ':']), "{text}");
        }
    }

    #[test]
    fn the_form_stays_as_it_is_stored() {
        let json = r#"{"id":"a","host":"b","path_prefix":"/c","upstream":"inline-0"}"#;
        let packed = b"\x01a\x02b\x03/c\x070\"}";
        assert_eq!(Text::of(json).packed(), packed);
        assert_eq!(Text::of_packed(packed).json(), json);
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(
            parts in vec(prop_oneof![
                select(&PIECES[..]).prop_map(|(_, text)| text.to_owned()),
                "\\PC{0,6}",
                "[\\x00-\\x1f\"{\\\\,]{0,6}",
            ], 0..12),
        ) {
            let json = parts.concat();
            let text = Text::of(&json);
            prop_assert_eq!(text.json(), json);
            prop_assert_eq!(Text::of_packed(text.packed()), text);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..64)) {
            let json = Text::of_packed(&bytes).json();
            prop_assert_eq!(Text::of(&json).json(), json);
        }
    }
}
