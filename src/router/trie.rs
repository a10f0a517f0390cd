//! The trie of patterns with wildcards.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::hashing::SubjectHasher;
use super::ids::{index32, NONE};
use super::index_table::IndexTable;
use super::short_bytes::ShortBytes;
use super::slab::Slab;
use crate::subject::{tokens, AccountId};

/// One tree of tokens per account.
///
/// A node has a `*` child and any number of literal children. The latter are
/// not in the node but in one hash table for the whole trie, keyed by parent
/// and token, so that a node is small whether it has one child or a million.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Slab<Node>,
    /// Literal children, by parent and token.
    edges: IndexTable,
    /// Root of each account that has a pattern here. The keys are handed out
    /// by the control plane, so a fixed hash will do.
    roots: HashMap<AccountId, u32, FixedState>,
    /// Bytes of tokens too long to lie in their node.
    heap_bytes: usize,
}

#[derive(Debug)]
struct Node {
    /// Token on the edge from the parent; empty for a root or a `*` node.
    token: ShortBytes,
    parent: u32,
    /// Child for any one token, or `NONE`.
    star: u32,
    /// Pattern that ends here, or `NONE`.
    here: u32,
    /// Pattern that ends with `>` below this node, or `NONE`.
    rest: u32,
    /// Children, the `*` child included.
    children: u32,
}

impl Node {
    fn new(token: &[u8], parent: u32) -> Self {
        Self {
            token: ShortBytes::new(token),
            parent,
            star: NONE,
            here: NONE,
            rest: NONE,
            children: 0,
        }
    }

    fn is_wanted(&self) -> bool {
        self.children > 0 || self.here != NONE || self.rest != NONE
    }
}

/// Space for a walk, kept between walks.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The subject's tokens: start, end, hash.
    tokens: Vec<(u32, u32, u64)>,
    /// Nodes still to be visited, with the number of tokens behind them.
    stack: Vec<(u32, u32)>,
}

impl Walk {
    pub(super) fn bytes(&self) -> usize {
        self.tokens.capacity() * size_of::<(u32, u32, u64)>()
            + self.stack.capacity() * size_of::<(u32, u32)>()
    }
}

impl Trie {
    pub(super) fn new() -> Self {
        Self {
            nodes: Slab::new(),
            edges: IndexTable::new(),
            roots: HashMap::with_hasher(FixedState::with_seed(0)),
            heap_bytes: 0,
        }
    }

    /// Adds a pattern that is not in the trie and returns its leaf.
    pub(super) fn insert(
        &mut self,
        hasher: &SubjectHasher,
        account: AccountId,
        text: &[u8],
        pattern: u32,
    ) -> u32 {
        let mut node = match self.roots.get(&account) {
            Some(&root) => root,
            None => {
                let root = self.nodes.insert(Node::new(b"", NONE));
                self.roots.insert(account, root);
                root
            }
        };
        let mut parts = tokens(text);
        while let Some(token) = parts.next() {
            if token == b">" && parts.clone().next().is_none() {
                self.nodes[node].rest = pattern;
                return node;
            }
            node = self.child(hasher, node, token);
        }
        self.nodes[node].here = pattern;
        node
    }

    /// Takes out a pattern by its leaf, and the nodes that led only there.
    pub(super) fn remove(
        &mut self,
        hasher: &SubjectHasher,
        account: AccountId,
        leaf: u32,
        pattern: u32,
    ) {
        let end = &mut self.nodes[leaf];
        if end.here == pattern {
            end.here = NONE;
        } else {
            assert!(end.rest == pattern, "a leaf does not hold its pattern");
            end.rest = NONE;
        }
        let mut index = leaf;
        while !self.nodes[index].is_wanted() {
            let node = self.nodes.remove(index);
            if node.parent == NONE {
                self.roots.remove(&account);
                return;
            }
            let parent = &mut self.nodes[node.parent];
            parent.children -= 1;
            if parent.star == index {
                parent.star = NONE;
            } else {
                let token = node.token.as_bytes();
                self.edges.remove(hasher.edge(node.parent, hasher.token(token)), index);
                self.heap_bytes -= node.token.heap_bytes();
            }
            index = node.parent;
        }
    }

    /// Collects the patterns that match a subject into `found`. Returns `false`
    /// if the subject has an empty token, with nothing collected.
    ///
    /// ```text
    /// visit (node, n tokens behind it):
    ///   n is the number of tokens: the pattern that ends here matches
    ///   else: the pattern that ends with `>` here matches
    ///         visit the `*` child and the child with token n
    /// ```
    /// Without recursion: the stack holds what is still to be visited, at most
    /// one node per token beside the path. Tokens are hashed once, not once per
    /// visit. The nodes visited are at most those of the account, and at most
    /// 2^n; for usual patterns one or two a token.
    pub(super) fn collect(
        &self,
        hasher: &SubjectHasher,
        account: AccountId,
        subject: &[u8],
        walk: &mut Walk,
        found: &mut Vec<u32>,
    ) -> bool {
        let root = self.roots.get(&account).copied();
        walk.tokens.clear();
        let mut start = 0;
        for token in tokens(subject) {
            if token.is_empty() {
                return false;
            }
            let hash = if root.is_some() { hasher.token(token) } else { 0 };
            let end = start + index32(token.len());
            walk.tokens.push((start, end, hash));
            start = end + 1;
        }
        let Some(root) = root else { return true };

        walk.stack.clear();
        walk.stack.push((root, 0));
        while let Some((index, depth)) = walk.stack.pop() {
            let node = &self.nodes[index];
            let Some(&(start, end, hash)) = walk.tokens.get(depth as usize) else {
                if node.here != NONE {
                    found.push(node.here);
                }
                continue;
            };
            if node.rest != NONE {
                found.push(node.rest);
            }
            if node.star != NONE {
                walk.stack.push((node.star, depth + 1));
            }
            if node.children > u32::from(node.star != NONE) {
                let token = &subject[start as usize..end as usize];
                if let Some(child) = self.literal_child(hasher, index, token, hash) {
                    walk.stack.push((child, depth + 1));
                }
            }
        }
        true
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> u32 {
        self.nodes.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.nodes.bytes() + self.edges.bytes() + self.roots.allocation_size() + self.heap_bytes
    }

    /// The child for a token of a pattern, made if need be.
    fn child(&mut self, hasher: &SubjectHasher, parent: u32, token: &[u8]) -> u32 {
        if token == b"*" {
            if self.nodes[parent].star == NONE {
                let star = self.nodes.insert(Node::new(b"", parent));
                self.nodes[parent].star = star;
                self.nodes[parent].children += 1;
            }
            return self.nodes[parent].star;
        }
        let hash = hasher.token(token);
        if let Some(child) = self.literal_child(hasher, parent, token, hash) {
            return child;
        }
        let node = Node::new(token, parent);
        self.heap_bytes += node.token.heap_bytes();
        let child = self.nodes.insert(node);
        self.nodes[parent].children += 1;
        self.edges.insert(hasher.edge(parent, hash), child);
        child
    }

    #[inline]
    fn literal_child(
        &self,
        hasher: &SubjectHasher,
        parent: u32,
        token: &[u8],
        token_hash: u64,
    ) -> Option<u32> {
        self.edges.find(hasher.edge(parent, token_hash), |index| {
            let node = &self.nodes[index];
            node.parent == parent && node.token.as_bytes() == token
        })
    }
}
