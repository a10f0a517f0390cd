//! WebSocket (RFC 6455, RFC 7692): the upgrade of an HTTP connection, and the
//! frames that carry the ordinary protocol's bytes afterwards. Bytes in, payload
//! slices and bytes to send out: no socket, no clock.
//!
//! A connection asks [`UpgradeRules::read`] until its request is whole, then
//! feeds what its socket brings to a [`FrameReader`] and writes what it sends
//! with a [`FrameWriter`]. How the byte stream is cut into frames and messages
//! means nothing, in either direction.
//!
//! Invariants:
//! - payload is unmasked where it lies; consecutive frames of one buffer become
//!   one slice;
//! - a batch of output is one message, in one frame unless the peer is a browser;
//! - nothing is remembered between two compressed messages, so one shard needs
//!   one [`Inflater`] and one [`Deflater`].
//!
//! Bounds: a request of [`REQUEST_BYTES_MAX`]; 125 bytes of a control frame; an
//! inflated message of what [`Inflater::inflate`] is told, and 64 KiB of it at a
//! time. A frame that is not compressed may be of any length, since nothing of
//! it is kept.
//!
//! Cost of a received message: one pass over its bytes. Of a batch sent: a head
//! of at most ten bytes, and no copy unless it is compressed or cut.

mod close;
mod cookies;
mod deflate;
mod frame;
mod mask;
mod origin;
mod request;
mod response;
mod writer;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

pub use close::{close_status, write_close, write_close_answer, CloseError, PROTOCOL_ERROR};
pub use cookies::{CookieNames, Cookies};
pub use deflate::{Deflater, InflateError, Inflater};
pub use frame::{FrameError, FrameEvent, FrameReader};
pub use origin::{AllowedOrigin, OriginError};
pub use request::{RequestPath, Upgrade, UpgradeRules, REQUEST_BYTES_MAX};
pub use response::Refusal;
pub use writer::{write_pong, FrameWriter};
