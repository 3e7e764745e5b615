//! Kills the server with `kill -9` under load, over and over, and asks after each start whether
//! everything it had acknowledged is there, and nothing is there in part.
//!
//! Each round has a database of its own, so that looking at it costs the same in every round; the
//! last start looks at all of them once more.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use settle_testing::{Client, Entropy as _, Method, Process, SeededEntropy};
use tempfile::TempDir;
use tokio::task::JoinSet;

const KILLS: usize = 50;
const WRITERS: usize = 64;
/// Documents of a batch that is applied whole or not at all.
const BATCH: usize = 5;
/// A start after a kill may take this long until the server listens.
const REOPEN_MAX: Duration = Duration::from_secs(1);
const BINARY: &str = env!("CARGO_BIN_EXE_settle");

/// What one round wrote.
#[derive(Debug, Default)]
struct Ledger {
    /// The revision last acknowledged for each document; `None` where it was deleted.
    acknowledged: BTreeMap<String, Option<String>>,
    /// Documents with a request whose answer never came: its effect may be there or not.
    unanswered: BTreeSet<String>,
    /// The ids of each batch that was sent, whether or not it was answered.
    batches: Vec<Vec<String>>,
}

impl Ledger {
    fn join(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.unanswered.extend(other.unanswered);
        self.batches.extend(other.batches);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_nothing_and_leave_nothing_in_part() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let seed = 0x5e77_1e00_u64;
    let entropy = SeededEntropy::new(seed);
    let mut ledgers: Vec<(String, Ledger)> = Vec::new();
    let mut slowest = Duration::ZERO;
    for round in 0..KILLS {
        let (mut server, opened) = start(&data).await;
        slowest = slowest.max(opened);
        if let Some((database, ledger)) = ledgers.last() {
            check(&server.admin(), database, ledger).await;
        }
        let database = format!("round-{round}");
        server.admin().put(&format!("/{database}"), &Value::Null).await.expect(201);
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(server.admin(), database.clone(), writer));
        }
        let mut random = [0];
        entropy.fill(&mut random);
        tokio::time::sleep(Duration::from_millis(50 + u64::from(random[0]))).await;
        server.kill().await;
        let mut ledger = Ledger::default();
        while let Some(written) = writers.join_next().await {
            ledger.join(written.unwrap());
        }
        assert!(!ledger.acknowledged.is_empty(), "seed {seed:x}: nothing was written in a round");
        ledgers.push((database, ledger));
    }
    let (server, opened) = start(&data).await;
    slowest = slowest.max(opened);
    let mut acknowledged = 0;
    for (database, ledger) in &ledgers {
        acknowledged += ledger.acknowledged.len();
        check(&server.admin(), database, ledger).await;
    }
    println!("{acknowledged} documents acknowledged in {KILLS} rounds, slowest start {slowest:?}");
    assert!(slowest < REOPEN_MAX, "a start after a kill took {slowest:?}");
}

#[expect(clippy::disallowed_methods, reason = "it measures another process")]
async fn start(data: &Path) -> (Process, Duration) {
    let begin = Instant::now();
    let server = Process::serve(Path::new(BINARY), data, &[]).await;
    (server, begin.elapsed())
}

/// Creates, updates, deletes and sends batches until the server goes away.
async fn write(client: Client, database: String, writer: usize) -> Ledger {
    let mut ledger = Ledger::default();
    let counter = format!("counter-{writer}");
    for turn in 0.. {
        let went_on = match turn % 4 {
            0 => put(&client, &database, &mut ledger, &format!("{writer}-{turn}"), turn).await,
            1 => put(&client, &database, &mut ledger, &counter, turn).await,
            2 => batch(&client, &database, &mut ledger, &format!("{writer}-{turn}")).await,
            _ => delete(&client, &database, &mut ledger, &format!("{writer}-{}", turn - 3)).await,
        };
        if !went_on {
            break;
        }
    }
    ledger
}

/// Creates a document, or updates it if the ledger knows it. False when no answer came.
async fn put(client: &Client, database: &str, ledger: &mut Ledger, id: &str, turn: usize) -> bool {
    let mut body = json!({ "turn": turn, "text": "x".repeat(turn % 300) });
    if let Some(Some(revision)) = ledger.acknowledged.get(id) {
        body["_rev"] = json!(revision);
    }
    let path = format!("/{database}/{id}");
    let sent = client.try_request(Method::PUT, &path, &[], body.to_string()).await;
    let Ok(reply) = sent else {
        ledger.unanswered.insert(id.to_owned());
        return false;
    };
    let revision = reply.expect(201).json()["rev"].as_str().unwrap().to_owned();
    ledger.acknowledged.insert(id.to_owned(), Some(revision));
    true
}

async fn delete(client: &Client, database: &str, ledger: &mut Ledger, id: &str) -> bool {
    let revision = ledger.acknowledged[id].clone().unwrap();
    let path = format!("/{database}/{id}?rev={revision}");
    let Ok(reply) = client.try_request(Method::DELETE, &path, &[], "").await else {
        ledger.unanswered.insert(id.to_owned());
        return false;
    };
    reply.expect(200);
    ledger.acknowledged.insert(id.to_owned(), None);
    true
}

async fn batch(client: &Client, database: &str, ledger: &mut Ledger, name: &str) -> bool {
    let ids: Vec<String> = (0..BATCH).map(|part| format!("batch-{name}-{part}")).collect();
    ledger.batches.push(ids.clone());
    let docs: Vec<Value> = ids.iter().map(|id| json!({ "_id": id, "batch": name })).collect();
    let body = json!({ "all_or_nothing": true, "docs": docs }).to_string();
    let path = format!("/{database}/_bulk_docs");
    let Ok(reply) = client.try_request(Method::POST, &path, &[], body).await else {
        ledger.unanswered.extend(ids);
        return false;
    };
    let rows = reply.expect(201).json();
    for (id, row) in ids.into_iter().zip(rows.as_array().unwrap()) {
        let revision = row["rev"].as_str().unwrap_or_else(|| panic!("{row}")).to_owned();
        ledger.acknowledged.insert(id, Some(revision));
    }
    true
}

/// Compares what the server has with what it acknowledged.
async fn check(client: &Client, database: &str, ledger: &Ledger) {
    let all = client.get(&format!("/{database}/_all_docs")).await.expect(200).json();
    let present: BTreeMap<&str, &str> = all["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["id"].as_str().unwrap(), row["value"]["rev"].as_str().unwrap()))
        .collect();
    for (id, revision) in &ledger.acknowledged {
        if !ledger.unanswered.contains(id) {
            let found = present.get(id.as_str()).copied();
            assert_eq!(found, revision.as_deref(), "{database}/{id} as acknowledged");
        } else if let Some(Some(revision)) = ledger.acknowledged.get(id) {
            // The unanswered request may have come after it, as an update or a deletion.
            if let Some(found) = present.get(id.as_str()) {
                let at_least = generation(revision);
                assert!(generation(found) >= at_least, "{database}/{id} went back to {found}");
            }
        }
    }
    for id in present.keys() {
        let known = ledger.acknowledged.contains_key(*id) || ledger.unanswered.contains(*id);
        assert!(known, "{database}/{id} is there and nobody wrote it");
    }
    for batch in &ledger.batches {
        let there = batch.iter().filter(|id| present.contains_key(id.as_str())).count();
        assert!(there == 0 || there == BATCH, "{database}: {there} of {BATCH} of {batch:?}");
    }
    check_changes(client, database, &present).await;
}

/// The feed names every document once, with the same revision, and the counts agree with it.
async fn check_changes(client: &Client, database: &str, present: &BTreeMap<&str, &str>) {
    let feed = client.get(&format!("/{database}/_changes")).await.expect(200).json();
    let mut followed = BTreeMap::new();
    let mut deleted = 0;
    for row in feed["results"].as_array().unwrap() {
        let id = row["id"].as_str().unwrap();
        let revision = row["changes"][0]["rev"].as_str().unwrap();
        if row["deleted"] == json!(true) {
            deleted += 1;
            assert!(!present.contains_key(id), "{database}/{id} is deleted in the feed alone");
            continue;
        }
        assert!(followed.insert(id, revision).is_none(), "{database}/{id} twice in the feed");
    }
    assert_eq!(&followed, present, "the feed of {database}");
    let info = client.get(&format!("/{database}")).await.expect(200).json();
    assert_eq!(info["doc_count"], json!(present.len()), "{database}");
    assert_eq!(info["doc_del_count"], json!(deleted), "{database}");
}

fn generation(revision: &str) -> u32 {
    revision.split_once('-').unwrap().0.parse().unwrap()
}
