//! What this process may do: io_uring, files, locked memory.
//!
//! Limits are those of the process that runs `midge tune`, so it should be run as the service is:
//! by its user, in its container or unit.

use super::super::finding::{Finding, State};
use super::super::system::System;
use super::survey::{change, Plan};

const DISABLED: &str = "/proc/sys/kernel/io_uring_disabled";

/// Whether a ring can be made, and if not which of the possible reasons it is.
pub(super) fn io_uring(system: &dyn System) -> Vec<Finding> {
    let probe = system.probe_ring();
    let sysctl = disabled(probe.is_ok(), system);
    let is_explained = sysctl.state != State::Fine;
    let ring = match probe {
        Ok(()) => Finding::fine("io-uring", "a ring can be made"),
        Err(reason) => Finding::of_hand(
            "io-uring",
            State::Required,
            (reason, "a ring can be made".to_owned()),
            (
                "all sockets and files of the broker go through io_uring: it does not start \
                 without",
                "io_uring is a larger part of the kernel to trust than the calls it replaces",
            ),
            if is_explained {
                "see io-uring-sysctl below"
            } else {
                "in a container: --security-opt seccomp=tuning/seccomp.json; in a unit: allow the \
                 three io_uring calls in SystemCallFilter=; elsewhere see docs/tuning.md"
            },
        ),
    };
    vec![ring, sysctl]
}

fn disabled(works: bool, system: &dyn System) -> Finding {
    const NAME: &str = "io-uring-sysctl";
    let Some(level) = system.number(DISABLED) else {
        return Finding::fine(NAME, "kernel.io_uring_disabled is not there (Linux before 6.6)");
    };
    let group = system.value("/proc/sys/kernel/io_uring_group").unwrap_or_default();
    if level == 0 || (level == 1 && works) {
        return Finding::fine(NAME, format!("kernel.io_uring_disabled={level}"));
    }
    let own = if level == 1 && !group.starts_with('-') {
        format!("; or add the user to the group with the number {group}")
    } else {
        String::new()
    };
    Finding::of_changes(
        NAME,
        State::Required,
        (
            format!("kernel.io_uring_disabled={level}, kernel.io_uring_group={group}"),
            format!("kernel.io_uring_disabled=0{own}"),
        ),
        (
            "1 forbids io_uring to processes without CAP_SYS_ADMIN outside of the group, 2 to all",
            "0 lets every process of the machine use io_uring; 1 with a group is narrower",
        ),
        vec![change(DISABLED, level, 0)],
    )
}

/// A connection is a file; a few more are rings, logs, streams.
pub(super) fn open_files(plan: &Plan, system: &dyn System) -> Finding {
    const NAME: &str = "open-files";
    const REASON: (&str, &str) = (
        "each connection is an open file; the broker raises its soft limit to the hard one itself",
        "some kernel memory for each file that is really open",
    );
    let wanted = plan.connections_max as u64 + FILES_BESIDE_CONNECTIONS;
    match limit("Max open files", system) {
        None => Finding::fine(NAME, "not to be seen here"),
        Some(Limit { hard, .. }) if hard >= wanted => Finding::fine(NAME, shown(hard)),
        Some(Limit { hard, .. }) => Finding::of_hand(
            NAME,
            State::Advised,
            (
                shown(hard),
                format!("{wanted} or more: max_connections and {FILES_BESIDE_CONNECTIONS}"),
            ),
            REASON,
            format!(
                "LimitNOFILE={wanted} in the unit, --ulimit nofile={wanted} for a container, or a \
                 lower max_connections"
            ),
        ),
    }
}

pub(super) fn locked_memory(plan: &Plan, system: &dyn System) -> Finding {
    const NAME: &str = "locked-memory";
    const REASON: (&str, &str) = (
        "kernels charge rings and registered buffers to this limit; without CAP_IPC_LOCK a shard \
         fails to start with ENOMEM above it",
        "that much memory cannot be swapped out",
    );
    let wanted = LOCKED_BYTES_A_SHARD * plan.shards.max(1) as u64;
    match limit("Max locked memory", system) {
        None => Finding::fine(NAME, "not to be seen here"),
        Some(Limit { soft, .. }) if soft >= wanted => Finding::fine(NAME, shown(soft)),
        Some(Limit { soft, .. }) => Finding::of_hand(
            NAME,
            State::Advised,
            (shown(soft), format!("{wanted} bytes or more, 4 MiB a shard")),
            REASON,
            format!("LimitMEMLOCK={wanted} in the unit, --ulimit memlock={wanted} for a container"),
        ),
    }
}

struct Limit {
    soft: u64,
    hard: u64,
}

/// A line of `/proc/self/limits`: name, soft, hard, unit, in columns.
fn limit(name: &str, system: &dyn System) -> Option<Limit> {
    let limits = system.read("/proc/self/limits")?;
    let columns = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let mut columns = columns.split_ascii_whitespace().map(|column| match column {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    });
    Some(Limit { soft: columns.next()??, hard: columns.next()?? })
}

fn shown(limit: u64) -> String {
    if limit == u64::MAX {
        "unlimited".to_owned()
    } else {
        limit.to_string()
    }
}

/// Rings, logs, files of streams.
const FILES_BESIDE_CONNECTIONS: u64 = 1024;

/// Four times what a shard was seen to start with (Linux 6.18, 2 shards, `ulimit -l 2048`).
const LOCKED_BYTES_A_SHARD: u64 = 4 << 20;
