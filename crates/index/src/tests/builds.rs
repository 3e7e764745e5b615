//! First builds: in memory and over runs, interrupted at every operation.

use std::fs;

use settle_engine::faulty::{Fault, Kind};

use super::world::{Db, World, mango, settings};
use crate::{Update, keys};

const DOCUMENTS: usize = 3_000;

async fn fill(db: &Db) {
    let documents = (0..DOCUMENTS).map(|n| {
        let a = (n * 7_919) % DOCUMENTS;
        (format!("d{n:05}"), format!("{{\"a\":{a},\"b\":\"{}\"}}", "x".repeat(n % 50)))
    });
    db.put_all(documents).await;
    db.put("_design/d", &mango(&[("a", &["a"]), ("b", &["b", "a"])])).await;
}

/// A world whose builds write many runs.
async fn world_of_runs() -> (World, Db) {
    let world = World::with(settings(64 << 10)).await;
    let db = world.create("big").await;
    fill(&db).await;
    (world, db)
}

fn runs(world: &World) -> usize {
    fs::read_dir(world.folder.path()).unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_do_not_fit_in_memory_come_from_runs_in_order() {
    let (world, db) = world_of_runs().await;
    let rows = db.rows(&world.indexes, "d/a", Update::Wait).await;
    let keys: Vec<usize> =
        rows.iter().map(|(_, key, _)| key.trim_matches(['[', ']']).parse().unwrap()).collect();
    assert_eq!(keys, (0..DOCUMENTS).collect::<Vec<_>>());
    let everything = db.everything(&world.indexes).await;
    assert_eq!(everything, db.everything(&world.fresh_indexes().await).await);
    assert_eq!(runs(&world), 0, "runs are removed when they are loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_goes_on_after_a_crash_at_any_commit() {
    let (world, db) = world_of_runs().await;
    let expected = db.everything(&world.fresh_indexes().await).await;
    let before = world.engine.counts().commits;
    db.rows(&world.indexes, "d/a", Update::Wait).await;
    let commits = world.engine.counts().commits - before;
    assert!(commits > 5, "{commits} commits");
    for nth in 0..commits {
        for applied in [false, true] {
            let (mut world, db) = world_of_runs().await;
            let at = world.engine.counts().commits + nth;
            world.engine.fail_at(Kind::Commit, at, Fault::Crash { applied });
            // Where the last commit was applied, only the answer is lost.
            drop(db.ready(&world.indexes, "d/a", Update::Wait).await);
            world.reopen().await;
            let db = world.find("big").await;
            // What has changed meanwhile is in it too.
            db.put("d00007", "{\"a\":-1}").await;
            db.delete("d00008").await;
            let rows = db.everything(&world.indexes).await;
            let changed = db.everything(&world.fresh_indexes().await).await;
            assert_eq!(rows, changed, "commit {nth}, applied: {applied}");
            assert_ne!(rows, expected);
            assert_eq!(runs(&world), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_index_is_one_commit() {
    let world = World::new().await;
    let db = world.create("small").await;
    for n in 0..20 {
        db.put(&format!("d{n}"), &format!("{{\"a\":{n}}}")).await;
    }
    db.put("_design/d", &mango(&[("a", &["a"])])).await;
    // The first of all indexes also reserves numbers.
    world.indexes.shared.catalog.next_number().await.unwrap();
    let before = world.engine.counts().commits;
    assert_eq!(db.rows(&world.indexes, "d/a", Update::Wait).await.len(), 20);
    assert_eq!(world.engine.counts().commits - before, 1);
    db.put("e", "{\"a\":3}").await;
    assert_eq!(db.rows(&world.indexes, "d/a", Update::Wait).await.len(), 21);
    assert_eq!(world.engine.counts().commits - before, 2);
    assert_eq!(db.rows(&world.indexes, "d/a", Update::Wait).await.len(), 21);
    assert_eq!(world.engine.counts().commits - before, 2, "nothing new, nothing written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_store_builds_its_indexes_anew() {
    let mut world = World::new().await;
    let db = world.create("copied").await;
    db.put("d", "{\"a\":1}").await;
    db.put("_design/d", &mango(&[("a", &["a"])])).await;
    db.rows(&world.indexes, "d/a", Update::Wait).await;
    let number = db.db.number();
    let catalog = world.indexes.shared.catalog.clone();
    let before = catalog.indexes(number).await.unwrap().remove(0).1.record.number;
    world.reopen_as([1; 16]).await;
    let db = world.find("copied").await;
    // What the other history made is not shown, not even to who does not wait.
    assert_eq!(db.rows(&world.indexes, "d/a", Update::No).await, []);
    assert_eq!(db.rows(&world.indexes, "d/a", Update::Wait).await.len(), 1);
    let catalog = world.indexes.shared.catalog.clone();
    let after = catalog.indexes(number).await.unwrap().remove(0).1.record.number;
    assert_ne!(before, after);
    super::world_waits(|| async {
        !world.stored_keys().await.iter().any(|key| key.starts_with(&keys::rows(number, before)))
    })
    .await;
}
