//! Read: waits until a client has sent a whole request head.

use super::accept::Connection;
use super::core::Core;
use super::fault::Refusal;
use super::serve::{Step, decide};

/// What the wait ended with.
pub(super) enum Read {
    /// A request, and what is to be done with it.
    Step(Step),
    /// Something that is no request, or came too slowly.
    Refused(Refusal),
    /// The end of the connection, between two requests.
    Ended,
}

const TOO_SLOW: Refusal = Refusal {
    status: 408,
    reason: "client_timeout",
    sentence: "the request did not arrive in time",
};

/// Waits for the next request of a connection. Its first wait is as long as a head may take; later
/// ones, while nothing has come, as long as an idle connection is kept.
pub(super) async fn read(connection: &mut Connection, core: &Core, first: bool) -> Read {
    let timeouts = core.snapshot().settings.timeouts;
    let mut begun = false;
    let mut parsed = 0;
    let wait_ms = if first {
        timeouts.header_ms
    } else {
        timeouts.idle_ms
    };
    connection.deadline.set_receiving(wait_ms, true);
    loop {
        let Some(mut input) = connection.input.take().or_else(|| core.heads.lend()) else {
            return Read::Ended;
        };
        if !input.is_empty() {
            if is_worth_parsing(input.filled(), parsed) || input.room() == 0 {
                parsed = input.len();
                connection.input = Some(input);
                match decide(connection, core) {
                    Ok(Some(step)) => return Read::Step(step),
                    Ok(None) => {}
                    Err(refusal) => return Read::Refused(refusal),
                }
                let Some(taken) = connection.input.take() else {
                    return Read::Ended;
                };
                input = taken;
            }
            if !begun {
                begun = true;
                connection.deadline.set_receiving(timeouts.header_ms, false);
            }
            if input.room() == 0 {
                input.compact();
                let limit = core.snapshot().settings.head.bytes;
                input.grow(limit);
            }
        }
        let (received, input) = connection.stream.receive(input).await;
        let nothing = input.is_empty();
        connection.input = Some(input);
        match received {
            Ok(1..) => {}
            _ if nothing => return Read::Ended,
            _ if connection.deadline.has_passed() => return Read::Refused(TOO_SLOW),
            _ => return Read::Ended,
        }
    }
}

/// A head that comes byte by byte is not read anew for each of them: only when a line has ended,
/// or much has come, since the first `parsed` bytes were looked at.
fn is_worth_parsing(bytes: &[u8], parsed: usize) -> bool {
    const MUCH: usize = 1024;
    let new = bytes.get(parsed..).unwrap_or_default();
    parsed == 0 || new.len() >= MUCH || new.contains(&b'\n')
}
