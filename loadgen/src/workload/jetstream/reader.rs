//! Direct gets, and the check that what comes back is what was acknowledged.

use super::api;
use super::drive::{Load, Outbox, Tally};
use super::ledger::Message;
use super::streams::Streams;
use super::template::{is_message, number, push_number, write_digits};
use crate::connection::{Connection, ReadBuffer};
use crate::error::Error;
use crate::wire::ledger::Faults;
use crate::wire::scan::Msg;
use crate::workload::Target;

/// A message to read, and what it must be.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The stream's number.
    pub stream: usize,
    /// The sequence the answer must have.
    pub seq: u64,
    /// What must be there.
    pub message: Message,
    /// Ask for the last message of the subject instead of the sequence.
    pub by_subject: bool,
}

/// Readers that ask what `next` says until it says nothing.
pub struct Readers<F> {
    members: Vec<Reader>,
    next: F,
    names: Names,
    turn: usize,
    free: usize,
    /// What went wrong so far.
    pub faults: Faults,
}

/// What all readers know of the streams.
struct Names {
    streams: Streams,
    size: usize,
    seed: u64,
}

struct Reader {
    connection: Connection,
    outbox: Outbox,
    reply: Vec<u8>,
    inbox_bytes: usize,
    slots: Vec<Option<(Question, u64)>>,
    free: Vec<u32>,
}

impl<F: FnMut() -> Option<Question>> Readers<F> {
    /// Connects `count` readers with `in_flight` requests each.
    pub fn open(
        (count, in_flight): (usize, usize),
        (streams, size, seed): (Streams, usize, u64),
        target: &Target,
        next: F,
    ) -> Result<Self, Error> {
        if !(1..=65_535).contains(&count) || !(1..100_000).contains(&in_flight) {
            return Err(Error::Usage("connections or in-flight out of range".into()));
        }
        let members = (0..count)
            .map(|index| {
                let inbox = format!("_INBOX.{:04x}.get{index:05}.", streams.tag());
                let setup = format!("SUB {inbox}* 1\r\n");
                Ok(Reader {
                    connection: api::open(target, setup.as_bytes())?,
                    outbox: Outbox::default(),
                    reply: format!("{inbox}00000").into_bytes(),
                    inbox_bytes: inbox.len(),
                    slots: vec![None; in_flight],
                    free: (0..in_flight as u32).rev().collect(),
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let names = Names { streams, size, seed };
        let faults = Faults::default();
        Ok(Self { members, next, names, turn: 0, free: count * in_flight, faults })
    }
}

impl<F: FnMut() -> Option<Question>> Load for Readers<F> {
    fn send(&mut self, sent_ns: u64) -> Result<u64, Error> {
        if self.free == 0 {
            return Ok(0);
        }
        let Some(question) = (self.next)() else {
            return Ok(0);
        };
        while self.members[self.turn].free.is_empty() {
            self.turn = (self.turn + 1) % self.members.len();
        }
        self.members[self.turn].ask(&self.names.streams, question, sent_ns);
        self.free -= 1;
        self.turn = (self.turn + 1) % self.members.len();
        Ok(1)
    }

    fn exchange(&mut self, buffer: &mut ReadBuffer, tally: &mut Tally) -> Result<bool, Error> {
        let mut moved = false;
        for member in &mut self.members {
            if member.connection.readable {
                let Reader { connection, slots, free, inbox_bytes, .. } = member;
                let (names, faults, all_free) = (&self.names, &mut self.faults, &mut self.free);
                let count = connection.pull_messages(buffer, |msg, now_ns| {
                    let index = msg.subject.get(*inbox_bytes..).and_then(number);
                    let slot = index.and_then(|index| slots.get_mut(index as usize));
                    let asked = slot.and_then(Option::take).zip(index);
                    let Some(((question, sent_ns), index)) = asked else {
                        faults.unexpected(|| "an answer that nobody waits for".into());
                        return;
                    };
                    free.push(index as u32);
                    *all_free += 1;
                    names.check(&question, msg, faults);
                    tally.answered(now_ns, sent_ns, 1);
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

impl Reader {
    fn ask(&mut self, streams: &Streams, question: Question, sent_ns: u64) {
        let Some(slot) = self.free.pop() else {
            return;
        };
        self.slots[slot as usize] = Some((question, sent_ns));
        write_digits(&mut self.reply[self.inbox_bytes..], u64::from(slot));
        let out = &mut self.outbox.bytes;
        out.extend_from_slice(b"PUB $JS.API.DIRECT.GET.");
        out.extend_from_slice(streams.name(question.stream).as_bytes());
        if question.by_subject {
            let subject = streams.subject_of(question.stream, question.message.sequence);
            out.push(b'.');
            out.extend_from_slice(subject.as_bytes());
        }
        out.push(b' ');
        out.extend_from_slice(&self.reply);
        out.push(b' ');
        if question.by_subject {
            out.extend_from_slice(b"0\r\n\r\n");
            return;
        }
        let mut digits = Vec::with_capacity(20);
        push_number(&mut digits, question.seq);
        push_number(out, digits.len() as u64 + 8);
        out.extend_from_slice(b"\r\n{\"seq\":");
        out.extend_from_slice(&digits);
        out.extend_from_slice(b"}\r\n");
    }
}

impl Names {
    fn check(&self, question: &Question, msg: &Msg<'_>, faults: &mut Faults) {
        let Message { publisher, sequence } = question.message;
        let (stream, seq) = (question.stream, question.seq);
        let name = self.streams.name(stream);
        if msg.header.starts_with(b"NATS/1.0 404") {
            faults.lost += 1;
            faults.first.get_or_insert_with(|| {
                format!("{name}: sequence {seq} was acknowledged and is not there")
            });
            return;
        }
        let mut digits = Vec::with_capacity(20);
        push_number(&mut digits, seq);
        let subject = self.streams.subject_of(stream, sequence);
        let is_right = header(msg.header, b"Nats-Sequence") == Some(&digits[..])
            && header(msg.header, b"Nats-Subject") == Some(subject.as_bytes())
            && header(msg.header, b"Nats-Stream") == Some(name.as_bytes())
            && is_message(msg.payload, self.size, publisher, sequence, self.seed);
        if !is_right {
            let head = msg.header.escape_ascii();
            faults.corrupted(|| {
                format!(
                    "{name}: sequence {seq} is not message {sequence} of publisher {publisher}: \
                     {head}, {} bytes",
                    msg.payload.len()
                )
            });
        }
    }
}

/// The value of a header.
pub fn header<'a>(block: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    block.split(|byte| *byte == b'\n').find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(b":")?;
        Some(value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::header;

    #[test]
    fn headers_are_found_by_their_whole_name() {
        let block = b"NATS/1.0\r\nNats-Sequence-X: 1\r\nNats-Sequence: 23\r\n\r\n";
        assert_eq!(header(block, b"Nats-Sequence"), Some(&b"23"[..]));
        assert_eq!(header(block, b"Nats"), None);
    }
}
