#![no_main]

#[path = "../../crates/sync/tests/fuzzed/checkpoint.rs"]
mod checkpoint;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checkpoint::check(data));
