//! What an account takes from others, and whether it may.

use super::exports::{Activation, Export, Offer};
use super::mapping::numbered;
use super::{AccessOptions, AccountOptions, Terms};
use crate::subject::{
    covers, has_wildcard, is_valid_pattern, overlaps, tokens, Transform, TransformError,
};

/// Messages of another account, under subjects of the own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamImport {
    /// The account they come from.
    pub exporter: String,
    /// A pattern of its subjects.
    pub from: String,
    /// What these become, as a pattern.
    pub to: String,
    /// From the one to the other.
    pub transform: Transform,
    /// Tracing goes on over there.
    pub allow_trace: bool,
}

/// A service of another account, under subjects of the own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceImport {
    /// The account that answers.
    pub exporter: String,
    /// A pattern of its subjects.
    pub subject: String,
    /// The own subjects that requests go to, as a pattern.
    pub to: String,
    /// From the own subject to the exporter's.
    pub transform: Transform,
    /// The export that it is part of.
    pub export: String,
    /// The service hears more of who asks.
    pub share: bool,
    /// How the service answers.
    pub terms: Terms,
}

/// What is to be imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The account that exports it.
    pub exporter: String,
    /// A pattern of its subjects.
    pub subject: String,
    /// The own subject; empty if it is the same.
    pub to: String,
    /// What stands before the own subject; empty if nothing does.
    pub prefix: String,
    /// Of a service: it hears more of who asks.
    pub share: bool,
    /// Of a stream: tracing goes on over there.
    pub allow_trace: bool,
    /// The token that the importer shows.
    pub activation: Option<Activation>,
}

/// Why something is not imported; nats-server's texts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// There is no such stream for this account.
    #[error("stream import not authorized")]
    StreamNotAuthorized,
    /// There is no such service for this account.
    #[error("service import not authorized")]
    ServiceNotAuthorized,
    /// It comes back to where it started.
    #[error("import forms a cycle")]
    Cycle,
    /// It is imported already.
    #[error("stream import already exists")]
    StreamTwice,
    /// The own subject is none.
    #[error("sublist: invalid subject")]
    Subject,
    /// A prefix with a wildcard.
    #[error("stream import prefix can not contain wildcard tokens")]
    Prefix,
    /// The own subject does not fit the other one.
    #[error(
        "failed to create mapping transform for {what} import subject from {from:?} to {to:?}: \
         {error}"
    )]
    Transform {
        /// `stream` or `service`.
        what: &'static str,
        /// The one.
        from: String,
        /// The other.
        to: String,
        /// What is wrong.
        error: TransformError,
    },
}

impl Wanted {
    /// The own subject.
    pub fn local(&self) -> &str {
        if self.to.is_empty() {
            &self.subject
        } else {
            &self.to
        }
    }
}

impl AccessOptions {
    /// Lets an account import a stream.
    ///
    /// # Errors
    /// A text to show.
    pub fn import_stream(&mut self, importer: &str, wanted: &Wanted) -> Result<(), ImportError> {
        let Wanted { exporter, subject: from, prefix, .. } = wanted;
        let export = self.export_of(exporter, from, true);
        if !export.is_some_and(|export| export.admits(importer, wanted)) {
            return Err(ImportError::StreamNotAuthorized);
        }
        let given = if prefix.is_empty() {
            if wanted.to.is_empty() {
                from.clone()
            } else {
                wanted.to.clone()
            }
        } else {
            if has_wildcard(prefix.as_bytes()) {
                return Err(ImportError::Prefix);
            }
            let dot = if prefix.ends_with('.') { "" } else { "." };
            format!("{prefix}{dot}{from}")
        };
        let has_wildcards = has_wildcard(from.as_bytes());
        let to = if has_wildcards { pattern_of(&given) } else { given.clone() };
        if self.stream_comes_back(exporter, from, &mut vec![importer.to_owned()]) {
            return Err(ImportError::Cycle);
        }
        let transform =
            if has_wildcards { both_ways(from, &given) } else { Transform::constant(from, &given) };
        let transform = transform.map_err(|error| ImportError::Transform {
            what: "stream",
            from: from.clone(),
            to: given.clone(),
            error,
        })?;
        let Some(account) = self.account_mut(importer) else { return Ok(()) };
        let is_same = |known: &StreamImport| known.exporter == *exporter && known.from == *from;
        if account.stream_imports.iter().any(is_same) {
            return Err(ImportError::StreamTwice);
        }
        account.stream_imports.push(StreamImport {
            exporter: exporter.clone(),
            from: from.clone(),
            to,
            transform,
            allow_trace: wanted.allow_trace,
        });
        Ok(())
    }

    /// Lets an account import a service.
    ///
    /// # Errors
    /// A text to show.
    pub fn import_service(&mut self, importer: &str, wanted: &Wanted) -> Result<(), ImportError> {
        let Wanted { exporter, subject, .. } = wanted;
        let given = wanted.local().to_owned();
        let given = &given;
        let export = self.export_of(exporter, subject, false);
        let export = export.filter(|export| export.admits(importer, wanted));
        let Some(Export { subject: export, offer: Offer::Service(terms), .. }) = export.cloned()
        else {
            return Err(ImportError::ServiceNotAuthorized);
        };
        let to = if has_wildcard(subject.as_bytes()) { pattern_of(given) } else { given.clone() };
        if self.service_comes_back(exporter, subject, &mut vec![importer.to_owned()]) {
            return Err(ImportError::Cycle);
        }
        if ![&to, subject].iter().all(|text| is_valid_pattern(text.as_bytes())) {
            return Err(ImportError::Subject);
        }
        let transform = reversed(subject, given, &to).map_err(|error| ImportError::Transform {
            what: "service",
            from: given.clone(),
            to: subject.clone(),
            error,
        })?;
        let Some(account) = self.account_mut(importer) else { return Ok(()) };
        account.service_imports.push(ServiceImport {
            exporter: exporter.clone(),
            subject: subject.clone(),
            to,
            transform,
            export,
            share: wanted.share,
            terms,
        });
        Ok(())
    }

    /// Whether what `account` would export as `subject` comes from one of
    /// `visited`.
    fn stream_comes_back(&self, account: &str, subject: &str, visited: &mut Vec<String>) -> bool {
        let imports = self.account_options(account).map_or(&[][..], |found| &found.stream_imports);
        let steps = imports.iter().map(|import| (&*import.exporter, &*import.to));
        self.comes_back(account, subject, visited, steps.collect(), Self::stream_comes_back)
    }

    /// Whether what `account` would answer as `subject` is asked of one of
    /// `visited`.
    fn service_comes_back(&self, account: &str, subject: &str, visited: &mut Vec<String>) -> bool {
        let imports = self.account_options(account).map_or(&[][..], |found| &found.service_imports);
        let steps = imports.iter().map(|import| (&*import.exporter, &*import.to));
        self.comes_back(account, subject, visited, steps.collect(), Self::service_comes_back)
    }

    /// nats-server's way to look for cycles: by one name of the subject, as far as
    /// that reaches. What it does not find, no message goes round twice.
    fn comes_back(
        &self,
        account: &str,
        subject: &str,
        visited: &mut Vec<String>,
        steps: Vec<(&str, &str)>,
        next: fn(&Self, &str, &str, &mut Vec<String>) -> bool,
    ) -> bool {
        if visited.iter().any(|known| known == account) {
            // An account may import from itself.
            return false;
        }
        let mut subject = subject;
        for (exporter, to) in steps {
            if !overlaps(subject.as_bytes(), to.as_bytes()) {
                continue;
            }
            if visited.iter().any(|known| known == exporter) {
                return true;
            }
            visited.push(account.to_owned());
            if covers(subject.as_bytes(), to.as_bytes()) {
                subject = to;
            }
            if next(self, exporter, subject, visited) {
                return true;
            }
        }
        false
    }

    fn account_options(&self, name: &str) -> Option<&AccountOptions> {
        self.accounts.iter().find(|account| account.name == name)
    }

    fn account_mut(&mut self, name: &str) -> Option<&mut AccountOptions> {
        self.accounts.iter_mut().find(|account| account.name == name)
    }
}

/// The wildcard that a token of a destination stands for, from 1 on.
fn wildcard_of(token: &str) -> Option<usize> {
    if let Some(number) = token.strip_prefix('$') {
        return number.parse().ok();
    }
    let inner = token.strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let (name, rest) = inner.split_once('(')?;
    let is_wildcard = name.trim().eq_ignore_ascii_case("wildcard");
    let number = rest.strip_suffix(')')?.trim();
    is_wildcard.then(|| number.parse().ok()).flatten()
}

/// A destination as a pattern: `a.$1` is `a.*`.
fn pattern_of(destination: &str) -> String {
    let token = |token| if wildcard_of(token).is_some() { "*" } else { token };
    destination.split('.').map(token).collect::<Vec<_>>().join(".")
}

/// The transform from `subject` to what is `given`, if it has a way back.
fn both_ways(subject: &str, given: &str) -> Result<Transform, TransformError> {
    let is_function = |token: &&str| token.starts_with("{{") && token.ends_with("}}");
    let mut functions = given.split('.').filter(is_function);
    let transform = Transform::new(subject, &numbered(given))?;
    if let Some(other) = functions.find(|token| wildcard_of(token).is_none()) {
        return Err(TransformError::NoImport(other.to_owned()));
    }
    if !transform.is_reversible() {
        return Err(TransformError::NotAllWildcards(given.to_owned()));
    }
    Ok(transform)
}

/// The transform from `to`, the pattern that `given` is, to `subject`.
fn reversed(subject: &str, given: &str, to: &str) -> Result<Transform, TransformError> {
    if !has_wildcard(subject.as_bytes()) {
        // Whatever is asked, there is one subject to ask it of.
        return Transform::constant(to, subject);
    }
    both_ways(subject, given)?;
    let given = numbered(given);
    let order: Vec<usize> = given.split('.').filter_map(wildcard_of).collect();
    let mut star = 0;
    let mut back = Vec::new();
    for token in tokens(subject.as_bytes()) {
        if token == b"*" {
            star += 1;
            let place = order.iter().position(|&number| number == star).unwrap_or(0);
            back.push(format!("${}", place + 1));
        } else {
            back.push(String::from_utf8_lossy(token).into_owned());
        }
    }
    Transform::new(to, &back.join("."))
}

#[cfg(test)]
#[path = "imports_tests.rs"]
mod tests;
