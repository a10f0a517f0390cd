//! A storm of subscriptions: how fast the server takes them, what each costs it in memory, and
//! how fast it then matches random subjects.
//!
//! Subscription `i` is literal, has a `*`, or ends in `>`, mixed evenly by the percentages given.
//! Its number is a token of its subject, so a published subject matches exactly one subscription
//! and it is known which connection must get it, and in which order: each connection compares
//! the whole head of the next message it expects, and every message is ticked off once over all
//! connections.
//!
//! Published subjects come from a pool of ready frames, drawn at random before the run. It is
//! walked again and again, so a server that remembers as many subjects as the pool holds is
//! measured remembering; the default is larger than the number of subscriptions.

use serde::Serialize;

use super::{run_seed, RunOptions, Target};
use crate::connection::{malformed, Connection, Pulled, ReadBuffer};
use crate::error::Error;
use crate::progress::Progress;
use crate::recorder::{Phase, Recorder};
use crate::result::RunResult;
use crate::sys::{clock, epoll::Epoll, signal};
use crate::wire::ledger::{Expect, Faults, Ledger, Roll};
use crate::wire::payload::{self, Head};
use crate::wire::scan::{self, Msg, Op, Trouble};

/// Parameters of the workload.
#[derive(Clone, Debug, Serialize)]
pub struct Subs {
    /// Subscriptions over all connections.
    pub subscriptions: usize,
    /// Connections they are spread over.
    pub connections: usize,
    /// Percent of them with a `*`.
    pub star_percent: usize,
    /// Percent of them that end in `>`.
    pub tail_percent: usize,
    /// Different frames published, drawn at random.
    pub subjects: usize,
    /// Payload size in bytes, at least 16.
    pub size: usize,
}

/// Runs the workload once.
pub fn run(
    spec: &Subs,
    target: &Target,
    options: &RunOptions,
    progress: Progress,
) -> Result<RunResult, Error> {
    let fits = spec.subscriptions > 0
        && (1..=1000).contains(&spec.connections)
        && spec.star_percent + spec.tail_percent <= 100
        && spec.size >= payload::HEAD_BYTES
        && (1..=MAX_SUBJECTS).contains(&spec.subjects);
    if !fits {
        return Err(Error::Usage("the parameters of the storm are out of range".into()));
    }
    let seed = run_seed();
    let mut storm = Storm::set_up(spec, target, seed)?;
    let subscribed = storm.subscribe(spec, target, options, seed)?;
    storm.recorder = Some(Recorder::start(options.span, target.process, progress));
    storm.drive(options)?;
    storm.drain(options)?;
    let mut result = storm.result(spec)?;
    result.extra.insert("sub_rate".into(), subscribed.rate);
    if let Some(bytes) = subscribed.bytes_each {
        result.extra.insert("bytes_per_subscription".into(), bytes);
    }
    Ok(result)
}

/// The subject subscription `number` listens to.
fn pattern(spec: &Subs, tag: u16, number: usize) -> String {
    let family = number % FAMILIES;
    match number % 100 {
        kind if kind < spec.tail_percent => format!("t{tag:04x}.{number}.>"),
        kind if kind < spec.tail_percent + spec.star_percent => {
            format!("s{tag:04x}.{family}.*.{number}")
        }
        _ => format!("l{tag:04x}.{family}.{number}"),
    }
}

/// A subject that matches subscription `number` and no other; `noise` fills the wildcard.
fn matching(spec: &Subs, tag: u16, number: usize, noise: u64) -> String {
    let noise = noise % 10_000;
    match pattern(spec, tag, number) {
        tail if tail.ends_with('>') => tail.replace('>', &format!("{noise}.end")),
        other => other.replace('*', &noise.to_string()),
    }
}

/// Ready frames of random subjects, and the heads their deliveries must have.
struct Pool {
    frames: Vec<u8>,
    /// Where each frame begins, and the end of the last.
    frame_at: Vec<usize>,
    heads: Vec<u8>,
    head_at: Vec<usize>,
    /// The subscription each frame is for.
    number: Vec<u32>,
    filler: u64,
    size: usize,
    seed: u64,
    sequence: u64,
    written: usize,
    stamped: usize,
}

impl Pool {
    fn new(spec: &Subs, seed: u64) -> Self {
        let mut filler = vec![0; spec.size - payload::HEAD_BYTES];
        payload::fill(&mut filler, seed);
        let mut random = vec![0u8; spec.subjects * 16];
        payload::fill(&mut random, seed ^ 1);
        let mut pool = Self {
            frames: Vec::new(),
            frame_at: vec![0],
            heads: Vec::new(),
            head_at: vec![0],
            number: Vec::new(),
            filler: payload::filler_hash(&filler),
            size: spec.size,
            seed,
            sequence: 0,
            written: 0,
            stamped: 0,
        };
        for words in random.chunks_exact(16) {
            let Head { sequence: choice, time: noise, .. } = payload::read_full(words);
            let number = choice as usize % spec.subscriptions;
            let subject = matching(spec, seed as u16, number, u64::from(noise));
            let head = format!("PUB {subject} {}\r\n", spec.size);
            pool.frames.extend_from_slice(head.as_bytes());
            pool.frames.resize(pool.frames.len() + payload::HEAD_BYTES, 0);
            pool.frames.extend_from_slice(&filler);
            pool.frames.extend_from_slice(b"\r\n");
            pool.frame_at.push(pool.frames.len());
            let head = format!("MSG {subject} {number} {}\r\n", spec.size);
            pool.heads.extend_from_slice(head.as_bytes());
            pool.head_at.push(pool.heads.len());
            pool.number.push(number as u32);
        }
        pool
    }

    /// Stamps up to `count` frames, at most [`BATCH_BYTES`] of them; returns how many.
    fn stamp(&mut self, count: u64, now_ns: u64) -> u64 {
        let time = payload::wire_time(now_ns);
        let slots = self.number.len() as u64;
        let from = self.sequence;
        if self.written == self.frames.len() {
            self.written = 0;
            self.stamped = 0;
        }
        while self.sequence - from < count
            && self.stamped < self.frames.len()
            && self.stamped - self.written < BATCH_BYTES
        {
            let end = self.frame_at[(self.sequence % slots) as usize + 1];
            let at = end - 2 - self.size;
            let head = Head { publisher: 0, sequence: self.sequence, time };
            payload::write_full(&mut self.frames[at..end - 2], head, self.filler, self.seed);
            self.stamped = end;
            self.sequence += 1;
        }
        self.sequence - from
    }

    fn pending(&self) -> &[u8] {
        &self.frames[self.written..self.stamped]
    }

    fn head(&self, slot: usize) -> &[u8] {
        &self.heads[self.head_at[slot]..self.head_at[slot + 1]]
    }
}

/// One connection with its part of the subscriptions.
struct Listener {
    connection: Connection,
    ledger: Ledger,
    /// The slots of the pool this connection gets, in the order it gets them.
    slots: Vec<u32>,
    /// Which of `slots` comes next.
    cursor: usize,
}

impl Listener {
    fn pull(
        &mut self,
        pool: &Pool,
        buffer: &mut ReadBuffer,
        roll: &mut Roll,
        recorder: &mut Recorder,
    ) -> Result<u64, Error> {
        let Pulled::Data(data) = self.connection.pull(buffer)? else {
            return Ok(0);
        };
        let now_ns = clock::now();
        let mut at = 0;
        let mut messages = 0;
        while at < data.len() {
            let rest = &data[at..];
            if let Some((payload, taken)) = self.take_expected(pool, rest) {
                self.cursor = (self.cursor + 1) % self.slots.len();
                self.enter(payload, now_ns, roll, recorder);
                messages += 1;
                at += taken;
                continue;
            }
            match scan::next_op(rest) {
                Ok((Op::Msg(msg), taken)) => {
                    messages += 1;
                    at += taken;
                    if self.is_ours(pool, &msg) {
                        self.enter(msg.payload, now_ns, roll, recorder);
                    }
                }
                Ok((op, taken)) => {
                    self.connection.handle_control(&op)?;
                    at += taken;
                }
                Err(Trouble::Incomplete) => break,
                Err(Trouble::Malformed) => return Err(malformed(rest)),
            }
        }
        self.connection.keep(&data[at..]);
        self.connection.answer_pings()?;
        Ok(messages)
    }

    /// The payload of the next message expected, if `data` begins with it, and its whole length.
    #[inline]
    fn take_expected<'a>(&self, pool: &Pool, data: &'a [u8]) -> Option<(&'a [u8], usize)> {
        let head = pool.head(*self.slots.get(self.cursor)? as usize);
        let payload_end = head.len() + pool.size;
        let frame = data.get(..payload_end + 2)?;
        let fits = frame.starts_with(head) && frame.ends_with(b"\r\n");
        fits.then(|| (&frame[head.len()..payload_end], frame.len()))
    }

    /// Finds the place of a message that is not the next one; false if it has none here.
    #[cold]
    fn is_ours(&mut self, pool: &Pool, msg: &Msg<'_>) -> bool {
        if msg.payload.len() == pool.size {
            let slot = (payload::read_full(msg.payload).sequence % pool.number.len() as u64) as u32;
            if let Ok(place) = self.slots.binary_search(&slot) {
                let mut expected = b"MSG ".to_vec();
                expected.extend_from_slice(msg.subject);
                expected.push(b' ');
                expected.extend_from_slice(msg.sid);
                expected.push(b' ');
                if pool.head(slot as usize).starts_with(&expected) {
                    self.cursor = (place + 1) % self.slots.len();
                    return true;
                }
            }
        }
        let (subject, sid) = (msg.subject.escape_ascii(), msg.sid.escape_ascii());
        self.ledger
            .faults
            .unexpected(|| format!("a message on \"{subject}\" for subscription \"{sid}\""));
        false
    }

    #[inline]
    fn enter(&mut self, payload: &[u8], now_ns: u64, roll: &mut Roll, recorder: &mut Recorder) {
        let Some(head) = self.ledger.enter(payload) else {
            return;
        };
        roll.tick(head);
        if head.sequence % 64 == 0 {
            recorder.latency(now_ns, payload::elapsed_ns(now_ns, head.time));
        }
    }
}

/// How the SUB phase went.
struct Subscribed {
    rate: f64,
    bytes_each: Option<f64>,
}

struct Storm {
    epoll: Epoll,
    buffer: ReadBuffer,
    publisher: Connection,
    listeners: Vec<Listener>,
    pool: Pool,
    roll: Roll,
    recorder: Option<Recorder>,
    window: u64,
    received: u64,
}

impl Storm {
    fn set_up(spec: &Subs, target: &Target, seed: u64) -> Result<Self, Error> {
        let epoll = Epoll::new()?;
        let publisher = Connection::open(target.address, &target.access, b"")?;
        epoll.add(publisher.descriptor(), spec.connections)?;
        let mut listeners = Vec::new();
        for index in 0..spec.connections {
            let connection = Connection::open(target.address, &target.access, b"")?;
            epoll.add(connection.descriptor(), index)?;
            let ledger = Ledger::new(spec.size, 0, 1, Expect::Increasing, seed);
            listeners.push(Listener { connection, ledger, slots: Vec::new(), cursor: 0 });
        }
        Ok(Self {
            epoll,
            buffer: ReadBuffer::new(spec.size + 4096),
            publisher,
            listeners,
            pool: Pool::new(spec, seed),
            roll: Roll::new(0, 1),
            recorder: None,
            window: 0,
            received: 0,
        })
    }

    /// Sends all SUBs as fast as the server takes them and waits for the PONG after the last.
    fn subscribe(
        &mut self,
        spec: &Subs,
        target: &Target,
        options: &RunOptions,
        seed: u64,
    ) -> Result<Subscribed, Error> {
        let mut lines = vec![Vec::new(); spec.connections];
        for number in 0..spec.subscriptions {
            let line = format!("SUB {} {number}\r\n", pattern(spec, seed as u16, number));
            lines[number % spec.connections].extend_from_slice(line.as_bytes());
        }
        for (slot, number) in self.pool.number.iter().enumerate() {
            self.listeners[*number as usize % spec.connections].slots.push(slot as u32);
        }
        let frame_bytes = self.pool.frames.len() / self.pool.number.len();
        self.window = (options.window_bytes / frame_bytes).max(16) as u64;

        let resident = || target.process.and_then(|process| process.resident_bytes());
        let before = resident();
        let started = clock::now();
        let mut rests: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        for (rest, listener) in rests.iter_mut().zip(&mut self.listeners) {
            listener.connection.pongs = 0;
            *rest = &rest[listener.connection.push(rest)?..];
        }
        let mut asked = vec![false; spec.connections];
        while self.listeners.iter().any(|listener| listener.connection.pongs == 0) {
            check_stop()?;
            self.poll(POLL_NS)?;
            for (index, listener) in self.listeners.iter_mut().enumerate() {
                let connection = &mut listener.connection;
                while !rests[index].is_empty() && connection.writable {
                    rests[index] = &rests[index][connection.push(rests[index])?..];
                }
                if rests[index].is_empty() && !asked[index] && connection.writable {
                    asked[index] = connection.send_ping()?;
                }
                if connection.readable {
                    connection.pull_messages(&mut self.buffer, |_, _| {})?;
                }
            }
            if clock::now() - started > SUBSCRIBE_NS_MAX {
                return Err(Error::Server("no PONG after the subscriptions in a minute".into()));
            }
        }
        let seconds = (clock::now() - started) as f64 / 1e9;
        let count = spec.subscriptions as f64;
        let grown = resident().zip(before).map(|(after, before)| after as f64 - before as f64);
        Ok(Subscribed { rate: count / seconds, bytes_each: grown.map(|bytes| bytes / count) })
    }

    fn drive(&mut self, options: &RunOptions) -> Result<(), Error> {
        let mut progress_ns = clock::now();
        let mut seen = 0;
        loop {
            check_stop()?;
            let now_ns = clock::now();
            let (sent, received) = (self.pool.sequence, self.received);
            let Some(recorder) = &mut self.recorder else {
                return Ok(());
            };
            let phase = recorder.advance(now_ns, sent, received);
            let left = recorder.sends_left(sent);
            if received != seen || received >= sent {
                seen = received;
                progress_ns = now_ns;
            }
            let stalled = now_ns - progress_ns > options.patience_ns;
            if phase == Phase::Drain || stalled || (left == 0 && received >= sent) {
                recorder.finish(now_ns, sent, received);
                return Ok(());
            }
            if self.pool.pending().is_empty() {
                let room = self.window.saturating_sub(sent.saturating_sub(received));
                if room >= self.window / 4 {
                    self.pool.stamp(room.min(left), now_ns);
                }
            }
            let moved = self.push()? | self.receive()?;
            self.poll(if moved { 0 } else { POLL_NS })?;
        }
    }

    fn push(&mut self) -> Result<bool, Error> {
        if self.pool.pending().is_empty() {
            self.publisher.answer_pings()?;
            return Ok(false);
        }
        if !self.publisher.writable {
            return Ok(false);
        }
        let taken = self.publisher.push(self.pool.pending())?;
        self.pool.written += taken;
        Ok(taken > 0)
    }

    fn receive(&mut self) -> Result<bool, Error> {
        let Some(recorder) = &mut self.recorder else {
            return Ok(false);
        };
        let before = self.received;
        for listener in &mut self.listeners {
            if listener.connection.readable {
                self.received +=
                    listener.pull(&self.pool, &mut self.buffer, &mut self.roll, recorder)?;
            }
        }
        if self.publisher.readable {
            self.publisher.pull_messages(&mut self.buffer, |_, _| {})?;
        }
        Ok(self.received > before)
    }

    fn poll(&mut self, timeout_ns: u64) -> Result<(), Error> {
        for ready in self.epoll.wait(timeout_ns)? {
            let connection = match self.listeners.get_mut(ready.token) {
                Some(listener) => &mut listener.connection,
                None => &mut self.publisher,
            };
            connection.readable |= ready.readable;
            connection.writable |= ready.writable;
        }
        Ok(())
    }

    fn drain(&mut self, options: &RunOptions) -> Result<(), Error> {
        self.run_until(options, |storm| {
            storm.pool.pending().is_empty() && storm.received >= storm.pool.sequence
        })?;
        for listener in &mut self.listeners {
            listener.connection.send_ping()?;
        }
        self.run_until(options, |storm| storm.listeners.iter().all(|l| l.connection.pongs > 0))
    }

    fn run_until(
        &mut self,
        options: &RunOptions,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), Error> {
        let mut progress_ns = clock::now();
        while !done(self) {
            check_stop()?;
            let moved = self.push()? | self.receive()?;
            let now_ns = clock::now();
            if moved {
                progress_ns = now_ns;
            } else if now_ns - progress_ns > options.patience_ns {
                break;
            }
            self.poll(if moved { 0 } else { POLL_NS })?;
        }
        Ok(())
    }

    fn result(mut self, spec: &Subs) -> Result<RunResult, Error> {
        let sent = [self.pool.sequence];
        let mut faults = Faults::default();
        for listener in &mut self.listeners {
            faults.merge(&listener.ledger.close(&sent));
        }
        let mut rolled = self.roll.close(&sent);
        // An altered or misdirected message fills the place it leaves on the roll.
        rolled.lost = rolled.lost.saturating_sub(faults.corrupted + faults.unexpected);
        if !rolled.is_clean() {
            faults.merge(&rolled);
        }
        let recorder = self.recorder.ok_or(Error::Interrupted)?;
        let mut result = RunResult::new("subs", spec.size, recorder.summary(), faults);
        result.verified = self.received;
        Ok(result)
    }
}

fn check_stop() -> Result<(), Error> {
    match signal::stop_requested() {
        true => Err(Error::Interrupted),
        false => Ok(()),
    }
}

/// Second tokens of literal and `*` subjects, so that one level of the tree is wide.
const FAMILIES: usize = 97;
const MAX_SUBJECTS: usize = 1 << 24;
const BATCH_BYTES: usize = 128 * 1024;
const SUBSCRIBE_NS_MAX: u64 = 60_000_000_000;
/// Longest sleep, so that phases and signals are seen in time.
const POLL_NS: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: Subs = Subs {
        subscriptions: 1000,
        connections: 4,
        star_percent: 20,
        tail_percent: 2,
        subjects: 5000,
        size: 16,
    };

    fn matches(pattern: &str, subject: &str) -> bool {
        let (mut patterns, mut tokens) = (pattern.split('.'), subject.split('.'));
        loop {
            match (patterns.next(), tokens.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some(p), Some(t)) if p == "*" || p == t => {}
                _ => return false,
            }
        }
    }

    #[test]
    fn the_mix_is_as_asked_and_each_subject_matches_one_subscription() {
        let patterns: Vec<String> = (0..1000).map(|n| pattern(&SPEC, 7, n)).collect();
        assert_eq!(patterns.iter().filter(|p| p.contains('*')).count(), 200);
        assert_eq!(patterns.iter().filter(|p| p.ends_with('>')).count(), 20);
        for number in 0..1000 {
            let subject = matching(&SPEC, 7, number, number as u64 * 31);
            let hits: Vec<usize> =
                (0..1000).filter(|&other| matches(&patterns[other], &subject)).collect();
            assert_eq!(hits, [number], "{subject}");
        }
    }

    #[test]
    fn pool_frames_are_sound_over_several_laps() {
        let mut pool = Pool::new(&SPEC, 3);
        while pool.sequence < 12_000 {
            let first = pool.sequence;
            let count = pool.stamp(700, 16);
            let mut rest = pool.pending();
            for sequence in first..first + count {
                let slot = (sequence % 5000) as usize;
                let (frame, after) = rest.split_at(pool.frame_at[slot + 1] - pool.frame_at[slot]);
                let payload = &frame[frame.len() - 18..frame.len() - 2];
                assert!(payload::full_is_sound(payload, 3));
                assert_eq!(payload::read_full(payload).sequence, sequence);
                rest = after;
            }
            assert!(rest.is_empty());
            pool.written = pool.stamped;
        }
    }
}
