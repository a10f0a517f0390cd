//! Publishers and subscribers: one to one, fan-out, pairs, and queue groups; as fast as possible
//! or at a rate.
//!
//! A channel is a subject with its publishers and subscribers; there is one, or with `distinct`
//! one for each publisher. A closed loop keeps a channel's messages in flight below a window, so
//! that neither we nor the server buffer without bound, and writes a batch, reads, writes again,
//! so that the server always has both work and room. An open loop follows the schedule and stamps
//! each message with the time it was due.

use serde::Serialize;

use super::subscriber::{Inbox, Subscriber};
use super::{run_seed, RunOptions, Target};
use crate::connection::{Connection, ReadBuffer};
use crate::error::Error;
use crate::pacer::{Margin, Pacer};
use crate::progress::Progress;
use crate::recorder::{new_histogram, Phase, Recorder};
use crate::result::RunResult;
use crate::sys::{clock, epoll::Epoll, signal};
use crate::wire::frames::FrameRing;
use crate::wire::ledger::{Expect, Faults, Ledger, Roll};
use crate::wire::payload;

/// Parameters of the workload.
#[derive(Clone, Debug, Serialize)]
pub struct PubSub {
    /// Publisher connections.
    pub publishers: usize,
    /// Subscriber connections; with `distinct`, of each publisher.
    pub subscribers: usize,
    /// Payload size in bytes.
    pub size: usize,
    /// A subject for each publisher instead of one for all.
    pub distinct: bool,
    /// The subscribers of a subject form a queue group.
    pub queue: bool,
    /// Idle connections opened after the subscribers and before the publishers.
    pub between: usize,
    /// Subscribers beside the others that never read.
    pub stuck: usize,
    /// Messages a second over all publishers; none means as fast as possible.
    pub rate: Option<f64>,
}

/// Runs the workload once.
pub fn run(
    spec: &PubSub,
    target: &Target,
    options: &RunOptions,
    progress: Progress,
) -> Result<RunResult, Error> {
    let mut engine = Engine::set_up(spec, target, options, progress)?;
    engine.drive()?;
    engine.drain()?;
    Ok(engine.result())
}

struct Publisher {
    connection: Connection,
    ring: FrameRing,
    channel: usize,
}

struct Channel {
    /// Subscribers that get a copy of each message.
    fanout: u64,
    /// Most deliveries in flight.
    window: u64,
    sent: u64,
    received: u64,
    roll: Option<Roll>,
}

impl Channel {
    /// Messages that may be sent now.
    fn room(&self) -> u64 {
        let in_flight = (self.sent * self.fanout).saturating_sub(self.received);
        self.window.saturating_sub(in_flight) / self.fanout
    }
}

struct Engine<'a> {
    spec: &'a PubSub,
    options: &'a RunOptions,
    epoll: Epoll,
    buffer: ReadBuffer,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    /// Held open, not used.
    _idle: Vec<Connection>,
    channels: Vec<Channel>,
    recorder: Recorder,
    sent: u64,
    received: u64,
    /// The publisher whose turn is next.
    turn: usize,
    late: hdrhistogram::Histogram<u64>,
}

impl<'a> Engine<'a> {
    fn set_up(
        spec: &'a PubSub,
        target: &Target,
        options: &'a RunOptions,
        progress: Progress,
    ) -> Result<Self, Error> {
        if spec.publishers == 0 || spec.subscribers == 0 || spec.publishers > MAX_PUBLISHERS {
            return Err(Error::Usage("publishers and subscribers must be 1 to 65535".into()));
        }
        if spec.queue && spec.size < payload::SHORT_HEAD_BYTES {
            return Err(Error::Usage("a queue group needs payloads of 8 bytes or more".into()));
        }
        let seed = run_seed();
        let epoll = Epoll::new()?;
        let channel_count = if spec.distinct { spec.publishers } else { 1 };
        let publishers_each = spec.publishers / channel_count;
        let subject = |channel: usize| match spec.distinct {
            true => format!("load.{:04x}.{channel}", seed as u16),
            false => format!("load.{:04x}", seed as u16),
        };
        let expect = if spec.queue { Expect::Increasing } else { Expect::Every };

        let mut subscribers = Vec::new();
        for channel in 0..channel_count {
            let subject = subject(channel);
            let queue = if spec.queue { " workers" } else { "" };
            let setup = format!("SUB {subject}{queue} 1\r\n");
            for _ in 0..spec.subscribers {
                let connection =
                    Connection::open(target.address, &target.access, setup.as_bytes())?;
                epoll.add(connection.descriptor(), spec.publishers + subscribers.len())?;
                let first = if spec.distinct { channel } else { 0 };
                let ledger = Ledger::new(spec.size, first as u16, publishers_each, expect, seed);
                let inbox = Inbox::new(ledger, &subject, spec.size);
                subscribers.push(Subscriber { connection, inbox, channel });
            }
        }
        let mut idle = Vec::new();
        for _ in 0..spec.between {
            idle.push(Connection::open(target.address, &target.access, b"")?);
        }
        let setup = format!("SUB {} 1\r\n", subject(0));
        for _ in 0..spec.stuck {
            let stuck = Connection::open(target.address, &target.access, setup.as_bytes())?;
            stuck.narrow()?;
            idle.push(stuck);
        }
        let window_bytes = (options.window_bytes / channel_count).max(WINDOW_BYTES_MIN);
        let ring_bytes = (window_bytes / 2 / publishers_each).clamp(RING_BYTES_MIN, RING_BYTES_MAX);
        let mut publishers = Vec::new();
        for index in 0..spec.publishers {
            let channel = if spec.distinct { index } else { 0 };
            let connection = Connection::open(target.address, &target.access, b"")?;
            epoll.add(connection.descriptor(), index)?;
            let ring = FrameRing::new(&subject(channel), index as u16, spec.size, ring_bytes, seed);
            publishers.push(Publisher { connection, ring, channel });
        }
        let fanout = if spec.queue { 1 } else { spec.subscribers };
        let frame_bytes = publishers[0].ring.frame_bytes();
        let window = (window_bytes / frame_bytes).max(2) * fanout.div_ceil(FANOUT_SHARE);
        let channels = (0..channel_count).map(|channel| Channel {
            fanout: fanout as u64,
            window: window.max(2 * fanout) as u64,
            sent: 0,
            received: 0,
            roll: spec.queue.then(|| {
                Roll::new(if spec.distinct { channel as u16 } else { 0 }, publishers_each)
            }),
        });
        Ok(Self {
            spec,
            options,
            epoll,
            buffer: ReadBuffer::new(spec.size + 4096),
            publishers,
            subscribers,
            _idle: idle,
            channels: channels.collect(),
            recorder: Recorder::start(options.span, target.process, progress),
            sent: 0,
            received: 0,
            turn: 0,
            late: new_histogram(),
        })
    }

    /// Warms up and measures.
    fn drive(&mut self) -> Result<(), Error> {
        let margin = match (self.spec.rate, self.options.spin_ns) {
            (None, _) => Margin(0),
            (_, Some(spin_ns)) => Margin(spin_ns),
            (Some(_), None) => Margin::measure(&mut self.epoll)?,
        };
        let mut pacer = self.spec.rate.map(|rate| Pacer::new(rate, clock::now()));
        let mut progress_ns = clock::now();
        let mut seen = 0;
        loop {
            let now_ns = clock::now();
            let phase = self.recorder.advance(now_ns, self.sent, self.received);
            let left = self.recorder.sends_left(self.sent);
            let complete = left == 0 && self.received >= self.due();
            if phase == Phase::Drain || complete {
                self.recorder.finish(now_ns, self.sent, self.received);
                return Ok(());
            }
            if signal::stop_requested() {
                return Err(Error::Interrupted);
            }
            let moved = match &mut pacer {
                Some(pacer) => self.publish_due(pacer, now_ns, left)?,
                None => self.publish(now_ns, left)?,
            };
            let arrived = self.receive()?;
            if self.received != seen || self.received >= self.due() {
                seen = self.received;
                progress_ns = now_ns;
            } else if now_ns - progress_ns > self.options.patience_ns {
                // What is missing will be counted as lost by the drain.
                self.recorder.finish(now_ns, self.sent, self.received);
                return Ok(());
            }
            let timeout_ns = match &pacer {
                _ if moved || arrived => 0,
                Some(pacer) if left > 0 => margin.sleep_ns(clock::now(), pacer.next_ns()),
                _ => POLL_NS,
            };
            self.poll(timeout_ns.min(POLL_NS))?;
        }
    }

    /// A closed loop's turn: one batch for each publisher with room.
    fn publish(&mut self, now_ns: u64, left: u64) -> Result<bool, Error> {
        let mut left = left;
        let mut moved = false;
        let count = self.publishers.len();
        self.turn = (self.turn + 1) % count;
        for step in 0..count {
            let publisher = &mut self.publishers[(self.turn + step) % count];
            if publisher.ring.pending().is_empty() && left > 0 {
                let channel = &mut self.channels[publisher.channel];
                let room = channel.room();
                if room >= (channel.window / channel.fanout / 4).min(left) {
                    let stamped = publisher.ring.stamp(room.min(left), now_ns);
                    channel.sent += stamped;
                    self.sent += stamped;
                    left -= stamped;
                }
            }
            moved |= publisher.push()?;
        }
        Ok(moved)
    }

    /// An open loop's turn: every message that is due, each stamped with its own time.
    fn publish_due(&mut self, pacer: &mut Pacer, now_ns: u64, left: u64) -> Result<bool, Error> {
        let count = self.publishers.len();
        for _ in 0..pacer.due(now_ns).min(left) {
            let publisher = &mut self.publishers[self.turn];
            let due_ns = pacer.next_ns();
            if publisher.ring.stamp(1, due_ns) == 0 {
                break;
            }
            pacer.issue();
            self.late.saturating_record(now_ns.saturating_sub(due_ns).max(1));
            self.channels[publisher.channel].sent += 1;
            self.sent += 1;
            self.turn = (self.turn + 1) % count;
        }
        let mut moved = false;
        for publisher in &mut self.publishers {
            moved |= publisher.push()?;
        }
        Ok(moved)
    }

    /// One read for each readable connection; true if messages came.
    fn receive(&mut self) -> Result<bool, Error> {
        let before = self.received;
        let record_every = self.spec.rate.is_some();
        for subscriber in &mut self.subscribers {
            if !subscriber.connection.readable {
                continue;
            }
            let channel = &mut self.channels[subscriber.channel];
            let roll = channel.roll.as_mut();
            let count =
                subscriber.pull(&mut self.buffer, roll, &mut self.recorder, record_every)?;
            channel.received += count;
            self.received += count;
        }
        for publisher in &mut self.publishers {
            if publisher.connection.readable {
                publisher.read_control(&mut self.buffer)?;
            }
        }
        Ok(self.received > before)
    }

    fn poll(&mut self, timeout_ns: u64) -> Result<(), Error> {
        for ready in self.epoll.wait(timeout_ns)? {
            let connection = match self.publishers.get_mut(ready.token) {
                Some(publisher) => &mut publisher.connection,
                None => &mut self.subscribers[ready.token - self.spec.publishers].connection,
            };
            connection.readable |= ready.readable;
            connection.writable |= ready.writable;
        }
        Ok(())
    }

    /// Deliveries due for everything sent.
    fn due(&self) -> u64 {
        self.channels.iter().map(|channel| channel.sent * channel.fanout).sum()
    }

    /// Takes in what is outstanding, then asks each subscriber's connection for a PONG: what the
    /// server sends twice comes before it.
    fn drain(&mut self) -> Result<(), Error> {
        self.run_until(|engine| {
            let flushed = engine.publishers.iter().all(|p| p.ring.pending().is_empty());
            flushed && engine.received >= engine.due()
        })?;
        for subscriber in &mut self.subscribers {
            subscriber.connection.send_ping()?;
        }
        self.run_until(|engine| engine.subscribers.iter().all(|s| s.connection.pongs > 0))
    }

    /// Pushes and reads until `done`, or until nothing has come for the patience allowed.
    fn run_until(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), Error> {
        let mut progress_ns = clock::now();
        while !done(self) {
            if signal::stop_requested() {
                return Err(Error::Interrupted);
            }
            let mut moved = false;
            for publisher in &mut self.publishers {
                moved |= publisher.push()?;
            }
            moved |= self.receive()?;
            let now_ns = clock::now();
            if moved {
                progress_ns = now_ns;
            } else if now_ns - progress_ns > self.options.patience_ns {
                break;
            }
            self.poll(if moved { 0 } else { POLL_NS })?;
        }
        Ok(())
    }

    fn result(mut self) -> RunResult {
        let sent: Vec<u64> = self.publishers.iter().map(|p| p.ring.sequence()).collect();
        let mut faults = Faults::default();
        for subscriber in &mut self.subscribers {
            let own = if self.spec.distinct {
                &sent[subscriber.channel..=subscriber.channel]
            } else {
                &sent[..]
            };
            faults.merge(&subscriber.inbox.ledger.close(own));
        }
        for (index, channel) in self.channels.iter().enumerate() {
            let own = if self.spec.distinct { &sent[index..=index] } else { &sent[..] };
            if let Some(roll) = &channel.roll {
                let mut rolled = roll.close(own);
                // An altered message fills the place it leaves on the roll.
                rolled.lost = rolled.lost.saturating_sub(faults.corrupted);
                if !rolled.is_clean() {
                    faults.merge(&rolled);
                }
            }
        }
        let verified = self.subscribers.iter().map(|s| s.inbox.ledger.received).sum();
        let mut result = RunResult::new("pubsub", self.spec.size, self.recorder.summary(), faults);
        result.verified = verified;
        if self.spec.queue {
            let shares = self.subscribers.iter().map(|s| s.inbox.ledger.received as f64);
            let mean = verified as f64 / self.subscribers.len() as f64;
            let (low, high) = shares.fold((f64::MAX, 0f64), |(l, h), s| (l.min(s), h.max(s)));
            result.extra.insert("member_low_share".into(), low / mean.max(1.0));
            result.extra.insert("member_high_share".into(), high / mean.max(1.0));
        }
        if self.spec.rate.is_some() {
            result.paced = true;
            let late = |quantile| self.late.value_at_quantile(quantile) as f64 / 1e9;
            result.extra.insert("pacer_late_p50_seconds".into(), late(0.5));
            result.extra.insert("pacer_late_p99_seconds".into(), late(0.99));
            result.extra.insert("pacer_late_p99.9_seconds".into(), late(0.999));
        }
        result
    }
}

impl Publisher {
    /// Writes what is stamped; true if the socket took some.
    fn push(&mut self) -> Result<bool, Error> {
        if self.ring.pending().is_empty() {
            if self.connection.pongs_owed > 0 {
                self.connection.answer_pings()?;
            }
            return Ok(false);
        }
        if !self.connection.writable {
            return Ok(false);
        }
        let taken = self.connection.push(self.ring.pending())?;
        self.ring.wrote(taken);
        Ok(taken > 0)
    }

    /// Reads what a server says to a publisher: PING, INFO, errors.
    fn read_control(&mut self, buffer: &mut ReadBuffer) -> Result<(), Error> {
        match self.connection.pull_messages(buffer, |_, _| {})? {
            0 => Ok(()),
            _ => Err(Error::Protocol("a message on a publisher's connection".into())),
        }
    }
}

/// Publisher numbers have 16 bits.
const MAX_PUBLISHERS: usize = 65_535;
/// Smallest window of a channel: below it, a hundred of them leave the server idle at times and
/// cost us twice the system calls.
const WINDOW_BYTES_MIN: usize = 80 * 1024;
/// Bounds of a publisher's ring, which is also the size of its writes.
const RING_BYTES_MIN: usize = 8 * 1024;
const RING_BYTES_MAX: usize = 128 * 1024;
/// Subscribers of one subject that share one window; more of them widen it.
const FANOUT_SHARE: usize = 4;
/// Longest sleep, so that phases and signals are seen in time.
const POLL_NS: u64 = 10_000_000;
