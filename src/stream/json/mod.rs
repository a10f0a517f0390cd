//! JSON as nats-server reads and writes it: key order and escapes on the way out, the texts of its
//! complaints on the way in.
//!
//! Reading takes two steps: [`parse`] turns a text into a [`Value`] that borrows from it, and a
//! [`Decoder`] fills fields from that, with Go's rules: keys in any case, `null` changes nothing,
//! the first complaint wins. Depth is bounded by [`DEPTH_MAX`].

mod decode;
mod parse;
mod write;

pub use decode::{Decoder, Field};
pub use parse::{parse, parse_first, JsonError, Value, DEPTH_MAX};
pub use write::{write_string, Array, Object};
