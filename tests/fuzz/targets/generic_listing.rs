//! No query makes a list panic. The first line is the query, the rest the entity.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::admin::dialect::generic::fuzz;

fuzz_target!(|input: &str| {
    let (query, entity) = input.split_once('\n').unwrap_or((input, "{}"));
    if let Ok(entity) = serde_json::from_str(entity) {
        fuzz::listing(query, &entity);
    }
});
