//! The network: where its interrupts go, how long its queues are, who polls.

use super::super::finding::{Change, Finding, State};
use super::super::system::System;
use super::cpu::cpu_list;
use super::survey::{at_least, change, Plan};
use crate::host;

/// The backlog that the broker asks for when it listens.
const BACKLOG: u64 = 4096;

/// Interrupts of network queues belong on the processors of the shards: what a packet brings is
/// then in the cache of the core that reads it, and no other core has to be woken for it.
pub(super) fn interrupts(plan: &Plan, system: &dyn System) -> Finding {
    const NAME: &str = "network-interrupts";
    let queues = queue_interrupts(system);
    if queues.is_empty() {
        return Finding::fine(NAME, "no network queue with an interrupt of its own");
    }
    let mut changes: Vec<Change> = Vec::new();
    for (at, interrupt) in queues.iter().enumerate() {
        let path = format!("/proc/irq/{interrupt}/smp_affinity_list");
        let Some(affinity) = system.value(&path) else { continue };
        let allowed = cpu_list(&affinity);
        if !allowed.iter().all(|cpu| plan.cpus.contains(cpu)) {
            changes.push(change(&path, affinity, plan.cpus[at % plan.cpus.len()]));
        }
    }
    let cpus = host::cpu_ranges(&plan.cpus);
    if changes.is_empty() {
        let is = format!("{} queues on the shards' processors ({cpus})", queues.len());
        return Finding::fine(NAME, is);
    }
    let moved: Vec<String> = changes
        .iter()
        .map(|change| {
            let interrupt = change.path.split('/').nth(3).unwrap_or_default();
            format!("{interrupt} on {}", change.before)
        })
        .collect();
    Finding::of_changes(
        NAME,
        State::Advised,
        (
            format!("interrupts elsewhere too: {}", moved.join(", ")),
            format!("one shard's processor each, of {cpus}"),
        ),
        (
            "a packet handled on another core has to be fetched from that core's cache, and may \
             wake a processor that was asleep",
            "the shards' cores also do the kernel's part of receiving; irqbalance moves interrupts \
             back unless it is told not to; for the shortest tail on isolated cores do the \
             opposite and keep them away",
        ),
        changes,
    )
}

/// Interrupts of the queues of all network devices, ascending; not those for configuration.
fn queue_interrupts(system: &dyn System) -> Vec<u32> {
    let mut owned: Vec<u32> = Vec::new();
    for device in system.list("/sys/class/net") {
        // A virtio device sits on the PCI device that has the interrupts.
        for place in ["device/msi_irqs", "device/../msi_irqs"] {
            let names = system.list(&format!("/sys/class/net/{device}/{place}"));
            owned.extend(names.iter().filter_map(|name| name.parse::<u32>().ok()));
        }
    }
    owned.sort_unstable();
    owned.dedup();
    let table = system.read("/proc/interrupts").unwrap_or_default();
    owned.retain(|interrupt| {
        let line = table.lines().find_map(|line| {
            let (number, rest) = line.trim_start().split_once(':')?;
            (number.parse() == Ok(*interrupt)).then_some(rest)
        });
        // Of a queue, and in use: an interrupt without a handler is not in the table.
        line.is_some_and(|line| {
            let name = line.split_ascii_whitespace().last().unwrap_or_default();
            !["config", "async", "mgmt", "event", "control"].iter().any(|word| name.contains(word))
        })
    });
    owned
}

/// How many connections may wait to be accepted.
pub(super) fn queues(system: &dyn System) -> [Finding; 2] {
    [
        at_least(
            "accept-backlog",
            "/proc/sys/net/core/somaxconn",
            BACKLOG,
            (
                "the kernel cuts the listener's backlog to this: when many clients reconnect at \
                 once the rest is refused or tries again after a second",
                "some memory for each connection that waits",
            ),
            system,
        ),
        at_least(
            "syn-backlog",
            "/proc/sys/net/ipv4/tcp_max_syn_backlog",
            BACKLOG,
            (
                "handshakes under way; above it the kernel falls back to SYN cookies",
                "some memory for each handshake",
            ),
            system,
        ),
    ]
}

/// Polling by the kernel itself is for programs that sleep in `poll` or `recv`.
pub(super) fn busy_polling(system: &dyn System) -> Finding {
    const NAME: &str = "kernel-busy-poll";
    let mut changes = Vec::new();
    let mut seen = false;
    for path in ["/proc/sys/net/core/busy_poll", "/proc/sys/net/core/busy_read"] {
        let Some(microseconds) = system.number(path) else { continue };
        seen = true;
        if microseconds != 0 {
            changes.push(change(path, microseconds, 0));
        }
    }
    if changes.is_empty() {
        return Finding::fine(NAME, if seen { "off" } else { "not to be seen here" });
    }
    Finding::of_changes(
        NAME,
        State::Advised,
        ("net.core.busy_poll or busy_read is set".to_owned(), "0, both".to_owned()),
        (
            "the broker sleeps in its ring, which these do not reach; each of its receives polls \
             the card first all the same. Polling for the broker is shards { busy_poll }",
            "other programs on this machine that rely on it lose it",
        ),
        changes,
    )
}
