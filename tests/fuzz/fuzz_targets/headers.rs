//! Header blocks: lookup against iteration.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| midge::proto::fuzz::check_headers(data));
