//! What was found damaged. Nothing is removed because of it.

use thiserror::Error;

use super::segment::stream_of;

/// A part of a store that is not as it was written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Damage {
    /// The last write of a process that was killed, or of a machine that lost power: cut off. It
    /// was not acknowledged.
    #[error("{file}: an unfinished commit at byte {offset} is cut off")]
    TornTail {
        /// The journal file.
        file: String,
        /// Where it starts.
        offset: u64,
    },
    /// Commits that were durable are missing.
    #[error("{file}: commits {first} to {last} are damaged")]
    CommitsLost {
        /// The journal file they stood in, or end in.
        file: String,
        /// The first one.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// A file is shorter than it was made.
    #[error("{file}: is too short")]
    FileShort {
        /// The file.
        file: String,
    },
    /// The journal ends before a commit that a stream's state names.
    #[error("the journal ends at commit {last}, but commit {known} was durable")]
    JournalEnds {
        /// The last commit it has.
        last: u64,
        /// A commit that was durable.
        known: u64,
    },
    /// A state file cannot be used.
    #[error("{file}: {problem}")]
    State {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A segment's index cannot be used.
    #[error("{file}: the index is missing or damaged")]
    Index {
        /// The file.
        file: String,
    },
    /// Bytes of a segment are no records.
    #[error("{file}: bytes {from} to {to} are damaged")]
    Segment {
        /// The file.
        file: String,
        /// The first byte.
        from: u64,
        /// The byte after the last one.
        to: u64,
    },
    /// Messages are lost.
    #[error("stream {stream}: messages {first} to {last} are lost")]
    Messages {
        /// The stream.
        stream: u64,
        /// The first one.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// A stream without a usable state was put together from its segments; what was removed
    /// from it since may be back.
    #[error("stream {stream}: rebuilt from its segments")]
    Rebuilt {
        /// The stream.
        stream: u64,
    },
}

impl Damage {
    /// The number of the stream that it belongs to, if it belongs to one.
    pub fn stream(&self) -> Option<u64> {
        match self {
            Self::Messages { stream, .. } | Self::Rebuilt { stream } => Some(*stream),
            Self::JournalEnds { .. } => None,
            Self::TornTail { file, .. }
            | Self::CommitsLost { file, .. }
            | Self::FileShort { file }
            | Self::State { file, .. }
            | Self::Index { file }
            | Self::Segment { file, .. } => stream_of(file),
        }
    }
}
