//! What reading and writing one document cost: the whole way but for sockets, on the engine in memory,
//! beside a bare axum handler that returns the same bytes. In one thread.
//!
//! Prints nanoseconds of a request, medians of alternating rounds.

#![expect(clippy::print_stdout, reason = "a bench shows its figures")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed bench")]
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use settle_http::App;
use settle_model::time::{Clock, SeededEntropy, Timestamp};
use tower::ServiceExt as _;

#[path = "../tests/http/support.rs"]
#[expect(dead_code, reason = "tests use more of it")]
mod support;

const ROUNDS: usize = 9;
const REQUESTS: u32 = 50_000;

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

fn request(method: Method, path: &str, body: Body) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost:5984")
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "bench")
        .header(header::AUTHORIZATION, support::ADMIN)
        .body(body)
        .unwrap()
}

async fn answer(app: &App, method: Method, path: &str, body: impl Into<Body>) -> Bytes {
    let response = app.answer(request(method, path, body.into())).await;
    assert!(response.status().is_success(), "{path}: {}", response.status());
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let clock = Arc::new(RealClock(Instant::now()));
    let app = App::new(Arc::new(support::state(clock, Arc::new(SeededEntropy::new(1))).await));
    answer(&app, Method::PUT, "/d", "").await;
    println!("bytes  GET  GET ?revs  PUT  bare axum");
    for bytes in [300, 1_024, 16 << 10] {
        measure(&app, bytes).await;
    }
}

async fn measure(app: &App, bytes: usize) {
    let path = format!("/d/doc{bytes}");
    let with_revs = format!("{path}?revs=true");
    let document = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes));
    answer(app, Method::PUT, &path, document.clone()).await;
    let reply = answer(app, Method::GET, &path, "").await;
    let handler = move || {
        let reply = reply.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], reply) }
    };
    let bare = Router::new().route("/{db}/{doc}", get(handler));

    let mut times = [const { Vec::new() }; 4];
    let mut written = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..REQUESTS {
            std::hint::black_box(answer(app, Method::GET, &path, "").await);
        }
        times[0].push(start.elapsed() / REQUESTS);
        let start = Instant::now();
        for _ in 0..REQUESTS {
            std::hint::black_box(answer(app, Method::GET, &with_revs, "").await);
        }
        times[1].push(start.elapsed() / REQUESTS);
        let start = Instant::now();
        for _ in 0..REQUESTS / 20 {
            written += 1;
            let path = format!("/d/new{bytes}-{written}");
            std::hint::black_box(answer(app, Method::PUT, &path, document.clone()).await);
        }
        times[2].push(start.elapsed() / (REQUESTS / 20));
        let start = Instant::now();
        for _ in 0..REQUESTS {
            let request = request(Method::GET, &path, Body::empty());
            let response = bare.clone().oneshot(request).await.unwrap();
            std::hint::black_box(response.into_body().collect().await.unwrap().to_bytes());
        }
        times[3].push(start.elapsed() / REQUESTS);
    }
    let medians = times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2]
    });
    println!("{bytes}  {medians:?}");
}
