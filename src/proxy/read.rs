//! Read: waits until a client has sent a whole request head.

use super::accept::Connection;
use super::core::Core;
use super::fault::Refusal;
use super::serve::{Step, decide};
use crate::net::{Buffer, REST_MS, REST_TICKS};

/// What the wait ended with.
pub(super) enum Read {
    /// A request; what is to be done with it has been put in its place.
    Decided,
    /// Something that is no request, or came too slowly.
    Refused(Refusal),
    /// The end of the connection, in the midst of a head.
    Ended,
}

const TOO_SLOW: Refusal = Refusal {
    status: 408,
    reason: "client_timeout",
    sentence: "the request did not arrive in time",
};

/// Waits for the first bytes of the next request, and says whether they came. The first wait of a
/// connection is as long as a head may take; later ones as long as an idle connection is kept.
///
/// When nothing comes for a while the connection rests: it holds no buffer. If the last wait was
/// that long, this one begins without a buffer. So does the second wait of a connection: many make
/// one request and no other.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn holds its arguments twice, and each connection has the memory of this"
)]
pub(super) fn await_request(
    connection: &mut Connection,
    core: &Core,
) -> impl Future<Output = bool> {
    async move {
        if connection.has_input() {
            return true;
        }
        let is_new = std::mem::take(&mut connection.is_new);
        let timeouts = core.snapshot().settings.timeouts;
        let mut wait_ms = if is_new {
            timeouts.header_ms
        } else {
            timeouts.idle_ms
        };
        let began = core.deadlines.now();
        if !connection.rests {
            connection.deadline.set_resting(wait_ms);
            let Some(input) = connection.input.take().or_else(|| core.heads.lend()) else {
                return false;
            };
            let deadline = &connection.deadline;
            let stream = &connection.stream;
            if let Some((received, input)) = stream.receive_or_rest(input, deadline).await {
                connection.input = Some(input);
                connection.rests = is_new;
                connection.wake();
                return matches!(received, Ok(1..));
            }
            wait_ms = wait_ms.saturating_sub(REST_MS);
        }
        connection.deadline.set_idle(wait_ms);
        connection.rest();
        if connection.stream.readable().await.is_err() {
            return false;
        }
        connection.rests = core.deadlines.now() - began >= REST_TICKS;
        let Some(input) = core.heads.lend() else {
            return false;
        };
        let (received, input) = connection.stream.receive(input).await;
        connection.input = Some(input);
        connection.wake();
        matches!(received, Ok(1..))
    }
}

/// Reads the rest of a request's head, of which the first bytes have come, and decides on it.
pub(super) async fn read(
    connection: &mut Connection,
    core: &Core,
    step: &mut Option<Step>,
    line: &mut Vec<u8>,
) -> Read {
    let mut begun = false;
    let mut parsed = 0;
    loop {
        if connection
            .input
            .as_deref()
            .is_some_and(|input| is_worth_parsing(input.filled(), parsed) || input.room() == 0)
        {
            parsed = connection.input.as_deref().map_or(0, Buffer::len);
            match decide(connection, core, step, line) {
                Ok(true) => return Read::Decided,
                Ok(false) => {}
                Err(refusal) => return Read::Refused(refusal),
            }
        }
        if !begun {
            begun = true;
            let header_ms = core.snapshot().settings.timeouts.header_ms;
            connection.deadline.set_receiving(header_ms);
        }
        let Some(mut input) = connection.input.take() else {
            return Read::Ended;
        };
        if input.room() == 0 {
            input.compact();
            let limit = core.snapshot().settings.head.bytes;
            input.grow(limit);
        }
        let (received, input) = connection.stream.receive(input).await;
        connection.input = Some(input);
        match received {
            Ok(1..) => {}
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
