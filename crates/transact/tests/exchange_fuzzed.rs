//! Runs what the fuzzer of exchanges kept, on stable Rust.

use std::{fs, path::Path};

#[path = "fuzzed/exchange.rs"]
mod exchange;

#[test]
fn every_kept_exchange_keeps_the_rules() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/exchange");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display()); // shown when the check fails
        exchange::check(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 10, "only {count} inputs");
}
