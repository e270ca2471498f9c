//! Field lines: which names mean something to a proxy, and how lists in values are read.

/// A field line as it came: name and value, without the colon, the white space and the line ending.
pub type Field<'b> = httparse::Header<'b>;

/// The names that a proxy acts on; every other field is only carried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Name {
    /// A name without meaning to us.
    Other,
    /// `Connection`: options for the next hop only (RFC 9110 §7.6.1).
    Connection,
    /// `Content-Length` (RFC 9110 §8.6).
    ContentLength,
    /// `Date` (RFC 9110 §6.6.1).
    Date,
    /// `Expect` (RFC 9110 §10.1.1).
    Expect,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `Host` (RFC 9110 §7.2).
    Host,
    /// `HTTP2-Settings`: belongs to an upgrade that we never make.
    Http2Settings,
    /// `Keep-Alive`: for the next hop only.
    KeepAlive,
    /// `Max-Forwards` (RFC 9110 §7.6.2).
    MaxForwards,
    /// `Proxy-Connection`: an old mistake, for the next hop only.
    ProxyConnection,
    /// `Referer`: kept for the log.
    Referer,
    /// `TE` (RFC 9110 §10.1.4).
    Te,
    /// `Trailer` (RFC 9110 §6.6.2).
    Trailer,
    /// `Transfer-Encoding` (RFC 9112 §6.1).
    TransferEncoding,
    /// `Upgrade` (RFC 9110 §7.8).
    Upgrade,
    /// `User-Agent`: kept for the log.
    UserAgent,
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `X-Forwarded-Host`.
    XForwardedHost,
    /// `X-Forwarded-Proto`.
    XForwardedProto,
    /// `X-Real-IP`.
    XRealIp,
}

impl Name {
    /// Which name this is; case does not matter.
    #[inline]
    pub fn of(name: &str) -> Self {
        let bytes = name.as_bytes();
        let Some(first) = bytes.first() else {
            return Self::Other;
        };
        let (same, known) = match (bytes.len(), first | 0x20) {
            (2, b't') => (is(bytes, b"te"), Self::Te),
            (4, b'h') => (is(bytes, b"host"), Self::Host),
            (4, b'd') => (is(bytes, b"date"), Self::Date),
            (6, b'e') => (is(bytes, b"expect"), Self::Expect),
            (7, b'r') => (is(bytes, b"referer"), Self::Referer),
            (7, b't') => (is(bytes, b"trailer"), Self::Trailer),
            (7, b'u') => (is(bytes, b"upgrade"), Self::Upgrade),
            (9, b'f') => (is(bytes, b"forwarded"), Self::Forwarded),
            (9, b'x') => (is(bytes, b"x-real-ip"), Self::XRealIp),
            (10, b'c') => (is(bytes, b"connection"), Self::Connection),
            (10, b'k') => (is(bytes, b"keep-alive"), Self::KeepAlive),
            (10, b'u') => (is(bytes, b"user-agent"), Self::UserAgent),
            (12, b'm') => (is(bytes, b"max-forwards"), Self::MaxForwards),
            (14, b'c') => (is(bytes, b"content-length"), Self::ContentLength),
            (14, b'h') => (is(bytes, b"http2-settings"), Self::Http2Settings),
            (15, b'x') => (is(bytes, b"x-forwarded-for"), Self::XForwardedFor),
            (16, b'p') => (is(bytes, b"proxy-connection"), Self::ProxyConnection),
            (16, b'x') => (is(bytes, b"x-forwarded-host"), Self::XForwardedHost),
            (17, b't') => (is(bytes, b"transfer-encoding"), Self::TransferEncoding),
            (17, b'x') => (is(bytes, b"x-forwarded-proto"), Self::XForwardedProto),
            _ => return Self::Other,
        };
        if same { known } else { Self::Other }
    }

    /// Whether the field ends at this hop whatever `Connection` says (RFC 9110 §7.6.1), or is
    /// written anew by whoever frames the next message.
    pub fn is_for_this_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::ContentLength
                | Self::Http2Settings
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::Trailer
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }
}

/// Whether a field name is this lower-case one. Of the bytes that a name may have, bit 5 tells
/// apart nothing but the case of letters; a loop of known length takes a few vector instructions.
#[inline]
fn is<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    let Ok(name) = <&[u8; N]>::try_from(name) else {
        return false;
    };
    let differing = name.iter().zip(known).fold(0, |differing, (one, other)| {
        differing | ((one | 0x20) ^ other)
    });
    differing == 0
}

/// The elements of a comma-separated list, without the white space around them; empty ones skipped.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Options that `Connection` may name but that are never removed for it: who frames, routes or
/// vouches for a message is not up to its sender (attack class 19).
const KEPT_WHATEVER_CONNECTION_SAYS: &[&str] = &[
    "authorization",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "transfer-encoding",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Whether a field of this name may be dropped because `Connection` names it.
pub fn may_be_named_by_connection(name: &str) -> bool {
    !KEPT_WHATEVER_CONNECTION_SAYS
        .iter()
        .any(|kept| kept.eq_ignore_ascii_case(name))
}

/// What the `Connection` lines of a message ask for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ConnectionOptions {
    /// `close`.
    pub close: bool,
    /// `keep-alive`.
    pub keep_alive: bool,
    /// `upgrade`.
    pub upgrade: bool,
    /// Names of fields that end at this hop.
    pub names_fields: bool,
}

impl ConnectionOptions {
    /// Adds what one `Connection` line says.
    pub fn add(&mut self, value: &[u8]) {
        for option in elements(value) {
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.names_fields = true;
            }
        }
    }
}

/// A `Content-Length` value: digits only, no list, no sign (RFC 9110 §8.6).
pub fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0u64, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        assert_eq!(Name::of("Content-Length"), Name::ContentLength);
        assert_eq!(Name::of("cOnTeNt-LeNgTh"), Name::ContentLength);
        assert_eq!(Name::of("Content_Length"), Name::Other);
        assert_eq!(Name::of("TE"), Name::Te);
        assert_eq!(Name::of(""), Name::Other);
    }

    #[test]
    fn lengths_are_digits_and_nothing_else() {
        assert_eq!(content_length(b"0"), Some(0));
        assert_eq!(content_length(b"18446744073709"), Some(18_446_744_073_709));
        for wrong in [
            "",
            "+5",
            "-1",
            "5, 5",
            "0x5",
            " 5",
            "5 ",
            "99999999999999999999",
        ] {
            assert_eq!(content_length(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn connection_options_add_up() {
        let mut options = ConnectionOptions::default();
        options.add(b"Keep-Alive , upgrade");
        options.add(b"X-Auth,,");
        assert!(options.keep_alive && options.upgrade && options.names_fields && !options.close);
    }
}
