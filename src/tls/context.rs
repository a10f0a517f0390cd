//! Certificates and keys, loaded: what sessions of a listener share.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::options::TlsOptions;

/// What the sessions of a listener share; a clone is cheap.
#[derive(Clone, Debug)]
pub struct TlsContext {
    pub(super) config: Arc<ServerConfig>,
    pub(super) pinned: Arc<[String]>,
    not_after: u64,
}

/// Why TLS cannot be served as asked, in nats-server's words where it has any.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TlsError {
    /// A certificate or key file is missing or no PEM of that kind.
    #[error("error parsing X509 certificate/key pair: {0}")]
    Pair(String),
    /// The file of certificate authorities cannot be read.
    #[error("{0}")]
    Authorities(String),
    /// There is no certificate in the file of authorities.
    #[error("failed to parse root ca certificate")]
    NoAuthorities,
    /// A cipher suite that this build does not have.
    #[error("unrecognized cipher {0}")]
    Cipher(String),
    /// A key exchange group that this build does not have.
    #[error("unrecognized curve preference {0}")]
    Curve(String),
    /// Neither a certificate nor a key was given.
    #[error("TLS Server certificate must be present and valid")]
    NoCertificate,
    /// Something rustls refuses.
    #[error("error parsing tls config: {0}")]
    Refused(String),
}

impl TlsContext {
    /// Reads the files that `options` name.
    ///
    /// # Errors
    /// A file is missing or is not what it should be, or a name is unknown.
    pub fn load(options: &TlsOptions) -> Result<Self, TlsError> {
        let mut provider = ring::default_provider();
        restrict(&mut provider, options)?;
        let provider = Arc::new(provider);
        let mut keys = Vec::new();
        for pair in &options.certificates {
            let key = certified_key(&pair.cert_file, &pair.key_file, &provider)?;
            keys.push(Arc::new(key));
        }
        if keys.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        let versions: &[_] = if options.only_tls13 {
            &[&rustls::version::TLS13]
        } else {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        };
        let refused = |error: &dyn std::fmt::Display| TlsError::Refused(error.to_string());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| refused(&error))?;
        let builder = if options.verify {
            let roots = Arc::new(authorities(options)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| refused(&error))?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let not_after = keys.first().map_or(0, |key| not_after(key));
        let mut config = builder.with_cert_resolver(Arc::new(ByName(keys)));
        // A resumed session would skip the checks of the client's certificate.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        let pinned = options.pinned_certs.clone().into();
        Ok(Self { config: Arc::new(config), pinned, not_after })
    }

    /// Until when the first certificate is valid, in seconds since 1970.
    pub fn not_after(&self) -> u64 {
        self.not_after
    }
}

fn not_after(key: &CertifiedKey) -> u64 {
    let end = key.end_entity_cert().ok().and_then(|certificate| {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        u64::try_from(parsed.validity().not_after.timestamp()).ok()
    });
    end.unwrap_or(0)
}

/// Leaves only what the options name.
fn restrict(provider: &mut CryptoProvider, options: &TlsOptions) -> Result<(), TlsError> {
    if !options.cipher_suites.is_empty() {
        let mut suites = Vec::new();
        for name in &options.cipher_suites {
            match cipher(name) {
                Some(Some(suite)) => suites.push(suite),
                // Go lets these be named; rustls leaves them out as they are weak.
                Some(None) => {}
                None => return Err(TlsError::Cipher(name.clone())),
            }
        }
        // Go's list does not concern TLS 1.3, whose suites are all good.
        for suite in [
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ] {
            if !suites.contains(&suite) {
                suites.push(suite);
            }
        }
        provider.cipher_suites = suites;
    }
    if !options.curves.is_empty() {
        let mut groups = Vec::new();
        for name in &options.curves {
            groups.extend(curve(name)?);
        }
        if !groups.is_empty() {
            provider.kx_groups = groups;
        }
    }
    Ok(())
}

/// The suite of an IANA name; `Some(None)` for one that is known and weak.
fn cipher(name: &str) -> Option<Option<SupportedCipherSuite>> {
    let suite = match name {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => {
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        }
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => {
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        }
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305"
        | "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" => {
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        }
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => {
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        }
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => {
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
        }
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305" | "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" => {
            cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        }
        "TLS_AES_128_GCM_SHA256" => cipher_suite::TLS13_AES_128_GCM_SHA256,
        "TLS_AES_256_GCM_SHA384" => cipher_suite::TLS13_AES_256_GCM_SHA384,
        "TLS_CHACHA20_POLY1305_SHA256" => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        _ if WEAK.contains(&name) => return Some(None),
        _ => return None,
    };
    Some(Some(suite))
}

const WEAK: &[&str] = &[
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

/// The group of Go's name for a curve; `None` for one that is known and not built.
fn curve(name: &str) -> Result<Option<&'static dyn SupportedKxGroup>, TlsError> {
    Ok(match name {
        "X25519" => Some(kx_group::X25519),
        "CurveP256" => Some(kx_group::SECP256R1),
        "CurveP384" => Some(kx_group::SECP384R1),
        "CurveP521" | "X25519MLKEM768" => None,
        _ => return Err(TlsError::Curve(name.to_owned())),
    })
}

fn certified_key(
    cert_file: &Path,
    key_file: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let pair = |error: &dyn std::fmt::Display| TlsError::Pair(error.to_string());
    let pem = read(cert_file).map_err(|error| pair(&error))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|_| pair(&NO_CERTIFICATE))?;
    if chain.is_empty() {
        return Err(pair(&NO_CERTIFICATE));
    }
    let pem = read(key_file).map_err(|error| pair(&error))?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| pair(&NO_KEY))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| pair(&error))
}

/// What the system trusts, where Debian and most others keep it; used when no file is named.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

const NO_CERTIFICATE: &str = "tls: failed to find any PEM data in certificate input";
const NO_KEY: &str = "tls: failed to find any PEM data in key input";

fn authorities(options: &TlsOptions) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let system = Path::new(SYSTEM_AUTHORITIES);
    let path = options.ca_file.as_deref().unwrap_or(system);
    let pem = read(path).map_err(TlsError::Authorities)?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| TlsError::NoAuthorities)?;
        let added = roots.add(certificate);
        // One that the system brings and rustls cannot use is no reason not to start.
        if options.ca_file.is_some() {
            added.map_err(|_| TlsError::NoAuthorities)?;
        }
    }
    if roots.is_empty() {
        return Err(TlsError::NoAuthorities);
    }
    Ok(roots)
}

#[expect(clippy::disallowed_methods, reason = "at start and reload, off the shards")]
fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| {
        let words = match error.kind() {
            std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
            std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
            _ => error.to_string(),
        };
        format!("open {}: {words}", path.display())
    })
}

/// The certificate that covers the name a client asks for, else the first.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| {
            let name = rustls::pki_types::ServerName::try_from(name.to_owned()).ok()?;
            self.0.iter().find(|key| {
                key.end_entity_cert().ok().is_some_and(|certificate| {
                    rustls::server::ParsedCertificate::try_from(certificate).is_ok_and(|parsed| {
                        rustls::client::verify_server_name(&parsed, &name).is_ok()
                    })
                })
            })
        });
        named.or_else(|| self.0.first()).cloned()
    }
}
