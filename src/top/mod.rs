//! `midge top`: a running server's shards and connections, from its monitoring port.
//!
//! A sample is what three pages say at one moment: `/varz` and `/connz`, which nats-server has,
//! too, and `/metrics` for the shards, which it has not; then there is no such part. From two
//! samples a [`Model`](model) makes tables of text, without I/O and without a clock; a terminal
//! draws them ([`screen`]), and `--once` prints them ([`print`]).
//!
//! What this is not: it keeps no history, and it asks the monitoring port only.
//!
//! Bounds: one answer is at most 64 MiB and takes at most 5 s; nothing else is kept than two
//! samples.

mod command;
mod exposition;
mod fetch;
mod model;
mod numbers;
mod print;
mod sample;
mod screen;
mod settings;
mod table;
mod terminal;

pub use command::run;
