#![no_main]

#[path = "../../crates/sync/tests/fuzzed/replication_document.rs"]
mod replication_document;

libfuzzer_sys::fuzz_target!(|data: &[u8]| replication_document::check(data));
