//! Two servers in turn, A B A B, and what their pairs say.

pub mod pairs;
pub mod ratio;
