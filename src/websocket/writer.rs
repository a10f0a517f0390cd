//! Frames to a peer: never masked, since they come from a server.

use super::deflate::Deflater;
use crate::net::Segment;

/// Payload bytes of a frame to a browser, as in nats-server.
const BROWSER_FRAME_BYTES: usize = 4096;

/// Batches of at most this many bytes are not worth compressing.
const COMPRESSED_FROM: usize = 64;

const FINAL: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const PONG: u8 = 10;

/// Bytes of the largest head of a frame that is not masked.
const HEAD_BYTES_MAX: usize = 10;

/// How the output of one connection is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameWriter {
    /// The peer understands compressed messages.
    pub compression: bool,
    /// The peer is a browser, which gets small frames.
    pub small_frames: bool,
    /// Compressed messages are not cut into frames: Safari does not put them together.
    pub whole_if_compressed: bool,
}

impl FrameWriter {
    /// Frames what is in `batch` as one message (as several, to a browser) and hands it to `load`.
    /// What is left in `batch` afterwards was copied and may be reused. `chunk` gives an empty
    /// buffer for what is copied.
    pub fn write<'d>(
        &self,
        batch: &mut Vec<Segment>,
        deflater: impl FnOnce() -> &'d mut Deflater,
        chunk: impl FnOnce() -> Vec<u8>,
        mut load: impl FnMut(Segment),
    ) {
        let total = batch.iter().map(|segment| segment.as_slice().len()).sum();
        if total == 0 {
            return;
        }
        if self.compression && total > COMPRESSED_FROM {
            let mut packed = chunk();
            // A head of unknown size goes before it.
            packed.extend_from_slice(&[0; HEAD_BYTES_MAX]);
            deflater().deflate(batch.iter().map(Segment::as_slice), &mut packed);
            let length = packed.len() - HEAD_BYTES_MAX;
            if self.small_frames && !self.whole_if_compressed && length > BROWSER_FRAME_BYTES {
                load(Segment::Owned(cut(&packed[HEAD_BYTES_MAX..], COMPRESSED)));
                return;
            }
            let head = Head::new(FINAL | COMPRESSED | BINARY, length);
            let start = HEAD_BYTES_MAX - head.as_slice().len();
            packed[start..HEAD_BYTES_MAX].copy_from_slice(head.as_slice());
            packed.drain(..start);
            load(Segment::Owned(packed));
        } else if self.small_frames && total > BROWSER_FRAME_BYTES {
            load(Segment::Owned(split(batch, total)));
        } else {
            load(Head::new(FINAL | BINARY, total).into_segment());
            batch.drain(..).for_each(load);
        }
    }
}

/// Appends the answer to a ping.
pub fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    write_control(out, PONG, payload);
}

/// Appends a control frame. `payload.len() <= 125`.
pub(super) fn write_control(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    debug_assert!(payload.len() <= 125, "a control frame is short");
    out.extend_from_slice(Head::new(FINAL | opcode, payload.len()).as_slice());
    out.extend_from_slice(payload);
}

/// One message cut into frames; `first` is set in the first one only.
fn cut(message: &[u8], first: u8) -> Vec<u8> {
    let frames = message.len().div_ceil(BROWSER_FRAME_BYTES);
    let mut out = Vec::with_capacity(message.len() + frames * HEAD_BYTES_MAX);
    for (at, piece) in message.chunks(BROWSER_FRAME_BYTES).enumerate() {
        let opcode = if at == 0 { first | BINARY } else { CONTINUATION };
        let last = if at + 1 == frames { FINAL } else { 0 };
        out.extend_from_slice(Head::new(opcode | last, piece.len()).as_slice());
        out.extend_from_slice(piece);
    }
    out
}

/// A batch as several messages of one small frame each.
fn split(batch: &[Segment], total: usize) -> Vec<u8> {
    let frames = total.div_ceil(BROWSER_FRAME_BYTES);
    let mut out = Vec::with_capacity(total + frames * HEAD_BYTES_MAX);
    let (mut left, mut room) = (total, 0);
    for segment in batch {
        let mut bytes = segment.as_slice();
        while !bytes.is_empty() {
            if room == 0 {
                room = left.min(BROWSER_FRAME_BYTES);
                out.extend_from_slice(Head::new(FINAL | BINARY, room).as_slice());
            }
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            out.extend_from_slice(piece);
            room -= piece.len();
            left -= piece.len();
            bytes = rest;
        }
    }
    out
}

/// The head of a frame.
struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    length: u8,
}

impl Head {
    fn new(first: u8, payload: usize) -> Self {
        let mut bytes = [0; HEAD_BYTES_MAX];
        bytes[0] = first;
        let length = match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(short @ 0..=125), _) => {
                bytes[1] = short;
                2
            }
            (_, Ok(medium)) => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&medium.to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..].copy_from_slice(&(payload as u64).to_be_bytes());
                10
            }
        };
        Self { bytes, length }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    fn into_segment(self) -> Segment {
        Segment::inline(self.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FrameEvent, FrameReader, Inflater};
    use super::*;

    fn framed(writer: FrameWriter, pieces: &[&[u8]]) -> Vec<u8> {
        let mut batch: Vec<Segment> =
            pieces.iter().map(|piece| Segment::Owned(piece.to_vec())).collect();
        let (mut out, mut deflater) = (Vec::new(), Deflater::new());
        writer.write(
            &mut batch,
            || &mut deflater,
            Vec::new,
            |segment| {
                out.extend_from_slice(segment.as_slice());
            },
        );
        out
    }

    /// What a client would read, and the frames it came in.
    fn read(mut bytes: Vec<u8>, compression: bool) -> (Vec<u8>, usize) {
        let mut reader = FrameReader::new(false, compression);
        let (mut out, mut packed) = (Vec::new(), Vec::new());
        let mut inflater = Inflater::new();
        let frames = frames(&bytes);
        let mut rest = &mut bytes[..];
        while !rest.is_empty() {
            let (event, more) = reader.read(rest).unwrap();
            match event {
                FrameEvent::Payload(payload) => out.extend_from_slice(payload),
                FrameEvent::Compressed { bytes, last } => {
                    packed.extend_from_slice(bytes);
                    if last {
                        inflater
                            .inflate(&packed, usize::MAX, |part| {
                                out.extend_from_slice(part);
                                true
                            })
                            .unwrap();
                        packed.clear();
                    }
                }
                other => panic!("{other:?}"),
            }
            rest = more;
        }
        (out, frames)
    }

    fn frames(mut bytes: &[u8]) -> usize {
        let mut frames = 0;
        while let [_, length, rest @ ..] = bytes {
            let (length, rest) = match length {
                126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
                127 => panic!("longer than these tests write"),
                short => (usize::from(*short), rest),
            };
            bytes = &rest[length..];
            frames += 1;
        }
        frames
    }

    #[test]
    fn a_batch_is_one_frame_whatever_it_is_made_of() {
        for length in [1_usize, 60, 125, 126, 65_535] {
            let (a, b) = (vec![b'a'; length / 2], vec![b'b'; length - length / 2]);
            let out = framed(FrameWriter::default(), &[&a, &b]);
            let (payload, frames) = read(out, false);
            assert_eq!(payload, [a, b].concat());
            assert_eq!(frames, 1, "{length}");
        }
        assert!(framed(FrameWriter::default(), &[b"", b""]).is_empty());
        let long = framed(FrameWriter::default(), &[&[0; 65_536]]);
        assert_eq!(long[..10], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_browser_gets_small_frames() {
        let writer = FrameWriter { small_frames: true, ..FrameWriter::default() };
        for length in [1, 4095, 4096, 4097, 8192, 20_001] {
            let bytes: Vec<u8> = (0..length).map(|at: u32| (at % 251) as u8).collect();
            for cut in [0, 1, length / 2, length - 1] {
                let (a, b) = bytes.split_at(cut as usize);
                let (payload, frames) = read(framed(writer, &[a, b]), false);
                assert_eq!(payload, bytes);
                assert_eq!(frames, bytes.len().div_ceil(4096));
            }
        }
    }

    #[test]
    fn compressed_batches_come_back_whole() {
        for (small, whole, many) in
            [(false, false, false), (true, false, true), (true, true, false)]
        {
            let writer =
                FrameWriter { compression: true, small_frames: small, whole_if_compressed: whole };
            // What does not shrink: a generator's bytes.
            let mut state = 1_u32;
            let bytes: Vec<u8> = (0..50_000)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            let out = framed(writer, &[&bytes[..10], &bytes[10..]]);
            assert_eq!(out[0] & 0x40, 0x40);
            let (payload, frames) = read(out, true);
            assert!(payload == bytes);
            assert_eq!(frames > 1, many);
            let text = b"MSG a 1 5\r\nhello\r\n".repeat(50);
            let out = framed(writer, &[&text]);
            assert!(out.len() < text.len() / 2);
            assert_eq!(read(out, true).0, text);
            assert_eq!(framed(writer, &[&text[..64]])[0], 0x82, "too short to compress");
        }
    }
}
