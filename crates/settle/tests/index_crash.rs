//! Kills the server with `kill -9` while an index is built and while it follows writes, and asks after
//! each start whether the index is what the documents make.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::{Value, json};
use settle_testing::{Client, Entropy as _, Method, Process, SeededEntropy};
use tempfile::TempDir;

const KILLS: usize = 12;
/// Enough that a build takes longer than most of the waits before a kill.
const DOCUMENTS: usize = 6_000;
const BINARY: &str = env!("CARGO_BIN_EXE_settle");
const VIEW: &str = "/shop/_design/sums/_view/by_kind";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_right_whenever_the_server_is_killed() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let seed = 0x1de7_u64;
    let entropy = SeededEntropy::new(seed);
    let server = start(&data).await;
    fill(&server.admin()).await;
    drop(server);

    for round in 0..KILLS {
        let mut server = start(&data).await;
        let client = server.admin();
        // From one half on, each round has a new definition, which has to be built.
        let definition = if round * 2 < KILLS { 0 } else { round };
        define(&client, definition).await;
        let query = {
            let client = client.clone();
            async move { client.try_request(Method::GET, VIEW, &[], "").await.is_ok() }
        };
        let writes = write(client, round);
        let mut random = [0; 2];
        entropy.fill(&mut random);
        let wait = Duration::from_micros(u64::from(u16::from_le_bytes(random)) * 8);
        tokio::select! {
            _ = async { tokio::join!(query, writes) } => {}
            () = tokio::time::sleep(wait) => {}
        }
        server.kill().await;
        let server = start(&data).await;
        check(&server.admin(), definition, &format!("seed {seed:x}, round {round}")).await;
    }
}

async fn start(data: &Path) -> Process {
    Process::serve(Path::new(BINARY), data, &[]).await
}

async fn fill(client: &Client) {
    client.put("/shop", &Value::Null).await.expect(201);
    for part in 0..DOCUMENTS / 1_000 {
        let document = |n: usize| {
            let n = part * 1_000 + n;
            json!({ "_id": format!("doc-{n:05}"), "kind": n % 7, "amount": n, "pad": "x".repeat(200) })
        };
        let docs: Vec<Value> = (0..1_000).map(document).collect();
        client.post("/shop/_bulk_docs", &json!({ "docs": docs })).await.expect(201);
    }
}

async fn define(client: &Client, number: usize) {
    let found = client.get("/shop/_design/sums").await;
    let map = format!("function (doc) {{ emit([doc.kind, {number}], doc.amount); }}");
    let mut design = json!({ "views": { "by_kind": { "map": map, "reduce": "_sum" } } });
    if found.status == 200 {
        let stored = found.json();
        if stored["views"] == design["views"] {
            return;
        }
        design["_rev"] = stored["_rev"].clone();
    }
    client.put("/shop/_design/sums", &design).await.expect(201);
}

/// Edits and deletes until the server goes away.
async fn write(client: Client, round: usize) {
    for turn in 0_usize.. {
        let id = format!("doc-{:05}", (round * 977 + turn * 31) % DOCUMENTS);
        let Ok(found) = client.try_request(Method::GET, &format!("/shop/{id}"), &[], "").await
        else {
            return;
        };
        let mut document = if found.status == 200 { found.json() } else { json!({}) };
        document["kind"] = json!(turn % 7);
        document["amount"] = json!(turn);
        document["_deleted"] = json!(turn % 5 == 0 && found.status == 200);
        let sent = client
            .try_request(Method::PUT, &format!("/shop/{id}"), &[], document.to_string())
            .await;
        if sent.is_err() {
            return;
        }
    }
}

/// Compares the rows of the view, its sums and its count with what the documents make.
async fn check(client: &Client, definition: usize, when: &str) {
    let all = client.get("/shop/_all_docs?include_docs=true").await.expect(200).json();
    let mut rows: Vec<(i64, String, i64)> = Vec::new();
    let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
    for row in all["rows"].as_array().unwrap() {
        let document = &row["doc"];
        let (Some(kind), Some(amount)) = (document["kind"].as_i64(), document["amount"].as_i64())
        else {
            continue; // the design document
        };
        rows.push((kind, row["id"].as_str().unwrap().to_owned(), amount));
        *sums.entry(kind).or_default() += amount;
    }
    rows.sort();
    let view = client.get(&format!("{VIEW}?reduce=false")).await.expect(200).json();
    let expected: Vec<Value> = rows
        .iter()
        .map(|(kind, id, amount)| json!({ "id": id, "key": [kind, definition], "value": amount }))
        .collect();
    assert_eq!(view["total_rows"], json!(expected.len()), "{when}");
    assert!(view["rows"] == json!(expected), "{when}: rows differ");
    let groups = client.get(&format!("{VIEW}?group_level=1")).await.expect(200).json();
    let expected: Vec<Value> =
        sums.iter().map(|(kind, sum)| json!({ "key": [kind], "value": sum })).collect();
    assert_eq!(groups["rows"], json!(expected), "{when}");
    let total = client.get(VIEW).await.expect(200).json();
    assert_eq!(total["rows"][0]["value"], json!(sums.values().sum::<i64>()), "{when}");
}
