//! What those who ask get: rows, errors in CouchDB's words, answers while a build goes on.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use settle_access::{Grant, Inspect, Resource};
use settle_engine::memory::MemoryEngine;
use settle_script::ScriptError;

use super::{
    gate::Gate,
    world::{Db, Row, World, mango, rows_of, script, settings},
    world_waits,
};
use crate::{IndexSettings, Update, ViewError};

fn row(id: &str, key: &str, value: &str) -> Row {
    (id.to_owned(), key.to_owned(), value.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_function_emits_the_rows_of_each_document() {
    let world = World::new().await;
    let db = world.create("map").await;
    db.put("x", "{\"n\":[3,1]}").await;
    db.put("y", "{\"n\":[2]}").await;
    db.put("z", "{}").await;
    let map = "function (doc) { doc.n.forEach(function (n) { emit(n, doc._id); }); }";
    db.put("_design/d", &script(&[("v", map, Some("_count"))])).await;
    let expected = [row("x", "1", "\"x\""), row("y", "2", "\"y\""), row("x", "3", "\"x\"")];
    // `z` throws, and design documents are not mapped.
    assert_eq!(db.rows(&world.indexes, "d/v", Update::Wait).await, expected);
    db.put("y", "{\"n\":[0]}").await;
    db.delete("x").await;
    assert_eq!(db.rows(&world.indexes, "d/v", Update::Wait).await, [row("y", "0", "\"y\"")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_function_fails_its_own_index_alone() {
    let world = World::new().await;
    let db = world.create("broken").await;
    db.put("x", "{\"a\":1}").await;
    db.put("_design/bad", &script(&[("v", "function (doc) { emit(", None)])).await;
    db.put("_design/good", &script(&[("v", "function (doc) { emit(doc.a); }", None)])).await;
    for _ in 0..2 {
        let error = db.ready(&world.indexes, "bad/v", Update::Wait).await.unwrap_err();
        let is_compilation = matches!(&error, ViewError::Script(ScriptError::Compilation { .. }));
        assert!(is_compilation, "{error:?}");
    }
    let good = db.rows(&world.indexes, "good/v", Update::Wait).await;
    assert_eq!(good, [row("x", "1", "null")]);
    // Once it is ready, a function that breaks is told to those who wait for what follows.
    db.put("_design/bad", &script(&[("v", "function (doc) { while (doc.loop) {} }", None)])).await;
    assert_eq!(db.rows(&world.indexes, "bad/v", Update::Wait).await, []);
    let error = db.ready(&world.indexes, "good/w", Update::Wait).await.unwrap_err();
    assert!(matches!(error, ViewError::ViewMissing { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_wait_share_one_build() {
    let world = World::new().await;
    let db = world.create("many").await;
    db.put("x", "{\"a\":1}").await;
    db.put("_design/d", &mango(&[("a", &["a"])])).await;
    world.indexes.shared.catalog.next_number().await.unwrap();
    let before = world.engine.counts().commits;
    let asking = (0..20).map(|_| db.rows(&world.indexes, "d/a", Update::Wait));
    for rows in join_all(asking).await {
        assert_eq!(rows.len(), 1);
    }
    assert_eq!(world.engine.counts().commits - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_index_builds_others_are_answered_and_the_build_is_told_of() {
    let gate = Arc::new(Gate::open_before(Arc::new(MemoryEngine::new())));
    let world = World::on(gate.clone(), settings(64 << 20)).await;
    let db = world.create("during").await;
    db.put_all((0..500).map(|n| (format!("d{n}"), format!("{{\"a\":{n},\"b\":1}}")))).await;
    db.put("_design/d", &mango(&[("v", &["a"])])).await;
    let old = db.rows(&world.indexes, "d/v", Update::Wait).await;
    gate.shut();
    db.put("_design/d", &mango(&[("v", &["b"])])).await;
    let asking = db.rows(&world.indexes, "d/v", Update::Wait);
    tokio::join!(asking, look_on(&world, &db, &gate, &old));
    let new = db.rows(&world.indexes, "d/v", Update::Wait).await;
    assert_eq!((new.len(), &new[0]), (501, &row("e", "[0]", "null")));
}

/// While the build waits at the gate.
async fn look_on(world: &World, db: &Db, gate: &Gate, old: &[Row]) {
    let inspect: Grant<Inspect> = Grant::internal(Resource::Server, "a test");
    world_waits(|| async {
        let tasks = world.indexes.tasks(&inspect);
        tasks.first().is_some_and(|task| task.changes_done == 501)
    })
    .await;
    let task = world.indexes.tasks(&inspect).remove(0);
    assert_eq!((task.database.as_str(), task.design_document.as_str()), ("during", "_design/d"));
    assert_eq!((task.total_changes, task.progress >= 90), (501, true));
    let info = world.indexes.info(&db.db, &db.read, "d").await.unwrap();
    assert_eq!((info.waiting_clients, info.updater_running), (1, true));
    assert_eq!(db.rows(&world.indexes, "d/v", Update::No).await, old);
    assert_eq!(db.rows(&world.indexes, "d/v", Update::Lazy).await, old);
    // What is written meanwhile is followed before the index takes its place.
    db.put("e", "{\"b\":0}").await;
    assert_eq!(db.rows(&world.indexes, "d/v", Update::No).await, old);
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_are_warmed_after_writes_unless_their_documents_say_no() {
    let autoupdate_delay = Duration::from_millis(1);
    let world = World::with(IndexSettings { autoupdate_delay, ..settings(1 << 20) }).await;
    let db = world.create("warm").await;
    let cold = mango(&[("v", &["b"])]).replacen('{', "{\"autoupdate\":false,", 1);
    db.put("_design/cold", &cold).await;
    db.put("_design/warm", &mango(&[("v", &["a"])])).await;
    db.put("x", "{\"a\":1,\"b\":1}").await;
    let count = async |view: &str| {
        rows_of(&db.ready(&world.indexes, view, Update::No).await.unwrap()).await.len()
    };
    world_waits(|| async { count("warm/v").await == 1 }).await;
    db.put("y", "{\"a\":1,\"b\":1}").await;
    world_waits(|| async { count("warm/v").await == 2 }).await;
    assert_eq!(count("cold/v").await, 0);
    assert_eq!(db.rows(&world.indexes, "cold/v", Update::Wait).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_database_s_indexes_go_while_the_server_runs() {
    let autoupdate_delay = Duration::from_millis(1);
    let world = World::with(IndexSettings { autoupdate_delay, ..settings(1 << 20) }).await;
    let db = world.create("gone").await;
    db.put("x", "{\"a\":1}").await;
    db.put("_design/d", &mango(&[("v", &["a"])])).await;
    assert_eq!(db.rows(&world.indexes, "d/v", Update::Wait).await.len(), 1);
    let server = Grant::internal(Resource::Server, "a test");
    world.store.drop(&server, db.db.name()).await.unwrap();
    world_waits(|| async { world.stored_keys().await.is_empty() }).await;
    assert!(db.ready(&world.indexes, "d/v", Update::Wait).await.is_err());
}
