//! What a ring needs from the kernel, and how large it is made.

use io_uring::{opcode, IoUring, Probe};

use super::error::{RingError, RingStep};

/// Sizes of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// Operations that one system call submits; a power of two, 8 to 32768.
    pub entries: u32,
    /// Completions that wait without the kernel allocating; a power of two, at least `entries`.
    pub completions: u32,
    /// Size of a receive buffer, and so the most one receive brings; 64 B to 16 MiB.
    pub receive_buffer_bytes: u32,
    /// Number of receive buffers; a power of two, 1 to 32768.
    pub receive_buffers: u16,
}

impl Default for RingConfig {
    fn default() -> Self {
        Self {
            entries: 1024,
            completions: 4096,
            receive_buffer_bytes: 64 * 1024,
            receive_buffers: 64,
        }
    }
}

impl RingConfig {
    /// The bare ring, with every flag and operation it needs.
    pub(super) fn build(&self) -> Result<IoUring, RingError> {
        self.check()?;
        let uring = IoUring::builder()
            .setup_cqsize(self.completions)
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .build(self.entries)
            .map_err(|error| RingError::from_io(RingStep::Setup, &error))?;
        probe(&uring)?;
        Ok(uring)
    }

    fn check(&self) -> Result<(), RingError> {
        let rule = |holds: bool, field, expected, value| {
            holds.then_some(()).ok_or(RingError::Config { field, expected, value })
        };
        let Self { entries, completions, receive_buffer_bytes, receive_buffers } = *self;
        rule(
            entries.is_power_of_two() && (8..=32768).contains(&entries),
            "entries",
            "a power of two from 8 to 32768",
            entries,
        )?;
        rule(
            completions.is_power_of_two() && (entries..=65536).contains(&completions),
            "completions",
            "a power of two from entries to 65536",
            completions,
        )?;
        rule(
            (64..=16 << 20).contains(&receive_buffer_bytes),
            "receive_buffer_bytes",
            "from 64 bytes to 16 MiB",
            receive_buffer_bytes,
        )?;
        rule(
            receive_buffers.is_power_of_two() && receive_buffers <= 32768,
            "receive_buffers",
            "a power of two from 1 to 32768",
            receive_buffers.into(),
        )
    }
}

/// Asks the kernel for each operation that is used. Multishot accept and receive and rings of
/// buffers are older than the setup flags, which have succeeded by now.
fn probe(uring: &IoUring) -> Result<(), RingError> {
    let mut probe = Probe::new();
    let probed = uring.submitter().register_probe(&mut probe);
    probed.map_err(|error| RingError::from_io(RingStep::Probe, &error))?;
    let needed = [
        (opcode::AcceptMulti::CODE, "the operation accept"),
        (opcode::RecvMulti::CODE, "the operation recv"),
        (opcode::Send::CODE, "the operation send"),
        (opcode::SendMsg::CODE, "the operation sendmsg"),
        (opcode::Read::CODE, "the operation read"),
        (opcode::Timeout::CODE, "the operation timeout"),
        (opcode::TimeoutRemove::CODE, "the operation timeout_remove"),
        (opcode::AsyncCancel::CODE, "the operation async_cancel"),
    ];
    match needed.iter().find(|(code, _)| !probe.is_supported(*code)) {
        Some((_, name)) => Err(RingError::missing(name)),
        None => Ok(()),
    }
}
