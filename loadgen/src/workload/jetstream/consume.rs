//! Consumers of a stream that is full: pull or push, with or without acknowledgements.
//!
//! A run goes in rounds. For each, every consumer is made anew and must deliver all messages, in
//! order, each once, with the right number of those left; with acknowledgements the server must
//! then say that nothing is pending. Making and removing consumers is part of the time measured;
//! with the default of 200,000 messages that is little.
//!
//! With a rate, messages are published while the consumers take them, and the latency is that
//! from when a message was due to its delivery.

use serde::Serialize;
use serde_json::{json, Value};

use super::api::{self, Api};
use super::drive::{self, Drive, Load, Outbox, Tally};
use super::get::preload;
use super::publisher::{Publishers, Publishing};
use super::reader::header;
use super::streams::{Shape, Streams};
use super::template::{is_message, number, push_number};
use crate::connection::{Connection, ReadBuffer};
use crate::error::Error;
use crate::progress::Progress;
use crate::recorder::Recorder;
use crate::result::RunResult;
use crate::sys::clock;
use crate::wire::ledger::Faults;
use crate::wire::payload::{self, Layout};
use crate::wire::scan::Msg;
use crate::workload::{run_seed, RunOptions, Target};

/// How messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Pull requests that overlap: asked again when half of the batch came.
    Pull,
    /// Pull requests one after the other.
    Fetch,
    /// To a deliver subject.
    Push,
    /// To a deliver subject, without acknowledgements, with flow control, in memory.
    Ordered,
    /// Ordered, and only the last message of each subject, as watchers of a bucket want.
    Watch,
}

/// What is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Ack {
    /// Nothing.
    None,
    /// Every message.
    Explicit,
    /// One of a hundred, which stands for those before it.
    All,
}

/// Parameters of the workload.
#[derive(Clone, Debug, Serialize)]
pub struct Consume {
    /// The stream.
    pub shape: Shape,
    /// Messages published into it before; with a rate none.
    pub messages: u64,
    /// Payload bytes.
    pub size: usize,
    /// How messages come.
    pub mode: Mode,
    /// Messages of a pull request.
    pub batch: u64,
    /// What is acknowledged.
    pub ack: Ack,
    /// Flow control and heartbeats, for push consumers without acknowledgements.
    pub flow_control: bool,
    /// Messages that may wait for their acknowledgement; none leaves it to the server.
    pub max_ack_pending: Option<u64>,
    /// Consumers, each with a connection of its own.
    pub consumers: usize,
    /// Messages published a second while the consumers take them; none means they are there.
    pub rate: Option<f64>,
}

/// Runs the workload once.
pub fn run(
    spec: &Consume,
    target: &Target,
    options: &RunOptions,
    progress: Progress,
) -> Result<RunResult, Error> {
    let fits = spec.batch > 0
        && (spec.messages > 0 || spec.rate.is_some())
        && (1..10_000).contains(&spec.consumers)
        && spec.shape.streams == 1
        && (spec.rate.is_none()
            || spec.mode != Mode::Watch && Layout::of(spec.size) == Layout::Full);
    if !fits {
        return Err(Error::Usage("consumers, batch, messages or size out of range".into()));
    }
    let seed = run_seed();
    let mut api = Api::open(target, seed as u16, options.patience_ns)?;
    let streams = Streams::create(&mut api, &spec.shape, seed as u16, false)?;
    let mut faults = Faults::default();
    let mut live = None;
    if spec.rate.is_some() {
        let publishing = Publishing {
            publishers: 1,
            in_flight: LIVE_IN_FLIGHT,
            size: spec.size,
            batch: 1,
            random: false,
            ids: false,
        };
        let publishers = Publishers::open(&publishing, &streams, target, seed)?;
        let acks = Tally { recorder: drive::unrecorded(None), sent: 0, received: 0 };
        live = Some((publishers, acks));
    } else {
        let (_, lost) = preload(&streams, (spec.messages, spec.size), target, options, seed)?;
        faults.merge(&lost);
    }
    let own = Streams::named(&spec.shape, streams.tag());
    let mut crowd = Crowd::open(spec, (own, seed), api, live, target)?;
    let recorder = Recorder::start(options.span, target.process, progress);
    let frame_bytes = spec.size + 4096;
    let mut drive = Drive::new(&mut crowd, options, spec.rate, frame_bytes, recorder)?;
    let undelivered = drive.run(&mut crowd)?;
    if undelivered > 0 {
        let first = Some(format!("{undelivered} messages were never delivered"));
        faults.merge(&Faults { lost: undelivered, first, ..Faults::default() });
    } else {
        crowd.end_round(options.patience_ns)?;
    }
    if let Some((publishers, _)) = &mut crowd.live {
        publishers.ledger.close();
        faults.merge(&publishers.ledger.faults);
    }
    faults.merge(&crowd.faults);
    if !target.is_fresh {
        streams.delete(&mut crowd.api)?;
    }
    let mut result = RunResult::new("consume", spec.size, drive.summary(), faults);
    drive.describe(&mut result);
    result.verified = drive.received();
    result.extra.insert("rounds".into(), crowd.round as f64);
    Ok(result)
}

/// All consumers of a run.
struct Crowd<'a> {
    spec: &'a Consume,
    streams: Streams,
    seed: u64,
    api: Api,
    members: Vec<Member>,
    live: Option<(Publishers, Tally)>,
    round: u64,
    faults: Faults,
}

/// One consumer and its connection.
struct Member {
    connection: Connection,
    outbox: Outbox,
    inbox: String,
    name: String,
    /// Messages of this round that came.
    taken: u64,
    /// Messages of this round in all; none while they are still published.
    due: Option<u64>,
    /// Messages before the first of this round.
    base: u64,
    /// Messages of pull requests that have not come.
    asked: u64,
    asked_ns: u64,
}

impl<'a> Crowd<'a> {
    fn open(
        spec: &'a Consume,
        (streams, seed): (Streams, u64),
        api: Api,
        live: Option<(Publishers, Tally)>,
        target: &Target,
    ) -> Result<Self, Error> {
        let members = (0..spec.consumers)
            .map(|index| {
                let inbox = format!("_INBOX.{:04x}.con{index:05}", streams.tag());
                Ok(Member {
                    connection: api::open(target, b"")?,
                    outbox: Outbox::default(),
                    inbox,
                    name: String::new(),
                    taken: 0,
                    due: None,
                    base: 0,
                    asked: 0,
                    asked_ns: 0,
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let faults = Faults::default();
        let mut crowd = Self { spec, streams, seed, api, members, live, round: 0, faults };
        if crowd.live.is_some() {
            crowd.begin_round()?;
        }
        Ok(crowd)
    }

    /// Makes the consumers; returns how many messages they will deliver in all.
    fn begin_round(&mut self) -> Result<u64, Error> {
        self.round += 1;
        let subjects = self.spec.shape.subjects as u64;
        let kept = self.spec.shape.keep.map_or(u64::MAX, |keep| keep as u64 * subjects);
        let wanted = if self.spec.mode == Mode::Watch { subjects } else { u64::MAX };
        let count = self.spec.messages.min(kept).min(wanted);
        for (index, member) in self.members.iter_mut().enumerate() {
            member.name = format!("c{index}-{}", self.round);
            member.taken = 0;
            member.due = self.live.is_none().then_some(count);
            member.base = if self.live.is_some() { 0 } else { self.spec.messages - count };
            member.asked = 0;
            let stream = self.streams.name(0);
            let verb = format!("CONSUMER.CREATE.{stream}.{}", member.name);
            let deliver = format!("{}.{}", member.inbox, self.round);
            let filter = format!("load.{:04x}.00000.>", self.streams.tag());
            let config = config(self.spec, &member.name, &deliver, &filter);
            let body = json!({"stream_name": stream, "config": config, "action": "create"});
            self.api.call(&verb, &body)?;
            member.listen(self.round);
            member.ask(self.spec, &self.streams, self.round);
        }
        Ok(count * self.members.len() as u64)
    }

    /// Checks with the server that nothing is left, and removes the consumers.
    fn end_round(&mut self, patience_ns: u64) -> Result<(), Error> {
        let stream = self.streams.name(0);
        for member in &self.members {
            let name = &member.name;
            let last = member.base + member.taken;
            let started = clock::now();
            loop {
                let info =
                    self.api.call(&format!("CONSUMER.INFO.{stream}.{name}"), &Value::Null)?;
                let told = |path: &str| info.pointer(path).and_then(Value::as_u64);
                let is_acked = self.spec.ack() != Ack::Explicit
                    || told("/num_ack_pending") == Some(0)
                        && told("/ack_floor/stream_seq") == Some(last);
                if is_acked && told("/num_pending") == Some(0) {
                    break;
                }
                // Acknowledgements have no answer: they may still be on their way.
                if clock::now() - started > patience_ns {
                    self.faults.unexpected(|| format!("{name}: after {last} it says {info}"));
                    break;
                }
            }
            self.api.call(&format!("CONSUMER.DELETE.{stream}.{name}"), &Value::Null)?;
        }
        Ok(())
    }

    fn is_round_over(&self) -> bool {
        self.members.iter().all(|member| Some(member.taken) == member.due) && !self.has_unwritten()
    }
}

impl Load for Crowd<'_> {
    fn send(&mut self, sent_ns: u64) -> Result<u64, Error> {
        let consumers = self.members.len() as u64;
        if let Some((publishers, acks)) = &mut self.live {
            let count = publishers.send(sent_ns)?;
            acks.sent += count;
            return Ok(count * consumers);
        }
        if self.round > 0 {
            if !self.is_round_over() {
                return Ok(0);
            }
            self.end_round(END_PATIENCE_NS)?;
        }
        self.begin_round()
    }

    fn exchange(&mut self, buffer: &mut ReadBuffer, tally: &mut Tally) -> Result<bool, Error> {
        let mut moved = false;
        if let Some((publishers, acks)) = &mut self.live {
            moved |= publishers.exchange(buffer, acks)?;
        }
        let check =
            Check { spec: self.spec, streams: &self.streams, seed: self.seed, round: self.round };
        for member in &mut self.members {
            if member.connection.readable {
                let faults = &mut self.faults;
                let mut delivery = Delivery { check: &check, tally: &mut *tally, faults };
                moved |= delivery.take(member, buffer)?;
                member.ask(self.spec, &self.streams, self.round);
            }
            member.outbox.push(&mut member.connection)?;
        }
        Ok(moved)
    }

    fn connection(&mut self, index: usize) -> &mut Connection {
        match &mut self.live {
            Some((publishers, _)) if index >= self.members.len() => {
                publishers.connection(index - self.members.len())
            }
            _ => &mut self.members[index].connection,
        }
    }

    fn connections(&self) -> usize {
        self.members.len() + self.live.as_ref().map_or(0, |(live, _)| live.connections())
    }

    fn has_unwritten(&self) -> bool {
        self.members.iter().any(|member| !member.outbox.bytes.is_empty())
            || self.live.as_ref().is_some_and(|(live, _)| live.has_unwritten())
    }
}

impl Member {
    /// Subscribes to the inbox of this round instead of the last one's. By its whole name: the
    /// real server does not deliver to a subject that only wildcards match.
    fn listen(&mut self, round: u64) {
        let inbox = &self.inbox;
        let mut frame = format!("SUB {inbox}.{round} {round}\r\n");
        if round > 1 {
            frame.insert_str(0, &format!("UNSUB {}\r\n", round - 1));
        }
        self.outbox.bytes.extend_from_slice(frame.as_bytes());
    }

    /// Queues a pull request if one is due.
    fn ask(&mut self, spec: &Consume, streams: &Streams, round: u64) {
        let is_due = match spec.mode {
            Mode::Pull => self.asked <= spec.batch / 2,
            Mode::Fetch => self.asked == 0,
            _ => false,
        };
        let left = self.due.map_or(u64::MAX, |due| due - self.taken.min(due));
        let count = (spec.batch - self.asked.min(spec.batch)).min(left.saturating_sub(self.asked));
        if !is_due || count == 0 {
            return;
        }
        let body = format!("{{\"batch\":{count},\"expires\":30000000000}}");
        let (stream, name, inbox) = (streams.name(0), &self.name, &self.inbox);
        let length = body.len();
        let frame = format!(
            "PUB $JS.API.CONSUMER.MSG.NEXT.{stream}.{name} {inbox}.{round} {length}\r\n{body}\r\n"
        );
        self.outbox.bytes.extend_from_slice(frame.as_bytes());
        self.asked += count;
        self.asked_ns = clock::now();
    }
}

/// What a delivery is compared with.
struct Check<'a> {
    spec: &'a Consume,
    streams: &'a Streams,
    seed: u64,
    round: u64,
}

/// Takes what one read brought.
struct Delivery<'a, 'b> {
    check: &'a Check<'b>,
    tally: &'a mut Tally,
    faults: &'a mut Faults,
}

impl Delivery<'_, '_> {
    fn take(&mut self, member: &mut Member, buffer: &mut ReadBuffer) -> Result<bool, Error> {
        let Member { connection, outbox, inbox, taken, due, base, asked, asked_ns, .. } = member;
        let Check { spec, streams, seed, round } = *self.check;
        let subject_head = streams.subject(0, 0);
        let subject_head = &subject_head.as_bytes()[..subject_head.len() - NUMBER_DIGITS];
        let count = connection.pull_messages(buffer, |msg, now_ns| {
            if msg.header.starts_with(b"NATS/1.0 ") && msg.payload.is_empty() {
                let is_ours = msg
                    .subject
                    .strip_prefix(inbox.as_bytes())
                    .is_some_and(|rest| rest.strip_prefix(b".").and_then(number) == Some(round));
                if is_ours {
                    self.status(msg, asked, outbox);
                }
                return;
            }
            *taken += 1;
            let (place, seq) = (*taken, *base + *taken);
            let expected = Expected { seq, place, left: due.map(|due| due.saturating_sub(place)) };
            let number_told = msg.subject.strip_prefix(subject_head).and_then(number);
            let is_right = expected.fits(msg.reply)
                && number_told == Some(streams.number_of(seq - 1))
                && is_message(msg.payload, spec.size, 0, seq - 1, seed);
            if !is_right {
                let (subject, reply) = (msg.subject.escape_ascii(), msg.reply.escape_ascii());
                self.faults.corrupted(|| {
                    format!("delivery {place} should be sequence {seq}: {subject}, {reply}")
                });
            }
            *asked = asked.saturating_sub(1);
            if spec.ack() == Ack::Explicit
                || spec.ack() == Ack::All && (place % 100 == 0 || Some(place) == *due)
            {
                push_ack(&mut outbox.bytes, msg.reply);
            }
            if spec.rate.is_some() && msg.payload.len() == spec.size {
                let time = payload::read_full(msg.payload).time;
                self.tally.recorder.latency(now_ns, payload::elapsed_ns(now_ns, time));
            } else if spec.mode == Mode::Fetch && *asked == 0 {
                self.tally.recorder.latency(now_ns, now_ns.saturating_sub(*asked_ns));
            }
            self.tally.received += 1;
        })?;
        Ok(count > 0)
    }

    /// Handles a message of the server itself.
    fn status(&mut self, msg: &Msg<'_>, asked: &mut u64, outbox: &mut Outbox) {
        let status = msg.header.get(9..12).unwrap_or_default();
        match status {
            b"100" => {
                let stalled = header(msg.header, b"Nats-Consumer-Stalled").unwrap_or_default();
                let to = if msg.reply.is_empty() { stalled } else { msg.reply };
                if !to.is_empty() {
                    outbox.bytes.extend_from_slice(b"PUB ");
                    outbox.bytes.extend_from_slice(to);
                    outbox.bytes.extend_from_slice(b" 0\r\n\r\n");
                }
            }
            b"404" | b"408" => *asked = 0,
            _ => {
                let text = msg.header.escape_ascii();
                self.faults.unexpected(|| format!("the server says {text}"));
            }
        }
    }
}

/// Which delivery must come next.
struct Expected {
    seq: u64,
    place: u64,
    left: Option<u64>,
}

impl Expected {
    /// Compares with `$JS.ACK.<stream>.<consumer>.<delivered>.<seq>.<place>.<time>.<left>`, of
    /// which a longer form exists that ends alike.
    fn fits(&self, reply: &[u8]) -> bool {
        let mut fields = reply.rsplit(|byte| *byte == b'.').map(number);
        let mut next = || fields.next().flatten();
        let (left, _time, place, seq, delivered) = (next(), next(), next(), next(), next());
        reply.starts_with(b"$JS.ACK.")
            && (self.left.is_none() || left == self.left)
            && (place, seq, delivered) == (Some(self.place), Some(self.seq), Some(1))
    }
}

impl Consume {
    /// What is acknowledged: ordered consumers acknowledge nothing.
    fn ack(&self) -> Ack {
        match self.mode {
            Mode::Ordered | Mode::Watch => Ack::None,
            _ => self.ack,
        }
    }
}

fn config(spec: &Consume, name: &str, deliver: &str, filter: &str) -> Value {
    let policy = match spec.ack() {
        Ack::None => "none",
        Ack::Explicit => "explicit",
        Ack::All => "all",
    };
    let mut config = json!({
        "name": name, "ack_policy": policy, "deliver_policy": "all", "replay_policy": "instant",
    });
    match spec.mode {
        Mode::Pull | Mode::Fetch => {
            config["durable_name"] = name.into();
        }
        Mode::Push => {
            config["durable_name"] = name.into();
            config["deliver_subject"] = deliver.into();
            if spec.flow_control {
                config["flow_control"] = true.into();
                config["idle_heartbeat"] = HEARTBEAT_NS.into();
            }
        }
        Mode::Ordered | Mode::Watch => {
            config["deliver_subject"] = deliver.into();
            config["flow_control"] = true.into();
            config["idle_heartbeat"] = HEARTBEAT_NS.into();
            config["max_deliver"] = 1.into();
            config["ack_wait"] = ORDERED_ACK_WAIT_NS.into();
            config["mem_storage"] = true.into();
            config["num_replicas"] = 1.into();
            config["inactive_threshold"] = ORDERED_INACTIVE_NS.into();
            if spec.mode == Mode::Watch {
                config["deliver_policy"] = "last_per_subject".into();
                config["filter_subject"] = filter.into();
            }
        }
    }
    if let Some(pending) = spec.max_ack_pending {
        config["max_ack_pending"] = pending.into();
    }
    config
}

fn push_ack(out: &mut Vec<u8>, reply: &[u8]) {
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(reply);
    out.push(b' ');
    push_number(out, ACK.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(ACK);
    out.extend_from_slice(b"\r\n");
}

const ACK: &[u8] = b"+ACK";
const NUMBER_DIGITS: usize = 8;
const LIVE_IN_FLIGHT: usize = 4096;
const HEARTBEAT_NS: u64 = 5_000_000_000;
const ORDERED_ACK_WAIT_NS: u64 = 22 * 3_600_000_000_000;
const ORDERED_INACTIVE_NS: u64 = 300_000_000_000;
const END_PATIENCE_NS: u64 = 5_000_000_000;

#[cfg(test)]
mod tests {
    use super::Expected;

    #[test]
    fn both_forms_of_the_ack_subject_are_read() {
        let expected = Expected { seq: 7, place: 3, left: Some(9) };
        assert!(expected.fits(b"$JS.ACK.S.c.1.7.3.1795254602675692091.9"));
        assert!(expected.fits(b"$JS.ACK.hub.NUmM6cRx.S.c.1.7.3.1795254602675692091.9"));
        assert!(!expected.fits(b"$JS.ACK.S.c.2.7.3.1795254602675692091.9"));
        assert!(!expected.fits(b"$JS.ACK.S.c.1.8.3.1795254602675692091.9"));
        assert!(!expected.fits(b"$JS.ACK.S.c.1.7.3.1795254602675692091.8"));
        assert!(!expected.fits(b""));
        assert!(Expected { left: None, ..expected }.fits(b"$JS.ACK.S.c.1.7.3.1.8"));
    }
}
