//! Which processors a thread or a process may run on.

use crate::error::Error;

/// A set of processor numbers as the kernel wants it.
#[derive(Clone, Copy)]
pub struct CpuMask(libc::cpu_set_t);

impl CpuMask {
    /// Builds a mask from processor numbers; numbers beyond the kernel's table are refused.
    pub fn new(cpus: &[usize]) -> Result<Self, Error> {
        // SAFETY: cpu_set_t is an array of integers, for which all zero is a valid value.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        for &cpu in cpus {
            if cpu >= libc::CPU_SETSIZE as usize {
                return Err(Error::Usage(format!("there is no processor {cpu}")));
            }
            // SAFETY: `cpu` is below CPU_SETSIZE, so the bit lies inside `set`.
            unsafe { libc::CPU_SET(cpu, &mut set) };
        }
        Ok(Self(set))
    }

    /// The mask of the calling thread.
    pub fn current() -> Self {
        // SAFETY: as in `new`.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: `set` is valid for writes of its own size.
        unsafe { libc::sched_getaffinity(0, std::mem::size_of_val(&set), &mut set) };
        Self(set)
    }

    /// Confines the calling thread to the mask. Async-signal-safe: usable between fork and exec.
    pub fn apply(&self) -> std::io::Result<()> {
        // SAFETY: the set is valid for reads of its own size.
        let rc = unsafe { libc::sched_setaffinity(0, std::mem::size_of_val(&self.0), &self.0) };
        if rc == 0 {
            Ok(())
        } else {
            Err(std::io::Error::last_os_error())
        }
    }
}

impl std::fmt::Debug for CpuMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // SAFETY: every index is below CPU_SETSIZE, so the bit lies inside the set.
        let holds = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &self.0) };
        f.debug_set().entries((0..libc::CPU_SETSIZE as usize).filter(holds)).finish()
    }
}

/// Reads a list such as `0`, `0,2` or `1-3`.
pub fn parse_list(text: &str) -> Result<Vec<usize>, String> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let parse = |s: &str| s.trim().parse::<usize>().map_err(|_| format!("bad processor: {s}"));
        let (low, high) = (parse(low)?, parse(high)?);
        if low > high || high >= libc::CPU_SETSIZE as usize {
            return Err(format!("bad processor range: {part}"));
        }
        cpus.extend(low..=high);
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::parse_list;

    #[test]
    fn lists_and_ranges_are_read() {
        assert_eq!(parse_list("0").unwrap(), [0]);
        assert_eq!(parse_list("0,2-4").unwrap(), [0, 2, 3, 4]);
        assert!(parse_list("4-2").is_err());
        assert!(parse_list("x").is_err());
        assert!(parse_list("0-99999999").is_err());
    }
}
