#![no_main]

#[path = "../../crates/sync/tests/fuzzed/replication_job.rs"]
mod replication_job;

libfuzzer_sys::fuzz_target!(|data: &[u8]| replication_job::check(data));
