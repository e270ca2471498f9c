//! Affinity: what of a request decides which server it gets, and the cookie that says so again.

use std::net::IpAddr;
use std::num::NonZeroU64;

use super::understand::Understood;
use crate::table::{Key, Spread};
use crate::wire::field::Field;
use crate::wire::{hash, pairs};

/// What of a request decides which server it gets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Affinity {
    /// The hash of its key.
    pub(super) key: Option<NonZeroU64>,
    /// The number of the server that its cookie names.
    pub(super) server: Option<NonZeroU64>,
}

impl Affinity {
    /// Looks at a request as `spread` asks.
    #[inline]
    pub(super) fn of(spread: &Spread, request: &Understood<'_, '_>, client: IpAddr) -> Self {
        if !spread.looks_at_requests() {
            return Self::default();
        }
        let fields = request.head.fields;
        let key = match &spread.key {
            None => None,
            Some(Key::Client) => Some(hash_of_address(client)),
            Some(Key::Path) => Some(hash::of(request.path)),
            Some(Key::Header(name)) => field(fields, name).map(hash::of),
            Some(Key::Cookie(name)) => cookie(fields, name).map(hash::of),
            Some(Key::Query(name)) => request
                .query
                .and_then(|query| pairs::parameter(query, name.as_bytes()))
                .map(hash::of),
        };
        let sticky = spread.sticky.as_ref();
        let server = sticky
            .and_then(|sticky| cookie(fields, &sticky.cookie))
            .and_then(number);
        let (key, server) = (key.map(or_one), server.map(or_one));
        Self { key, server }
    }
}

/// The line that keeps the client with server `number`.
pub(super) fn put_cookie(spread: &Spread, server: u64, out: &mut Vec<u8>) {
    if let Some(sticky) = &spread.sticky {
        out.extend_from_slice(b"Set-Cookie: ");
        out.extend_from_slice(sticky.cookie.as_bytes());
        out.push(b'=');
        for shift in (0..16).rev() {
            let digit = (server >> (4 * shift)) & 15;
            out.extend(char::from_digit(digit as u32, 16).map(|digit| digit as u8));
        }
        out.extend_from_slice(sticky.attributes.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// The value of the first field `name`, without regard to case.
pub(super) fn field<'b>(fields: &[Field<'b>], name: &str) -> Option<&'b [u8]> {
    fields
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
}

/// The value of the first cookie `name`.
pub(super) fn cookie<'b>(fields: &[Field<'b>], name: &str) -> Option<&'b [u8]> {
    fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("cookie"))
        .find_map(|field| pairs::cookie(field.value, name.as_bytes()))
}

/// Of all hashes one is taken to mean that there is none.
fn or_one(hash: u64) -> NonZeroU64 {
    NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN)
}

fn hash_of_address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => hash::of(&v4.octets()),
        IpAddr::V6(v6) => hash::of(&v6.octets()),
    }
}

/// Sixteen hexadecimal digits.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}
