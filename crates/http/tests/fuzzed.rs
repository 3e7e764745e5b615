//! Runs what the fuzzers of this crate's parsers kept, on stable Rust.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::print_stdout, reason = "the input is shown when its check fails")]

use std::{fs, path::Path};

#[path = "fuzzed/multipart.rs"]
mod multipart;
#[path = "fuzzed/query.rs"]
mod query;

fn check_all(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        check(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 10, "only {count} inputs");
}

#[test]
fn every_kept_body_of_several_parts_keeps_the_rules() {
    check_all("multipart", multipart::check);
}

#[test]
fn every_kept_query_keeps_the_rules() {
    check_all("query", query::check);
}
