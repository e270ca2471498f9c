//! A hash that is the same on every core, every node and in every run: for choices that all must
//! make alike. Not for tables that a client could fill: whoever knows it can make keys collide.

/// FNV-1a over the bytes (64 bits), finished so that every bit of the input reaches every bit.
#[inline]
pub fn of(bytes: &[u8]) -> u64 {
    let start = 0xCBF2_9CE4_8422_2325;
    let hash = bytes.iter().fold(start, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    });
    mix(hash)
}

/// Another hash made of a hash (the finish of SplitMix64).
#[inline]
pub fn mix(hash: u64) -> u64 {
    let hash = hash.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_changes() {
        // Cookies that clients keep, and the servers that keys belong to, depend on it.
        assert_eq!(of(b""), 0xC381_7C01_6BA4_FF30);
        assert_eq!(of(b"127.0.0.1:9000"), of(b"127.0.0.1:9000"));
        assert_ne!(of(b"a"), of(b"b"));
    }
}
