//! A client that repeats until it is answered, on an engine that fails wherever it can: every transaction is made
//! once, and every answer to it is the same.

use std::{collections::BTreeMap, sync::Arc};

use settle_database::{Fate, StorageError};
use settle_engine::{Engine, faulty::FaultyEngine};

use super::world::{said, show, try_ask};
use crate::support::{
    TestDatabase, TestStore,
    sweep::{Place, Sweep},
};

const STOCK: i64 = 20;
/// More than there is: the last ones are refused.
const ORDERS: i64 = 8;

/// What was answered, by the transaction's id.
type Heard = BTreeMap<String, String>;

fn order(at: i64) -> String {
    format!(
        r#"{{"id":"o{at}","writes":[{{"id":"clips","ops":[{{"take":{{"field":"boxes","want":3,"least":3}}}}]}},{{"id":"order-{at}","put":{{"boxes":3}}}}]}}"#
    )
}

/// Sends all orders, two in an exchange, and notes what is answered; an error ends it.
async fn send(database: &TestDatabase, heard: &mut Heard) -> Result<(), StorageError> {
    for at in (0..ORDERS).step_by(2) {
        let list = format!("{} {}", order(at), order(at + 1));
        let fates = try_ask(database, "till go_on", &list).await?;
        for (at, fate) in (at..).zip(fates) {
            assert!(matches!(fate, Fate::Decided { .. }), "{fate:?}");
            let before = heard.insert(format!("o{at}"), said(&fate));
            assert!(before.is_none_or(|before| before == said(&fate)), "another answer to o{at}");
        }
    }
    Ok(())
}

async fn open(store: &TestStore) -> TestDatabase {
    let name = "shop".parse().unwrap();
    // The fault may be met while it is opened; then it is not met again.
    match store.store.find(&name).await {
        Ok(found) => TestDatabase::new(found.unwrap()),
        Err(_) => TestDatabase::new(store.store.find(&name).await.unwrap().unwrap()),
    }
}

async fn run(inner: Arc<dyn Engine>, fault: Option<Place>) -> Arc<FaultyEngine> {
    let engine = Arc::new(FaultyEngine::new(inner.clone()));
    let mut store = TestStore::on(engine.clone()).await;
    let mut database = store.create("shop").await;
    database.put("clips", None, &format!(r#"{{"boxes":{STOCK}}}"#)).await.unwrap();
    if let Some((kind, nth, fault)) = fault {
        engine.fail_at(kind, nth, fault);
    }
    let mut heard = Heard::new();
    let mut attempts = 0;
    // Twice, so that what has been answered is asked for again.
    for _ in 0..2 {
        while send(&database, &mut heard).await.is_err() {
            attempts += 1;
            assert!(attempts < 5, "{fault:?}: it goes on failing");
            store.store.close().await;
            engine.reopen();
            store = TestStore::on(engine.clone()).await;
            database = open(&store).await;
        }
    }
    store.store.close().await;
    let store = TestStore::on(inner).await;
    let database = open(&store).await;
    let accepted = heard.values().filter(|it| it.contains(r#""accepted":true"#)).count();
    assert_eq!(i64::try_from(accepted).unwrap(), STOCK / 3, "{fault:?}");
    let left = format!(r#"{{"boxes":{}}}"#, STOCK % 3);
    assert_eq!(show(&database, "clips").await, left, "{fault:?}");
    for at in 0..ORDERS {
        let is_there = show(&database, &format!("order-{at}")).await != "-";
        let was_accepted = heard[&format!("o{at}")].contains(r#""accepted":true"#);
        assert_eq!(is_there, was_accepted, "{fault:?}: order {at}");
    }
    database.audit().await;
    store.store.close().await;
    engine
}

/// They make the site, the database and the stock.
const SWEEP: Sweep = Sweep { commits: 4, reads: 12 };

#[tokio::test]
async fn a_client_that_repeats_buys_once_whatever_fails() {
    SWEEP.in_memory(run).await;
}

#[tokio::test]
async fn on_the_embedded_engine_too() {
    SWEEP.on_disk(17, run).await;
}
