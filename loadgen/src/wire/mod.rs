//! Bytes on the wire: payloads that prove themselves, publish frames, the scanner of what the
//! server sends, and the account of which messages arrived.

pub mod frames;
pub mod ledger;
pub mod payload;
pub mod scan;
