//! One consumer: what it is, how far it has come, and what waits for it.

use std::collections::VecDeque;

use super::config::{AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy, ReplayPolicy};
use super::cursor::Cursor;
use super::filters::Filters;
use super::flow::{FlowControl, RateLimit};
use super::unacked::UnackedMessages;
use super::validate::sampling;
use super::waiting::WaitingQueue;
use crate::store::{Message, StreamStore};
use crate::stream::{Context, StreamView};

/// A place in the sequence of deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Number of the delivery.
    pub(super) consumer_seq: u64,
    /// The message.
    pub(super) stream_seq: u64,
    /// When it was set; 0 if it never was.
    pub(super) at: u64,
}

/// The client that a consumer is pinned to.
#[derive(Clone, Debug, Default)]
pub(super) struct Pin {
    /// What the client must send; empty if there is none.
    pub(super) id: String,
    /// When it was given.
    pub(super) since: u64,
    /// When it ends, unless its client asks for more before.
    pub(super) until: u64,
}

/// One consumer. What it does stands in `delivery`, `requests` and `acks`.
#[derive(Debug)]
pub(super) struct Consumer {
    /// Its place in the table of consumers.
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) created: u64,
    pub(super) config: ConsumerConfig,
    pub(super) filters: Filters,
    /// `$JS.ACK.<stream>.<consumer>.`, or `$JS.ACK.<domain>.<account>.<stream>.<consumer>.`
    pub(super) ack_prefix: Vec<u8>,
    /// The same with `$JS.FC.`
    pub(super) flow_prefix: Vec<u8>,
    pub(super) cursor: Cursor,
    pub(super) delivered: Mark,
    pub(super) ack_floor: Mark,
    pub(super) unacked: UnackedMessages,
    /// Messages that were given up after redeliveries, in this run of the server.
    pub(super) given_up: u64,
    /// Sequences to be delivered again. One that is no longer unacked, or not marked as queued,
    /// is passed over.
    pub(super) redelivery: VecDeque<u64>,
    pub(super) waiting: WaitingQueue,
    pub(super) pin: Pin,
    pub(super) flow: FlowControl,
    pub(super) rate: Option<RateLimit>,
    /// Somebody listens on the deliver subject.
    pub(super) is_bound: bool,
    /// When the next heartbeat of a push consumer is due.
    pub(super) heartbeat_at: u64,
    /// When it was used last, by a request, a delivery or a listener.
    pub(super) active_at: u64,
    /// When to look for dead requests again, if the queue is full.
    pub(super) purge_requests_at: u64,
    /// Nothing is delivered before this: rate limit, or replay as published.
    pub(super) resume_at: u64,
    /// Up to which sequence messages are replayed as they were published, and when the last one
    /// was stored and delivered.
    pub(super) replay_until: u64,
    pub(super) replayed: Option<(u64, u64)>,
    /// Of a hundred acks, how many are reported.
    pub(super) sample_percent: u64,
    /// It was seen to be paused.
    pub(super) is_paused: bool,
    /// It is in the list of those that may have something to deliver.
    pub(super) is_ready: bool,
    /// The deadline it has in the table's heap.
    pub(super) armed: u64,
    /// What happened since the last note.
    pub(super) changes: Vec<u8>,
    /// The last change is a run of deliveries that may grow: first sequences, length, and where it
    /// starts.
    pub(super) run: Option<(u64, u64, u64)>,
    pub(super) is_changed: bool,
    /// It is in the list of those with changes.
    pub(super) is_listed: bool,
    /// Its state is kept over a restart.
    pub(super) is_kept: bool,
    /// Its configuration is kept over a restart.
    pub(super) is_known_later: bool,
}

impl Consumer {
    /// A consumer with the state of a new one, positioned by its deliver policy.
    pub(super) fn new(
        index: u32,
        name: String,
        config: ConsumerConfig,
        stream: &str,
        created: u64,
    ) -> Self {
        let mut consumer = Self {
            index,
            ack_prefix: prefix("$JS.ACK.", "", stream, &name),
            flow_prefix: prefix("$JS.FC.", "", stream, &name),
            name,
            created,
            config: ConsumerConfig::default(),
            filters: Filters::default(),
            cursor: Cursor::new(1),
            delivered: Mark::default(),
            ack_floor: Mark::default(),
            given_up: 0,
            unacked: UnackedMessages::new(),
            redelivery: VecDeque::new(),
            waiting: WaitingQueue::default(),
            pin: Pin::default(),
            flow: FlowControl::default(),
            rate: None,
            is_bound: false,
            heartbeat_at: u64::MAX,
            active_at: created,
            purge_requests_at: 0,
            resume_at: 0,
            replay_until: 0,
            replayed: None,
            sample_percent: 0,
            is_paused: false,
            is_ready: false,
            armed: u64::MAX,
            changes: Vec::new(),
            run: None,
            is_changed: false,
            is_listed: false,
            is_kept: false,
            is_known_later: false,
        };
        consumer.configure(config);
        consumer
    }

    /// Subjects are written as the server is told to.
    pub(super) fn set_prefixes(&mut self, view: &StreamView<'_>) {
        if view.server.has_long_acks {
            let tokens = view.server.long_tokens(view.account_name);
            self.ack_prefix = prefix("$JS.ACK.", &tokens, view.name(), &self.name);
            self.flow_prefix = prefix("$JS.FC.", &tokens, view.name(), &self.name);
        }
    }

    /// Takes over a configuration.
    pub(super) fn configure(&mut self, config: ConsumerConfig) {
        let filters = Filters::new(config.filters());
        if filters != self.filters {
            self.filters = filters;
            self.cursor.recount();
        }
        self.sample_percent = sampling(&config).unwrap_or_default();
        self.rate =
            (config.rate_limit_bps > 0).then(|| RateLimit::new(config.rate_limit_bps, RATE_BURST));
        if config.deliver_subject != self.config.deliver_subject {
            self.flow.start_over();
            self.is_bound = false;
            self.heartbeat_at = u64::MAX;
        }
        self.config = config;
    }

    /// Sets the start by the deliver policy.
    pub(super) fn find_start(&mut self, store: &mut dyn StreamStore) {
        let extent = store.extent();
        let first = extent.first_seq.max(1);
        let after_last = extent.last_seq.saturating_add(1);
        let patterns = self.filters.patterns();
        let next = match self.config.deliver_policy {
            DeliverPolicy::All => first,
            DeliverPolicy::New => after_last,
            DeliverPolicy::Last => store.last_matching(patterns, extent.last_seq).unwrap_or(first),
            DeliverPolicy::ByStartSequence => self.config.opt_start_seq.max(first),
            DeliverPolicy::ByStartTime => {
                store.seq_at_time(self.config.opt_start_time.unwrap_or_default()).max(first)
            }
            DeliverPolicy::LastPerSubject => {
                let mut last = Vec::new();
                store.for_each_subject(patterns, &mut |_, state| {
                    last.push(state.last);
                    true
                });
                self.cursor = Cursor::with_list(last, after_last);
                self.cursor.next()
            }
        };
        if self.config.deliver_policy != DeliverPolicy::LastPerSubject {
            self.cursor = Cursor::new(next);
        }
        let before = Mark { stream_seq: self.cursor.next().saturating_sub(1), ..Mark::default() };
        self.delivered = before;
        self.ack_floor = before;
        if self.config.replay_policy == ReplayPolicy::Original {
            self.replay_until = extent.last_seq;
        }
    }

    /// Whether somebody listens to a push consumer.
    pub(super) fn is_heard(&self, view: &StreamView<'_>, ctx: &mut Context<'_>) -> bool {
        let (to, queue) = (&self.config.deliver_subject, &self.config.deliver_group);
        ctx.interest.has_listener(view.account, to.as_bytes(), queue.as_bytes())
    }

    /// Messages are remembered until they are acknowledged.
    pub(super) fn needs_acks(&self) -> bool {
        self.config.ack_policy != AckPolicy::None
    }

    /// It was given a name to stay.
    pub(super) fn is_durable(&self) -> bool {
        !self.config.durable_name.is_empty()
    }

    /// Whether messages are kept for it under interest retention, and whether it counts where
    /// consumers are counted.
    pub(super) fn holds_messages(&self) -> bool {
        !self.config.direct || self.is_durable()
    }

    /// It remembers messages that were delivered, or are to be before others.
    pub(super) fn holds_any(&self) -> bool {
        self.unacked.first().is_some() || self.cursor.list().next().is_some()
    }

    /// No more messages may be delivered for the first time until some are acknowledged.
    pub(super) fn is_full(&self) -> bool {
        let max = self.config.max_ack_pending;
        self.needs_acks() && max > 0 && self.unacked.len() as u64 >= max.unsigned_abs()
    }

    /// Whether nothing is delivered at `now`.
    pub(super) fn paused_until(&self, now: u64) -> Option<u64> {
        self.config.pause_until.filter(|until| *until > now)
    }

    /// How long the delivery with that number may take to be acknowledged.
    pub(super) fn ack_wait(&self, deliveries: u32) -> u64 {
        let waits = &self.config.backoff;
        let at = usize::try_from(deliveries.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = match waits.get(at.min(waits.len().saturating_sub(1))) {
            Some(wait) => *wait,
            None => self.config.ack_wait,
        };
        wait.max(0).unsigned_abs()
    }

    /// When the message is due again if it is sent now.
    pub(super) fn due(&self, now: u64, deliveries: u32) -> u64 {
        match self.config.ack_policy {
            AckPolicy::FlowControl => u64::MAX,
            _ => now.saturating_add(self.ack_wait(deliveries)),
        }
    }

    /// The message needs this consumer's acknowledgement, or will, if its subject is wanted. The
    /// subject is looked up only if it decides.
    pub(super) fn needs(&self, seq: u64, subject: impl FnOnce() -> Option<bool>) -> bool {
        if self.cursor.is_ahead(seq) {
            return self.filters.is_empty() || subject().unwrap_or(true);
        }
        self.unacked.get(seq).is_some()
    }

    /// Brings the ack floor to just below the first message that is not acknowledged. Where that
    /// lies in the stream is told only once a delivery below it is done: what filters have passed
    /// over does not count.
    pub(super) fn settle_floor(&mut self) {
        let (consumer_seq, stream_seq) = match self.unacked.first() {
            Some(first) => (first.consumer_seq - 1, first.stream_seq.saturating_sub(1)),
            None => (self.delivered.consumer_seq, self.delivered.stream_seq),
        };
        if consumer_seq > self.ack_floor.consumer_seq || self.unacked.first().is_none() {
            self.ack_floor.consumer_seq = self.ack_floor.consumer_seq.max(consumer_seq);
            self.ack_floor.stream_seq = self.ack_floor.stream_seq.max(stream_seq);
        }
    }

    /// Messages whose removal by purge or limits this consumer did not see one by one are
    /// forgotten, and the cursor moves to what is there.
    pub(super) fn reconcile(&mut self, store: &mut dyn StreamStore) {
        let gone: Vec<u64> = self
            .unacked
            .iter()
            .map(|entry| entry.stream_seq)
            .filter(|seq| !store.contains(*seq))
            .collect();
        for seq in &gone {
            self.unacked.remove(*seq);
        }
        let first = store.extent().first_seq;
        let was = self.cursor.after_list();
        self.cursor.move_up_to(first);
        if self.cursor.after_list() > was || !gone.is_empty() {
            let before = self.cursor.next().saturating_sub(1);
            if self.cursor.after_list() > was {
                self.delivered.stream_seq = self.delivered.stream_seq.max(before);
            }
            self.settle_floor();
        }
    }

    /// When something is to be done, if nothing else happens.
    pub(super) fn deadline(&self, now: u64) -> u64 {
        let mut earliest = u64::MAX;
        let mut by = |at: u64| earliest = earliest.min(at);
        if let Some(at) = self.unacked.next_due() {
            by(at);
        }
        if let Some(at) = self.waiting.deadline() {
            by(at);
        }
        if self.config.is_push() && self.is_bound {
            by(self.heartbeat_at);
        }
        if let Some(at) = self.inactive_at() {
            by(at);
        }
        if let Some(at) = self.paused_until(now) {
            by(at);
        }
        if self.resume_at > now {
            by(self.resume_at);
        }
        if !self.pin.id.is_empty() {
            by(self.pin.until);
        }
        earliest
    }

    /// When to look whether it is still used; `None` if it stays anyway.
    pub(super) fn inactive_at(&self) -> Option<u64> {
        let threshold = self.config.inactive_threshold.max(0).unsigned_abs();
        let is_bound = self.config.is_push() && self.is_bound;
        let after = if is_bound { (threshold / 2).max(LOOK_PAUSE_MIN) } else { threshold };
        (threshold > 0).then(|| self.active_at.saturating_add(after))
    }

    /// The first of its priority groups, the only one with a state.
    pub(super) fn has_pins(&self) -> bool {
        self.config.priority_policy == PriorityPolicy::PinnedClient
    }
}

fn prefix(root: &str, tokens: &str, stream: &str, consumer: &str) -> Vec<u8> {
    [root, tokens, stream, ".", consumer, "."].concat().into_bytes()
}

/// What the deliveries of a call share, to be used again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) message: Message,
    pub(super) ack_subject: Vec<u8>,
    pub(super) headers: Vec<u8>,
    /// Messages that were acknowledged, for retention.
    pub(super) released: Vec<u64>,
    /// Number of the pass over consumers, so that listeners are looked for once a pass.
    pub(super) pass: u64,
}

/// Least time between two looks whether somebody still listens.
const LOOK_PAUSE_MIN: u64 = 100_000_000;

/// Bytes a rate-limited consumer may send at once.
const RATE_BURST: u64 = 64 << 10;
