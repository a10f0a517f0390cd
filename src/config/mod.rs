//! Options: where they come from, what they may be, what they are when nobody says anything.
//!
//! Two sources give values, in nats-server's order: the configuration file, then the command
//! line, which overrides it. [`parse_command_line`] walks both and answers with an
//! [`Invocation`]: run with these [`Options`], or print this and leave.
//!
//! What this module is not: it opens no socket, starts no thread and keeps no state. It reads the
//! files it is told to read, once, at start.
//!
//! Invariants:
//! - an option of nats-server whose feature is not built stops the start with one line that names
//!   it; it is never taken and ignored (`--store_dir` is the one exception, see [`Options`]). Ports
//!   for other servers are opened, and the log says that nobody is let in ([`PeerPort`]);
//! - texts and exit statuses are nats-server's own wherever it has one;
//! - [`Options::default`] is what nats-server runs with when it is given nothing.

mod accounts;
mod authorization;
mod callout;
mod cli;
mod commands;
mod completions;
mod effective;
mod entry;
mod exports;
mod file;
mod findings;
mod flags;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod go_number;
mod grammar;
mod imports;
mod invocation;
mod jetstream;
mod keys;
mod manual;
mod mappings;
mod monitoring;
mod msg_trace;
mod operator;
mod operator_mode;
mod options;
mod peers;
mod permissions;
mod reload;
mod shards;
mod signal;
mod tls;
mod usage;
mod validate;
mod websocket;

pub use cli::parse_command_line;
pub use effective::run as print_effective;
pub use invocation::{Exit, Invocation};
pub use jetstream::{BatchLimits, CipherName, FeatureFlags, JetStreamOptions, SyncInterval};
pub use operator_mode::OperatorError;
pub use options::{Options, MAX_SUB_TOKENS_CEILING, PORT_ANY, PORT_DEFAULT};
pub use peers::PeerPort;
pub use reload::{reload, Reload, ReloadError};
pub use usage::{help_text, version_text, COMPATIBLE_VERSION, MIDGE_VERSION};
pub use validate::{go_duration, OptionsError};
pub use websocket::WebSocketOptions;
