//! The loads that can be put on a server, each in its own file, and what they have in common.

pub mod calibrate;
pub mod floor;
pub mod idle;
pub mod jetstream;
pub mod pubsub;
pub mod request;
pub mod subs;
pub mod subscriber;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use crate::connection::Access;
use crate::error::Error;
use crate::progress::Progress;
use crate::recorder::Span;
use crate::result::RunResult;
use crate::sys::{affinity::CpuMask, process::Process};

/// The server under load.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process, to read processor time and memory.
    pub process: Option<Process>,
    /// How to log in.
    pub access: Access,
    /// Where it keeps its streams, to see them grow.
    pub store: Option<PathBuf>,
    /// It was started for this run alone: nothing needs to be cleaned up in it.
    pub is_fresh: bool,
}

/// How long and how carefully to run, whatever the workload.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Warm-up and measured span.
    pub span: Span,
    /// Bytes in flight that a closed loop keeps to.
    pub window_bytes: usize,
    /// Fixed spin margin of the pacer instead of the measured one.
    pub spin_ns: Option<u64>,
    /// How long to wait for outstanding messages once nothing more arrives.
    pub patience_ns: u64,
    /// Where servers may run, the floor's relay included.
    pub server_mask: CpuMask,
}

/// One load with its parameters.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Publishers and subscribers.
    PubSub(pubsub::PubSub),
    /// Requesters and responders.
    Request(request::Request),
    /// Many subscriptions on few connections.
    Subs(subs::Subs),
    /// Many connections that do nothing.
    Idle(idle::Idle),
    /// Publishers into streams.
    Stream(jetstream::stream::Stream),
    /// Readers of stored messages.
    Get(jetstream::get::Get),
    /// Consumers of a stream.
    Consume(jetstream::consume::Consume),
    /// Many consumers with little to do.
    Fleet(jetstream::fleet::Fleet),
    /// Consumers with many filters, made one after the other.
    Create(jetstream::create::Create),
    /// A bare echo server: what the machine itself costs.
    Floor(floor::Floor),
}

impl Workload {
    /// Runs it once.
    pub fn run(
        &self,
        target: &Target,
        options: &RunOptions,
        progress: Progress,
    ) -> Result<RunResult, Error> {
        match self {
            Self::PubSub(spec) => pubsub::run(spec, target, options, progress),
            Self::Request(spec) => request::run(spec, target, options, progress),
            Self::Subs(spec) => subs::run(spec, target, options, progress),
            Self::Idle(spec) => idle::run(spec, target, options, progress),
            Self::Stream(spec) => jetstream::stream::run(spec, target, options, progress),
            Self::Get(spec) => jetstream::get::run(spec, target, options, progress),
            Self::Consume(spec) => jetstream::consume::run(spec, target, options, progress),
            Self::Fleet(spec) => jetstream::fleet::run(spec, target, options, progress),
            Self::Create(spec) => jetstream::create::run(spec, target, options, progress),
            Self::Floor(spec) => floor::run(spec, options, progress),
        }
    }

    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PubSub(_) => "pubsub",
            Self::Request(_) => "request",
            Self::Subs(_) => "subs",
            Self::Idle(_) => "idle",
            Self::Stream(_) => "stream",
            Self::Get(_) => "get",
            Self::Consume(_) => "consume",
            Self::Fleet(_) => "fleet",
            Self::Create(_) => "create",
            Self::Floor(_) => "floor",
        }
    }
}

/// A number no other run has, to tell its subjects and payloads from theirs.
pub fn run_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library keys each hasher state from the system's random source.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
