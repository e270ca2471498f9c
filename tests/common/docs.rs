//! Examples in documentation: a command, and what it prints.

use serde_json::Value;

/// Stands for anything.
const ANYTHING: &str = "…";

/// A page of `docs/`.
pub fn page(name: &str) -> String {
    let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the page")
}

/// The fenced blocks of a text, each with its language.
pub fn blocks(text: &str) -> Vec<(&str, &str)> {
    let blocks = text.split("\n```").skip(1).step_by(2);
    blocks
        .map(|block| block.split_once('\n').expect("a block has a language"))
        .collect()
}

/// Whether what was printed is what was expected, which may leave texts open.
pub fn agrees(printed: &Value, expected: &Value) -> bool {
    match (printed, expected) {
        (_, Value::String(any)) if any == ANYTHING => true,
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && other
                    .iter()
                    .all(|(key, value)| one.get(key).is_some_and(|printed| agrees(printed, value)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| agrees(a, b))
        }
        (one, other) => one == other,
    }
}
