//! Log lines: formatted by whoever has something to say, written by one thread.
//!
//! A [`Log`] is a handle that every thread may hold. A line goes through a bounded queue to the
//! writer thread, the only one that touches standard error or the log file; so nobody who logs
//! waits for a pipe that nobody reads.
//!
//! Bounds: [`QUEUE_BYTES_MAX`] bytes wait for the writer. A line beyond that is dropped and
//! counted ([`Log::dropped_lines`]); when the writer gets through again it writes how many are
//! missing. A line the sink refuses is counted too. Fatal lines are queued whatever the bound.
//! At exit [`Log::flush`] waits for the writer, but not longer than it is told to.
//!
//! A syslog daemon that does not take a line within two seconds costs that line.
//!
//! The lines are nats-server's: `[PID] 2026/11/21 12:00:00.123456 [INF] text`, local time unless
//! told otherwise, the level in colour if standard error is a terminal. Asked for JSON, each line
//! is an object: `{"time":...,"level":"info","pid":7,"text":...}`, the time in UTC.

mod handle;
mod level;
mod line;
mod sink;
mod syslog;
mod writer;

pub use handle::{Log, LogOptions, LogTarget, OpenTarget, QUEUE_BYTES_MAX};
pub use level::Level;
pub use sink::LogError;
