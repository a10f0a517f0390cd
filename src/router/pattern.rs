//! All patterns anybody subscribes to, local and remote.

use super::hashing::SubjectHasher;
use super::ids::NONE;
use super::index_table::IndexTable;
use super::short_bytes::ShortBytes;
use super::slab::Slab;
use super::sub_list::SubList;
use super::trie::Trie;
use super::ShardSet;
use crate::subject::{has_wildcard, AccountId};

/// A pattern and who wants it: one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Pattern {
    pub(super) text: ShortBytes,
    /// Local plain subscriptions, draining ones included.
    pub(super) plain: SubList,
    /// Other shards with plain interest.
    pub(super) remote: ShardSet,
    pub(super) account: AccountId,
    /// Local plain subscriptions that are not draining: `0 <= live <= plain.len()`.
    pub(super) live: u32,
    /// First queue group, the others linked behind it; `NONE` if there is none.
    pub(super) groups: u32,
    /// Node of the trie that leads to this pattern; `NONE` for a literal.
    leaf: u32,
}

const _: () = assert!(size_of::<Option<Pattern>>() == 64);

impl Pattern {
    /// Whether it is only in the hash table.
    pub(super) fn is_literal(&self) -> bool {
        self.leaf == NONE
    }

    fn is_wanted(&self) -> bool {
        !self.plain.is_empty() || self.groups != NONE || !self.remote.is_empty()
    }
}

/// The table of patterns, and the trie of those with wildcards.
#[derive(Debug)]
pub(super) struct Patterns {
    slab: Slab<Pattern>,
    /// Every pattern, by account and text.
    exact: IndexTable,
    /// Patterns with wildcards.
    pub(super) trie: Trie,
    /// Bytes of texts that are too long to lie in their node.
    heap_bytes: usize,
    /// Patterns whose `remote` is not empty.
    pub(super) remote_count: u64,
}

impl Patterns {
    pub(super) fn new() -> Self {
        Self {
            slab: Slab::new(),
            exact: IndexTable::new(),
            trie: Trie::new(),
            heap_bytes: 0,
            remote_count: 0,
        }
    }

    /// Slot of the pattern with this text, whose hash is given.
    #[inline]
    pub(super) fn find(&self, hash: u64, account: AccountId, text: &[u8]) -> Option<u32> {
        self.exact.find(hash, |index| {
            let pattern = &self.slab[index];
            pattern.account == account && pattern.text.as_bytes() == text
        })
    }

    /// Slot of the pattern with this text, which is added if need be.
    pub(super) fn intern(
        &mut self,
        hasher: &SubjectHasher,
        hash: u64,
        account: AccountId,
        text: &[u8],
    ) -> u32 {
        if let Some(index) = self.find(hash, account, text) {
            return index;
        }
        let text_kept = ShortBytes::new(text);
        self.heap_bytes += text_kept.heap_bytes();
        let index = self.slab.insert(Pattern {
            text: text_kept,
            plain: SubList::new(),
            remote: ShardSet::EMPTY,
            account,
            live: 0,
            groups: NONE,
            leaf: NONE,
        });
        self.exact.insert(hash, index);
        if has_wildcard(text) {
            self.slab[index].leaf = self.trie.insert(hasher, account, text, index);
        }
        index
    }

    /// Forgets a pattern if nobody wants it any more.
    pub(super) fn release(&mut self, hasher: &SubjectHasher, hash: u64, index: u32) {
        if self.slab[index].is_wanted() {
            return;
        }
        let pattern = self.slab.remove(index);
        self.heap_bytes -= pattern.text.heap_bytes();
        self.exact.remove(hash, index);
        if !pattern.is_literal() {
            self.trie.remove(hasher, pattern.account, pattern.leaf, index);
        }
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> &Pattern {
        &self.slab[index]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> &mut Pattern {
        &mut self.slab[index]
    }

    pub(super) fn len(&self) -> u32 {
        self.slab.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.slab.bytes() + self.exact.bytes() + self.heap_bytes + self.trie.bytes()
    }
}
