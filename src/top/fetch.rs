//! Asks the monitoring port.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use thiserror::Error;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::Agent;

use super::exposition;
use super::sample::Sample;
use super::settings::Settings;
use crate::host;

/// How long one page may take.
const PAGE_TIME_MAX: Duration = Duration::from_secs(5);

/// Bytes of one page.
const PAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What the system trusts, where Debian and most others keep it.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Where to ask, and whom to believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Without a slash at its end.
    pub(super) url: String,
    /// Any certificate is believed.
    pub(super) insecure: bool,
    /// Authorities instead of those of the system.
    pub(super) authorities: Option<PathBuf>,
}

/// Why there is no sample.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    /// Nobody is there, or the answer ended early.
    #[error("{url}: {error}")]
    Http {
        url: String,
        #[source]
        error: Box<ureq::Error>,
    },
    /// The page is not there.
    #[error("{url}: HTTP status {status}: {text}")]
    Status { url: String, status: u16, text: String },
    /// The page is no JSON, or not that of a server.
    #[error("{url}: not the page of a server: {error}")]
    Page {
        url: String,
        #[source]
        error: serde_json::Error,
    },
    /// The file of authorities cannot be used.
    #[error("{}: {error}", path.display())]
    Authorities { path: PathBuf, error: String },
}

/// A client of one server.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    url: String,
}

impl Client {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// The authorities cannot be read.
    pub(super) fn new(place: &Place) -> Result<Self, FetchError> {
        let mut config = Agent::config_builder()
            .timeout_global(Some(PAGE_TIME_MAX))
            .http_status_as_error(false)
            .proxy(None);
        if place.url.starts_with("https://") {
            config = config.tls_config(tls(place)?);
        }
        Ok(Self { agent: config.build().new_agent(), url: place.url.clone() })
    }

    /// All pages, as they are now.
    ///
    /// # Errors
    /// One of them is not to be had; `/metrics` may be missing.
    pub(super) fn sample(&self, settings: &Settings) -> Result<Sample, FetchError> {
        let subscriptions = if settings.subscriptions { "&subs=1" } else { "" };
        let server = self.json("/varz")?;
        let at = Duration::from_nanos(host::monotonic_ns());
        let (status, metrics) = self.page("/metrics")?;
        let shards = if status == 200 { exposition::shards(&metrics) } else { None };
        let (limit, sort) = (settings.limit, settings.sort.name());
        let query = format!("/connz?limit={limit}&sort={sort}{subscriptions}");
        let connections = self.json(&query)?;
        Ok(Sample { at, server, connections, shards })
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, FetchError> {
        let (status, text) = self.page(path)?;
        let url = || format!("{}{path}", self.url);
        if status != 200 {
            let text = text.lines().next().unwrap_or_default().to_owned();
            return Err(FetchError::Status { url: url(), status, text });
        }
        serde_json::from_str(&text).map_err(|error| FetchError::Page { url: url(), error })
    }

    fn page(&self, path: &str) -> Result<(u16, String), FetchError> {
        let url = format!("{}{path}", self.url);
        let failed = |error| FetchError::Http { url: url.clone(), error: Box::new(error) };
        let mut response = self.agent.get(&url).call().map_err(failed)?;
        let text = response.body_mut().with_config().limit(PAGE_BYTES_MAX).read_to_string();
        Ok((response.status().as_u16(), text.map_err(failed)?))
    }
}

fn tls(place: &Place) -> Result<TlsConfig, FetchError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .disable_verification(place.insecure);
    let roots = if place.insecure { Vec::new() } else { authorities(place)? };
    Ok(config.root_certs(RootCerts::new_with_certs(&roots)).build())
}

#[expect(clippy::disallowed_methods, reason = "a command of its own, no shard is near")]
fn authorities(place: &Place) -> Result<Vec<Certificate<'static>>, FetchError> {
    let path = place.authorities.clone().unwrap_or_else(|| PathBuf::from(SYSTEM_AUTHORITIES));
    let failed = |error: String| FetchError::Authorities { path: path.clone(), error };
    let pem = std::fs::read(&path).map_err(|error| failed(host::go_error_text(&error)))?;
    CertificateDer::pem_slice_iter(&pem)
        .map(|found| match found {
            Ok(der) => Ok(Certificate::from_der(&der).to_owned()),
            Err(error) => Err(failed(error.to_string())),
        })
        .collect()
}
