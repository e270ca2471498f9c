//! No patch makes a document panic, or grow without end.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::admin::dialect::generic::fuzz;

fuzz_target!(|patch: &str| {
    let entity = serde_json::json!({
        "a": {"b": [1, {"c": "d"}], "e": null}, "metadata": {"team": "x"}, "l": [],
    });
    fuzz::patch(patch, &entity);
});
