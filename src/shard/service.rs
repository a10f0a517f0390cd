//! Tells the service manager that the broker is ready, stopping and alive.
//!
//! With a watchdog one thread asks every shard for a sign of life twice in the time the manager
//! waits: it rings the shard's eventfd and looks at the next beat whether the shard has turned
//! since. A shard that has not keeps the manager from hearing anything, and the manager ends the
//! process. Without a watchdog there is no thread, and idle shards are never woken.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::host::{ServiceManager, ServiceState};
use crate::log::Log;
use crate::mesh::Watch;

/// The service manager, if there is one.
#[derive(Clone)]
pub(super) struct Service {
    manager: Option<Arc<ServiceManager>>,
    log: Log,
}

/// The watchdog's thread, until it is dropped.
pub(super) struct Watchdog {
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    pub(super) fn of_environment(log: &Log) -> Self {
        let manager = ServiceManager::from_environment().unwrap_or_else(|error| {
            log.warning(format_args!("the service manager cannot be told anything: {error}"));
            None
        });
        Self { manager: manager.map(Arc::new), log: log.clone() }
    }

    /// Clients are served at `address`.
    pub(super) fn ready(&self, address: &str) {
        self.tell(ServiceState::Ready(&format!("Serving clients on {address}")));
    }

    pub(super) fn stopping(&self) {
        self.tell(ServiceState::Stopping);
    }

    /// Starts the watchdog if the manager wants one.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn watch(&self, shards: Watch) -> std::io::Result<Option<Watchdog>> {
        let Some(interval) = self.manager.as_ref().and_then(|manager| manager.watchdog()) else {
            return Ok(None);
        };
        let service = self.clone();
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("watchdog".to_owned()).stack_size(64 << 10);
        let thread = thread.spawn(move || {
            let mut pulse = Pulse::default();
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                service.beat(&mut pulse, &shards, interval);
            }
        })?;
        Ok(Some(Watchdog { stop: Some(stop), thread: Some(thread) }))
    }

    fn beat(&self, pulse: &mut Pulse, shards: &Watch, interval: Duration) {
        match pulse.handle_turns((0..shards.shards()).map(|shard| shards.turns(shard))) {
            None => self.tell(ServiceState::Alive),
            Some(shard) => self.log.error(format_args!(
                "shard {shard} has not turned for {interval:?}: the service manager is not told \
                 that this server is alive"
            )),
        }
        for shard in 0..shards.shards() {
            // False only before the shard has attached its eventfd; then it is turning anyway.
            let _attached = shards.wake(shard);
        }
    }

    fn tell(&self, state: ServiceState<'_>) {
        let told = self.manager.as_ref().map_or(Ok(()), |manager| manager.tell(state));
        if let Err(error) = told {
            self.log.warning(format_args!("the service manager does not listen: {error}"));
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // The thread cannot fail.
            drop(thread.join());
        }
    }
}

/// What the shards' turn counters were at the last beat.
#[derive(Debug, Default)]
struct Pulse {
    turns: Vec<u64>,
}

impl Pulse {
    /// Takes the counters of a beat, by shard, and names the first that stands still. The first
    /// beat finds everybody alive: nobody had been asked before.
    fn handle_turns(&mut self, turns: impl Iterator<Item = u64>) -> Option<usize> {
        let last = std::mem::replace(&mut self.turns, turns.collect());
        last.iter().zip(&self.turns).position(|(last, now)| last == now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_stands_still_is_found_at_the_next_beat() {
        let mut pulse = Pulse::default();
        assert_eq!(pulse.handle_turns([0, 0].into_iter()), None);
        assert_eq!(pulse.handle_turns([1, 5].into_iter()), None);
        assert_eq!(pulse.handle_turns([2, 5].into_iter()), Some(1));
        assert_eq!(pulse.handle_turns([2, 6].into_iter()), Some(0));
        assert_eq!(pulse.handle_turns([3, 7].into_iter()), None);
    }
}
