use std::{path::Path, sync::Arc};

use super::{Fault, FaultyEngine, Kind};
use crate::{
    Batch, Engine, Outcome,
    conformance::{self, Maker},
    memory::MemoryEngine,
};

struct FaultlessFaulty;

impl Maker for FaultlessFaulty {
    fn create(&self) -> Arc<dyn Engine> {
        Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())))
    }

    fn open(&self, checkpoint: &Path) -> Arc<dyn Engine> {
        let memory = MemoryEngine::open(checkpoint).expect("a checkpoint opens");
        Arc::new(FaultyEngine::new(Arc::new(memory)))
    }
}

#[test]
fn without_faults_it_keeps_the_contract() {
    conformance::run(&FaultlessFaulty);
}

fn put(key: u8) -> Batch {
    let mut batch = Batch::default();
    batch.put(vec![key], vec![key]);
    batch
}

fn new() -> Arc<FaultyEngine> {
    Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())))
}

async fn has(engine: &FaultyEngine, key: u8) -> bool {
    engine.inner().get(vec![key]).await.unwrap().is_some()
}

#[tokio::test]
async fn the_chosen_commit_fails_and_its_neighbours_do_not() {
    let engine = new();
    engine.fail_at(Kind::Commit, 1, Fault::Fails { storage_full: true });
    assert_eq!(engine.commit(put(0)).await, Outcome::Committed);
    let failed = engine.commit(put(1)).await;
    assert!(matches!(failed, Outcome::NotApplied { storage_full: true, .. }), "{failed:?}");
    assert_eq!(engine.commit(put(2)).await, Outcome::Committed);
    assert!(has(&engine, 0).await && !has(&engine, 1).await && has(&engine, 2).await);
    assert_eq!(engine.counts().commits, 3);
}

#[tokio::test]
async fn an_unknown_commit_is_there_or_not_as_chosen() {
    for applied in [false, true] {
        let engine = new();
        engine.fail_next(Kind::Commit, Fault::Unknown { applied, halts: false });
        assert!(matches!(engine.commit(put(0)).await, Outcome::Unknown { .. }));
        assert_eq!(has(&engine, 0).await, applied);
        assert_eq!(engine.commit(put(1)).await, Outcome::Committed);
    }
}

#[tokio::test]
async fn a_halted_engine_reads_and_refuses_commits_until_it_is_reopened() {
    let engine = new();
    engine.fail_next(Kind::Commit, Fault::Unknown { applied: true, halts: true });
    assert!(matches!(engine.commit(put(0)).await, Outcome::Unknown { .. }));
    assert!(matches!(engine.commit(put(1)).await, Outcome::NotApplied { .. }));
    assert!(engine.clear(vec![0], vec![9], 9).await.is_err());
    let dynamic: Arc<dyn Engine> = Arc::clone(&engine) as _;
    assert!(dynamic.get(vec![0]).await.unwrap().is_some());
    engine.reopen();
    assert_eq!(engine.commit(put(1)).await, Outcome::Committed);
}

#[tokio::test]
async fn after_a_crash_everything_fails() {
    let engine = new();
    let dynamic: Arc<dyn Engine> = Arc::clone(&engine) as _;
    engine.fail_at(Kind::Any, 2, Fault::Crash { applied: true });
    assert_eq!(engine.commit(put(0)).await, Outcome::Committed);
    dynamic.get(vec![0]).await.unwrap();
    assert!(matches!(engine.commit(put(1)).await, Outcome::Unknown { .. }));
    assert!(engine.is_crashed() && has(&engine, 1).await);
    dynamic.get(vec![0]).await.unwrap_err();
    assert!(matches!(engine.commit(put(2)).await, Outcome::NotApplied { .. }));
    engine.checkpoint(Path::new("/nowhere")).await.unwrap_err();
    engine.clear(vec![0], vec![9], 9).await.unwrap_err();
    assert!(has(&engine, 0).await && !has(&engine, 2).await);
}
