//! Runs what the fuzzer of Mango kept, on stable Rust.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, path::Path};

#[path = "fuzzed/mango.rs"]
mod mango;

#[test]
fn every_kept_request_keeps_the_rules() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/mango");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display()); // shown when the check fails
        mango::check(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 50, "only {count} inputs");
}
