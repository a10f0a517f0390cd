//! How far a consumer has come in its stream, and what is left for it.
//!
//! What is left is counted as messages come and go, and counted anew only when
//! that cannot be followed: after a change of filters, a purge, or the removal of a
//! message whose subject is not told.

use std::collections::VecDeque;

use super::filters::Filters;
use crate::store::StreamStore;

/// A place in a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    /// No message at or after this was delivered, but those in `listed`.
    next: u64,
    /// Sequences to be delivered before the others, ascending: the last messages of subjects.
    listed: VecDeque<u64>,
    /// Messages that are left.
    left: u64,
    is_counted: bool,
}

impl Cursor {
    /// A cursor at `next`.
    pub(super) fn new(next: u64) -> Self {
        Self { next: next.max(1), ..Self::default() }
    }

    /// A cursor that goes over `listed` before it goes on at `next`.
    pub(super) fn with_list(mut listed: Vec<u64>, next: u64) -> Self {
        listed.sort_unstable();
        Self { listed: listed.into(), ..Self::new(next) }
    }

    /// The lowest sequence that may still be delivered for the first time.
    pub(super) fn next(&self) -> u64 {
        self.listed.front().copied().unwrap_or(self.next)
    }

    /// Where it goes on after its list.
    pub(super) fn after_list(&self) -> u64 {
        self.next
    }

    /// The sequences to be delivered before the others.
    pub(super) fn list(&self) -> impl Iterator<Item = u64> + '_ {
        self.listed.iter().copied()
    }

    /// Whether the message has not been delivered, if its subject is wanted.
    pub(super) fn is_ahead(&self, seq: u64) -> bool {
        seq >= self.next || self.listed.binary_search(&seq).is_ok()
    }

    /// Messages that are left.
    pub(super) fn left(&mut self, store: &mut dyn StreamStore, filters: &Filters) -> u64 {
        if !self.is_counted {
            self.listed.retain(|seq| store.contains(*seq));
            self.left =
                store.count_matching(filters.patterns(), self.next) + self.listed.len() as u64;
            self.is_counted = true;
        }
        self.left
    }

    /// Count anew.
    pub(super) fn recount(&mut self) {
        self.is_counted = false;
    }

    /// A message was stored whose subject is wanted. Returns whether it is ahead.
    pub(super) fn stored(&mut self, seq: u64) -> bool {
        let is_ahead = seq >= self.next;
        if is_ahead {
            if self.is_counted && self.left == 0 {
                // Nothing before it is wanted: no need to look.
                self.next = seq;
            }
            self.left += 1;
        }
        is_ahead
    }

    /// A message was removed.
    pub(super) fn removed(&mut self, seq: u64, subject: Option<&[u8]>, filters: &Filters) {
        if let Ok(at) = self.listed.binary_search(&seq) {
            self.listed.remove(at);
            self.left = self.left.saturating_sub(1);
        } else if seq >= self.next {
            match subject {
                Some(subject) if !filters.wants(subject) => {}
                None if !filters.is_empty() => self.is_counted = false,
                _ => self.left = self.left.saturating_sub(1),
            }
        }
    }

    /// Everything below `seq` is gone.
    pub(super) fn move_up_to(&mut self, seq: u64) {
        self.next = self.next.max(seq);
        self.is_counted = false;
    }

    /// The next message to be delivered.
    pub(super) fn peek(&mut self, store: &mut dyn StreamStore, filters: &Filters) -> Option<u64> {
        if let Some(seq) = self.listed.front() {
            return Some(*seq);
        }
        if self.is_counted && self.left == 0 {
            return None;
        }
        let found = if filters.is_empty() {
            store.next_seq(self.next)
        } else {
            store.first_matching(filters.patterns(), self.next)
        };
        if let Some(seq) = found {
            self.next = seq;
        }
        found
    }

    /// The message that [`peek`](Self::peek) returned is delivered, or cannot be.
    pub(super) fn advance(&mut self, seq: u64) {
        if self.listed.front() == Some(&seq) {
            self.listed.pop_front();
        } else {
            self.next = self.next.max(seq.saturating_add(1));
        }
        self.left = self.left.saturating_sub(1);
    }
}
