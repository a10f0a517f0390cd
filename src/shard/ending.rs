//! How a shard ends: signals, lame duck mode, the announced end, and what it waits for.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

use super::message::Message;
use super::task::ShardTask;

/// How long other shards have to route that the server ends before it does.
const LEAVE_WAIT: u64 = 100_000_000;

/// How long a shutdown waits for clients to take what is queued.
const STOP_WAIT: u64 = 500_000_000;

/// How long it waits beyond that for the store to write what it knows.
const STORE_WAIT: u64 = 3_500_000_000;

/// How far the server is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    /// Lame duck mode; clients are closed from this moment on.
    LameDuck {
        close_at: Option<u64>,
    },
    /// The end is announced; it comes when that has been routed, or by this moment.
    Leaving {
        by: u64,
    },
    /// Everything is being closed, by this moment at the latest.
    Stopping {
        by: u64,
    },
    Stopped,
}

impl ShardTask {
    /// When the stage has to go on at the latest.
    pub(super) fn stage_deadline(&self) -> Option<u64> {
        match self.stage {
            Stage::LameDuck { close_at } => close_at,
            Stage::Leaving { by } => Some(by),
            Stage::Stopping { by } if by > self.now => Some(by),
            Stage::Stopping { by } => Some(by + STORE_WAIT),
            Stage::Serving | Stage::Stopped => None,
        }
    }

    /// Goes on with the stage, if it is time.
    pub(super) fn advance_stage(&mut self) {
        match self.stage {
            Stage::LameDuck { close_at } => self.advance_lame_duck(close_at),
            Stage::Leaving { by } => {
                if by <= self.now || self.core.is_all_routed() {
                    self.stop_all();
                }
            }
            Stage::Stopping { by } => {
                let all = self.acceptor.is_none() || self.stopped + 1 == self.endpoint.shards();
                let clients_gone = (self.core.connections() == 0 && all) || by <= self.now;
                let stored = match &mut self.jetstream {
                    Some(jetstream) if clients_gone && by + STORE_WAIT > self.now => {
                        jetstream.stop()
                    }
                    _ => true,
                };
                if clients_gone && stored {
                    if self.acceptor.is_none() {
                        self.endpoint.push_control(0, Message::Stopped);
                        self.endpoint.wake_parked();
                    }
                    self.stage = Stage::Stopped;
                }
            }
            Stage::Serving | Stage::Stopped => {}
        }
    }

    pub(super) fn handle_signals(&mut self, signals: u32) {
        let came = |signal: i32| signals & (1 << signal) != 0;
        if came(SIGUSR1) {
            self.control.log.reopen();
        }
        if came(SIGHUP) {
            self.reload();
        }
        if came(SIGINT) || came(SIGTERM) && !matches!(self.stage, Stage::LameDuck { .. }) {
            let name = if came(SIGINT) { "interrupt" } else { "terminated" };
            self.control.log.info(format_args!("Trapped \"{name}\" signal"));
            self.leave();
        } else if came(SIGUSR2) && self.stage == Stage::Serving {
            self.enter_lame_duck();
        }
    }

    fn enter_lame_duck(&mut self) {
        let log = &self.control.log;
        log.info(format_args!("Entering lame duck mode, stop accepting new clients"));
        self.close_listeners();
        self.stage = Stage::LameDuck { close_at: Some(self.now + self.control.lame_duck_grace) };
        self.core.note_lame_duck();
        self.tell_all(|| Message::LameDuck);
        self.core.enter_lame_duck();
    }

    fn advance_lame_duck(&mut self, close_at: Option<u64>) {
        let Some(acceptor) = &self.acceptor else { return };
        if acceptor.connections() == 0 {
            self.leave();
        } else if close_at.is_some_and(|at| at <= self.now) {
            self.control.log.info(format_args!("Closing existing clients"));
            let control = &self.control;
            let duration = control.lame_duck_duration.saturating_sub(control.lame_duck_grace);
            self.stage = Stage::LameDuck { close_at: None };
            self.tell_all(|| Message::CloseOver(duration));
            self.core.close_over(duration);
        }
    }

    /// Shard 0: says that the server ends, if anybody listens, and ends it.
    fn leave(&mut self) {
        self.control.log.info(format_args!("Initiating Shutdown..."));
        if matches!(self.stage, Stage::Leaving { .. }) {
            return self.stop_all();
        }
        if self.announce_end() && self.endpoint.shards() > 1 {
            self.stage = Stage::Leaving { by: self.now + LEAVE_WAIT };
        } else {
            self.stop_all();
        }
    }

    fn stop_all(&mut self) {
        self.tell_all(|| Message::Stop);
        self.stop();
    }

    pub(super) fn stop(&mut self) {
        if matches!(self.stage, Stage::Stopping { .. } | Stage::Stopped) {
            return;
        }
        self.stage = Stage::Stopping { by: self.now + STOP_WAIT };
        self.close_listeners();
        self.core.close_all();
    }
}
