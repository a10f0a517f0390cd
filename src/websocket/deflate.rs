//! Compressed messages (RFC 7692), each on its own.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use thiserror::Error;

/// What every message would end in, and what its sender therefore leaves out.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Inflated bytes that are handed over at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Room that compressing asks for at least.
const ROOM_MIN: usize = 512;

/// Inflates messages, one after the other.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
    piece: Box<[u8]>,
}

/// Why a message cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InflateError {
    /// It is not deflated data.
    #[error("error decompressing message")]
    Corrupt,
    /// It is larger than allowed.
    #[error("maximum payload exceeded")]
    TooLarge,
}

impl Inflater {
    /// An inflater: some 100 KiB.
    pub fn new() -> Self {
        Self { stream: Decompress::new(false), piece: vec![0; PIECE_BYTES].into_boxed_slice() }
    }

    /// Inflates a whole message and hands it to `take` piece by piece, until that says that it
    /// wants no more. Returns how many bytes it was.
    ///
    /// # Errors
    /// The data is not sound, or more than `bytes_max`; what came before was handed over.
    pub fn inflate(
        &mut self,
        message: &[u8],
        bytes_max: usize,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> Result<usize, InflateError> {
        self.stream.reset(false);
        let mut total = 0_usize;
        for input in [message, &TAIL] {
            let mut input = input;
            loop {
                let (read, written) = (self.stream.total_in(), self.stream.total_out());
                let status = self
                    .stream
                    .decompress(input, &mut self.piece, FlushDecompress::Sync)
                    .map_err(|_| InflateError::Corrupt)?;
                let read = difference(self.stream.total_in(), read);
                let written = difference(self.stream.total_out(), written);
                input = input.get(read..).unwrap_or_default();
                total = total.saturating_add(written);
                if total > bytes_max {
                    return Err(InflateError::TooLarge);
                }
                let piece = self.piece.get(..written).unwrap_or_default();
                if !piece.is_empty() && !take(piece) {
                    return Ok(total);
                }
                if status == Status::StreamEnd {
                    // The sender has ended the stream itself; nothing can follow.
                    return Ok(total);
                }
                if written < self.piece.len() && (input.is_empty() || read == 0) {
                    break;
                }
            }
            if !input.is_empty() {
                return Err(InflateError::Corrupt);
            }
        }
        Ok(total)
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

/// Deflates messages, one after the other, as fast as it can.
#[derive(Debug)]
pub struct Deflater {
    stream: Compress,
}

impl Deflater {
    /// A deflater: some 300 KiB.
    pub fn new() -> Self {
        Self { stream: Compress::new(Compression::fast(), false) }
    }

    /// Appends a message made of `pieces` to `out`.
    pub fn deflate<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
        self.stream.reset();
        for piece in pieces {
            let mut rest = piece;
            while !rest.is_empty() {
                let read = self.step(rest, out, FlushCompress::None);
                rest = rest.get(read..).unwrap_or_default();
            }
        }
        loop {
            self.step(&[], out, FlushCompress::Sync);
            // Room was left: all is written.
            if out.len() < out.capacity() {
                break;
            }
        }
        debug_assert!(out.ends_with(&TAIL), "a flush ends in an empty block");
        out.truncate(out.len().saturating_sub(TAIL.len()));
    }

    fn step(&mut self, input: &[u8], out: &mut Vec<u8>, flush: FlushCompress) -> usize {
        if out.capacity() - out.len() < ROOM_MIN {
            out.reserve(ROOM_MIN.max(out.len()));
        }
        let before = self.stream.total_in();
        // Deflating fails only if it is misused.
        let done = self.stream.compress_vec(input, out, flush);
        debug_assert!(done.is_ok(), "deflating takes any bytes");
        difference(self.stream.total_in(), before)
    }
}

impl Default for Deflater {
    fn default() -> Self {
        Self::new()
    }
}

fn difference(after: u64, before: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deflated(pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        Deflater::new().deflate(pieces.iter().copied(), &mut out);
        out
    }

    fn inflated(message: &[u8], max: usize) -> Result<Vec<u8>, InflateError> {
        let mut out = Vec::new();
        Inflater::new().inflate(message, max, |piece| {
            out.extend_from_slice(piece);
            true
        })?;
        Ok(out)
    }

    #[test]
    fn messages_of_any_size_come_back() {
        let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
        let mut state = 7_u32;
        for length in [0, 1, 5, 300, 65_535, 65_536, 65_537, 131_072, 1_000_000] {
            for random in [false, true] {
                let bytes: Vec<u8> = (0..length)
                    .map(|at: u32| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        if random {
                            (state >> 24) as u8
                        } else {
                            (at % 7) as u8
                        }
                    })
                    .collect();
                let mut packed = Vec::new();
                let (a, b) = bytes.split_at(bytes.len() / 3);
                deflater.deflate([a, b].into_iter(), &mut packed);
                let mut out = Vec::new();
                let take = |piece: &[u8]| {
                    out.extend_from_slice(piece);
                    true
                };
                assert_eq!(inflater.inflate(&packed, bytes.len(), take), Ok(bytes.len()));
                assert!(out == bytes, "{length}");
            }
        }
    }

    #[test]
    fn a_bomb_ends_at_the_limit() {
        let bomb = deflated(&[&vec![b'a'; 20_000_000]]);
        assert!(bomb.len() < 250_000, "{}", bomb.len());
        let mut seen = 0;
        let end = Inflater::new().inflate(&bomb, 1_000_000, |piece| {
            seen += piece.len();
            true
        });
        assert_eq!(end, Err(InflateError::TooLarge));
        assert!(seen <= 1_000_000);
        assert_eq!(inflated(&bomb, 20_000_000).map(|bytes| bytes.len()), Ok(20_000_000));
    }

    #[test]
    fn who_wants_no_more_is_given_no_more() {
        let message = deflated(&[&vec![b'a'; 1_000_000]]);
        let mut calls = 0;
        let end = Inflater::new().inflate(&message, usize::MAX, |_| {
            calls += 1;
            false
        });
        assert!(end.is_ok() && calls == 1);
    }

    #[test]
    fn what_is_not_deflated_is_refused_and_leaves_no_trace() {
        let mut inflater = Inflater::new();
        let good = deflated(&[b"hello hello hello hello"]);
        for bad in [&b"\xff\xff\xff"[..], b"\x06", b"plain text that is not deflated"] {
            assert!(inflater.inflate(bad, 1000, |_| true).is_err(), "{bad:?}");
            assert_eq!(inflater.inflate(&good, 1000, |_| true), Ok(23));
        }
        // A message that is cut short gives what there is of it, or an error.
        for cut in 0..good.len() {
            inflater.inflate(&good[..cut], 1000, |_| true).ok();
        }
        assert_eq!(inflater.inflate(&good, 1000, |_| true), Ok(23));
    }
}
