//! What validators are shown of an edit, and how they get it back.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use settle_database::{
    Atomicity, AttachmentEdit, AttachmentSource, Content, Edit, EditError, Foreseen, Seen, Verdict,
};

use crate::support::{TestDatabase, TestStore, delete, put, replicated};

/// `new <- old at sequence`, or `settled`.
async fn foresee(db: &TestDatabase, edit: Edit) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match db.db.foresee(&db.write, &[edit]).await.unwrap().remove(0) {
        Foreseen::Settled => "settled".to_owned(),
        Foreseen::Edit { seen, new, old, .. } => {
            let old = old.map_or_else(|| "null".to_owned(), |old| text(&old));
            let seen = match seen {
                Seen::Nothing => unreachable!("a foreseen edit looked"),
                Seen::Document(seen) => seen.map_or_else(|| "-".to_owned(), |it| it.to_string()),
            };
            format!("{} <- {old} at {seen}", text(&new))
        }
    }
}

#[tokio::test]
async fn an_interactive_edit_is_shown_with_its_base() {
    let db = TestStore::new().await.create("notes").await;
    assert_eq!(
        foresee(&db, put("a", None, r#"{"n":1}"#)).await,
        r#"{"_id":"a","n":1,"_revisions":{"start":0,"ids":[]}} <- null at -"#
    );
    db.one(replicated("a", "2 b a", false, r#"{"n":1}"#)).await.unwrap();
    db.one(replicated("a", "2 c a", false, r#"{"n":2}"#)).await.unwrap();
    let rev = "2-b".parse().unwrap();
    assert_eq!(
        foresee(&db, put("a", Some(&rev), r#"{"n":3}"#)).await,
        concat!(
            r#"{"_id":"a","_rev":"2-b","n":3,"_revisions":{"start":2,"ids":["b"]}} <- "#,
            r#"{"_id":"a","_rev":"2-b","n":1,"_revisions":{"start":2,"ids":["b","a"]}} at 2"#
        )
    );
    assert_eq!(
        foresee(&db, delete("a", Some(&rev))).await,
        concat!(
            r#"{"_id":"a","_rev":"2-b","_deleted":true,"_revisions":{"start":2,"ids":["b"]}} <- "#,
            r#"{"_id":"a","_rev":"2-b","n":1,"_revisions":{"start":2,"ids":["b","a"]}} at 2"#
        )
    );
}

#[tokio::test]
async fn a_document_that_was_deleted_begins_with_nothing_unless_its_tombstone_is_named() {
    let db = TestStore::new().await.create("notes").await;
    db.one(replicated("a", "2 b a", true, r#"{"why":"old"}"#)).await.unwrap();
    assert_eq!(
        foresee(&db, put("a", None, "{}")).await,
        r#"{"_id":"a","_revisions":{"start":0,"ids":[]}} <- null at 1"#
    );
    let rev = "2-b".parse().unwrap();
    assert_eq!(
        foresee(&db, put("a", Some(&rev), "{}")).await,
        concat!(
            r#"{"_id":"a","_rev":"2-b","_revisions":{"start":2,"ids":["b"]}} <- {"_id":"a","#,
            r#""_rev":"2-b","why":"old","_deleted":true,"_revisions":{"start":2,"ids":["b","a"]}} at 1"#
        )
    );
}

#[tokio::test]
async fn a_replicated_edit_is_shown_with_the_nearest_stored_ancestor() {
    let db = TestStore::new().await.create("notes").await;
    assert_eq!(
        foresee(&db, replicated("a", "2 b a", true, "{}")).await,
        r#"{"_id":"a","_rev":"2-b","_deleted":true,"_revisions":{"start":2,"ids":["b","a"]}} <- null at -"#
    );
    db.one(replicated("a", "1 a", false, r#"{"n":1}"#)).await.unwrap();
    db.one(replicated("a", "2 b a", false, r#"{"n":2}"#)).await.unwrap();
    let new = r#"{"_id":"a","_rev":"4-d","_revisions":{"start":4,"ids":["d","c","b"]}}"#;
    // A leaf, though generations between are missing.
    assert_eq!(
        foresee(&db, replicated("a", "4 d c b", false, "{}")).await,
        format!(
            r#"{new} <- {{"_id":"a","_rev":"2-b","n":2,"_revisions":{{"start":2,"ids":["b","a"]}}}} at 2"#
        )
    );
    // On a branch, what history still has.
    assert_eq!(
        foresee(&db, replicated("a", "2 x a", false, "{}")).await,
        concat!(
            r#"{"_id":"a","_rev":"2-x","_revisions":{"start":2,"ids":["x","a"]}} <- "#,
            r#"{"_id":"a","_rev":"1-a","n":1,"_revisions":{"start":1,"ids":["a"]}} at 2"#
        )
    );
    // Nor is another branch an ancestor.
    assert!(foresee(&db, replicated("a", "2 x y", false, "{}")).await.ends_with("<- null at 2"));
    db.db.compact(&db.admin).await.unwrap();
    assert!(foresee(&db, replicated("a", "2 x a", false, "{}")).await.ends_with("<- null at 2"));
    // What the tree knows behind the path that was sent counts as well.
    db.one(replicated("b", "1 a", false, r#"{"n":1}"#)).await.unwrap();
    db.one(replicated("b", "3 c b a", false, r#"{"n":3}"#)).await.unwrap();
    let seen = foresee(&db, replicated("b", "3 x b", false, "{}")).await;
    assert!(seen.contains(r#"<- {"_id":"b","_rev":"1-a","n":1"#), "{seen}");
}

#[tokio::test]
async fn what_needs_no_answer_is_not_asked() {
    let db = TestStore::new().await.create("notes").await;
    let rev = db.put("a", None, "{}").await.unwrap();
    let known = replicated("a", &format!("1 {}", rev.digest()), false, "{}");
    let stale = "1-b".parse().unwrap();
    let too_large = format!(r#"{{"pad":"{}"}}"#, "x".repeat(8_000_000));
    let keep = Content::Whole {
        body: b"{}".to_vec(),
        attachments: vec![AttachmentEdit {
            name: "x".parse().unwrap(),
            source: AttachmentSource::Keep,
            revpos: None,
        }],
    };
    for edit in [
        known,
        put("a", None, "{}"),
        put("a", Some(&stale), "{}"),
        delete("b", None),
        put("b", None, &too_large),
        put("_design/d", None, "{}"),
        Edit { content: keep, ..put("a", Some(&rev), "{}") },
    ] {
        assert_eq!(foresee(&db, edit).await, "settled");
    }
}

#[tokio::test]
async fn a_body_outside_of_the_head_is_shown() {
    let db = TestStore::new().await.create("notes").await;
    let body = format!(r#"{{"pad":"{}"}}"#, "x".repeat(3_000));
    let rev = db.put("a", None, &body).await.unwrap();
    let seen = foresee(&db, put("a", Some(&rev), "{}")).await;
    assert!(seen.contains(&body[1..body.len() - 1]), "{seen}");
}

#[tokio::test]
async fn overtaken_edits_come_back_and_others_do_not() {
    let db = TestStore::new().await.create("notes").await;
    db.put("_design/d", None, "{}").await.unwrap();
    let unjudged = |id: &str| Edit { verdict: Verdict::NONE, ..put(id, None, "{}") };
    let edits = || vec![unjudged("b"), put("a", None, "{}"), unjudged("a"), unjudged("c")];
    let attempt = db.db.attempt(&db.write, edits(), Atomicity::AllOrNothing).await.unwrap();
    let ids = |edits: &[Edit]| edits.iter().map(|it| it.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&attempt.overtaken), ["b", "a", "a", "c"], "an atomic write comes back whole");
    let attempt = db.db.attempt(&db.write, edits(), Atomicity::EachAlone).await.unwrap();
    assert_eq!(ids(&attempt.overtaken), ["b", "c"]);
    assert_eq!(attempt.results[2], Err(EditError::Conflict));
    let edits = vec![put("a", None, "{}"), put("d", None, "{}")];
    let attempt = db.db.attempt(&db.write, edits, Atomicity::AllOrNothing).await.unwrap();
    assert_eq!(attempt.results, [Err(EditError::Conflict), Err(EditError::Aborted)]);
    assert!(attempt.overtaken.is_empty());
}
