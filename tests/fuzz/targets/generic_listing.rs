//! No query makes a list panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::admin::dialect::generic::fuzz;

fuzz_target!(|input: (String, String)| {
    let (query, entity) = input;
    if let Ok(entity) = serde_json::from_str(&entity) {
        fuzz::listing(&query, &entity);
    }
});
