#![no_main]

#[path = "../../crates/model/tests/fuzzed/document.rs"]
mod document;

libfuzzer_sys::fuzz_target!(|data: &[u8]| document::check(data));
