//! Memory: huge pages, swapping.

use super::super::finding::{Finding, State};
use super::super::system::System;
use super::survey::change;

pub(super) fn huge_pages(system: &dyn System) -> Finding {
    const NAME: &str = "huge-pages";
    const PATH: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
    match system.value(PATH) {
        None => Finding::fine(NAME, "not built into this kernel"),
        Some(mode) if mode != "always" => Finding::fine(NAME, mode),
        Some(mode) => Finding::of_changes(
            NAME,
            State::Advised,
            (mode, "madvise".to_owned()),
            (
                "with always the kernel may stop a shard to compact memory, and pads an idle \
                 connection's few KiB to 2 MiB",
                "programs that profit without asking for huge pages lose them",
            ),
            vec![change(PATH, "always", "madvise")],
        ),
    }
}

pub(super) fn swapping(system: &dyn System) -> Finding {
    const NAME: &str = "swapping";
    const PATH: &str = "/proc/sys/vm/swappiness";
    let swaps = system.read("/proc/swaps").unwrap_or_default();
    // The first line is the heading.
    if swaps.lines().count() < 2 {
        return Finding::fine(NAME, "no swap");
    }
    match system.number(PATH) {
        None => Finding::fine(NAME, "not to be seen here"),
        Some(swappiness) if swappiness <= SWAPPINESS_MAX => {
            Finding::fine(NAME, format!("vm.swappiness={swappiness}"))
        }
        Some(swappiness) => Finding::of_changes(
            NAME,
            State::Advised,
            (format!("vm.swappiness={swappiness}, with swap"), format!("{SWAPPINESS_MAX} or less")),
            (
                "a page of interest or of a stream's index that was swapped out stops its shard \
                 for a read of the disk",
                "the kernel gives up cached files sooner instead",
            ),
            vec![change(PATH, swappiness, SWAPPINESS_SET)],
        ),
    }
}

const SWAPPINESS_MAX: u64 = 10;
const SWAPPINESS_SET: u64 = 1;
