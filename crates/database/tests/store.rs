//! Databases come, go, and are told of.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::{sync::Arc, time::Duration};

use settle_access::{Grant, Inspect, Resource};
use settle_database::{
    Atomicity, CreateError, CreateOptions, DropError, EventKind, EventScan, Extras, GetError,
    NameScan, Select, StorageError,
};
use settle_engine::{
    Direction, Engine, Plan, Scan, Step, Visit, Visitor,
    faulty::{Fault, FaultyEngine, Kind},
    memory::MemoryEngine,
};

use crate::support::{TestDatabase, TestStore, put, server};

fn inspect() -> Grant<Inspect> {
    Grant::internal(Resource::Server, "a test")
}

async fn names(store: &TestStore) -> Vec<String> {
    store.store.names(&inspect(), NameScan::default()).await.unwrap()
}

#[tokio::test]
async fn a_name_belongs_to_one_database() {
    let store = TestStore::new().await;
    store.create("notes").await;
    let again =
        store.store.create(&server(), &"notes".parse().unwrap(), CreateOptions::default()).await;
    assert!(matches!(again, Err(CreateError::Exists { .. })));
    store.create("a/b").await;
    assert_eq!(names(&store).await, ["a/b", "notes"]);
}

#[tokio::test]
async fn a_dropped_database_is_gone_for_all_who_hold_it() {
    let store = TestStore::new().await;
    let old = store.create("notes").await;
    old.put("a", None, "{}").await.unwrap();
    let mut waiting = old.db.subscribe();
    store.store.drop(&server(), &"notes".parse().unwrap()).await.unwrap();
    assert!(!waiting.after(99).await);
    let write = old.db.write(&old.write, vec![put("b", None, "{}")], Atomicity::EachAlone).await;
    assert_eq!(write, Err(StorageError::Gone));
    let id = "a".parse().unwrap();
    let read = old.db.get(&old.read, &id, &Select::Winner, Extras::default());
    assert!(matches!(read.await, Err(GetError::Storage(StorageError::Gone))));
    let again = store.store.drop(&server(), &"notes".parse().unwrap()).await;
    assert!(matches!(again, Err(DropError::Missing { .. })));

    let new = store.create("notes").await;
    assert_ne!(new.db.number(), old.db.number());
    let info = new.db.info(&new.read).await.unwrap();
    assert_eq!((info.doc_count, info.sequence), (0, 0));
    assert!(new.put("a", None, "{}").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_database_gives_its_space_back() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let store = TestStore::on(engine.clone()).await;
    let db = store.create("notes").await;
    for n in 0..50 {
        db.put(&format!("doc-{n}"), None, r#"{"pad":"....................."}"#).await.unwrap();
    }
    let number = db.db.number();
    store.store.drop(&server(), &"notes".parse().unwrap()).await.unwrap();
    let mut prefix = Vec::new();
    settle_engine::key::push_number(&mut prefix, number);
    // Reclaiming is a task of the store; time stands still while there is anything to do.
    for _ in 0..100 {
        if count(&engine, &prefix).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{} keys are left", count(&engine, &prefix).await);
}

async fn count(engine: &Arc<dyn Engine>, prefix: &[u8]) -> usize {
    struct Count(usize);
    impl Visitor for Count {
        fn visit(&mut self, _: usize, _: &[u8], _: Option<&[u8]>) -> Visit {
            self.0 += 1;
            Visit::Next
        }
    }
    let scan = Scan::prefix(prefix, Direction::Ascending);
    engine.read_to_end(Plan::new(vec![Step::Scan(scan)]), Count(0)).await.unwrap().0
}

#[tokio::test(start_paused = true)]
async fn replaced_revisions_go_after_the_grace() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let first = db.put("a", None, r#"{"n":1}"#).await.unwrap();
    db.put("a", Some(&first), r#"{"n":2}"#).await.unwrap();
    let id = "a".parse().unwrap();
    let select = Select::Rev(first);
    let old = async || db.db.get(&db.read, &id, &select, Extras::default()).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(old().await.is_ok(), "within the grace");
    store.clock.advance(Duration::from_secs(3700));
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(matches!(old().await, Err(GetError::Missing)), "after the grace");
    let info = db.db.info(&db.read).await.unwrap();
    assert_eq!(info.file_bytes, info.active_bytes, "and their space with them");
    db.audit().await;
}

#[tokio::test(start_paused = true)]
async fn events_tell_of_each_database_once_a_kind() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    for n in 0..5 {
        db.put(&n.to_string(), None, "{}").await.unwrap();
    }
    store.create("gone").await;
    store.store.drop(&server(), &"gone".parse().unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    db.put("later", None, "{}").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let scan = EventScan { since: 0, until: u64::MAX, direction: Direction::Ascending, limit: 100 };
    let page = store.store.events(&inspect(), scan).await.unwrap();
    let mut told: Vec<_> = page.events.iter().map(|it| (it.name.as_str(), it.kind)).collect();
    assert_eq!(told.pop(), Some(("notes", EventKind::Updated)), "the newest comes last");
    told.sort_by_key(|(name, _)| *name);
    assert_eq!(told, [("gone", EventKind::Deleted), ("notes", EventKind::Created)]);
    assert_eq!(page.end, page.events.last().unwrap().sequence);
}

#[tokio::test(start_paused = true)]
async fn events_that_a_crash_kept_back_are_told_after_the_next_start() {
    let engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let store = TestStore::on(engine.clone()).await;
    let db = store.create("notes").await;
    store.create("gone").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    db.put("a", None, "{}").await.unwrap();
    store.create("new").await;
    store.store.drop(&server(), &"gone".parse().unwrap()).await.unwrap();
    // What was noted in memory is lost.
    engine.fail_next(Kind::Any, Fault::Crash { applied: false });
    store.store.close().await;
    engine.reopen();
    let again = TestStore::on(engine).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let scan = EventScan { since: 2, until: u64::MAX, direction: Direction::Ascending, limit: 100 };
    let page = again.store.events(&inspect(), scan).await.unwrap();
    let mut told: Vec<_> = page.events.iter().map(|it| (it.name.as_str(), it.kind)).collect();
    told.sort_by_key(|(name, _)| *name);
    let expected =
        [("gone", EventKind::Deleted), ("new", EventKind::Created), ("notes", EventKind::Updated)];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_copied_store_has_another_timeline_and_the_same_uuid() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let first = TestStore::with_identity(engine.clone(), [1; 16]).await;
    let db = first.create("notes").await;
    db.put("a", None, "{}").await.unwrap();
    let (uuid, token) = (first.store.uuid(), db.db.token(1).to_string());
    first.store.close().await;

    let same = TestStore::with_identity(engine.clone(), [1; 16]).await;
    let found = same.store.find(&"notes".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(found.token(1).to_string(), token, "reopening changes nothing");
    same.store.close().await;

    let copy = TestStore::with_identity(engine, [2; 16]).await;
    assert_eq!(copy.store.uuid(), uuid);
    let found = copy.store.find(&"notes".parse().unwrap()).await.unwrap().unwrap();
    assert_ne!(found.token(1).to_string(), token);
    let since: settle_model::sequence::Since = token.parse().unwrap();
    let resolved = since.resolve(found.timeline(), settle_model::sequence::Sequence(1));
    assert_eq!(resolved.0, 0, "a sequence of the original reads as the beginning");
}

#[tokio::test]
async fn many_writers_of_one_database_lose_nothing() {
    let store = TestStore::new().await;
    let db = Arc::new(store.create("notes").await);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..32 {
        let db = db.clone();
        tasks.spawn(async move {
            for n in 0..20 {
                db.put(&format!("{task}-{n}"), None, "{}").await.unwrap();
            }
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    let info = TestDatabase::new(db.db.clone()).db.info(&db.read).await.unwrap();
    assert_eq!((info.doc_count, info.sequence), (640, 640));
    db.audit().await;
}
