//! Recode: a response body compressed on its way, piece by piece.
//!
//! Each piece that was received is compressed and flushed, so that a client sees what the server
//! has said, and memory is bounded by the piece and the window of the coding.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;

use super::body::put_behind;
use crate::model::compress::Coding;
use crate::net::Buffer;
use crate::table::policy::Compress;
use crate::wire::head::Response;

/// Bodies that a core compresses at a time; further ones stay as they are.
const RECODED_MAX: u32 = 128;
/// How hard each coding tries, and how far it looks back, in bits of a size.
const GZIP_LEVEL: u32 = 5;
const ZSTD_LEVEL: i32 = 3;
const ZSTD_WINDOW: u32 = 18;
const BR_QUALITY: u32 = 4;
const BR_WINDOW: u32 = 18;
/// Bytes that Brotli gives out at a time.
const BR_PIECE: usize = 4 * 1024;

/// What becomes of a response that may be compressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recoded<'r> {
    /// The coding; none if it stays as it is for this client.
    pub(super) coding: Option<Coding>,
    /// The strong entity tag of the response.
    tag: Option<&'r [u8]>,
    /// Whether that becomes a weak one: compressed or not, it is not the same bytes.
    weakens: bool,
    /// Whether it only says that what the client has is still so.
    is_not_modified: bool,
}

/// Compresses one body.
pub(super) struct Coder {
    encoder: Encoder,
    count: Rc<Cell<u32>>,
}

enum Encoder {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Br(Option<Box<brotli::CompressorWriter<Vec<u8>>>>),
}

impl<'r> Recoded<'r> {
    /// What `rules` say of a response for a client that takes `coding`; none if it is nothing that
    /// would be compressed for anybody.
    pub(super) fn of(
        rules: &Compress,
        coding: Option<Coding>,
        response: &Response<'r, '_>,
    ) -> Option<Self> {
        let fields = response.fields;
        let is_not_modified = response.status == 304;
        if !is_not_modified && !rules.suits(response.status, response.content_length, fields) {
            return None;
        }
        let tag = fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case("etag"));
        Some(Self {
            coding,
            tag: tag
                .map(|field| field.value)
                .filter(|value| !value.starts_with(b"W/")),
            weakens: coding.is_some(),
            is_not_modified,
        })
    }

    /// The same with this coding.
    pub(super) fn with(self, coding: Option<Coding>) -> Self {
        Self {
            coding,
            weakens: coding.is_some() || self.is_not_modified && self.weakens,
            ..self
        }
    }

    /// Whether the field `name` of the response goes.
    pub(super) fn drops(&self, name: &str) -> bool {
        // What is said of the bytes is not true of the compressed ones.
        const OF_BYTES: [&str; 4] = ["accept-ranges", "content-digest", "content-md5", "digest"];
        let gone = OF_BYTES.iter().any(|one| one.eq_ignore_ascii_case(name));
        let tag_goes = self.weakens && self.tag.is_some();
        self.coding.is_some() && gone || tag_goes && name.eq_ignore_ascii_case("etag")
    }

    /// Writes the field lines that the response gets.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Vary: Accept-Encoding\r\n");
        if let Some(coding) = self.coding {
            for text in ["Content-Encoding: ", coding.name(), "\r\n"] {
                out.extend_from_slice(text.as_bytes());
            }
        }
        if let Some(tag) = self.tag.filter(|_| self.weakens) {
            out.extend_from_slice(b"ETag: W/");
            out.extend_from_slice(tag);
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl Coder {
    /// A coder, unless as many as may be are at work. `count` is how many are.
    pub(super) fn new(coding: Coding, count: &Rc<Cell<u32>>) -> Option<Box<Self>> {
        if count.get() >= RECODED_MAX {
            return None;
        }
        let encoder = match coding {
            Coding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Encoder::Gzip(flate2::write::GzEncoder::new(Vec::new(), level))
            }
            Coding::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL);
                let mut encoder = encoder.ok()?;
                encoder.window_log(ZSTD_WINDOW).ok()?;
                Encoder::Zstd(encoder)
            }
            Coding::Br => {
                let writer =
                    brotli::CompressorWriter::new(Vec::new(), BR_PIECE, BR_QUALITY, BR_WINDOW);
                Encoder::Br(Some(Box::new(writer)))
            }
        };
        count.set(count.get() + 1);
        Some(Box::new(Self {
            encoder,
            count: count.clone(),
        }))
    }

    /// Puts the compressed bytes in the place of the plain ones; with `last` that is all.
    pub(super) fn recode(&mut self, buffer: &mut Buffer, last: bool) -> io::Result<usize> {
        let compressed = self.encoder.take(buffer.filled(), last)?;
        buffer.reset(buffer.headroom());
        put_behind(buffer, &compressed);
        let length = compressed.len();
        self.encoder.give_back(compressed);
        Ok(length)
    }
}

impl Encoder {
    fn take(&mut self, plain: &[u8], last: bool) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => {
                encoder.write_all(plain)?;
                match last {
                    true => encoder.try_finish()?,
                    false => encoder.flush()?,
                }
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Zstd(encoder) => {
                encoder.write_all(plain)?;
                match last {
                    true => encoder.do_finish()?,
                    false => encoder.flush()?,
                }
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Br(writer) => {
                let Some(encoder) = writer else {
                    return Err(io::ErrorKind::WriteZero.into());
                };
                encoder.write_all(plain)?;
                if last {
                    return Ok(writer
                        .take()
                        .map(|writer| writer.into_inner())
                        .unwrap_or_default());
                }
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// Uses the memory of what was sent again.
    fn give_back(&mut self, mut space: Vec<u8>) {
        space.clear();
        match self {
            Self::Gzip(encoder) => *encoder.get_mut() = space,
            Self::Zstd(encoder) => *encoder.get_mut() = space,
            Self::Br(Some(encoder)) => *encoder.get_mut() = space,
            Self::Br(None) => {}
        }
    }
}

impl Drop for Coder {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
    }
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Coder")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn plain(coding: Coding, compressed: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(compressed).read_to_end(&mut out),
            Coding::Br => brotli::Decompressor::new(compressed, 4_096).read_to_end(&mut out),
            Coding::Zstd => zstd::stream::read::Decoder::new(compressed)
                .and_then(|mut decoder| decoder.read_to_end(&mut out)),
        }
        .unwrap();
        out
    }

    proptest! {
        /// Whatever the pieces are: each is to be read as soon as it is there, and all is the same.
        #[test]
        fn pieces_come_out_as_they_went_in(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 1..6),
        ) {
            for coding in [Coding::Br, Coding::Gzip, Coding::Zstd] {
                let count = Rc::default();
                let mut coder = Coder::new(coding, &count).unwrap();
                let mut compressed = Vec::new();
                let last = pieces.len() - 1;
                for (index, piece) in pieces.iter().enumerate() {
                    let mut buffer = Buffer::with_capacity(16);
                    put_behind(&mut buffer, piece);
                    let length = coder.recode(&mut buffer, index == last).unwrap();
                    prop_assert_eq!(length, buffer.len());
                    prop_assert!(piece.is_empty() || length > 0);
                    compressed.extend_from_slice(buffer.filled());
                }
                prop_assert_eq!(plain(coding, &compressed), pieces.concat());
                drop(coder);
                prop_assert_eq!(count.get(), 0);
            }
        }
    }

    #[test]
    fn only_so_many_are_at_work() {
        let count = Rc::default();
        let most = RECODED_MAX as usize;
        let all: Vec<_> = (0..most)
            .map(|_| Coder::new(Coding::Gzip, &count))
            .collect();
        assert!(all.iter().all(Option::is_some));
        assert!(Coder::new(Coding::Gzip, &count).is_none());
        drop(all);
        assert!(Coder::new(Coding::Gzip, &count).is_some());
    }
}
