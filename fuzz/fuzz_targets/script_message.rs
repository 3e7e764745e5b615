#![no_main]

#[path = "../../crates/script/tests/fuzzed/message.rs"]
mod message;

libfuzzer_sys::fuzz_target!(|data: &[u8]| message::check(data));
