//! Many consumers on one stream: each gets what is published to a subject of its own, at a low
//! rate, or nothing at all; what counts is what they cost the server.
//!
//! Every consumer pushes to a subscription of its own; all of them share one connection. A message
//! carries when it was due, and its number among those of its consumer: a gap, a repetition or a
//! message of another consumer is a fault.

use serde::Serialize;
use serde_json::json;

use super::api::{self, Api};
use super::streams::{Shape, Storage, Streams};
use crate::connection::{Connection, ReadBuffer};
use crate::error::Error;
use crate::pacer::Pacer;
use crate::progress::Progress;
use crate::recorder::{Phase, Recorder};
use crate::result::RunResult;
use crate::sys::{clock, epoll::Epoll, signal};
use crate::wire::ledger::Faults;
use crate::wire::scan::Msg;
use crate::workload::{run_seed, RunOptions, Target};

/// Parameters of the workload.
#[derive(Clone, Debug, Serialize)]
pub struct Fleet {
    /// Consumers of the stream.
    pub consumers: usize,
    /// As watchers of a bucket: the last of each subject, flow control, heartbeats.
    pub watch: bool,
    /// Messages a second over all consumers; none means that nothing is published.
    pub rate: Option<f64>,
}

/// Runs the workload once.
pub fn run(
    spec: &Fleet,
    target: &Target,
    options: &RunOptions,
    progress: Progress,
) -> Result<RunResult, Error> {
    if spec.consumers == 0 || spec.consumers > CONSUMERS_MAX {
        return Err(Error::Usage(format!("consumers must be 1 to {CONSUMERS_MAX}")));
    }
    let seed = run_seed();
    let mut api = Api::open(target, seed as u16, options.patience_ns)?;
    let (subjects, keep) = (spec.consumers, spec.watch.then_some(1));
    let consumers = Some(spec.consumers);
    let shape = Shape { streams: 1, subjects, keep, storage: Storage::File, consumers };
    let streams = Streams::create(&mut api, &shape, seed as u16, false)?;
    let mut fleet = Fleeting::open(spec, &streams, target)?;
    let resident = || target.process.and_then(|process| process.resident_bytes());
    let before = resident();
    let started = clock::now();
    for index in 0..spec.consumers {
        create(spec, &mut api, &streams, index)?;
        fleet.receive()?;
    }
    let create_seconds = (clock::now() - started) as f64 / 1e9;
    fleet.settle(SETTLE_NS)?;
    let grown = resident().zip(before).map(|(after, before)| after as f64 - before as f64);

    let mut recorder = Recorder::start(options.span, target.process, progress);
    fleet.drive(options, &mut recorder)?;
    if !target.is_fresh {
        streams.delete(&mut api)?;
    }
    let mut faults = std::mem::take(&mut fleet.faults);
    if fleet.received < fleet.sent {
        faults.lost += fleet.sent - fleet.received;
    }
    let mut result = RunResult::new("fleet", PAYLOAD_BYTES, recorder.summary(), faults);
    result.paced = true;
    result.verified = fleet.received;
    result.extra.insert("create_rate".into(), spec.consumers as f64 / create_seconds);
    if let Some(server) = result.server {
        result.extra.insert("server_percent".into(), server.busy_percent);
    }
    if let Some(bytes) = grown {
        result.extra.insert("bytes_per_consumer".into(), bytes / spec.consumers as f64);
    }
    Ok(result)
}

fn create(spec: &Fleet, api: &mut Api, streams: &Streams, index: usize) -> Result<(), Error> {
    let (stream, name) = (streams.name(0), format!("C{index:06}"));
    let filter = streams.subject(0, index as u64);
    let mut config = json!({
        "name": name, "deliver_subject": deliver_subject(streams, index), "ack_policy": "none",
        "deliver_policy": "new", "replay_policy": "instant", "filter_subject": filter,
        "max_deliver": 1, "num_replicas": 1, "mem_storage": true,
        "inactive_threshold": 300_000_000_000_u64,
    });
    if spec.watch {
        config["deliver_policy"] = "last_per_subject".into();
        config["flow_control"] = true.into();
        config["idle_heartbeat"] = 5_000_000_000_u64.into();
    }
    let body = json!({ "stream_name": stream, "config": config, "action": "create" });
    api.call(&format!("CONSUMER.CREATE.{stream}.{name}.{filter}"), &body).map(drop)
}

fn deliver_subject(streams: &Streams, index: usize) -> String {
    format!("fleet.{:04x}.{index}", streams.tag())
}

/// The connections while the run lasts.
struct Fleeting {
    consumers: usize,
    rate: Option<f64>,
    epoll: Epoll,
    buffer: ReadBuffer,
    listener: Connection,
    publisher: Connection,
    subjects: Vec<String>,
    /// Messages published to each consumer's subject, and those it got.
    published: Vec<u64>,
    got: Vec<u64>,
    pending: Vec<u8>,
    answers: Vec<u8>,
    sent: u64,
    received: u64,
    faults: Faults,
}

impl Fleeting {
    fn open(spec: &Fleet, streams: &Streams, target: &Target) -> Result<Self, Error> {
        let mut setup = String::new();
        for index in 0..spec.consumers {
            let subject = deliver_subject(streams, index);
            setup.push_str(&format!("SUB {subject} {}\r\n", index + 1));
        }
        let listener = api::open(target, setup.as_bytes())?;
        let publisher = api::open(target, b"")?;
        let epoll = Epoll::new()?;
        epoll.add(listener.descriptor(), 0)?;
        epoll.add(publisher.descriptor(), 1)?;
        Ok(Self {
            consumers: spec.consumers,
            rate: spec.rate,
            epoll,
            buffer: ReadBuffer::new(64 * 1024),
            listener,
            publisher,
            subjects: (0..spec.consumers).map(|at| streams.subject(0, at as u64)).collect(),
            published: vec![0; spec.consumers],
            got: vec![0; spec.consumers],
            pending: Vec::new(),
            answers: Vec::new(),
            sent: 0,
            received: 0,
            faults: Faults::default(),
        })
    }

    fn drive(&mut self, options: &RunOptions, recorder: &mut Recorder) -> Result<(), Error> {
        let mut pacer = self.rate.map(|rate| Pacer::new(rate, clock::now()));
        let mut drained_ns = None;
        loop {
            let now_ns = clock::now();
            let phase = recorder.advance(now_ns, self.sent, self.received);
            if signal::stop_requested() {
                return Err(Error::Interrupted);
            }
            if phase == Phase::Drain {
                let since = *drained_ns.get_or_insert(now_ns);
                let is_over = self.received >= self.sent && self.pending.is_empty();
                if is_over || now_ns - since > options.patience_ns {
                    return Ok(());
                }
            } else if let Some(pacer) = &mut pacer {
                for _ in 0..pacer.due(now_ns) {
                    self.publish(pacer.issue());
                }
            }
            self.push()?;
            self.take(recorder)?;
            let next_ns = pacer.as_ref().map_or(u64::MAX, Pacer::next_ns);
            self.wait(next_ns.saturating_sub(clock::now()).min(POLL_NS))?;
        }
    }

    /// A message for the consumer whose turn it is.
    fn publish(&mut self, due_ns: u64) {
        let index = (self.sent % self.consumers as u64) as usize;
        let head = format!("PUB {} {PAYLOAD_BYTES}\r\n", self.subjects[index]);
        self.pending.extend_from_slice(head.as_bytes());
        self.pending.extend_from_slice(&due_ns.to_le_bytes());
        self.pending.extend_from_slice(&self.published[index].to_le_bytes());
        self.pending.extend_from_slice(&[b'x'; PAYLOAD_BYTES - 16]);
        self.pending.extend_from_slice(b"\r\n");
        self.published[index] += 1;
        self.sent += 1;
    }

    fn push(&mut self) -> Result<(), Error> {
        if !self.pending.is_empty() && self.publisher.writable {
            let taken = self.publisher.push(&self.pending)?;
            self.pending.drain(..taken);
        }
        if self.pending.is_empty() && !self.answers.is_empty() && self.publisher.writable {
            let taken = self.publisher.push(&self.answers)?;
            self.pending.extend_from_slice(&self.answers[taken..]);
            self.answers.clear();
        }
        if self.pending.is_empty() {
            self.publisher.answer_pings()?;
        }
        self.listener.answer_pings()
    }

    fn take(&mut self, recorder: &mut Recorder) -> Result<(), Error> {
        if self.publisher.readable {
            self.publisher.pull_messages(&mut self.buffer, |_, _| {})?;
        }
        while self.listener.readable {
            let (got, faults) = (&mut self.got, &mut self.faults);
            let (received, answers) = (&mut self.received, &mut self.answers);
            self.listener.pull_messages(&mut self.buffer, |msg, now_ns| {
                if msg.has_header && msg.payload.is_empty() {
                    answer(msg, answers);
                    return;
                }
                *received += 1;
                match check(msg, got) {
                    Ok(due_ns) => recorder.latency(now_ns, now_ns.saturating_sub(due_ns)),
                    Err(reason) => faults.unexpected(|| reason),
                }
            })?;
        }
        Ok(())
    }

    /// Takes what comes while nothing is published yet.
    fn receive(&mut self) -> Result<(), Error> {
        self.wait(0)?;
        let mut recorder = super::drive::unrecorded(None);
        self.take(&mut recorder)?;
        self.push()
    }

    fn settle(&mut self, for_ns: u64) -> Result<(), Error> {
        let until = clock::now() + for_ns;
        while clock::now() < until {
            self.receive()?;
            self.wait(POLL_NS)?;
        }
        Ok(())
    }

    fn wait(&mut self, timeout_ns: u64) -> Result<(), Error> {
        for ready in self.epoll.wait(timeout_ns)? {
            let connection =
                if ready.token == 0 { &mut self.listener } else { &mut self.publisher };
            connection.readable |= ready.readable;
            connection.writable |= ready.writable;
        }
        Ok(())
    }
}

/// Answers a request for flow control; a heartbeat asks for nothing.
fn answer(msg: &Msg<'_>, answers: &mut Vec<u8>) {
    if !msg.reply.is_empty() {
        answers.extend_from_slice(b"PUB ");
        answers.extend_from_slice(msg.reply);
        answers.extend_from_slice(b" 0\r\n\r\n");
    }
}

/// When the message was due, if it is the next one of its consumer.
fn check(msg: &Msg<'_>, got: &mut [u64]) -> Result<u64, String> {
    let number = |at: usize| {
        let bytes = msg.payload.get(at..)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let sid = std::str::from_utf8(msg.sid).ok().and_then(|sid| sid.parse::<usize>().ok());
    let place = sid.and_then(|sid| got.get_mut(sid.checked_sub(1)?));
    let (Some(place), Some(due_ns), Some(sequence)) = (place, number(0), number(8)) else {
        return Err(format!("a message on \"{}\" that is not ours", msg.subject.escape_ascii()));
    };
    if sequence != *place {
        return Err(format!("a consumer got message {sequence}, its next is {place}"));
    }
    *place += 1;
    Ok(due_ns)
}

const CONSUMERS_MAX: usize = 100_000;
const PAYLOAD_BYTES: usize = 128;
/// Time for the server's memory to settle before it is read.
const SETTLE_NS: u64 = 500_000_000;
const POLL_NS: u64 = 10_000_000;
