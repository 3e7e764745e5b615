//! Indexes beside each other: shared by equal definitions, built beside an old one, let go.

use settle_access::{AdministerServer, Grant, Inspect, Resource};
use settle_engine::faulty::{Fault, Kind};

use super::world::{World, mango, rows_of};
use crate::{Update, ViewError, keys};

#[tokio::test(flavor = "multi_thread")]
async fn equal_definitions_share_one_index_whatever_they_are_called() {
    let world = World::new().await;
    let db = world.create("shared").await;
    db.put("x", "{\"a\":1}").await;
    db.put("_design/one", &mango(&[("a", &["a"])])).await;
    db.put("_design/two", &mango(&[("other", &["a"])])).await;
    let one = db.rows(&world.indexes, "one/a", Update::Wait).await;
    let commits = world.engine.counts().commits;
    assert_eq!(db.rows(&world.indexes, "two/other", Update::No).await, one);
    assert_eq!(world.engine.counts().commits, commits);
    assert_eq!(world.indexes.shared.catalog.indexes(db.db.number()).await.unwrap().len(), 1);
    // Neither is taken away as long as the other is there.
    db.delete("_design/one").await;
    world.indexes.cleanup(&db.db, &db.admin).await.unwrap();
    assert_eq!(db.rows(&world.indexes, "two/other", Update::No).await, one);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_definition_builds_beside_the_old_one() {
    let mut world = World::new().await;
    let db = world.create("beside").await;
    db.put("x", "{\"a\":1,\"b\":2}").await;
    db.put("_design/d", &mango(&[("v", &["a"])])).await;
    let old = db.rows(&world.indexes, "d/v", Update::Wait).await;
    assert_eq!(old[0].1, "[1]");
    let reader = db.ready(&world.indexes, "d/v", Update::No).await.unwrap();

    db.put("_design/d", &mango(&[("v", &["b"]), ("new", &["a", "b"])])).await;
    assert_eq!(db.rows(&world.indexes, "d/v", Update::No).await, old);
    // What the old one did not have is not there yet.
    assert_eq!(db.rows(&world.indexes, "d/new", Update::No).await, []);
    // Cleaning up takes nothing away that still answers, and a build that fails changes nothing.
    world.indexes.cleanup(&db.db, &db.admin).await.unwrap();
    world.engine.fail_next(Kind::Commit, Fault::Crash { applied: false });
    assert!(db.ready(&world.indexes, "d/v", Update::Wait).await.is_err());
    world.reopen().await;
    let db = world.find("beside").await;
    assert_eq!(db.rows(&world.indexes, "d/v", Update::No).await, old);

    let new = db.rows(&world.indexes, "d/v", Update::Wait).await;
    assert_eq!(new[0].1, "[2]");
    assert_eq!(db.rows(&world.indexes, "d/v", Update::No).await, new);
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn cleaning_up_waits_for_those_who_read() {
    let world = World::new().await;
    let db = world.create("clean").await;
    db.put("x", "{\"a\":1}").await;
    db.put("_design/d", &mango(&[("v", &["a"])])).await;
    let reader = db.ready(&world.indexes, "d/v", Update::Wait).await.unwrap();
    let catalog = &world.indexes.shared.catalog;
    let number = db.db.number();
    let index = catalog.indexes(number).await.unwrap()[0].1.record.number;
    db.delete("_design/d").await;
    world.indexes.cleanup(&db.db, &db.admin).await.unwrap();
    assert_eq!(catalog.indexes(number).await.unwrap().len(), 0);
    assert_eq!(rows_of(&reader).await.len(), 1, "the rows stay as long as somebody reads them");
    drop(reader);
    world.indexes.shared.reclaim.notify_one();
    super::world_waits(|| async {
        let keys = world.stored_keys().await;
        !keys.iter().any(|key| key.starts_with(&keys::rows(number, index)))
    })
    .await;
    let error = db.ready(&world.indexes, "d/v", Update::Wait).await.unwrap_err();
    assert!(matches!(error, ViewError::DesignDeleted { .. }), "{error}");
    let error = db.ready(&world.indexes, "e/v", Update::Wait).await.unwrap_err();
    assert!(matches!(error, ViewError::DesignMissing { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_database_leaves_nothing() {
    let mut world = World::new().await;
    for name in ["gone", "kept"] {
        let db = world.create(name).await;
        db.put("x", "{\"a\":1}").await;
        db.put("_design/d", &mango(&[("v", &["a"])])).await;
        assert_eq!(db.rows(&world.indexes, "d/v", Update::Wait).await.len(), 1);
    }
    let gone = world.find("gone").await.db.number();
    let server: Grant<AdministerServer> = Grant::internal(Resource::Server, "a test");
    world.store.drop(&server, &"gone".parse().unwrap()).await.unwrap();
    world.reopen().await;
    super::world_waits(|| async {
        !world.stored_keys().await.iter().any(|key| keys::database_of(key) == Some(gone))
    })
    .await;
    let kept = world.find("kept").await;
    assert_eq!(kept.rows(&world.indexes, "d/v", Update::No).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn information_tells_how_far_an_index_is() {
    let world = World::new().await;
    let db = world.create("info").await;
    db.put("_design/d", &mango(&[("v", &["a"])])).await;
    db.put("x", "{\"a\":1}").await;
    let info = world.indexes.info(&db.db, &db.read, "d").await.unwrap();
    assert_eq!((info.update_seq, info.updates_pending, info.sizes.external), (0, 2, 0));
    db.rows(&world.indexes, "d/v", Update::Wait).await;
    db.put("y", "{\"a\":22}").await;
    let info = world.indexes.info(&db.db, &db.read, "d").await.unwrap();
    assert_eq!((info.update_seq, info.updates_pending), (2, 1));
    // `[1]` and `null`
    assert_eq!((info.language.as_str(), info.sizes.external), ("query", 7));
    assert!(info.sizes.active > info.sizes.external);
    db.rows(&world.indexes, "d/v", Update::Wait).await;
    db.delete("x").await;
    db.delete("y").await;
    db.rows(&world.indexes, "d/v", Update::Wait).await;
    let info = world.indexes.info(&db.db, &db.read, "d").await.unwrap();
    assert_eq!((info.sizes.external, info.sizes.active, info.updates_pending), (0, 0, 0));
    let inspect: Grant<Inspect> = Grant::internal(Resource::Server, "a test");
    assert_eq!(world.indexes.tasks(&inspect), []);
}
