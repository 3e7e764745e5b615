#![no_main]

#[path = "../../crates/http/tests/fuzzed/multipart.rs"]
mod multipart;

libfuzzer_sys::fuzz_target!(|data: &[u8]| multipart::check(data));
