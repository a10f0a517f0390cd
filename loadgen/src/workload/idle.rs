//! Connections that do nothing: how fast the server takes them and what each costs it in memory.
//!
//! Up to [`PENDING_MAX`] handshakes run at a time. Each connection subscribes to subjects nobody
//! publishes to and counts as open when its PONG is back. While held, PINGs are answered and a
//! connection the server closes ends the run with an error.

use serde::Serialize;

use super::{run_seed, RunOptions, Target};
use crate::connection::{Connection, ReadBuffer};
use crate::error::Error;
use crate::progress::Progress;
use crate::recorder::{Recorder, Span};
use crate::result::RunResult;
use crate::sys::{clock, epoll::Epoll, process, signal};
use crate::wire::ledger::Faults;

/// Parameters of the workload.
#[derive(Clone, Debug, Serialize)]
pub struct Idle {
    /// Connections to open.
    pub connections: usize,
    /// Subscriptions of each.
    pub subscriptions: usize,
    /// Seconds to hold them open.
    pub hold_seconds: f64,
}

/// Runs the workload once.
pub fn run(
    spec: &Idle,
    target: &Target,
    options: &RunOptions,
    progress: Progress,
) -> Result<RunResult, Error> {
    let files = process::raise_open_files() as usize;
    if spec.connections == 0 || spec.connections + 16 > files {
        return Err(Error::Usage(format!("connections must be 1 to {}", files - 16)));
    }
    let span = Span { warmup_ns: 0, measure_ns: u64::MAX / 2, count: None };
    let resident = || target.process.and_then(|process| process.resident_bytes());
    let before = resident();
    let mut recorder = Recorder::start(span, target.process, progress);
    let mut crowd = Crowd::new()?;
    crowd.open(spec, target, options, &mut recorder)?;
    crowd.watch(SETTLE_NS)?;
    let grown = resident().zip(before).map(|(after, before)| after as f64 - before as f64);
    crowd.watch((spec.hold_seconds * 1e9) as u64)?;

    let closing = clock::now();
    drop(crowd);
    // The server answers a newcomer only after it has seen to those that left before.
    Connection::open(target.address, &target.access, b"")?;
    let close_seconds = (clock::now() - closing) as f64 / 1e9;

    let mut result = RunResult::new("idle", 0, recorder.summary(), Faults::default());
    result.verified = spec.connections as u64;
    result.extra.insert("connect_rate".into(), result.rate);
    result.extra.insert("close_seconds".into(), close_seconds);
    if let Some(bytes) = grown {
        result.extra.insert("bytes_per_connection".into(), bytes / spec.connections as f64);
    }
    Ok(result)
}

struct Crowd {
    epoll: Epoll,
    buffer: ReadBuffer,
    connections: Vec<Connection>,
}

impl Crowd {
    fn new() -> Result<Self, Error> {
        Ok(Self { epoll: Epoll::new()?, buffer: ReadBuffer::new(0), connections: Vec::new() })
    }

    fn open(
        &mut self,
        spec: &Idle,
        target: &Target,
        options: &RunOptions,
        recorder: &mut Recorder,
    ) -> Result<(), Error> {
        let tag = run_seed() as u16;
        let mut open = 0;
        let mut progress_ns = clock::now();
        recorder.advance(progress_ns, 0, 0);
        while open < spec.connections {
            while self.connections.len() < spec.connections
                && self.connections.len() - open < PENDING_MAX
            {
                let index = self.connections.len();
                let setup: String = (1..=spec.subscriptions)
                    .map(|sid| format!("SUB idle.{tag:04x}.{index}.{sid} {sid}\r\n"))
                    .collect();
                let connection =
                    Connection::begin(target.address, &target.access, setup.as_bytes())?;
                self.epoll.add(connection.descriptor(), index)?;
                self.connections.push(connection);
            }
            let opened = self.serve(POLL_NS)?;
            open += opened;
            let now_ns = clock::now();
            recorder.advance(now_ns, self.connections.len() as u64, open as u64);
            if opened > 0 {
                progress_ns = now_ns;
            } else if now_ns - progress_ns > options.patience_ns {
                let missing = spec.connections - open;
                return Err(Error::Server(format!("{missing} connections got no PONG")));
            }
        }
        recorder.finish(clock::now(), open as u64, open as u64);
        Ok(())
    }

    /// Answers PINGs for a while.
    fn watch(&mut self, for_ns: u64) -> Result<(), Error> {
        let until = clock::now() + for_ns;
        while clock::now() < until {
            self.serve(POLL_NS)?;
        }
        Ok(())
    }

    /// Waits once and handles what came; returns how many connections got their first PONG.
    fn serve(&mut self, timeout_ns: u64) -> Result<usize, Error> {
        if signal::stop_requested() {
            return Err(Error::Interrupted);
        }
        let mut opened = 0;
        for ready in self.epoll.wait(timeout_ns)? {
            let connection = &mut self.connections[ready.token];
            connection.readable |= ready.readable;
            connection.writable |= ready.writable;
            let before = connection.pongs;
            while connection.readable {
                connection.pull_messages(&mut self.buffer, |_, _| {})?;
            }
            opened += usize::from(before == 0 && connection.pongs > 0);
            connection.answer_pings()?;
        }
        Ok(opened)
    }
}

/// Handshakes in flight; well below the backlog servers listen with.
const PENDING_MAX: usize = 128;
/// Time for the server's memory to settle before it is read.
const SETTLE_NS: u64 = 300_000_000;
const POLL_NS: u64 = 10_000_000;
