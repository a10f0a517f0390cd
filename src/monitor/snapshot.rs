//! What a shard tells of itself: owned, so that nothing of the shard is held.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;

/// Connections in one slice of an answer.
pub const SLICE_CONNECTIONS: usize = 64;

/// Subscriptions in one slice of an answer.
pub const SLICE_SUBSCRIPTIONS: usize = 256;

/// Subscriptions that the closed connections of one shard keep between them.
pub const CLOSED_SUBSCRIPTIONS_MAX: usize = 64 * 1024;

/// Subscriptions that one closed connection keeps.
pub(super) const CLOSED_SUBSCRIPTIONS_EACH: usize = 1024;

/// A part of a list, and where the next part begins if there is one.
#[derive(Clone, Debug)]
pub struct Slice<T> {
    /// The part.
    pub items: Vec<T>,
    /// What to ask for next.
    pub next: Option<u32>,
}

/// The figures of one shard since it started.
#[derive(Clone, Debug, Default)]
pub struct ShardTotals {
    /// Which shard.
    pub shard: usize,
    /// Connections that are open.
    pub connections: u64,
    /// Connections ever opened.
    pub opened: u64,
    /// Messages from clients.
    pub in_messages: u64,
    /// Their payload.
    pub in_bytes: u64,
    /// Messages to clients.
    pub out_messages: u64,
    /// Their payload.
    pub out_bytes: u64,
    /// Messages that came over lanes.
    pub lane_messages: u64,
    /// Queue picks given back to the shard that made them.
    pub returned: u64,
    /// Publishers slowed down for a slow receiver.
    pub stalls: u64,
    /// Connections paused because a lane was full.
    pub lane_pauses: u64,
    /// Connections closed because they read too slowly.
    pub slow_consumers: u64,
    /// Connections closed because they answered no PING.
    pub stale_connections: u64,
    /// Live subscriptions.
    pub subscriptions: u64,
    /// Subscriptions ever made.
    pub subscribed: u64,
    /// Routing plans in the cache.
    pub plans: u64,
    /// Messages whose plan was cached.
    pub plan_hits: u64,
    /// Messages whose plan was not.
    pub plan_misses: u64,
    /// Most deliveries of a cached plan.
    pub fanout_max: u64,
    /// Deliveries of the cached plans that were looked at.
    pub fanout_sum: u64,
    /// How many were looked at.
    pub fanout_plans: u64,
    /// Patterns in which other shards have interest.
    pub remote_patterns: u64,
    /// Bytes of the routing tables.
    pub router_bytes: u64,
    /// Lanes to the other shards.
    pub lanes: Vec<LaneDepth>,
    /// How long turns took.
    pub turns: Histogram,
    /// Who was too slow.
    pub slow: SlowConsumers,
    /// Log lines dropped.
    pub log_lines_dropped: u64,
    /// Events and requests of the system account that found no room.
    pub notices_dropped: u64,
    /// Whether new connections are accepted; shard 0 knows.
    pub accepting: bool,
}

/// What waits in the lanes from one shard to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneDepth {
    /// The receiver.
    pub to: usize,
    /// Control items.
    pub control: u64,
    /// Batches of messages.
    pub data: u64,
}

/// How often values were how large, in powers of two from 1,024 to 134 million: of nanoseconds
/// up to 134 ms, of bytes up to 128 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    sum: u64,
}

/// Bounds of 2^10 to 2^27, and what is above.
const BUCKETS: usize = 19;

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], sum: 0 }
    }
}

impl Histogram {
    /// One more value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        let above = (u64::BITS - (value >> 10).leading_zeros()) as usize;
        self.buckets[above.min(BUCKETS - 1)] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// Upper bounds, each with how many values are at or below it; the last has no bound.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        let mut sum = 0;
        self.buckets.iter().enumerate().map(move |(at, count)| {
            sum += count;
            ((at + 1 < BUCKETS).then(|| 1024 << at), sum)
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(super) fn sum(&self) -> u64 {
        self.sum
    }
}

/// Slow consumers by the name and account of their connection. The table is
/// bounded: names that find no room are counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlowConsumers {
    names: Vec<(Box<str>, Box<str>, u64)>,
    others: u64,
}

/// Names that are counted on their own.
const SLOW_NAMES_MAX: usize = 64;

/// Bytes of a name that are kept.
const SLOW_NAME_BYTES_MAX: usize = 128;

impl SlowConsumers {
    /// A connection of that name and account was too slow.
    pub fn record(&mut self, name: &str, account: &str) {
        let end = (0..=name.len().min(SLOW_NAME_BYTES_MAX)).rev();
        let end = end.into_iter().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        let name = &name[..end];
        self.add(name, account, 1);
    }

    fn add(&mut self, name: &str, account: &str, count: u64) {
        let mut known = self.names.iter_mut();
        if let Some(known) = known.find(|(n, a, _)| **n == *name && **a == *account) {
            known.2 += count;
        } else if self.names.len() < SLOW_NAMES_MAX {
            self.names.push((name.into(), account.into(), count));
        } else {
            self.others += count;
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.names.iter().map(|(name, account, count)| (&**name, &**account, *count))
    }

    pub(super) fn others(&self) -> u64 {
        self.others
    }

    /// Adds what another shard has counted.
    pub(super) fn merge(&mut self, other: &Self) {
        self.others += other.others;
        for (name, account, count) in other.names() {
            self.add(name, account, count);
        }
    }
}

/// One connection. Times are nanoseconds of the monotonic clock.
#[derive(Clone, Debug, Default)]
pub struct ConnectionSnapshot {
    /// Connection number.
    pub cid: u64,
    /// Remote address.
    pub ip: String,
    /// Remote port.
    pub port: u16,
    /// It came over WebSocket.
    pub is_websocket: bool,
    /// When it was accepted.
    pub opened_at: u64,
    /// When it last sent or was sent a message, or changed a subscription.
    pub active_at: u64,
    /// When and why it ended; open if `None`.
    pub closed: Option<(u64, &'static str)>,
    /// The last round trip; 0 if none was measured.
    pub round_trip: u64,
    /// Bytes that wait for it.
    pub pending: u64,
    /// Messages it sent.
    pub in_messages: u64,
    /// Messages it was sent.
    pub out_messages: u64,
    /// Payload it sent.
    pub in_bytes: u64,
    /// Payload it was sent.
    pub out_bytes: u64,
    /// Times it was slowed down.
    pub stalls: u64,
    /// Its subscriptions.
    pub subscriptions: u64,
    /// Of CONNECT.
    pub name: String,
    /// Of CONNECT.
    pub lang: String,
    /// Of CONNECT.
    pub version: String,
    /// Who it is; secrets are not shown.
    pub user: String,
    /// The account's name.
    pub account: Arc<str>,
    /// TLS, if it came by that.
    pub tls: Option<TlsShown>,
    /// What it was subscribed to, if it is closed.
    pub subscribed: Vec<SubscriptionSnapshot>,
}

/// The figures of one account since the server started, of one shard or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountTotals {
    /// The account's name.
    pub account: Arc<str>,
    /// Connections that are open.
    pub connections: u64,
    /// Their subscriptions.
    pub subscriptions: u64,
    /// Messages from its clients.
    pub in_messages: u64,
    /// Their payload.
    pub in_bytes: u64,
    /// Messages to its clients.
    pub out_messages: u64,
    /// Their payload.
    pub out_bytes: u64,
    /// Connections closed because they read too slowly.
    pub slow_consumers: u64,
}

impl AccountTotals {
    /// Adds the figures of another shard.
    pub(super) fn merge(&mut self, other: &Self) {
        self.connections += other.connections;
        self.subscriptions += other.subscriptions;
        self.in_messages += other.in_messages;
        self.in_bytes += other.in_bytes;
        self.out_messages += other.out_messages;
        self.out_bytes += other.out_bytes;
        self.slow_consumers += other.slow_consumers;
    }
}

/// What monitoring shows of a connection's TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsShown {
    /// Version of the protocol.
    pub version: &'static str,
    /// Name of the cipher suite.
    pub cipher_suite: String,
    /// The certificates that it showed, its own first.
    pub chain: Vec<CertificateShown>,
    /// The handshake came before INFO.
    pub first: bool,
}

/// A certificate of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CertificateShown {
    /// Whom it names.
    pub subject: String,
    /// SHA-256 of its public key, in hexadecimal.
    pub spki_sha256: String,
    /// SHA-256 of itself, in hexadecimal.
    pub cert_sha256: String,
}

/// One subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionSnapshot {
    /// Connection number of its owner.
    pub cid: u64,
    /// The account's name.
    pub account: Arc<str>,
    /// What is subscribed to.
    pub subject: String,
    /// The queue's name; empty for none.
    pub queue: String,
    /// The subscription's name on its connection.
    pub sid: String,
    /// Messages delivered.
    pub delivered: u64,
    /// The limit of deliveries; 0 is none.
    pub max: u64,
}

/// The connections that ended last.
#[derive(Clone, Debug, Default)]
pub struct ClosedRing {
    ring: VecDeque<ConnectionSnapshot>,
    max: usize,
    /// Subscriptions kept in all entries.
    subscriptions: usize,
    /// Entries at the front whose subscriptions are gone.
    bare: usize,
    /// Connections that ended, ever.
    ended: u64,
}

impl ClosedRing {
    /// A ring for `max` connections.
    pub fn new(max: usize) -> Self {
        Self { max, ..Self::default() }
    }

    /// Subscriptions worth collecting of a connection that ends.
    pub fn subscriptions_wanted(&self) -> usize {
        if self.max == 0 {
            0
        } else {
            CLOSED_SUBSCRIPTIONS_EACH
        }
    }

    /// Remembers a connection, in place of the oldest if the ring is full.
    pub fn push(&mut self, connection: ConnectionSnapshot) {
        self.ended += 1;
        if self.max == 0 {
            return;
        }
        if self.ring.len() >= self.max {
            if let Some(oldest) = self.ring.pop_front() {
                self.subscriptions -= oldest.subscribed.len();
                self.bare = self.bare.saturating_sub(1);
            }
        }
        self.subscriptions += connection.subscribed.len();
        self.ring.push_back(connection);
        while self.subscriptions > CLOSED_SUBSCRIPTIONS_MAX {
            let Some(oldest) = self.ring.get_mut(self.bare) else { break };
            self.subscriptions -= std::mem::take(&mut oldest.subscribed).len();
            self.bare += 1;
        }
    }

    /// Connections that ended, ever.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// A slice of the entries, oldest first, without subscriptions unless
    /// asked for.
    pub fn slice(&self, from: u32, subscriptions: bool) -> Slice<ConnectionSnapshot> {
        let from = from as usize;
        let mut kept = 0;
        let items: Vec<ConnectionSnapshot> = self
            .ring
            .iter()
            .skip(from)
            .take(SLICE_CONNECTIONS)
            .take_while(|entry| {
                let fits = kept <= SLICE_SUBSCRIPTIONS;
                kept += if subscriptions { entry.subscribed.len() } else { 0 };
                fits
            })
            .map(|entry| if subscriptions { entry.clone() } else { entry.clone_bare() })
            .collect();
        let end = from + items.len();
        let next = (end < self.ring.len()).then(|| u32::try_from(end).unwrap_or(u32::MAX));
        Slice { items, next }
    }
}

impl ConnectionSnapshot {
    /// A copy without the subscriptions.
    fn clone_bare(&self) -> Self {
        Self {
            ip: self.ip.clone(),
            name: self.name.clone(),
            lang: self.lang.clone(),
            version: self.version.clone(),
            user: self.user.clone(),
            account: Arc::clone(&self.account),
            tls: self.tls.clone(),
            subscribed: Vec::new(),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_powers_of_two() {
        let mut values = Histogram::default();
        for value in [0, 1023, 1024, 2047, 2048, 1 << 40] {
            values.record(value);
        }
        let buckets: Vec<_> = values.cumulative().collect();
        assert_eq!(buckets[0], (Some(1024), 2));
        assert_eq!(buckets[1], (Some(2048), 4));
        assert_eq!(buckets[2], (Some(4096), 5));
        assert_eq!(buckets[BUCKETS - 1], (None, 6));
        assert_eq!(values.count(), 6);
    }

    #[test]
    fn names_of_slow_consumers_are_bounded() {
        let mut slow = SlowConsumers::default();
        for number in 0..SLOW_NAMES_MAX + 10 {
            slow.record(&format!("c{number}"), "$G");
        }
        slow.record("c0", "$G");
        slow.record(&"é".repeat(100), "$G");
        assert_eq!(slow.names().count(), SLOW_NAMES_MAX);
        assert_eq!(slow.names().next(), Some(("c0", "$G", 2)));
        assert_eq!(slow.others(), 11);
        let mut sum = SlowConsumers::default();
        sum.merge(&slow);
        sum.merge(&slow);
        assert_eq!(sum.names().next(), Some(("c0", "$G", 4)));
        assert_eq!(sum.others(), 22);
    }

    #[test]
    fn the_ring_keeps_the_newest_and_bounds_what_they_were_subscribed_to() {
        let mut ring = ClosedRing::new(100);
        for cid in 0..300 {
            let subscribed = vec![SubscriptionSnapshot::default(); CLOSED_SUBSCRIPTIONS_EACH];
            ring.push(ConnectionSnapshot { cid, subscribed, ..ConnectionSnapshot::default() });
        }
        let (mut all, mut from, mut kept) = (Vec::new(), Some(0), 0);
        while let Some(at) = from {
            let slice = ring.slice(at, true);
            assert!(!slice.items.is_empty() && slice.items.len() <= SLICE_CONNECTIONS);
            kept += slice.items.iter().map(|entry| entry.subscribed.len()).sum::<usize>();
            all.extend(slice.items.into_iter().map(|entry| entry.cid));
            from = slice.next;
        }
        assert_eq!(all, (200..300).collect::<Vec<u64>>());
        assert!(kept <= CLOSED_SUBSCRIPTIONS_MAX && kept > CLOSED_SUBSCRIPTIONS_MAX / 2);
        assert_eq!(ring.ended(), 300);
        assert!(ring.slice(0, false).items.iter().all(|entry| entry.subscribed.is_empty()));
    }
}
