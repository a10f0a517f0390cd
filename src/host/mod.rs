//! What the machine grants this process: cores, processor time, open files, clocks, signals.
//!
//! Readers here are thin: they fetch a text or a number from the kernel and hand it to a pure
//! function that has the tests. Nothing is cached and nothing is changed, except by
//! [`raise_file_limit`], [`send_signal`] and [`write_pid_file`], which do what they say.
//! [`ServiceManager`] tells whoever started this process how it is doing.
//!
//! `unsafe` stands in `system_calls.rs` only, one C library call a block.

mod calendar;
mod cgroup;
mod clock;
mod cores;
mod error_text;
mod interfaces;
mod pid_file;
mod service;
mod system_calls;
mod usage;
mod workers;

pub use calendar::civil_from_days;
pub use cgroup::{cpu_quota, cpu_quota_from};
pub use clock::{local_utc_offset_s, monotonic_ns, wall_clock_since_epoch};
pub use cores::{available_cpus, cpu_ranges, default_shards};
pub use error_text::go_error_text;
pub use interfaces::interface_addresses;
pub use pid_file::write_pid_file;
pub use service::{ServiceManager, ServiceState};
pub use system_calls::{raise_file_limit, send_signal, FileLimit};
pub use usage::{cpu_time_ns, lower_thread_priority, resident_bytes};
pub use workers::Workers;
