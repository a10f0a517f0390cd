//! Streams of client operations: fast path against general path, cut against whole.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| midge::proto::fuzz::check_parser(data));
