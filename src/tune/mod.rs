//! `midge tune`: what the host should be like for this broker, and making it so.
//!
//! Each check compares one thing of the host with what the broker wants and answers with a
//! [`Finding`]: what is, what should be, why, what that costs, how to undo it, and what would
//! have to be written where. Nothing is written unless asked for; what was written is recorded,
//! and reverting puts back exactly that.
//!
//! What this module is not: it never touches a running broker, and changes nothing that outlives
//! a restart of the machine. Limits of a process, mount options and firmware it can only name.
//!
//! Invariants:
//! - a check reads through [`System`] only, so it runs against a table of files as well;
//! - the record of a change is on disk before the change is made;
//! - a value that somebody has changed since is not put back.
//!
//! Bounds: the files of one host, read once; a record holds one entry for each file changed.

mod change;
mod checks;
mod command;
mod finding;
mod report;
mod system;

pub use command::run;
pub use finding::{Change, Finding, State};
pub use system::{LocalSystem, System};
