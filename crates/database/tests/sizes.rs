//! What a database says of its size is what a count of everything gives, whatever has become of it. Each `audit` is such
//! a count.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use settle_database::{
    AttachmentEdit, AttachmentSource, Content, Edit, Info, Next, Retention, Tombstones,
    blobs::{Received, UploadOptions},
};
use settle_model::revision::RevId;

use crate::support::{TestDatabase, TestStore, delete, put, replicated, unlist_conflicts};

/// Bytes of the smaller and the larger content; neither is compressed.
const SMALL: u64 = 10;
const LARGE: u64 = 100_000;

async fn attached(
    store: &TestStore,
    db: &TestDatabase,
    id: &str,
    base: Option<&RevId>,
    sizes: &[u64],
) -> RevId {
    let mut attachments = Vec::new();
    for &size in sizes {
        let bytes: Vec<u8> = (0..size).map(|n| n.to_le_bytes()[0]).collect();
        let options = UploadOptions::new(Received::Plain { content_type: "image/png" });
        let blob = Arc::new(store.store.blobs().stage(&bytes, &options).await.unwrap());
        let source = AttachmentSource::New { content_type: "image/png".to_owned(), blob };
        let name = format!("of-{size}").parse().unwrap();
        attachments.push(AttachmentEdit { name, source, revpos: None });
    }
    let content = Content::Whole { body: b"{}".to_vec(), attachments };
    db.one(Edit { content, ..put(id, base, "{}") }).await.unwrap().rev
}

async fn sizes(db: &TestDatabase) -> Info {
    db.audit().await;
    db.db.info(&db.read).await.unwrap()
}

async fn compacted(db: &TestDatabase) -> Info {
    db.db.compact(&db.admin).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let info = sizes(db).await;
    assert_eq!(info.file_bytes, info.active_bytes, "nothing is left of the past");
    info
}

#[tokio::test(start_paused = true)]
async fn sizes_are_right_whatever_becomes_of_documents_and_their_past() {
    let store = TestStore::new().await;
    store.store.set_followers(Box::new(|_| Box::pin(async { Ok(u64::MAX) })));
    let db = store.create("notes").await;
    assert_eq!(sizes(&db).await.file_bytes, 0);
    let a = attached(&store, &db, "a", None, &[SMALL, LARGE]).await;
    let one = sizes(&db).await;
    assert_eq!(one.external_bytes, 2 + SMALL + LARGE);
    assert!((SMALL + LARGE..SMALL + LARGE + 1_000).contains(&one.active_bytes), "{one:?}");

    // Another document with the same content: it is stored once, and is there twice for whoever reads.
    let b = attached(&store, &db, "b", None, &[LARGE]).await;
    let two = sizes(&db).await;
    assert_eq!(two.external_bytes, one.external_bytes + 2 + LARGE);
    assert!(two.active_bytes < one.active_bytes + 1_000, "{two:?}");

    // As long as the past has them, attachments are kept.
    db.db.take_snapshot(&db.admin, "monday".parse().unwrap(), None).await.unwrap();
    let a = db.one(put("a", Some(&a), "{}")).await.unwrap().rev;
    db.one(delete("b", Some(&b))).await.unwrap();
    db.db.compact(&db.admin).await.unwrap();
    let kept = sizes(&db).await;
    assert_eq!(kept.external_bytes, 4);
    assert!(kept.active_bytes > LARGE + SMALL && kept.file_bytes > kept.active_bytes, "{kept:?}");

    // Back, and back from there.
    let (read, write) = (&db.read, &db.write);
    let monday = db.db.moment(read, &"monday".parse().unwrap()).await.unwrap();
    let (reversals, next) =
        db.db.plan_revert(read, monday, (0, None), None::<&BTreeSet<_>>).await.unwrap();
    assert_eq!(next, Next::Done);
    let before = Some("before".parse().unwrap());
    db.db.make_revert((read, write), monday, &reversals, before).await.unwrap();
    let reverted = sizes(&db).await;
    assert_eq!(reverted.external_bytes, two.external_bytes);
    for name in ["monday", "before"] {
        db.db.forget_snapshot(&db.admin, name.parse().unwrap()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        sizes(&db).await;
    }
    let now = compacted(&db).await;
    assert_eq!(now.external_bytes, two.external_bytes);

    // A copy says the same of its documents.
    let copy = store.create("copy").await;
    let present = db.db.moment(read, &settle_database::At::Now).await.unwrap();
    let copied = db.db.copy_at(read, present, None, (&copy.db, &copy.write)).await.unwrap();
    assert_eq!(copied, Next::Done);
    let copied = sizes(&copy).await;
    assert_eq!((copied.external_bytes, copied.doc_count), (now.external_bytes, 2));

    // What is purged is nowhere.
    let whole = db.db.whole(read, &"a".parse().unwrap()).await.unwrap().unwrap();
    let rev = whole.leaves[0].path.newest();
    assert_ne!(rev, a);
    db.db.purge(&db.admin, vec![("a".parse().unwrap(), vec![rev])]).await.unwrap();
    let purged = compacted(&db).await;
    assert_eq!(purged.external_bytes, 2 + LARGE);
    assert!((LARGE..LARGE + 1_000).contains(&purged.active_bytes), "{purged:?}");
    assert!((LARGE + SMALL..LARGE + 1_500).contains(&sizes(&copy).await.active_bytes));

    // So is a tombstone that has gone.
    let whole = db.db.whole(read, &"b".parse().unwrap()).await.unwrap().unwrap();
    db.one(delete("b", Some(&whole.leaves[0].path.newest()))).await.unwrap();
    db.one(replicated("c", "2 b a", true, r#"{"n":1}"#)).await.unwrap();
    let day = Duration::from_secs(86_400);
    let tombstones = Some(Tombstones { kept: day, checkpoints: day });
    let retention = Retention { tombstones, ..Retention::default() };
    db.db.set_retention(&db.admin, retention).await.unwrap();
    store.clock.advance(2 * day);
    tokio::time::sleep(Duration::from_secs(130)).await;
    let empty = compacted(&db).await;
    assert_eq!((empty.external_bytes, empty.deleted_count), (0, 0));
    // The row of the purge is left.
    assert!(empty.file_bytes < 100, "{empty:?}");
}

#[tokio::test]
async fn attachments_from_before_they_were_counted_are_counted_by_the_first_who_changes_them() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let a = attached(&store, &db, "a", None, &[SMALL, LARGE]).await;
    let before = sizes(&db).await;
    unlist_conflicts(&store.engine).await;
    assert_eq!(sizes(&db).await.active_bytes, before.active_bytes, "they are counted to be told");
    // A write that has nothing to do with them leaves them uncounted.
    db.put("b", None, "{}").await.unwrap();
    assert!(sizes(&db).await.active_bytes > before.active_bytes);
    attached(&store, &db, "a", Some(&a), &[SMALL]).await;
    sizes(&db).await;
    db.db.compact(&db.admin).await.unwrap();
    let after = sizes(&db).await;
    assert!((SMALL..1_000).contains(&after.active_bytes), "{after:?}");
}
