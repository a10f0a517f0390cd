//! One connection as its shard's core sees it: no socket, only state.

use super::ingest::Skipped;
use crate::client::Client;
use crate::outbound::Outbound;
use crate::proto::CloseReason;
use crate::router::{ConnId, ShardSet};
use crate::tls::PeerIdentity;

/// Names a connection for as long as it lives: a slot and its generation.
///
/// It travels in lanes and in completion tokens, so that what arrives late for
/// a closed connection never touches the one that took its slot. At most 56
/// bits wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnKey(u64);

impl ConnKey {
    /// The key of slot `slot` in its `generation` (24 bits are kept).
    pub fn new(slot: ConnId, generation: u32) -> Self {
        Self(u64::from(slot.0) | (u64::from(generation & GENERATION_MASK) << 32))
    }

    /// The key in a number, for lanes and tokens.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// The key of a number that [`Self::to_u64`] gave.
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The slot of the connection.
    #[expect(clippy::cast_possible_truncation, reason = "the slot is the low 32 bits")]
    pub fn slot(self) -> ConnId {
        ConnId(self.0 as u32)
    }
}

const GENERATION_MASK: u32 = (1 << 24) - 1;

/// Why a connection's input is not being parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pause {
    /// A PONG waits for the barrier.
    pub(super) barrier: bool,
    /// The publisher is slowed down for a slow receiver.
    pub(super) stall: bool,
    /// Too many interest changes are not acknowledged yet.
    pub(super) interest: bool,
    /// Its credentials are being judged elsewhere.
    pub(super) login: bool,
    /// Data lanes that were full when this connection published into them.
    pub(super) lanes: ShardSet,
}

impl Pause {
    /// Whether input may be parsed.
    #[inline]
    pub(super) fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// How far a connection is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is no client yet: the shell still negotiates with the peer.
    Arriving,
    /// Commands are taken.
    Open,
    /// Nothing is taken any more; what is queued is still sent.
    Flushing,
    /// The shell was told to close the socket.
    Closing,
    /// The socket is closed; the slot waits for its draining subscriptions.
    Gone,
}

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) out: Outbound,
    /// In the list of connections with something to send.
    pub(super) dirty: bool,
    /// The client understands headers.
    pub(super) headers: bool,
    pub(super) phase: Phase,
    pub(super) key: ConnKey,
    pub(super) pause: Pause,
    /// The shell was asked to stop receiving.
    pub(super) receive_stopped: bool,
    /// The peer has sent its last byte; what is kept is still parsed.
    pub(super) ended: bool,
    /// In the list of connections whose kept input is to be parsed.
    pub(super) resuming: bool,
    /// A write-deadline timer is in the heap for this connection.
    pub(super) write_timer: bool,
    /// When the send under way was given to the ring.
    pub(super) send_started: u64,
    /// Input that could not be parsed yet.
    pub(super) inbox: Vec<u8>,
    /// Bytes at the start of `inbox` that are parsed already.
    pub(super) inbox_parsed: usize,
    /// A line that is being skipped to its end.
    pub(super) skipping: Option<Skipped>,
    /// Bytes that the operation at the start of `inbox` needs at least.
    pub(super) inbox_needs: usize,
    /// Shards published into since the last PING.
    pub(super) touched: ShardSet,
    /// Sequence of this connection's last interest change that others must
    /// know of, and of the last one that must have settled.
    pub(super) announced: u64,
    pub(super) withdrawn: u64,
    /// Subscriptions that keep delivering until the barrier has passed.
    pub(super) draining: u32,
    /// Nanoseconds that the publisher owes for this read.
    pub(super) stall_owed: u64,
    /// When the next keep-alive check is due; earlier timers mean nothing.
    pub(super) ping_due: u64,
    pub(super) in_messages: u64,
    pub(super) in_bytes: u64,
    pub(super) out_messages: u64,
    pub(super) out_bytes: u64,
    /// Times that it was slowed down.
    pub(super) stalls: u64,
    /// Its first bytes may be a proxy's header.
    pub(super) awaits_proxy: bool,
    /// When it was accepted.
    pub(super) opened_at: u64,
    /// When messages were last sent to it, and how many had been by then.
    pub(super) sent_at: u64,
    pub(super) sent_messages: u64,
    /// When its socket last took bytes of a flight, or was first offered them.
    pub(super) moved_at: u64,
    /// Why it was closed, once it is.
    pub(super) closed_for: Option<CloseReason>,
    /// What TLS has agreed on, if it is there.
    pub(super) tls: Option<Box<TlsFacts>>,
    pub(super) client: Box<Client>,
}

/// What TLS has agreed on with a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// Version of the protocol, such as `1.3`.
    pub version: &'static str,
    /// Name of the cipher suite.
    pub cipher_suite: String,
    /// Who the client's certificate says it is, if it showed one.
    pub peer: Option<PeerIdentity>,
    /// All certificates that it showed, its own first.
    pub chain: Vec<PeerIdentity>,
    /// The handshake came before INFO.
    pub first: bool,
}

/// A socket that has taken nothing for so long, in nanoseconds, belongs to a
/// reader that has stopped.
const STILL: u64 = 500_000_000;

impl Connection {
    /// Whether its reader has stopped. It is not waited for: that would keep
    /// publishers from everyone else, and it would be no less behind after it.
    pub(super) fn stands_still(&self, now: u64) -> bool {
        self.out.in_flight() > 0 && now.saturating_sub(self.moved_at) >= STILL
    }

    /// Drops the parsed part of the kept input, and a large buffer that is empty.
    pub(super) fn drop_parsed_input(&mut self) {
        let parsed = std::mem::take(&mut self.inbox_parsed);
        if parsed < self.inbox.len() {
            self.inbox.drain(..parsed);
        } else if self.inbox.capacity() <= 64 * 1024 {
            self.inbox.clear();
        } else {
            self.inbox = Vec::new();
        }
    }

    /// Whether input has to be kept instead of parsed.
    #[inline]
    pub(super) fn is_waiting(&self) -> bool {
        self.resuming || !self.pause.is_none()
    }

    /// A connection that was just accepted.
    pub(super) fn new(key: ConnKey, client: Client) -> Self {
        Self {
            out: Outbound::default(),
            dirty: false,
            headers: false,
            phase: Phase::Arriving,
            key,
            pause: Pause::default(),
            receive_stopped: false,
            ended: false,
            resuming: false,
            write_timer: false,
            send_started: 0,
            inbox: Vec::new(),
            inbox_parsed: 0,
            skipping: None,
            inbox_needs: 1,
            touched: ShardSet::default(),
            announced: 0,
            withdrawn: 0,
            draining: 0,
            stall_owed: 0,
            ping_due: 0,
            in_messages: 0,
            in_bytes: 0,
            out_messages: 0,
            out_bytes: 0,
            stalls: 0,
            awaits_proxy: false,
            opened_at: 0,
            sent_at: 0,
            moved_at: 0,
            sent_messages: 0,
            closed_for: None,
            tls: None,
            client: Box::new(client),
        }
    }
}

/// The connections of one shard, by slot.
#[derive(Debug, Default)]
pub(super) struct Connections {
    slots: Vec<Option<Connection>>,
    generations: Vec<u32>,
    free: Vec<ConnId>,
    live: usize,
}

impl Connections {
    /// Puts a connection into a free slot.
    pub(super) fn insert(&mut self, client: Client) -> ConnKey {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.generations.push(0);
            ConnId(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        });
        let index = slot.0 as usize;
        let key = ConnKey::new(slot, self.generations[index]);
        self.slots[index] = Some(Connection::new(key, client));
        self.live += 1;
        key
    }

    /// Frees a slot; keys of its last generation no longer name anything.
    pub(super) fn remove(&mut self, slot: ConnId) {
        let index = slot.0 as usize;
        if self.slots[index].take().is_some() {
            self.generations[index] = self.generations[index].wrapping_add(1);
            self.free.push(slot);
            self.live -= 1;
        }
    }

    /// The connection of a slot.
    #[inline]
    pub(super) fn at(&mut self, slot: ConnId) -> Option<&mut Connection> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    /// The connection of a slot, to look at.
    pub(super) fn peek(&self, slot: ConnId) -> Option<&Connection> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    /// Slots there are, used or not.
    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// The connection that `key` names, if it still lives.
    pub(super) fn get(&mut self, key: ConnKey) -> Option<&mut Connection> {
        self.at(key.slot()).filter(|connection| connection.key == key)
    }

    /// Every connection.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots.iter().flatten()
    }

    /// Connections in slots.
    pub(super) fn len(&self) -> usize {
        self.live
    }
}
