//! Whatever operation of the engine fails, and however: what was acknowledged is there after a
//! reopening, nothing is half there, and the database's own counts are right.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use settle_database::{Atomicity, Extras, GetError, Select, StorageError};
use settle_engine::{
    Engine,
    faulty::{Fault, FaultyEngine, Kind},
    memory::MemoryEngine,
};
use settle_model::revision::RevId;

use crate::support::{
    TestDatabase, TestStore, delete, put,
    sweep::{Place, Sweep},
};

/// What the client was told: of each document, the revisions it may have now.
#[derive(Default)]
struct Ledger {
    /// The newest acknowledged revision; `None` once a deletion was acknowledged.
    acknowledged: BTreeMap<String, Option<RevId>>,
    /// Documents whose last write failed: it may be there or not.
    unsure: Vec<String>,
    /// Members of atomic writes that failed: all are there, or none.
    groups: Vec<Vec<String>>,
}

/// A life of writes. Ends early when storage is gone.
async fn live(db: &TestDatabase, ledger: &mut Ledger) {
    for round in 0..4 {
        for id in ["a", "b"] {
            let base = ledger.acknowledged.get(id).cloned().flatten();
            let body = format!(r#"{{"round":{round},"pad":"{}"}}"#, "y".repeat(round * 900));
            let edit = if round == 2 && base.is_some() {
                delete(id, base.as_ref())
            } else {
                put(id, base.as_ref(), &body)
            };
            let deletes = edit.deleted;
            match db.db.write(&db.write, vec![edit], Atomicity::EachAlone).await {
                Ok(mut results) => {
                    // A write whose fate is unknown makes the next one a conflict.
                    if let Ok(written) = results.remove(0) {
                        let rev = (!deletes).then_some(written.rev);
                        ledger.acknowledged.insert(id.to_owned(), rev);
                        ledger.unsure.retain(|it| it != id);
                    }
                }
                Err(_) => ledger.unsure.push(id.to_owned()),
            }
        }
        let names: Vec<String> = (0..3).map(|n| format!("g{round}-{n}")).collect();
        let edits = names.iter().map(|id| put(id, None, "{}")).collect();
        match db.db.write(&db.write, edits, Atomicity::AllOrNothing).await {
            Ok(results) => {
                for (id, result) in names.iter().zip(results) {
                    let rev = Some(result.unwrap().rev);
                    ledger.acknowledged.insert(id.clone(), rev);
                }
            }
            Err(_) => ledger.groups.push(names),
        }
        if round == 1 {
            drop(db.db.compact(&db.admin).await);
        }
    }
}

async fn verify(db: &TestDatabase, ledger: &Ledger) {
    let get = |id: String| async move {
        let id = id.parse().unwrap();
        match db.db.get(&db.read, &id, &Select::Winner, Extras::default()).await {
            Ok(found) => Some(found.rev),
            Err(GetError::Missing | GetError::Deleted) => None,
            Err(GetError::Storage(error)) => panic!("{error}"),
        }
    };
    for (id, rev) in &ledger.acknowledged {
        if !ledger.unsure.contains(id) {
            assert_eq!(get(id.clone()).await, *rev, "{id} is as acknowledged");
        }
    }
    for group in &ledger.groups {
        let mut there = 0;
        for id in group {
            there += usize::from(get(id.clone()).await.is_some());
        }
        assert!(there == 0 || there == group.len(), "{group:?} is whole or absent: {there}");
    }
    db.audit().await;
}

async fn run(inner: Arc<dyn Engine>, fault: Option<Place>) -> Arc<FaultyEngine> {
    let engine = Arc::new(FaultyEngine::new(inner));
    let store = TestStore::on(engine.clone()).await;
    let db = store.create("crash").await;
    let mut ledger = Ledger::default();
    if let Some((kind, nth, fault)) = fault {
        engine.fail_at(kind, nth, fault);
    }
    live(&db, &mut ledger).await;
    drop(db);
    store.store.close().await;
    engine.reopen();
    let again = TestStore::on(engine.clone()).await;
    let found = again.store.find(&"crash".parse().unwrap()).await.unwrap().unwrap();
    verify(&TestDatabase::new(found), &ledger).await;
    again.store.close().await;
    engine
}

/// They make the site and the database.
const SWEEP: Sweep = Sweep { commits: 3, reads: 8 };

#[tokio::test]
async fn no_failure_of_the_engine_loses_what_was_acknowledged() {
    SWEEP.in_memory(run).await;
}

#[tokio::test]
async fn nor_does_a_failure_of_the_embedded_engine() {
    SWEEP.on_disk(37, run).await;
}

#[tokio::test]
async fn a_full_disk_is_said_to_be_full() {
    let engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let store = TestStore::on(engine.clone()).await;
    let db = store.create("full").await;
    engine.fail_next(Kind::Commit, Fault::Fails { storage_full: true });
    let result = db.db.write(&db.write, vec![put("a", None, "{}")], Atomicity::EachAlone).await;
    assert!(matches!(result, Err(StorageError::Full { .. })), "{result:?}");
    assert!(db.put("a", None, "{}").await.is_ok(), "and goes on once there is room");
}
