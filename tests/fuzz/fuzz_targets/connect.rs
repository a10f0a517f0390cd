//! CONNECT options: any bytes decode or fail, and decode the same twice.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| midge::proto::fuzz::check_connect(data));
