//! A connection that receives the messages of one subscription and checks each.
//!
//! The loop over a read, per message:
//!
//! ```text
//! compare the frame's head with the one expected, as a whole     (the subject never changes)
//! compare the two bytes after the payload with CRLF
//! enter the payload in the ledger: checksum, publisher, sequence
//! record its latency, or of one in 64 in a closed loop
//! ```
//!
//! What does not look like that goes through the general scanner. No allocation, no copy and no
//! clock for a message; one clock for a read.

use crate::connection::{malformed, Connection, Pulled, ReadBuffer};
use crate::error::Error;
use crate::recorder::Recorder;
use crate::sys::clock;
use crate::wire::ledger::{Ledger, Roll};
use crate::wire::payload::{self, Layout};
use crate::wire::scan::{self, Op, Trouble};

/// One subscription on a connection of its own.
pub struct Subscriber {
    /// The connection.
    pub connection: Connection,
    /// What must come on it, and what came.
    pub inbox: Inbox,
    /// Which channel of the run it listens to.
    pub channel: usize,
}

impl Subscriber {
    /// Reads once and checks what came; returns the number of messages.
    pub fn pull(
        &mut self,
        buffer: &mut ReadBuffer,
        roll: Option<&mut Roll>,
        recorder: &mut Recorder,
        record_every: bool,
    ) -> Result<u64, Error> {
        let Pulled::Data(data) = self.connection.pull(buffer)? else {
            return Ok(0);
        };
        let mut sink = Sink { now_ns: clock::now(), roll, recorder, record_every };
        let mut at = 0;
        let mut messages = 0;
        loop {
            let (count, taken) = self.inbox.take(&data[at..], &mut sink);
            messages += count;
            at += taken;
            if at == data.len() {
                break;
            }
            match scan::next_op(&data[at..]) {
                Ok((Op::Msg(msg), taken)) => {
                    let subject = msg.subject;
                    self.inbox.ledger.faults.unexpected(|| {
                        format!("a message on \"{}\" that is not ours", subject.escape_ascii())
                    });
                    messages += 1;
                    at += taken;
                }
                Ok((op, taken)) => {
                    self.connection.handle_control(&op)?;
                    at += taken;
                }
                Err(Trouble::Incomplete) => break,
                Err(Trouble::Malformed) => return Err(malformed(&data[at..])),
            }
        }
        self.connection.keep(&data[at..]);
        self.connection.answer_pings()?;
        Ok(messages)
    }
}

/// The frames one subscription must get, told by their head, and the account of them.
pub struct Inbox {
    /// The account of its messages.
    pub ledger: Ledger,
    head: Vec<u8>,
    payload_bytes: usize,
    has_time: bool,
}

/// Where checked messages go.
pub struct Sink<'a> {
    /// When they were read.
    pub now_ns: u64,
    /// The roll of their queue group, if they are for one.
    pub roll: Option<&'a mut Roll>,
    /// Where latencies go.
    pub recorder: &'a mut Recorder,
    /// Record each latency instead of one in 64.
    pub record_every: bool,
}

impl Inbox {
    /// Expects messages of `size` bytes on `subject` for the subscription `1`.
    pub fn new(ledger: Ledger, subject: &str, size: usize) -> Self {
        Self {
            ledger,
            head: format!("MSG {subject} 1 {size}\r\n").into_bytes(),
            payload_bytes: size,
            has_time: Layout::of(size) == Layout::Full,
        }
    }

    /// Takes frames with the expected head off `data`; returns their number and bytes.
    #[inline]
    pub fn take(&mut self, data: &[u8], sink: &mut Sink<'_>) -> (u64, usize) {
        let head_bytes = self.head.len();
        let frame_bytes = head_bytes + self.payload_bytes + 2;
        let mut messages = 0;
        for frame in data.chunks_exact(frame_bytes) {
            let (head, rest) = frame.split_at(head_bytes);
            let (payload, end) = rest.split_at(self.payload_bytes);
            if !is_same(head, &self.head) || end != b"\r\n" {
                break;
            }
            messages += 1;
            let Some(head) = self.ledger.enter(payload) else {
                continue;
            };
            if let Some(roll) = &mut sink.roll {
                roll.tick(head);
            }
            if self.has_time && (sink.record_every || head.sequence % 64 == 0) {
                let latency_ns = payload::elapsed_ns(sink.now_ns, head.time);
                sink.recorder.latency(sink.now_ns, latency_ns);
            }
        }
        (messages, messages as usize * frame_bytes)
    }
}

/// Compares two heads of one length, at least eight bytes as every head has, in words of eight,
/// the last two overlapping; calling the library for some twenty bytes costs more.
#[inline]
fn is_same(head: &[u8], expected: &[u8]) -> bool {
    let (Some((_, last)), Some((_, expected_last))) =
        (head.split_last_chunk::<8>(), expected.split_last_chunk::<8>())
    else {
        return head == expected;
    };
    let words = head.chunks_exact(8).zip(expected.chunks_exact(8));
    last == expected_last && words.fold(true, |same, (word, expected)| same & (word == expected))
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn heads_differ_wherever_a_byte_differs() {
        for length in 0..40 {
            let head: Vec<u8> = (0..length).collect();
            assert!(is_same(&head, &head));
            for at in 0..head.len() {
                let mut other = head.clone();
                other[at] ^= 1;
                assert!(!is_same(&head, &other), "length {length}, byte {at}");
            }
        }
    }
}
