//! What every body looks like, and how one is read off a connection.

/// A message that is not HTTP/1.1 as the rig speaks it.
#[derive(Debug)]
pub(crate) struct Malformed;

/// Bytes that repeat from 'a' to 'z', long enough for any piece at any offset.
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    /// A pattern for pieces of up to `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        Self((b'a'..=b'z').cycle().take(bytes + 26).collect())
    }

    /// Whether `piece` is what a body has at `offset`.
    pub(crate) fn matches(&self, offset: u64, piece: &[u8]) -> bool {
        let start = (offset % 26) as usize;
        self.0[start..].starts_with(piece)
    }

    /// The body of `length` bytes.
    pub(crate) fn body(length: usize) -> Vec<u8> {
        (b'a'..=b'z').cycle().take(length).collect()
    }
}

/// What is left of a body.
#[derive(Debug)]
pub(crate) enum Body {
    Length(u64),
    Chunked(Chunked),
}

impl Body {
    /// The body that these fields announce; none means no body.
    pub(crate) fn of(fields: &[httparse::Header<'_>]) -> Result<Option<Self>, Malformed> {
        if let Some(coding) = field(fields, "transfer-encoding") {
            let chunked = coding.eq_ignore_ascii_case(b"chunked");
            return if chunked {
                Ok(Some(Self::Chunked(Chunked::new())))
            } else {
                Err(Malformed)
            };
        }
        field(fields, "content-length")
            .map(|value| {
                str::from_utf8(value)
                    .ok()
                    .and_then(|digits| digits.parse().ok())
            })
            .map(|length| length.map(Self::Length).ok_or(Malformed))
            .transpose()
    }

    /// Takes what belongs to this body off the front of `input` and shows the data to `see`.
    pub(crate) fn take(
        &mut self,
        input: &[u8],
        see: impl FnMut(&[u8]),
    ) -> Result<usize, Malformed> {
        match self {
            Self::Length(left) => {
                let (mut see, mine) = (see, input.len().min(clamp(*left)));
                see(&input[..mine]);
                *left -= mine as u64;
                Ok(mine)
            }
            Self::Chunked(chunked) => chunked.take(input, see),
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.state == State::Complete,
        }
    }
}

/// The value of the first field with this name.
pub(crate) fn field<'a>(fields: &[httparse::Header<'a>], name: &str) -> Option<&'a [u8]> {
    fields
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
}

/// Whether the sender closes the connection after this message.
pub(crate) fn closes(fields: &[httparse::Header<'_>]) -> bool {
    field(fields, "connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"))
}

/// The chunked coding, read in pieces of any size.
#[derive(Debug)]
pub(crate) struct Chunked {
    state: State,
    left: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Size,
    SizeLine,
    Data,
    DataEnd,
    TrailerStart,
    TrailerLine,
    Complete,
}

impl Chunked {
    fn new() -> Self {
        Self {
            state: State::Size,
            left: 0,
        }
    }

    fn take(&mut self, input: &[u8], mut see: impl FnMut(&[u8])) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < input.len() && self.state != State::Complete {
            if self.state == State::Data {
                let mine = clamp(self.left).min(input.len() - at);
                see(&input[at..at + mine]);
                at += mine;
                self.left -= mine as u64;
                if self.left == 0 {
                    self.state = State::DataEnd;
                }
                continue;
            }
            self.state = self.step(input[at])?;
            at += 1;
        }
        Ok(at)
    }

    /// The state after one byte outside the data.
    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        Ok(match (self.state, byte) {
            (State::Size | State::SizeLine, b'\n') if self.left == 0 => State::TrailerStart,
            (State::Size | State::SizeLine, b'\n') => State::Data,
            (State::Size, b'\r' | b';') => State::SizeLine,
            (State::Size, digit) => {
                let value = char::from(digit).to_digit(16).ok_or(Malformed)?;
                self.left = self.left.checked_mul(16).ok_or(Malformed)? + u64::from(value);
                State::Size
            }
            (State::DataEnd, b'\n') => State::Size,
            (State::DataEnd, b'\r') => State::DataEnd,
            (State::DataEnd, _) => return Err(Malformed),
            (State::TrailerStart, b'\n') => State::Complete,
            (State::TrailerStart, b'\r') => State::TrailerStart,
            (State::TrailerStart, _) => State::TrailerLine,
            (State::TrailerLine, b'\n') => State::TrailerStart,
            (state, _) => state,
        })
    }
}

fn clamp(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_reads_the_same_in_pieces_of_any_size() {
        let input = b"4;x=y\r\nabcd\r\n1A\r\nefghijklmnopqrstuvwxyzabcd\r\n0\r\nT: v\r\n\r\nnext";
        let pattern = Pattern::new(64);
        for size in 1..=input.len() {
            let (mut body, mut seen, mut used) = (Body::Chunked(Chunked::new()), 0, 0);
            for piece in input.chunks(size) {
                used += body
                    .take(piece, |data| {
                        assert!(pattern.matches(seen, data));
                        seen += data.len() as u64;
                    })
                    .expect("well-formed");
            }
            assert!(body.is_complete());
            assert_eq!((seen, used), (30, input.len() - 4));
        }
    }

    #[test]
    fn the_pattern_tells_a_shifted_body() {
        let pattern = Pattern::new(64);
        let body = Pattern::body(100);
        assert!(pattern.matches(37, &body[37..80]));
        assert!(!pattern.matches(37, &body[38..80]));
    }
}
