//! Configuration files: reading ends, and what is printed of one reads back as the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| midge::config::fuzz::check_config(data));
