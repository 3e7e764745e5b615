//! The corpora that the fuzzers have gathered, run as ordinary tests.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "fuzzed/ids.rs"]
mod ids;
#[path = "fuzzed/sequences.rs"]
mod sequences;

use std::{fs, path::Path};

fn run(corpus: &str, check: impl Fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let mut count = 0;
    for entry in fs::read_dir(root).unwrap() {
        check(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "there is a corpus");
}

#[test]
fn what_the_fuzzer_found_for_ids_holds() {
    run("ids", ids::check);
}

#[test]
fn what_the_fuzzer_found_for_sequences_holds() {
    run("sequences", sequences::check);
}
