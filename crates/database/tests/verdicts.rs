//! A database with design documents takes no edit of which the validators have not been asked, or would
//! have to be asked again.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::sync::Arc;

use settle_database::{Atomicity, Edit, EditError, Epochs, Seen, Verdict};
use settle_engine::memory::MemoryEngine;

use crate::support::{TestDatabase, TestStore, delete, put, replicated};

fn with(verdict: Verdict, edit: Edit) -> Edit {
    Edit { verdict, ..edit }
}

fn without(edit: Edit) -> Edit {
    with(Verdict::NONE, edit)
}

fn passed(db: &TestDatabase, seen: Seen) -> Verdict {
    Verdict::passed(db.db.epochs(), seen)
}

async fn with_design() -> TestDatabase {
    let db = TestStore::new().await.create("notes").await;
    db.put("_design/d", None, "{}").await.unwrap();
    db
}

#[tokio::test]
async fn without_design_documents_no_verdict_is_needed() {
    let db = TestStore::new().await.create("notes").await;
    let rev = db.one(without(put("a", None, "{}"))).await.unwrap().rev;
    db.one(without(delete("a", Some(&rev)))).await.unwrap();
    db.one(without(replicated("b", "2 b a", false, "{}"))).await.unwrap();
}

#[tokio::test]
async fn no_edit_is_taken_without_a_verdict() {
    let db = with_design().await;
    let rev = db.put("a", None, "{}").await.unwrap();
    for edit in [
        put("b", None, "{}"),
        put("a", Some(&rev), "{}"),
        delete("a", Some(&rev)),
        replicated("a", "2 b a", false, "{}"),
        replicated("c", "1 a", true, "{}"),
    ] {
        assert_eq!(db.one(without(edit)).await, Err(EditError::Overtaken));
    }
    // One kind of edit has nothing to decide: what is known already.
    let again = replicated("a", &format!("1 {}", rev.digest()), false, "{}");
    assert_eq!(db.one(without(again)).await.unwrap().rev, rev);
    // A conflict is one whatever validators say.
    assert_eq!(db.one(without(put("a", None, "{}"))).await, Err(EditError::Conflict));
    // Design documents are not validated.
    db.one(without(put("_design/e", None, "{}"))).await.unwrap();
    // Nor does it matter that the design document goes again: the next one may come at any moment.
    let design = db.db.epochs();
    assert_eq!(design, Epochs { design: 2, security: 0 });
}

#[tokio::test]
async fn later_writes_need_a_verdict_as_well() {
    let db = with_design().await;
    db.db.write_later(&db.write, vec![without(put("a", None, "{}"))]);
    db.db.write_later(&db.write, vec![with(passed(&db, Seen::Nothing), put("b", None, "{}"))]);
    // The writer takes them in order.
    db.put("c", None, "{}").await.unwrap();
    let info = db.db.info(&db.read).await.unwrap();
    assert_eq!(info.doc_count, 3, "the design document, b and c");
}

#[tokio::test]
async fn a_verdict_of_other_design_documents_is_overtaken() {
    let db = with_design().await;
    let before = passed(&db, Seen::Nothing);
    db.one(with(before, put("a", None, "{}"))).await.unwrap();
    db.put("_design/e", None, "{}").await.unwrap();
    assert_eq!(db.one(with(before, put("b", None, "{}"))).await, Err(EditError::Overtaken));
    db.one(with(passed(&db, Seen::Nothing), put("b", None, "{}"))).await.unwrap();
}

#[tokio::test]
async fn a_verdict_of_another_security_object_is_overtaken() {
    let db = with_design().await;
    let before = passed(&db, Seen::Nothing);
    db.db.set_security(&db.admin, b"{}".to_vec()).await.unwrap();
    assert_eq!(db.one(with(before, put("a", None, "{}"))).await, Err(EditError::Overtaken));
}

#[tokio::test]
async fn a_verdict_about_another_state_of_the_document_is_overtaken() {
    let db = with_design().await;
    let absent = passed(&db, Seen::Document(None));
    let first = db.one(with(absent, replicated("a", "1 a", false, "{}"))).await.unwrap().rev;
    let edit = replicated("a", "1 b", false, "{}");
    assert_eq!(db.one(with(absent, edit)).await, Err(EditError::Overtaken));
    let seen = passed(&db, Seen::Document(Some(db.db.sequence())));
    let second = db.one(with(seen, put("a", Some(&first), "{}"))).await.unwrap().rev;
    let moved = db.one(with(seen, put("a", Some(&second), "{}"))).await;
    assert_eq!(moved, Err(EditError::Overtaken));
    // Where nobody looked at the document, only its revision matters.
    db.one(with(passed(&db, Seen::Nothing), put("a", Some(&second), "{}"))).await.unwrap();
}

#[tokio::test]
async fn within_one_write_all_edits_are_judged_by_what_was_there_before() {
    for atomicity in [Atomicity::EachAlone, Atomicity::AllOrNothing] {
        let db = with_design().await;
        let verdict = passed(&db, Seen::Document(None));
        let edits = vec![
            with(verdict, replicated("a", "1 a", false, "{}")),
            without(put("_design/e", None, "{}")),
            with(verdict, replicated("a", "1 b", false, "{}")),
        ];
        let results = db.db.write(&db.write, edits, atomicity).await.unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        // The next one finds the design document there.
        let late = db.one(with(verdict, put("b", None, "{}"))).await;
        assert_eq!(late, Err(EditError::Overtaken));
    }
}

/// Writes that wait together are committed together; those behind a design document are judged anew.
#[tokio::test]
async fn a_design_document_overtakes_the_edits_that_wait_behind_it() {
    for has_designs in [false, true] {
        let db = TestStore::new().await.create("notes").await;
        if has_designs {
            db.put("_design/d", None, "{}").await.unwrap();
        }
        let verdict = passed(&db, Seen::Nothing);
        let write = |edit| db.db.write(&db.write, vec![edit], Atomicity::EachAlone);
        let (before, design, behind, maintenance) = tokio::join!(
            write(with(verdict, put("a", None, "{}"))),
            write(without(put("_design/e", None, "{}"))),
            write(with(verdict, put("b", None, "{}"))),
            write(put("c", None, "{}")),
        );
        assert!(before.unwrap()[0].is_ok() && design.unwrap()[0].is_ok());
        assert_eq!(behind.unwrap()[0], Err(EditError::Overtaken));
        assert!(maintenance.unwrap()[0].is_ok());
    }
}

#[tokio::test]
async fn an_overtaken_edit_aborts_an_atomic_write() {
    let db = with_design().await;
    let edits =
        vec![with(passed(&db, Seen::Nothing), put("a", None, "{}")), without(put("b", None, "{}"))];
    let results = db.db.write(&db.write, edits, Atomicity::AllOrNothing).await.unwrap();
    assert_eq!(results, [Err(EditError::Aborted), Err(EditError::Overtaken)]);
    assert_eq!(db.db.info(&db.read).await.unwrap().doc_count, 1);
}

/// The security object changes on another node between the planning of a write and its commit.
#[tokio::test]
async fn a_verdict_holds_until_the_commit() {
    let engine: Arc<MemoryEngine> = Arc::default();
    let one = TestStore::on(engine.clone()).await;
    let db = one.create("notes").await;
    db.put("_design/d", None, "{}").await.unwrap();
    let other = TestStore::on(engine).await;
    let found = other.store.find(&"notes".parse().unwrap()).await.unwrap().unwrap();
    let there = TestDatabase::new(found);
    let verdict = passed(&db, Seen::Nothing);
    there.db.set_security(&there.admin, b"{}".to_vec()).await.unwrap();
    // This node has not heard of it when it plans.
    assert_eq!(db.db.epochs().security, 0);
    let edit = with(verdict, put("a", None, "{}"));
    assert_eq!(db.one(edit).await, Err(EditError::Overtaken));
    assert_eq!(db.db.epochs().security, 1);
}

#[tokio::test]
async fn who_listens_is_told_which_databases_change() {
    let store = TestStore::new().await;
    let quiet = store.create("quiet").await;
    let db = store.create("notes").await;
    db.put("a", None, "{}").await.unwrap();
    let mut changed = store.store.changed();
    db.put("b", None, "{}").await.unwrap();
    assert!(db.put("b", None, "{}").await.is_err(), "a refused edit changes nothing");
    quiet.db.put_local(&quiet.write, &"_local/x".parse().unwrap(), None, b"{}").await.unwrap();
    quiet.put("c", None, "{}").await.unwrap();
    let told = [changed.recv().await.unwrap(), changed.recv().await.unwrap()];
    assert_eq!(told.each_ref().map(|it| it.number), [db.db.number(), quiet.db.number()]);
    assert_eq!(told.each_ref().map(|it| it.sequence), [Some(2), Some(1)]);
    assert_eq!(told[0].name.as_str(), "notes");
    assert!(changed.is_empty());
    // Nobody waits for a listener that does not listen.
    for _ in 0..2_000 {
        if let Ok(written) = db.one(put("x", None, "{}")).await {
            db.one(delete("x", Some(&written.rev))).await.unwrap();
        }
    }
    assert!(changed.recv().await.is_err(), "it is told that it missed some");
}
