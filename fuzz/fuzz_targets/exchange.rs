#![no_main]

#[path = "../../crates/transact/tests/fuzzed/exchange.rs"]
mod exchange;

libfuzzer_sys::fuzz_target!(|data: &[u8]| exchange::check(data));
