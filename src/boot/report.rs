//! What the process says of itself, and the limits it asks the system for.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing_subscriber::EnvFilter;

/// Starts the process log: JSON lines on stderr. `RINGWAY_LOG` filters it, as in `warn`.
pub fn start_logging(plain: bool) {
    let filter = EnvFilter::try_from_env("RINGWAY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if plain {
        builder.without_time().with_target(false).init();
    } else {
        builder.json().flatten_event(true).with_target(false).init();
    }
}

/// A connection is a descriptor: asks for as many as the system gives.
pub(super) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!(message = "the limit of open files could not be raised", %error);
    }
}
