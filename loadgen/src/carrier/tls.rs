//! TLS, with rustls on buffers of our own so that a read of the socket is a large one.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::{unless_blocked, PIECE_BYTES, READ_BYTES};
use crate::error::Error;

/// What a client needs that trusts the certificates in `file` (PEM). No session is resumed: each
/// handshake is a full one.
pub fn trusting(file: &Path) -> Result<Arc<ClientConfig>, Error> {
    let fail = |reason: String| Error::Usage(format!("{}: {reason}", file.display()));
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(file).map_err(|error| fail(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| fail(error.to_string()))?;
        roots.add(certificate).map_err(|error| fail(error.to_string()))?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| fail(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// A TCP connection with TLS over it.
pub struct Tls {
    socket: TcpStream,
    session: ClientConnection,
    /// Bytes of the socket, those before `start` given to the session.
    sealed: Vec<u8>,
    start: usize,
}

impl Tls {
    /// Agrees on TLS; the socket blocks.
    pub(super) fn open(mut socket: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::from(socket.peer_addr()?.ip());
        let mut session =
            ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        session.set_buffer_limit(Some(2 * PIECE_BYTES));
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self { socket, session, sealed: Vec::new(), start: 0 })
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(super) fn holds_output(&self) -> bool {
        self.session.wants_write()
    }

    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        unless_blocked(self.flush())?;
        loop {
            match self.session.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if self.start == self.sealed.len() {
                self.sealed.resize(READ_BYTES, 0);
                self.start = 0;
                let read = self.socket.read(&mut self.sealed);
                self.sealed.truncate(*read.as_ref().unwrap_or(&0));
                if read? == 0 {
                    return Ok(0);
                }
            }
            self.start += self.session.read_tls(&mut &self.sealed[self.start..])?;
            self.session.process_new_packets().map_err(io::Error::other)?;
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let count = self.session.writer().write(&bytes[..bytes.len().min(PIECE_BYTES)])?;
        unless_blocked(self.flush())?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}
