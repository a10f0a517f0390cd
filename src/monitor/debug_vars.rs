//! `/debug/vars`: the process, under the names Go programs use.

use serde::Serialize;

use super::process::Usage;

#[derive(Debug, Serialize)]
pub(super) struct DebugVars<'a> {
    cmdline: &'a [String],
    memstats: MemoryStats,
}

/// Of Go's many figures those that mean something without a collector.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MemoryStats {
    sys: u64,
}

/// The page.
pub(super) fn debug_vars(command_line: &[String], usage: Usage) -> DebugVars<'_> {
    DebugVars { cmdline: command_line, memstats: MemoryStats { sys: usage.memory_bytes } }
}
