//! S2, the compression of archives: Snappy's frames and blocks with larger blocks and copies that
//! repeat the last offset.
//!
//! Reading takes both, S2 and plain Snappy. What is written are frames of S2 with blocks that Snappy
//! could read as well. A frame is a type, a length of three bytes, and for data the masked CRC-32C
//! of what it decodes to; `ff` names the format, `00` is a compressed block, `01` one that is not,
//! from `80` on it may be skipped. (github.com/google/snappy, `framing_format.txt` and
//! `format_description.txt`; the repeated offsets were found in archives of nats-server.)
//!
//! Bounds: a frame has less than 16 MiB, a block decodes to [`BLOCK_MAX`] at most.

use super::ArchiveError;

/// Takes frames apart, in pieces of any size.
#[derive(Debug, Default)]
pub(in crate::stream) struct FrameReader {
    /// What has not been decoded: `bytes` from `at` on.
    bytes: Vec<u8>,
    at: usize,
    has_begun: bool,
}

/// Puts bytes into frames.
pub(in crate::stream) struct FrameWriter {
    plain: Vec<u8>,
    encoder: snap::raw::Encoder,
    has_begun: bool,
}

impl FrameReader {
    /// Takes the next bytes.
    pub(in crate::stream) fn push(&mut self, bytes: &[u8]) {
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        } else if self.at > BLOCK_MAX {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes that are not decoded yet.
    pub(in crate::stream) fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Decodes one frame onto `out`; false if there is no whole one.
    ///
    /// # Errors
    /// The bytes are no frames.
    pub(in crate::stream) fn read(&mut self, out: &mut Vec<u8>) -> Result<bool, ArchiveError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(([kind, low, middle, high], rest)) = rest.split_first_chunk() else {
            return Ok(false);
        };
        let len = usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16;
        if !self.has_begun && *kind != NAME {
            return Err(ArchiveError::Corrupt);
        }
        let Some(body) = rest.get(..len) else { return Ok(false) };
        match *kind {
            NAME if body == S2_NAME || body == SNAPPY_NAME => self.has_begun = true,
            NAME => return Err(ArchiveError::Unsupported),
            COMPRESSED | PLAIN => {
                let (sum, data) = body.split_first_chunk().ok_or(ArchiveError::Corrupt)?;
                let start = out.len();
                if *kind == COMPRESSED {
                    decode_block(data, out)?;
                } else {
                    out.extend_from_slice(data);
                }
                let decoded = out.get(start..).unwrap_or_default();
                if masked_crc(decoded) != u32::from_le_bytes(*sum) {
                    out.truncate(start);
                    return Err(ArchiveError::Checksum);
                }
            }
            SKIPPED_FROM.. => {}
            _ => return Err(ArchiveError::Unsupported),
        }
        self.at += 4 + len;
        Ok(true)
    }
}

impl FrameWriter {
    /// A writer that has written nothing.
    pub(in crate::stream) fn new() -> Self {
        Self { plain: Vec::new(), encoder: snap::raw::Encoder::new(), has_begun: false }
    }

    /// The bytes to be compressed, to be appended to.
    pub(in crate::stream) fn plain(&mut self) -> &mut Vec<u8> {
        &mut self.plain
    }

    /// Appends the frames of all whole blocks to `out`; of everything, if this is the `end`.
    pub(in crate::stream) fn write(&mut self, is_end: bool, out: &mut Vec<u8>) {
        if !self.has_begun {
            self.has_begun = true;
            write_head(NAME, S2_NAME.len(), out);
            out.extend_from_slice(S2_NAME);
        }
        let whole = self.plain.len() - self.plain.len() % BLOCK;
        let end = if is_end { self.plain.len() } else { whole };
        for block in self.plain.get(..end).unwrap_or_default().chunks(BLOCK) {
            let compressed = self.encoder.compress_vec(block).ok();
            let shorter = compressed.as_ref().filter(|c| c.len() < block.len() - block.len() / 8);
            let (kind, data) = match shorter {
                Some(compressed) => (COMPRESSED, compressed.as_slice()),
                None => (PLAIN, block),
            };
            write_head(kind, data.len() + 4, out);
            out.extend_from_slice(&masked_crc(block).to_le_bytes());
            out.extend_from_slice(data);
        }
        self.plain.drain(..end);
    }
}

impl std::fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameWriter").field("plain", &self.plain.len()).finish_non_exhaustive()
    }
}

fn write_head(kind: u8, len: usize, out: &mut Vec<u8>) {
    // A block that does not shrink is written as it is, so no frame is longer than a block.
    let [low, middle, high, ..] = len.to_le_bytes();
    out.extend_from_slice(&[kind, low, middle, high]);
}

/// Decodes a block onto `out`.
///
/// ```text
/// length, then until that many bytes are there:
///   literal  ll..ll00         l + 1 bytes follow; 60 to 63: the length does, in 1 to 4 bytes
///   copy     ooolll01 o       l + 4 bytes from up to 2 KiB before
///   repeat   000lll01         the same from where the last copy was taken; l 5 to 7: more bytes
///   copy     llllll10 oo      l + 1 bytes from up to 64 KiB before
///   copy     llllll11 oooo    the same from anywhere in the block
/// ```
fn decode_block(mut from: &[u8], out: &mut Vec<u8>) -> Result<(), ArchiveError> {
    let from = &mut from;
    let len = read_len(from)?;
    let start = out.len();
    let end = start + len;
    out.reserve(len);
    let mut offset = 0;
    while let Some((tag, rest)) = from.split_first() {
        *from = rest;
        let high = usize::from(*tag >> 2);
        let count = match *tag & 3 {
            0 => {
                let count = match high {
                    0..=59 => high,
                    _ => take_number(from, high - 59)?,
                } + 1;
                let (literal, rest) = from.split_at_checked(count).ok_or(ArchiveError::Corrupt)?;
                if literal.len() > end - out.len() {
                    return Err(ArchiveError::Corrupt);
                }
                out.extend_from_slice(literal);
                *from = rest;
                continue;
            }
            1 => {
                let near = usize::from(*tag >> 5) << 8 | take_number(from, 1)?;
                let short = high & 7;
                if near != 0 {
                    offset = near;
                    short + 4
                } else {
                    match short {
                        5 => take_number(from, 1)? + 8,
                        6 => take_number(from, 2)? + 260,
                        7 => take_number(from, 3)? + 65_540,
                        _ => short + 4,
                    }
                }
            }
            kind => {
                offset = take_number(from, if kind == 2 { 2 } else { 4 })?;
                high + 1
            }
        };
        if offset == 0 || offset > out.len() - start || count > end - out.len() {
            return Err(ArchiveError::Corrupt);
        }
        let source = out.len() - offset;
        let mut left = count;
        while left > 0 {
            // What was just copied may be copied on: each step doubles what there is.
            let step = left.min(out.len() - source);
            out.extend_from_within(source..source + step);
            left -= step;
        }
    }
    if out.len() == end {
        Ok(())
    } else {
        Err(ArchiveError::Corrupt)
    }
}

fn take_number(from: &mut &[u8], bytes: usize) -> Result<usize, ArchiveError> {
    let (number, rest) = from.split_at_checked(bytes).ok_or(ArchiveError::Corrupt)?;
    *from = rest;
    Ok(number.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

fn read_len(from: &mut &[u8]) -> Result<usize, ArchiveError> {
    let mut len = 0usize;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = from.split_first().ok_or(ArchiveError::Corrupt)?;
        *from = rest;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return if len <= BLOCK_MAX { Ok(len) } else { Err(ArchiveError::Corrupt) };
        }
    }
    Err(ArchiveError::Corrupt)
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The frame that names the format.
const NAME: u8 = 0xff;
const COMPRESSED: u8 = 0;
const PLAIN: u8 = 1;
/// Frames of this type and above may be skipped.
const SKIPPED_FROM: u8 = 0x80;
const S2_NAME: &[u8] = b"S2sTwO";
const SNAPPY_NAME: &[u8] = b"sNaPpY";
/// Bytes that are compressed at a time.
const BLOCK: usize = 64 << 10;
/// Bytes that a block decodes to, at most.
const BLOCK_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(frames: &[u8], piece: usize) -> Result<Vec<u8>, ArchiveError> {
        let (mut reader, mut out) = (FrameReader::default(), Vec::new());
        for piece in frames.chunks(piece.max(1)) {
            reader.push(piece);
            while reader.read(&mut out)? {}
        }
        assert_eq!(reader.len(), 0);
        Ok(out)
    }

    fn block(bytes: &[u8]) -> Result<Vec<u8>, ArchiveError> {
        let mut out = b"before".to_vec();
        decode_block(bytes, &mut out).map(|()| out.split_off(6))
    }

    #[test]
    fn copies_and_repeats_are_followed() {
        // Literal "abc", copy of 4 from 3 before, repeat of 4, then repeats of longer forms.
        assert_eq!(block(b"\x07\x08abc\x01\x03").unwrap(), b"abcabca");
        assert_eq!(block(b"\x0b\x08abc\x01\x03\x01\x00").unwrap(), b"abcabcabcab");
        let nine = block(b"\x10\x08abc\x01\x03\x15\x00\x01").unwrap();
        assert_eq!(nine, b"abcabcabcabcabca");
        let long = block(b"\xac\x02\x00x\x06\x01\x00\x19\x00\x25\x00").unwrap();
        assert_eq!(long.len(), 300);
        assert!(long.iter().all(|byte| *byte == b'x'));
    }

    #[test]
    fn damaged_blocks_are_refused() {
        for bad in [
            &b""[..],
            b"\xff\xff\xff\xff\xff\xff",
            b"\x04\x08abc",         // too short
            b"\x02\x08abc",         // too long
            b"\x05\x08ab",          // cut literal
            b"\x04\x01\x00",        // repeat without a copy before
            b"\x07\x08abc\x01\x04", // before the block
            b"\xff\xff\xff\x7f",    // larger than a block may be
        ] {
            assert_eq!(block(bad), Err(ArchiveError::Corrupt), "{bad:?}");
        }
    }

    #[test]
    fn frames_that_are_none_are_refused() {
        assert_eq!(decoded(b"GET / HTTP/1.1\r\n", 3), Err(ArchiveError::Corrupt));
        let unknown = b"\xff\x06\x00\x00S2sTwO\x02\x01\x00\x00x";
        assert_eq!(decoded(unknown, 99), Err(ArchiveError::Unsupported));
        let skipped = b"\xff\x06\x00\x00S2sTwO\x99\x01\x00\x00x";
        assert_eq!(decoded(skipped, 99), Ok(Vec::new()));
        let sum = b"\xff\x06\x00\x00S2sTwO\x01\x05\x00\x00abcdx";
        assert_eq!(decoded(sum, 99), Err(ArchiveError::Checksum));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            seed in proptest::collection::vec(any::<u8>(), 1..40),
            repeat in 0usize..9000,
            piece in 1usize..70_000,
        ) {
            let bytes: Vec<u8> = seed.iter().copied().cycle().take(seed.len() * repeat).collect();
            let (mut writer, mut frames) = (FrameWriter::new(), Vec::new());
            for part in bytes.chunks(piece) {
                writer.plain().extend_from_slice(part);
                writer.write(false, &mut frames);
            }
            writer.write(true, &mut frames);
            prop_assert_eq!(decoded(&frames, piece).unwrap(), bytes);
        }

        /// Goal: no input makes the reader panic or grow without bound.
        #[test]
        fn any_block_is_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(out) = block(&bytes) {
                prop_assert!(out.len() <= BLOCK_MAX);
            }
        }

        #[test]
        fn any_frames_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut frames = b"\xff\x06\x00\x00S2sTwO".to_vec();
            frames.extend_from_slice(&bytes);
            let (mut reader, mut out) = (FrameReader::default(), Vec::new());
            reader.push(&frames);
            while reader.read(&mut out).unwrap_or(false) {}
        }
    }
}
