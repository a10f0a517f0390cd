//! Requests for an upgrade.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| midge::websocket::fuzz::check_request(data));
