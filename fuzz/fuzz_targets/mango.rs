#![no_main]

#[path = "../../crates/query/tests/fuzzed/mango.rs"]
mod mango;

libfuzzer_sys::fuzz_target!(|data: &[u8]| mango::check(data));
