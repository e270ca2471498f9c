//! Key: what of a request tells responses apart, as bytes.
//!
//! All that a server is asked is in the key: host with port, path and query, as they came and as
//! they go on, the method, the upstream, and a number that stands for the route as it is declared.
//! So nothing that a client writes there can change what others get. Fields are in it where the
//! route or the `Vary` of a response says so, and those by which a trusted peer names scheme and
//! host.

use sha2::{Digest, Sha256};

use super::ask::Wishes;
use crate::model::compress::Coding;
use crate::proxy::policy::Visit;
use crate::table::policy::{Authorized, Cache, Filling, Proof};
use crate::table::{Action, Rewrite, Source, UpstreamId};
use crate::wire::field::Field;
use crate::wire::head::Body;

/// By which a trusted peer says what its client asked for, where that goes on to the server.
const OF_TRUSTED: [&str; 2] = ["x-forwarded-proto", "x-forwarded-host"];
/// Bytes that no field has in it.
const VALUE: u8 = 1;
const END: u8 = 0;

/// The field lines of a request.
pub(super) trait Lines {
    /// Calls `put` with each value of the field `name`.
    fn each(&self, name: &str, put: &mut dyn FnMut(&[u8]));
}

impl Lines for [Field<'_>] {
    fn each(&self, name: &str, put: &mut dyn FnMut(&[u8])) {
        let named = self
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name));
        named.for_each(|field| put(field.value));
    }
}

/// Field lines that were copied while their request was at hand.
pub(super) struct Copied(Vec<u8>);

impl Copied {
    /// Copies all lines.
    pub(super) fn of(fields: &[Field<'_>]) -> Self {
        let bytes = |field: &Field<'_>| field.name.len() + field.value.len() + 2;
        let mut copy = Vec::with_capacity(fields.iter().map(bytes).sum());
        for field in fields {
            copy.extend_from_slice(field.name.as_bytes());
            copy.push(VALUE);
            copy.extend_from_slice(field.value);
            copy.push(END);
        }
        Self(copy)
    }
}

impl Lines for Copied {
    fn each(&self, name: &str, put: &mut dyn FnMut(&[u8])) {
        for line in self.0.split(|byte| *byte == END) {
            let mut parts = line.splitn(2, |byte| *byte == VALUE);
            if let (Some(known), Some(value)) = (parts.next(), parts.next())
                && known.eq_ignore_ascii_case(name.as_bytes())
            {
                put(value);
            }
        }
    }
}

/// What a key is made of beside the request.
pub(in crate::proxy) struct Parts<'a> {
    pub(in crate::proxy) cache: &'a Cache,
    pub(in crate::proxy) proof: &'a Proof<'a>,
    /// What the request puts in texts of the route.
    pub(in crate::proxy) filling: &'a Filling<'a>,
    /// The upstream that a split chose.
    pub(in crate::proxy) upstream: Option<UpstreamId>,
    /// How the body is compressed for this client.
    pub(in crate::proxy) coding: Option<Coding>,
}

/// Writes the key of a request, all but its body; gives the hash of what it asks for.
pub(super) fn put(
    visit: &Visit<'_, '_, '_>,
    parts: &Parts<'_>,
    wishes: &Wishes<'_>,
    key: &mut Vec<u8>,
) -> u64 {
    let (request, cache) = (visit.request, parts.cache);
    let head = &request.head;
    key.clear();
    key.extend_from_slice(&cache.salt.to_le_bytes());
    let upstream = parts.upstream.map_or(u32::MAX, |upstream| upstream.0);
    key.extend_from_slice(&upstream.to_le_bytes());
    key.push(match head.method {
        // HEAD is answered with what was kept for GET.
        "GET" | "HEAD" if head.body == Body::None => 0,
        "POST" => 1,
        "QUERY" => 2,
        _ => 3,
    });
    key.push(match parts.coding {
        None => 0,
        Some(Coding::Br) => 1,
        Some(Coding::Gzip) => 2,
        Some(Coding::Zstd) => 3,
    });
    let start = key.len();
    key.extend_from_slice(head.host_text);
    key.push(END);
    key.extend_from_slice(request.path);
    if let Some(query) = request.query {
        key.push(b'?');
        key.extend_from_slice(query);
    }
    let uri = visit.core.cache.hash(key.get(start..).unwrap_or_default());
    key.push(END);
    put_target(visit, parts.filling, key);
    if visit.connection.trusted {
        for name in OF_TRUSTED {
            put_field(name, head.fields, key);
        }
    }
    for name in &cache.vary {
        put_field(name, head.fields, key);
    }
    if cache.authorized == Authorized::Separate {
        key.extend_from_slice(wishes.authorization.unwrap_or_default());
        key.push(END);
        key.extend_from_slice(parts.proof.consumer.as_bytes());
        key.push(END);
    }
    uri
}

/// Adds what the route makes of path, query and host, if it changes them: texts may put more into
/// them than stands there already, such as the address of the client.
fn put_target(visit: &Visit<'_, '_, '_>, filling: &Filling<'_>, key: &mut Vec<u8>) {
    let Visit {
        found, policies, ..
    } = *visit;
    if let Action::Forward(to) = &found.route.action
        && !matches!(to.rewrite, Rewrite::Keep)
    {
        let source = Source {
            captures: &found.captures,
            claims: filling.claims,
            fields: filling.fields,
        };
        to.rewrite.apply(filling.path, filling.query, &source, key);
    }
    key.push(END);
    if !policies.query.is_empty() {
        policies.query.edit_query(filling, key);
    }
    key.push(END);
    if let Some(host) = &policies.host {
        host.fill(filling, key);
    }
    key.push(END);
}

/// Adds the values of fields.
pub(super) fn put_fields<L: Lines + ?Sized>(names: &[Box<str>], lines: &L, key: &mut Vec<u8>) {
    for name in names {
        put_field(name, lines, key);
    }
}

fn put_field<L: Lines + ?Sized>(name: &str, lines: &L, key: &mut Vec<u8>) {
    lines.each(name, &mut |value| {
        key.push(VALUE);
        key.extend_from_slice(value);
    });
    key.push(END);
}

/// Adds a body.
pub(super) fn put_body(body: &[u8], key: &mut Vec<u8>) {
    key.extend_from_slice(&Sha256::digest(body));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key<L: Lines + ?Sized>(names: &[&str], lines: &L) -> Vec<u8> {
        let names: Vec<Box<str>> = names.iter().map(|name| (*name).into()).collect();
        let mut key = Vec::new();
        put_fields(&names, lines, &mut key);
        key
    }

    #[test]
    fn copied_lines_make_the_same_key() {
        let field = |name, value: &'static [u8]| Field { name, value };
        let lines = [field("A", b"1"), field("b", b""), field("a", b"2, 3")];
        let copied = Copied::of(&lines);
        for names in [&["a"][..], &["b"], &["c"], &["a", "b", "c"]] {
            assert_eq!(key(names, &lines[..]), key(names, &copied));
        }
        // No value, an empty one, and two values are three things.
        assert_ne!(key(&["b"], &copied), key(&["c"], &copied));
        let joined = [field("a", b"1, 2, 3")];
        assert_ne!(key(&["a"], &joined[..]), key(&["a"], &copied));
    }
}
