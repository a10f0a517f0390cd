//! Where the tokens of accounts are found: the configuration, a directory, a server of theirs.
//!
//! Reads and writes files and asks over HTTP, so never on a shard. A file holds one token and is
//! named `<public key>.jwt`, as nats-server names it: a directory of either serves the other.
//!
//! Bounds: [`TOKEN_BYTES_MAX`] for an answer or a file, the option `limit` for files kept,
//! [`DirectoryResolverOptions::timeout`] and [`FETCH_TIMEOUT`] for a lookup.
#![expect(clippy::disallowed_methods, reason = "runs at the start and on threads of its own")]

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::CertificateDer;

use crate::account::jwt::{public_key_kind, AccountToken, KeyKind, TOKEN_BYTES_MAX};
use crate::account::{DirectoryResolverOptions, OperatorOptions, ResolverOptions, ResolverTls};
use crate::host;

/// How long a lookup over HTTP may take; nats-server's default.
const FETCH_TIMEOUT: Duration = Duration::from_millis(1900);

/// The authorities that a resolver's certificate is checked against, unless others are named.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Why a resolver cannot be used, in nats-server's words where it has any.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolverError {
    #[error("{what} {path}: {reason}")]
    Directory { what: &'static str, path: String, reason: String },
    #[error("account resolver failed: {0}")]
    Url(String),
    #[error("limit of {0} accounts reached")]
    Full(usize),
    #[error("tokens are kept in no directory")]
    NotKept,
    #[error("deleting accounts is not allowed")]
    NoDeletion,
}

/// A way to find tokens.
#[derive(Clone, Debug)]
pub(super) enum Resolver {
    /// There are those of the configuration and no others.
    Memory,
    Directory(DirectoryResolverOptions),
    Url(Arc<UrlResolver>),
}

/// A server of tokens.
#[derive(Debug)]
pub(super) struct UrlResolver {
    url: String,
    agent: ureq::Agent,
}

impl Resolver {
    /// The resolver of these options, and all tokens it has without asking anybody.
    pub(super) fn open(
        options: &OperatorOptions,
    ) -> Result<(Self, BTreeMap<String, String>), ResolverError> {
        match &options.resolver {
            ResolverOptions::None | ResolverOptions::Memory => {
                Ok((Self::Memory, options.preload.clone()))
            }
            ResolverOptions::Url { url } => {
                let resolver = UrlResolver::new(url, &options.resolver_tls)?;
                Ok((Self::Url(Arc::new(resolver)), options.preload.clone()))
            }
            ResolverOptions::Directory(directory) => {
                let failed = |what| move |error: io::Error| failed(what, directory, &error);
                std::fs::create_dir_all(&directory.dir).map_err(failed("mkdir"))?;
                let mut tokens = read_all(&directory.dir).map_err(failed("open"))?;
                for (account, token) in &options.preload {
                    if is_newer(token, tokens.get(account)) {
                        write(directory, account, token).map_err(failed("open"))?;
                        tokens.insert(account.clone(), token.clone());
                    }
                }
                Ok((Self::Directory(directory.clone()), tokens))
            }
        }
    }

    /// The token of an account. `None`: there is none, or nobody answers.
    pub(super) fn fetch(&self, account: &str) -> Option<String> {
        if public_key_kind(account) != Some(KeyKind::Account) {
            return None;
        }
        match self {
            Self::Memory => None,
            Self::Directory(directory) => read(&file(&directory.dir, account)).ok(),
            Self::Url(resolver) => resolver.fetch(account).ok(),
        }
    }
}

impl Resolver {
    /// Every token that is kept in files.
    pub(super) fn all(&self) -> BTreeMap<String, String> {
        match self {
            Self::Directory(directory) => read_all(&directory.dir).unwrap_or_default(),
            Self::Memory | Self::Url(_) => BTreeMap::new(),
        }
    }

    /// Keeps the token of an account.
    pub(super) fn store(&self, account: &str, token: &str) -> Result<(), ResolverError> {
        let Self::Directory(directory) = self else { return Err(ResolverError::NotKept) };
        if let Some(limit) = directory.limit {
            let known = self.all();
            if known.len() >= limit && !known.contains_key(account) {
                return Err(ResolverError::Full(limit));
            }
        }
        write(directory, account, token).map_err(|error| failed("open", directory, &error))
    }

    /// Forgets the token of an account; what is kept of it has another name.
    pub(super) fn delete(&self, account: &str) -> Result<(), ResolverError> {
        let Self::Directory(directory) = self else { return Err(ResolverError::NotKept) };
        if !directory.allow_delete || public_key_kind(account) != Some(KeyKind::Account) {
            return Err(ResolverError::NoDeletion);
        }
        let path = file(&directory.dir, account);
        let removed = if directory.hard_delete {
            std::fs::remove_file(&path)
        } else {
            std::fs::rename(&path, path.with_extension("jwt.deleted"))
        };
        removed.map_err(|error| failed("remove", directory, &error))
    }
}

fn failed(
    what: &'static str,
    directory: &DirectoryResolverOptions,
    error: &io::Error,
) -> ResolverError {
    let (path, reason) = (directory.dir.display().to_string(), host::go_error_text(error));
    ResolverError::Directory { what, path, reason }
}

impl UrlResolver {
    fn new(url: &str, tls: &ResolverTls) -> Result<Self, ResolverError> {
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(FETCH_TIMEOUT))
            .max_redirects(2)
            .user_agent("midge");
        if url.starts_with("https:") {
            config = config.tls_config(client_tls(tls)?);
        }
        let resolver = Self { url: url.to_owned(), agent: config.build().new_agent() };
        // nats-server asks for nothing in particular once, to find out whether anybody answers.
        resolver.get("").map_err(|error| ResolverError::Url(error.to_string()))?;
        Ok(resolver)
    }

    fn fetch(&self, account: &str) -> Result<String, ureq::Error> {
        self.get(account)
    }

    fn get(&self, path: &str) -> Result<String, ureq::Error> {
        let mut answer = self.agent.get(format!("{}{path}", self.url)).call()?;
        let limit = u64::try_from(TOKEN_BYTES_MAX).unwrap_or(u64::MAX);
        answer.body_mut().with_config().limit(limit).read_to_string()
    }
}

fn client_tls(options: &ResolverTls) -> Result<ureq::tls::TlsConfig, ResolverError> {
    let path = options.ca_file.as_deref().unwrap_or_else(|| Path::new(SYSTEM_AUTHORITIES));
    let mut tls = ureq::tls::TlsConfig::builder()
        .disable_verification(options.insecure)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
    if !options.insecure || options.ca_file.is_some() {
        tls = tls.root_certs(certificates(path)?.into());
    }
    if let Some((chain, key)) = &options.identity {
        let refused = |error| ResolverError::Url(format!("{}: {error}", key.display()));
        let pem = std::fs::read(key).map_err(|error| refused(error.to_string()))?;
        let private = ureq::tls::PrivateKey::from_pem(&pem);
        let private = private.map_err(|error| refused(error.to_string()))?;
        let shown = ureq::tls::ClientCert::new_with_certs(&certificates(chain)?, private);
        tls = tls.client_cert(Some(shown));
    }
    Ok(tls.build())
}

fn certificates(path: &Path) -> Result<Vec<ureq::tls::Certificate<'static>>, ResolverError> {
    let refused = |error: rustls::pki_types::pem::Error| {
        ResolverError::Url(format!("{}: {error}", path.display()))
    };
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_file_iter(path).map_err(refused)? {
        let certificate = certificate.map_err(refused)?;
        found.push(ureq::tls::Certificate::from_der(&certificate).to_owned());
    }
    Ok(found)
}

fn file(dir: &Path, account: &str) -> PathBuf {
    dir.join(format!("{account}.jwt"))
}

fn read(path: &Path) -> io::Result<String> {
    let limit = u64::try_from(TOKEN_BYTES_MAX).unwrap_or(u64::MAX);
    let mut text = String::new();
    std::fs::File::open(path)?.take(limit).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

/// Every token of a directory; files that cannot be read count for nothing.
fn read_all(dir: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut tokens = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(account) = name.and_then(|name| name.strip_suffix(".jwt")) else { continue };
        if public_key_kind(account) != Some(KeyKind::Account) {
            continue;
        }
        if let Ok(token) = read(&path) {
            tokens.insert(account.to_owned(), token);
        }
    }
    Ok(tokens)
}

/// Writes a token so that a reader sees the old one or the new one.
fn write(directory: &DirectoryResolverOptions, account: &str, token: &str) -> io::Result<()> {
    let path = file(&directory.dir, account);
    let partial = directory.dir.join(format!("{account}.partial"));
    std::fs::write(&partial, token)?;
    std::fs::rename(&partial, &path)
}

/// Whether a token was made after the one that is there.
fn is_newer(token: &str, known: Option<&String>) -> bool {
    let made = |token: &str| {
        AccountToken::decode(token).map(|token| token.unverified().issued_at).unwrap_or(i64::MIN)
    };
    known.is_none_or(|known| made(known) < made(token))
}
