//! Runs a workload against one server or two in turn, starting servers where asked to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::ratio::Spread;
use crate::connection::Access;
use crate::error::Error;
use crate::progress::Progress;
use crate::result::RunResult;
use crate::server::Server;
use crate::sys::affinity::CpuMask;
use crate::sys::process::{self, Process};
use crate::workload::{RunOptions, Target, Workload};

/// One of the servers to measure.
#[derive(Clone, Debug)]
pub struct Side {
    /// What to call it.
    pub label: String,
    /// How to reach it.
    pub source: Source,
}

/// Where a server comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// It runs already.
    Running {
        /// Where it listens.
        address: SocketAddr,
        /// Its process, if we may watch one.
        process: Option<Process>,
        /// Where it keeps its streams, if that is known.
        store: Option<PathBuf>,
    },
    /// A fresh one for each run.
    Command(String),
    /// The workload needs none.
    None,
}

/// All runs of one workload.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The workload with its parameters.
    pub workload: Workload,
    /// The runs of each side, in order.
    pub sides: Vec<SideOutcome>,
    /// With two sides: ratio A/B of each figure, pair by pair.
    pub ratios: BTreeMap<String, Spread>,
}

/// The runs of one server.
#[derive(Clone, Debug, Serialize)]
pub struct SideOutcome {
    /// What it is called.
    pub label: String,
    /// One for each pair.
    pub runs: Vec<RunResult>,
}

impl SideOutcome {
    /// Median and spread of a figure over the runs.
    pub fn spread(&self, metric: &str) -> Option<Spread> {
        Spread::of(self.runs.iter().filter_map(|run| run.metric(metric)))
    }
}

impl Outcome {
    /// A figure for assertions: the median of the first server, or `ratio.NAME` for a ratio.
    pub fn metric(&self, name: &str) -> Option<f64> {
        match name.strip_prefix("ratio.") {
            Some(name) => self.ratios.get(name).map(|spread| spread.median),
            None => self.sides.first()?.spread(name).map(|spread| spread.median),
        }
    }

    /// The first run with faults, if any.
    pub fn faulty(&self) -> Option<(&str, &RunResult)> {
        self.sides.iter().find_map(|side| {
            let run = side.runs.iter().find(|run| !run.faults.is_clean())?;
            Some((side.label.as_str(), run))
        })
    }
}

/// How to run pairs.
pub struct Plan<'a> {
    /// One server, or two to compare.
    pub sides: &'a [Side],
    /// Runs of each.
    pub pairs: usize,
    /// Where servers we start may run.
    pub server_mask: CpuMask,
    /// How to log in.
    pub access: &'a Access,
    /// Show progress on a terminal.
    pub progress: bool,
}

impl Plan<'_> {
    /// Runs the workload `pairs` times on each side in turn.
    pub fn run(&self, workload: &Workload, options: &RunOptions) -> Result<Outcome, Error> {
        let mut sides: Vec<SideOutcome> = self
            .sides
            .iter()
            .map(|side| SideOutcome { label: side.label.clone(), runs: Vec::new() })
            .collect();
        for pair in 0..self.pairs {
            for (side, outcome) in self.sides.iter().zip(&mut sides) {
                let label =
                    format!("{} {} {}/{}", workload.name(), side.label, pair + 1, self.pairs);
                let progress = Progress::new(&label, self.progress);
                let result = self.run_once(side, workload, options, progress.clone());
                progress.finish();
                outcome.runs.push(result?);
            }
        }
        let ratios = ratios(&sides);
        Ok(Outcome { workload: workload.clone(), sides, ratios })
    }

    fn run_once(
        &self,
        side: &Side,
        workload: &Workload,
        options: &RunOptions,
        progress: Progress,
    ) -> Result<RunResult, Error> {
        let access = self.access.clone();
        match &side.source {
            Source::None => {
                let address = SocketAddr::from(([127, 0, 0, 1], 0));
                let target = Target { address, process: None, access, store: None, is_fresh: true };
                workload.run(&target, options, progress)
            }
            Source::Running { address, process, store } => {
                let process = process.or_else(|| local_process(*address));
                let (address, store) = (*address, store.clone());
                let target = Target { address, process, access, store, is_fresh: false };
                workload.run(&target, options, progress)
            }
            Source::Command(command) => {
                let server = Server::start(command, self.server_mask, &access)?;
                let idle_bytes = server.process.resident_bytes();
                let target = Target {
                    address: server.address,
                    process: Some(server.process),
                    access,
                    store: server.directory.clone(),
                    is_fresh: true,
                };
                let mut result = workload.run(&target, options, progress)?;
                result.extra.insert("start_seconds".into(), server.start_seconds);
                if let Some(bytes) = idle_bytes {
                    result.extra.insert("start_bytes".into(), bytes as f64);
                }
                Ok(result)
            }
        }
    }
}

fn ratios(sides: &[SideOutcome]) -> BTreeMap<String, Spread> {
    let [a, b] = sides else {
        return BTreeMap::new();
    };
    let Some(first) = a.runs.first() else {
        return BTreeMap::new();
    };
    let pair = |name: &str| {
        let both = a.runs.iter().zip(&b.runs);
        Spread::of_ratios(both.filter_map(|(a, b)| a.metric(name).zip(b.metric(name))))
    };
    first
        .compared_metrics()
        .into_iter()
        .filter_map(|name| pair(&name).map(|spread| (name, spread)))
        .collect()
}

/// The process behind an address of this machine, if it can be told.
fn local_process(address: SocketAddr) -> Option<Process> {
    address.ip().is_loopback().then(|| process::listening_on(address.port())).flatten()
}
