//! What a `tls` block says.

use std::path::PathBuf;
use std::time::Duration;

/// The options of one TLS listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// Certificate chains with their keys; the first is the default one.
    pub certificates: Vec<CertificatePair>,
    /// Certificate authorities that client certificates are checked against.
    pub ca_file: Option<PathBuf>,
    /// Clients must show a certificate.
    pub verify: bool,
    /// The certificates of clients name users.
    pub map: bool,
    /// Connections that may come in one second. `None`: any number.
    pub connection_rate_limit: Option<u32>,
    /// How long a handshake may take. Default 2 s.
    pub timeout: Duration,
    /// Nothing below TLS 1.3.
    pub only_tls13: bool,
    /// Cipher suites by their IANA names; empty is the default ones.
    pub cipher_suites: Vec<String>,
    /// Key exchange groups by Go's names; empty is the default ones.
    pub curves: Vec<String>,
    /// SHA-256 of the public keys that client certificates may have, in lower-case
    /// hexadecimal; empty is any.
    pub pinned_certs: Vec<String>,
    /// Whether the handshake comes before INFO.
    pub handshake_first: HandshakeFirst,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            ca_file: None,
            verify: false,
            map: false,
            connection_rate_limit: None,
            timeout: Duration::from_secs(2),
            only_tls13: false,
            cipher_suites: Vec::new(),
            curves: Vec::new(),
            pinned_certs: Vec::new(),
            handshake_first: HandshakeFirst::No,
        }
    }
}

/// A certificate chain and its private key, both in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificatePair {
    /// The chain, the server's own certificate first.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

/// Whether the handshake comes before INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandshakeFirst {
    /// INFO in clear, then the handshake.
    #[default]
    No,
    /// The handshake, then INFO.
    Yes,
    /// The handshake, if the client begins one within this time; else INFO.
    Within(Duration),
}
