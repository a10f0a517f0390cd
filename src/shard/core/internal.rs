//! The engine's side of a core: subscriptions without a connection, what they
//! got, and what the engine publishes.
//!
//! A message costs one copy into [`Captured`] on its way in, and one into a
//! frame on its way out.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::connection::ConnKey;
use super::frame::{length_of, Frame};
use super::ingest::Publisher;
use super::services::RESPONSES;
use super::Core;
use crate::proto::Publish;
use crate::router::{ConnId, Matched, SubId};
use crate::stream::{Incoming, Interest, Outgoing, Token};
use crate::subject::AccountId;

/// The slot that subscriptions of the engine name; no connection has it.
pub(super) const INTERNAL: ConnId = ConnId(u32::MAX - 1);

/// The slot that subscriptions of the system account's services name.
pub(super) const SYSTEM: ConnId = ConnId(u32::MAX - 2);

/// The slot that subscriptions for answers of services name that decide on clients.
pub(super) const CALLOUT: ConnId = ConnId(u32::MAX - 5);

/// Interest that may be kept for the engine; more of it becomes one event for
/// every subject.
const INTEREST_MAX: usize = 4096;

/// Messages for the engine, back to back.
#[derive(Debug, Default)]
pub struct Captured {
    heads: Vec<Head>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    token: Token,
    account: AccountId,
    subject: u32,
    reply: u32,
    headers: u32,
    payload: u32,
}

impl Captured {
    pub(super) fn push(&mut self, sid: &[u8], account: AccountId, message: &Publish<'_>) {
        let mut token = [0; 8];
        let length = sid.len().min(8);
        token[..length].copy_from_slice(&sid[..length]);
        let headers = message.header_len.unwrap_or_default();
        self.heads.push(Head {
            token: Token(u64::from_le_bytes(token)),
            account,
            subject: length_of(message.subject),
            reply: length_of(message.reply),
            headers,
            payload: length_of(message.payload) - headers,
        });
        self.bytes.extend_from_slice(message.subject);
        self.bytes.extend_from_slice(message.reply);
        self.bytes.extend_from_slice(message.payload);
    }

    /// Whether nothing was captured.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Calls `handle` with each message, in order, and forgets them.
    pub fn drain(&mut self, mut handle: impl FnMut(&Incoming<'_>)) {
        let mut rest = &self.bytes[..];
        let mut part = |length: u32| {
            let (part, after) = rest.split_at(length as usize);
            rest = after;
            part
        };
        for head in self.heads.drain(..) {
            handle(&Incoming {
                token: head.token,
                account: head.account,
                subject: part(head.subject),
                reply: part(head.reply),
                headers: part(head.headers),
                payload: part(head.payload),
            });
        }
        self.bytes.clear();
        self.bytes.shrink_to(BYTES_KEPT);
    }
}

/// Bytes of the buffer that are kept between turns.
const BYTES_KEPT: usize = 4 << 20;

/// What the core keeps for the engine.
#[derive(Debug, Default)]
pub(super) struct Internal {
    subscriptions: HashTable<(Token, AccountId, Box<[u8]>, SubId)>,
    /// The frame being written.
    frame: Frame,
    /// Whether the engine wants to hear of new interest.
    pub(super) watches: bool,
    interest: Vec<(AccountId, Box<[u8]>)>,
}

impl Internal {
    /// The engine's subscriptions.
    pub(super) fn subscriptions(&self) -> impl Iterator<Item = SubId> + '_ {
        self.subscriptions.iter().map(|entry| entry.3)
    }

    /// Somebody has subscribed to `pattern`.
    #[cold]
    pub(super) fn note_interest(&mut self, account: AccountId, pattern: &[u8]) {
        if self.interest.len() < INTEREST_MAX {
            self.interest.push((account, pattern.into()));
        } else if self.interest.len() == INTEREST_MAX {
            self.interest.push((account, b">".as_slice().into()));
        }
    }
}

impl Core {
    /// Swaps what the engine's subscriptions got into `captured`, which is empty.
    pub fn take_captured(&mut self, captured: &mut Captured) {
        std::mem::swap(captured, &mut self.deliverer.captured);
    }

    /// Whether the engine's subscriptions got anything.
    pub fn has_captured(&self) -> bool {
        !self.deliverer.captured.is_empty()
    }

    /// From now on new interest is kept for [`Self::take_interest`], or not.
    pub fn watch_interest(&mut self, watches: bool) {
        self.internal.watches = watches;
    }

    /// Patterns that somebody has subscribed to.
    pub fn take_interest(&mut self) -> Vec<(AccountId, Box<[u8]>)> {
        std::mem::take(&mut self.internal.interest)
    }

    /// Whether interest is kept for [`Self::take_interest`].
    pub fn has_new_interest(&self) -> bool {
        !self.internal.interest.is_empty()
    }

    /// Subscribes for the engine.
    pub fn subscribe_internal(
        &mut self,
        token: Token,
        account: AccountId,
        pattern: &[u8],
        queue: Option<&[u8]>,
    ) {
        let mut changes = std::mem::take(&mut self.changes);
        let sid = token.0.to_le_bytes();
        let sub = self.router.subscribe(INTERNAL, account, pattern, queue, &sid, &mut changes);
        self.cast_shadows(sub, account, pattern, &mut changes);
        self.announce(&mut changes);
        self.changes = changes;
        let hash = hash_of(token, pattern);
        self.internal.subscriptions.insert_unique(
            hash,
            (token, account, pattern.into(), sub),
            |entry| hash_of(entry.0, &entry.2),
        );
    }

    /// Ends a subscription of the engine; nothing if there is none.
    pub fn unsubscribe_internal(&mut self, token: Token, account: AccountId, pattern: &[u8]) {
        let found = self.internal.subscriptions.find_entry(hash_of(token, pattern), |entry| {
            entry.0 == token && entry.1 == account && *entry.2 == *pattern
        });
        let Ok(found) = found else { return };
        let ((.., sub), _) = found.remove();
        let mut changes = std::mem::take(&mut self.changes);
        self.remove_shadows(sub, &mut changes);
        self.router.remove(sub, &mut changes);
        self.announce(&mut changes);
        self.changes = changes;
    }

    /// Publishes a message of the engine.
    pub fn publish_internal(&mut self, outgoing: &Outgoing<'_>) {
        let mut frame = std::mem::take(&mut self.internal.frame);
        frame.compose(outgoing.reply, outgoing.headers, outgoing.payload);
        let shown = if outgoing.subject.is_empty() { outgoing.to } else { outgoing.subject };
        let message = frame.publish(shown);
        let publisher = Publisher::internal(ConnKey::new(INTERNAL, 0), outgoing.account);
        if shown == outgoing.to {
            self.publish(&publisher, &message);
        } else {
            self.publish_to::<true>(&publisher, outgoing.to, &message);
        }
        self.internal.frame = frame;
    }
}

impl Interest for Core {
    fn has_interest(&mut self, account: AccountId, subject: &[u8]) -> bool {
        let Matched { plan, subscriptions, .. } = self.router.matched(account, subject);
        let mut answers = false;
        let mut is_live = |sub: SubId| {
            let subscription = &subscriptions[sub];
            answers |= subscription.conn == RESPONSES;
            !subscription.draining && subscription.conn != RESPONSES
        };
        let is_wanted = !plan.groups().is_empty()
            || !plan.remote().is_empty()
            || plan.deliveries().iter().any(|delivery| is_live(delivery.sub))
            || plan.shadows().iter().any(|delivery| is_live(delivery.shadow));
        if is_wanted || !answers {
            return is_wanted;
        }
        // Whoever has asked waits in another account.
        let behind = self.answered(account, subject);
        behind.is_some_and(|(account, reply)| self.has_interest(account, &reply))
    }

    fn has_listener(&mut self, account: AccountId, subject: &[u8], queue: &[u8]) -> bool {
        let Matched { plan, subscriptions, groups, .. } = self.router.matched(account, subject);
        if !queue.is_empty() {
            let named = plan.groups().iter().filter_map(|id| groups.get(*id));
            return named.into_iter().any(|group| group.queue() == queue);
        }
        let is_live = |sub: SubId| !subscriptions[sub].draining;
        !plan.remote().is_empty()
            || plan.deliveries().iter().any(|delivery| is_live(delivery.sub))
            || plan.shadows().iter().any(|delivery| is_live(delivery.shadow))
    }
}

fn hash_of(token: Token, pattern: &[u8]) -> u64 {
    FixedState::default().hash_one((token, pattern))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::account::Directory;
    use crate::client::{KeepaliveLimits, Limits};
    use crate::proto::{InfoTemplate, ParserLimits, ServerInfo};
    use crate::router::ShardId;
    use crate::shard::core::CoreConfig;
    use std::sync::Arc;

    /// The core of a server with one shard that lets everybody in.
    pub(in super::super) fn single_core() -> Core {
        Core::new(config_of(0, 1, Directory::open()))
    }

    /// What a core of several is made with.
    pub(in super::super) fn config_of(own: u8, shards: usize, directory: Directory) -> CoreConfig {
        CoreConfig {
            own: ShardId(own),
            shards,
            seed: 7,
            max_pending: 1 << 20,
            drop_when_high: false,
            write_deadline: u64::MAX / 4,
            auth_timeout: u64::MAX / 4,
            parser: ParserLimits::default(),
            headers: true,
            limits: Limits { subscriptions_max: 0, sub_tokens_max: 0 },
            keepalive: KeepaliveLimits { interval: u64::MAX / 4, outstanding_max: 2 },
            websocket: None,
            directory: Arc::new(directory),
            debug: false,
            trace: None,
            plan_cache: true,
            info: Arc::new(InfoTemplate::new(&ServerInfo::default())),
            unacknowledged_max: 1 << 16,
        }
    }

    #[test]
    fn the_engine_gets_what_it_subscribed_to_and_answers_under_another_subject() {
        let mut core = single_core();
        core.subscribe_internal(Token(7), AccountId(0), b"orders.*", None);
        let key = core.open(1, "127.0.0.1\x004000".into());
        core.handle_received(
            key,
            b"CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB inbox 5\r\nHPUB orders.new inbox 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        );
        assert!(core.has_captured());
        let mut captured = Captured::default();
        core.take_captured(&mut captured);
        let mut count = 0;
        captured.drain(|incoming| {
            count += 1;
            assert_eq!(incoming.token, Token(7));
            assert_eq!(incoming.subject, b"orders.new");
            assert_eq!(incoming.reply, b"inbox");
            assert_eq!(incoming.headers, b"NATS/1.0\r\n\r\n");
            assert_eq!(incoming.payload, b"hi");
        });
        assert_eq!(count, 1);
        assert!(core.has_interest(AccountId(0), b"inbox"));
        assert!(!core.has_interest(AccountId(0), b"outbox"));
        assert!(core.has_listener(AccountId(0), b"inbox", b""));
        assert!(!core.has_listener(AccountId(0), b"inbox", b"q"));
        core.handle_received(key, b"SUB other q 6\r\n");
        assert!(core.has_interest(AccountId(0), b"other"));
        assert!(!core.has_listener(AccountId(0), b"other", b""));
        assert!(core.has_listener(AccountId(0), b"other", b"q"));
        assert!(!core.has_listener(AccountId(0), b"other", b"p"));
        core.publish_internal(&Outgoing {
            account: AccountId(0),
            to: b"inbox",
            subject: b"orders.new",
            reply: b"$JS.ACK",
            headers: b"",
            payload: b"stored",
            failure: None,
        });
        let mut sent = Vec::new();
        core.take_flight(key.slot(), |segment| sent.extend_from_slice(segment.as_slice()));
        let sent = String::from_utf8(sent).unwrap();
        assert!(sent.ends_with("MSG orders.new 5 $JS.ACK 6\r\nstored\r\n"), "{sent}");
        core.unsubscribe_internal(Token(7), AccountId(0), b"orders.*");
        core.handle_received(key, b"PUB orders.new 0\r\n\r\n");
        assert!(!core.has_captured());
    }
}
