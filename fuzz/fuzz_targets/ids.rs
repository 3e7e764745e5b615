#![no_main]

#[path = "../../crates/model/tests/fuzzed/ids.rs"]
mod ids;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ids::check(data));
