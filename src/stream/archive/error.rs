//! What is wrong with bytes that should be an archive.

use thiserror::Error;

/// Why bytes are no archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(in crate::stream) enum ArchiveError {
    /// The compression is not S2, or damaged.
    #[error("s2: corrupt input")]
    Corrupt,
    /// The checksum of a block is wrong.
    #[error("s2: corrupt input, crc mismatch")]
    Checksum,
    /// A chunk that a reader must understand, and this one does not.
    #[error("s2: unsupported input")]
    Unsupported,
    /// What is compressed is no list of entries, or one of the entries makes no sense.
    #[error("archive: invalid archive stream")]
    NoArchive,
    /// The first entry is not the stream's state.
    #[error("expected state.json first")]
    NoState,
    /// It ends too early.
    #[error("EOF")]
    Cut,
}
