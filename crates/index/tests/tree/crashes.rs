//! Whatever operation of the engine fails: the tree is what it was, or what it became.

use std::sync::Arc;

use settle_engine::{
    Batch, Engine, Outcome,
    faulty::{Fault, FaultyEngine, Kind},
    memory::MemoryEngine,
};
use settle_index::tree::{NewRow, RowKey};

use crate::world::{SHAPE, World, key_of, row};

type Change = (Vec<NewRow>, Vec<RowKey>);

fn changes() -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for round in 0..4_u32 {
        let puts: Vec<NewRow> = (0..90)
            .map(|n| row(&format!("[{},{}]", n % 9, n * 7 % 50), &format!("d{n}"), round % 2, "1"))
            .chain([row(&format!("\"{}{round}\"", "z".repeat(1_000)), "long", 0, "1")])
            .collect();
        let deletes = changes
            .last()
            .map(|(puts, _)| puts.iter().step_by(3).map(key_of).collect())
            .unwrap_or_default();
        changes.push((puts, deletes));
    }
    changes
}

/// Applies all changes, each until it is committed; says how many operations were asked for.
async fn live(engine: &Arc<FaultyEngine>) -> u64 {
    let mut world = World::on(Arc::clone(engine) as Arc<dyn Engine>);
    for (puts, deletes) in changes() {
        loop {
            let mut operations = Vec::new();
            let applied = world.tree.apply(
                &**engine as &dyn Engine,
                &SHAPE,
                puts.clone(),
                deletes.clone(),
                &mut operations,
            );
            if applied.await.is_err() {
                engine.reopen();
                continue;
            }
            let outcome = engine.commit(Batch { operations, ..Batch::default() }).await;
            if outcome == Outcome::Committed {
                break;
            }
            // It may be there or not: doing it again is right in both cases.
            engine.reopen();
        }
        world.model.apply(&puts, &deletes);
        world.engine = Arc::clone(engine.inner());
        world.audit().await;
        world.engine = Arc::clone(engine) as Arc<dyn Engine>;
    }
    let counts = engine.counts();
    counts.reads + counts.commits
}

#[tokio::test]
async fn a_failure_at_any_operation_leaves_a_tree_that_is_whole() {
    let sound = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let count = live(&sound).await;
    assert!(count > 40, "{count}");
    let faults = [
        Fault::Fails { storage_full: false },
        Fault::Crash { applied: true },
        Fault::Crash { applied: false },
        Fault::Unknown { applied: true, halts: true },
    ];
    for fault in faults {
        for nth in 0..count {
            let engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
            engine.fail_at(Kind::Any, nth, fault);
            live(&engine).await;
        }
    }
}
