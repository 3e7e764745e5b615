//! The corpora that the fuzzers have gathered, run as ordinary tests.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "fuzzed/checkpoint.rs"]
mod checkpoint;
#[path = "fuzzed/replication_document.rs"]
mod replication_document;
#[path = "fuzzed/replication_job.rs"]
mod replication_job;
#[path = "fuzzed/replication_wire.rs"]
mod replication_wire;

use std::{fs, path::Path};

#[expect(clippy::print_stdout, reason = "shown when a check fails")]
fn run(corpus: &str, check: impl Fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let mut count = 0;
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        let whole = fs::read(path).unwrap();
        check(&whole);
        // What is cut and what is damaged, too: most finds lie near what is right.
        for place in 0..whole.len() {
            check(&whole[..place]);
            let mut damaged = whole.clone();
            damaged[place] = b"\"{}[]0\\"[place % 7];
            check(&damaged);
        }
        count += 1;
    }
    assert!(count > 5, "only {count} inputs");
}

#[test]
fn what_is_sent_as_a_job_keeps_the_rules() {
    run("replication_job", replication_job::check);
}

#[test]
fn what_is_written_as_a_document_keeps_the_rules() {
    run("replication_document", replication_document::check);
}

#[test]
fn what_is_found_as_a_checkpoint_keeps_the_rules() {
    run("checkpoint", checkpoint::check);
}

#[test]
fn what_a_peer_answers_keeps_the_rules() {
    run("replication_wire", replication_wire::check);
}
