//! The loop around a load: send what may be sent, exchange bytes, record, wait.
//!
//! A closed loop sends as long as the load has room (its window of requests in flight); an open
//! loop sends what is due, timed from when it was. What is outstanding at the end is waited for,
//! then each connection is asked for a PONG, so that what was answered twice is seen too.

use hdrhistogram::Histogram;

use crate::connection::{Connection, ReadBuffer};
use crate::error::Error;
use crate::pacer::{Margin, Pacer};
use crate::progress::Progress;
use crate::recorder::{new_histogram, Phase, Recorder, Span, Summary};
use crate::result::RunResult;
use crate::sys::{clock, epoll::Epoll, process::Process, signal};
use crate::workload::RunOptions;

/// What is driven: it has requests in flight on some connections.
pub trait Load {
    /// Queues one request (or one batch of messages) sent or due at `sent_ns`; returns how many
    /// answers (or messages acknowledged) that makes, zero if there is no room or nothing left.
    fn send(&mut self, sent_ns: u64) -> Result<u64, Error>;

    /// Writes and reads every connection that can, and tells the tally what was answered; true
    /// if anything came.
    fn exchange(&mut self, buffer: &mut ReadBuffer, tally: &mut Tally) -> Result<bool, Error>;

    /// One of its connections.
    fn connection(&mut self, index: usize) -> &mut Connection;

    /// How many there are.
    fn connections(&self) -> usize;

    /// True while frames wait for a socket.
    fn has_unwritten(&self) -> bool;
}

/// Counts of one run.
pub struct Tally {
    /// Records latencies and the measured span.
    pub recorder: Recorder,
    /// Messages sent.
    pub sent: u64,
    /// Messages answered.
    pub received: u64,
}

impl Tally {
    /// `count` messages sent at `sent_ns` were answered by what was read at `now_ns`.
    pub fn answered(&mut self, now_ns: u64, sent_ns: u64, count: u64) {
        self.recorder.latency(now_ns, now_ns.saturating_sub(sent_ns));
        self.received += count;
    }

    fn outstanding(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

/// One load being driven.
pub struct Drive<'a> {
    options: &'a RunOptions,
    rate: Option<f64>,
    epoll: Epoll,
    buffer: ReadBuffer,
    tally: Tally,
    late: Histogram<u64>,
}

impl<'a> Drive<'a> {
    /// Watches the connections of `load`; frames may have up to `frame_bytes_max` bytes.
    pub fn new(
        load: &mut impl Load,
        options: &'a RunOptions,
        rate: Option<f64>,
        frame_bytes_max: usize,
        recorder: Recorder,
    ) -> Result<Self, Error> {
        let epoll = Epoll::new()?;
        for index in 0..load.connections() {
            epoll.add(load.connection(index).descriptor(), index)?;
        }
        let buffer = ReadBuffer::new(frame_bytes_max);
        let tally = Tally { recorder, sent: 0, received: 0 };
        Ok(Self { options, rate, epoll, buffer, tally, late: new_histogram() })
    }

    /// Runs the load through warm-up and measured span, then waits for what is outstanding.
    /// Returns the messages that were never answered.
    pub fn run(&mut self, load: &mut impl Load) -> Result<u64, Error> {
        self.measure(load)?;
        self.drain(load)?;
        Ok(self.tally.outstanding())
    }

    /// What was measured.
    pub fn summary(&self) -> Summary {
        self.tally.recorder.summary()
    }

    /// Messages answered over the whole run.
    pub fn received(&self) -> u64 {
        self.tally.received
    }

    /// Adds what an open loop tells of itself.
    pub fn describe(&self, result: &mut RunResult) {
        if self.rate.is_some() {
            result.paced = true;
            let late = |quantile| self.late.value_at_quantile(quantile) as f64 / 1e9;
            result.extra.insert("pacer_late_p50_seconds".into(), late(0.5));
            result.extra.insert("pacer_late_p99_seconds".into(), late(0.99));
            result.extra.insert("pacer_late_p99.9_seconds".into(), late(0.999));
        }
    }

    fn measure(&mut self, load: &mut impl Load) -> Result<(), Error> {
        let margin = match (self.rate, self.options.spin_ns) {
            (None, _) => Margin(0),
            (_, Some(spin_ns)) => Margin(spin_ns),
            (Some(_), None) => Margin::measure(&mut self.epoll)?,
        };
        // Measuring took readiness off the queue: look at each connection once.
        for index in 0..load.connections() {
            load.connection(index).readable = true;
            load.connection(index).writable = true;
        }
        let mut pacer = self.rate.map(|rate| Pacer::new(rate, clock::now()));
        let mut progress_ns = clock::now();
        loop {
            let now_ns = clock::now();
            let Tally { recorder, sent, received } = &mut self.tally;
            let phase = recorder.advance(now_ns, *sent, *received);
            let left = recorder.sends_left(*sent);
            let is_stuck = now_ns - progress_ns > self.options.patience_ns;
            if phase == Phase::Drain || is_stuck || left == 0 && sent == received {
                recorder.finish(now_ns, *sent, *received);
                return Ok(());
            }
            if signal::stop_requested() {
                return Err(Error::Interrupted);
            }
            match &mut pacer {
                Some(pacer) => self.send_due(load, pacer, now_ns, left)?,
                None => self.send_all(load, now_ns, left)?,
            }
            let moved = load.exchange(&mut self.buffer, &mut self.tally)?;
            if moved || self.tally.outstanding() == 0 {
                progress_ns = now_ns;
            }
            let timeout_ns = match &pacer {
                _ if moved => 0,
                Some(pacer) if left > 0 => margin.sleep_ns(clock::now(), pacer.next_ns()),
                _ => POLL_NS,
            };
            self.poll(load, timeout_ns.min(POLL_NS))?;
        }
    }

    fn send_all(&mut self, load: &mut impl Load, now_ns: u64, mut left: u64) -> Result<(), Error> {
        while left > 0 {
            let count = load.send(now_ns)?;
            if count == 0 {
                break;
            }
            self.tally.sent += count;
            left = left.saturating_sub(count);
        }
        Ok(())
    }

    fn send_due(
        &mut self,
        load: &mut impl Load,
        pacer: &mut Pacer,
        now_ns: u64,
        left: u64,
    ) -> Result<(), Error> {
        for _ in 0..pacer.due(now_ns).min(left) {
            let due_ns = pacer.next_ns();
            let count = load.send(due_ns)?;
            if count == 0 {
                break;
            }
            pacer.issue();
            self.tally.sent += count;
            self.late.saturating_record(now_ns.saturating_sub(due_ns).max(1));
        }
        Ok(())
    }

    fn poll(&mut self, load: &mut impl Load, timeout_ns: u64) -> Result<(), Error> {
        for ready in self.epoll.wait(timeout_ns)? {
            let connection = load.connection(ready.token);
            connection.readable |= ready.readable;
            connection.writable |= ready.writable;
        }
        Ok(())
    }

    fn drain(&mut self, load: &mut impl Load) -> Result<(), Error> {
        self.wait_until(load, |tally, load| tally.outstanding() == 0 && !load.has_unwritten())?;
        for index in 0..load.connections() {
            load.connection(index).send_ping()?;
        }
        self.wait_until(load, |_, load| {
            (0..load.connections()).all(|index| load.connection(index).pongs > 0)
        })
    }

    fn wait_until<L: Load>(
        &mut self,
        load: &mut L,
        mut done: impl FnMut(&Tally, &mut L) -> bool,
    ) -> Result<(), Error> {
        let mut progress_ns = clock::now();
        while !done(&self.tally, load) {
            if signal::stop_requested() {
                return Err(Error::Interrupted);
            }
            let now_ns = clock::now();
            let moved = load.exchange(&mut self.buffer, &mut self.tally)?;
            if moved {
                progress_ns = now_ns;
            } else if now_ns - progress_ns > self.options.patience_ns {
                break;
            }
            self.poll(load, if moved { 0 } else { POLL_NS })?;
        }
        Ok(())
    }
}

/// Records `count` messages (or as many as there are) from the first on, outside of any figure.
pub fn unrecorded(count: Option<u64>) -> Recorder {
    recorded_from_the_start(count, None, Progress::new("", false))
}

/// Records `count` messages from the first on, without warm-up and without limit in time.
pub fn recorded_from_the_start(
    count: Option<u64>,
    server: Option<Process>,
    progress: Progress,
) -> Recorder {
    let span = Span { warmup_ns: 0, measure_ns: u64::MAX / 2, count };
    Recorder::start(span, server, progress)
}

/// Bytes waiting for a socket; bounded by what is in flight.
#[derive(Default)]
pub struct Outbox {
    /// Frames to be written, whole ones.
    pub bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    /// Writes what the socket takes; PONGs go out between frames.
    pub fn push(&mut self, connection: &mut Connection) -> Result<(), Error> {
        if self.written == self.bytes.len() {
            return connection.answer_pings();
        }
        if connection.writable {
            self.written += connection.push(&self.bytes[self.written..])?;
            if self.written == self.bytes.len() {
                self.bytes.clear();
                self.written = 0;
            }
        }
        Ok(())
    }
}

/// Longest sleep, so that phases and signals are seen in time.
const POLL_NS: u64 = 10_000_000;
