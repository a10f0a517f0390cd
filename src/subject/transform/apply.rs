//! [`Transform`]: a source pattern and what becomes of a subject that matches.

use super::parse::{self, TransformError};
use super::part::Part;
use crate::subject::{is_valid_pattern, matches, tokens};

/// A source pattern and a destination, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    source: Box<[u8]>,
    parts: Box<[Part]>,
    /// Position of the source's `>`.
    tail: usize,
}

impl Transform {
    /// Parses a transform; an empty source is `>`.
    ///
    /// # Errors
    /// What is wrong with the destination, in nats-server's words.
    pub fn new(source: &str, destination: &str) -> Result<Self, TransformError> {
        let source = if source.is_empty() { ">" } else { source };
        if !is_valid_pattern(source.as_bytes()) {
            return Err(TransformError::InvalidSubject);
        }
        let parts_of_source = || tokens(source.as_bytes()).enumerate();
        let stars = parts_of_source().filter(|(_, token)| *token == b"*");
        let wildcards: Vec<usize> = stars.map(|(position, _)| position).collect();
        let parts = parse::parse(destination, &wildcards)?;
        let tails = parts.iter().filter(|part| **part == Part::Tail).count();
        let has_tail = parse::has_tail(source.as_bytes());
        if tails != usize::from(has_tail) || (has_tail && parts.last() != Some(&Part::Tail)) {
            return Err(TransformError::InvalidSubject);
        }
        Ok(Self {
            source: source.as_bytes().into(),
            parts: parts.into(),
            tail: parts_of_source().count() - 1,
        })
    }

    /// A transform of whatever `source` matches into one subject.
    ///
    /// # Errors
    /// The source is malformed.
    pub fn constant(source: &str, subject: &str) -> Result<Self, TransformError> {
        if !is_valid_pattern(source.as_bytes()) {
            return Err(TransformError::InvalidSubject);
        }
        let parts = tokens(subject.as_bytes()).map(|token| Part::Literal(token.into()));
        Ok(Self { source: source.as_bytes().into(), parts: parts.collect(), tail: 0 })
    }

    /// The pattern whose subjects are transformed.
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// The parts of the destination.
    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Appends what becomes of `subject`, and says so; leaves `out` alone if the
    /// source does not match. `random` is any number that changes from call to
    /// call.
    pub fn apply(&self, subject: &[u8], random: u64, out: &mut Vec<u8>) -> bool {
        let matched = matches(&self.source, subject);
        if matched {
            self.apply_matched(subject, random, out);
        }
        matched
    }

    /// [`apply`](Self::apply) for a subject that is known to match the source.
    pub fn apply_matched(&self, subject: &[u8], random: u64, out: &mut Vec<u8>) {
        for (at, part) in self.parts.iter().enumerate() {
            if at > 0 {
                out.push(b'.');
            }
            part.write(subject, self.tail, random, out);
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
