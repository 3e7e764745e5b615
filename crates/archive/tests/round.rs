//! A database that comes back from its archive is the one that was archived, leaf by leaf.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::{sync::Arc, time::Duration};

use expect_test::expect;
use proptest::prelude::*;
use settle_database::{Origin, PastError, Retention, Tombstones, WholeDocument};
use settle_engine::memory::MemoryEngine;
use settle_model::sequence::{Sequence, Since};
use tokio::runtime::Builder;

use crate::support::{Op, TestDatabase, TestStore, edit, live, op, path, rest, slices, source};

/// Sequences and times included.
fn assert_same(expected: &[WholeDocument], found: &[WholeDocument]) {
    assert_eq!(expected.len(), found.len());
    for (expected, found) in expected.iter().zip(found) {
        assert_eq!(expected, found);
    }
}

async fn check(ops: &[Op], later: &[Op]) {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let mut made = 0;
    for op in ops {
        live(&db, op, &mut made).await;
    }
    let (expected, locals) = (db.wholes().await, db.locals().await);
    let purged = db.db.purged_infos(&db.admin).await.unwrap();
    let archive = store.archive(&db).await;

    // Elsewhere, and then in the place of what has become of the database meanwhile.
    let other = TestStore::on(Arc::new(MemoryEngine::new()), 8).await;
    let fresh = other.create("copy").await;
    let copy = other.replace(&fresh, &archive).await;
    for op in later {
        live(&db, op, &mut made).await;
    }
    let back = store.replace(&db, &archive).await;
    for restored in [&copy, &back] {
        assert_same(&expected, &restored.wholes().await);
        assert_eq!(restored.locals().await, locals);
        assert_eq!(restored.db.purged_infos(&restored.admin).await.unwrap(), purged);
        restored.audit().await;
    }
    assert!(db.db.is_dropped() && back.db.name() == db.db.name());
    // And it lives on.
    for op in later {
        live(&back, op, &mut made).await;
    }
    back.audit().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_random_database_comes_back_as_it_was(
        ops in proptest::collection::vec(op(), 1..25),
        later in proptest::collection::vec(op(), 0..6),
    ) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(check(&ops, &later));
    }

    #[test]
    fn an_archive_of_the_past_is_what_the_database_was(
        ops in proptest::collection::vec(op(), 1..25),
        later in proptest::collection::vec(op(), 1..15),
    ) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(check_past(&ops, &later));
    }

    #[test]
    fn an_archive_is_of_one_moment_whatever_happens_while_it_is_made(
        ops in proptest::collection::vec(op(), 10..30),
        later in proptest::collection::vec(op(), 1..20),
    ) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        // A purge erases what is being archived too.
        let keeps = |op: &&Op| !matches!(op, Op::Purge { .. });
        runtime.block_on(async {
            let store = TestStore::new().await;
            let db = store.create("notes").await;
            let mut made = 0;
            for op in &ops {
                live(&db, op, &mut made).await;
            }
            let point = db.db.point(&db.admin, None, "a test").await.unwrap();
            let expected = db.wholes().await;
            for op in later.iter().filter(keeps) {
                live(&db, op, &mut made).await;
            }
            db.db.compact(&db.admin).await.unwrap();
            let found = slices(&point).await.concat();
            assert_same(&expected, &found);
            point.release().await.unwrap();
            db.db.compact(&db.admin).await.unwrap();
            db.audit().await;
        });
    }
}

/// What has changed since is looked up behind the slice, and large.
#[tokio::test]
async fn a_slice_of_the_past_is_bounded() {
    const SIZE: usize = 300_000;
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let body = format!(r#"{{"pad":"{}"}}"#, "x".repeat(SIZE));
    let mut revs = Vec::new();
    for n in 0..12 {
        revs.push(db.put(&format!("large-{n}"), None, &body).await);
        db.put(&format!("small-{n}"), None, "{}").await;
    }
    let point = db.db.point(&db.admin, None, "a test").await.unwrap();
    let expected = db.wholes().await;
    for (n, rev) in revs.iter().enumerate().filter(|(n, _)| n % 4 != 0) {
        db.put(&format!("large-{n}"), Some(rev), "{}").await;
    }
    let slices = slices(&point).await;
    let sizes: Vec<usize> = slices
        .iter()
        .map(|slice| slice.iter().flat_map(|it| &it.leaves).map(|leaf| leaf.body.len()).sum())
        .collect();
    assert!(sizes.iter().all(|size| *size < (2 << 20) + 2 * SIZE), "{sizes:?}");
    assert_same(&expected, &slices.concat());
}

/// Lives on behind a moment, with `taken` as its snapshot, and archives that.
async fn check_past(ops: &[Op], later: &[Op]) {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let mut made = 0;
    for op in ops {
        live(&db, op, &mut made).await;
    }
    let expected = db.wholes().await;
    db.db.take_snapshot(&db.admin, "taken".parse().unwrap(), None).await.unwrap();
    let info = db.db.info(&db.read).await.unwrap();
    // A purge erases what is kept for a snapshot too.
    for op in later.iter().filter(|op| !matches!(op, Op::Purge { .. })) {
        live(&db, op, &mut made).await;
    }
    db.db.compact(&db.admin).await.unwrap();
    let locals = db.locals().await;
    let moment = db.db.moment(&db.read, &"taken".parse().unwrap()).await.unwrap();
    let mut archiving = store.archiving_at(&db, Some(moment));
    let archive = rest(&mut archiving).await;
    let lines = String::from_utf8(zstd::stream::decode_all(&*archive).unwrap()).unwrap();
    let counts = format!(r#""documents":{},"deleted":{},"#, info.doc_count, info.deleted_count);
    assert!(lines.contains(&counts), "{counts}");

    let other = TestStore::on(Arc::new(MemoryEngine::new()), 8).await;
    let copy = other.replace(&other.create("copy").await, &archive).await;
    let back = store.replace(&db, &archive).await;
    for restored in [&copy, &back] {
        assert_same(&expected, &restored.wholes().await);
        assert_eq!(restored.locals().await, locals);
        restored.audit().await;
    }
}

async fn small(store: &TestStore) -> TestDatabase {
    let db = store.create("notes").await;
    db.graft("a", "2 b a", false, r#"{"n":1.0}"#).await;
    db.graft("a", "2 c a", true, "{}").await;
    let attachments = vec![
        db.attachment("t.txt", "text/plain", b"text, text, text, text, text").await,
        db.attachment("x", "image/png", &[1, 2, 3]).await,
    ];
    let origin = Origin::Replicated { path: path("1 d") };
    db.one(edit("b", origin, false, r#"{"m":[]}"#, attachments)).await;
    db.local("checkpoint", r#"{"session_id":"s"}"#).await;
    db.db.set_security(&db.admin, br#"{"admins":{"names":["ada"]}}"#.to_vec()).await.unwrap();
    db
}

#[tokio::test]
async fn unpacked_it_is_lines_of_json() {
    let store = TestStore::new().await;
    let db = small(&store).await;
    let archive = store.archive(&db).await;
    let lines = zstd::stream::decode_all(&*archive).unwrap();
    expect![[r#"
        {"settle_archive":1,"name":"notes","site":"SITE","instance_start_time":"1767225600","created":1767225600000000,"made":"2026-01-01T00:00:00.000000Z"}
        {"local":"_local/checkpoint","rev":1,"body":{"session_id":"s"}}
        {"point":{"sequence":3,"timelines":[{"timeline":"1108200d16d0e9e6","above":0}],"documents":2,"deleted":0,"purge_sequence":0,"partitioned":false,"revs_limit":1000,"purged_infos_limit":1000,"grace_ms":3600000,"security":{"admins":{"names":["ada"]}}}}
        {"document":"a","sequence":2,"created":1767225600000,"updated":1767225600000,"leaves":2}
        {"leaf":"2-b","ancestors":["a"],"body":{"n":1.0}}
        {"leaf":"2-c","ancestors":["a"],"deleted":true,"body":{}}
        {"document":"b","sequence":3,"created":1767225600000,"updated":1767225600000,"leaves":1}
        {"leaf":"1-d","ancestors":[],"attachments":[{"name":"t.txt","content_type":"text/plain","revpos":1,"digest":"md5-pVnqtPgJ4QqKyY8ATuu+3g==","length":28,"gzip_length":29,"blob":"dc1578e7e90063faf3195346a1700ff7dfa2f15572c3bc55a98bda068140ed59"},{"name":"x","content_type":"image/png","revpos":1,"digest":"md5-Uonfc331cyb83SJZevsfrA==","length":3,"blob":"b177ec1bf26dfb3b7010d473e6d44713b29b765b99c6e60ecbfae742de496543"}],"body":{"m":[]}}
        {"blob":"dc1578e7e90063faf3195346a1700ff7dfa2f15572c3bc55a98bda068140ed59","bytes":29}
        {"data":"H4sIAAAAAAAAAytJrSjRUSjBSgIAm4ziHhwAAAA="}
        {"blob":"b177ec1bf26dfb3b7010d473e6d44713b29b765b99c6e60ecbfae742de496543","bytes":3}
        {"data":"AQID"}
        {"end":{"documents":2,"deleted":0,"leaves":3,"blobs":2,"blob_bytes":32,"locals":1,"purged":0,"lines":12,"contents":"da3590d73057c2aab0814250335a1a310ba9368f07f296d382455a96f33ca074","digest":"82a6ba01aca6d43ea70e0ee8fe2388c9232832f0e5768c811bb8ab533269a9d0","gone":{"purges":0,"tombstones":false}}}
    "#]]
    .assert_eq(&masked(&lines, &store));
}

/// Without what the seed makes.
fn masked(lines: &[u8], store: &TestStore) -> String {
    let text = String::from_utf8(lines.to_vec()).unwrap();
    text.replace(&hex::encode(store.store.uuid()), "SITE")
}

#[tokio::test]
async fn a_since_of_the_old_timeline_goes_on_where_it_was_left() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    for n in 0..5 {
        db.put(&format!("early-{n}"), None, "{}").await;
    }
    let archive = store.archive(&db).await;
    for n in 0..4 {
        db.put(&format!("lost-{n}"), None, "{}").await;
    }
    let started = db.db.info(&db.read).await.unwrap().instance_start_time();
    let (old, seen) = (db.db.timeline(), |n| Sequence(n).token(db.db.timeline()));
    let back = store.replace(&db, &archive).await;
    assert_ne!(back.db.timeline(), old);
    assert_ne!(back.db.info(&back.read).await.unwrap().instance_start_time(), started);
    assert_eq!(back.db.sequence(), 9, "above all that was handed out");
    back.put("new", None, "{}").await;
    let end = Sequence(back.db.sequence());
    let at = |token| Since::Token(token).resolve_on(back.db.timelines(), end).0;
    // Not to the start, and no further than what the database has in common with what was seen.
    assert_eq!([at(seen(0)), at(seen(3)), at(seen(5)), at(seen(8)), at(seen(99))], [0, 3, 5, 8, 9]);
    let pending = |since| back.db.pending(&back.read, since);
    assert_eq!(pending(at(seen(3))).await.unwrap(), 3, "two early ones and the new one");
    assert_eq!(pending(at(seen(8))).await.unwrap(), 1, "the new one, which has not been seen");
    assert_eq!(pending(at(seen(99))).await.unwrap(), 1);

    // A second restore leaves the second timeline as well.
    let token = back.db.token(10);
    let again = store.replace(&back, &archive).await;
    let since = Since::Token(token).resolve_on(again.db.timelines(), Sequence(10));
    assert_eq!(since.0, 0, "the archive is of before that timeline, so nothing is known of it");
    let since = Since::Token(seen(8)).resolve_on(again.db.timelines(), Sequence(10));
    assert_eq!(since.0, 8);
}

#[tokio::test]
async fn another_archive_of_what_came_back_has_the_same_contents() {
    let store = TestStore::new().await;
    let db = small(&store).await;
    let archive = store.archive(&db).await;
    let back = store.replace(&db, &archive).await;
    let mut archiving = store.archiving(&back);
    rest(&mut archiving).await;
    let restored = store.restore(&back, &archive).await.unwrap();
    assert_eq!(archiving.totals().contents, restored.totals.contents);
    assert_eq!(archiving.totals().blobs, 2);
}

#[tokio::test]
async fn a_comparison_names_what_differs() {
    let store = TestStore::new().await;
    let db = small(&store).await;
    let archive = store.archive(&db).await;
    let compare = async || {
        let compared = settle_archive::compare(&db.db, &db.read, source(&archive)).await.unwrap();
        format!("{} equal, {:#?}", compared.equal, compared.differences)
    };
    expect!["2 equal, []"].assert_eq(&compare().await);
    db.graft("a", "3 e c a", false, "{}").await;
    let id = "b".parse().unwrap();
    db.db.purge(&db.admin, vec![(id, vec!["1-d".parse().unwrap()])]).await.unwrap();
    db.put("new", None, "{}").await;
    expect![[r#"
        0 equal, [
            "\"a\" has no leaf 2-c",
            "\"b\" is missing",
            "the database has 1 documents that the archive has not",
        ]"#]]
    .assert_eq(&compare().await);
}

#[tokio::test]
async fn an_archive_of_the_past_has_no_checkpoints_and_what_has_no_past_as_it_is() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let first = db.put("a", None, r#"{"n":1}"#).await;
    db.put("gone", None, "{}").await;
    db.local("note", r#"{"n":1}"#).await;
    let moment = db.db.moment(&db.read, &settle_database::At::Now).await.unwrap();
    db.put("a", Some(&first), r#"{"n":2}"#).await;
    db.put("new", None, "{}").await;
    db.local("note", r#"{"n":2}"#).await;
    db.local("couchdb", r#"{"session_id":"s","source_last_seq":4,"history":[]}"#).await;
    db.local("pouchdb", r#"{"last_seq":"4-x","session_id":"s"}"#).await;
    db.db.set_security(&db.admin, br#"{"admins":{"names":["ada"]}}"#.to_vec()).await.unwrap();
    let archive = rest(&mut store.archiving_at(&db, Some(moment))).await;
    let lines = zstd::stream::decode_all(&*archive).unwrap();
    expect![[r#"
        {"settle_archive":1,"name":"notes","site":"SITE","instance_start_time":"1767225600","created":1767225600000000,"made":"2026-01-01T00:00:00.000000Z"}
        {"local":"_local/note","rev":1,"body":{"n":2}}
        {"point":{"sequence":2,"timelines":[{"timeline":"1108200d16d0e9e6","above":0}],"documents":2,"deleted":0,"purge_sequence":0,"partitioned":false,"revs_limit":1000,"purged_infos_limit":1000,"grace_ms":3600000,"security":{"admins":{"names":["ada"]}}}}
        {"document":"a","sequence":1,"created":1767225600000,"updated":1767225600000,"leaves":1}
        {"leaf":"1-731bef401491606a3b246ed178e697c1","ancestors":[],"body":{"n":1}}
        {"document":"gone","sequence":2,"created":1767225600000,"updated":1767225600000,"leaves":1}
        {"leaf":"1-967a00dff5e02add41819138abb3284d","ancestors":[],"body":{}}
        {"end":{"documents":2,"deleted":0,"leaves":2,"blobs":0,"blob_bytes":0,"locals":1,"purged":0,"lines":7,"contents":"88c860092444a54c8c1820cffb51eb8019b45365fba9470c7c7fd4954f7b8492","digest":"6cb1cf8eae9eb10541d83e6820b42d72013fd6af46bd137e614d71fa49775985","gone":{"purges":0,"tombstones":false}}}
    "#]].assert_eq(&masked(&lines, &store));
}

#[tokio::test(start_paused = true)]
async fn a_moment_is_held_as_long_as_its_archive_takes_and_no_longer() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    // Of several blocks.
    let noise = |seed: usize| -> String {
        let letters = (0..400_000_u64).map(|n| {
            let mixed = (n + 7_919 * seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59;
            char::from(b'a' + u8::try_from(mixed % 26).unwrap())
        });
        letters.collect()
    };
    let mut revs = Vec::new();
    for n in 0..6 {
        revs.push(db.put(&format!("d{n}"), None, &format!(r#"{{"n":"{}"}}"#, noise(n))).await);
    }
    let expected = db.wholes().await;
    let mut archiving = store.archiving(&db);
    let mut bytes = archiving.next().await.unwrap().unwrap().to_vec();
    for (n, rev) in revs.iter().enumerate() {
        db.put(&format!("d{n}"), Some(rev), "{}").await;
    }
    // Whoever takes the archive is slow, and what was replaced has long outlived its time.
    while let Some(block) = archiving.next().await.unwrap() {
        bytes.extend_from_slice(&block);
        store.clock.advance(Duration::from_secs(14 * 60));
        tokio::time::sleep(Duration::from_secs(130)).await;
        db.db.compact(&db.admin).await.unwrap();
    }
    db.db.compact(&db.admin).await.unwrap();
    let info = db.db.info(&db.read).await.unwrap();
    assert_eq!(info.file_bytes, info.active_bytes, "nothing is held any more");
    let back = store.replace(&db, &bytes).await;
    assert_same(&expected, &back.wholes().await);
}

#[tokio::test(start_paused = true)]
async fn an_archive_that_is_not_gone_on_with_is_lost() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let rev = db.put("a", None, r#"{"n":1}"#).await;
    let mut archiving = store.archiving(&db);
    let point = db.db.point(&db.admin, None, "a test").await.unwrap();
    db.put("a", Some(&rev), r#"{"n":2}"#).await;
    db.db.compact(&db.admin).await.unwrap();
    let history = async || {
        let info = db.db.info(&db.read).await.unwrap();
        info.file_bytes - info.active_bytes
    };
    assert!(history().await > 0);
    assert_eq!(point.documents(0).await.unwrap().0[0].sequence, 1);
    store.clock.advance(Duration::from_secs(3_700));
    tokio::time::sleep(Duration::from_secs(130)).await;
    assert_eq!(history().await, 0);
    assert_eq!(point.documents(0).await.unwrap_err(), PastError::NotKept);
    // Dropped early, a moment is let go of at once.
    drop(point);
    assert!(archiving.next().await.unwrap().is_some());
    drop(archiving);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let rev = db.put("b", None, "{}").await;
    db.put("b", Some(&rev), r#"{"n":2}"#).await;
    db.db.compact(&db.admin).await.unwrap();
    assert_eq!(history().await, 0);
}

#[tokio::test]
async fn what_is_said_of_the_past_comes_back_and_snapshots_do_not() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    db.put("a", None, "{}").await;
    let day = Duration::from_secs(24 * 60 * 60);
    let retention = Retention {
        window: 30 * day,
        append_only: Some(br#"{"kind":"audit"}"#.to_vec()),
        tombstones: Some(Tombstones { kept: 365 * day, checkpoints: 90 * day }),
    };
    db.db.set_retention(&db.admin, retention.clone()).await.unwrap();
    db.db.set_outcome_retention(&db.admin, 7 * day).await.unwrap();
    db.db.take_snapshot(&db.admin, "monday".parse().unwrap(), None).await.unwrap();
    let archive = store.archive(&db).await;
    let lines = String::from_utf8(zstd::stream::decode_all(&*archive).unwrap()).unwrap();
    let kept = lines.lines().find_map(|line| line.split_once("\"kept\":")).unwrap().1;
    expect![[r#"{"window_ms":2592000000,"append_only":{"kind":"audit"},"tombstones_ms":31536000000,"checkpoints_ms":7776000000,"outcomes_ms":604800000}}}"#]].assert_eq(kept);
    let other = TestStore::on(Arc::new(MemoryEngine::new()), 8).await;
    let back = other.replace(&other.create("copy").await, &archive).await;
    assert_eq!(back.db.retention(&back.read).await.unwrap(), retention);
    assert_eq!(back.db.outcome_retention(&back.read).await.unwrap(), 7 * day);
    assert!(back.db.snapshots(&back.read).await.unwrap().is_empty());
    back.audit().await;
    // And an archive of that is the same again.
    let again = other.archive(&back).await;
    let again = String::from_utf8(zstd::stream::decode_all(&*again).unwrap()).unwrap();
    assert!(again.contains(kept), "{again}");
}

/// Made by the first program that made archives. Others like it are out there.
#[tokio::test]
async fn an_archive_of_the_first_form_opens() {
    let store = TestStore::new().await;
    let db = store.create("notes").await;
    let back = store.replace(&db, include_bytes!("saved/first.jsonl.zst")).await;
    let info = back.db.info(&back.read).await.unwrap();
    assert_eq!((info.doc_count, info.deleted_count, info.conflict_count), (2, 1, Some(0)));
    assert_eq!(back.db.retention(&back.read).await.unwrap(), Retention::default());
    assert_eq!(back.locals().await.len(), 1);
    assert_eq!(back.wholes().await.len(), 3);
    back.audit().await;
}
