//! Requests and replies over all shards, in a closed loop, with the longest
//! wait kept.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::common::{Broker, Raw};

/// Probes under way against one broker.
pub(crate) struct Probes {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    epoch: Instant,
    stop: AtomicBool,
    /// Per probe: nanoseconds of the last answer since the epoch.
    answered: Vec<AtomicU64>,
}

impl Probes {
    /// Starts `count` requesters, each with a responder of its own; connections
    /// are placed in turn, so that the pairs lie across shards.
    pub(crate) fn start(broker: &Broker, count: usize) -> Self {
        let shared = Arc::new(Shared {
            epoch: Instant::now(),
            stop: AtomicBool::new(false),
            answered: (0..count).map(|_| AtomicU64::new(0)).collect(),
        });
        let threads = (0..count).map(|probe| {
            let mut responder = Raw::open(broker);
            responder.send(format!("SUB probe.{probe} 1\r\n"));
            responder.fence();
            let mut requester = Raw::open(broker);
            // One more, so that the next pair starts on another shard.
            let spare = Raw::open(broker);
            requester.send("SUB inbox 1\r\n".replace("inbox", &format!("inbox.{probe}")));
            requester.fence();
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let _spare = spare;
                while !shared.stop.load(Ordering::Relaxed) {
                    requester.send(format!("PUB probe.{probe} inbox.{probe} 2\r\nhi\r\n"));
                    let request = responder.message();
                    assert_eq!(request.payload, b"hi");
                    responder.send(format!("PUB inbox.{probe} 2\r\nho\r\n"));
                    assert_eq!(requester.message().payload, b"ho");
                    let now = shared.epoch.elapsed().as_nanos() as u64;
                    shared.answered[probe].store(now, Ordering::Release);
                }
            })
        });
        let threads = threads.collect();
        Self { shared, threads }
    }

    /// Waits until every probe has been answered after this moment; how long
    /// the slowest one took, in nanoseconds.
    pub(crate) fn all_answer(&self) -> u64 {
        let from = self.shared.epoch.elapsed().as_nanos() as u64;
        let limit = Instant::now() + crate::common::PATIENCE;
        loop {
            let answers = self.shared.answered.iter().map(|at| at.load(Ordering::Acquire));
            let oldest = answers.min().unwrap();
            if oldest > from {
                return self.shared.epoch.elapsed().as_nanos() as u64 - from;
            }
            assert!(Instant::now() < limit, "a probe is never answered");
            std::thread::yield_now();
        }
    }

    pub(crate) fn finish(self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}
