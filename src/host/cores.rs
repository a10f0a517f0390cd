//! Which cores this process may run on, and how many shards they are worth.

use super::cgroup::cpu_quota;
use super::system_calls::affinity_mask;

/// The cores of the affinity mask, ascending. Never empty: core 0 if the kernel does not tell.
pub fn available_cpus() -> Vec<usize> {
    let cores = affinity_mask().map(|mask| set_bits(&mask)).unwrap_or_default();
    if cores.is_empty() {
        vec![0]
    } else {
        cores
    }
}

/// Ascending processor numbers as the kernel writes lists of them: `0-3,6`.
pub fn cpu_ranges(cpus: &[usize]) -> String {
    let runs = cpus.chunk_by(|left, right| *right == *left + 1);
    let shown = runs.filter_map(|run| match run {
        [] => None,
        [only] => Some(only.to_string()),
        [first, .., last] => Some(format!("{first}-{last}")),
    });
    shown.collect::<Vec<_>>().join(",")
}

/// How many shards to run when nobody says: one for each usable core, but no more than the
/// processor time of the cgroup keeps busy, and at least one.
pub fn default_shards() -> usize {
    shards_for(available_cpus().len(), cpu_quota())
}

/// A quota of 1.5 cores is worth two shards: a half-used shard costs less than a core that
/// connections cannot reach.
fn shards_for(cores: usize, quota: Option<f64>) -> usize {
    let worth = (1..=cores).find(|shards| quota.is_some_and(|quota| *shards as f64 >= quota));
    worth.unwrap_or(cores).max(1)
}

fn set_bits(mask: &[u8]) -> Vec<usize> {
    let bits = mask.iter().enumerate().flat_map(|(at, byte)| {
        (0..8).filter(move |bit| byte & (1 << bit) != 0).map(move |bit| at * 8 + bit)
    });
    bits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_become_core_numbers() {
        assert_eq!(set_bits(&[0b0000_0101, 0b1000_0000]), [0, 2, 15]);
        assert!(set_bits(&[0, 0]).is_empty());
    }

    #[test]
    fn lists_of_processors_are_short() {
        assert_eq!(cpu_ranges(&[0, 1, 2, 3, 6]), "0-3,6");
        assert_eq!(cpu_ranges(&[1, 3, 4]), "1,3-4");
        assert_eq!(cpu_ranges(&[]), "");
    }

    #[test]
    fn a_quota_lowers_the_number_of_shards() {
        assert_eq!(shards_for(8, None), 8);
        assert_eq!(shards_for(8, Some(1.5)), 2);
        assert_eq!(shards_for(8, Some(2.0)), 2);
        assert_eq!(shards_for(8, Some(0.2)), 1);
        assert_eq!(shards_for(2, Some(64.0)), 2);
        assert_eq!(shards_for(0, None), 1);
    }

    #[test]
    fn this_machine_has_a_core() {
        assert!(!available_cpus().is_empty());
        assert!((1..=available_cpus().len()).contains(&default_shards()));
    }
}
