//! A body, whatever it is written in, is an entity that comes back as it was, or is refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::admin::dialect::generic::fuzz;

fuzz_target!(|body: &[u8]| {
    let (kind, body) = body.split_at(body.len().min(1));
    let kind = match kind {
        [byte] if byte % 2 == 0 => "application/yaml",
        _ => "application/json",
    };
    fuzz::body(kind, body);
});
