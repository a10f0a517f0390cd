//! What a store tells the owner of its streams when it is opened, or rolled back.

use super::{Damage, Record, StreamId, StreamStore};

/// Takes in what a store has. For each stream [`stream`](Self::stream) comes first, with the
/// newest state that is whole; then, in the order of the journal, what happened after it. The
/// changes are in the stream's messages already when they are told.
pub trait Replay {
    /// A stream. `head` is what it was made with, `snapshot` what its owner knew; `None` if it
    /// never was asked, or is lost.
    fn stream(
        &mut self,
        id: StreamId,
        head: &[u8],
        snapshot: Option<&[u8]>,
        store: Box<dyn StreamStore>,
    );

    /// A message was stored.
    fn appended(&mut self, id: StreamId, seq: u64, record: &Record<'_>);

    /// A message was removed.
    fn removed(&mut self, id: StreamId, seq: u64);

    /// All messages below `seq` were removed.
    fn removed_below(&mut self, id: StreamId, seq: u64);

    /// The next message was to be `seq`.
    fn skipped(&mut self, id: StreamId, seq: u64);

    /// A note of the stream's owner.
    fn note(&mut self, id: StreamId, bytes: &[u8]);

    /// The stream was removed; if it was made in the same commit that failed, it never was.
    fn deleted(&mut self, id: StreamId);

    /// Something is damaged.
    fn damaged(&mut self, damage: &Damage);
}
