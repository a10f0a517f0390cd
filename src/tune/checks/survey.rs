//! All checks in the order of the report.

use super::super::finding::{Change, Finding, State};
use super::super::system::System;
use super::{cpu, memory, network, process, storage};

/// What the broker is to run with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Plan {
    /// The processors of its shards, ascending, each once. Never empty.
    pub(in super::super) cpus: Vec<usize>,
    /// Shards there will be.
    pub(in super::super) shards: usize,
    /// Client connections there may be.
    pub(in super::super) connections_max: usize,
    /// Where streams are kept: an absolute path that exists. `None` without JetStream.
    pub(in super::super) store_dir: Option<String>,
}

/// Looks at everything.
pub(in super::super) fn survey(plan: &Plan, system: &dyn System) -> Vec<Finding> {
    let mut findings = process::io_uring(system);
    findings.push(process::open_files(plan, system));
    findings.push(process::locked_memory(plan, system));
    findings.push(cpu::quota(plan, system));
    findings.push(cpu::governor(plan, system));
    findings.push(cpu::clock_source(system));
    findings.push(cpu::numa(plan, system));
    findings.push(network::interrupts(plan, system));
    findings.extend(network::queues(system));
    findings.push(network::busy_polling(system));
    findings.push(memory::huge_pages(system));
    findings.push(memory::swapping(system));
    findings.extend(storage::store(plan, system));
    findings
}

/// A number that should be at least so high, in one file.
pub(super) fn at_least(
    name: &'static str,
    path: &str,
    wanted: u64,
    (why, cost): (&'static str, &'static str),
    system: &dyn System,
) -> Finding {
    match system.number(path) {
        None => Finding::fine(name, "not to be seen here"),
        Some(number) if number >= wanted => Finding::fine(name, number.to_string()),
        Some(number) => Finding::of_changes(
            name,
            State::Advised,
            (number.to_string(), format!("{wanted} or more")),
            (why, cost),
            vec![change(path, number, wanted)],
        ),
    }
}

pub(super) fn change(path: &str, before: impl ToString, after: impl ToString) -> Change {
    Change { path: path.to_owned(), before: before.to_string(), after: after.to_string() }
}
