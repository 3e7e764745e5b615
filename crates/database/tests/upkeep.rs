//! Purge, compaction and what runs in the background, where it could go wrong.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::disallowed_methods, reason = "a test waits for what it spawns")]

mod support;

use std::{ops::Bound, sync::Arc, time::Duration};

use settle_database::{
    Atomicity, AttachmentSource, Content, DocumentScan, Edit, EditError, Extras, GetError, Select,
    StorageError,
    blobs::{Received, UploadOptions},
};
use settle_engine::{
    Batch, Direction, Engine, Outcome,
    faulty::{Fault, FaultyEngine, Kind},
    key::push_number,
    memory::MemoryEngine,
};

use crate::support::{TestDatabase, TestStore, delete, path, put, replicated, server};

async fn scripted(db: &TestDatabase, revs: &[&str]) {
    for revs in revs {
        db.one(replicated("a", revs, false, r#"{"pad":"................"}"#)).await.unwrap();
    }
}

#[tokio::test]
async fn a_purge_may_name_a_document_twice() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    scripted(&db, &["1 a", "2 b a", "2 c a", "2 d a"]).await;
    let id: settle_model::id::DocumentId = "a".parse().unwrap();
    let rev = |revs| path(revs).newest();
    let items = vec![
        (id.clone(), vec![rev("2 b"), rev("7 x")]),
        ("none".parse().unwrap(), vec![rev("1 a")]),
        (id.clone(), vec![rev("2 c")]),
    ];
    let purged = db.db.purge(&db.admin, items).await.unwrap();
    let went: Vec<_> = purged.into_iter().map(|(_, revs)| revs).collect();
    assert_eq!(went, [vec![rev("2 b")], vec![], vec![rev("2 c")]]);
    db.audit().await;
    db.db.compact(&db.admin).await.unwrap();
    db.audit().await;
}

#[tokio::test]
async fn a_lower_limit_of_purges_forgets_the_older_ones() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    for (round, limit) in [(0..10, 1_000), (10..11, 3)] {
        db.db.set_purged_infos_limit(&db.admin, limit).await.unwrap();
        for n in round {
            let id = format!("doc-{n}");
            let rev = db.put(&id, None, "{}").await.unwrap();
            db.db.purge(&db.admin, vec![(id.parse().unwrap(), vec![rev])]).await.unwrap();
        }
    }
    let infos = db.db.purged_infos(&db.admin).await.unwrap();
    let ids: Vec<_> = infos.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["doc-8", "doc-9", "doc-10"]);
}

#[tokio::test]
async fn a_revision_that_was_stemmed_and_sent_again_is_purged_with_all_that_is_left_of_it() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    db.db.set_revs_limit(&db.admin, 1).await.unwrap();
    let body = format!(r#"{{"pad":"{}"}}"#, "x".repeat(3_000));
    for revs in ["1 a", "2 b a", "1 a"] {
        db.one(replicated("a", revs, false, &body)).await.unwrap();
    }
    let items = vec![("a".parse().unwrap(), vec![path("1 a").newest()])];
    db.db.purge(&db.admin, items).await.unwrap();
    db.audit().await;
    let gone = Select::Rev(path("1 a").newest());
    let found = db.db.get(&db.read, &"a".parse().unwrap(), &gone, Extras::default()).await;
    assert!(matches!(found, Err(GetError::Missing)), "{found:?}");
}

#[tokio::test]
async fn a_compaction_ends_while_others_go_on_writing() {
    let store = TestStore::new().await;
    let db = Arc::new(store.create("notes").await);
    let mut rev = None;
    for n in 0..1_200 {
        rev = Some(db.put("a", rev.as_ref(), &format!(r#"{{"n":{n}}}"#)).await.unwrap());
    }
    // Each of its commits lets a write of more rows than it forgets go before the next.
    let writers = tokio::spawn({
        let db = db.clone();
        async move {
            for round in 0.. {
                let revs = |n: usize| format!("{round}-{n}");
                let edits = (0..1_500).map(|n| put(&revs(n), None, "{}")).collect();
                db.db.write(&db.write, edits, Atomicity::EachAlone).await.unwrap();
            }
        }
    });
    let compaction = db.db.compact(&db.admin);
    tokio::time::timeout(Duration::from_secs(60), compaction).await.unwrap().unwrap();
    writers.abort();
    assert!(writers.await.is_err(), "they would have gone on");
}

#[tokio::test(start_paused = true)]
async fn documents_that_were_never_replaced_cost_a_compaction_little() {
    let engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let store = TestStore::on(engine.clone()).await;
    let db = store.create("notes").await;
    let edits = (0..4_000).map(|n| put(&n.to_string(), None, "{}")).collect();
    db.db.write(&db.write, edits, Atomicity::EachAlone).await.unwrap();
    let before = engine.counts().commits;
    db.db.compact(&db.admin).await.unwrap();
    assert!(engine.counts().commits - before <= 2, "it made {}", engine.counts().commits - before);
}

/// Breaks a record of a database.
async fn damage(engine: &dyn Engine, db: &TestDatabase, family: u8) {
    let mut key = Vec::new();
    push_number(&mut key, db.db.number());
    key.push(family);
    let mut batch = Batch::default();
    batch.put(key, b"damaged".to_vec());
    assert_eq!(engine.commit(batch).await, Outcome::Committed);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_database_holds_up_the_forgetting_of_no_other() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let store = TestStore::on(engine.clone()).await;
    let (bad, good) = (store.create("bad").await, store.create("good").await);
    let mut revs = Vec::new();
    for db in [&bad, &good] {
        let first = db.put("a", None, r#"{"n":1}"#).await.unwrap();
        db.put("a", Some(&first), r#"{"n":2}"#).await.unwrap();
        revs.push(first);
    }
    damage(&*engine, &bad, 0x02).await;
    store.clock.advance(Duration::from_secs(3_700));
    tokio::time::sleep(Duration::from_secs(130)).await;
    let old = Select::Rev(revs[1].clone());
    let found = good.db.get(&good.read, &"a".parse().unwrap(), &old, Extras::default()).await;
    assert!(matches!(found, Err(GetError::Missing)), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_to_reclaim_a_database_is_tried_again() {
    let engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let store = TestStore::on(engine.clone()).await;
    let db = store.create("notes").await;
    db.put("a", None, "{}").await.unwrap();
    engine.fail_next(Kind::Clear, Fault::Fails { storage_full: false });
    let before = engine.counts().clears;
    store.store.drop(&server(), &"notes".parse().unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(engine.counts().clears - before, 2);
}

#[tokio::test]
async fn an_attachment_put_on_a_deleted_document_begins_it_anew() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let rev = db.put("a", None, r#"{"n":1}"#).await.unwrap();
    let tombstone = Edit { content: support::whole(r#"{"why":"old"}"#), ..delete("a", Some(&rev)) };
    let rev = db.one(tombstone).await.unwrap().rev;
    let options = UploadOptions::new(Received::Plain { content_type: "text/plain" });
    let blob = Arc::new(store.store.blobs().stage(b"x", &options).await.unwrap());
    let new = AttachmentSource::New { content_type: "text/plain".to_owned(), blob };
    let content = Content::Attachment { name: "x".parse().unwrap(), new: Some(new) };
    let made = db.one(Edit { content, ..put("a", None, "{}") }).await.unwrap().rev;
    assert_eq!(made.generation(), rev.generation() + 1);
    let id = "a".parse().unwrap();
    let found = db.db.get(&db.read, &id, &Select::Winner, Extras::default()).await.unwrap();
    assert_eq!((&found.body[..], found.attachments.len()), (&b"{}"[..], 1));
    db.audit().await;
}

#[tokio::test]
async fn attachments_put_one_by_one_have_the_same_limit() {
    use settle_database::{AttachmentEdit, limits::ATTACHMENTS_MAX};
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let options = UploadOptions::new(Received::Plain { content_type: "text/plain" });
    let blob = Arc::new(store.store.blobs().stage(b"x", &options).await.unwrap());
    let source =
        || AttachmentSource::New { content_type: "text/plain".to_owned(), blob: blob.clone() };
    let attachments = (0..ATTACHMENTS_MAX).map(|n| AttachmentEdit {
        name: n.to_string().parse().unwrap(),
        source: source(),
        revpos: None,
    });
    let content = Content::Whole { body: b"{}".to_vec(), attachments: attachments.collect() };
    let rev = db.one(Edit { content, ..put("a", None, "{}") }).await.unwrap().rev;
    let content = Content::Attachment { name: "more".parse().unwrap(), new: Some(source()) };
    let refused = db.one(Edit { content, ..put("a", Some(&rev), "{}") }).await;
    assert!(matches!(refused, Err(EditError::TooManyAttachments { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_list_of_a_dropped_database_has_no_offset() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    for id in ["a", "b", "c"] {
        db.put(id, None, "{}").await.unwrap();
    }
    let scan = |direction| DocumentScan {
        start: Bound::Included("b".to_owned()),
        end: Bound::Unbounded,
        direction,
        skip: 0,
        limit: 1,
        content: false,
        in_conflict: false,
    };
    let offset = async |direction| db.db.offset(&db.read, &scan(direction)).await;
    assert_eq!(offset(Direction::Ascending).await, Ok(Some(1)));
    assert_eq!(offset(Direction::Descending).await, Ok(Some(0)));
    store.store.drop(&server(), &"notes".parse().unwrap()).await.unwrap();
    assert_eq!(offset(Direction::Ascending).await, Err(StorageError::Gone));
}

#[tokio::test(start_paused = true)]
async fn a_large_write_of_edits_that_stand_alone_holds_the_engine_for_short_times() {
    let engine = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let store = TestStore::on(engine.clone()).await;
    let db = store.create("notes").await;
    for (atomicity, commits) in [(Atomicity::EachAlone, 3), (Atomicity::AllOrNothing, 1)] {
        let ids: Vec<String> = (0..4_500).map(|n| format!("{atomicity:?}-{n}")).collect();
        let before = engine.counts().commits;
        let edits = ids.iter().map(|id| put(id, None, "{}")).collect();
        let results = db.db.write(&db.write, edits, atomicity).await.unwrap();
        let written: Vec<_> = results.into_iter().map(|it| it.unwrap().id.to_string()).collect();
        assert_eq!(written, ids);
        assert_eq!(engine.counts().commits - before, commits);
    }
    assert_eq!(db.db.write(&db.write, Vec::new(), Atomicity::EachAlone).await, Ok(Vec::new()));
    db.audit().await;
}
