//! A few threads for what blocks or takes long: file names and syncs, password hashes. A shard
//! never does these itself.
//!
//! Bound: work that may wait; what finds no room is handed back.

use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TrySendError};
use std::sync::Arc;

/// A pool of worker threads; they end when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Workers {
    work: SyncSender<Work>,
}

type Work = Box<dyn FnOnce() + Send>;

impl Workers {
    /// Starts `threads` threads; at most `waiting_max` pieces of work wait for them.
    ///
    /// # Errors
    /// A thread could not be started.
    pub fn start(threads: usize, waiting_max: usize) -> std::io::Result<Self> {
        let (work, waiting) = sync_channel::<Work>(waiting_max);
        let waiting = Arc::new(Shared::new(waiting));
        for number in 0..threads {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                while let Some(work) = take(&waiting) {
                    work();
                }
            })?;
        }
        Ok(Self { work })
    }

    /// Has a thread do `work`.
    ///
    /// # Errors
    /// Too much waits already: the work comes back.
    pub fn run(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Box<dyn FnOnce() + Send>> {
        self.work.try_send(work).map_err(|error| match error {
            TrySendError::Full(work) | TrySendError::Disconnected(work) => work,
        })
    }
}

#[expect(clippy::disallowed_types, reason = "worker threads share a queue; no shard touches it")]
type Shared = std::sync::Mutex<Receiver<Work>>;

/// The next piece of work; `None` when there will be no more.
fn take(waiting: &Shared) -> Option<Work> {
    // A thread that panicked has aborted the process.
    waiting.lock().ok()?.recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn work_is_done_and_too_much_of_it_comes_back() {
        let workers = Workers::start(1, 1).unwrap();
        let (done, results) = channel();
        let (release, gate) = channel::<()>();
        let first = done.clone();
        workers
            .run(Box::new(move || {
                first.send(0).unwrap();
                gate.recv().unwrap();
            }))
            .unwrap_or_else(|_| panic!("there is room"));
        // The thread is at the first piece: one more may wait, and no third.
        assert_eq!(results.recv().unwrap(), 0);
        let second = done.clone();
        assert!(workers.run(Box::new(move || second.send(1).unwrap())).is_ok());
        assert!(workers.run(Box::new(|| {})).is_err());
        release.send(()).unwrap();
        assert_eq!(results.recv().unwrap(), 1);
    }
}
