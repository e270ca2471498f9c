//! A normal form is its own normal form, is safe to forward, and hides no dot segment from
//! whoever decodes it once more.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::wire::path::{PathRules, normalise};

fuzz_target!(|input: &[u8]| {
    let [switches, path @ ..] = input else { return };
    let rules = PathRules {
        merge_slashes: switches & 1 != 0,
        keep_encoded_slashes: switches & 2 != 0,
    };
    let mut into = b"left over from the path before".to_vec();
    let Ok(form) = normalise(path, rules, &mut into) else {
        return;
    };
    assert_eq!(form.first(), Some(&b'/'));
    assert!(form.len() <= 3 * path.len());
    assert!(
        form.iter()
            .all(|byte| byte.is_ascii_graphic() && !b"\\#?\"<>^`{|}[]".contains(byte))
    );
    if rules.merge_slashes {
        assert!(!form.windows(2).any(|pair| pair == b"//"));
    }

    let mut again = Vec::new();
    assert_eq!(normalise(form, rules, &mut again), Ok(form));

    let decoded = decode(form);
    assert!(!decoded.iter().any(|&byte| byte < 0x20 || byte == 0x7F));
    assert!(rules.keep_encoded_slashes || slashes(&decoded) == slashes(form));
    for segment in decoded.split(|&byte| byte == b'/' || byte == b'\\') {
        let name = segment
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default();
        assert!(name != b"." && name != b"..", "{}", form.escape_ascii());
    }
});

fn slashes(path: &[u8]) -> usize {
    path.iter()
        .filter(|&&byte| byte == b'/' || byte == b'\\')
        .count()
}

/// What a server sees that decodes every escape; the input is valid.
fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let mut value = *byte;
        if *byte == b'%' {
            let (digits, after) = tail.split_at(2);
            let text = std::str::from_utf8(digits).expect("digits are ASCII");
            value = u8::from_str_radix(text, 16).expect("a normal form has whole escapes");
            assert_eq!(text, text.to_uppercase());
            rest = after;
        }
        decoded.push(value);
    }
    decoded
}
