#![no_main]

#[path = "../../crates/query/tests/fuzzed/design.rs"]
mod design;

libfuzzer_sys::fuzz_target!(|data: &[u8]| design::check(data));
