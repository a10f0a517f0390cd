//! A monitoring connection's socket, with TLS between or without.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;

use crate::tls::{TlsContext, TlsSession};

/// Bytes of one read.
pub(super) const READ_BYTES: usize = 4096;

/// Bytes sealed at a time: what one record holds.
const SEAL_BYTES: usize = 16 * 1024;

/// A socket that takes and gives what is said in clear.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    tls: Option<Box<Sealed>>,
}

#[derive(Debug)]
struct Sealed {
    session: TlsSession,
    /// Ciphertext that waits: `out[sent..]`.
    out: Vec<u8>,
    sent: usize,
    /// Whether anything has come.
    begun: bool,
    closed: bool,
}

impl Wire {
    /// A connection in clear, or one whose client is to begin a handshake.
    ///
    /// # Errors
    /// The context is not usable.
    pub(super) fn new(stream: TcpStream, context: Option<&TlsContext>) -> io::Result<Self> {
        let sealed = |context| {
            let session = TlsSession::new(context).map_err(io::Error::other)?;
            Ok::<_, io::Error>(Box::new(Sealed {
                session,
                out: Vec::new(),
                sent: 0,
                begun: false,
                closed: false,
            }))
        };
        Ok(Self { stream, tls: context.map(sealed).transpose()? })
    }

    /// Whether a handshake is still going on.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.session.is_established())
    }

    /// Appends what has come to `input`, and says how much. 0 is the end.
    ///
    /// # Errors
    /// Nothing has come yet, or the connection is to be given up.
    pub(super) fn read(&mut self, input: &mut Vec<u8>) -> io::Result<usize> {
        let mut buffer = [0; READ_BYTES];
        let Some(tls) = &mut self.tls else {
            let count = self.stream.read(&mut buffer)?;
            input.extend_from_slice(&buffer[..count]);
            return Ok(count);
        };
        loop {
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                return Ok(0);
            }
            let bytes = &buffer[..count];
            if !std::mem::replace(&mut tls.begun, true) && is_http(bytes) {
                tls.out.extend_from_slice(IN_CLEAR);
                tls.flush(&mut self.stream)?;
                return Err(io::Error::new(ErrorKind::InvalidData, NO_RECORD));
            }
            let before = input.len();
            let taken = tls.session.handle_received(bytes, input);
            tls.session.take_output(&mut tls.out);
            let flushed = tls.flush(&mut self.stream);
            // The alert has had its chance.
            taken.map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
            match flushed {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            if input.len() > before {
                return Ok(input.len() - before);
            }
            if tls.session.has_ended() {
                return Ok(0);
            }
        }
    }

    /// Takes bytes to be sent, and says how many. They have all left when [`Self::flush`] says so.
    ///
    /// # Errors
    /// No more can be taken now, or the connection is to be given up.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.stream.write(bytes) };
        tls.flush(&mut self.stream)?;
        let count = bytes.len().min(SEAL_BYTES);
        tls.session.seal(&bytes[..count]).map_err(io::Error::other)?;
        tls.session.take_output(&mut tls.out);
        match tls.flush(&mut self.stream) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    /// Sends what is sealed and waits.
    ///
    /// # Errors
    /// Not all of it could be sent now, or the connection is to be given up.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.tls.as_mut().map_or(Ok(()), |tls| tls.flush(&mut self.stream))
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub(super) fn end(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            if !std::mem::replace(&mut tls.closed, true) {
                tls.session.close();
                tls.session.take_output(&mut tls.out);
            }
            tls.flush(&mut self.stream)?;
        }
        self.stream.shutdown(Shutdown::Write)
    }
}

impl Sealed {
    fn flush(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        while self.sent < self.out.len() {
            match stream.write(&self.out[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }
}

/// Whether somebody speaks in clear who should not: Go's server looks for the same words.
fn is_http(bytes: &[u8]) -> bool {
    ["GET /", "HEAD ", "POST ", "PUT /", "OPTIO"]
        .iter()
        .any(|word| bytes.starts_with(word.as_bytes()))
}

const NO_RECORD: &str = "client sent an HTTP request to an HTTPS server";

const IN_CLEAR: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_in_clear_are_told_from_records() {
        assert!(is_http(b"GET /varz HTTP/1.1\r\n"));
        assert!(!is_http(b"\x16\x03\x01") && !is_http(b"GET"));
    }
}
