use std::sync::Arc;

use super::{
    Maker,
    support::{batch, commit, read_all},
};
use crate::{Batch, Cleared, Engine};

pub(super) async fn clearing_takes_the_range_and_nothing_else(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=1 b=2 bb=3 c=4 d=5")).await;
    let cleared = engine.clear(b"b".to_vec(), b"c".to_vec(), usize::MAX).await;
    assert_eq!(cleared.expect("clears"), Cleared::Done);
    assert_eq!(read_all(&engine).await, "0 a=1; 0 c=4; 0 d=5");
}

pub(super) async fn clearing_goes_on_until_nothing_is_left(engine: Arc<dyn Engine>) {
    for first in 0..10_u8 {
        let mut rows = Batch::default();
        for second in 0..100 {
            rows.put(vec![b'k', first, second], vec![0; 997]);
        }
        commit(&engine, rows).await;
    }
    commit(&engine, batch("a=1 z=2")).await;
    let mut rounds = 0;
    loop {
        rounds += 1;
        let before = engine.stats().keys;
        let cleared = engine.clear(b"k".to_vec(), b"l".to_vec(), 100_000).await.expect("clears");
        let gone = before - engine.stats().keys;
        match cleared {
            Cleared::Done => break,
            Cleared::More => assert!((1..=200).contains(&gone), "{gone} rows of 1,000 bytes"),
        }
    }
    assert!((10..=12).contains(&rounds), "{rounds} rounds");
    assert_eq!(read_all(&engine).await, "0 a=1; 0 z=2");
    // However small the budget, something goes.
    commit(&engine, batch("k1=1 k2=2")).await;
    assert_eq!(engine.clear(b"k".to_vec(), b"l".to_vec(), 0).await.expect("clears"), Cleared::More);
    assert_eq!(read_all(&engine).await, "0 a=1; 0 k2=2; 0 z=2");
}

pub(super) async fn clearing_an_empty_range_is_done(engine: Arc<dyn Engine>) {
    commit(&engine, batch("a=1 b=2")).await;
    for (start, end) in [("c", "d"), ("b", "a"), ("a", "a"), ("", ""), ("", "a")] {
        let cleared = engine.clear(start.into(), end.into(), 1).await.expect("clears");
        assert_eq!(cleared, Cleared::Done, "{start:?} to {end:?}");
    }
    assert_eq!(read_all(&engine).await, "0 a=1; 0 b=2");
    let cleared = engine.clear(Vec::new(), b"b".to_vec(), 10).await.expect("clears");
    assert_eq!(cleared, Cleared::Done, "the range from the least key");
    assert_eq!(read_all(&engine).await, "0 b=2");
}

pub(super) async fn figures_follow_what_is_stored(engine: Arc<dyn Engine>) {
    let empty = engine.stats();
    assert_eq!((empty.keys, empty.batches_waiting), (0, 0));
    let mut rows = Batch::default();
    for number in 0..100 {
        rows.put(vec![b'k', number], vec![number; 10_000]);
    }
    commit(&engine, rows).await;
    let full = engine.stats();
    assert_eq!(full.keys, 100);
    assert!(full.file_bytes >= 1_000_000, "{full:?}");
    assert!(full.file_bytes - full.free_bytes >= 1_000_000, "{full:?}");
    assert!(full.commits > empty.commits && full.batches > empty.batches, "{full:?}");
}

pub(super) async fn a_checkpoint_opens_as_a_store(maker: &dyn Maker) {
    let folder = tempfile::tempdir().expect("a folder for a checkpoint");
    let engine = maker.create();
    let mut rows = batch("a=1 b=");
    rows.put(b"c".to_vec(), vec![3; 100_000]);
    commit(&engine, rows).await;
    engine.checkpoint(folder.path()).await.expect("a checkpoint is written");
    commit(&engine, batch("a=2 -b d=4")).await;

    let copy = maker.open(folder.path());
    assert_eq!(copy.stats().keys, 3);
    assert_eq!(copy.get(b"a".to_vec()).await, Ok(Some(b"1".to_vec())));
    assert_eq!(copy.get(b"b".to_vec()).await, Ok(Some(Vec::new())));
    assert_eq!(copy.get(b"c".to_vec()).await, Ok(Some(vec![3; 100_000])));
    commit(&copy, batch("e=5")).await;
    assert_eq!(engine.get(b"e".to_vec()).await, Ok(None), "the copy is a store of its own");

    let again = engine.checkpoint(folder.path()).await;
    assert!(again.is_err(), "a folder that holds a store is left alone");
    assert_eq!(copy.get(b"a".to_vec()).await, Ok(Some(b"1".to_vec())));
}
