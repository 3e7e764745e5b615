//! Changes with documents as filters see them.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::{fmt::Write as _, sync::Arc};

use expect_test::{Expect, expect};
use settle_database::{ChangeCursor, ChangeFilter, ChangeScan, LeafForm, Next};
use settle_engine::Direction;

use crate::support::{TestDatabase, TestStore, replicated};

async fn some() -> TestDatabase {
    let db = TestStore::new().await.create("notes").await;
    let large = format!(r#"{{"n":2,"pad":"{}"}}"#, "x".repeat(2_000));
    for edit in [
        replicated("gone", "2 b a", true, r#"{"why":"old"}"#),
        replicated("a", "2 c a", false, r#"{"n":1}"#),
        replicated("a", "2 b a", false, &large),
        replicated("a", "3 x a", true, r#"{"n":3}"#),
        replicated("b", "3 c b a", false, "{}"),
    ] {
        db.one(edit).await.unwrap();
    }
    db
}

async fn check(db: &TestDatabase, scan: &ChangeScan, form: LeafForm, expected: &Expect) {
    let mut scan = scan.clone();
    let mut text = String::new();
    loop {
        let (changes, next) = db.db.scan_leaves(&db.read, &scan, form).await.unwrap();
        assert!(changes.len() <= form.count_max);
        for change in changes {
            let (id, sequence) = (&change.id, change.sequence);
            writeln!(text, "{sequence} {id} deleted: {}", change.deleted()).unwrap();
            for document in &change.documents {
                let document = std::str::from_utf8(document).unwrap();
                writeln!(text, "  {}", document.replace(&"x".repeat(2_000), "…")).unwrap();
            }
            let body = change.content().body;
            let first = std::str::from_utf8(&change.documents[0]).unwrap();
            assert!(first.contains(std::str::from_utf8(&body[1..body.len() - 1]).unwrap()));
        }
        let Next::Go(ChangeCursor { at }) = next else { break };
        match scan.direction {
            Direction::Ascending => scan.since = at,
            Direction::Descending => scan.until = at - 1,
        }
    }
    expected.assert_eq(&text);
}

fn scan(direction: Direction) -> ChangeScan {
    ChangeScan {
        since: 0,
        until: 9,
        direction,
        content: false,
        times: false,
        only: ChangeFilter::All,
    }
}

fn form(all: bool, ancestors: u32, count_max: usize) -> LeafForm {
    LeafForm { all, ancestors, count_max, bytes_max: usize::MAX }
}

#[tokio::test]
async fn the_winner_comes_with_its_conflicts_and_some_ancestors() {
    let db = some().await;
    let expected = expect![[r#"
        1 gone deleted: true
          {"_id":"gone","_rev":"2-b","why":"old","_deleted":true,"_revisions":{"start":2,"ids":["b","a"]}}
        4 a deleted: false
          {"_id":"a","_rev":"2-c","n":1,"_revisions":{"start":2,"ids":["c","a"]},"_conflicts":["2-b"]}
        5 b deleted: false
          {"_id":"b","_rev":"3-c","_revisions":{"start":3,"ids":["c","b"]}}
    "#]];
    for count_max in [1, 2, 9] {
        let form = form(false, 2, count_max);
        check(&db, &scan(Direction::Ascending), form, &expected).await;
    }
}

#[tokio::test]
async fn every_leaf_comes_when_it_is_wanted() {
    let db = some().await;
    let mut scan = scan(Direction::Descending);
    scan.only = ChangeFilter::Ids(Arc::from(["a".to_owned(), "gone".to_owned()]));
    check(
        &db,
        &scan,
        form(true, 0, 1),
        &expect![[r#"
            4 a deleted: false
              {"_id":"a","_rev":"2-c","n":1,"_conflicts":["2-b"]}
              {"_id":"a","_rev":"2-b","n":2,"pad":"…"}
              {"_id":"a","_rev":"3-x","n":3,"_deleted":true}
            1 gone deleted: true
              {"_id":"gone","_rev":"2-b","why":"old","_deleted":true}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn few_documents_are_found_without_a_scan() {
    let db = some().await;
    let ids = ["b", "none", "gone"].map(str::to_owned);
    assert_eq!(db.db.sequences_of(&db.read, &ids).await.unwrap(), [1, 5]);
}
