//! Requests and replies: requesters with so many in flight each, and responders that echo.
//!
//! A request's reply subject ends in the number of a slot, and the slot remembers the sequence
//! and the time it was sent or due. The responder checks the request and sends its payload back;
//! the requester checks that the reply is the one its slot waits for. Both ends run on the same
//! thread: one request costs us two writes and two reads at worst.

use serde::Serialize;

use super::{run_seed, RunOptions, Target};
use crate::connection::{Connection, ReadBuffer};
use crate::error::Error;
use crate::pacer::{Margin, Pacer};
use crate::progress::Progress;
use crate::recorder::{new_histogram, Phase, Recorder};
use crate::result::RunResult;
use crate::sys::{clock, epoll::Epoll, signal};
use crate::wire::ledger::{Expect, Faults, Ledger};
use crate::wire::payload::{self, Head, Layout};
use crate::wire::scan::{self, Msg};

/// Parameters of the workload.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// Requester connections.
    pub requesters: usize,
    /// Responder connections; more than one form a queue group.
    pub responders: usize,
    /// Requests in flight of each requester; in an open loop the most there may be.
    pub in_flight: usize,
    /// Payload size in bytes of request and reply.
    pub size: usize,
    /// Requests a second over all requesters; none means as fast as possible.
    pub rate: Option<f64>,
}

/// Runs the workload once.
pub fn run(
    spec: &Request,
    target: &Target,
    options: &RunOptions,
    progress: Progress,
) -> Result<RunResult, Error> {
    let mut engine = Engine::set_up(spec, target, options, progress)?;
    engine.drive()?;
    engine.drain()?;
    Ok(engine.result())
}

/// Bytes waiting for a socket; bounded by the requests in flight.
#[derive(Default)]
struct Outbox {
    bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    fn push(&mut self, connection: &mut Connection) -> Result<(), Error> {
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

#[derive(Clone, Copy, Default)]
struct Slot {
    busy: bool,
    sequence: u64,
    sent_ns: u64,
}

/// The requests of one connection that wait for replies.
struct Waiting {
    id: u16,
    slots: Vec<Slot>,
    free: Vec<u32>,
    inbox_bytes: usize,
    faults: Faults,
}

struct Requester {
    connection: Connection,
    outbox: Outbox,
    waiting: Waiting,
    sequence: u64,
    /// A whole frame; slot number and payload are patched in it.
    frame: Vec<u8>,
    slot_at: usize,
    payload_at: usize,
    filler: u64,
}

impl Requester {
    fn open(index: usize, names: &Names, spec: &Request, target: &Target) -> Result<Self, Error> {
        let inbox = format!("_INBOX.{:04x}.{index:05}.", names.tag);
        let setup = format!("SUB {inbox}* 1\r\n");
        let connection = Connection::open(target.address, &target.access, setup.as_bytes())?;
        let mut frame = format!("PUB {} {inbox}", names.subject).into_bytes();
        let slot_at = frame.len();
        frame.extend_from_slice(format!("00000 {}\r\n", spec.size).as_bytes());
        let payload_at = frame.len();
        frame.resize(payload_at + spec.size, 0);
        let head_bytes = match Layout::of(spec.size) {
            Layout::Full => payload::HEAD_BYTES,
            Layout::Short => payload::SHORT_HEAD_BYTES,
            Layout::Bare => 0,
        };
        let filler = &mut frame[payload_at + head_bytes..];
        payload::fill(filler, names.seed ^ index as u64);
        let filler = payload::filler_hash(filler);
        frame.extend_from_slice(b"\r\n");
        Ok(Self {
            connection,
            outbox: Outbox::default(),
            waiting: Waiting {
                id: index as u16,
                slots: vec![Slot::default(); spec.in_flight],
                free: (0..spec.in_flight as u32).rev().collect(),
                inbox_bytes: inbox.len(),
                faults: Faults::default(),
            },
            sequence: 0,
            frame,
            slot_at,
            payload_at,
            filler,
        })
    }

    /// Queues one request sent (or due) at `sent_ns`; false if all slots wait for replies.
    fn ask(&mut self, sent_ns: u64, size: usize, seed: u64) -> bool {
        let Some(slot) = self.waiting.free.pop() else {
            return false;
        };
        self.waiting.slots[slot as usize] = Slot { busy: true, sequence: self.sequence, sent_ns };
        let mut digits = slot;
        for byte in self.frame[self.slot_at..self.slot_at + SLOT_DIGITS].iter_mut().rev() {
            *byte = b'0' + (digits % 10) as u8;
            digits /= 10;
        }
        let time = payload::wire_time(sent_ns);
        let head = Head { publisher: self.waiting.id, sequence: self.sequence, time };
        let payload = &mut self.frame[self.payload_at..self.payload_at + size];
        match Layout::of(size) {
            Layout::Full => payload::write_full(payload, head, self.filler, seed),
            Layout::Short => payload::write_short(payload, head, self.filler, seed),
            Layout::Bare => {}
        }
        self.outbox.bytes.extend_from_slice(&self.frame);
        self.sequence += 1;
        true
    }
}

impl Waiting {
    /// Checks a reply and frees its slot; returns when its request was sent.
    fn accept(&mut self, msg: &Msg<'_>, size: usize, seed: u64) -> Option<u64> {
        let number = msg.subject.get(self.inbox_bytes..).and_then(scan::number);
        let slot = number.and_then(|number| self.slots.get_mut(number));
        let Some((slot, number)) = slot.zip(number).filter(|(slot, _)| slot.busy) else {
            let subject = msg.subject;
            self.faults.unexpected(|| {
                format!("a reply on \"{}\" that nobody waits for", subject.escape_ascii())
            });
            return None;
        };
        slot.busy = false;
        self.free.push(number as u32);
        let sound = !msg.has_header
            && msg.payload.len() == size
            && match Layout::of(size) {
                Layout::Full => {
                    let head = payload::read_full(msg.payload);
                    payload::full_is_sound(msg.payload, seed)
                        && (head.publisher, head.sequence) == (self.id, slot.sequence)
                }
                Layout::Short => {
                    let head = payload::read_short(msg.payload);
                    payload::short_is_sound(msg.payload, seed)
                        && (head.publisher, head.sequence) == (self.id, slot.sequence)
                }
                Layout::Bare => true,
            };
        if !sound {
            let (id, sequence) = (self.id, slot.sequence);
            self.faults.corrupted(|| format!("bad reply to request {sequence} of requester {id}"));
        }
        Some(slot.sent_ns)
    }

    fn outstanding(&self) -> u64 {
        (self.slots.len() - self.free.len()) as u64
    }
}

struct Responder {
    connection: Connection,
    outbox: Outbox,
    ledger: Ledger,
}

impl Responder {
    /// Reads once, checks each request, and queues its reply.
    fn serve(&mut self, buffer: &mut ReadBuffer, size: usize) -> Result<bool, Error> {
        let (outbox, ledger) = (&mut self.outbox, &mut self.ledger);
        let count = self.connection.pull_messages(buffer, |msg, _| {
            if msg.payload.len() != size || msg.reply.is_empty() {
                ledger.faults.corrupted(|| "a request of the wrong size or without reply".into());
                return;
            }
            ledger.enter(msg.payload);
            outbox.bytes.extend_from_slice(b"PUB ");
            outbox.bytes.extend_from_slice(msg.reply);
            outbox.bytes.push(b' ');
            push_number(&mut outbox.bytes, size);
            outbox.bytes.extend_from_slice(b"\r\n");
            outbox.bytes.extend_from_slice(msg.payload);
            outbox.bytes.extend_from_slice(b"\r\n");
        })?;
        Ok(count > 0)
    }
}

fn push_number(bytes: &mut Vec<u8>, value: usize) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    bytes.extend_from_slice(&digits[at..]);
}

/// What the connections of a run have in common.
struct Names {
    seed: u64,
    tag: u16,
    subject: String,
}

struct Engine<'a> {
    spec: &'a Request,
    options: &'a RunOptions,
    epoll: Epoll,
    buffer: ReadBuffer,
    names: Names,
    requesters: Vec<Requester>,
    responders: Vec<Responder>,
    recorder: Recorder,
    sent: u64,
    received: u64,
    turn: usize,
    late: hdrhistogram::Histogram<u64>,
}

impl<'a> Engine<'a> {
    fn set_up(
        spec: &'a Request,
        target: &Target,
        options: &'a RunOptions,
        progress: Progress,
    ) -> Result<Self, Error> {
        let fits = (1..=65_535).contains(&spec.requesters)
            && spec.responders > 0
            && (1..100_000).contains(&spec.in_flight);
        if !fits {
            return Err(Error::Usage("requesters, responders or in-flight out of range".into()));
        }
        let seed = run_seed();
        let names = Names { seed, tag: seed as u16, subject: format!("ask.{:04x}", seed as u16) };
        let epoll = Epoll::new()?;
        let queue = if spec.responders > 1 { " workers" } else { "" };
        let expect = if spec.responders > 1 { Expect::Increasing } else { Expect::Every };
        let mut responders = Vec::new();
        for index in 0..spec.responders {
            let setup = format!("SUB {}{queue} 1\r\n", names.subject);
            let connection = Connection::open(target.address, &target.access, setup.as_bytes())?;
            epoll.add(connection.descriptor(), spec.requesters + index)?;
            let ledger = Ledger::new(spec.size, 0, spec.requesters, expect, seed);
            responders.push(Responder { connection, outbox: Outbox::default(), ledger });
        }
        let mut requesters = Vec::new();
        for index in 0..spec.requesters {
            let requester = Requester::open(index, &names, spec, target)?;
            epoll.add(requester.connection.descriptor(), index)?;
            requesters.push(requester);
        }
        Ok(Self {
            spec,
            options,
            epoll,
            buffer: ReadBuffer::new(spec.size + 4096),
            names,
            requesters,
            responders,
            recorder: Recorder::start(options.span, target.process, progress),
            sent: 0,
            received: 0,
            turn: 0,
            late: new_histogram(),
        })
    }

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
            if phase == Phase::Drain || (left == 0 && self.outstanding() == 0) {
                self.recorder.finish(now_ns, self.sent, self.received);
                return Ok(());
            }
            if signal::stop_requested() {
                return Err(Error::Interrupted);
            }
            match &mut pacer {
                Some(pacer) => self.ask_due(pacer, now_ns, left),
                None => self.ask_all(now_ns, left),
            }
            let moved = self.exchange()?;
            if self.received != seen || self.outstanding() == 0 {
                seen = self.received;
                progress_ns = now_ns;
            } else if now_ns - progress_ns > self.options.patience_ns {
                self.recorder.finish(now_ns, self.sent, self.received);
                return Ok(());
            }
            let timeout_ns = match &pacer {
                _ if moved => 0,
                Some(pacer) if left > 0 => margin.sleep_ns(clock::now(), pacer.next_ns()),
                _ => POLL_NS,
            };
            self.poll(timeout_ns.min(POLL_NS))?;
        }
    }

    /// A closed loop's turn: every free slot asks again.
    fn ask_all(&mut self, now_ns: u64, left: u64) {
        let mut left = left;
        for requester in &mut self.requesters {
            while left > 0 && requester.ask(now_ns, self.spec.size, self.names.seed) {
                self.sent += 1;
                left -= 1;
            }
        }
    }

    /// An open loop's turn: every request that is due, timed from when it was.
    fn ask_due(&mut self, pacer: &mut Pacer, now_ns: u64, left: u64) {
        let count = self.requesters.len();
        for _ in 0..pacer.due(now_ns).min(left) {
            let due_ns = pacer.next_ns();
            let turn = (0..count)
                .map(|step| (self.turn + step) % count)
                .find(|&index| self.requesters[index].ask(due_ns, self.spec.size, self.names.seed));
            let Some(turn) = turn else { break };
            pacer.issue();
            self.late.saturating_record(now_ns.saturating_sub(due_ns).max(1));
            self.sent += 1;
            self.turn = turn + 1;
        }
    }

    /// Writes and reads every connection that can; true if messages came.
    fn exchange(&mut self) -> Result<bool, Error> {
        let (size, seed) = (self.spec.size, self.names.seed);
        let mut moved = false;
        for requester in &mut self.requesters {
            requester.outbox.push(&mut requester.connection)?;
        }
        for responder in &mut self.responders {
            if responder.connection.readable {
                moved |= responder.serve(&mut self.buffer, size)?;
            }
            responder.outbox.push(&mut responder.connection)?;
        }
        for index in 0..self.requesters.len() {
            if !self.requesters[index].connection.readable {
                continue;
            }
            moved |= self.take_replies(index, size, seed)?;
        }
        Ok(moved)
    }

    fn take_replies(&mut self, index: usize, size: usize, seed: u64) -> Result<bool, Error> {
        let Requester { connection, waiting, .. } = &mut self.requesters[index];
        let (recorder, received) = (&mut self.recorder, &mut self.received);
        let count = connection.pull_messages(&mut self.buffer, |msg, now_ns| {
            if let Some(sent_ns) = waiting.accept(msg, size, seed) {
                recorder.latency(now_ns, now_ns.saturating_sub(sent_ns));
                *received += 1;
            }
        })?;
        Ok(count > 0)
    }

    fn poll(&mut self, timeout_ns: u64) -> Result<(), Error> {
        for ready in self.epoll.wait(timeout_ns)? {
            let connection = match self.requesters.get_mut(ready.token) {
                Some(requester) => &mut requester.connection,
                None => &mut self.responders[ready.token - self.spec.requesters].connection,
            };
            connection.readable |= ready.readable;
            connection.writable |= ready.writable;
        }
        Ok(())
    }

    fn outstanding(&self) -> u64 {
        self.sent - self.received
    }

    /// Waits for the replies outstanding, then for a PONG on each requester's connection.
    fn drain(&mut self) -> Result<(), Error> {
        self.run_until(|engine| engine.requesters.iter().all(|r| r.waiting.outstanding() == 0))?;
        for requester in &mut self.requesters {
            if requester.outbox.bytes.is_empty() {
                requester.connection.send_ping()?;
            }
        }
        self.run_until(|engine| engine.requesters.iter().all(|r| r.connection.pongs > 0))
    }

    fn run_until(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), Error> {
        let mut progress_ns = clock::now();
        while !done(self) {
            if signal::stop_requested() {
                return Err(Error::Interrupted);
            }
            let now_ns = clock::now();
            let moved = self.exchange()?;
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
        let mut faults = Faults::default();
        for requester in &self.requesters {
            faults.merge(&requester.waiting.faults);
            let lost = requester.waiting.outstanding();
            if lost > 0 {
                let id = requester.waiting.id;
                let first = Some(format!("{lost} requests of requester {id} got no reply"));
                faults.merge(&Faults { lost, first, ..Faults::default() });
            }
        }
        let asked: Vec<u64> = self.requesters.iter().map(|r| r.sequence).collect();
        for responder in &mut self.responders {
            let mut served = responder.ledger.close(&asked);
            // A request that never came to the responder is counted by its requester.
            served.lost = 0;
            if !served.is_clean() {
                faults.merge(&served);
            }
        }
        let mut result = RunResult::new("request", self.spec.size, self.recorder.summary(), faults);
        result.verified = self.received;
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

const SLOT_DIGITS: usize = 5;
/// Longest sleep, so that phases and signals are seen in time.
const POLL_NS: u64 = 10_000_000;
