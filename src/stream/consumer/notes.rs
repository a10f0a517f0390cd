//! What is kept of consumers over a restart: notes of what happened, and whole states.
//!
//! A note starts with [`NOTE`], which tells it from the notes of the stream, and a
//! kind: the whole state of a consumer (it was created, changed or set back), changes of
//! one, or its end. Numbers are of variable length, seven bits a byte, lowest first.
//! The changes of a call stand in one note: a run of deliveries costs a few bytes, an
//! ack as much as its sequence. What is read back is not trusted: a note that makes no
//! sense ends there.

use super::config::ConsumerConfig;
use super::cursor::Cursor;
use super::state::{Consumer, Mark};
use super::unacked::Unacked;

/// First byte of the notes of consumers.
pub(super) const NOTE: u8 = 1;

/// The kind of a note.
pub(super) mod kind {
    pub(in super::super) const STATE: u8 = 0;
    pub(in super::super) const CHANGES: u8 = 1;
    pub(in super::super) const DELETED: u8 = 2;
}

/// A change of a consumer.
mod change {
    /// Messages were delivered for the first time: first stream and consumer sequence, count.
    pub(super) const DELIVERED: u8 = 1;
    /// A message was delivered again: stream sequence, deliveries, consumer sequence.
    pub(super) const REDELIVERED: u8 = 2;
    /// A message needs no acknowledgement any more: stream sequence.
    pub(super) const DONE: u8 = 3;
    /// All up to one are acknowledged: stream and consumer sequence.
    pub(super) const DONE_UP_TO: u8 = 4;
}

impl Consumer {
    /// A message was delivered for the first time.
    pub(super) fn note_delivered(&mut self, seq: u64, consumer_seq: u64) {
        if !self.is_kept {
            return;
        }
        self.is_changed = true;
        if let Some((first_seq, first_consumer_seq, count)) = &mut self.run {
            if *first_seq + *count == seq && *first_consumer_seq + *count == consumer_seq {
                *count += 1;
                return;
            }
        }
        self.end_run();
        self.run = Some((seq, consumer_seq, 1));
    }

    /// A message was delivered again.
    pub(super) fn note_redelivered(&mut self, seq: u64, deliveries: u32) {
        let consumer_seq = self.delivered.consumer_seq;
        self.note(change::REDELIVERED, &[seq, u64::from(deliveries), consumer_seq]);
    }

    /// A message needs no acknowledgement any more.
    pub(super) fn note_done(&mut self, seq: u64) {
        self.note(change::DONE, &[seq]);
    }

    /// No message up to `seq` needs one any more.
    pub(super) fn note_done_up_to(&mut self, seq: u64, consumer_seq: u64) {
        self.note(change::DONE_UP_TO, &[seq, consumer_seq]);
    }

    /// Writes the note of all changes since the last one; false if there are none.
    pub(super) fn take_changes(&mut self, now: u64, note: &mut Vec<u8>) -> bool {
        if !self.is_changed {
            return false;
        }
        self.end_run();
        note.clear();
        note.extend_from_slice(&[NOTE, kind::CHANGES]);
        write_number(note, u64::from(self.index));
        write_number(note, now);
        note.extend_from_slice(&self.changes);
        self.changes.clear();
        self.is_changed = false;
        true
    }

    /// Forgets changes that a whole state has covered.
    pub(super) fn drop_changes(&mut self) {
        self.run = None;
        self.changes.clear();
        self.is_changed = false;
    }

    fn note(&mut self, change: u8, numbers: &[u64]) {
        if !self.is_kept {
            return;
        }
        self.is_changed = true;
        self.end_run();
        self.changes.push(change);
        for number in numbers {
            write_number(&mut self.changes, *number);
        }
    }

    fn end_run(&mut self) {
        if let Some((seq, consumer_seq, count)) = self.run.take() {
            self.changes.push(change::DELIVERED);
            for number in [seq, consumer_seq, count] {
                write_number(&mut self.changes, number);
            }
        }
    }

    /// Does what a note of changes says, without the kind and the index. `None` if it ends too
    /// early.
    pub(super) fn replay(&mut self, mut changes: &[u8]) -> Option<()> {
        let at = read_number(&mut changes)?;
        while let Some((change, rest)) = changes.split_first() {
            changes = rest;
            match *change {
                change::DELIVERED => {
                    let seq = read_number(&mut changes)?;
                    let consumer_seq = read_number(&mut changes)?;
                    let count = read_number(&mut changes)?;
                    for distance in 0..count.min(RUN_MAX) {
                        let (seq, consumer_seq) =
                            (seq.checked_add(distance)?, consumer_seq.checked_add(distance)?);
                        self.replay_delivery(at, seq, consumer_seq);
                    }
                }
                change::REDELIVERED => {
                    let seq = read_number(&mut changes)?;
                    let deliveries = u32::try_from(read_number(&mut changes)?).ok()?;
                    let consumer_seq = read_number(&mut changes)?;
                    let first = self.unacked.get(seq).map_or(consumer_seq, |e| e.consumer_seq);
                    self.unacked.insert(Unacked {
                        stream_seq: seq,
                        consumer_seq: first.max(1),
                        sent_at: at,
                        due: self.due(at, deliveries),
                        deliveries,
                        is_queued: false,
                    });
                    self.delivered.consumer_seq = self.delivered.consumer_seq.max(consumer_seq);
                    self.delivered.at = at;
                }
                change::DONE => {
                    let seq = read_number(&mut changes)?;
                    self.unacked.remove(seq);
                    self.ack_floor.at = at;
                    self.settle_floor();
                }
                change::DONE_UP_TO => {
                    let seq = read_number(&mut changes)?;
                    let consumer_seq = read_number(&mut changes)?;
                    while self.unacked.pop_up_to(seq).is_some() {}
                    self.ack_floor = Mark { consumer_seq, stream_seq: seq, at };
                }
                _ => return None,
            }
        }
        Some(())
    }

    fn replay_delivery(&mut self, at: u64, seq: u64, consumer_seq: u64) {
        self.cursor.advance(seq);
        self.cursor.recount();
        self.delivered = Mark { consumer_seq, stream_seq: self.delivered.stream_seq.max(seq), at };
        if self.needs_acks() {
            self.unacked.insert(Unacked {
                stream_seq: seq,
                consumer_seq: consumer_seq.max(1),
                sent_at: at,
                due: self.due(at, 1),
                deliveries: 1,
                is_queued: false,
            });
        } else {
            self.ack_floor.consumer_seq = consumer_seq;
            self.ack_floor.stream_seq = self.delivered.stream_seq;
        }
    }

    /// Appends the whole state.
    pub(super) fn write_state(&self, out: &mut Vec<u8>) {
        write_number(out, u64::from(self.index));
        write_number(out, self.created);
        write_bytes(out, self.name.as_bytes());
        let mut config = Vec::new();
        self.config.write(&mut config);
        write_bytes(out, &config);
        write_number(out, self.cursor.after_list());
        let list: Vec<u64> = self.cursor.list().collect();
        write_number(out, list.len() as u64);
        write_ascending(out, list.into_iter());
        for mark in [self.delivered, self.ack_floor] {
            write_number(out, mark.consumer_seq);
            write_number(out, mark.stream_seq);
            write_number(out, mark.at);
        }
        write_number(out, self.replay_until);
        write_number(out, self.unacked.len() as u64);
        let mut before = 0;
        for entry in self.unacked.iter() {
            write_number(out, entry.stream_seq - before);
            before = entry.stream_seq;
            write_number(out, entry.consumer_seq);
            write_number(out, entry.sent_at);
            write_number(out, u64::from(entry.deliveries));
        }
    }

    /// Reads what [`write_state`](Self::write_state) wrote.
    pub(super) fn read_state(from: &mut &[u8], stream: &str) -> Option<Self> {
        let index = u32::try_from(read_number(from)?).ok()?;
        let created = read_number(from)?;
        let name = String::from_utf8(read_bytes(from)?.to_vec()).ok()?;
        let config = ConsumerConfig::decode(read_bytes(from)?).ok()?;
        let mut consumer = Self::new(index, name, config, stream, created);
        let next = read_number(from)?;
        let count = read_number(from)?;
        let mut list = Vec::new();
        let mut before = 0u64;
        for _ in 0..count {
            before = before.checked_add(read_number(from)?)?;
            list.push(before);
        }
        consumer.cursor = Cursor::with_list(list, next);
        for mark in [&mut consumer.delivered, &mut consumer.ack_floor] {
            mark.consumer_seq = read_number(from)?;
            mark.stream_seq = read_number(from)?;
            mark.at = read_number(from)?;
        }
        consumer.replay_until = read_number(from)?;
        let count = read_number(from)?;
        let mut seq = 0u64;
        for _ in 0..count {
            seq = seq.checked_add(read_number(from)?)?;
            let consumer_seq = read_number(from)?.max(1);
            let sent_at = read_number(from)?;
            let deliveries = u32::try_from(read_number(from)?).ok()?;
            let due = consumer.due(sent_at, deliveries);
            consumer.unacked.insert(Unacked {
                stream_seq: seq,
                consumer_seq,
                sent_at,
                due,
                deliveries,
                is_queued: false,
            });
        }
        Some(consumer)
    }
}

fn write_ascending(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64>) {
    let mut before = 0;
    for number in numbers {
        write_number(out, number - before);
        before = number;
    }
}

/// Appends a number, seven bits a byte.
pub(super) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

/// Reads a number; `None` if there is none.
pub(super) fn read_number(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Appends bytes and how many they are.
fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn read_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(read_number(from)?).ok()?;
    let (bytes, rest) = from.split_at_checked(len)?;
    *from = rest;
    Some(bytes)
}

/// Deliveries of one run that are believed.
const RUN_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back() {
        let mut out = Vec::new();
        let numbers = [0, 1, 127, 128, 300, 1 << 35, u64::MAX];
        for number in numbers {
            write_number(&mut out, number);
        }
        let mut rest = &out[..];
        for number in numbers {
            assert_eq!(read_number(&mut rest), Some(number));
        }
        assert_eq!(read_number(&mut rest), None);
        assert_eq!(read_number(&mut &[0xff; 11][..]), None);
    }

    fn consumer() -> Consumer {
        let config = ConsumerConfig::decode(
            br#"{"name":"c","ack_policy":"explicit","ack_wait":100,"max_ack_pending":-1}"#,
        );
        let mut consumer = Consumer::new(3, String::from("c"), config.unwrap(), "S", 9);
        consumer.is_kept = true;
        consumer
    }

    #[test]
    fn a_state_is_read_back_and_goes_on() {
        let mut one = consumer();
        let mut other = consumer();
        let mut note = Vec::new();
        for seq in [1, 2, 3, 7, 8] {
            let consumer_seq = one.delivered.consumer_seq + 1;
            one.replay_delivery(50, seq, consumer_seq);
            one.note_delivered(seq, consumer_seq);
        }
        one.unacked.remove(2);
        one.note_done(2);
        assert!(one.take_changes(50, &mut note));
        assert!(!one.take_changes(50, &mut note));
        assert_eq!(note[..3], [NOTE, kind::CHANGES, 3]);
        other.replay(&note[3..]).unwrap();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        other.ack_floor = one.ack_floor;
        one.write_state(&mut left);
        other.write_state(&mut right);
        assert_eq!(left, right);
        let read = Consumer::read_state(&mut &left[..], "S").unwrap();
        let mut again = Vec::new();
        read.write_state(&mut again);
        assert_eq!(left, again);
        assert_eq!(read.unacked.len(), 4);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let mut state = Vec::new();
        consumer().write_state(&mut state);
        for len in 0..state.len() {
            assert!(Consumer::read_state(&mut &state[..len], "S").is_none());
        }
        assert!(consumer().replay(&[1, 99]).is_none());
        assert!(consumer().replay(&[1, 1, 1]).is_none());
    }
}
