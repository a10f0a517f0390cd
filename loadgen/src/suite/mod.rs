//! A table of workloads run one after the other, pairwise against two servers.

mod rows;
pub mod table;

pub use rows::{built_in, parse, Row};

use serde::Serialize;

use crate::compare::pairs::Outcome;
use crate::result::RunResult;

/// The outcome of one row.
#[derive(Serialize)]
pub struct RowOutcome {
    /// The row's name.
    pub name: String,
    /// Names of the figures it shows.
    pub figures: Vec<String>,
    /// Its runs.
    pub outcome: Outcome,
    /// The machine's own latency at the same rate, for rows that measure latency.
    pub floor: Option<FloorPair>,
}

/// The floor under one row.
#[derive(Serialize)]
pub struct FloorPair {
    /// Over a relay that sleeps when there is nothing to do.
    pub asleep: RunResult,
    /// Over a relay that never sleeps.
    pub awake: RunResult,
}
