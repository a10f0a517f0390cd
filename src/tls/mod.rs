//! TLS for whoever listens: options, certificates, and one connection's session,
//! driven without I/O on the buffers that sockets fill.
//!
//! rustls does the protocol, with *ring* for the arithmetic. A session's
//! plaintext is at most what one receive brought; its ciphertext is written into
//! the buffer that is sent next.

mod context;
mod identity;
mod options;
mod session;

pub use context::{TlsContext, TlsError};
pub use identity::PeerIdentity;
pub use options::{CertificatePair, HandshakeFirst, TlsOptions};
pub use session::{SessionError, TlsSession};
