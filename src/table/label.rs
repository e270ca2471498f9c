//! A path segment or host that lies in its node, so that comparing it costs no further cache line.

/// Bytes; up to [`INLINE_BYTES`] of them without an allocation.
#[derive(Clone, Debug)]
pub(super) struct Label(Bytes);

#[derive(Clone, Debug)]
enum Bytes {
    Inline(u8, [u8; INLINE_BYTES]),
    Long(Box<[u8]>),
}

const INLINE_BYTES: usize = 22;

const _: () = assert!(size_of::<Label>() == 24);

impl Label {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut inline = [0; INLINE_BYTES];
        Self(match inline.get_mut(..bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                Bytes::Inline(bytes.len() as u8, inline)
            }
            None => Bytes::Long(bytes.into()),
        })
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Inline(count, bytes) => bytes.get(..usize::from(*count)).unwrap_or_default(),
            Bytes::Long(bytes) => bytes,
        }
    }
}

/// Whether two texts are the same. Names and segments are short: comparing them here takes less
/// than a call.
#[inline]
pub(super) fn are_same(one: &[u8], other: &[u8]) -> bool {
    let count = one.len();
    if count != other.len() {
        return false;
    }
    match count {
        4..8 => {
            one.first_chunk::<4>() == other.first_chunk::<4>()
                && one.last_chunk::<4>() == other.last_chunk::<4>()
        }
        8..=16 => {
            one.first_chunk::<8>() == other.first_chunk::<8>()
                && one.last_chunk::<8>() == other.last_chunk::<8>()
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_if_every_byte_is() {
        for count in 0..40 {
            let one = vec![b'x'; count];
            assert!(are_same(&one, &one.clone()));
            assert!(!are_same(&one, &vec![b'x'; count + 1]));
            for index in 0..count {
                let mut other = one.clone();
                other[index] = b'y';
                assert!(!are_same(&one, &other));
            }
        }
    }

    #[test]
    fn every_length_reads_back() {
        for count in [0, 1, INLINE_BYTES, INLINE_BYTES + 1, 300] {
            let bytes = vec![b'x'; count];
            assert_eq!(Label::new(&bytes).as_bytes(), bytes);
        }
    }
}
