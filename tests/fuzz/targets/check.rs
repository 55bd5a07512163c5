#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cellc_fuzz::check(bytes));
