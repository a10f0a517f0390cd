//! The watchdog: one thread that wakes a shard whose executor lost a wake-up.
//!
//! glommio can go to sleep with a runnable task when its preemption timer
//! fires at the wrong moment. A shard that stands still while its lanes or its
//! ring hold work, or past its deadline, is woken through the waker of a small
//! task on its executor: glommio then writes its own notifier, which works
//! also when the read of the shard's eventfd is not armed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use atomic_waker::AtomicWaker;

use crate::host;
use crate::mesh::Watch;
use crate::net::RingWatch;

/// How long a shard may stand still with work before it is woken.
const STANDSTILL: Duration = Duration::from_millis(20);

/// What the watchdog knows of one shard beside its lanes.
#[derive(Default)]
pub(super) struct Pulse {
    waker: AtomicWaker,
    ring: OnceLock<RingWatch>,
    woken: AtomicBool,
    /// Wake-ups that were needed.
    pub(super) rescues: AtomicU64,
}

impl Pulse {
    /// Lets the watchdog see the shard's ring.
    pub(super) fn attach(&self, ring: RingWatch) {
        // A shard has one ring for its life.
        drop(self.ring.set(ring));
    }

    fn ring_has_work(&self) -> bool {
        self.ring.get().is_some_and(RingWatch::has_work)
    }

    /// A future of the shard's executor that the watchdog can complete.
    pub(super) async fn rescued(&self) {
        std::future::poll_fn(|context| {
            self.waker.register(context.waker());
            if self.woken.swap(false, Ordering::AcqRel) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    fn rescue(&self) {
        self.woken.store(true, Ordering::Release);
        self.rescues.fetch_add(1, Ordering::Relaxed);
        self.waker.wake();
    }
}

/// Watches all shards until `stop` is set.
#[expect(clippy::disallowed_methods, reason = "the watchdog's own thread sleeps between looks")]
pub(super) fn watch(mesh: &Watch, pulses: &[Arc<Pulse>], stop: &AtomicBool) {
    let mut turns: Vec<u64> = vec![0; pulses.len()];
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(STANDSTILL);
        let now = host::monotonic_ns();
        for (shard, pulse) in pulses.iter().enumerate() {
            let stood_still =
                std::mem::replace(&mut turns[shard], mesh.turns(shard)) == turns[shard];
            let late = mesh.deadline(shard).is_some_and(|deadline| deadline < now);
            let work = late || mesh.inbound_waiting(shard) || pulse.ring_has_work();
            if stood_still && work {
                mesh.wake(shard);
                pulse.rescue();
            }
        }
    }
}
