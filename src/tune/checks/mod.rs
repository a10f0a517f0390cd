//! The checks, one function each: a host and what the broker is to run with go in, findings come
//! out. What a host does not have is no finding, or a fine one.

mod cpu;
mod memory;
mod network;
mod process;
mod storage;
mod survey;
#[cfg(test)]
pub(super) mod tests;

pub(super) use survey::{survey, Plan};
