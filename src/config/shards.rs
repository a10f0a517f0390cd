//! The `shards` block: how many there are, on which processors, how long they look for work
//! before they sleep, and how much memory each may hold.
//!
//! ```text
//! shards {
//!   count: 4            # default: one for each processor below
//!   cpus: "0-3,6"       # default: the affinity mask
//!   busy_poll: "50us"   # default: 20us; 0 never polls
//!   memory: 64MB        # default: 20MiB
//! }
//! ```
//!
//! `shards: 4` is short for `shards { count: 4 }`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::entry::Entry;
use super::findings::{Findings, Problem};
use super::grammar::{Node, Value};
use super::validate::go_duration;
use super::Options;

/// Why a list of processors is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CpuListError {
    #[error("{0:?} is no processor number or range of them")]
    Item(String),
    #[error("processor {0} is too high, the highest number is {CPU_MAX}")]
    TooHigh(String),
    #[error("the range {0} runs backwards")]
    Backwards(String),
    #[error("processor {0} stands twice")]
    Twice(usize),
    #[error("no processor is listed")]
    Empty,
}

/// Reads the value of `shards` into `options`. A block says all of it: what it leaves out is the
/// default.
pub(super) fn shards(node: &Node, options: &mut Options, findings: &mut Findings) {
    let defaults = Options::default();
    options.shards = None;
    options.shard_cpus = None;
    options.shard_busy_poll = defaults.shard_busy_poll;
    options.shard_memory = defaults.shard_memory;
    let Value::Map(map) = &node.value else {
        match count(Entry { name: "shards", node }) {
            Ok(count) => options.shards = count,
            Err(problem) => findings.error(node, problem),
        }
        return;
    };
    for (name, node) in map {
        if let Err(problem) = field(Entry { name, node }, options) {
            findings.error(node, problem);
        }
    }
}

fn field(entry: Entry<'_>, options: &mut Options) -> Result<(), Problem> {
    match entry.name.to_lowercase().as_str() {
        "count" => options.shards = count(entry)?,
        "cpus" => options.shard_cpus = Some(cpus(entry.node)?),
        "busy_poll" => options.shard_busy_poll = busy_poll(entry)?,
        "memory" => options.shard_memory = memory(entry)?,
        _ if entry.node.used_as_variable => {}
        _ => return Err(Problem::Unknown(entry.name.to_owned())),
    }
    Ok(())
}

/// 0 lets the machine decide.
fn count(entry: Entry<'_>) -> Result<Option<usize>, Problem> {
    let count = usize::try_from(entry.integer()?);
    let count = count.map_err(|_| Problem::Negative(entry.name.to_owned()))?;
    Ok((count > 0).then_some(count))
}

fn cpus(node: &Node) -> Result<Vec<usize>, Problem> {
    let text = match &node.value {
        Value::Array(items) => {
            let items: Result<Vec<String>, Problem> = items.iter().map(cpu_item).collect();
            items?.join(",")
        }
        _ => cpu_item(node)?,
    };
    parse_cpu_list(&text).map_err(Problem::Cpus)
}

fn cpu_item(node: &Node) -> Result<String, Problem> {
    match &node.value {
        Value::Integer(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text.clone()),
        other => Err(Problem::Type { found: other.go_type(), wanted: "string" }),
    }
}

/// `0-3,6` in the order written, which is the order of the shards.
fn parse_cpu_list(text: &str) -> Result<Vec<usize>, CpuListError> {
    let mut cpus = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        for cpu in parse_cpu_range(item)? {
            if cpus.contains(&cpu) {
                return Err(CpuListError::Twice(cpu));
            }
            cpus.push(cpu);
        }
    }
    if cpus.is_empty() {
        return Err(CpuListError::Empty);
    }
    Ok(cpus)
}

fn parse_cpu_range(item: &str) -> Result<RangeInclusive<usize>, CpuListError> {
    let (first, last) = item.split_once('-').unwrap_or((item, item));
    let number = |digits: &str| {
        let digits = digits.trim();
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(CpuListError::Item(item.to_owned()));
        }
        let number = digits.parse().ok().filter(|number| *number <= CPU_MAX);
        number.ok_or_else(|| CpuListError::TooHigh(digits.to_owned()))
    };
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(CpuListError::Backwards(item.to_owned()));
    }
    Ok(first..=last)
}

/// A duration; unlike elsewhere 0 is itself and not the default.
fn busy_poll(entry: Entry<'_>) -> Result<Duration, Problem> {
    let duration = match &entry.node.value {
        Value::Integer(0) => Duration::ZERO,
        _ => entry.written_duration()?,
    };
    if duration > BUSY_POLL_MAX {
        return Err(Problem::BusyPollLong(go_duration(duration), go_duration(BUSY_POLL_MAX)));
    }
    Ok(duration)
}

/// Bytes; 0 is the default.
fn memory(entry: Entry<'_>) -> Result<usize, Problem> {
    let bytes = entry.size(MEMORY_MAX, Options::default().shard_memory)?;
    if bytes < MEMORY_MIN {
        return Err(Problem::ShardMemorySmall(bytes, MEMORY_MIN));
    }
    Ok(bytes)
}

/// The highest processor number of any Linux kernel.
const CPU_MAX: usize = 8191;

/// Looking for work for longer than this saves nobody anything: the rule that polling follows
/// only gaps that were shorter makes it permanent long before.
const BUSY_POLL_MAX: Duration = Duration::from_secs(1);

/// Four receive buffers and twelve chunks to send from.
const MEMORY_MIN: usize = 1 << 20;

const MEMORY_MAX: i64 = 16 << 30;

#[cfg(test)]
mod tests {
    use super::super::file::tests::{complains, options};
    use super::*;

    #[test]
    fn a_number_is_short_for_the_count() {
        assert_eq!(options("shards: 3").shards, Some(3));
        assert_eq!(options("shards { count: 3 }").shards, Some(3));
        assert_eq!(options("shards: 0").shards, None);
        assert_eq!(options("shards {}"), options("shards { }"));
    }

    #[test]
    fn a_block_says_everything() {
        let options =
            options("shards {\n count: 2\n cpus: \"0-2,6\"\n busy_poll: 50us\n memory: 64MB\n}\n");
        assert_eq!(options.shards, Some(2));
        assert_eq!(options.shard_cpus, Some(vec![0, 1, 2, 6]));
        assert_eq!(options.shard_busy_poll, Duration::from_micros(50));
        assert_eq!(options.shard_memory, 64 << 20);
    }

    #[test]
    fn processors_keep_the_order_written() {
        for (text, cpus) in [
            ("shards { cpus: 3 }", &[3][..]),
            ("shards { cpus: \"3\" }", &[3]),
            ("shards { cpus: [3, 1] }", &[3, 1]),
            ("shards { cpus: [\"4-5\", 1] }", &[4, 5, 1]),
            ("shards { cpus: \" 6 , 0 - 2, \" }", &[6, 0, 1, 2]),
        ] {
            assert_eq!(options(text).shard_cpus.as_deref(), Some(cpus), "{text}");
        }
    }

    #[test]
    fn lists_that_are_none_are_told() {
        for (text, complaint) in [
            ("shards { cpus: \"a\" }", "\"a\" is no processor number or range of them"),
            ("shards { cpus: \"1-\" }", "\"1-\" is no processor number or range of them"),
            ("shards { cpus: \"1-2-3\" }", "\"1-2-3\" is no processor number or range of them"),
            ("shards { cpus: -1 }", "\"-1\" is no processor number or range of them"),
            ("shards { cpus: \"3-1\" }", "the range 3-1 runs backwards"),
            ("shards { cpus: \"0-2,1\" }", "processor 1 stands twice"),
            ("shards { cpus: \"\" }", "no processor is listed"),
            ("shards { cpus: [] }", "no processor is listed"),
            ("shards { cpus: 8192 }", "processor 8192 is too high, the highest number is 8191"),
            (
                "shards { cpus: \"0-99999999999999999999\" }",
                "processor 99999999999999999999 is too high, the highest number is 8191",
            ),
        ] {
            complains(text, &format!("f:1:9: error parsing cpus: {complaint}\n"));
        }
        complains(
            "shards { cpus: true }",
            "f:1:9: interface conversion: interface {} is bool, not string\n",
        );
    }

    #[test]
    fn polling_has_a_bound_and_zero_is_zero() {
        for (text, poll) in [
            ("shards { busy_poll: 0 }", Duration::ZERO),
            ("shards { busy_poll: \"0s\" }", Duration::ZERO),
            ("shards { busy_poll: \"1s\" }", BUSY_POLL_MAX),
            ("shards {}", Duration::from_micros(20)),
        ] {
            assert_eq!(options(text).shard_busy_poll, poll, "{text}");
        }
        complains(
            "shards { busy_poll: \"1.5s\" }",
            "f:1:9: invalid busy_poll of 1.5s, maximum is 1s\n",
        );
        complains(
            "shards { busy_poll: 5 }",
            "f:1:9: interface conversion: interface {} is int64, not string\n",
        );
        complains(
            "shards { busy_poll: \"-1s\" }",
            "f:1:9: error parsing busy_poll: duration \"-1s\" can not be negative\n",
        );
    }

    #[test]
    fn memory_has_a_range() {
        assert_eq!(options("shards { memory: 0 }").shard_memory, 20 << 20);
        assert_eq!(options("shards { memory: 1MB }").shard_memory, 1 << 20);
        complains(
            "shards { memory: 1000 }",
            "f:1:9: invalid memory of 1000 bytes for a shard, minimum is 1048576\n",
        );
        complains("shards { memory: 17GB }", "f:1:9: memory value is too big\n");
        complains("shards { memory: -1 }", "f:1:9: memory value can not be negative\n");
    }

    #[test]
    fn every_mistake_of_a_block_is_told() {
        complains(
            "shards { count: -1\n n: 1 }",
            "f:1:9: count value can not be negative\nf:2:2: unknown field \"n\"\n",
        );
    }
}
