//! Fault points: places where a test makes the data plane fail. Compiled in for tests only.

use super::understand::Understood;

/// Panics if the request asks for it.
pub(super) fn reach(request: &Understood<'_, '_>) {
    let asked = |field: &&crate::wire::field::Field<'_>| {
        field.name.eq_ignore_ascii_case("x-fault-point") && field.value == b"panic"
    };
    if request.head.fields.iter().any(|field| asked(&field)) {
        std::panic::panic_any("a request reached the fault point");
    }
}
