//! Kills the server with `kill -9` while clients send transactions, starts it again, and lets them repeat until they
//! are answered: each transaction is made once, and every answer to it is the same.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use settle_testing::{Client, Entropy as _, Method, Process, SeededEntropy};
use tempfile::TempDir;
use tokio::task::JoinSet;

const BINARY: &str = env!("CARGO_BIN_EXE_settle");
const KILLS: usize = 8;
const CLIENTS: usize = 16;
/// Of each client; an exchange has some of them.
const ORDERS: usize = 60;
const STOCK: i64 = 1_500;

/// What was answered, by client and id.
type Heard = Arc<Mutex<BTreeMap<(usize, usize), Value>>>;

fn transaction(client: usize, order: usize) -> Value {
    let want = 1 + (client + order) % 3;
    json!({
        "id": order.to_string(),
        "writes": [
            {"id": "clips", "ops": [{"take": {"field": "boxes", "want": want, "least": 1}}]},
            {"id": format!("order-{client}-{order}"), "put": {"client": client}},
        ],
    })
}

/// Sends what has not been answered, until the server goes away or all has been.
async fn sell(server: Client, client: usize, heard: Heard) {
    let mut at = 0;
    while at < ORDERS {
        let part: Vec<usize> = (at..ORDERS).take(1 + client % 4).collect();
        at += part.len();
        if part.iter().all(|order| heard.lock().unwrap().contains_key(&(client, *order))) {
            continue;
        }
        let list: Vec<Value> = part.iter().map(|order| transaction(client, *order)).collect();
        let body = json!({"client": client.to_string(), "mode": "go_on", "transactions": list});
        let sent = server.try_request(Method::POST, "/shop/_transact", &[], body.to_string());
        let Ok(reply) = sent.await else { return };
        note(client, &reply.expect(200).json(), &heard);
    }
}

fn note(client: usize, reply: &Value, heard: &Heard) {
    let mut heard = heard.lock().unwrap();
    for outcome in reply["transactions"].as_array().unwrap() {
        let order = outcome["id"].as_str().unwrap().parse().unwrap();
        assert!(outcome.get("retry").is_none(), "{outcome}");
        if let Some(before) = heard.insert((client, order), outcome.clone()) {
            assert_eq!(before, *outcome, "two answers to one transaction");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sold_twice_however_often_the_server_is_killed() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let entropy = SeededEntropy::new(0x7a11_0007);
    let heard = Heard::default();
    let mut server = Process::serve(Path::new(BINARY), &data, &[]).await;
    server.admin().put("/shop", &Value::Null).await.expect(201);
    server.admin().put("/shop/clips", &json!({"boxes": STOCK})).await.expect(201);
    for _ in 0..KILLS {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(sell(server.admin(), client, heard.clone()));
        }
        let mut random = [0];
        entropy.fill(&mut random);
        tokio::time::sleep(Duration::from_millis(20 + u64::from(random[0]) / 2)).await;
        server.kill().await;
        while let Some(done) = clients.join_next().await {
            done.unwrap();
        }
        server = Process::serve(Path::new(BINARY), &data, &[]).await;
    }
    for client in 0..CLIENTS {
        sell(server.admin(), client, heard.clone()).await;
        // All of it once more, in one exchange.
        let list: Vec<Value> = (0..ORDERS).map(|order| transaction(client, order)).collect();
        let body = json!({"client": client.to_string(), "mode": "go_on", "transactions": list});
        let reply = server.admin().post("/shop/_transact", &body).await.expect(200).json();
        note(client, &reply, &heard);
    }
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard.len(), CLIENTS * ORDERS);
    let taken = |outcome: &Value| outcome["taken"]["clips"]["boxes"].as_i64().unwrap_or(0);
    let sold: i64 = heard.values().map(taken).sum();
    let left = server.admin().get("/shop/clips").await.expect(200).json();
    assert_eq!(left["boxes"].as_i64().unwrap() + sold, STOCK);
    let accepted = heard.values().filter(|it| it["accepted"] == json!(true)).count();
    let info = server.admin().get("/shop").await.expect(200).json();
    assert_eq!(info["doc_count"], json!(accepted + 1), "an order for each that was accepted");
    let generation = left["_rev"].as_str().unwrap().split_once('-').unwrap().0;
    assert_eq!(generation.parse::<usize>().unwrap(), accepted + 1, "each took once");
}
