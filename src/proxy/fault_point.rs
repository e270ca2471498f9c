//! Fault points: places where a test makes the data plane fail. Compiled in for tests only.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::understand::Understood;

/// How often a core that is held looks whether it may go on.
const LOOK: Duration = Duration::from_millis(2);

/// Does what the request asks for in `X-Fault-Point`: `panic`, or `hold` and a folder, which holds
/// the whole core until the folder is gone; a file `reached` in it says that it is held.
pub(super) fn reach(request: &Understood<'_, '_>) {
    let mut fields = request.head.fields.iter();
    let Some(asked) = fields.find(|field| field.name.eq_ignore_ascii_case("x-fault-point")) else {
        return;
    };
    if asked.value == b"panic" {
        std::panic::panic_any("a request reached the fault point");
    }
    let asked = std::str::from_utf8(asked.value).unwrap_or_default();
    if let Some(folder) = asked.strip_prefix("hold ").map(Path::new) {
        let _ = fs::write(folder.join("reached"), "");
        while folder.exists() {
            std::thread::sleep(LOOK);
        }
    }
}
