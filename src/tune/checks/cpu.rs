//! Processors: time granted, frequency, clock, nodes.

use std::path::Path;

use super::super::finding::{Change, Finding, State};
use super::super::system::System;
use super::survey::{change, Plan};
use crate::host;

/// A quota is spent by all shards together and refilled every 100 ms.
pub(super) fn quota(plan: &Plan, system: &dyn System) -> Finding {
    const NAME: &str = "cpu-quota";
    let membership = system.read("/proc/self/cgroup").unwrap_or_default();
    let read = |path: &Path| path.to_str().and_then(|path| system.read(path));
    let Some(quota) = host::cpu_quota_from(&membership, &read) else {
        return Finding::fine(NAME, "no quota");
    };
    let is = format!("{quota} cores for {} shards", plan.shards);
    if quota >= plan.shards as f64 {
        return Finding::fine(NAME, is);
    }
    Finding::of_hand(
        NAME,
        State::Advised,
        (is, "no quota, or a whole core for each shard".to_owned()),
        (
            "when the quota is spent all shards stand still for the rest of 100 ms: that is the \
             latency tail, and a long busy_poll spends quota on looking",
            "processor time that other groups cannot have",
        ),
        "give processors instead of time: AllowedCPUs= in the unit, --cpuset-cpus for a container; \
         or fewer shards and no busy_poll",
    )
}

pub(super) fn governor(plan: &Plan, system: &dyn System) -> Finding {
    const NAME: &str = "cpu-governor";
    let mut changes: Vec<Change> = Vec::new();
    let mut found = false;
    for cpu in &plan.cpus {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
        let Some(governor) = system.value(&path) else { continue };
        found = true;
        if governor != "performance" {
            changes.push(change(&path, governor, "performance"));
        }
    }
    let Some(first) = changes.first() else {
        let is = if found { "performance" } else { "firmware or hypervisor sets the frequency" };
        return Finding::fine(NAME, is);
    };
    Finding::of_changes(
        NAME,
        State::Advised,
        (
            format!("{} on {} of {} processors", first.before, changes.len(), plan.cpus.len()),
            "performance".to_owned(),
        ),
        (
            "a core that was asleep starts slowly: messages after a pause wait for its frequency",
            "power and heat while idle",
        ),
        changes,
    )
}

pub(super) fn clock_source(system: &dyn System) -> Finding {
    const NAME: &str = "clock-source";
    const DIRECTORY: &str = "/sys/devices/system/clocksource/clocksource0";
    let current = format!("{DIRECTORY}/current_clocksource");
    let Some(clock) = system.value(&current) else {
        return Finding::fine(NAME, "not to be seen here");
    };
    if FAST_CLOCKS.contains(&clock.as_str()) {
        return Finding::fine(NAME, clock);
    }
    let available = system.read(&format!("{DIRECTORY}/available_clocksource")).unwrap_or_default();
    let better = available.split_ascii_whitespace().find(|name| FAST_CLOCKS.contains(name));
    let texts = |better: &str| (clock.clone(), better.to_owned());
    let reason = (
        "a shard reads the clock once a turn; this source costs a system call or a slow device",
        "none where the kernel offers it; if it was given up as unstable (dmesg) it may drift",
    );
    match better {
        Some(better) => {
            let changes = vec![change(&current, &clock, better)];
            Finding::of_changes(NAME, State::Advised, texts(better), reason, changes)
        }
        None => Finding::of_hand(
            NAME,
            State::Advised,
            texts(FAST_CLOCKS[0]),
            reason,
            "the kernel offers none that is faster: look in dmesg for why, and at the hypervisor",
        ),
    }
}

pub(super) fn numa(plan: &Plan, system: &dyn System) -> Finding {
    const NAME: &str = "numa";
    let mut used = Vec::new();
    let mut nodes = 0;
    for name in system.list("/sys/devices/system/node") {
        let Some(node) = name.strip_prefix("node").and_then(|node| node.parse::<usize>().ok())
        else {
            continue;
        };
        nodes += 1;
        let list = system.value(&format!("/sys/devices/system/node/{name}/cpulist"));
        let cpus = cpu_list(&list.unwrap_or_default());
        if plan.cpus.iter().any(|cpu| cpus.contains(cpu)) {
            used.push((node, host::cpu_ranges(&cpus)));
        }
    }
    if used.len() < 2 {
        return Finding::fine(NAME, format!("shards on one of {} nodes", nodes.max(1)));
    }
    let shown: Vec<String> =
        used.iter().map(|(node, cpus)| format!("node {node}: processors {cpus}")).collect();
    Finding::of_hand(
        NAME,
        State::Advised,
        (
            format!("shards on {} nodes ({})", used.len(), shown.join("; ")),
            "shards on the node of the network card, if its processors are enough".to_owned(),
        ),
        (
            "lanes between nodes cross the interconnect with every batch",
            "the processors of the other nodes stay unused by this broker",
        ),
        format!("shards {{ cpus: \"{}\" }}", used[0].1),
    )
}

/// `0-3,6` as the kernel writes it; what is no list is empty.
pub(super) fn cpu_list(text: &str) -> Vec<usize> {
    let mut cpus = Vec::new();
    for item in text.trim().split(',') {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cpus.extend(first..=last.min(first.saturating_add(CPUS_MAX)));
        }
    }
    cpus
}

/// Sources that are read without entering the kernel.
const FAST_CLOCKS: [&str; 5] =
    ["tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page", "riscv_clocksource"];

/// More processors than any kernel is built for.
const CPUS_MAX: usize = 8192;
