#![no_main]

#[path = "../../crates/query/tests/fuzzed/sort_key.rs"]
mod sort_key;

libfuzzer_sys::fuzz_target!(|data: &[u8]| sort_key::check(data));
