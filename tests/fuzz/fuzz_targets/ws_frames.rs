//! What a WebSocket peer sends after its upgrade: cut against whole, inflated within bounds.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| midge::websocket::fuzz::check_frames(data));
