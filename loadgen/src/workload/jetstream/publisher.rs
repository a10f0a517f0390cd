//! Publishers into streams, each with so many acknowledgements outstanding.
//!
//! A publish carries a reply subject that ends in the number of a slot; the slot remembers the
//! message, its stream and the time it was sent or due. A batch is one slot: only its last message
//! asks for an answer, which then stands for all of them.

use serde::Serialize;

use super::api;
use super::drive::{Load, Outbox, Tally};
use super::ledger::{Ledger, Message};
use super::streams::Streams;
use super::template::{number, push_number, write_digits, Template};
use crate::connection::{Connection, ReadBuffer};
use crate::error::Error;
use crate::wire::scan::Msg;
use crate::workload::Target;

/// How publishers publish.
#[derive(Clone, Debug, Serialize)]
pub struct Publishing {
    /// Publisher connections.
    pub publishers: usize,
    /// Messages (or batches) of each that wait for their acknowledgement.
    pub in_flight: usize,
    /// Payload bytes.
    pub size: usize,
    /// Messages in an atomic batch; one means no batches.
    pub batch: usize,
    /// A random stream for each message, instead of one stream for each publisher.
    pub random: bool,
    /// A message id in each message, so that the server looks for duplicates.
    pub ids: bool,
}

/// The publishers of a run and the account of what was acknowledged.
pub struct Publishers {
    spec: Publishing,
    members: Vec<Publisher>,
    /// The account.
    pub ledger: Ledger,
    turn: usize,
    free: usize,
    random: u64,
}

impl Publishers {
    /// Connects them.
    pub fn open(
        spec: &Publishing,
        streams: &Streams,
        target: &Target,
        seed: u64,
    ) -> Result<Self, Error> {
        let fits = (1..=65_535).contains(&spec.publishers)
            && (1..100_000).contains(&spec.in_flight)
            && (1..=1000).contains(&spec.batch);
        if !fits {
            return Err(Error::Usage("publishers, in-flight or batch out of range".into()));
        }
        let members = (0..spec.publishers)
            .map(|index| Publisher::open(index, spec, streams, target, seed))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            spec: spec.clone(),
            free: members.len() * spec.in_flight,
            members,
            ledger: Ledger::new(streams),
            turn: 0,
            random: seed | 1,
        })
    }

    fn pick_stream(&mut self, member: usize, streams: usize) -> usize {
        if !self.spec.random {
            return member % streams;
        }
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        ((self.random >> 32) as usize * streams) >> 32
    }
}

impl Load for Publishers {
    fn send(&mut self, sent_ns: u64) -> Result<u64, Error> {
        if self.free == 0 {
            return Ok(0);
        }
        let count = self.members.len();
        while self.members[self.turn].free.is_empty() {
            self.turn = (self.turn + 1) % count;
        }
        let turn = self.turn;
        let stream = self.pick_stream(turn, self.members[turn].streams);
        let sent = self.members[turn].publish(stream, sent_ns);
        self.free -= 1;
        self.turn = (turn + 1) % count;
        Ok(sent)
    }

    fn exchange(&mut self, buffer: &mut ReadBuffer, tally: &mut Tally) -> Result<bool, Error> {
        let mut moved = false;
        let batch = self.spec.batch as u64;
        for member in &mut self.members {
            if member.connection.readable {
                let Publisher { connection, waiting, free, .. } = member;
                let (ledger, all_free) = (&mut self.ledger, &mut self.free);
                let count = connection.pull_messages(buffer, |msg, now_ns| {
                    if let Some((slot, sent_ns)) = waiting.accept(msg, ledger, batch) {
                        free.push(slot);
                        *all_free += 1;
                        tally.answered(now_ns, sent_ns, batch);
                    }
                })?;
                moved |= count > 0;
            }
            member.outbox.push(&mut member.connection)?;
        }
        Ok(moved)
    }

    fn connection(&mut self, index: usize) -> &mut Connection {
        &mut self.members[index].connection
    }

    fn connections(&self) -> usize {
        self.members.len()
    }

    fn has_unwritten(&self) -> bool {
        self.members.iter().any(|member| !member.outbox.bytes.is_empty())
    }
}

struct Publisher {
    id: u16,
    connection: Connection,
    outbox: Outbox,
    waiting: Waiting,
    free: Vec<u32>,
    streams: usize,
    subjects: u64,
    sequence: u64,
    head: Head,
    template: Template,
    /// The header block of a message, while it is written.
    block: Vec<u8>,
    batch: u64,
    ids: bool,
    batches: u64,
    size: usize,
    tag: u16,
}

/// A subject and a reply subject whose numbers are patched.
struct Head {
    subject: Vec<u8>,
    stream_at: usize,
    number_at: usize,
    reply: Vec<u8>,
    slot_at: usize,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    busy: bool,
    stream: u32,
    last: u64,
    sent_ns: u64,
}

/// What waits for acknowledgements on one connection.
struct Waiting {
    id: u16,
    slots: Vec<Slot>,
    inbox_bytes: usize,
}

impl Publisher {
    fn open(
        index: usize,
        spec: &Publishing,
        streams: &Streams,
        target: &Target,
        seed: u64,
    ) -> Result<Self, Error> {
        let id = index as u16;
        let tag = streams.tag();
        let inbox = format!("_INBOX.{tag:04x}.{index:05}.");
        let setup = format!("SUB {inbox}* 1\r\n");
        let connection = api::open(target, setup.as_bytes())?;
        let subject = streams.subject(0, 0).into_bytes();
        let number_at = subject.len() - NUMBER_DIGITS;
        let inbox_bytes = inbox.len();
        let head = Head {
            stream_at: number_at - 1 - STREAM_DIGITS,
            number_at,
            subject,
            reply: format!("{inbox}{:05}", 0).into_bytes(),
            slot_at: inbox_bytes,
        };
        Ok(Self {
            id,
            connection,
            outbox: Outbox::default(),
            waiting: Waiting { id, slots: vec![Slot::default(); spec.in_flight], inbox_bytes },
            free: (0..spec.in_flight as u32).rev().collect(),
            streams: streams.count(),
            subjects: streams.shape().subjects as u64,
            sequence: 0,
            head,
            template: Template::new(spec.size, id, seed),
            block: Vec::new(),
            batch: spec.batch as u64,
            ids: spec.ids,
            batches: 0,
            size: spec.size,
            tag,
        })
    }

    /// Queues one message, or one batch of them; the caller has made sure that a slot is free.
    fn publish(&mut self, stream: usize, sent_ns: u64) -> u64 {
        let Some(slot) = self.free.pop() else {
            return 0;
        };
        let last = self.sequence + self.batch - 1;
        self.waiting.slots[slot as usize] =
            Slot { busy: true, stream: stream as u32, last, sent_ns };
        let Head { subject, stream_at, reply, slot_at, .. } = &mut self.head;
        write_digits(&mut subject[*stream_at..*stream_at + STREAM_DIGITS], stream as u64);
        write_digits(&mut reply[*slot_at..], u64::from(slot));
        if self.batch == 1 && !self.ids {
            self.push_plain(sent_ns);
        } else {
            for place in 1..=self.batch {
                self.push_with_block(place, sent_ns);
            }
            self.batches += 1;
        }
        self.batch
    }

    fn push_plain(&mut self, sent_ns: u64) {
        let Head { subject, number_at, reply, .. } = &mut self.head;
        write_digits(&mut subject[*number_at..], self.sequence % self.subjects);
        let out = &mut self.outbox.bytes;
        out.extend_from_slice(b"PUB ");
        out.extend_from_slice(subject);
        out.push(b' ');
        out.extend_from_slice(reply);
        out.push(b' ');
        push_number(out, self.size as u64);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(self.template.stamp(self.sequence, sent_ns));
        out.extend_from_slice(b"\r\n");
        self.sequence += 1;
    }

    /// Queues the message at `place`, from one, of a batch (or the only one) with its headers.
    fn push_with_block(&mut self, place: u64, sent_ns: u64) {
        let is_last = place == self.batch;
        let Head { subject, number_at, reply, .. } = &mut self.head;
        write_digits(&mut subject[*number_at..], self.sequence % self.subjects);
        let block = &mut self.block;
        block.clear();
        block.extend_from_slice(b"NATS/1.0\r\n");
        if self.ids {
            block.extend_from_slice(b"Nats-Msg-Id: ");
            push_number(block, u64::from(self.tag) << 16 | u64::from(self.id));
            block.push(b'-');
            push_number(block, self.sequence);
            block.extend_from_slice(b"\r\n");
        }
        if self.batch > 1 {
            block.extend_from_slice(b"Nats-Batch-Id: ");
            push_number(block, u64::from(self.tag) << 16 | u64::from(self.id));
            block.push(b'-');
            push_number(block, self.batches);
            block.extend_from_slice(b"\r\nNats-Batch-Sequence: ");
            push_number(block, place);
            block.extend_from_slice(b"\r\n");
            if is_last {
                block.extend_from_slice(b"Nats-Batch-Commit: 1\r\n");
            }
        }
        block.extend_from_slice(b"\r\n");
        let out = &mut self.outbox.bytes;
        out.extend_from_slice(b"HPUB ");
        out.extend_from_slice(subject);
        out.push(b' ');
        if is_last {
            out.extend_from_slice(reply);
            out.push(b' ');
        }
        push_number(out, block.len() as u64);
        out.push(b' ');
        push_number(out, (block.len() + self.size) as u64);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(block);
        out.extend_from_slice(self.template.stamp(self.sequence, sent_ns));
        out.extend_from_slice(b"\r\n");
        self.sequence += 1;
    }
}

impl Waiting {
    /// Enters an acknowledgement; returns its slot and when its message was sent.
    fn accept(&mut self, msg: &Msg<'_>, ledger: &mut Ledger, batch: u64) -> Option<(u32, u64)> {
        let index = msg.subject.get(self.inbox_bytes..).and_then(number);
        let slot = index.and_then(|index| self.slots.get_mut(index as usize));
        let Some((slot, index)) = slot.zip(index).filter(|(slot, _)| slot.busy) else {
            let subject = msg.subject.escape_ascii();
            ledger.faults.unexpected(|| format!("an answer on {subject} that nobody waits for"));
            return None;
        };
        slot.busy = false;
        if msg.has_header {
            let (header, payload) = (msg.header.escape_ascii(), msg.payload.escape_ascii());
            ledger.faults.unexpected(|| format!("acknowledged by {header} {payload}"));
        } else {
            let last = Message { publisher: self.id, sequence: slot.last };
            ledger.acknowledged(slot.stream as usize, msg.payload, last, batch);
        }
        Some((index as u32, slot.sent_ns))
    }
}

const STREAM_DIGITS: usize = 5;
const NUMBER_DIGITS: usize = 8;
