//! Edge-triggered readiness with timeouts in nanoseconds.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::error::Error;

/// One epoll instance. Descriptors are added once, edge-triggered, for reading and writing.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// What one descriptor is ready for.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The token given to [`Epoll::add`].
    pub token: usize,
    /// Reading may give bytes, an end, or an error.
    pub readable: bool,
    /// Writing may take bytes.
    pub writable: bool,
}

impl Epoll {
    /// Opens an instance that reports up to 256 events a wait.
    pub fn new() -> Result<Self, Error> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(Error::last_os("epoll_create1"));
        }
        // SAFETY: `fd` was just opened and nothing else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; 256] })
    }

    /// Watches `fd`; its events carry `token`.
    pub fn add(&self, fd: RawFd, token: usize) -> Result<(), Error> {
        let interest = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: interest as u32, u64: token as u64 };
        // SAFETY: `event` is valid for the call; the kernel copies it.
        let rc =
            unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) };
        if rc == 0 {
            Ok(())
        } else {
            Err(Error::last_os("epoll_ctl"))
        }
    }

    /// Waits up to `timeout_ns` and yields what is ready; zero asks without sleeping.
    pub fn wait(&mut self, timeout_ns: u64) -> Result<impl Iterator<Item = Ready> + '_, Error> {
        let timeout = libc::timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
        };
        // SAFETY: the event array is valid for `len` entries, the timespec for reads; a null
        // signal mask is allowed and its size is then ignored.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as libc::c_int,
                &timeout,
                std::ptr::null::<libc::sigset_t>(),
                8usize,
            )
        };
        let count = if count < 0 {
            let error = std::io::Error::last_os_error();
            if error.kind() != std::io::ErrorKind::Interrupted {
                return Err(Error::Os { call: "epoll_pwait2", source: error });
            }
            0
        } else {
            count as usize
        };
        Ok(self.events[..count].iter().map(|event| {
            let bits = event.events as i32;
            let broken = bits & (libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLRDHUP) != 0;
            Ready {
                token: event.u64 as usize,
                readable: broken || bits & libc::EPOLLIN != 0,
                writable: broken || bits & libc::EPOLLOUT != 0,
            }
        }))
    }
}
