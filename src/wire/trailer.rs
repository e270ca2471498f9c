//! The fields after a chunked body: which are kept, and which never are.
//!
//! A trailer field comes when the message has been routed and its body has gone by, so nothing
//! may depend on it. All are dropped but those that the caller names, and of those never a field
//! that frames, routes or authenticates a message. Source: RFC 9110 §6.5.1, RFC 9112 §7.1.2.

/// Which trailer fields are kept, and where.
#[derive(Debug)]
pub struct Trailers<'a> {
    /// Lower-case names of the fields to keep. One that [`is_forbidden`] is dropped even if listed.
    pub allow: &'a [Box<[u8]>],
    /// Receives `name: value\r\n` of each kept field, at most two bytes per field longer than it
    /// came. Before the body is finished it may end with part of a field.
    pub into: &'a mut Vec<u8>,
}

impl Trailers<'_> {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.allow.is_empty() {
            self.into.extend_from_slice(bytes);
        }
    }

    /// Ends the field that begins at `start`, or takes it back when it is not wanted.
    pub(super) fn end_field(&mut self, start: usize) {
        let field = self.into.get(start..).unwrap_or_default();
        let name = field.split(|&byte| byte == b':').next().unwrap_or_default();
        let wanted = self
            .allow
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(name));
        if !wanted || is_forbidden(name) {
            self.into.truncate(start);
            return;
        }
        let end = start + field.trim_ascii_end().len();
        self.into.truncate(end);
        self.into.extend_from_slice(b"\r\n");
    }
}

/// Whether the field `name` must never come from a trailer section: it frames or routes a
/// message, authenticates it, controls caches, or says how to read the body.
///
/// `_` counts as `-`, since some servers behind a proxy read both as one.
#[must_use]
pub fn is_forbidden(name: &[u8]) -> bool {
    FORBIDDEN
        .iter()
        .any(|word| word.len() == name.len() && begins_with(name, word))
        || FORBIDDEN_FAMILIES
            .iter()
            .any(|prefix| begins_with(name, prefix))
}

fn begins_with(name: &[u8], prefix: &[u8]) -> bool {
    let same = |(&byte, &expected): (&u8, &u8)| {
        byte.to_ascii_lowercase() == expected || (byte == b'_' && expected == b'-')
    };
    name.len() >= prefix.len() && name.iter().zip(prefix).all(same)
}

const FORBIDDEN: &[&[u8]] = &[
    b"age",
    b"authorization",
    b"cache-control",
    b"connection",
    b"cookie",
    b"date",
    b"expect",
    b"expires",
    b"forwarded",
    b"host",
    b"keep-alive",
    b"location",
    b"max-forwards",
    b"pragma",
    b"range",
    b"retry-after",
    b"set-cookie",
    b"set-cookie2",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"vary",
    b"via",
    b"www-authenticate",
    b"x-real-ip",
];

const FORBIDDEN_FAMILIES: &[&[u8]] = &[b"content-", b"if-", b"proxy-", b"x-forwarded-"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_and_routing_never_come_from_trailers() {
        for name in [
            "Content-Length",
            "content_length",
            "TE",
            "Host",
            "If-Match",
            "Set-Cookie",
        ] {
            assert!(is_forbidden(name.as_bytes()), "{name}");
        }
        for name in [
            "Server-Timing",
            "ETag",
            "grpc-status",
            "hosts",
            "tea",
            "hos",
        ] {
            assert!(!is_forbidden(name.as_bytes()), "{name}");
        }
    }
}
