//! The archive that streams are taken out and put back with: what it looks like (*pure*).
//!
//! An archive is a list of [`entries`], compressed as [`s2`]. Its first entry is the stream's state,
//! then come its consumers, then its messages. The format is nats-server's, found by taking
//! archives from it and handing it ours.

mod entries;
mod error;
mod s2;

pub(super) use entries::{write_end, write_entry, write_start, Entry, EntryReader};
pub(super) use error::ArchiveError;
pub(super) use s2::{FrameReader, FrameWriter};
