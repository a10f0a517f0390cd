//! What is known of one stream, whatever happened to the broker.
//!
//! All of a stream's changes come from one connection. Publishes may be under way in numbers, and
//! are stored in their order; a delete or purge is only sent when no publish is under way. So
//! after a death the stream holds what was acknowledged, then a prefix of what was under way, and
//! at most one delete or purge may or may not have happened, but as a whole.

use std::collections::{BTreeMap, VecDeque};

use super::content::Content;

/// One stream.
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) traits: Traits,
    /// Whether the broker has said that it exists.
    pub(crate) is_made: bool,
    /// By sequence: numbers of the messages that must be there.
    pub(crate) live: BTreeMap<u64, u64>,
    /// The newest of those that were taken away, to know them if they come back.
    pub(crate) removed: BTreeMap<u64, u64>,
    /// The last sequence known to be used.
    pub(crate) last: u64,
    /// Numbers of publishes (one each) and batches (several) without an answer, in their order.
    pub(crate) under_way: VecDeque<Vec<u64>>,
    /// A change sent and not answered.
    pub(crate) in_doubt: Option<Change>,
    /// The next message's number.
    pub(crate) next: u64,
    /// Whether the newest message was deleted since the last start.
    pub(crate) newest_deleted: bool,
}

/// How a stream is loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    /// Publishes under way at most.
    pub(crate) window: usize,
    /// Percent of steps that delete a message.
    pub(crate) deletes: usize,
    /// Percent of steps that purge.
    pub(crate) purges: usize,
    /// Messages of an atomic batch; 0 for none.
    pub(crate) batch: usize,
}

/// Something that takes messages away.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// One message.
    Delete(u64),
    /// Those of a subject (or all), below a sequence, all but the newest so many.
    Purge { filter: Option<String>, below: Option<u64>, keep: Option<u64> },
}

impl Model {
    pub(crate) fn new(name: &str, traits: Traits) -> Self {
        Self {
            name: name.to_owned(),
            traits,
            is_made: false,
            live: BTreeMap::new(),
            removed: BTreeMap::new(),
            last: 0,
            under_way: VecDeque::new(),
            in_doubt: None,
            next: 0,
            newest_deleted: false,
        }
    }

    /// The messages under way, batches in one piece.
    pub(crate) fn waiting(&self) -> usize {
        self.under_way.len()
    }

    /// The oldest publish (or batch) under way was stored, its last message at `seq`.
    pub(crate) fn stored(&mut self, seq: u64) {
        let numbers = self.under_way.pop_front().expect("an answer to a publish");
        for number in numbers {
            self.last += 1;
            self.live.insert(self.last, number);
            self.newest_deleted = false;
        }
        assert_eq!(self.last, seq, "{}: the sequence acknowledged", self.name);
    }

    /// Sequences that a change takes away.
    pub(crate) fn taken_by(&self, change: &Change) -> Vec<u64> {
        match change {
            Change::Delete(seq) => vec![*seq],
            Change::Purge { filter, below, keep } => {
                let matches = |number: u64| {
                    filter
                        .as_ref()
                        .is_none_or(|filter| Content::of(&self.name, number).subject == *filter)
                };
                let mut taken: Vec<u64> = self
                    .live
                    .iter()
                    .filter(|(seq, number)| {
                        below.is_none_or(|below| **seq < below) && matches(**number)
                    })
                    .map(|(seq, _)| *seq)
                    .collect();
                let kept = keep.unwrap_or(0) as usize;
                taken.truncate(taken.len().saturating_sub(kept));
                taken
            }
        }
    }

    /// The change in doubt happened; returns how many messages it took.
    pub(crate) fn changed(&mut self) -> usize {
        let change = self.in_doubt.take().expect("a change");
        let taken = self.taken_by(&change);
        self.take_away(&taken);
        taken.len()
    }

    /// These are no longer there.
    pub(crate) fn take_away(&mut self, taken: &[u64]) {
        for seq in taken {
            let number = self.live.remove(seq).expect("it was there");
            self.removed.insert(*seq, number);
        }
        while self.removed.len() > REMOVED_MAX {
            self.removed.pop_first();
        }
        self.newest_deleted |= !self.live.contains_key(&self.last);
    }
}

const REMOVED_MAX: usize = 20_000;
