//! How many shards there are and which processor each has.

use std::fmt;

use crate::config::Options;
use crate::host;

/// A processor that shards were to run on is not there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "shards: processor {cpu} is not among those this process may use ({available}): see `taskset`, \
     CPUAffinity= of the unit, or cpuset.cpus of the control group"
)]
pub struct PlacementError {
    /// As configured.
    pub cpu: usize,
    /// The affinity mask, as ranges.
    pub available: String,
}

/// The processors of the shards, by shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placement {
    cpus: Vec<usize>,
}

impl Placement {
    /// What the options ask for on this machine.
    pub(super) fn of(options: &Options) -> Result<Self, PlacementError> {
        let available = host::available_cpus();
        let wanted = options.shard_cpus.as_deref();
        Self::among(&available, wanted, options.shards, host::default_shards)
    }

    /// Without a list of processors, shards beyond those available share them in turn: harmless in
    /// tests, slow at work. With a list there is one shard for each, unless a number says fewer.
    fn among(
        available: &[usize],
        wanted: Option<&[usize]>,
        count: Option<usize>,
        default: impl Fn() -> usize,
    ) -> Result<Self, PlacementError> {
        let Some(wanted) = wanted else {
            let count = count.unwrap_or_else(default);
            return Ok(Self { cpus: available.iter().copied().cycle().take(count).collect() });
        };
        if let Some(cpu) = wanted.iter().copied().find(|cpu| !available.contains(cpu)) {
            return Err(PlacementError { cpu, available: host::cpu_ranges(available) });
        }
        Ok(Self { cpus: wanted.iter().copied().take(count.unwrap_or(wanted.len())).collect() })
    }

    pub(super) fn shards(&self) -> usize {
        self.cpus.len()
    }

    /// The processor of a shard; `shard < shards()`.
    pub(super) fn cpu(&self, shard: usize) -> usize {
        self.cpus[shard]
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.cpus.clone();
        cpus.sort_unstable();
        cpus.dedup();
        write!(f, "{} (processors {})", self.shards(), host::cpu_ranges(&cpus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(
        available: &[usize],
        wanted: Option<&[usize]>,
        count: Option<usize>,
    ) -> Result<Vec<usize>, String> {
        let placement = Placement::among(available, wanted, count, || 2);
        placement.map(|placement| placement.cpus).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_list_shards_go_round_the_processors_available() {
        assert_eq!(among(&[4, 5, 6], None, None), Ok(vec![4, 5]));
        assert_eq!(among(&[4, 5], None, Some(3)), Ok(vec![4, 5, 4]));
    }

    #[test]
    fn a_list_gives_each_processor_a_shard_in_its_order() {
        assert_eq!(among(&[0, 1, 2, 3], Some(&[3, 1]), None), Ok(vec![3, 1]));
        assert_eq!(among(&[0, 1, 2, 3], Some(&[3, 1]), Some(1)), Ok(vec![3]));
    }

    #[test]
    fn a_processor_that_is_not_there_is_named() {
        let error = among(&[0, 1, 2, 5], Some(&[1, 3]), None).unwrap_err();
        assert!(error.starts_with("shards: processor 3 is not among"), "{error}");
        assert!(error.contains("(0-2,5)"), "{error}");
    }

    #[test]
    fn the_log_shows_where_shards_run() {
        let placement = Placement { cpus: vec![1, 0, 1] };
        assert_eq!(placement.to_string(), "3 (processors 0-1)");
    }
}
