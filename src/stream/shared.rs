//! What all streams of the engine share: the server, its accounts, what they use.

use std::collections::BTreeMap;

use super::nuid::Nuid;
use super::token::StreamIndex;
use super::view::{JetStreamLimits, ServerIdentity, ServerLimits};
use crate::store::{Message, StorageKind};
use crate::subject::AccountId;

/// Bytes in memory and in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bytes {
    pub(super) memory: u64,
    pub(super) file: u64,
}

impl Bytes {
    pub(super) fn of(&mut self, kind: StorageKind) -> &mut u64 {
        match kind {
            StorageKind::File => &mut self.file,
            StorageKind::Memory => &mut self.memory,
        }
    }

    pub(super) fn get(self, kind: StorageKind) -> u64 {
        match kind {
            StorageKind::File => self.file,
            StorageKind::Memory => self.memory,
        }
    }
}

/// An account as streams know it.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) name: String,
    /// `None`: the account may not use JetStream.
    pub(super) limits: Option<JetStreamLimits>,
    /// Its streams, by name.
    pub(super) streams: BTreeMap<Box<str>, StreamIndex>,
    /// Bytes of its messages.
    pub(super) used: Bytes,
    /// Sum of its streams' `max_bytes`.
    pub(super) reserved: Bytes,
    /// Requests answered.
    pub(super) api_total: u64,
    /// Of these, with an error.
    pub(super) api_errors: u64,
}

/// Everything that is not one stream's own.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) server: ServerIdentity,
    pub(super) limits: ServerLimits,
    pub(super) strict: bool,
    pub(super) nuid: Nuid,
    pub(super) accounts: BTreeMap<AccountId, Account>,
    /// Bytes of all accounts.
    pub(super) used: Bytes,
    pub(super) reserved: Bytes,
    /// The store has as much to write as it may: nothing more is taken in.
    pub(super) is_overloaded: bool,
    /// API requests that are answered before the next turn.
    pub(super) requests_left: u64,
    /// Atomic batches that are open, in all streams.
    pub(super) batches_open: usize,
    /// Buffers that are used again.
    pub(super) subject: Vec<u8>,
    pub(super) headers: Vec<u8>,
    pub(super) text: Vec<u8>,
    pub(super) message: Message,
}

impl Shared {
    pub(super) fn new(
        server: ServerIdentity,
        limits: ServerLimits,
        strict: bool,
        seed: u64,
    ) -> Self {
        Self {
            server,
            limits,
            strict,
            nuid: Nuid::new(seed),
            accounts: BTreeMap::new(),
            used: Bytes::default(),
            reserved: Bytes::default(),
            is_overloaded: false,
            requests_left: limits.requests,
            batches_open: 0,
            subject: Vec::new(),
            headers: Vec::new(),
            text: Vec::new(),
            message: Message::default(),
        }
    }

    /// A stream's bytes went from `before` to `after`.
    pub(super) fn change_used(
        &mut self,
        account: AccountId,
        kind: StorageKind,
        before: u64,
        after: u64,
    ) {
        let change = |bytes: &mut u64| *bytes = (*bytes + after).saturating_sub(before);
        change(self.used.of(kind));
        if let Some(account) = self.accounts.get_mut(&account) {
            change(account.used.of(kind));
        }
    }

    /// A stream's reservation went from `before` to `after`, both `max_bytes`.
    pub(super) fn change_reserved(
        &mut self,
        account: AccountId,
        kind: StorageKind,
        before: i64,
        after: i64,
    ) {
        let bytes = |limit: i64| u64::try_from(limit).unwrap_or(0);
        let (before, after) = (bytes(before), bytes(after));
        let change = |bytes: &mut u64| *bytes = (*bytes + after).saturating_sub(before);
        change(self.reserved.of(kind));
        if let Some(account) = self.accounts.get_mut(&account) {
            change(account.reserved.of(kind));
        }
    }
}

/// Whether `used` with `more` stays within `limit`, of which -1 is none.
pub(super) fn fits(used: u64, more: u64, limit: i64) -> bool {
    u64::try_from(limit).map_or(true, |limit| used.saturating_add(more) <= limit)
}
