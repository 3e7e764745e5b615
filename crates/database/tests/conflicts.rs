//! Documents in conflict: listed whatever happens, and resolved whole or not at all.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::{ops::Bound, sync::Arc};

use settle_database::{
    Atomicity, Direction, DocumentRow, DocumentScan, EditError, Extras, More, Next, OpenRevs, Sink,
    Written,
};
use settle_engine::{
    Engine,
    faulty::{Fault, FaultyEngine, Kind},
    memory::MemoryEngine,
};
use settle_model::{revision::RevId, tree::ResolveError};

use crate::support::{TestDatabase, TestStore, delete, put, replicated, unlist_conflicts, whole};

#[derive(Default)]
struct Ids(Vec<String>);

impl Sink<DocumentRow<'_>> for Ids {
    fn row(&mut self, row: &DocumentRow<'_>) -> More {
        self.0.push(row.id.to_owned());
        More::Yes
    }
}

async fn conflicts(db: &TestDatabase) -> Vec<String> {
    let mut scan = Next::Go(DocumentScan {
        start: Bound::Unbounded,
        end: Bound::Unbounded,
        direction: Direction::Ascending,
        skip: 0,
        limit: u64::MAX,
        content: false,
        in_conflict: true,
    });
    let mut ids = Ids::default();
    while let Next::Go(next) = scan {
        (ids, scan) = db.db.scan_documents(&db.read, next, ids).await.unwrap();
    }
    ids.0
}

/// Each of these documents has two live leaves.
async fn conflict(db: &TestDatabase, ids: impl IntoIterator<Item = String>) {
    let edits = ids.into_iter().flat_map(|id| {
        [replicated(&id, "2 b a", false, "{}"), replicated(&id, "2 c a", false, "{}")]
    });
    let results = db.db.write(&db.write, edits.collect(), Atomicity::EachAlone).await.unwrap();
    assert!(results.iter().all(Result::is_ok));
}

fn rev(text: &str) -> RevId {
    text.parse().unwrap()
}

async fn reopened(store: TestStore, older: bool) -> (TestStore, TestDatabase) {
    store.store.close().await;
    if older {
        unlist_conflicts(&store.engine).await;
    }
    let store = TestStore::on(store.engine).await;
    let found = store.store.find(&"notes".parse().unwrap()).await.unwrap().unwrap();
    (store, TestDatabase::new(found))
}

/// What the leaves of a document are, winner first; an `x` marks a deleted one.
async fn leaves(db: &TestDatabase, id: &str) -> Vec<String> {
    let id = id.parse().unwrap();
    let all = db.db.open_revs(&db.read, &id, &OpenRevs::All, false, Extras::default()).await;
    let show = |leaf: Result<settle_database::Revision, RevId>| {
        let leaf = leaf.unwrap();
        format!("{}{}", leaf.rev, if leaf.deleted { " x" } else { "" })
    };
    all.unwrap().into_iter().map(show).collect()
}

#[tokio::test]
async fn tombstones_make_no_conflict() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    for (id, deleted) in [("live", false), ("half", true), ("none", true)] {
        db.one(replicated(id, "2 b a", deleted || id == "none", "{}")).await.unwrap();
        db.one(replicated(id, "2 c a", deleted && id != "half", "{}")).await.unwrap();
    }
    assert_eq!(conflicts(&db).await, ["live"]);
    db.one(delete("live", Some(&rev("2-c")))).await.unwrap();
    assert_eq!(conflicts(&db).await, [""; 0]);
    db.one(replicated("half", "4 e d b a", false, "{}")).await.unwrap();
    assert_eq!(conflicts(&db).await, ["half"], "the tombstone was edited elsewhere");
    db.audit().await;
}

#[tokio::test]
async fn a_document_without_conflict_costs_no_row() {
    let engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let store = TestStore::on(engine.clone()).await;
    let db = store.create("notes").await;
    let keys = engine.stats().keys;
    db.put("a", None, "{}").await.unwrap();
    assert_eq!(engine.stats().keys - keys, 3, "a head, a change, the count of changes");
}

#[tokio::test]
async fn an_older_database_is_listed_while_it_is_written_to() {
    let ids = || (0..1_200).map(|n| format!("{n:04}"));
    let mut store = TestStore::new().await;
    let mut db = store.create("notes").await;
    conflict(&db, ids()).await;
    for round in 0..3 {
        (store, db) = reopened(store, true).await;
        let before = db.db.info(&db.read).await.unwrap().conflict_count;
        assert_eq!(before, None, "nobody waits for the list who asks for the database");
        let edits = ids().skip(round).step_by(7);
        let edits = edits.map(|id| replicated(&id, &format!("3 x{round} c a"), true, "{}"));
        let write = db.db.write(&db.write, edits.collect(), Atomicity::EachAlone);
        let (found, written) = tokio::join!(conflicts(&db), write);
        assert!(written.unwrap().iter().all(Result::is_ok));
        assert!(!found.is_empty());
        let expected: Vec<String> =
            ids().enumerate().filter(|(n, _)| n % 7 > round).map(|(_, id)| id).collect();
        assert_eq!(conflicts(&db).await, expected);
        let info = db.db.info(&db.read).await.unwrap();
        assert_eq!(info.conflict_count, Some(expected.len() as u64));
        db.audit().await;
    }
    store.store.close().await;
}

#[tokio::test]
async fn a_list_that_a_crash_interrupts_goes_on() {
    for nth in 0..3 {
        let engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
        let store = TestStore::on(engine.clone()).await;
        let db = store.create("notes").await;
        conflict(&db, (0..1_200).map(|n| format!("{n:04}"))).await;
        store.store.close().await;
        let older: Arc<dyn Engine> = engine.clone();
        unlist_conflicts(&older).await;

        let store = TestStore::on(engine.clone()).await;
        let commits = engine.counts().commits;
        engine.fail_at(Kind::Commit, commits + nth, Fault::Crash { applied: nth == 1 });
        let found = store.store.find(&"notes".parse().unwrap()).await.unwrap().unwrap();
        let db = TestDatabase::new(found);
        assert!(db.db.conflict_count(&db.read).await.is_err());
        store.store.close().await;
        engine.reopen();

        let store = TestStore::on(engine).await;
        let found = store.store.find(&"notes".parse().unwrap()).await.unwrap().unwrap();
        let db = TestDatabase::new(found);
        conflict(&db, (1_100..1_300).map(|n| format!("{n:04}"))).await;
        assert_eq!(db.db.conflict_count(&db.read).await, Ok(1_300));
        db.audit().await;
    }
}

#[tokio::test]
async fn a_dropped_database_is_not_listed() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    conflict(&db, ["a".to_owned()]).await;
    let (store, db) = reopened(store, true).await;
    store.store.drop(&support::server(), &"notes".parse().unwrap()).await.unwrap();
    assert!(db.db.conflict_count(&db.read).await.is_err());
    store.store.close().await;
}

#[tokio::test]
async fn a_resolution_is_one_write_that_a_change_in_between_refuses_whole() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let id = "a".parse().unwrap();
    for revs in ["2 b a", "2 c a", "2 d a"] {
        db.one(replicated("a", revs, false, "{}")).await.unwrap();
    }
    let plan = db.db.plan_resolution(&db.write, &id, Some(&rev("2-b")), None).await.unwrap();
    let plan = plan.unwrap();
    assert_eq!(plan.resolution.closed, [rev("2-d"), rev("2-c")]);
    let write = |edits| db.db.write(&db.write, edits, Atomicity::AllOrNothing);

    db.one(replicated("a", "2 e a", false, "{}")).await.unwrap();
    let refused = write(plan.edits(Some(whole("{}")))).await.unwrap();
    assert!(refused.contains(&Err(EditError::Conflict)), "{refused:?}");
    assert_eq!(leaves(&db, "a").await, ["2-e", "2-d", "2-c", "2-b"]);

    let seen = [rev("2-b"), rev("2-c"), rev("2-d")];
    let moved = db.db.plan_resolution(&db.write, &id, None, Some(&seen)).await.unwrap();
    assert!(matches!(moved, Err(ResolveError::Moved { live }) if live.len() == 4));

    let sequence = db.db.sequence();
    let plan = db.db.plan_resolution(&db.write, &id, Some(&rev("2-b")), None).await.unwrap();
    let written = write(plan.unwrap().edits(Some(whole(r#"{"merged":true}"#)))).await.unwrap();
    let Written { rev: merged, .. } = written[0].clone().unwrap();
    let after = leaves(&db, "a").await;
    assert_eq!(after[0], merged.to_string());
    assert!(after.len() == 4 && after[1..].iter().all(|leaf| leaf.ends_with(" x")), "{after:?}");
    assert_eq!(db.db.sequence() - sequence, 4, "each revision has its sequence");
    assert_eq!(conflicts(&db).await, [""; 0]);
    db.put("a", Some(&merged), "{}").await.unwrap();
    assert_eq!(db.one(put("a", Some(&rev("2-c")), "{}")).await, Err(EditError::Conflict));
    db.audit().await;
}
