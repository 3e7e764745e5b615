//! Whatever happens to the bytes of an archive is found, and named with its place.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::{sync::Arc, time::Duration};

use expect_test::expect;
use settle_archive::{BadArchive, Flaw, Item, RestoreFailure};
use settle_database::Origin;
use settle_engine::{
    Engine,
    faulty::{Fault, FaultyEngine, Kind},
    memory::MemoryEngine,
};

use crate::support::{TestDatabase, TestStore, assert_untouched, edit, forged, path, read};

/// A file of several blocks: a block ends behind half a mebibyte of lines.
async fn archive() -> Vec<u8> {
    let store = TestStore::new().await;
    let db = filled(&store).await;
    store.archive(&db).await
}

async fn filled(store: &TestStore) -> TestDatabase {
    let db = store.create("notes").await;
    db.graft("a", "2 b a", false, &format!(r#"{{"pad":"{}"}}"#, "x".repeat(600_000))).await;
    db.graft("a", "2 c a", true, "{}").await;
    let attachments = vec![db.attachment("t.txt", "text/plain", b"text, text, text").await];
    let origin = Origin::Replicated { path: path("1 d") };
    db.one(edit(
        "b",
        origin,
        false,
        &format!(r#"{{"pad":"{}"}}"#, "y".repeat(600_000)),
        attachments,
    ))
    .await;
    db.local("checkpoint", r#"{"session_id":"s"}"#).await;
    db
}

/// Where each block begins.
fn blocks(archive: &[u8]) -> Vec<usize> {
    let mut at = 0;
    let mut found = Vec::new();
    while at < archive.len() {
        found.push(at);
        let length: [u8; 4] = archive[at + 24..at + 28].try_into().unwrap();
        at += 40 + usize::try_from(u32::from_le_bytes(length)).unwrap();
    }
    found
}

#[tokio::test]
async fn a_flipped_bit_at_any_byte_is_found_in_its_block() {
    let archive = archive().await;
    let blocks = blocks(&archive);
    assert!(blocks.len() > 2 && archive.len() < 5_000, "{} bytes", archive.len());
    assert!(matches!(read(&archive).unwrap().last(), Some(Item::End(_))));
    for at in 0..archive.len() {
        let mut damaged = archive.clone();
        damaged[at] ^= 1 << (at % 8);
        let block = blocks.iter().rposition(|begin| *begin <= at).unwrap();
        let Err(BadArchive::Damaged(damage)) = read(&damaged) else {
            panic!("a bit of byte {at} may flip");
        };
        let expected = (block as u64, blocks[block] as u64);
        assert_eq!((damage.block, damage.offset), expected, "byte {at}: {damage}");
        assert!(matches!(damage.flaw, Flaw::Header | Flaw::Content), "byte {at}: {damage}");
        assert_eq!(damage.behind.is_some(), block > 0, "byte {at}: {damage}");
    }
}

#[tokio::test]
async fn an_archive_that_breaks_off_at_any_byte_is_no_archive() {
    let archive = archive().await;
    for length in 0..archive.len() {
        let Err(BadArchive::Damaged(damage)) = read(&archive[..length]) else {
            panic!("{length} bytes may be all");
        };
        let expected = if length == 0 { Flaw::NoArchive } else { Flaw::Cut };
        assert_eq!(damage.flaw, expected, "{length} bytes: {damage}");
        assert!(usize::try_from(damage.offset).unwrap() <= length);
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place() {
    let archive = archive().await;
    let blocks = blocks(&archive);
    let told = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    let mut flipped = archive.clone();
    flipped[blocks[1] + 50] ^= 1;
    let block = |n: usize| &archive[blocks[n]..blocks.get(n + 1).copied().unwrap_or(archive.len())];
    let mut later = archive.clone();
    later[15] = 2;
    let sum = crc32c::crc32c(&later[..36]);
    later[36..40].copy_from_slice(&sum.to_le_bytes());
    let told = [
        told(&flipped),
        told(&archive[..archive.len() - 1]),
        told(&[block(0), block(2)].concat()),
        told(&[&archive, block(0)].concat()),
        told(&[&archive[..], b"x"].concat()),
        told(b"{\"not\": \"an archive\"}, whatever it may be otherwise"),
        told(&later),
    ];
    expect![[r#"
        a block is damaged, at byte 453 (block 1), behind the leaf 2-b of "a"
        the archive breaks off, at byte 828 (block 2), behind the leaf 1-d of "b"
        a block is not where it should be: it has the number 2, at byte 453 (block 1), behind the leaf 2-b of "a"
        something stands behind the end of the archive, at byte 1192 (block 3), behind the end
        something stands behind the end of the archive, at byte 1192 (block 3), behind the end
        this is no archive of Settle, at byte 0 (block 0)
        this is an archive of a later form, 2; this program reads 1, at byte 0 (block 0)"#]].assert_eq(&told.join("\n"));
}

#[tokio::test]
async fn lines_that_were_changed_and_packed_anew_are_refused() {
    let archive = archive().await;
    let check = |from: &'static str, to: &'static str| {
        let forged = forged(&archive, |line| line.replace(from, to));
        let error = read(&forged).unwrap_err();
        assert!(matches!(error, BadArchive::Line { .. }));
        error.to_string()
    };
    let told = [
        check("{\"settle_archive\":1", "{\"settle_archive\":2"),
        check("\"session_id\"", "\"another\""),
        check("\"local\":\"_local/", "\"local\":\"_design/"),
        check("\"timeline\":\"", "\"timeline\":\"x"),
        check("\"sequence\":2,\"created\"", "\"sequence\":1,\"created\""),
        check("\"sequence\":2,\"created\"", "\"sequence\":9,\"created\""),
        check("\"leaves\":2", "\"leaves\":3"),
        check("\"leaf\":\"2-b\"", "\"leaf\":\"0-b\""),
        check("\"body\":{\"pad\"", "\"body\":{\"_id\""),
        check("\"body\":{}", "\"body\":[]"),
        check("\"body\":{}", "\"body\":{ }"),
        check("\"digest\":\"md5-", "\"digest\":\"md5-AAAA"),
        check("\"data\":\"H4s", "\"data\":\"H4t"),
        check(
            "\"documents\":2,\"deleted\":0,\"leaves\"",
            "\"documents\":1,\"deleted\":0,\"leaves\"",
        ),
    ];
    expect![[r#"
        this is an archive of a later form, in line 1 of the archive (block 0 at byte 0)
        counts or digests that are not those of the lines before, in line 11 of the archive (block 0 at byte 0)
        not the id of a local document, in line 2 of the archive (block 0 at byte 0)
        a timeline that is none, in line 3 of the archive (block 0 at byte 0)
        counts or digests that are not those of the lines before, in line 11 of the archive (block 0 at byte 0)
        a document whose sequence is not in order, in line 4 of the archive (block 0 at byte 0)
        not a leaf, in line 7 of the archive (block 0 at byte 0)
        revisions that are none, in line 5 of the archive (block 0 at byte 0)
        a body with special members, or with white space, in line 5 of the archive (block 0 at byte 0)
        a body that no document has, in line 6 of the archive (block 0 at byte 0)
        a body with special members, or with white space, in line 6 of the archive (block 0 at byte 0)
        an attachment that is none, in line 8 of the archive (block 0 at byte 0)
        an attachment's content that is not what its digests say, in line 10 of the archive (block 0 at byte 0)
        counts or digests that are not those of the lines before, in line 11 of the archive (block 0 at byte 0)"#]].assert_eq(&told.join("\n"));
}

#[tokio::test]
async fn a_damaged_archive_leaves_the_database_as_it_was() {
    let store = TestStore::new().await;
    let db = filled(&store).await;
    let archive = store.archive(&db).await;
    db.put("later", None, "{}").await;
    let before = db.wholes().await;
    for length in [0, 39, 100, archive.len() / 2, archive.len() - 1] {
        let failed = store.restore(&db, &archive[..length]).await;
        let Err(RestoreFailure::Bad(BadArchive::Damaged(damage))) = failed else {
            panic!("{length} bytes are enough");
        };
        assert!(matches!(damage.flaw, Flaw::Cut | Flaw::NoArchive));
    }
    // A drill leaves as little.
    drop(store.restore(&db, &archive).await.unwrap());
    assert_untouched(&store, &before).await;
}

#[tokio::test]
async fn a_crash_at_any_commit_of_a_restore_leaves_the_old_or_the_new_database() {
    for applied in [false, true] {
        let mut nth = 0;
        while crashed(nth, applied).await {
            nth += 1;
        }
        assert!(nth > 3, "there are several commits");
    }
}

/// Crashes at the nth commit of a restore and opens what is left; false if there is no such commit.
async fn crashed(nth: u64, applied: bool) -> bool {
    let faulty = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let engine: Arc<dyn Engine> = faulty.clone();
    let store = TestStore::on(engine, 7).await;
    let db = filled(&store).await;
    let archived = db.wholes().await;
    let archive = store.archive(&db).await;
    db.put("later", None, "{}").await;
    let before = db.wholes().await;
    // So that rows of events are written before.
    tokio::time::sleep(Duration::from_millis(600)).await;
    faulty.fail_at(Kind::Commit, faulty.counts().commits + nth, Fault::Crash { applied });
    let placed = match store.restore(&db, &archive).await {
        Ok(restored) => restored.place(&db.db).await.is_ok(),
        Err(_) => false,
    };
    store.store.close().await;

    let store = TestStore::on(faulty.inner().clone(), 9).await;
    let found = store.find("notes").await.wholes().await;
    if found == before {
        assert_untouched(&store, &before).await;
    } else {
        assert!(applied || placed, "what was not applied is not there");
        assert_untouched(&store, &archived).await;
    }
    // What was placed has had all its commits; a crash was one of the commits behind it, if there was one.
    !placed
}
