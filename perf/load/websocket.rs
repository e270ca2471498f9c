//! WebSocket echo (RFC 6455): the opening handshake, and messages of one frame each.

/// The key of the RFC's own example; whoever asks with it is answered the value of the RFC.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// A whole binary message in one frame.
const BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;
/// A length in the two bytes that follow.
const TWO_BYTES: u8 = 126;
/// The longest message that `message` and `echo` know.
pub(crate) const LONGEST: usize = 65_535;

/// What asks for a WebSocket, behind the request line and `Host`.
pub(crate) fn fields() -> String {
    format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n"
    )
}

/// The origin's agreement.
pub(crate) fn agreement() -> Vec<u8> {
    let accept = str::from_utf8(ACCEPT).unwrap_or_default();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

/// Whether these fields ask for a WebSocket as `fields` does.
pub(crate) fn is_asked(fields: &[httparse::Header<'_>]) -> bool {
    crate::body::field(fields, "sec-websocket-key") == Some(KEY.as_bytes())
}

/// A message from the client, masked as it must be.
pub(crate) fn message(payload: &[u8]) -> Vec<u8> {
    let mut frame = head(payload.len(), MASKED);
    frame.extend_from_slice(&MASK);
    frame.extend(masked(payload, MASK));
    frame
}

/// The same message from the server.
pub(crate) fn answer(payload: impl ExactSizeIterator<Item = u8>) -> Vec<u8> {
    let mut frame = head(payload.len(), 0);
    frame.extend(payload);
    frame
}

/// Reads one message of a client: the bytes it takes, and the answer to it. Nothing if it is
/// incomplete, or is none that `message` makes.
pub(crate) fn echo(input: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (head, rest) = input.split_at_checked(4)?;
    let (mask, rest) = rest.split_at_checked(MASK.len())?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let payload = rest.get(..length)?;
    if head[..2] != [BINARY, MASKED | TWO_BYTES] {
        return None;
    }
    let mask = [mask[0], mask[1], mask[2], mask[3]];
    Some((
        head.len() + mask.len() + length,
        answer(masked(payload, mask)),
    ))
}

fn head(length: usize, masked: u8) -> Vec<u8> {
    let [high, low] = (length.min(LONGEST) as u16).to_be_bytes();
    vec![BINARY, masked | TWO_BYTES, high, low]
}

fn masked(payload: &[u8], mask: [u8; 4]) -> impl ExactSizeIterator<Item = u8> {
    payload
        .iter()
        .enumerate()
        .map(move |(place, byte)| byte ^ mask[place % 4])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Pattern;

    #[test]
    fn a_message_is_echoed_once_it_is_whole() {
        let payload = Pattern::body(1024);
        let frame = message(&payload);
        let expected = answer(payload.iter().copied());
        assert_eq!(echo(&frame), Some((frame.len(), expected)));
        assert_ne!(&frame[8..], &payload[..]);
        for end in 0..frame.len() {
            assert_eq!(echo(&frame[..end]), None);
        }
    }
}
