//! What may stand in the text that goes on the wire.

use crate::wire::authority;
use crate::wire::path::{PathRules, normalise};

/// Whether `text` is a token (RFC 9110 §5.6.2): a field name or a method.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether `text` may be a field value (RFC 9110 §5.5): visible characters, spaces and tabs
/// inside.
pub(super) fn is_field_value(text: &str) -> bool {
    text.trim_matches([' ', '\t']) == text
        && text
            .bytes()
            .all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7F))
}

/// The first control character, for people: `a line feed (\n)`.
pub(super) fn control_character(text: &str) -> Option<String> {
    let letter = text.chars().find(|letter| letter.is_ascii_control())?;
    Some(match letter {
        '\n' => "a line feed (\\n)".to_owned(),
        '\r' => "a carriage return (\\r)".to_owned(),
        '\0' => "a NUL (\\0)".to_owned(),
        other => format!("the control character {:#04x}", other as u32),
    })
}

/// What is wrong with `path` as the path of a request, and what to write instead.
pub(super) fn path_fault(path: &str, rules: PathRules) -> Option<(String, String)> {
    if !path.starts_with('/') {
        let instead = match path.split_once("://") {
            Some((_, rest)) => match rest.find('/').and_then(|at| rest.get(at..)) {
                Some(path) => format!("write the path alone: {path:?}"),
                None => "write the path alone: \"/\"".to_owned(),
            },
            None => format!("write {:?}", format!("/{path}")),
        };
        return Some(("a path starts with '/'".to_owned(), instead));
    }
    let mut normal = Vec::new();
    match normalise(path.as_bytes(), rules, &mut normal) {
        Err(fault) => Some((fault.to_string(), String::new())),
        Ok(normal) if normal != path.as_bytes() => Some((
            "no request has this path: paths are brought into one form before they are matched"
                .to_owned(),
            format!("write {:?}", String::from_utf8_lossy(normal)),
        )),
        Ok(_) => None,
    }
}

/// The most bytes of a DNS name as people write it (RFC 1035 §2.3.4).
pub(super) const NAME_BYTES_MAX: usize = 253;

/// What is wrong with `host` as the host of a route, and what to write instead.
pub(super) fn host_fault(host: &str) -> Option<(String, String)> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    if let Some((_, rest)) = host.split_once("://") {
        let name = rest.split(['/', ':']).next().unwrap_or_default();
        return Some((
            "this is a URL".to_owned(),
            format!("write the host alone: {name:?}"),
        ));
    }
    if name.contains('*') {
        let what = "'*' stands only for whole names in front".to_owned();
        return Some((what, "write it as \"*.example.com\"".to_owned()));
    }
    let authority = match authority::parse(name.as_bytes()) {
        Ok(authority) => authority,
        Err(fault) => {
            return Some((
                fault.to_string(),
                "write one such as \"api.example.com\"".to_owned(),
            ));
        }
    };
    // The parser yields slices of its input, so both are text.
    let bare = String::from_utf8_lossy(authority.bare()).to_ascii_lowercase();
    let wildcard = if name.len() < host.len() { "*." } else { "" };
    let instead = format!("write {:?}", format!("{wildcard}{bare}"));
    if authority.port.is_some() || name.ends_with(':') {
        return Some((
            "a host has no port here; it matches every port".to_owned(),
            instead,
        ));
    }
    if bare != name {
        let what = "hosts are written in lower case, without a dot at the end".to_owned();
        return Some((what, instead));
    }
    if bare.len() > NAME_BYTES_MAX {
        let what = format!(
            "the host has {} bytes, and the most is {NAME_BYTES_MAX}",
            bare.len()
        );
        return Some((what, "write a shorter one".to_owned()));
    }
    if bare.starts_with('[') && !wildcard.is_empty() {
        let what = "an IP address has no names below it".to_owned();
        return Some((what, format!("write {bare:?}")));
    }
    None
}

/// Whether `name` is a DNS name that a server can have (RFC 1123 §2.1; `_` is in wide use).
pub(super) fn is_dns_name(name: &str) -> bool {
    const LABEL_BYTES_MAX: usize = 63;
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    // A last label of digits alone would be a mistyped IPv4 address (RFC 3696 §2).
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= NAME_BYTES_MAX
        && name.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}
