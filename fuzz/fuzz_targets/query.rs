#![no_main]

#[path = "../../crates/http/tests/fuzzed/query.rs"]
mod query;

libfuzzer_sys::fuzz_target!(|data: &[u8]| query::check(data));
