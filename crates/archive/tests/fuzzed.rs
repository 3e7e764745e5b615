//! Runs what the fuzzer of archives kept, on stable Rust.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, path::Path};

#[path = "fuzzed/archive.rs"]
mod archive;

#[test]
fn every_kept_archive_keeps_the_rules() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/archive");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        archive::check(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 10, "only {count} inputs");
}
