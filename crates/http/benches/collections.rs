//! What reading and writing many documents costs: the whole way but for sockets, on the engine in
//! memory, in one thread.
//!
//! Prints thousands of rows or documents in a second, medians of alternating rounds, and the share of a
//! bulk insert that is left when the same bytes are only parsed.

#![expect(clippy::print_stdout, reason = "a bench shows its figures")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed bench")]
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

use std::{
    fmt::Write as _,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use settle_http::App;
use settle_model::{
    document::parse_bulk,
    time::{Clock, SeededEntropy, Timestamp},
};

#[path = "../tests/http/support.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod support;

const ROUNDS: usize = 7;
const DOCUMENTS: usize = 100_000;
const BATCH: usize = 1_000;

#[derive(Debug)]
struct RealClock(Instant);

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        support::START
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

async fn answer(app: &App, method: Method, path: &str, body: impl Into<Body>) -> usize {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost:5984")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, support::ADMIN)
        .body(body.into())
        .unwrap();
    let response = app.answer(request).await;
    assert!(response.status().is_success(), "{path}: {}", response.status());
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.unwrap().into_data().unwrap().len();
    }
    bytes
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let clock = Arc::new(RealClock(Instant::now()));
    let app = App::new(Arc::new(support::state(clock, Arc::new(SeededEntropy::new(1))).await));
    answer(&app, Method::PUT, "/d", "").await;
    let batches: Vec<Bytes> = (0..DOCUMENTS / BATCH).map(|n| batch(n).into()).collect();
    for batch in &batches {
        answer(&app, Method::POST, "/d/_bulk_docs", batch.clone()).await;
    }
    let items: Vec<_> = (0..BATCH).map(|n| format!("{{\"id\":\"{}\"}}", id(n))).collect();
    let keys: Vec<_> = (0..BATCH).map(|n| format!("\"{}\"", id(n))).collect();
    let revs: Vec<_> = (0..BATCH)
        .map(|n| format!("\"{}\":[\"1-967a00dff5e02add41819138abb3284d\"]", id(n)))
        .collect();
    let cases: Vec<(&str, Method, &str, String, usize)> = vec![
        ("_all_docs", Method::GET, "/d/_all_docs", String::new(), DOCUMENTS),
        ("… include_docs", Method::GET, "/d/_all_docs?include_docs=true", String::new(), DOCUMENTS),
        ("_changes", Method::GET, "/d/_changes", String::new(), DOCUMENTS),
        ("… include_docs", Method::GET, "/d/_changes?include_docs=true", String::new(), DOCUMENTS),
        ("keys", Method::POST, "/d/_all_docs", format!("{{\"keys\":[{}]}}", keys.join(",")), BATCH),
        (
            "_bulk_get",
            Method::POST,
            "/d/_bulk_get?revs=true&latest=true",
            format!("{{\"docs\":[{}]}}", items.join(",")),
            BATCH,
        ),
        ("_revs_diff", Method::POST, "/d/_revs_diff", format!("{{{}}}", revs.join(",")), BATCH),
    ];
    let mut rounds = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (case, times) in cases.iter().zip(&mut rounds) {
            let (_, method, path, body, _) = case;
            let start = Instant::now();
            black_box(answer(&app, method.clone(), path, body.clone()).await);
            times.push(start.elapsed());
        }
    }
    println!("thousands of rows a second");
    for ((name, _, _, _, rows), times) in cases.iter().zip(&mut rounds) {
        println!("{name:>16} {:>8.0}", thousands(*rows, median(times)));
    }
    bulk(&app, &batches).await;
}

/// Inserts the same documents into one new database after the other.
async fn bulk(app: &App, batches: &[Bytes]) {
    let (mut whole, mut parsed) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        answer(app, Method::PUT, &format!("/bulk{round}"), "").await;
        let path = format!("/bulk{round}/_bulk_docs");
        let start = Instant::now();
        for batch in batches {
            answer(app, Method::POST, &path, batch.clone()).await;
        }
        whole.push(start.elapsed());
        let start = Instant::now();
        for batch in batches {
            black_box(parse_bulk(batch).unwrap());
        }
        parsed.push(start.elapsed());
        answer(app, Method::DELETE, &format!("/bulk{round}"), "").await;
    }
    let (whole, parsed) = (median(&mut whole), median(&mut parsed));
    println!("thousands of documents of 300 bytes a second");
    println!("{:>16} {:>8.0}", "_bulk_docs", thousands(DOCUMENTS, whole));
    println!("{:>16} {:>8.0}", "parsing alone", thousands(DOCUMENTS, parsed));
}

fn id(n: usize) -> String {
    format!("{n:032x}")
}

fn batch(batch: usize) -> String {
    let mut text = "{\"docs\":[".to_owned();
    for n in batch * BATCH..(batch + 1) * BATCH {
        let comma = if n % BATCH == 0 { "" } else { "," };
        let filler = "x".repeat(180);
        write!(
            text,
            "{comma}{{\"_id\":\"{}\",\"type\":\"invoice\",\"amount\":{n}.5,\"paid\":true,\"text\":\"{filler}\"}}",
            id(n)
        )
        .unwrap();
    }
    text + "]}"
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn thousands(count: usize, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let count = count as f64;
    count / time.as_secs_f64() / 1_000.0
}
