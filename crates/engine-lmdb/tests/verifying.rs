//! A sound store passes its verification, whatever was done to it, and while more is being done.

use std::{path::Path, sync::Arc, time::Duration};

use settle_engine::{Batch, Engine as _, Outcome, value};
use settle_engine_lmdb::{LmdbEngine, OpenOptions, compact, verify};

fn open(dir: &Path) -> Arc<LmdbEngine> {
    let options = OpenOptions { map_bytes: 1 << 30, lock_wait: Duration::ZERO };
    LmdbEngine::open(dir, &options).expect("the store opens")
}

fn is_sound(key: &[u8], stored: &[u8]) -> bool {
    value::open(key, stored).is_ok()
}

/// Puts and deletes that follow from a number: keys short and long, values from nothing to pages.
fn batch(round: u64) -> Batch {
    let mut state = round + 1;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (state >> 33) % bound
    };
    let mut batch = Batch::default();
    for _ in 0..60 {
        let mut key = below(3_000).to_be_bytes().to_vec();
        if key[7].is_multiple_of(5) {
            key.resize(1_900, 1);
        }
        if below(3) == 0 {
            batch.delete(key);
        } else {
            let mut stored = value::begin(1);
            let length = [0, 90, 900, 3_000, 30_000][usize::try_from(below(5)).expect("small")];
            stored.resize(stored.len() + length, 7);
            let stored = value::seal(&key, stored);
            batch.put(key, stored);
        }
    }
    batch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_store_passes_while_it_is_written_and_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let writer = Arc::clone(&engine);
    let writing = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for round in 0..150 {
            assert_eq!(runtime.block_on(writer.commit(batch(round))), Outcome::Committed);
        }
    });
    let mut passed = 0;
    while !writing.is_finished() {
        engine.verify(is_sound).unwrap();
        passed += 1;
    }
    writing.join().unwrap();
    assert!(passed > 0);
    let verified = engine.verify(is_sound).unwrap();
    assert_eq!(verified.rows, engine.stats().keys);
    assert!(verified.free_pages > 0, "{verified:?}");
    drop(engine);

    assert_eq!(verify(folder.path(), is_sound).unwrap(), verified);
    compact(folder.path()).unwrap();
    let compacted = verify(folder.path(), is_sound).unwrap();
    assert_eq!((compacted.rows, compacted.free_pages), (verified.rows, 0));
    drop(open(folder.path()));
}

#[test]
fn an_empty_store_passes() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    assert_eq!(engine.verify(is_sound).unwrap().rows, 0);
    drop(engine);
    assert_eq!(verify(folder.path(), is_sound).unwrap().rows, 0);
}
