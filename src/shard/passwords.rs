//! Comparing passwords with bcrypt hashes, on threads of its own: a comparison
//! takes a tenth of a second of one core, by design.
//!
//! Bounds: [`HELPERS_MAX`] threads; [`IN_FLIGHT_MAX`] comparisons of one shard
//! at a time. Those that wait, wait in their shard's core, one a connection at
//! most, and are passed over if the connection is gone when their turn comes:
//! a flood of wrong passwords costs no more than the threads.

use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread;

use super::core::{Core, Verification};
use crate::mesh::Watch;

/// Threads at most.
const HELPERS_MAX: usize = 4;

/// Comparisons of one shard that are under way.
const IN_FLIGHT_MAX: usize = 2;

/// Bytes of a helper's stack.
const STACK_BYTES: usize = 256 << 10;

/// The threads, as the shards know them. They end when no shard is left.
#[derive(Clone, Debug)]
pub(super) struct Helpers {
    queues: Vec<Sender<Job>>,
}

#[derive(Debug)]
struct Job {
    verification: Verification,
    shard: usize,
    answer: Sender<(Verification, bool)>,
}

/// One shard's end.
#[derive(Debug)]
pub(super) struct Passwords {
    shard: usize,
    queue: Sender<Job>,
    answer: Sender<(Verification, bool)>,
    answers: Receiver<(Verification, bool)>,
    in_flight: usize,
}

impl Helpers {
    /// Starts a thread for every two shards; `watch` wakes them.
    pub(super) fn start(shards: usize, watch: &Watch) -> std::io::Result<Self> {
        let count = shards.div_ceil(2).min(HELPERS_MAX);
        let mut queues = Vec::with_capacity(count);
        for number in 0..count {
            let (queue, jobs) = channel();
            let watch = watch.clone();
            thread::Builder::new()
                .name(format!("passwords-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || compare_all(&jobs, &watch))?;
            queues.push(queue);
        }
        Ok(Self { queues })
    }

    /// The end of a shard.
    pub(super) fn of_shard(&self, shard: usize) -> Passwords {
        let (answer, answers) = channel();
        let queue = self.queues[shard % self.queues.len()].clone();
        Passwords { shard, queue, answer, answers, in_flight: 0 }
    }
}

impl Passwords {
    /// Hands answers to `core`.
    pub(super) fn take_answers(&mut self, core: &mut Core) {
        while self.in_flight > 0 {
            let Ok((verification, fits)) = self.answers.try_recv() else { return };
            self.in_flight -= 1;
            core.handle_verified(&verification, fits);
        }
    }

    /// Takes what `core` wants compared.
    pub(super) fn take_jobs(&mut self, core: &mut Core) {
        while self.in_flight < IN_FLIGHT_MAX {
            let Some(verification) = core.take_verification() else { return };
            if !core.awaits_verification(&verification) {
                continue;
            }
            let job = Job { verification, shard: self.shard, answer: self.answer.clone() };
            match self.queue.send(job) {
                Ok(()) => self.in_flight += 1,
                // The thread cannot have ended before its shards; a client is
                // refused rather than kept waiting if it has.
                Err(refused) => core.handle_verified(&refused.0.verification, false),
            }
        }
    }
}

fn compare_all(jobs: &Receiver<Job>, watch: &Watch) {
    for Job { verification, shard, answer } in jobs {
        // A hash that is none fits nothing.
        let fits = bcrypt::verify(&verification.secret, &verification.hash).unwrap_or(false);
        if answer.send((verification, fits)).is_ok() {
            watch.wake(shard);
        }
    }
}
