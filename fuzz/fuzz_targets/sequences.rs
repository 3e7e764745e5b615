#![no_main]

#[path = "../../crates/model/tests/fuzzed/sequences.rs"]
mod sequences;

libfuzzer_sys::fuzz_target!(|data: &[u8]| sequences::check(data));
