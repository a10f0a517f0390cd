//! What a message holds follows from its number and its stream, so that the model keeps numbers.

use crate::common::Random;

/// A message of the load.
pub(crate) struct Content {
    pub(crate) subject: String,
    pub(crate) id: Option<String>,
    pub(crate) payload: Vec<u8>,
}

impl Content {
    /// Message `number` of a stream.
    pub(crate) fn of(stream: &str, number: u64) -> Self {
        let mut random = Random::new(number ^ 0x5eed);
        let size = match random.below(64) {
            0 => 20_000 + random.below(60_000),
            1..=4 => 1_000 + random.below(4_000),
            5 => 0,
            _ => 8 + random.below(250),
        };
        let subject = format!("crash.{stream}.{}", random.below(SUBJECTS));
        let has_id = random.below(3) == 0;
        let id = has_id.then(|| format!("{stream}-{number}"));
        Self { subject, id, payload: random.bytes(size) }
    }

    /// Its frame, with `more` header lines.
    pub(crate) fn frame(&self, reply: &str, more: &str) -> Vec<u8> {
        let Self { subject, id, payload } = self;
        let id = id.as_ref().map(|id| format!("Nats-Msg-Id: {id}\r\n")).unwrap_or_default();
        let gap = if reply.is_empty() { "" } else { " " };
        let size = payload.len();
        let mut frame = if id.is_empty() && more.is_empty() {
            format!("PUB {subject} {reply}{gap}{size}\r\n").into_bytes()
        } else {
            let block = format!("NATS/1.0\r\n{id}{more}\r\n");
            let (header, total) = (block.len(), block.len() + size);
            format!("HPUB {subject} {reply}{gap}{header} {total}\r\n{block}").into_bytes()
        };
        frame.extend_from_slice(payload);
        frame.extend_from_slice(b"\r\n");
        frame
    }
}

pub(crate) const SUBJECTS: usize = 7;
