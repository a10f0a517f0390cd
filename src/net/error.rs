//! Why a ring could not be made, in words that say what to do.

use std::io;

/// A ring could not be made. All of these stop the process at start.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RingError {
    /// `kernel.io_uring_disabled` is 1 or 2.
    #[error(
        "io_uring is forbidden by the sysctl kernel.io_uring_disabled={level} (errno EPERM): set it \
         to 0, or to 1 and add the process's group to kernel.io_uring_group; see docs/tuning.md"
    )]
    Disabled {
        /// The sysctl's value.
        level: u8,
    },
    /// A seccomp filter or a security module refused.
    #[error(
        "io_uring is forbidden for this process ({errno}): a container's seccomp profile or a \
         security module blocks io_uring_setup, io_uring_enter or io_uring_register; allow the \
         three calls in the profile; see docs/tuning.md"
    )]
    Forbidden {
        /// `EPERM` or `EACCES`.
        errno: &'static str,
    },
    /// The system call does not exist, or a filter pretends so.
    #[error(
        "io_uring is not available (errno ENOSYS): the kernel was built without CONFIG_IO_URING, \
         or a sandbox (an older container runtime, gVisor) hides the call; see docs/tuning.md"
    )]
    Unavailable,
    /// A setup flag or operation is unknown to the kernel.
    #[error(
        "Linux {release} lacks {missing}, which Midge needs from io_uring: Linux 6.1 or newer is \
         required; see docs/tuning.md"
    )]
    KernelTooOld {
        /// Of the running kernel.
        release: String,
        /// The operation or flag.
        missing: &'static str,
    },
    /// Memory was refused.
    #[error(
        "no memory for {step}: raise the locked-memory limit (ulimit -l, LimitMEMLOCK=) or the \
         container's memory limit, or lower the ring's sizes; see docs/tuning.md"
    )]
    Memory {
        /// What was being made.
        step: RingStep,
    },
    /// Descriptors ran out.
    #[error("no file descriptor left for {step}: raise the limit (ulimit -n, LimitNOFILE=)")]
    Descriptors {
        /// What was being made.
        step: RingStep,
    },
    /// A size of the configuration is out of range.
    #[error("{field} of the ring must be {expected}, not {value}")]
    Config {
        /// Which.
        field: &'static str,
        /// The rule.
        expected: &'static str,
        /// What was given.
        value: u32,
    },
    /// Anything else.
    #[error("{step} failed: errno {errno}")]
    Failed {
        /// What was being made.
        step: RingStep,
        /// 0 if the failure had none.
        errno: i32,
    },
}

/// What was being made when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingStep {
    /// The ring itself.
    Setup,
    /// The list of operations it supports.
    Probe,
    /// The receive buffers.
    Buffers,
    /// The eventfd.
    EventFd,
    /// The view of what the kernel has.
    Watch,
}

impl std::fmt::Display for RingStep {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Setup => "io_uring_setup",
            Self::Probe => "probing the operations of io_uring",
            Self::Buffers => "the receive buffers of io_uring",
            Self::EventFd => "the eventfd of io_uring",
            Self::Watch => "the shared page of io_uring",
        })
    }
}

impl RingError {
    /// Names the cause of a failed step, asking the system where an errno has several.
    pub(super) fn from_io(step: RingStep, error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(0);
        let level = if errno == libc::EPERM { disabled_level() } else { 0 };
        Self::from_errno(step, errno, level, &release())
    }

    pub(super) fn missing(missing: &'static str) -> Self {
        Self::KernelTooOld { release: release(), missing }
    }

    fn from_errno(step: RingStep, errno: i32, disabled: u8, release: &str) -> Self {
        match errno {
            libc::EPERM if disabled > 0 => Self::Disabled { level: disabled },
            libc::EPERM => Self::Forbidden { errno: "EPERM" },
            libc::EACCES => Self::Forbidden { errno: "EACCES" },
            libc::ENOSYS => Self::Unavailable,
            libc::ENOMEM => Self::Memory { step },
            libc::EMFILE | libc::ENFILE => Self::Descriptors { step },
            libc::EINVAL if step == RingStep::Setup => Self::KernelTooOld {
                release: release.to_owned(),
                missing: "deferred task work (IORING_SETUP_DEFER_TASKRUN)",
            },
            libc::EINVAL if step == RingStep::Buffers => Self::KernelTooOld {
                release: release.to_owned(),
                missing: "rings of provided buffers (IORING_REGISTER_PBUF_RING)",
            },
            errno => Self::Failed { step, errno },
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "read once at start, and only after a failure")]
fn proc_file(name: &str) -> String {
    // An unreadable file leaves the text without this detail.
    std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default()
}

fn disabled_level() -> u8 {
    proc_file("io_uring_disabled").trim().parse().unwrap_or(0)
}

fn release() -> String {
    proc_file("osrelease").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(step: RingStep, errno: i32, disabled: u8) -> String {
        RingError::from_errno(step, errno, disabled, "5.15.0").to_string()
    }

    #[test]
    fn errors_name_the_cause_and_the_cure() {
        let sysctl = text(RingStep::Setup, libc::EPERM, 2);
        assert!(sysctl.contains("kernel.io_uring_disabled=2"), "{sysctl}");
        let seccomp = text(RingStep::Setup, libc::EPERM, 0);
        assert!(seccomp.contains("seccomp") && seccomp.contains("docs/tuning.md"), "{seccomp}");
        assert!(text(RingStep::Setup, libc::EACCES, 0).contains("EACCES"));
        assert!(text(RingStep::Setup, libc::ENOSYS, 0).contains("CONFIG_IO_URING"));
        let old = text(RingStep::Setup, libc::EINVAL, 0);
        assert!(old.contains("Linux 5.15.0") && old.contains("6.1 or newer"), "{old}");
        let memory = text(RingStep::Buffers, libc::ENOMEM, 0);
        assert!(memory.contains("LimitMEMLOCK"), "{memory}");
        assert!(text(RingStep::EventFd, libc::EMFILE, 0).contains("LimitNOFILE"));
        assert!(text(RingStep::Probe, libc::EIO, 0).contains("errno 5"));
    }
}
