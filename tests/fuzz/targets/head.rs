//! A head means the same however much of it has come, and what we write from a head reads back
//! with that same meaning.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::wire::compose::{self, Forwarding, Persistence, RequestPlan, ResponsePlan};
use ringway::wire::head::{self, Body, HeadLimits, Request, Slots, Target, Version};
use ringway::wire::path::{self, PathRules};

const LIMITS: HeadLimits = HeadLimits {
    bytes: 2048,
    fields: 16,
};
/// Ours has a few lines more: `Via`, `Forwarded` and their like.
const LIMITS_AGAIN: HeadLimits = HeadLimits {
    bytes: 16 * 1024,
    fields: 32,
};
const RULES: PathRules = PathRules {
    merge_slashes: true,
    keep_encoded_slashes: false,
};

fuzz_target!(|input: &[u8]| {
    let [switches, cut, bytes @ ..] = input else {
        return;
    };
    if switches & 1 == 0 {
        request(bytes, usize::from(*cut), switches & 2 != 0);
    } else {
        response(bytes, usize::from(*cut), switches & 2 != 0);
    }
});

fn request(bytes: &[u8], cut: usize, trusted: bool) {
    let mut slots = Slots::new();
    let Ok(Some(head)) = head::request(bytes, &mut slots, LIMITS) else {
        return;
    };
    assert!(head.length <= bytes.len() && head.fields.len() <= LIMITS.fields);
    let part = bytes.get(..cut.min(head.length - 1)).unwrap_or_default();
    let mut slots_part = Slots::new();
    let incomplete = head::request(part, &mut slots_part, LIMITS);
    assert!(matches!(incomplete, Ok(None)), "{}", part.escape_ascii());
    let mut slots_alone = Slots::new();
    let alone = head::request(&bytes[..head.length], &mut slots_alone, LIMITS);
    let alone = alone
        .ok()
        .flatten()
        .expect("what follows a head is no part of it");
    assert_same(&alone, &head);

    if let Some(text) = write_request(&head, trusted) {
        let mut slots = Slots::new();
        let again = head::request(&text, &mut slots, LIMITS_AGAIN);
        let again = match again {
            Ok(Some(again)) => again,
            Ok(None) => panic!("incomplete: {}", text.escape_ascii()),
            Err(fault) => panic!("{fault}: {}", text.escape_ascii()),
        };
        assert_eq!(again.length, text.len());
        assert_eq!(again.version, Version::Http11);
        assert_eq!((again.method, again.body), (head.method, head.body));
        assert_eq!(
            (again.authority, again.host_text),
            (head.authority, head.host_text)
        );
        assert_eq!(again.expects_continue, head.expects_continue);
        assert_eq!(again.upgrade, head.upgrade);
        assert!(again.is_persistent());
    }
}

fn assert_same(one: &Request<'_, '_>, other: &Request<'_, '_>) {
    assert_eq!((one.length, one.method), (other.length, other.method));
    assert_eq!((one.target, one.body), (other.target, other.body));
    assert_eq!(one.fields, other.fields);
}

/// What would go to the origin; none for what is refused after the head, or has no host.
fn write_request(head: &Request<'_, '_>, trusted: bool) -> Option<Vec<u8>> {
    head.authority?;
    let mut into = Vec::new();
    let (path, query) = match head.target {
        Target::Asterisk => (b"*".as_slice(), None),
        Target::Path { path, query } => (path::normalise(path, RULES, &mut into).ok()?, query),
    };
    if !query.is_none_or(path::query_is_valid) {
        return None;
    }
    let plan = RequestPlan {
        path,
        query,
        host: b"example.org",
        client: &Forwarding::of([127, 0, 0, 1].into()),
        trusted,
        upgrade: head.upgrade,
        drop_underscores: true,
        wants_trailers: false,
            asked_host: b"example.org",
            edits: None,
        };
    let mut out = Vec::new();
    compose::request(head, &plan, &mut out);
    Some(out)
}

fn response(bytes: &[u8], cut: usize, to_head: bool) {
    let mut slots = Slots::new();
    let Ok(Some(head)) = head::response(bytes, &mut slots, LIMITS, to_head) else {
        return;
    };
    assert!(head.length <= bytes.len() && head.fields.len() <= LIMITS.fields);
    let part = bytes.get(..cut.min(head.length - 1)).unwrap_or_default();
    let mut slots_part = Slots::new();
    let incomplete = head::response(part, &mut slots_part, LIMITS, to_head);
    assert!(matches!(incomplete, Ok(None)), "{}", part.escape_ascii());

    let plan = ResponsePlan {
        body: head.body,
        date: b"Thu, 01 Jan 1970 00:00:00 GMT",
        connection: Persistence::Implied,
        upgrade: None,
        edits: None,
    };
    let mut text = Vec::new();
    compose::response(&head, &plan, &mut text);
    let mut slots = Slots::new();
    let again = head::response(&text, &mut slots, LIMITS_AGAIN, to_head);
    let again = match again {
        Ok(Some(again)) => again,
        Ok(None) => panic!("incomplete: {}", text.escape_ascii()),
        Err(fault) => panic!("{fault}: {}", text.escape_ascii()),
    };
    assert_eq!(again.length, text.len());
    assert_eq!((again.status, again.reason), (head.status, head.reason));
    assert_eq!(again.version, Version::Http11);
    assert!(again.has_date || again.status < 200);
    // An empty body without a length would otherwise be read to the end of the connection.
    let bodiless = to_head || matches!(head.status, 100..200 | 204 | 304);
    if !bodiless || again.body != Body::None {
        assert_eq!(again.body, head.body);
    }
}
