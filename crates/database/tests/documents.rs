//! The rules of documents, case by case.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use settle_database::{
    Atomicity, ChangeFilter, ChangeRow, ChangeScan, Extras, GetError, More, Next, OpenRevs,
    Revision, Select, Sink,
};
use settle_engine::Direction;
use settle_model::revision::RevId;

use crate::support::{TestDatabase, TestStore, delete, put, replicated};

/// Runs one step a line on one database and shows what came of it:
/// `put ID [REV] BODY`, `del ID [REV]`, `rep ID GENERATION NAMES [x] BODY`, `get ID [REV]`, `leaves ID`,
/// `changes`, `purge ID REV`, `compact`, `wait SECONDS`, `info`. Revisions are written `N#` for the
/// n-th that a step made.
async fn check(script: &str, expected: &Expect) {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let mut made: Vec<RevId> = Vec::new();
    let mut seen = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let outcome = step(&store, &db, &mut made, line).await;
        writeln!(seen, "{line}\n    {outcome}").unwrap();
    }
    db.audit().await;
    expected.assert_eq(&seen);
}

async fn step(store: &TestStore, db: &TestDatabase, made: &mut Vec<RevId>, line: &str) -> String {
    let (words, body) = line.find('{').map_or((line, "{}"), |at| line.split_at(at));
    let words: Vec<&str> = words.split_whitespace().collect();
    let rev = |word: &str| made[word.trim_end_matches('#').parse::<usize>().unwrap() - 1].clone();
    let named = |revision: &Revision| {
        let body = String::from_utf8_lossy(&revision.body).into_owned();
        format!("{}{} {body}", revision.rev, if revision.deleted { " deleted" } else { "" })
    };
    match words.as_slice() {
        ["put", id, base @ ..] => {
            let base = base.first().map(|it| rev(it));
            written(made, db.one(put(id, base.as_ref(), body)).await)
        }
        ["del", id, base @ ..] => {
            let base = base.first().map(|it| rev(it));
            written(made, db.one(delete(id, base.as_ref())).await)
        }
        ["rep", id, path @ ..] => {
            let deleted = path.last() == Some(&"x");
            let path = path.join(" ");
            let path = path.trim_end_matches(" x");
            written(made, db.one(replicated(id, path, deleted, body)).await)
        }
        ["get", id, which @ ..] => {
            let select = which.first().map_or(Select::Winner, |it| Select::Rev(rev(it)));
            let extras = Extras { path: true, conflicts: true, ..Extras::default() };
            match db.db.get(&db.read, &id.parse().unwrap(), &select, extras).await {
                Ok(found) => {
                    format!("{} path {}", named(&found), found.path.unwrap().digests().len())
                }
                Err(GetError::Storage(error)) => panic!("{error}"),
                Err(error) => error.to_string(),
            }
        }
        ["leaves", id] => {
            let id = id.parse().unwrap();
            let all = db.db.open_revs(&db.read, &id, &OpenRevs::All, false, Extras::default());
            match all.await {
                Ok(all) => {
                    all.iter().map(|it| named(it.as_ref().unwrap())).collect::<Vec<_>>().join(", ")
                }
                Err(error) => error.to_string(),
            }
        }
        ["changes"] => changes(db).await,
        ["purge", id, which] => {
            let items = vec![(id.parse().unwrap(), vec![rev(which)])];
            let purged = db.db.purge(&db.admin, items).await.unwrap();
            purged.iter().map(|(id, revs)| format!("{id}: {}", revs.len())).collect()
        }
        ["compact"] => {
            db.db.compact(&db.admin).await.unwrap();
            "done".to_owned()
        }
        ["wait", seconds] => {
            store.clock.advance(std::time::Duration::from_secs(seconds.parse().unwrap()));
            "done".to_owned()
        }
        ["info"] => {
            let info = db.db.info(&db.read).await.unwrap();
            let past = if info.file_bytes > info.active_bytes { "some past" } else { "no past" };
            format!(
                "{} live, {} deleted, sequence {}, purge {}, external {}, {past}",
                info.doc_count,
                info.deleted_count,
                info.sequence,
                info.purge_sequence,
                info.external_bytes
            )
        }
        other => panic!("unknown step {other:?}"),
    }
}

fn written(
    made: &mut Vec<RevId>,
    result: Result<settle_database::Written, settle_database::EditError>,
) -> String {
    match result {
        Ok(written) => {
            made.push(written.rev.clone());
            format!("{}# = {}", made.len(), written.rev)
        }
        Err(error) => error.to_string(),
    }
}

struct Rows(Vec<String>);

impl Sink<ChangeRow<'_>> for Rows {
    fn row(&mut self, row: &ChangeRow<'_>) -> More {
        let deleted = if row.deleted() { " deleted" } else { "" };
        self.0.push(format!("{} {}{deleted} ({})", row.sequence, row.id, row.leaves.len()));
        More::Yes
    }
}

async fn changes(db: &TestDatabase) -> String {
    let scan = ChangeScan {
        since: 0,
        until: db.db.sequence(),
        direction: Direction::Ascending,
        content: false,
        times: false,
        only: ChangeFilter::All,
    };
    let (rows, next) = db.db.scan_changes(&db.read, &scan, Rows(Vec::new())).await.unwrap();
    assert_eq!(next, Next::Done);
    let pending = db.db.pending(&db.read, 0).await.unwrap();
    assert_eq!(pending, rows.0.len() as u64);
    rows.0.join(", ")
}

#[tokio::test]
async fn an_edit_needs_the_newest_revision() {
    check(
        r#"
        put a {"x":1}
        put a {"x":2}
        put a 1# {"x":2}
        put a 1# {"x":3}
        get a
        get a 1#
        changes
        info
        "#,
        &expect![[r#"
            put a {"x":1}
                1# = 1-0785e9eb543380151003dc452c3a001a
            put a {"x":2}
                the document has moved on from the revision given
            put a 1# {"x":2}
                2# = 2-8c49edca19d786e747fb5bea32c4cb91
            put a 1# {"x":3}
                the document has moved on from the revision given
            get a
                2-8c49edca19d786e747fb5bea32c4cb91 {"x":2} path 2
            get a 1#
                1-0785e9eb543380151003dc452c3a001a {"x":1} path 1
            changes
                2 a (1)
            info
                1 live, 0 deleted, sequence 2, purge 0, external 7, some past
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_deleted_document_can_be_taken_up_again() {
    check(
        r#"
        put a {"x":1}
        del a
        del a 1#
        get a
        get a 2#
        del a 2#
        put a {"x":9}
        get a
        changes
        info
        "#,
        &expect![[r#"
            put a {"x":1}
                1# = 1-0785e9eb543380151003dc452c3a001a
            del a
                the document has moved on from the revision given
            del a 1#
                2# = 2-d0ae140c7f7cdb92dd85a3e31ae18f0c
            get a
                the document is deleted
            get a 2#
                2-d0ae140c7f7cdb92dd85a3e31ae18f0c deleted {} path 2
            del a 2#
                the document is deleted
            put a {"x":9}
                3# = 3-e7ceff761b9514842c2a05974b8170a4
            get a
                3-e7ceff761b9514842c2a05974b8170a4 {"x":9} path 3
            changes
                3 a (1)
            info
                1 live, 0 deleted, sequence 3, purge 0, external 7, some past
        "#]],
    )
    .await;
}

#[tokio::test]
async fn replicas_keep_every_branch() {
    check(
        r#"
        rep n 3 aa bb cc {"v":1}
        rep n 3 dd bb cc {"v":2}
        rep n 3 dd bb cc {"v":2}
        leaves n
        del n 2#
        leaves n
        get n
        changes
        info
        "#,
        &expect![[r#"
            rep n 3 aa bb cc {"v":1}
                1# = 3-aa
            rep n 3 dd bb cc {"v":2}
                2# = 3-dd
            rep n 3 dd bb cc {"v":2}
                3# = 3-dd
            leaves n
                3-dd {"v":2}, 3-aa {"v":1}
            del n 2#
                4# = 4-0fecf07592c6a5c7375799c33f45a42f
            leaves n
                3-aa {"v":1}, 4-0fecf07592c6a5c7375799c33f45a42f deleted {}
            get n
                3-aa {"v":1} path 3
            changes
                3 n (2)
            info
                1 live, 0 deleted, sequence 3, purge 0, external 9, some past
        "#]],
    )
    .await;
}

#[tokio::test]
async fn old_revisions_go_with_compaction() {
    check(
        r#"
        put a {"x":1}
        put a 1# {"x":2}
        put a 2# {"x":3}
        get a 1#
        info
        compact
        get a 1#
        get a
        info
        changes
        "#,
        &expect![[r#"
            put a {"x":1}
                1# = 1-0785e9eb543380151003dc452c3a001a
            put a 1# {"x":2}
                2# = 2-8c49edca19d786e747fb5bea32c4cb91
            put a 2# {"x":3}
                3# = 3-7e4c5e461a77344fe27b041685c2b658
            get a 1#
                1-0785e9eb543380151003dc452c3a001a {"x":1} path 1
            info
                1 live, 0 deleted, sequence 3, purge 0, external 7, some past
            compact
                done
            get a 1#
                the document, or this revision of it, is missing
            get a
                3-7e4c5e461a77344fe27b041685c2b658 {"x":3} path 3
            info
                1 live, 0 deleted, sequence 3, purge 0, external 7, no past
            changes
                3 a (1)
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_purge_leaves_nothing() {
    check(
        r#"
        put a {"x":1}
        put a 1# {"x":2}
        rep a 2 zz {"x":7}
        put b {"x":1}
        purge a 2#
        leaves a
        get a 1#
        changes
        info
        purge a 3#
        leaves a
        changes
        info
        "#,
        &expect![[r#"
            put a {"x":1}
                1# = 1-0785e9eb543380151003dc452c3a001a
            put a 1# {"x":2}
                2# = 2-8c49edca19d786e747fb5bea32c4cb91
            rep a 2 zz {"x":7}
                3# = 2-zz
            put b {"x":1}
                4# = 1-0785e9eb543380151003dc452c3a001a
            purge a 2#
                a: 1
            leaves a
                2-zz {"x":7}
            get a 1#
                the document, or this revision of it, is missing
            changes
                4 b (1), 5 a (1)
            info
                2 live, 0 deleted, sequence 5, purge 1, external 14, some past
            purge a 3#
                a: 1
            leaves a
                the document, or this revision of it, is missing
            changes
                4 b (1)
            info
                1 live, 0 deleted, sequence 6, purge 2, external 7, no past
        "#]],
    )
    .await;
}

#[tokio::test]
async fn all_or_nothing_is_nothing_when_one_edit_is_refused() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    db.put("a", None, "{}").await.unwrap();
    let edits = vec![put("b", None, "{}"), put("a", None, "{}"), put("c", None, "{}")];
    let results = db.db.write(&db.write, edits, Atomicity::AllOrNothing).await.unwrap();
    let shown: Vec<String> =
        results.iter().map(|it| it.as_ref().unwrap_err().to_string()).collect();
    assert_eq!(shown[0], "another edit of the same atomic write was refused");
    assert_eq!(shown[1], "the document has moved on from the revision given");
    assert_eq!(changes(&db).await, "1 a (1)");
    db.audit().await;
}

#[tokio::test]
async fn long_histories_are_kept_in_segments() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    db.db.set_revs_limit(&db.admin, 300).await.unwrap();
    let mut base = None;
    for n in 0..700 {
        base = Some(db.put("a", base.as_ref(), &format!("{{\"n\":{n}}}")).await.unwrap());
    }
    let extras = Extras { path: true, ..Extras::default() };
    let found = db.db.get(&db.read, &"a".parse().unwrap(), &Select::Winner, extras).await.unwrap();
    assert_eq!(found.path.unwrap().digests().len(), 300);
    db.audit().await;
}
