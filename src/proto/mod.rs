//! Bytes to commands and back: the client protocol of nats-server 2.15, and nothing else.
//!
//! * [`parse`] turns the bytes of one connection into [`Command`]s that borrow them.
//! * [`HeaderBlock`] reads header blocks; [`write_no_responders`] and friends write them.
//! * [`write_message`] and its siblings append frames to a buffer.
//! * [`ServerInfo`] and [`InfoTemplate`] render INFO, [`ConnectOptions`] decodes CONNECT.
//! * [`ProtoError`], [`WireError`] and [`CloseReason`] hold every error text and its fate.
//!
//! Pure: no I/O, clock, randomness or state between calls. It knows no subjects, accounts or
//! subscriptions: whether a subject is well-formed or permitted is decided above.
//!
//! Invariants: input never panics; what is parsed is bounded by [`ParserLimits`]; the outcome does
//! not depend on how the bytes were split into reads.
//!
//! Cost of one canonical PUB: no allocation, no copy, no system call.

mod canonical;
mod command;
mod connect;
mod decimal;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod headers;
mod info;
mod parser;
mod proxy;
mod sampled_headers;
mod trace_headers;
mod writer;

pub use command::{Command, Parsed, ParserLimits, Publish};
pub use connect::ConnectOptions;
pub use decimal::write_decimal;
pub use error::{CloseReason, ProtoError, WireError};
pub use headers::{
    write_no_responders, write_status_block, write_with_header, HeaderBlock, Headers,
};
pub use info::{validate_client_info, InfoTemplate, PerClient, ServerInfo};
pub use parser::parse;
pub use proxy::{parse_proxy_header, ProxyError, ProxyHeader};
pub use sampled_headers::{sampled_headers, TracingHeaders};
pub use trace_headers::{may_wish_trace, trace_wish, without_trace_wish, TraceWish};
pub use writer::{
    write_message, write_message_without_headers, write_publish, Message, OK, PING, PONG,
};
