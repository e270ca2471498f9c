//! A stream cut anywhere gives the same lines, and no more than a line is kept.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::wire::ndjson::Splitter;

const LINE_BYTES_MAX: usize = 64;

fn lines(pieces: &[&[u8]]) -> Vec<(u64, Option<Vec<u8>>)> {
    let mut splitter = Splitter::new(LINE_BYTES_MAX);
    let mut lines = Vec::new();
    for piece in pieces {
        splitter.push(piece);
        while let Some(line) = splitter.next_line() {
            lines.push((line.number, line.text.map(<[u8]>::to_vec)));
        }
        assert!(splitter.kept() <= LINE_BYTES_MAX);
    }
    let last = splitter.finish();
    lines.extend(last.map(|line| (line.number, line.text.map(<[u8]>::to_vec))));
    lines
}

fuzz_target!(|input: (Vec<u8>, usize)| {
    let (text, cut) = input;
    let (first, second) = text.split_at(cut % (text.len() + 1));
    assert_eq!(lines(&[first, second]), lines(&[&text]));
});
