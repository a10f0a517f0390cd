//! One connection's TLS.

use std::io::{Read, Write};

use rustls::ServerConnection;
use thiserror::Error;

use super::context::TlsContext;
use super::identity::PeerIdentity;

/// One connection's TLS: ciphertext in and plaintext out, and the other way.
///
/// Call [`handle_received`](Self::handle_received) with what the socket brought, then
/// [`take_output`](Self::take_output) for what must be sent (handshake messages, alerts), also
/// after an error, for the alert that tells the peer.
#[derive(Debug)]
pub struct TlsSession {
    connection: ServerConnection,
    context: TlsContext,
    established: bool,
    /// The peer has said that it sends nothing more.
    ended: bool,
}

/// Why a session cannot go on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SessionError {
    /// The handshake or a record is not sound.
    #[error("{0}")]
    Protocol(String),
    /// The client's certificate is none of the pinned ones.
    #[error("certificate not pinned")]
    NotPinned,
}

/// Certificates of a client's chain that are kept for who asks.
const CHAIN_MAX: usize = 8;

impl TlsSession {
    /// A session whose client has not said anything yet.
    ///
    /// # Errors
    /// The context is not usable.
    pub fn new(context: &TlsContext) -> Result<Self, SessionError> {
        let mut connection = ServerConnection::new(context.config.clone())
            .map_err(|error| SessionError::Protocol(error.to_string()))?;
        connection.set_buffer_limit(None);
        Ok(Self { connection, context: context.clone(), established: false, ended: false })
    }

    /// Takes what the socket brought and appends what it says to `plain`.
    ///
    /// # Errors
    /// The connection is to be closed once [`take_output`](Self::take_output) is sent.
    pub fn handle_received(
        &mut self,
        mut bytes: &[u8],
        plain: &mut Vec<u8>,
    ) -> Result<(), SessionError> {
        let protocol = |error: &dyn std::fmt::Display| SessionError::Protocol(error.to_string());
        while !bytes.is_empty() {
            // Reading from a slice takes what fits into the session's buffer.
            let taken = self.connection.read_tls(&mut bytes).map_err(|error| protocol(&error))?;
            let state = self.connection.process_new_packets().map_err(|error| protocol(&error))?;
            let length = state.plaintext_bytes_to_read();
            if length > 0 {
                let start = plain.len();
                plain.resize(start + length, 0);
                self.connection
                    .reader()
                    .read_exact(&mut plain[start..])
                    .map_err(|error| protocol(&error))?;
            }
            self.ended |= state.peer_has_closed();
            if taken == 0 {
                break;
            }
        }
        if !self.established && !self.connection.is_handshaking() {
            self.established = true;
            self.check_pins()?;
        }
        Ok(())
    }

    /// Encrypts `plain` behind what waits already.
    ///
    /// # Errors
    /// The session cannot send any more.
    pub fn seal(&mut self, plain: &[u8]) -> Result<(), SessionError> {
        self.connection
            .writer()
            .write_all(plain)
            .map_err(|error| SessionError::Protocol(error.to_string()))
    }

    /// Appends what must be sent to `out`.
    pub fn take_output(&mut self, out: &mut Vec<u8>) {
        while self.connection.wants_write() {
            // Writing to a vector does not fail.
            if self.connection.write_tls(out).is_err() {
                break;
            }
        }
    }

    /// Queues the alert that says that nothing more will be sent.
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// Whether the handshake is done.
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// Whether the peer has said that it sends nothing more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The protocol's version as monitoring shows it: `1.3`.
    pub fn version(&self) -> &'static str {
        match self.connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
            _ => "",
        }
    }

    /// The cipher suite's IANA name.
    pub fn cipher_suite(&self) -> String {
        let suite = self.connection.negotiated_cipher_suite();
        let name = suite.and_then(|suite| suite.suite().as_str());
        name.unwrap_or_default().replace("TLS13_", "TLS_")
    }

    /// Who the client's certificate says it is, if it showed one.
    pub fn peer(&self) -> Option<PeerIdentity> {
        let certificate = self.connection.peer_certificates()?.first()?;
        PeerIdentity::of(certificate)
    }

    /// The certificates that the client showed, its own first.
    pub fn peer_chain(&self) -> Vec<PeerIdentity> {
        let shown = self.connection.peer_certificates().unwrap_or_default();
        shown.iter().take(CHAIN_MAX).filter_map(|shown| PeerIdentity::of(shown)).collect()
    }

    fn check_pins(&self) -> Result<(), SessionError> {
        if self.context.pinned.is_empty() {
            return Ok(());
        }
        let key = self.peer().map(|peer| peer.key_sha256).unwrap_or_default();
        if self.context.pinned.contains(&key) {
            Ok(())
        } else {
            Err(SessionError::NotPinned)
        }
    }
}
