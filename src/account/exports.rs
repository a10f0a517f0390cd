//! What an account offers to others: streams of messages, and services.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{AccessOptions, Wanted};
use crate::subject::{covers, is_literal, is_valid_pattern, tokens};

/// One offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// A pattern of the account's subjects.
    pub subject: String,
    /// What is offered there.
    pub offer: Offer,
    /// To whom.
    pub access: Access,
    /// Of a service: tracing goes on behind it.
    pub allow_trace: bool,
    /// Who imports it must show a token, and whose. `None`: nobody must.
    pub activations: Option<Activations>,
}

/// Tokens that let others import something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activations {
    /// Keys that may have signed them.
    pub signers: Vec<String>,
    /// Importers, or `*` for all, whose tokens are void that were made by then (seconds since
    /// 1970).
    pub revocations: BTreeMap<String, i64>,
}

/// A token that lets an account import something, and holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// The key that has signed it.
    pub issuer: String,
    /// When it was made, in seconds since 1970.
    pub issued_at: i64,
}

impl Activations {
    fn admit(&self, importer: &str, shown: Option<&Activation>) -> bool {
        let is_revoked = |name: &str, made: i64| {
            self.revocations.get(name).is_some_and(|&revoked| made <= revoked)
        };
        shown.is_some_and(|shown| {
            self.signers.contains(&shown.issuer)
                && !is_revoked(importer, shown.issued_at)
                && !is_revoked("*", shown.issued_at)
        })
    }
}

/// What is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Messages that are published there.
    Stream,
    /// Somebody who answers requests.
    Service(Terms),
}

/// How a service answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many messages are an answer.
    pub response: ResponseType,
    /// Time to the first message of an answer, and between two.
    pub threshold: Duration,
    /// Where the time it takes is told, if anywhere.
    pub latency: Option<Latency>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { response: ResponseType::Singleton, threshold: THRESHOLD, latency: None }
    }
}

/// Time that an answer may take unless it is said; nats-server's.
pub(super) const THRESHOLD: Duration = Duration::from_secs(120);

/// How many messages are an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseType {
    /// One.
    #[default]
    Singleton,
    /// Any number, an empty one being the last.
    Stream,
    /// Any number, an empty one being the last.
    Chunked,
}

impl ResponseType {
    /// Its name in monitoring.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Singleton => "Singleton",
            Self::Stream => "Streamed",
            Self::Chunked => "Chunked",
        }
    }
}

/// Which requests are measured, and where that is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Which.
    pub sampling: Sampling,
    /// A subject of the exporting account.
    pub subject: String,
}

/// Which requests are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// So many of a hundred: `1..=100`.
    Percent(u8),
    /// Those that ask for it with a tracing header.
    Headers,
}

/// To whom something is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// To all accounts.
    Public,
    /// To these accounts.
    Private(Vec<String>),
    /// To each account what has its name as this token, the first being 1.
    OwnToken(usize),
}

/// Why something is not exported; nats-server's texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The account's token is no wildcard, or there is no such token.
    #[error("sublist: invalid subject")]
    TokenPosition,
    /// Only answers of one message are measured.
    #[error("bad service response type")]
    ResponseType,
    /// Nobody can publish there.
    #[error("invalid publish subject")]
    LatencySubject,
}

impl Terms {
    /// Checks what is measured.
    ///
    /// # Errors
    /// A text to show.
    pub fn check(&self) -> Result<(), ExportError> {
        let Some(latency) = &self.latency else { return Ok(()) };
        if !is_literal(latency.subject.as_bytes()) {
            return Err(ExportError::LatencySubject);
        }
        if self.response != ResponseType::Singleton {
            return Err(ExportError::ResponseType);
        }
        Ok(())
    }
}

impl Export {
    /// Checks where the account's name is in the subject.
    ///
    /// # Errors
    /// A text to show.
    pub fn check(&self) -> Result<(), ExportError> {
        let Access::OwnToken(position) = self.access else { return Ok(()) };
        let place = position.checked_sub(1);
        let token = place.and_then(|place| tokens(self.subject.as_bytes()).nth(place));
        (token == Some(b"*")).then_some(()).ok_or(ExportError::TokenPosition)
    }

    /// The accounts it is for, if for some only.
    pub fn accounts(&self) -> &[String] {
        match &self.access {
            Access::Private(accounts) => accounts,
            Access::Public | Access::OwnToken(_) => &[],
        }
    }

    /// Whether `importer` may have what it wants, a pattern of this export.
    pub(super) fn admits(&self, importer: &str, wanted: &Wanted) -> bool {
        let is_admitted = match &self.access {
            Access::Public => true,
            Access::Private(accounts) => accounts.iter().any(|account| account == importer),
            Access::OwnToken(position) => {
                let place = position.saturating_sub(1);
                tokens(wanted.subject.as_bytes()).nth(place) == Some(importer.as_bytes())
            }
        };
        let shown = wanted.activation.as_ref();
        is_admitted && self.activations.as_ref().is_none_or(|asked| asked.admit(importer, shown))
    }

    pub(super) fn is_stream(&self) -> bool {
        self.offer == Offer::Stream
    }
}

impl AccessOptions {
    /// Lets an account export something that was checked. What it exports under
    /// the same subject already is for the accounts of both.
    pub fn export(&mut self, exporter: &str, export: Export) {
        let Some(account) = self.accounts.iter_mut().find(|known| known.name == exporter) else {
            return;
        };
        let is_same = |known: &&mut Export| {
            known.subject == export.subject && known.is_stream() == export.is_stream()
        };
        let Some(known) = account.exports.iter_mut().find(is_same) else {
            account.exports.push(export);
            return;
        };
        let access = match (&known.access, export.access) {
            (Access::Private(one), Access::Private(other)) => {
                Access::Private(one.iter().cloned().chain(other).collect())
            }
            (wider, Access::Public) => wider.clone(),
            (_, access) => access,
        };
        *known = Export { access, ..export };
    }

    /// The export of `exporter` that `subject` is part of: of several the one
    /// that is the same, else the first.
    pub(super) fn export_of(&self, exporter: &str, subject: &str, stream: bool) -> Option<&Export> {
        if stream && !is_valid_pattern(subject.as_bytes()) {
            return None;
        }
        let account = self.accounts.iter().find(|account| account.name == exporter)?;
        let offers = || account.exports.iter().filter(|export| export.is_stream() == stream);
        offers().find(|export| export.subject == subject).or_else(|| {
            offers().find(|export| covers(export.subject.as_bytes(), subject.as_bytes()))
        })
    }
}
