//! The account of what was acknowledged: each sequence of each stream once, and for which message.
//!
//! An acknowledgement names a stream and a sequence. The ledger keeps, for every sequence, the
//! message that was told to be there: eight bytes each. At the end the sequences of a stream must
//! be one to the last without a gap, and those of one publisher in the order it published.

use std::collections::HashMap;

use super::streams::Streams;
use super::template::number;
use crate::wire::ledger::Faults;

/// What was acknowledged of all streams of a run.
pub struct Ledger {
    accounts: Vec<Account>,
    /// What went wrong so far.
    pub faults: Faults,
}

/// A message: who published it, and as which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The publisher's number.
    pub publisher: u16,
    /// Its number among the publisher's messages, from zero.
    pub sequence: u64,
}

struct Account {
    name: String,
    /// How an acknowledgement of this stream begins.
    head: Vec<u8>,
    /// By sequence, from one: what is stored there; zero if that was never acknowledged.
    placed: Vec<u64>,
}

impl Ledger {
    /// An empty account of these streams.
    pub fn new(streams: &Streams) -> Self {
        let account = |index| {
            let name = streams.name(index);
            let head = format!("{{\"stream\":\"{name}\",\"seq\":").into_bytes();
            Account { name, head, placed: Vec::new() }
        };
        Self { accounts: (0..streams.count()).map(account).collect(), faults: Faults::default() }
    }

    /// Enters an acknowledgement of `count` messages, of which `last` is the last and has the
    /// sequence told; the others come right before it.
    pub fn acknowledged(&mut self, stream: usize, payload: &[u8], last: Message, count: u64) {
        let account = &mut self.accounts[stream];
        let Some(seq) = account.sequence_in(payload, count) else {
            let text = payload.escape_ascii();
            self.faults.unexpected(|| format!("an acknowledgement that reads {text}"));
            return;
        };
        if seq < count || seq > account.placed.len() as u64 + AHEAD_MAX {
            let name = &account.name;
            self.faults.unexpected(|| format!("{name}: acknowledged at sequence {seq}"));
            return;
        }
        if (account.placed.len() as u64) < seq {
            account.placed.resize(seq as usize, 0);
        }
        let first = seq - count;
        for step in 0..count {
            let place = &mut account.placed[(first + step) as usize];
            let sequence = last.sequence + 1 - count + step;
            if *place != 0 {
                let (name, seq) = (&account.name, first + step + 1);
                self.faults.unexpected(|| format!("{name}: sequence {seq} acknowledged twice"));
            }
            *place = pack(Message { publisher: last.publisher, sequence });
        }
    }

    /// The last sequence acknowledged of a stream.
    pub fn last(&self, stream: usize) -> u64 {
        self.accounts[stream].placed.len() as u64
    }

    /// The message at a sequence.
    pub fn at(&self, stream: usize, seq: u64) -> Option<Message> {
        let index = usize::try_from(seq.checked_sub(1)?).ok()?;
        unpack(*self.accounts[stream].placed.get(index)?)
    }

    /// Messages acknowledged in all.
    pub fn total(&self) -> u64 {
        self.accounts.iter().map(|account| account.placed.len() as u64).sum()
    }

    /// Looks for gaps and for messages of one publisher in another order than it sent them.
    pub fn close(&mut self) {
        for account in &self.accounts {
            let mut next: HashMap<u16, u64> = HashMap::new();
            for (index, &place) in account.placed.iter().enumerate() {
                let (name, seq) = (&account.name, index + 1);
                let Some(message) = unpack(place) else {
                    self.faults.unexpected(|| format!("{name}: sequence {seq} is nobody's"));
                    continue;
                };
                let lowest = next.entry(message.publisher).or_insert(0);
                if message.sequence < *lowest {
                    self.faults.reordered += 1;
                    self.faults.first.get_or_insert_with(|| {
                        format!("{name}: sequence {seq} holds an older message than one before it")
                    });
                }
                *lowest = message.sequence + 1;
            }
        }
    }
}

impl Account {
    /// The sequence in an acknowledgement of `count` messages that is as it must be.
    fn sequence_in(&self, payload: &[u8], count: u64) -> Option<u64> {
        let rest = payload.strip_prefix(&self.head[..])?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let seq = number(&rest[..digits]);
        if count == 1 && &rest[digits..] == b"}" {
            return seq;
        }
        // A batch, or a server that tells more, such as its domain.
        let fields: serde_json::Value = serde_json::from_slice(payload).ok()?;
        let told = fields.get("count").map_or(Some(1), serde_json::Value::as_u64)?;
        let is_plain = fields.get("error").is_none() && fields.get("duplicate").is_none();
        (is_plain && told == count).then_some(seq?)
    }
}

fn pack(message: Message) -> u64 {
    u64::from(message.publisher) << 48 | (message.sequence + 1)
}

fn unpack(place: u64) -> Option<Message> {
    let sequence = (place & SEQUENCE_MASK).checked_sub(1)?;
    Some(Message { publisher: (place >> 48) as u16, sequence })
}

const SEQUENCE_MASK: u64 = (1 << 48) - 1;
/// How far an acknowledgement may be ahead of the others of its stream.
const AHEAD_MAX: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::jetstream::streams::{Shape, Storage};

    fn ledger() -> Ledger {
        let shape = Shape {
            streams: 1,
            subjects: 1,
            keep: None,
            storage: Storage::Memory,
            consumers: None,
        };
        Ledger::new(&Streams::named(&shape, 0))
    }

    fn enter(ledger: &mut Ledger, publisher: u16, sequence: u64, seq: u64) {
        let payload = format!("{{\"stream\":\"LOAD-0000-00000\",\"seq\":{seq}}}");
        ledger.acknowledged(0, payload.as_bytes(), Message { publisher, sequence }, 1);
    }

    #[test]
    fn contiguous_sequences_in_order_are_clean() {
        let mut ledger = ledger();
        enter(&mut ledger, 0, 0, 1);
        enter(&mut ledger, 1, 0, 3);
        enter(&mut ledger, 0, 1, 2);
        ledger.close();
        assert!(ledger.faults.is_clean(), "{:?}", ledger.faults);
        assert_eq!(ledger.at(0, 3), Some(Message { publisher: 1, sequence: 0 }));
        assert_eq!((ledger.last(0), ledger.at(0, 0), ledger.at(0, 4)), (3, None, None));
    }

    #[test]
    fn a_gap_a_repeat_and_an_exchange_are_found() {
        let mut gap = ledger();
        enter(&mut gap, 0, 0, 2);
        gap.close();
        assert_eq!(gap.faults.unexpected, 1);
        let mut repeat = ledger();
        enter(&mut repeat, 0, 0, 1);
        enter(&mut repeat, 0, 1, 1);
        assert_eq!(repeat.faults.unexpected, 1);
        let mut exchange = ledger();
        enter(&mut exchange, 0, 0, 2);
        enter(&mut exchange, 0, 1, 1);
        exchange.close();
        assert_eq!(exchange.faults.reordered, 1);
    }

    #[test]
    fn errors_duplicates_and_other_streams_are_no_acknowledgements() {
        for text in [
            "{\"stream\":\"LOAD-0000-00000\",\"seq\":1,\"duplicate\": true}",
            "{\"error\":{\"code\":503},\"stream\":\"LOAD-0000-00000\",\"seq\":0}",
            "{\"stream\":\"LOAD-0000-00001\",\"seq\":1}",
            "{\"stream\":\"LOAD-0000-00000\",\"seq\":1,\"batch\":\"b\",\"count\":2}",
            "{\"stream\":\"LOAD-0000-00000\",\"seq\":0}",
            "",
        ] {
            let mut ledger = ledger();
            let message = Message { publisher: 0, sequence: 0 };
            ledger.acknowledged(0, text.as_bytes(), message, 1);
            assert_eq!(ledger.faults.unexpected, 1, "{text}");
        }
        let mut ledger = ledger();
        let text = "{\"stream\":\"LOAD-0000-00000\",\"seq\":3,\"batch\":\"b\",\"count\":3}";
        ledger.acknowledged(0, text.as_bytes(), Message { publisher: 0, sequence: 2 }, 3);
        assert!(ledger.faults.is_clean());
        assert_eq!(ledger.at(0, 1), Some(Message { publisher: 0, sequence: 0 }));
    }
}
