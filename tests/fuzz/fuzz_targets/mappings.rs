//! Subject mappings: against a naive reading of their destinations.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| midge::account::fuzz::check_mappings(data));
