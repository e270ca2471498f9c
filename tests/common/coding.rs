//! What compressed bodies are.

use std::io::Read;

/// What a whole compressed body is. Fails if it is none.
#[track_caller]
pub fn plain(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(body, 4_096).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Decoder::new(body)
            .and_then(|mut decoder| decoder.read_to_end(&mut out)),
        other => panic!("{other}"),
    }
    .expect("a whole compressed body");
    out
}
