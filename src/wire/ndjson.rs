//! Newline-delimited JSON: pieces of a stream, cut into lines of bounded length.
//!
//! Bytes go in as they come, lines come out whole and numbered. What follows the last line end is
//! a line only if the sender says that the stream is complete: a stream that broke off leaves no
//! half line. Blank lines are counted and left out. A line longer than the limit is left out too,
//! its bytes are not kept, and its number comes out in its place.

use std::io::BufRead as _;

/// Cuts a stream into lines.
#[derive(Debug)]
pub struct Splitter {
    /// Bytes that belong to no line that has come out.
    pending: Vec<u8>,
    /// Where the next line begins in `pending`.
    start: usize,
    /// How far `pending` has been searched for a line end.
    searched: usize,
    /// Lines that have begun, blank ones included.
    number: u64,
    line_bytes_max: usize,
    /// Inside of a line that is too long.
    skipping: bool,
}

/// A line of the stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Line<'s> {
    /// Its number; the first is 1.
    pub number: u64,
    /// Its bytes without the line end; none if there were more than the limit.
    pub text: Option<&'s [u8]>,
}

impl Splitter {
    /// A splitter at the start of a stream.
    #[must_use]
    pub fn new(line_bytes_max: usize) -> Self {
        Self {
            pending: Vec::new(),
            start: 0,
            searched: 0,
            number: 0,
            line_bytes_max,
            skipping: false,
        }
    }

    /// Takes the next bytes of the stream. Call [`Splitter::next_line`] until it has none before
    /// the next piece, so that no more than a piece and a line are kept.
    pub fn push(&mut self, piece: &[u8]) {
        self.pending.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.pending.extend_from_slice(piece);
    }

    /// The next whole line that is not blank.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        loop {
            let fresh = self.pending.get(self.searched..)?;
            let Some(end) = line_end(fresh) else {
                self.searched = self.pending.len();
                self.forget_long();
                return None;
            };
            let end = self.searched + end;
            let range = self.start..end;
            self.start = end + 1;
            self.searched = self.start;
            self.number += 1;
            let too_long = std::mem::take(&mut self.skipping) || range.len() > self.line_bytes_max;
            if too_long {
                return Some(Line {
                    number: self.number,
                    text: None,
                });
            }
            if !is_blank(&self.pending[range.clone()]) {
                return Some(self.line(range));
            }
        }
    }

    /// What follows the last line end of a stream that is complete.
    pub fn finish(&mut self) -> Option<Line<'_>> {
        let range = self.start..self.pending.len();
        self.start = range.end;
        self.searched = range.end;
        let too_long = std::mem::take(&mut self.skipping) || range.len() > self.line_bytes_max;
        if !too_long && is_blank(self.pending.get(range.clone())?) {
            return None;
        }
        self.number += 1;
        if too_long {
            return Some(Line {
                number: self.number,
                text: None,
            });
        }
        Some(self.line(range))
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.pending.len() - self.start
    }

    /// Of a line that is already too long nothing is kept.
    fn forget_long(&mut self) {
        if self.skipping || self.kept() > self.line_bytes_max {
            self.skipping = true;
            self.pending.clear();
            self.start = 0;
            self.searched = 0;
        }
    }

    fn line(&self, range: std::ops::Range<usize>) -> Line<'_> {
        let text = self.pending.get(range).unwrap_or_default();
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        Line {
            number: self.number,
            text: Some(text),
        }
    }
}

/// Where the next line end is.
fn line_end(mut bytes: &[u8]) -> Option<usize> {
    let all = bytes;
    // This looks at many bytes at a time.
    let passed = bytes.skip_until(b'\n').ok()?;
    let last = passed.checked_sub(1)?;
    (all.get(last) == Some(&b'\n')).then_some(last)
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]], most: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut splitter = Splitter::new(most);
        let mut lines = Vec::new();
        for piece in pieces {
            splitter.push(piece);
            while let Some(line) = splitter.next_line() {
                lines.push((line.number, line.text.map(<[u8]>::to_vec)));
            }
            assert!(splitter.kept() <= most, "no more than a line is kept");
        }
        let last = splitter.finish();
        lines.extend(last.map(|line| (line.number, line.text.map(<[u8]>::to_vec))));
        lines
    }

    #[test]
    fn lines_come_out_numbered_and_blank_ones_are_left_out() {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        for (pieces, expected) in [
            (vec!["a\nb\n"], vec![(1, text("a")), (2, text("b"))]),
            (vec!["a\r\n\n \nb"], vec![(1, text("a")), (4, text("b"))]),
            (
                vec!["ab", "cd\ne", "f"],
                vec![(1, text("abcd")), (2, text("ef"))],
            ),
            (
                vec!["12345678", "9\nok\n"],
                vec![(1, None), (2, text("ok"))],
            ),
            (vec!["123456789"], vec![(1, None)]),
            (vec!["", "\n", ""], vec![]),
        ] {
            let bytes: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
            assert_eq!(lines(&bytes, 8), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_stream_that_broke_off_leaves_no_half_line() {
        let mut splitter = Splitter::new(64);
        splitter.push(b"{\"id\":1}\n{\"id\":");
        assert_eq!(splitter.next_line().map(|line| line.number), Some(1));
        assert_eq!(splitter.next_line(), None);
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_changes_nothing(
            text in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b' '), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..8),
            most in 1usize..40,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&text[from..cut]);
                from = cut;
            }
            let expected: Vec<(u64, Option<Vec<u8>>)> = (1u64..)
                .zip(text.split(|byte| *byte == b'\n'))
                .filter(|(_, line)| line.len() > most || !line.trim_ascii().is_empty())
                .map(|(number, line)| {
                    let text = line.strip_suffix(b"\r").unwrap_or(line);
                    (number, (line.len() <= most).then(|| text.to_vec()))
                })
                .collect();
            prop_assert_eq!(lines(&pieces, most), expected);
        }
    }
}
