#![no_main]

#[path = "../../crates/sync/tests/fuzzed/replication_wire.rs"]
mod replication_wire;

libfuzzer_sys::fuzz_target!(|data: &[u8]| replication_wire::check(data));
