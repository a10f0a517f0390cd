//! What the process costs.

use super::system_calls;

/// Nanoseconds of processor time that all threads have used.
pub fn cpu_time_ns() -> u64 {
    let (seconds, nanos) = system_calls::cpu_time();
    seconds.unsigned_abs() * 1_000_000_000 + nanos.unsigned_abs()
}

/// Bytes of memory that are resident, if the kernel tells.
#[expect(clippy::disallowed_methods, reason = "a file without a disk behind it")]
pub fn resident_bytes() -> Option<u64> {
    let pages = resident_pages(&std::fs::read_to_string("/proc/self/statm").ok()?)?;
    Some(pages * system_calls::page_bytes())
}

/// The second field of `/proc/self/statm`.
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Lets every other thread go first. The caller's own thread only; a kernel that refuses leaves
/// it as it is.
pub fn lower_thread_priority() {
    system_calls::set_thread_nice(NICE);
}

/// A quarter of the share of a shard, which the kernel lets run first when it wakes.
const NICE: i32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        assert!(resident_bytes().unwrap() > 100_000);
        assert!(cpu_time_ns() > 0);
        assert_eq!(resident_pages("100 25 3 4 0 5 0\n"), Some(25));
        assert_eq!(resident_pages(""), None);
    }
}
