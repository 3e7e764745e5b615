//! Runs what the fuzzers of keys and design documents kept, on stable Rust.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, path::Path};

#[path = "fuzzed/design.rs"]
mod design;
#[path = "fuzzed/sort_key.rs"]
mod sort_key;

fn run(corpus: &str, at_least: usize, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let input = fs::read(&path).unwrap();
        let kept = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&input)));
        assert!(kept.is_ok(), "{}", path.display());
        count += 1;
    }
    assert!(count >= at_least, "only {count} inputs");
}

#[test]
fn every_kept_key_keeps_the_rules() {
    run("sort_key", 50, sort_key::check);
}

#[test]
fn every_kept_design_document_keeps_the_rules() {
    run("design", 40, design::check);
}
