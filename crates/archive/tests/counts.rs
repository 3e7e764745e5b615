//! An archive has all documents that its database counted, but for those that went while it was made.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::time::Duration;

use expect_test::expect;
use settle_archive::{Archiving, BadArchive, CompareError, Gone, RestoreFailure};
use settle_database::{Retention, Tombstones};
use settle_engine::{
    Batch, Direction, Outcome, Plan, Scan, Step, Visit, Visitor, key::push_number,
};

use crate::support::{TestDatabase, TestStore, forged, read, rest, source};

/// The rows of the feed, as in docs/formats.md.
const CHANGE: u8 = 0x14;

/// Loses the last row of the feed, as damage or a fault of the scan would.
async fn lose_a_row(store: &TestStore, db: &TestDatabase) {
    struct Last(Vec<u8>);
    impl Visitor for Last {
        fn visit(&mut self, _: usize, key: &[u8], _: Option<&[u8]>) -> Visit {
            self.0 = key.to_vec();
            Visit::Next
        }
    }
    let mut feed = Vec::new();
    push_number(&mut feed, db.db.number());
    feed.push(CHANGE);
    let plan = Plan::new(vec![Step::Scan(Scan::prefix(&feed, Direction::Ascending))]);
    let Last(row) = store.engine.read_to_end(plan, Last(Vec::new())).await.unwrap();
    let mut batch = Batch::default();
    batch.delete(row);
    assert_eq!(store.engine.commit(batch).await, Outcome::Committed);
}

/// Several documents, of which an archive has read no more than two when its first block is there.
async fn large(db: &TestDatabase, ids: &[&str]) {
    let body = format!(r#"{{"pad":"{}"}}"#, "x".repeat(600_000));
    for id in ids {
        db.graft(id, "2 b a", false, &body).await;
    }
}

fn counts(archiving: &Archiving) -> (u64, u64, Option<Gone>) {
    let totals = archiving.totals();
    (totals.documents, totals.deleted, totals.gone)
}

#[tokio::test]
async fn an_archive_that_lacks_a_document_of_its_database_is_refused() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    for id in ["a", "b", "c"] {
        db.put(id, None, "{}").await;
    }
    db.graft("old", "1 a", true, "{}").await;
    let whole = store.archive(&db).await;
    read(&whole).unwrap();
    let mut told = Vec::new();
    for _ in 0..2 {
        lose_a_row(&store, &db).await;
        let archive = store.archive(&db).await;
        let bad = read(&archive).unwrap_err();
        let drill = store.restore(&db, &archive).await.map(drop).unwrap_err();
        assert!(matches!(drill, RestoreFailure::Bad(found) if found == bad));
        let compared = settle_archive::compare(&db.db, &db.read, source(&archive)).await;
        assert!(matches!(compared, Err(CompareError::Bad(found)) if found == bad));
        told.push(bad.to_string());
    }
    expect![[r#"
        the archive has 3 documents and 0 tombstones, and the database had 3 and 1
        the archive has 2 documents and 0 tombstones, and the database had 3 and 1"#]]
    .assert_eq(&told.join("\n"));
}

#[tokio::test]
async fn of_the_first_archives_it_is_not_known_what_went() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    db.put("a", None, "{}").await;
    db.put("b", None, "{}").await;
    lose_a_row(&store, &db).await;
    let archive = store.archive(&db).await;
    let as_before = |line: &str| line.replace(r#","gone":{"purges":0,"tombstones":false}"#, "");
    let archive = forged(&archive, as_before);
    read(&archive).unwrap();
    store.restore(&db, &archive).await.unwrap();
}

#[tokio::test]
async fn what_is_purged_while_an_archive_is_made_may_be_missing() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    large(&db, &["a", "b", "c", "d"]).await;
    db.graft("d", "2 a0 a", true, "{}").await;
    let mut archiving = store.archiving(&db);
    let mut archive = archiving.next().await.unwrap().unwrap().to_vec();
    // The one goes, and of the other a tombstone is left.
    for id in ["c", "d"] {
        let revs = vec!["2-b".parse().unwrap()];
        db.db.purge(&db.admin, vec![(id.parse().unwrap(), revs)]).await.unwrap();
    }
    archive.extend(rest(&mut archiving).await);
    assert_eq!(counts(&archiving), (2, 1, Some(Gone { purges: 2, tombstones: false })));
    read(&archive).unwrap();
    let back = store.replace(&db, &archive).await;
    assert_eq!(back.wholes().await.len(), 3);
    back.audit().await;

    // Of two documents that one purge cannot explain one is lost.
    let fewer =
        forged(&archive, |line| line.replace(r#""gone":{"purges":2"#, r#""gone":{"purges":1"#));
    let bad = read(&fewer).unwrap_err();
    let expected =
        BadArchive::Counts { documents: 2, deleted: 1, documents_then: 4, deleted_then: 0 };
    assert_eq!(bad, expected);
}

#[tokio::test(start_paused = true)]
async fn tombstones_that_go_while_an_archive_is_made_may_be_missing() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let hour = Duration::from_secs(3_600);
    large(&db, &["a", "b", "c"]).await;
    db.graft("old", "1 a", true, "{}").await;
    // Later updates say when earlier ones were.
    let mut rev = db.put("x", None, "{}").await;
    for _ in 0..3 {
        store.clock.advance(hour);
        rev = db.put("x", Some(&rev), "{}").await;
    }
    let mut archiving = store.archiving(&db);
    let mut archive = archiving.next().await.unwrap().unwrap().to_vec();
    store.store.set_followers(Box::new(|_| Box::pin(async { Ok(u64::MAX) })));
    let retention = Retention {
        tombstones: Some(Tombstones { kept: hour, checkpoints: hour }),
        ..Retention::default()
    };
    db.db.set_retention(&db.admin, retention).await.unwrap();
    // Whoever comes by then does.
    tokio::time::sleep(Duration::from_secs(130)).await;
    assert_eq!(db.db.info(&db.read).await.unwrap().deleted_count, 0);
    archive.extend(rest(&mut archiving).await);
    assert_eq!(counts(&archiving), (4, 0, Some(Gone { purges: 0, tombstones: true })));
    let back = store.replace(&db, &archive).await;
    assert_eq!(back.wholes().await.len(), 4);

    // Documents do not go like that.
    let lost =
        forged(&archive, |line| line.replace(r#""tombstones":true"#, r#""tombstones":false"#));
    assert!(matches!(read(&lost), Err(BadArchive::Counts { .. })));
}
