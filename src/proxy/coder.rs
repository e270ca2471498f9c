//! Coder: compresses a body piece by piece, with an encoder that has served others before.
//!
//! An encoder begins with hundreds of kilobytes of tables; making them anew is most of what a small
//! body costs. So encoders rest between bodies, as far as their crates let them begin again. Each
//! piece is flushed, so that a client sees what the server has said, and memory is bounded by the
//! piece and the window of the coding.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use zstd::stream::raw::{CParameter, InBuffer, Operation, OutBuffer};

use super::body::put_behind;
use crate::model::compress::Coding;
use crate::net::Buffer;

/// Bodies that a core compresses at a time; further ones stay as they are.
const CODERS_MAX: usize = 128;
/// Encoders of a coding that rest on a core, of some 300 KiB (gzip) or 1 MiB (zstd) each.
const RESTING_MAX: usize = 8;
/// How hard each coding tries, and how far it looks back, in bits of a size.
const GZIP_LEVEL: u32 = 5;
const ZSTD_LEVEL: i32 = 3;
const ZSTD_WINDOW: u32 = 18;
const BR_QUALITY: u32 = 4;
const BR_WINDOW: u32 = 18;
/// Up to this many bytes Brotli tries less hard: tables of half the size, bodies a few percent
/// larger.
const BR_SMALL: u64 = 16 * 1024;
const BR_QUALITY_SMALL: u32 = 3;
/// Bytes that Brotli gives out at a time.
const BR_PIECE: usize = 4 * 1024;
/// Bytes of room that an encoder gets at least.
const ROOM: usize = 512;
/// A larger space is given up when its encoder rests: each piece clears what is left of it.
const SPACE_KEPT: usize = 4 * 1024;

/// The encoders of a core.
#[derive(Default)]
#[expect(clippy::vec_box, reason = "what is lent is the box")]
pub(super) struct Coders {
    at_work: Cell<usize>,
    gzip: RefCell<Vec<Box<Work>>>,
    zstd: RefCell<Vec<Box<Work>>>,
}

/// Compresses one body.
pub(super) struct Coder {
    /// Taken out when the coder is dropped.
    work: Option<Box<Work>>,
    coders: Rc<Coders>,
}

struct Work {
    encoder: Encoder,
    /// What the last piece came to.
    space: Vec<u8>,
}

enum Encoder {
    Gzip(Gzip),
    Zstd(zstd::stream::raw::Encoder<'static>),
    Br(Option<Box<brotli::CompressorWriter<Vec<u8>>>>),
}

/// The container is written here, since that of the crate cannot begin again.
struct Gzip {
    deflate: Compress,
    sum: Crc,
    begun: bool,
}

impl Coders {
    /// A coder for a body, of this many bytes if that is known; none if too many are at work.
    pub(super) fn lend(self: &Rc<Self>, coding: Coding, length: Option<u64>) -> Option<Coder> {
        if self.at_work.get() >= CODERS_MAX {
            return None;
        }
        let resting = match coding {
            Coding::Gzip => self.gzip.borrow_mut().pop(),
            Coding::Zstd => self.zstd.borrow_mut().pop(),
            Coding::Br => None,
        };
        let work = match resting {
            Some(work) => work,
            None => Box::new(Work {
                encoder: Encoder::new(coding, length)?,
                space: Vec::new(),
            }),
        };
        self.at_work.set(self.at_work.get() + 1);
        Some(Coder {
            work: Some(work),
            coders: self.clone(),
        })
    }

    fn take_back(&self, mut work: Box<Work>) {
        self.at_work.set(self.at_work.get() - 1);
        let resting = match &work.encoder {
            Encoder::Gzip(_) => &self.gzip,
            Encoder::Zstd(_) => &self.zstd,
            Encoder::Br(_) => return,
        };
        if resting.borrow().len() < RESTING_MAX && work.encoder.begin_again().is_ok() {
            work.space.clear();
            work.space.shrink_to(SPACE_KEPT);
            resting.borrow_mut().push(work);
        }
    }
}

impl Coder {
    /// Puts the compressed bytes in the place of the plain ones; with `last` that is all.
    pub(super) fn recode(&mut self, buffer: &mut Buffer, last: bool) -> io::Result<usize> {
        let Some(work) = &mut self.work else {
            return Ok(0);
        };
        let Work { encoder, space } = &mut **work;
        space.clear();
        encoder.take(buffer.filled(), last, space)?;
        buffer.reset(buffer.headroom());
        put_behind(buffer, space);
        Ok(space.len())
    }
}

impl Drop for Coder {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.coders.take_back(work);
        }
    }
}

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Coder")
    }
}

impl Encoder {
    fn new(coding: Coding, length: Option<u64>) -> Option<Self> {
        Some(match coding {
            Coding::Gzip => Self::Gzip(Gzip {
                deflate: Compress::new(Compression::new(GZIP_LEVEL), false),
                sum: Crc::new(),
                begun: false,
            }),
            Coding::Zstd => {
                let mut encoder = zstd::stream::raw::Encoder::new(ZSTD_LEVEL).ok()?;
                let window = CParameter::WindowLog(ZSTD_WINDOW);
                encoder.set_parameter(window).ok()?;
                Self::Zstd(encoder)
            }
            Coding::Br => {
                let quality = match length {
                    Some(..=BR_SMALL) => BR_QUALITY_SMALL,
                    _ => BR_QUALITY,
                };
                let space = Vec::new();
                let writer = brotli::CompressorWriter::new(space, BR_PIECE, quality, BR_WINDOW);
                Self::Br(Some(Box::new(writer)))
            }
        })
    }

    /// Forgets the body that was compressed, whole or not.
    fn begin_again(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(gzip) => {
                gzip.deflate.reset();
                gzip.sum.reset();
                gzip.begun = false;
                Ok(())
            }
            Self::Zstd(encoder) => encoder.reinit(),
            Self::Br(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Puts what `plain` comes to behind `out`.
    fn take(&mut self, plain: &[u8], last: bool, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip(gzip) => gzip.take(plain, last, out),
            Self::Zstd(encoder) => take_zstd(encoder, plain, last, out),
            Self::Br(writer) => take_br(writer, plain, last, out),
        }
    }
}

impl Gzip {
    /// RFC 1952 §2.3: deflate, no flags, no time, an unknown system.
    const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

    fn take(&mut self, mut plain: &[u8], last: bool, out: &mut Vec<u8>) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(&Self::HEAD);
        }
        self.sum.update(plain);
        let flush = match last {
            true => FlushCompress::Finish,
            false => FlushCompress::Sync,
        };
        loop {
            out.reserve(plain.len() / 2 + ROOM);
            let before = self.deflate.total_in();
            let status = self.deflate.compress_vec(plain, out, flush)?;
            let taken = (self.deflate.total_in() - before) as usize;
            plain = plain.get(taken..).unwrap_or_default();
            match status {
                Status::StreamEnd => break,
                // With room left there is nothing more to come.
                _ if out.len() < out.capacity() && plain.is_empty() && !last => break,
                _ if out.len() < out.capacity() => return Err(io::ErrorKind::InvalidData.into()),
                _ => {}
            }
        }
        if last {
            out.extend_from_slice(&self.sum.sum().to_le_bytes());
            out.extend_from_slice(&self.sum.amount().to_le_bytes());
        }
        Ok(())
    }
}

fn take_zstd(
    encoder: &mut zstd::stream::raw::Encoder<'static>,
    plain: &[u8],
    last: bool,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let mut input = InBuffer::around(plain);
    while input.pos() < plain.len() {
        out.reserve(plain.len() / 2 + ROOM);
        let filled = out.len();
        encoder.run(&mut input, &mut OutBuffer::around_pos(out, filled))?;
    }
    loop {
        out.reserve(ROOM);
        let filled = out.len();
        let mut output = OutBuffer::around_pos(out, filled);
        let left = match last {
            true => encoder.finish(&mut output, true)?,
            false => encoder.flush(&mut output)?,
        };
        if left == 0 {
            return Ok(());
        }
    }
}

fn take_br(
    writer: &mut Option<Box<brotli::CompressorWriter<Vec<u8>>>>,
    plain: &[u8],
    last: bool,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let Some(encoder) = writer else {
        return Err(io::ErrorKind::WriteZero.into());
    };
    std::mem::swap(encoder.get_mut(), out);
    encoder.write_all(plain)?;
    if !last {
        encoder.flush()?;
        std::mem::swap(encoder.get_mut(), out);
    } else if let Some(encoder) = writer.take() {
        *out = encoder.into_inner();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    const CODINGS: [Coding; 3] = [Coding::Br, Coding::Gzip, Coding::Zstd];

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

    /// The pieces compressed one by one; the last one ends the body only if `whole`.
    fn compressed(coder: &mut Coder, pieces: &[Vec<u8>], whole: bool) -> Vec<u8> {
        let mut all = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let mut buffer = Buffer::with_capacity(16);
            put_behind(&mut buffer, piece);
            let last = whole && index == pieces.len() - 1;
            let length = coder.recode(&mut buffer, last).unwrap();
            assert_eq!(length, buffer.len());
            assert!(piece.is_empty() || length > 0);
            all.extend_from_slice(buffer.filled());
        }
        all
    }

    /// Bytes that compress well or not at all.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3_000),
            ("[a-c]{1,9}", 0usize..5_000).prop_map(|(text, count)| text.repeat(count).into()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever the pieces are, and whatever the encoder has done before.
        #[test]
        fn pieces_come_out_as_they_went_in(
            bodies in prop::collection::vec(
                (0usize..3, prop::collection::vec(piece(), 1..5), any::<bool>(), any::<bool>()),
                1..8,
            ),
        ) {
            let coders = Rc::new(Coders::default());
            for (coding, pieces, whole, length_known) in &bodies {
                let coding = CODINGS[*coding];
                let length = pieces.concat().len() as u64;
                let mut coder = coders.lend(coding, length_known.then_some(length)).unwrap();
                let all = compressed(&mut coder, pieces, *whole);
                if *whole {
                    prop_assert_eq!(plain(coding, &all), pieces.concat());
                }
            }
            prop_assert_eq!(coders.at_work.get(), 0);
        }
    }

    #[test]
    fn only_so_many_are_at_work_and_fewer_rest() {
        let coders = Rc::new(Coders::default());
        let lend = || coders.lend(Coding::Gzip, None);
        let all: Vec<_> = (0..CODERS_MAX).map(|_| lend()).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(lend().is_none());
        drop(all);
        assert_eq!(coders.gzip.borrow().len(), RESTING_MAX);
        let again = lend();
        assert_eq!(coders.gzip.borrow().len(), RESTING_MAX - 1);
        drop(again);
    }

    #[test]
    fn the_first_piece_can_be_read_at_once() {
        let text = b"what the server has said".repeat(20);
        for coding in CODINGS {
            let coders = Rc::new(Coders::default());
            for _ in 0..3 {
                let mut coder = coders.lend(coding, None).unwrap();
                let first = compressed(&mut coder, &[text.clone()], false);
                let mut seen = vec![0; text.len()];
                match coding {
                    Coding::Gzip => flate2::read::GzDecoder::new(&first[..]).read_exact(&mut seen),
                    Coding::Br => brotli::Decompressor::new(&first[..], 64).read_exact(&mut seen),
                    Coding::Zstd => zstd::stream::read::Decoder::new(&first[..])
                        .and_then(|mut decoder| decoder.read_exact(&mut seen)),
                }
                .unwrap();
                assert_eq!(seen, text);
            }
        }
    }
}
