//! Lists of `name=value`: the `Cookie` field (RFC 6265 §4.2.1) and the query of a target.
//!
//! Both are looked at where they stand, without a copy. Nothing is decoded.

/// The value of the first cookie `name` in one `Cookie` field. Names are compared exactly.
pub fn cookie<'a>(field: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    field
        .split(|byte| *byte == b';')
        .find_map(|pair| value_of(pair.trim_ascii(), name))
}

/// The value of the first parameter `name` in a query without its `?`; empty where it has none.
pub fn parameter<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query
        .split(|byte| *byte == b'&')
        .find_map(|pair| value_of(pair, name).or_else(|| (pair == name).then_some(&[][..])))
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    pair.strip_prefix(name)?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let field = b"a=1; ab=2;b = 3;c=;d; e=x=y";
        for (name, value) in [
            ("a", Some("1")),
            ("ab", Some("2")),
            ("b", None),
            ("c", Some("")),
            ("d", None),
            ("e", Some("x=y")),
        ] {
            let found = cookie(field, name.as_bytes());
            assert_eq!(found, value.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn parameters_are_found_with_and_without_a_value() {
        let query = b"a=1&b&c=&ab=2";
        for (name, value) in [
            ("a", Some("1")),
            ("b", Some("")),
            ("c", Some("")),
            ("d", None),
        ] {
            let found = parameter(query, name.as_bytes());
            assert_eq!(found, value.map(str::as_bytes), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_is_put_in_is_found(
            before in "[a-z]{1,4}=[a-z]{0,4}",
            value in "[a-z0-9]{0,8}",
        ) {
            let field = format!("{before}; NAME={value}");
            prop_assert_eq!(cookie(field.as_bytes(), b"NAME"), Some(value.as_bytes()));
            let query = format!("{before}&NAME={value}");
            prop_assert_eq!(parameter(query.as_bytes(), b"NAME"), Some(value.as_bytes()));
        }
    }
}
