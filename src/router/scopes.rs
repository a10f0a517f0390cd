//! When a change of a wildcard pattern last touched which subjects.

use super::hashing::SubjectHasher;
use crate::subject::{tokens, AccountId};

/// Says of a cached plan whether a pattern with wildcards has changed since
/// that may match its subject.
///
/// Changes are numbered. A change notes its number at the narrowest scope that
/// holds all subjects its pattern can match: the account, the first token, or
/// the first two. A plan is fresh if all three scopes of its subject are not
/// newer than the plan. Scopes share slots by hash, so a plan may be called
/// stale for nothing, but never fresh in error.
///
/// All second tokens of one first token share one cache line: a storm of
/// subscriptions to `_INBOX.<id>.*` reaches no other first token's slots.
///
/// Literal patterns never come here: they void their one subject directly.
#[derive(Debug)]
pub(super) struct Scopes {
    /// Number of the latest change.
    latest: u64,
    accounts: Box<[u64; ACCOUNT_SLOTS]>,
    /// Per hash of the first token: slot 0 for the token itself, the others by
    /// hash of the second token.
    tokens: Box<[[u64; LINE_SLOTS]]>,
}

/// The slots of a subject.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scope {
    account: u8,
    /// Of the second token; 0 if there is none.
    slot: u8,
    line: u16,
}

impl Scopes {
    pub(super) fn new() -> Self {
        Self {
            latest: 0,
            accounts: Box::new([0; ACCOUNT_SLOTS]),
            tokens: vec![[0; LINE_SLOTS]; LINES].into_boxed_slice(),
        }
    }

    /// The number a plan made now is given.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// The scope of a subject.
    pub(super) fn scope(
        &self,
        hasher: &SubjectHasher,
        account: AccountId,
        subject: &[u8],
    ) -> Scope {
        let mut parts = tokens(subject);
        let first = parts.next().unwrap_or_default();
        let line = hasher.subject(account, first);
        Scope {
            account: (account.0 & ACCOUNT_MASK) as u8,
            slot: parts.next().map_or(0, |second| second_slot(hasher, second)),
            line: ((line >> 32) & LINE_MASK) as u16,
        }
    }

    /// Notes a change of a pattern with wildcards.
    pub(super) fn change(&mut self, hasher: &SubjectHasher, account: AccountId, pattern: &[u8]) {
        self.latest += 1;
        let mut parts = tokens(pattern).take_while(|token| *token != b"*" && *token != b">");
        let Some(first) = parts.next() else {
            self.accounts[(account.0 & ACCOUNT_MASK) as usize] = self.latest;
            return;
        };
        let line = (hasher.subject(account, first) >> 32) & LINE_MASK;
        let slot = parts.next().map_or(0, |second| second_slot(hasher, second));
        self.tokens[usize::from(line as u16)][usize::from(slot)] = self.latest;
    }

    /// Whether no change after `number` can matter to the scope.
    #[inline]
    pub(super) fn is_fresh(&self, number: u64, scope: Scope) -> bool {
        if number == self.latest {
            return true;
        }
        let line = &self.tokens[usize::from(scope.line)];
        let newest = self.accounts[usize::from(scope.account)]
            .max(line[0])
            .max(line[usize::from(scope.slot)]);
        newest <= number
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.accounts) + size_of_val(&*self.tokens)
    }
}

/// Slot of a second token in its line: never 0.
fn second_slot(hasher: &SubjectHasher, token: &[u8]) -> u8 {
    1 + ((hasher.token(token) >> 32) % SECOND_SLOTS) as u8
}

const ACCOUNT_SLOTS: usize = 64;
const ACCOUNT_MASK: u32 = 63;
const LINES: usize = 512;
const LINE_MASK: u64 = 511;
/// One cache line.
const LINE_SLOTS: usize = 8;
/// Slots of a line that stand for second tokens.
const SECOND_SLOTS: u64 = 7;

const _: () = assert!(SECOND_SLOTS + 1 == LINE_SLOTS as u64);
