//! Figures of another process from `/proc`: processor time, resident memory, who listens where.

use std::fs;

/// A process whose use of processor and memory is watched.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
}

impl Process {
    /// Processor time of all its threads in nanoseconds.
    ///
    /// The scheduler's account of each thread is exact to the nanosecond but lags by up to one
    /// clock tick while the thread runs, and forgets threads that ended; `stat`, which counts in
    /// ticks, is the fallback.
    pub fn cpu_ns(&self) -> Option<u64> {
        self.cpu_from_schedstat().or_else(|| self.cpu_from_stat())
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kib * 1024)
    }

    fn cpu_from_schedstat(&self) -> Option<u64> {
        let mut total = 0u64;
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid)).ok()?.flatten() {
            // A thread may end between the listing and the read; it then counts as nothing.
            if let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) {
                total += text.split_ascii_whitespace().next()?.parse::<u64>().ok()?;
            }
        }
        (total > 0).then_some(total)
    }

    fn cpu_from_stat(&self) -> Option<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // The name in parentheses may contain blanks: count fields after its end.
        let fields = stat.get(stat.rfind(')')? + 1..)?;
        let mut fields = fields.split_ascii_whitespace().skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        // SAFETY: sysconf reads a constant and touches no memory of ours.
        let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
        Some((user + system) * 1_000_000_000 / ticks)
    }
}

/// Finds the process that listens on a TCP port of this machine, if we may see it.
pub fn listening_on(port: u16) -> Option<Process> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .find_map(|table| listening_inode(&table, port))?;
    let wanted = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(files) = fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let holds = files
            .flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == &*wanted));
        if holds {
            return Some(Process { pid });
        }
    }
    None
}

/// Raises the limit of open files to the hard limit, and returns it.
pub fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writes.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return 1024;
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is valid for reads.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    limit.rlim_cur
}

fn listening_inode(table: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, hex) = fields.get(1)?.rsplit_once(':')?;
        let matches = u16::from_str_radix(hex, 16).ok()? == port && *fields.get(3)? == LISTEN;
        matches.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_has_processor_time_and_memory() {
        let own = Process { pid: std::process::id() };
        assert!(own.cpu_ns().unwrap() > 0);
        assert!(own.resident_bytes().unwrap() > 100_000);
    }

    #[test]
    fn the_listener_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listening_on(port).unwrap().pid, std::process::id());
    }
}
