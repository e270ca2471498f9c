//! The authority of a request: a host and perhaps a port, as in `Host` and absolute targets.
//!
//! Hosts choose routes, so everything that two readers could take for different hosts is refused:
//! user information, lists, percent-escapes, empty labels, ports that are empty or out of range.
//! Source: RFC 3986 §3.2, RFC 9110 §7.2.

use std::net::Ipv6Addr;
use std::str;

use thiserror::Error;

/// The longest host, in bytes (RFC 1035 §2.3.4).
pub const HOST_BYTES_MAX: usize = 255;

/// A valid authority; both parts lie in the bytes that were parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// A name, an IPv4 address, or an IPv6 address in its brackets, in the case that was sent.
    pub host: &'a [u8],
    /// The port, where one was given.
    pub port: Option<u16>,
}

/// Why an authority is refused; the answer is 400.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthorityFault {
    /// A byte that no host name has: userinfo, a path, a list, an escape, a space.
    #[error("the host contains a byte that is not allowed in a host name")]
    Byte,
    /// Nothing, or nothing before the port.
    #[error("the host is empty")]
    Empty,
    /// Two dots in a row or a dot in front.
    #[error("the host has an empty label (a dot in front, or two in a row)")]
    EmptyLabel,
    /// `[` without an IPv6 address and `]`; zone identifiers count as wrong too.
    #[error("the host begins with '[' but is not an IPv6 address in brackets")]
    Ipv6,
    /// More than [`HOST_BYTES_MAX`] bytes.
    #[error("the host is longer than 255 bytes")]
    Long,
    /// Not a decimal number from 1 to 65535 without leading zeros.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl AuthorityFault {
    /// A short word for logs and `Proxy-Status` details.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Self::Byte => "host_byte",
            Self::Empty => "host_empty",
            Self::EmptyLabel => "host_empty_label",
            Self::Ipv6 => "host_ipv6",
            Self::Long => "host_long",
            Self::Port => "host_port",
        }
    }
}

impl<'a> Authority<'a> {
    /// The host without the dot that may end a fully qualified name.
    #[must_use]
    pub fn bare(&self) -> &'a [u8] {
        self.host.strip_suffix(b".").unwrap_or(self.host)
    }
}

/// Reads the value of a `Host` field, or the authority of an absolute target.
pub fn parse(bytes: &[u8]) -> Result<Authority<'_>, AuthorityFault> {
    let (host, after) = if bytes.first() == Some(&b'[') {
        split_ipv6(bytes)?
    } else {
        split_name(bytes)?
    };
    if host.len() > HOST_BYTES_MAX {
        return Err(AuthorityFault::Long);
    }
    let port = match after {
        [] => None,
        [b':', digits @ ..] => Some(parse_port(digits)?),
        _ => return Err(AuthorityFault::Byte),
    };
    Ok(Authority { host, port })
}

/// Returns `host` in lower case: `host` itself where it is so already, else a copy in `into`.
///
/// A host too long for `into` is returned unchanged; [`parse`] yields none.
pub fn lower<'a>(host: &'a [u8], into: &'a mut [u8; 256]) -> &'a [u8] {
    if !host.iter().any(u8::is_ascii_uppercase) {
        return host;
    }
    let Some(copy) = into.get_mut(..host.len()) else {
        return host;
    };
    copy.copy_from_slice(host);
    copy.make_ascii_lowercase();
    copy
}

fn split_ipv6(bytes: &[u8]) -> Result<(&[u8], &[u8]), AuthorityFault> {
    let close = bytes
        .iter()
        .position(|&byte| byte == b']')
        .ok_or(AuthorityFault::Ipv6)?;
    let (host, after) = bytes.split_at(close + 1);
    let address = bytes.get(1..close).unwrap_or_default();
    str::from_utf8(address)
        .ok()
        .and_then(|text| text.parse::<Ipv6Addr>().ok())
        .ok_or(AuthorityFault::Ipv6)?;
    Ok((host, after))
}

fn split_name(bytes: &[u8]) -> Result<(&[u8], &[u8]), AuthorityFault> {
    if matches!(bytes, [] | [b':', ..]) {
        return Err(AuthorityFault::Empty);
    }
    let mut length = 0;
    let mut before = DOT;
    let mut double_dots = 0;
    for &byte in bytes {
        let class = CLASSES[usize::from(byte)];
        if class == 0 {
            break;
        }
        double_dots |= class & (before >> 1);
        before = class;
        length += 1;
    }
    if double_dots != 0 {
        return Err(AuthorityFault::EmptyLabel);
    }
    Ok(bytes.split_at(length))
}

fn parse_port(digits: &[u8]) -> Result<u16, AuthorityFault> {
    if !matches!(digits, [b'1'..=b'9', ..]) || digits.len() > 5 {
        return Err(AuthorityFault::Port);
    }
    let mut port = 0_u32;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(AuthorityFault::Port);
        }
        port = port * 10 + u32::from(digit - b'0');
    }
    u16::try_from(port).map_err(|_| AuthorityFault::Port)
}

/// The class of a byte that may stand in a name.
const NAME: u8 = 8;
/// The class of the dot: shifted down by one, it meets itself and no other class.
const DOT: u8 = NAME | 1 | 2;

/// The bytes of RFC 3986's reg-name, without `,` (read as a list by some) and `%` (one host must
/// not have two spellings). All others are 0.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        classes[index] = match byte {
            b'.' => DOT,
            b'-' | b'_' | b'~' => NAME,
            _ if byte.is_ascii_alphanumeric() => NAME,
            _ => 0,
        };
        index += 1;
    }
    classes
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_and_ports_are_read() {
        let cases: [(&str, &str, Option<u16>); 8] = [
            ("example.com", "example.com", None),
            ("Example.COM:8080", "Example.COM", Some(8080)),
            ("localhost:1", "localhost", Some(1)),
            ("a:65535", "a", Some(65535)),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[2001:DB8::1.2.3.4]:443", "[2001:DB8::1.2.3.4]", Some(443)),
            ("a_b-c.example.", "a_b-c.example.", None),
        ];
        for (text, host, port) in cases {
            let expected = Authority {
                host: host.as_bytes(),
                port,
            };
            assert_eq!(parse(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn ambiguous_hosts_are_refused() {
        use AuthorityFault::*;
        let cases = [
            ("", Empty),
            (":80", Empty),
            ("@a", Byte),
            (".", EmptyLabel),
            (".a", EmptyLabel),
            ("a..b", EmptyLabel),
            ("user@a", Byte),
            ("a/b", Byte),
            ("a?b", Byte),
            ("a#b", Byte),
            ("a, b", Byte),
            ("a,b", Byte),
            ("a b", Byte),
            ("a\\b", Byte),
            ("a%2eb", Byte),
            ("a\0", Byte),
            ("é", Byte),
            ("a]", Byte),
            ("[::1]x", Byte),
            ("[::1", Ipv6),
            ("[]", Ipv6),
            ("[::1%25eth0]", Ipv6),
            ("[::1%eth0]", Ipv6),
            ("[v1.x]", Ipv6),
            ("[127.0.0.1]", Ipv6),
            ("a:", Port),
            ("a:0", Port),
            ("a:080", Port),
            ("a:65536", Port),
            ("a:99999", Port),
            ("a:123456", Port),
            ("a:+80", Port),
            ("a:8o", Port),
            ("a:80:80", Port),
            ("::1", Empty),
        ];
        for (text, fault) in cases {
            assert_eq!(parse(text.as_bytes()), Err(fault), "{text}");
        }
    }

    #[test]
    fn a_host_has_at_most_255_bytes() {
        let longest = [b'a'; HOST_BYTES_MAX];
        assert!(parse(&longest).is_ok());
        assert_eq!(
            parse(&[b'a'; HOST_BYTES_MAX + 1]),
            Err(AuthorityFault::Long)
        );
    }

    #[test]
    fn the_final_dot_is_stripped_on_request() {
        assert_eq!(
            parse(b"a.b.").map(|authority| authority.bare()),
            Ok(&b"a.b"[..])
        );
        assert_eq!(
            parse(b"a.b").map(|authority| authority.bare()),
            Ok(&b"a.b"[..])
        );
    }

    #[test]
    fn lower_copies_only_what_it_must() {
        let mut into = [0; 256];
        let host = b"example.com";
        assert!(std::ptr::eq(lower(host, &mut into), host));
        assert_eq!(lower(b"EXAMPLE.com", &mut into), host);
    }

    proptest! {
        #[test]
        fn what_parses_reads_the_same_again(bytes in "[a-c.:\\[\\]0-9A@,%]{0,12}") {
            let Ok(authority) = parse(bytes.as_bytes()) else { return Ok(()) };
            let mut again = authority.host.to_vec();
            if let Some(port) = authority.port {
                again.extend_from_slice(format!(":{port}").as_bytes());
            }
            prop_assert_eq!(again.as_slice(), bytes.as_bytes());
            prop_assert_eq!(parse(&again), Ok(authority));
        }
    }
}
