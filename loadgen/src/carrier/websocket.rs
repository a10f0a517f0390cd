//! WebSocket (RFC 6455), the client's side of what a server of messages needs: binary frames out,
//! each masked, and frames of any length in, without extensions.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use super::{unless_blocked, PIECE_BYTES, READ_BYTES};

/// A connection that was upgraded.
pub struct WebSocket {
    socket: TcpStream,
    /// Bytes of the socket, those before `start` consumed.
    framed: Vec<u8>,
    start: usize,
    /// Bytes that the current frame still has, and what they are.
    left: usize,
    kind: u8,
    /// A frame that the socket has not taken whole, from `sent` on.
    piece: Vec<u8>,
    sent: usize,
    mask: u32,
}

impl WebSocket {
    /// Asks for the upgrade; the socket blocks.
    pub(super) fn open(mut socket: TcpStream) -> io::Result<Self> {
        let host = socket.peer_addr()?;
        write!(
            socket,
            "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )?;
        let mut framed = Vec::new();
        let mut chunk = [0; 4096];
        let end = loop {
            if let Some(end) = memchr::memmem::find(&framed, b"\r\n\r\n") {
                break end + 4;
            }
            match socket.read(&mut chunk)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => framed.extend_from_slice(&chunk[..count]),
            }
        };
        if !framed.starts_with(b"HTTP/1.1 101 ") {
            let line = framed.split(|&byte| byte == b'\r').next().unwrap_or_default();
            return Err(io::Error::other(String::from_utf8_lossy(line).into_owned()));
        }
        let (left, kind, piece, sent, mask) = (0, 0, Vec::new(), 0, 0x1234_5678);
        Ok(Self { socket, framed, start: end, left, kind, piece, sent, mask })
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(super) fn holds_output(&self) -> bool {
        self.sent < self.piece.len()
    }

    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        unless_blocked(self.flush())?;
        let mut filled = 0;
        loop {
            while self.start < self.framed.len() && filled < into.len() {
                if self.left == 0 && !self.begin_frame() {
                    break;
                }
                let rest = &self.framed[self.start..];
                let count = self.left.min(rest.len());
                if !matches!(self.kind, CONTINUATION | TEXT | BINARY) {
                    if self.kind == CLOSE {
                        return Ok(filled);
                    }
                    self.start += count;
                    self.left -= count;
                    continue;
                }
                let count = count.min(into.len() - filled);
                into[filled..filled + count].copy_from_slice(&rest[..count]);
                filled += count;
                self.start += count;
                self.left -= count;
            }
            if filled > 0 || into.is_empty() {
                return Ok(filled);
            }
            self.framed.drain(..self.start);
            self.start = 0;
            let kept = self.framed.len();
            self.framed.resize(kept + READ_BYTES, 0);
            let read = self.socket.read(&mut self.framed[kept..]);
            self.framed.truncate(kept + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Ok(0);
            }
        }
    }

    /// Reads the header of the next frame; false if it is not there whole.
    fn begin_frame(&mut self) -> bool {
        let rest = &self.framed[self.start..];
        let (length, header) = match rest {
            [_, 126, high, low, ..] => (u64::from(u16::from_be_bytes([*high, *low])), 4),
            [_, 127, rest @ ..] => match rest.first_chunk() {
                Some(length) => (u64::from_be_bytes(*length), 10),
                None => return false,
            },
            [_, length, ..] if *length < 126 => (u64::from(*length), 2),
            _ => return false,
        };
        self.kind = rest[0] & 15;
        self.left = usize::try_from(length).unwrap_or(usize::MAX);
        self.start += header;
        true
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let bytes = &bytes[..bytes.len().min(PIECE_BYTES)];
        self.mask = self.mask.wrapping_mul(0x9e37_79b1) | 1;
        frame(bytes, self.mask, &mut self.piece);
        self.sent = 0;
        unless_blocked(self.flush())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.piece.len() {
            self.sent += self.socket.write(&self.piece[self.sent..])?;
        }
        Ok(())
    }
}

/// Makes `out` one masked binary frame.
fn frame(bytes: &[u8], mask: u32, out: &mut Vec<u8>) {
    out.clear();
    out.push(FINAL | BINARY);
    match bytes.len() {
        length @ ..126 => out.push(MASKED | length as u8),
        length @ 126..0x1_0000 => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = mask.to_ne_bytes();
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(bytes);
    // Eight bytes at a time: the compiler makes wide instructions of it.
    let wide = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let mut words = out[start..].chunks_exact_mut(8);
    for word in &mut words {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        word.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_unmasks_to_what_was_in_it() {
        for length in [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 70_001] {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
            let mut out = vec![9; 3];
            frame(&bytes, 0x0102_0304, &mut out);
            let header = match out[1] & 0x7f {
                126 => 4,
                127 => 10,
                _ => 2,
            };
            assert_eq!(out[0], 0x82);
            assert_eq!(out.len(), header + 4 + length);
            let mask: Vec<u8> = out[header..header + 4].to_vec();
            let found: Vec<u8> =
                out[header + 4..].iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
            assert!(found == bytes, "{length}");
        }
    }
}
