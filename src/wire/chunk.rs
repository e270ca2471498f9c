//! The chunked transfer coding: an incremental decoder that works in place, and the encoder.
//!
//! The decoder takes bytes as they come from a socket, moves the payload to their front and
//! leaves alone what follows the message. It follows the grammar to the letter: chunk boundaries
//! that two parsers read differently are how requests are smuggled, so a bare line feed, a space
//! or a sign in the size, or an empty extension is a fault. Extensions are dropped; of the
//! trailer fields only those that the caller names survive. Source: RFC 9112 §7.1.

use thiserror::Error;

use crate::wire::trailer::Trailers;

/// The longest size line, without its line end, in bytes: size and extensions.
pub const SIZE_LINE_BYTES_MAX: u16 = 256;
/// The largest chunk, in bytes.
pub const CHUNK_BYTES_MAX: u64 = 1 << 60;
/// How many bytes of extensions may come beyond the bytes of payload, over a whole message.
pub const EXTENSION_BYTES_MAX: u64 = 16 * 1024;
/// Room for the head of one chunk, see [`head`].
pub const HEAD_MAX: usize = SIZE_DIGITS_MAX as usize + LINE_END.len();
/// What follows the payload of a chunk.
pub const LINE_END: &[u8] = b"\r\n";
/// The last chunk and an empty trailer section.
pub const END: &[u8] = b"0\r\n\r\n";

const SIZE_DIGITS_MAX: u8 = 16;

/// Bounds of a trailer section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All its field lines with their line ends, in bytes.
    pub trailer_bytes_max: u32,
    /// How many field lines.
    pub trailer_fields_max: u16,
}

/// What one call of [`Decoder::decode`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of payload, now at the front of the buffer.
    pub payload: usize,
    /// Bytes read. All of them, unless `finished`: then the next message begins here, untouched.
    pub consumed: usize,
    /// Whether the last chunk and the trailer section have been read.
    pub finished: bool,
}

/// Why a chunked body is refused: 400 for a request, 502 for a response, and the connection closes.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChunkFault {
    /// Not `;name`, `;name=token` or `;name="text"`.
    #[error("a chunk extension is malformed")]
    Extension,
    /// More than [`EXTENSION_BYTES_MAX`].
    #[error("the chunk extensions outweigh the payload by more than 16 KiB")]
    Extensions,
    /// A trailer line without a token and a colon at its front; folded lines count as such.
    #[error("the name of a trailer field is malformed")]
    FieldName,
    /// A control character in a trailer field.
    #[error("a trailer field contains a control character")]
    FieldValue,
    /// CR LF is due and something else came.
    #[error("a line of the chunked body does not end with CR LF where it should")]
    LineEnd,
    /// No hexadecimal digit where a chunk size begins, or a foreign byte in it.
    #[error("a chunk size is not a plain hexadecimal number")]
    Size,
    /// More than 16 digits, or more than [`CHUNK_BYTES_MAX`].
    #[error("a chunk size is too large")]
    SizeOverflow,
    /// More than [`SIZE_LINE_BYTES_MAX`].
    #[error("a chunk's size line with its extensions is longer than 256 bytes")]
    SizeLineLong,
    /// More than [`Limits::trailer_bytes_max`].
    #[error("the trailer section is too long")]
    TrailerLong,
    /// More than [`Limits::trailer_fields_max`].
    #[error("the trailer section has too many fields")]
    TrailerMany,
}

impl ChunkFault {
    /// A short word for logs and `Proxy-Status` details.
    #[must_use]
    pub fn token(&self) -> &'static str {
        match self {
            Self::Extension => "chunk_extension",
            Self::Extensions => "chunk_extensions_long",
            Self::FieldName => "trailer_name",
            Self::FieldValue => "trailer_value",
            Self::LineEnd => "chunk_line_end",
            Self::Size => "chunk_size",
            Self::SizeOverflow => "chunk_size_overflow",
            Self::SizeLineLong => "chunk_size_line_long",
            Self::TrailerLong => "trailer_long",
            Self::TrailerMany => "trailer_many",
        }
    }
}

/// The decoder of one chunked body.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    state: State,
    /// Payload bytes of the current chunk still to come.
    left: u64,
    /// Bytes of extensions not yet outweighed by payload.
    surplus: u64,
    /// Where the current trailer field begins in `Trailers::into`.
    field_start: usize,
    trailer_bytes: u32,
    trailer_fields: u16,
    size_line_bytes: u16,
    size_digits: u8,
    limits: Limits,
}

/// Which byte is due next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    ExtensionStart,
    ExtensionName,
    ValueStart,
    ValueToken,
    Quoted,
    QuotedPair,
    QuotedEnd,
    SizeLineFeed,
    Payload,
    PayloadReturn,
    PayloadLineFeed,
    FieldStart,
    FieldName,
    FieldValueStart,
    FieldValue,
    FieldLineFeed,
    LastLineFeed,
    Finished,
}

impl Decoder {
    /// A decoder at the start of a body.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            state: State::Size,
            left: 0,
            surplus: 0,
            field_start: 0,
            trailer_bytes: 0,
            trailer_fields: 0,
            size_line_bytes: 0,
            size_digits: 0,
            limits,
        }
    }

    /// Reads `bytes`, which follow those of the call before, and moves their payload to the front.
    ///
    /// What lies between `payload` and `consumed` is left undefined, what lies after `consumed`
    /// is untouched. After a fault the decoder and the connection are of no further use.
    pub fn decode(
        &mut self,
        bytes: &mut [u8],
        trailers: &mut Trailers<'_>,
    ) -> Result<Decoded, ChunkFault> {
        let mut payload = 0;
        let mut consumed = 0;
        while self.state != State::Finished
            && let Some(&byte) = bytes.get(consumed)
        {
            if self.state == State::Payload {
                let taken = self.take_payload(bytes.len() - consumed);
                if consumed != payload {
                    bytes.copy_within(consumed..consumed + taken, payload);
                }
                payload += taken;
                consumed += taken;
            } else {
                self.state = self.step(byte, trailers)?;
                consumed += 1;
            }
        }
        Ok(Decoded {
            payload,
            consumed,
            finished: self.is_finished(),
        })
    }

    /// Whether the whole body, its trailer section included, has been read.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// Counts up to `available` bytes of payload as read; returns how many.
    fn take_payload(&mut self, available: usize) -> usize {
        let taken = usize::try_from(self.left).map_or(available, |left| left.min(available));
        self.left -= taken as u64;
        if self.left == 0 {
            self.state = State::PayloadReturn;
        }
        taken
    }

    /// Reads one byte that is not payload; returns what is due after it.
    fn step(&mut self, byte: u8, trailers: &mut Trailers<'_>) -> Result<State, ChunkFault> {
        match self.state {
            State::PayloadReturn => expect(byte, b'\r', State::PayloadLineFeed),
            State::PayloadLineFeed => {
                self.size_digits = 0;
                self.size_line_bytes = 0;
                expect(byte, b'\n', State::Size)
            }
            State::SizeLineFeed => {
                let next = expect(byte, b'\n', self.after_size_line())?;
                self.weigh_extensions()?;
                Ok(next)
            }
            State::FieldStart if byte == b'\r' => Ok(State::LastLineFeed),
            State::FieldStart
            | State::FieldName
            | State::FieldValueStart
            | State::FieldValue
            | State::FieldLineFeed => {
                if self.trailer_bytes == self.limits.trailer_bytes_max {
                    return Err(ChunkFault::TrailerLong);
                }
                self.trailer_bytes += 1;
                self.step_trailer(byte, trailers)
            }
            State::LastLineFeed => expect(byte, b'\n', State::Finished),
            State::Payload | State::Finished => Ok(self.state),
            _ => {
                self.size_line_bytes += 1;
                if self.size_line_bytes > SIZE_LINE_BYTES_MAX && byte != b'\r' {
                    return Err(ChunkFault::SizeLineLong);
                }
                self.step_size_line(byte)
            }
        }
    }

    fn step_size_line(&mut self, byte: u8) -> Result<State, ChunkFault> {
        match (self.state, byte) {
            (State::Size, b';' | b'\r') if self.size_digits == 0 => Err(ChunkFault::Size),
            (State::Size, b';') => Ok(State::ExtensionStart),
            (State::Size, b'\r') => Ok(State::SizeLineFeed),
            (State::Size, _) => self.push_size_digit(byte),

            (State::ExtensionStart, _) if is_token(byte) => Ok(State::ExtensionName),
            (State::ExtensionName, _) if is_token(byte) => Ok(State::ExtensionName),
            (State::ExtensionName, b'=') => Ok(State::ValueStart),

            (State::ValueStart, b'"') => Ok(State::Quoted),
            (State::ValueStart | State::ValueToken, _) if is_token(byte) => Ok(State::ValueToken),

            (State::Quoted, b'"') => Ok(State::QuotedEnd),
            (State::Quoted, b'\\') => Ok(State::QuotedPair),
            (State::Quoted | State::QuotedPair, _) if is_text(byte) => Ok(State::Quoted),

            (State::ExtensionName | State::ValueToken | State::QuotedEnd, b';') => {
                Ok(State::ExtensionStart)
            }
            (State::ExtensionName | State::ValueToken | State::QuotedEnd, b'\r') => {
                Ok(State::SizeLineFeed)
            }
            _ => Err(ChunkFault::Extension),
        }
    }

    fn push_size_digit(&mut self, byte: u8) -> Result<State, ChunkFault> {
        let digit = char::from(byte).to_digit(16).ok_or(ChunkFault::Size)?;
        if self.size_digits == SIZE_DIGITS_MAX {
            return Err(ChunkFault::SizeOverflow);
        }
        self.size_digits += 1;
        // `left` is 0 before the first digit, and sixteen digits fit.
        self.left = self.left << 4 | u64::from(digit);
        if self.left > CHUNK_BYTES_MAX {
            return Err(ChunkFault::SizeOverflow);
        }
        Ok(State::Size)
    }

    fn after_size_line(&self) -> State {
        if self.left == 0 {
            State::FieldStart
        } else {
            State::Payload
        }
    }

    /// Refuses bodies that are mostly extensions: they cost work and carry nothing.
    fn weigh_extensions(&mut self) -> Result<(), ChunkFault> {
        // The size line's bytes are its digits, its extensions and the CR.
        let extensions = u64::from(self.size_line_bytes) - u64::from(self.size_digits) - 1;
        self.surplus = (self.surplus + extensions).saturating_sub(self.left);
        if self.surplus > EXTENSION_BYTES_MAX {
            return Err(ChunkFault::Extensions);
        }
        Ok(())
    }

    fn step_trailer(&mut self, byte: u8, trailers: &mut Trailers<'_>) -> Result<State, ChunkFault> {
        match (self.state, byte) {
            (State::FieldStart, _) if is_token(byte) => {
                if self.trailer_fields == self.limits.trailer_fields_max {
                    return Err(ChunkFault::TrailerMany);
                }
                self.trailer_fields += 1;
                self.field_start = trailers.into.len();
                trailers.push(&[byte]);
                Ok(State::FieldName)
            }
            (State::FieldName, b':') => {
                trailers.push(b": ");
                Ok(State::FieldValueStart)
            }
            (State::FieldName, _) if is_token(byte) => {
                trailers.push(&[byte]);
                Ok(State::FieldName)
            }
            (State::FieldStart | State::FieldName, _) => Err(ChunkFault::FieldName),

            (State::FieldValueStart, b' ' | b'\t') => Ok(State::FieldValueStart),
            (State::FieldValueStart | State::FieldValue, b'\r') => Ok(State::FieldLineFeed),
            (State::FieldValueStart | State::FieldValue, _) if is_text(byte) => {
                trailers.push(&[byte]);
                Ok(State::FieldValue)
            }
            (State::FieldValueStart | State::FieldValue, _) => Err(ChunkFault::FieldValue),

            _ => {
                let next = expect(byte, b'\n', State::FieldStart)?;
                trailers.end_field(self.field_start);
                Ok(next)
            }
        }
    }
}

/// Writes the head of a chunk of `size` bytes to the end of `out`, where its payload may follow.
///
/// `size` must not be 0: such a chunk would end the body, for which [`END`] is there.
pub fn head(size: usize, out: &mut [u8; HEAD_MAX]) -> &[u8] {
    debug_assert!(size > 0, "a chunk without payload ends the body");
    let length = (size | 1).ilog2() as usize / 4 + 1;
    let [digits @ .., carriage_return, line_feed] = out;
    (*carriage_return, *line_feed) = (b'\r', b'\n');
    let mut rest = size;
    for digit in digits.iter_mut().rev().take(length) {
        *digit = b"0123456789abcdef"[rest & 0xF];
        rest >>= 4;
    }
    &out[HEAD_MAX - LINE_END.len() - length..]
}

fn expect(byte: u8, due: u8, next: State) -> Result<State, ChunkFault> {
    if byte == due {
        Ok(next)
    } else {
        Err(ChunkFault::LineEnd)
    }
}

/// The bytes of a token (RFC 9110 §5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-'
        )
        || matches!(byte, b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// The bytes of field values and quoted strings: no control characters but the tab.
const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7F)
}

#[cfg(test)]
mod tests;
