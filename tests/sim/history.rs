//! What happened, for the checkers: every publication, subscription, delivery
//! and PONG, with the step of the run at which it happened.

use super::names::{Pattern, Subject};

/// A step that has not come.
pub const NEVER: u64 = u64::MAX;

/// One PUB or HPUB.
#[derive(Clone, Debug)]
pub struct Publication {
    pub client: usize,
    /// Place among the operations of its client.
    pub op: usize,
    pub subject: Subject,
    pub reply: Option<Subject>,
    pub headers: bool,
    /// Bytes of the body.
    pub body: usize,
    pub ttl: usize,
    pub echo: bool,
    pub no_responders: bool,
    /// When its last byte was given to the server.
    pub fed: u64,
    /// When its client saw the PONG of a later PING.
    pub ponged: u64,
    /// How many operations of each client it comes after, by what its client
    /// had received.
    pub clock: Vec<usize>,
}

/// One SUB that the server has to take.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub client: usize,
    pub op: usize,
    pub sid: String,
    pub pattern: Pattern,
    pub queue: Option<usize>,
    pub fed: u64,
    pub ponged: u64,
    /// The operation that ended it: UNSUB, CONNECT or the end of its client.
    pub end_op: usize,
    pub end_fed: u64,
    /// For an UNSUB, how many operations of each client it comes after.
    pub end_clock: Vec<usize>,
    pub end_ponged: u64,
    /// The limit of an UNSUB, and its place.
    pub max: Option<(usize, usize)>,
    /// Messages that its client had seen when it saw the first sign that the
    /// server had taken that UNSUB.
    pub seen_at_max: Option<usize>,
    /// Deliveries: publication, and place in what the client received.
    pub received: Vec<(usize, usize)>,
}

/// A PING and its PONG.
#[derive(Clone, Copy, Debug)]
pub struct Flush {
    pub client: usize,
    pub op: usize,
    pub fed: u64,
    pub ponged: u64,
    /// Place of the PONG in what the client received.
    pub place: usize,
}

/// A 503.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    pub client: usize,
    pub reply: Subject,
    pub place: usize,
}

/// How a client came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is still there.
    None,
    /// Whatever the server had for it, it got.
    Clean,
    /// What the server had for it may be lost.
    Lossy,
}

#[derive(Debug, Default)]
pub struct History {
    pub publications: Vec<Publication>,
    pub subscriptions: Vec<Subscription>,
    pub flushes: Vec<Flush>,
    pub statuses: Vec<Status>,
    /// Replies of each client, as text.
    pub replies: Vec<Vec<String>>,
    pub ends: Vec<End>,
    /// Entries that shards returned.
    pub returned: u64,
}

impl Publication {
    /// Whether this message was published when `subscription` was known to be
    /// in place, and was routed, or known to be on its way, before it began to
    /// end.
    pub fn must_reach(&self, subscription: &Subscription) -> bool {
        self.subject.matches(subscription.pattern)
            && !self.is_barred(subscription)
            && self.fed != NEVER
            && (subscription.ponged < self.fed || subscription.op < self.clock[subscription.client])
            && self.precedes_end(subscription)
    }

    /// Whether this message must not reach `subscription`.
    pub fn must_miss(&self, subscription: &Subscription) -> bool {
        let own = self.client == subscription.client && subscription.queue.is_none();
        !self.subject.matches(subscription.pattern)
            || self.is_barred(subscription)
            || self.ponged < subscription.fed
            || subscription.end_ponged < self.fed
            || own && (self.op < subscription.op || subscription.end_op < self.op)
    }

    fn is_barred(&self, subscription: &Subscription) -> bool {
        !self.echo && self.client == subscription.client
    }

    /// What a client publishes reaches its own plain subscriptions at once; a
    /// queue's member may be asked as late as the PONG. A plain subscription
    /// that ends drains what its client knew to be published.
    fn precedes_end(&self, subscription: &Subscription) -> bool {
        let own = self.client == subscription.client;
        if subscription.queue.is_some() || subscription.end_clock.is_empty() && !own {
            self.ponged < subscription.end_fed
        } else if own {
            self.ponged != NEVER && self.op < subscription.end_op
        } else {
            self.ponged < subscription.end_fed || self.op <= subscription.end_clock[self.client]
        }
    }
}
