//! `midge store check`: looks at a store that no broker has open, and says what of it is damaged.
//!
//! What this module is not: it repairs nothing and writes nothing. A start steps over damage by
//! itself; this says beforehand what it would step over.

mod command;

pub use command::run;
