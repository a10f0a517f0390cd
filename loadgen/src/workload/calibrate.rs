//! What the generator itself spends on a message: stamping and checking in memory, no sockets.

use crate::error::Error;
use crate::progress::Progress;
use crate::recorder::{Recorder, Span};
use crate::sys::clock;
use crate::wire::frames::FrameRing;
use crate::wire::ledger::{Expect, Ledger};
use crate::workload::subscriber::{Inbox, Sink};

/// Nanoseconds a message.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Stamping a frame with sequence, time and checksum.
    pub stamp_ns: f64,
    /// Recognising a delivery, verifying it, and accounting for it.
    pub check_ns: f64,
}

/// Stamps and checks about `messages` messages with payloads of `size` bytes.
pub fn run(size: usize, messages: u64) -> Result<Cost, Error> {
    let mut ring = FrameRing::new("load.0000", 0, size, RING_BYTES, 1);
    let mut inbox = Inbox::new(Ledger::new(size, 0, 1, Expect::Every, 1), "load.0000", size);
    let span = Span { warmup_ns: 0, measure_ns: u64::MAX / 2, count: None };
    let mut recorder = Recorder::start(span, None, Progress::new("", false));
    recorder.advance(clock::now(), 0, 0);
    let (published, delivered) =
        (format!("PUB load.0000 {size}\r\n"), format!("MSG load.0000 1 {size}\r\n"));
    let mut stream = Vec::new();
    let (mut stamp_ns, mut check_ns) = (0, 0);
    while ring.sequence() < messages {
        let started = clock::thread_cpu();
        ring.stamp(u64::MAX, clock::now());
        let stamped = clock::thread_cpu();
        stream.clear();
        for frame in ring.pending().chunks_exact(ring.frame_bytes()) {
            stream.extend_from_slice(delivered.as_bytes());
            stream.extend_from_slice(&frame[published.len()..]);
        }
        ring.wrote(ring.pending().len());
        let received = clock::thread_cpu();
        let mut sink =
            Sink { now_ns: clock::now(), roll: None, recorder: &mut recorder, record_every: false };
        inbox.take(&stream, &mut sink);
        check_ns += clock::thread_cpu() - received;
        stamp_ns += stamped - started;
    }
    let count = ring.sequence();
    let faults = inbox.ledger.close(&[count]);
    if !faults.is_clean() {
        return Err(Error::Protocol(format!("own messages fail the check: {faults:?}")));
    }
    Ok(Cost { stamp_ns: stamp_ns as f64 / count as f64, check_ns: check_ns as f64 / count as f64 })
}

const RING_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    #[test]
    fn own_messages_pass_the_check() {
        for size in [0, 8, 16, 100, 1000] {
            super::run(size, 20_000).unwrap();
        }
    }
}
