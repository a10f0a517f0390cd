//! The C library calls the standard library has no safe door to. One call a block; everything
//! that decides something stands elsewhere.

use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;

/// Soft and hard limit of open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimit {
    /// What the process may use now.
    pub soft: u64,
    /// How far it may raise that itself.
    pub hard: u64,
}

/// Raises the soft limit of open files to the hard one and says what they are afterwards. Each
/// connection costs one file, so the soft default of 1,024 would refuse most of
/// `max_connections`.
pub fn raise_file_limit() -> io::Result<FileLimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid `rlimit` that outlives the call, which only writes to it.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    check(read)?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a valid `rlimit` that outlives the call, which only reads it.
        let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
        check(raised)?;
    }
    Ok(FileLimit { soft: limit.rlim_cur, hard: limit.rlim_max })
}

/// Sends a signal to one process. Process ids below 1 address groups and are refused.
pub fn send_signal(pid: i32, signal: i32) -> io::Result<()> {
    if pid < 1 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: no memory is passed; the kernel checks both numbers and our right to send.
    check(unsafe { libc::kill(pid, signal) })
}

/// The affinity mask of the calling thread, as bytes with core 0 in the lowest bit.
pub(super) fn affinity_mask() -> io::Result<Vec<u8>> {
    let mut mask = vec![0_u8; MASK_BYTES];
    let words = mask.as_mut_ptr().cast::<libc::cpu_set_t>();
    // SAFETY: `words` points to `MASK_BYTES` writable bytes that live until after the call, and
    // the system call writes at most that many. It asks for no alignment: the kernel copies
    // bytes, and no reference to `cpu_set_t` is formed.
    let read = unsafe { libc::sched_getaffinity(0, MASK_BYTES, words) };
    check(read)?;
    Ok(mask)
}

/// Seconds east of UTC that the local time zone has at `unix_s`, and 0 if the C library cannot
/// tell.
pub(super) fn utc_offset_s(unix_s: i64) -> i64 {
    let mut local = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are to live, aligned values of the right type; `localtime_r` reads
    // the first and writes the second. It reads `TZ` under the C library's own lock, and this
    // program never changes its environment.
    let filled = unsafe { libc::localtime_r(&unix_s, local.as_mut_ptr()) };
    if filled.is_null() {
        return 0;
    }
    // SAFETY: the call returned its second argument, so it has filled every field.
    let local = unsafe { local.assume_init() };
    local.tm_gmtoff
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(super) fn monotonic() -> (i64, i64) {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid `timespec` that outlives the call, which only writes to it. The
    // clock exists on every Linux, so the call cannot fail.
    let _always_zero = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    (now.tv_sec, now.tv_nsec)
}

/// Processor time of all threads of the process.
pub(super) fn cpu_time() -> (i64, i64) {
    let mut used = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `used` is a valid `timespec` that outlives the call, which only writes to it. The
    // clock exists on every Linux, so the call cannot fail.
    let _always_zero = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut used) };
    (used.tv_sec, used.tv_nsec)
}

/// Bytes of a page of memory.
pub(super) fn page_bytes() -> u64 {
    // SAFETY: no memory is passed, and the call only reads a constant.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4096)
}

/// Sets the nice value of the calling thread.
pub(super) fn set_thread_nice(nice: i32) {
    // SAFETY: no memory is passed; 0 names the calling thread.
    let _refused_is_fine = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) };
}

/// The IPv4 and IPv6 addresses of interfaces that are up.
pub(super) fn interface_addresses() -> io::Result<Vec<IpAddr>> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `list` is a valid place for the one pointer that the call writes.
    check(unsafe { libc::getifaddrs(&mut list) })?;
    let mut addresses = Vec::new();
    let mut next = list.cast_const();
    // SAFETY: the list is not freed yet, and each entry is null or a valid `ifaddrs` that nobody
    // writes to.
    while let Some(entry) = unsafe { next.as_ref() } {
        let is_up = entry.ifa_flags & libc::IFF_UP.unsigned_abs() != 0;
        // SAFETY: the address of an entry is null or points to a `sockaddr` of the length that its
        // family says; the list keeps it until it is freed below.
        let address = unsafe { ip_address(entry.ifa_addr) };
        addresses.extend(address.filter(|_| is_up));
        next = entry.ifa_next.cast_const();
    }
    // SAFETY: `list` came from `getifaddrs`, is freed once, and nothing borrows from it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(addresses)
}

/// The address in a socket address of one of the two families.
///
/// # Safety
/// `address` is null, or points to a socket address as long as its family says.
unsafe fn ip_address(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: null or valid, says the caller; every socket address begins with its family.
    let family = i32::from(unsafe { address.as_ref() }?.sa_family);
    if family == libc::AF_INET {
        // SAFETY: the family says that the address is a `sockaddr_in`; it is copied out whatever
        // its alignment.
        let inet = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
        Some(IpAddr::from(inet.sin_addr.s_addr.to_ne_bytes()))
    } else if family == libc::AF_INET6 {
        // SAFETY: the family says that the address is a `sockaddr_in6`; it is copied out whatever
        // its alignment.
        let inet6 = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
        Some(IpAddr::from(inet6.sin6_addr.s6_addr))
    } else {
        None
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Room for 8,192 cores, the most a Linux kernel is built for.
const MASK_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_limit_ends_at_the_hard_limit() {
        let limit = raise_file_limit().unwrap();
        assert_eq!(limit.soft, limit.hard);
    }

    #[test]
    fn signal_zero_reaches_ourselves_and_nobody_else() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(send_signal(own, 0).is_ok());
        assert!(send_signal(0, 0).is_err());
        assert!(send_signal(-1, 0).is_err());
        assert!(send_signal(i32::MAX, 0).is_err());
    }

    #[test]
    fn the_affinity_mask_has_a_core() {
        assert!(affinity_mask().unwrap().iter().any(|byte| *byte != 0));
    }
}
