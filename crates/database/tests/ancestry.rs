//! Long histories: what stands outside a document's head is neither lost nor left over.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use settle_database::{
    AttachmentEdit, AttachmentSource, Content, Edit, Extras, Origin, Select, Verdict,
};
use settle_model::revision::{RevId, RevPath};

use crate::support::{TestDatabase, TestStore, replicated};

const PATH: Extras =
    Extras { path: true, conflicts: false, deleted_conflicts: false, revs_info: false };

/// Edits a document so many times; its newest revision.
async fn edit(db: &TestDatabase, id: &str, mut rev: Option<RevId>, times: usize) -> RevId {
    for n in 0..times {
        rev = Some(db.put(id, rev.as_ref(), &format!(r#"{{"n":{n}}}"#)).await.unwrap());
    }
    rev.unwrap()
}

async fn remembered(db: &TestDatabase, id: &str) -> RevPath {
    let found = db.db.get(&db.read, &id.parse().unwrap(), &Select::Winner, PATH).await.unwrap();
    found.path.unwrap()
}

/// What a replica sends of the revision so many generations below the newest.
fn older(path: &RevPath, age: usize) -> Edit {
    let start = path.start() - u32::try_from(age).unwrap();
    let path = RevPath::new(start, path.digests()[age..].to_vec()).unwrap();
    let origin = Origin::Replicated { path };
    Edit { origin, ..replicated("a", "1 a", false, "{}") }
}

#[tokio::test]
async fn old_revisions_that_a_replica_sends_again_change_nothing() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let rev = edit(&db, "a", None, 300).await;
    let whole = remembered(&db, "a").await;
    let before = db.db.info(&db.read).await.unwrap();
    for age in [1, 40, 100, 250, 299] {
        db.one(older(&whole, age)).await.unwrap();
        assert_eq!(remembered(&db, "a").await.digests(), whole.digests(), "after {age}");
    }
    let after = db.db.info(&db.read).await.unwrap();
    assert_eq!(after, before);
    edit(&db, "a", Some(rev), 1).await;
    assert_eq!(remembered(&db, "a").await.digests().len(), 301);
    db.audit().await;
}

#[tokio::test]
async fn a_refused_edit_leaves_older_ancestry_where_it_is() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    edit(&db, "a", None, 300).await;
    let whole = remembered(&db, "a").await;
    // A branch from far down, with a stub of what is not there.
    let mut digests = vec!["b".parse().unwrap()];
    digests.extend_from_slice(&whole.digests()[250..]);
    let path = RevPath::new(51, digests).unwrap();
    let attachments = vec![AttachmentEdit {
        name: "x".parse().unwrap(),
        source: AttachmentSource::Keep,
        revpos: Some(1),
    }];
    let edit = Edit {
        id: "a".parse().unwrap(),
        origin: Origin::Replicated { path },
        deleted: false,
        content: Content::Whole { body: b"{}".to_vec(), attachments },
        verdict: Verdict::internal("a test"),
    };
    assert!(db.one(edit).await.is_err());
    assert_eq!(remembered(&db, "a").await.digests(), whole.digests());
    db.audit().await;
}

#[tokio::test]
async fn ancestry_beyond_the_limit_of_revisions_goes() {
    for limit in [40, 50, 70, 90, 130] {
        let store = TestStore::new().await;
        let db = store.create("notes").await;
        db.db.set_revs_limit(&db.admin, limit).await.unwrap();
        edit(&db, "a", None, 300).await;
        assert_eq!(remembered(&db, "a").await.digests().len(), limit as usize);
        db.audit().await;
    }
}

#[tokio::test]
async fn ancestry_goes_when_the_limit_of_revisions_is_lowered() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let rev = edit(&db, "a", None, 300).await;
    db.db.set_revs_limit(&db.admin, 10).await.unwrap();
    let rev = edit(&db, "a", Some(rev), 1).await;
    assert_eq!(remembered(&db, "a").await.digests().len(), 10);
    db.audit().await;
    let items = vec![("a".parse().unwrap(), vec![rev])];
    db.db.purge(&db.admin, items).await.unwrap();
    db.audit().await;
}

#[tokio::test]
async fn a_revision_that_arrived_without_its_parent_is_joined_by_the_edit_that_makes_it() {
    let store = TestStore::new().await;
    let (db, other) = (store.create("notes").await, store.create("other").await);
    let first = other.put("a", None, r#"{"n":1}"#).await.unwrap();
    let second = other.put("a", Some(&first), r#"{"n":2}"#).await.unwrap();

    assert_eq!(db.put("a", None, r#"{"n":1}"#).await.unwrap(), first);
    let lone = Origin::Replicated { path: RevPath::single(second.clone()) };
    let lone = Edit { origin: lone, ..replicated("a", "1 a", false, r#"{"n":2}"#) };
    db.one(lone).await.unwrap();
    db.audit().await;
    assert_eq!(db.put("a", Some(&first), r#"{"n":2}"#).await.unwrap(), second);
    assert_eq!(remembered(&db, "a").await.digests().len(), 2);
    db.audit().await;
}

#[tokio::test]
async fn a_design_document_has_changed_when_joined_branches_give_it_another_winner() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    db.one(replicated("_design/d", "1 a", false, "{}")).await.unwrap();
    db.one(replicated("_design/d", "2 b", true, "{}")).await.unwrap();
    let before = db.db.epochs().design;
    db.one(replicated("_design/d", "2 b a", true, "{}")).await.unwrap();
    assert_eq!(db.db.info(&db.read).await.unwrap().deleted_count, 1);
    assert_eq!(db.db.epochs().design, before + 1);
}
