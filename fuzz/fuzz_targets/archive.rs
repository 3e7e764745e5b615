#![no_main]

#[path = "../../crates/archive/tests/fuzzed/archive.rs"]
mod archive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| archive::check(data));
