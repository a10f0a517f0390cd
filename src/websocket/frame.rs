//! Frames from a peer, whatever receives they come in.
//!
//! ```text
//! until the buffer is read:
//!     head    take it from the buffer, or keep what there is of it
//!     plain   unmask; close the gap to the plain payload before it
//!     other   stop in front of it if plain payload was found, else hand it over
//! ```
#![deny(clippy::arithmetic_side_effects)]

use std::ops::Range;

use thiserror::Error;

use super::mask::unmask;

/// What a piece of the stream held.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameEvent<'a> {
    /// Bytes of the carried stream; may be empty.
    Payload(&'a [u8]),
    /// A piece of a compressed message.
    Compressed {
        /// The piece; may be empty.
        bytes: &'a [u8],
        /// It ends the message.
        last: bool,
    },
    /// To be answered with a pong of the same payload.
    Ping(Vec<u8>),
    /// An answer nobody asked for.
    Pong,
    /// The peer ends the connection; its payload is a status and a text, or nothing.
    Close(Vec<u8>),
}

/// What is wrong with a frame; nats-server's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A client masks what it sends.
    #[error("mask bit missing")]
    MaskMissing,
    /// Bits without a meaning that was agreed on.
    #[error("RSV2 and RSV3 must be clear")]
    ReservedBits,
    /// Nobody agreed to compression.
    #[error("compressed frame received without negotiated permessage-deflate")]
    NotAgreed,
    /// A control frame is at most 125 bytes.
    #[error("control frame length bigger than maximum allowed of 125 bytes")]
    ControlTooLong,
    /// A control frame is not cut.
    #[error("control frame does not have final bit set")]
    ControlNotFinal,
    /// Nor compressed.
    #[error("control frame is compressed")]
    ControlCompressed,
    /// The message before is not complete.
    #[error("new message started before final frame for previous message was received")]
    MessageNotComplete,
    /// There is no message to continue, or it is said to be compressed anew.
    #[error("invalid continuation frame")]
    Continuation,
    /// An opcode without a meaning.
    #[error("unknown opcode {0}")]
    Opcode(u8),
    /// A length of more than 63 bits.
    #[error("invalid 64-bit payload length")]
    Length,
}

/// Reads the frames of one connection.
#[derive(Debug)]
pub struct FrameReader {
    /// Frames must be masked.
    masked: bool,
    /// Messages may be compressed.
    compression: bool,
    message: Message,
    /// The frame whose payload comes next.
    frame: Option<Frame>,
    /// The start of a head whose rest has not come.
    head: [u8; HEAD_BYTES_MAX],
    /// `head_length < HEAD_BYTES_MAX`.
    head_length: usize,
    /// Payload of a control frame that is not complete; at most 125 bytes.
    control: Vec<u8>,
}

/// The message that a further frame would continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    None,
    Plain,
    Compressed,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: Kind,
    is_final: bool,
    /// Payload that has not come.
    remaining: u64,
    /// Turned to fit the next byte.
    key: [u8; 4],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Compressed,
    Ping,
    Pong,
    Close,
}

const HEAD_BYTES_MAX: usize = 14;
const CONTROL_BYTES_MAX: u64 = 125;

impl FrameReader {
    /// A reader of frames that must be `masked`, and whose messages may be compressed.
    pub fn new(masked: bool, compression: bool) -> Self {
        Self {
            masked,
            compression,
            message: Message::None,
            frame: None,
            head: [0; HEAD_BYTES_MAX],
            head_length: 0,
            control: Vec::new(),
        }
    }

    /// Reads from the start of `bytes`, which must not be empty; returns what was found and what
    /// is left. Unmasks in place.
    ///
    /// # Errors
    /// The peer does not keep to the rules: nothing more can be read.
    pub fn read<'a>(
        &mut self,
        bytes: &'a mut [u8],
    ) -> Result<(FrameEvent<'a>, &'a mut [u8]), FrameError> {
        // `plain.end <= at <= bytes.len()`
        let mut at = 0;
        let mut plain = 0..0;
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.find_head(bytes.get(at..).unwrap_or_default()) {
                    Ok(Some((frame, taken))) if plain.is_empty() || frame.kind == Kind::Plain => {
                        self.head_length = 0;
                        self.begin(&frame);
                        at = at.saturating_add(taken);
                        frame
                    }
                    Ok(None) if plain.is_empty() => {
                        self.keep_head(bytes.get(at..).unwrap_or_default());
                        at = bytes.len();
                        break;
                    }
                    Err(error) if plain.is_empty() => return Err(error),
                    // Found again once the payload before it was taken.
                    _ => break,
                },
            };
            let here = at..at.saturating_add(frame.take(bytes.len().saturating_sub(at)));
            at = here.end;
            if frame.kind != Kind::Plain {
                return Ok(self.other(frame, bytes, here));
            }
            plain = gather(bytes, plain, here, &mut frame.key);
            if frame.remaining > 0 {
                self.frame = Some(frame);
            }
            if at >= bytes.len() {
                break;
            }
        }
        let (front, rest) = bytes.split_at_mut(at);
        Ok((FrameEvent::Payload(front.get(plain).unwrap_or_default()), rest))
    }

    /// What lies `here` of a frame that is not plain.
    fn other<'a>(
        &mut self,
        mut frame: Frame,
        bytes: &'a mut [u8],
        here: Range<usize>,
    ) -> (FrameEvent<'a>, &'a mut [u8]) {
        let (front, rest) = bytes.split_at_mut(here.end);
        let piece = front.get_mut(here).unwrap_or_default();
        unmask(piece, &mut frame.key);
        let is_complete = frame.remaining == 0;
        if !is_complete {
            self.frame = Some(frame);
        }
        let event = match frame.kind {
            Kind::Compressed => {
                FrameEvent::Compressed { bytes: piece, last: is_complete && frame.is_final }
            }
            Kind::Plain => FrameEvent::Payload(piece),
            Kind::Ping | Kind::Pong | Kind::Close => {
                self.control.extend_from_slice(piece);
                if !is_complete {
                    return (FrameEvent::Payload(&[]), rest);
                }
                let payload = std::mem::take(&mut self.control);
                match frame.kind {
                    Kind::Ping => FrameEvent::Ping(payload),
                    Kind::Close => FrameEvent::Close(payload),
                    _ => FrameEvent::Pong,
                }
            }
        };
        (event, rest)
    }

    /// The head at the start of `bytes`, behind what is kept of it, and how many of `bytes` it is.
    fn find_head(&self, bytes: &[u8]) -> Result<Option<(Frame, usize)>, FrameError> {
        if self.head_length == 0 {
            return self.parse_head(bytes);
        }
        let mut head = self.head;
        let mut length = self.head_length;
        for (to, from) in head.iter_mut().skip(self.head_length).zip(bytes) {
            *to = *from;
            length = length.saturating_add(1);
        }
        let found = self.parse_head(head.get(..length).unwrap_or_default())?;
        Ok(found.map(|(frame, taken)| (frame, taken.saturating_sub(self.head_length))))
    }

    fn keep_head(&mut self, bytes: &[u8]) {
        for (to, from) in self.head.iter_mut().skip(self.head_length).zip(bytes) {
            *to = *from;
        }
        self.head_length = self.head_length.saturating_add(bytes.len());
    }

    fn parse_head(&self, bytes: &[u8]) -> Result<Option<(Frame, usize)>, FrameError> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let is_masked = second & 0x80 != 0;
        if self.masked && !is_masked {
            return Err(FrameError::MaskMissing);
        }
        let is_final = first & 0x80 != 0;
        let is_compressed = first & 0x40 != 0;
        if first & 0x30 != 0 {
            return Err(FrameError::ReservedBits);
        }
        if is_compressed && !self.compression {
            return Err(FrameError::NotAgreed);
        }
        let short = second & 0x7f;
        let opcode = first & 0x0f;
        let kind = match opcode {
            0 => match self.message {
                _ if is_compressed => return Err(FrameError::Continuation),
                Message::None => return Err(FrameError::Continuation),
                Message::Plain => Kind::Plain,
                Message::Compressed => Kind::Compressed,
            },
            1 | 2 if self.message != Message::None => return Err(FrameError::MessageNotComplete),
            1 | 2 if is_compressed => Kind::Compressed,
            1 | 2 => Kind::Plain,
            8..=10 => {
                if u64::from(short) > CONTROL_BYTES_MAX {
                    return Err(FrameError::ControlTooLong);
                }
                if !is_final {
                    return Err(FrameError::ControlNotFinal);
                }
                if is_compressed {
                    return Err(FrameError::ControlCompressed);
                }
                match opcode {
                    8 => Kind::Close,
                    9 => Kind::Ping,
                    _ => Kind::Pong,
                }
            }
            opcode => return Err(FrameError::Opcode(opcode)),
        };
        let (remaining, rest) = match short {
            126 => match rest.split_first_chunk::<2>() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            short => (u64::from(short), rest),
        };
        if i64::try_from(remaining).is_err() {
            return Err(FrameError::Length);
        }
        let (key, rest) = match rest.split_first_chunk::<4>() {
            Some((key, rest)) if is_masked => (*key, rest),
            None if is_masked => return Ok(None),
            _ => ([0; 4], rest),
        };
        let taken = bytes.len().saturating_sub(rest.len());
        Ok(Some((Frame { kind, is_final, remaining, key }, taken)))
    }

    /// A frame's head was read: what it means for the message.
    fn begin(&mut self, frame: &Frame) {
        self.message = match frame.kind {
            Kind::Plain | Kind::Compressed if frame.is_final => Message::None,
            Kind::Plain => Message::Plain,
            Kind::Compressed => Message::Compressed,
            Kind::Ping | Kind::Pong | Kind::Close => self.message,
        };
    }
}

impl Frame {
    /// Takes what of `available` bytes is this frame's.
    fn take(&mut self, available: usize) -> usize {
        let taken = usize::try_from(self.remaining).map_or(available, |left| left.min(available));
        self.remaining = self.remaining.saturating_sub(taken as u64);
        taken
    }
}

/// Unmasks the payload that lies `here` and puts it behind the `plain` payload found before.
fn gather(
    bytes: &mut [u8],
    plain: Range<usize>,
    here: Range<usize>,
    key: &mut [u8; 4],
) -> Range<usize> {
    let start = if plain.is_empty() { here.start } else { plain.start };
    let from = if plain.is_empty() { here.start } else { plain.end };
    let end = from.saturating_add(here.len());
    if from != here.start {
        bytes.copy_within(here, from);
    }
    unmask(bytes.get_mut(from..end).unwrap_or_default(), key);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let key = [0xa1, 0x02, 0x33, 0xf4];
        let mut out = vec![first];
        match payload.len() {
            short @ 0..=125 => out.push(0x80 | u8::try_from(short).unwrap()),
            medium @ 126..=65_535 => {
                out.push(0x80 | 126);
                out.extend_from_slice(&u16::try_from(medium).unwrap().to_be_bytes());
            }
            long => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&key);
        out.extend(payload.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b));
        out
    }

    #[derive(Debug, Default, PartialEq, Eq)]
    struct Seen {
        payload: Vec<u8>,
        messages: Vec<Vec<u8>>,
        packed: Vec<u8>,
        others: Vec<String>,
    }

    fn read(pieces: &[&[u8]]) -> (Seen, Result<(), FrameError>) {
        let mut reader = FrameReader::new(true, true);
        let mut seen = Seen::default();
        for piece in pieces {
            let mut piece = piece.to_vec();
            let mut rest = &mut piece[..];
            while !rest.is_empty() {
                let (event, more) = match reader.read(rest) {
                    Ok(read) => read,
                    Err(error) => return (seen, Err(error)),
                };
                match event {
                    FrameEvent::Payload(bytes) => seen.payload.extend_from_slice(bytes),
                    FrameEvent::Compressed { bytes, last } => {
                        seen.packed.extend_from_slice(bytes);
                        if last {
                            seen.messages.push(std::mem::take(&mut seen.packed));
                        }
                    }
                    FrameEvent::Ping(_) | FrameEvent::Pong | FrameEvent::Close(_) => {
                        seen.others.push(format!("{event:?} at {}", seen.payload.len()));
                    }
                }
                rest = more;
            }
        }
        (seen, Ok(()))
    }

    fn stream() -> Vec<u8> {
        [
            frame(0x82, b"PUB a 5\r\nhello\r\n"),
            frame(0x81, b"PING\r\n"),
            frame(0x02, b"PUB b "),
            frame(0x89, b"are you there"),
            frame(0x00, b""),
            frame(0x80, b"3\r\nabc\r\n"),
            frame(0x8a, b""),
            frame(0x42, b"pack"),
            frame(0x80, b"ed"),
            frame(0xc2, b"again"),
            frame(0x82, &[b'x'; 300]),
            frame(0x82, b""),
            frame(0x88, b"\x03\xe8bye"),
        ]
        .concat()
    }

    // Goal: receives may cut the stream anywhere. Method: a stream of all kinds of frames, cut in
    // two at every byte, and into single bytes.
    #[test]
    fn any_cut_reads_the_same() {
        let stream = stream();
        let (whole, end) = read(&[&stream]);
        assert_eq!(end, Ok(()));
        let mut payload = b"PUB a 5\r\nhello\r\nPING\r\nPUB b 3\r\nabc\r\n".to_vec();
        payload.extend_from_slice(&[b'x'; 300]);
        assert_eq!(whole.payload, payload);
        assert_eq!(whole.messages, [&b"packed"[..], b"again"]);
        assert_eq!(whole.others.len(), 3);
        for cut in 1..stream.len() {
            let (one, two) = stream.split_at(cut);
            assert_eq!(read(&[one, two]), (read(&[&stream]).0, Ok(())), "cut at {cut}");
        }
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&single).0, whole);
    }

    #[test]
    fn consecutive_frames_become_one_slice() {
        let mut bytes =
            [frame(0x82, b"one "), frame(0x82, b"two "), frame(0x82, b"three")].concat();
        let mut reader = FrameReader::new(true, false);
        let (event, rest) = reader.read(&mut bytes).unwrap();
        assert_eq!(event, FrameEvent::Payload(b"one two three"));
        assert!(rest.is_empty());
    }

    #[test]
    fn what_breaks_the_rules_is_told() {
        let unmasked = vec![0x82, 1, b'x'];
        let length = [vec![0x82, 0xff], vec![0xff; 8], vec![0; 4]].concat();
        for (bytes, error) in [
            (unmasked, FrameError::MaskMissing),
            (frame(0x92, b""), FrameError::ReservedBits),
            (frame(0xa2, b""), FrameError::ReservedBits),
            (frame(0x89, &[0; 126]), FrameError::ControlTooLong),
            (frame(0x09, b""), FrameError::ControlNotFinal),
            (frame(0xc9, b""), FrameError::ControlCompressed),
            (frame(0x80, b""), FrameError::Continuation),
            ([frame(0x02, b""), frame(0xc0, b"")].concat(), FrameError::Continuation),
            ([frame(0x02, b"a"), frame(0x82, b"b")].concat(), FrameError::MessageNotComplete),
            (frame(0x83, b""), FrameError::Opcode(3)),
            (frame(0x8b, b""), FrameError::Opcode(11)),
            (length, FrameError::Length),
        ] {
            assert_eq!(read(&[&bytes]).1, Err(error));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(read(&single).1, Err(error));
            // What came before it is not lost.
            let after = [frame(0x82, b"before"), bytes].concat();
            let (seen, end) = read(&[&after]);
            assert_eq!((&seen.payload[..6], end), (&b"before"[..], Err(error)));
        }
        let mut plain = FrameReader::new(true, false);
        assert_eq!(plain.read(&mut frame(0xc2, b"")).unwrap_err(), FrameError::NotAgreed);
    }

    #[test]
    fn a_frame_of_any_length_passes_without_being_kept() {
        let mut reader = FrameReader::new(true, false);
        let mut head =
            [vec![0x82, 0xff], (1_u64 << 62).to_be_bytes().to_vec(), vec![0; 4]].concat();
        let (event, rest) = reader.read(&mut head).unwrap();
        assert!(event == FrameEvent::Payload(b"") && rest.is_empty());
        for _ in 0..100 {
            let mut bytes = vec![7; 1000];
            let (event, rest) = reader.read(&mut bytes).unwrap();
            assert!(event == FrameEvent::Payload(&[7; 1000]) && rest.is_empty());
        }
        assert_eq!(reader.control.capacity(), 0);
    }
}
