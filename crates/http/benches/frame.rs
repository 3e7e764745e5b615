//! What the frame of a request costs: a small GET through the whole dispatcher, signed in by a remembered
//! password, beside a bare axum handler that returns the same bytes. In one thread, without sockets.
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
use http::{Request, header};
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

fn request(path: &str) -> Request<Body> {
    Request::get(path)
        .header(header::HOST, "localhost:5984")
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "bench")
        .header(header::AUTHORIZATION, support::ADMIN)
        .body(Body::empty())
        .unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let clock = Arc::new(RealClock(Instant::now()));
    let app = App::new(Arc::new(support::state(clock, Arc::new(SeededEntropy::new(1))).await));
    let bare = Router::new().route(
        "/{db}/{doc}",
        get(|| async {
            let body = b"{\"all_nodes\":[\"settle@127.0.0.1\"],\"cluster_nodes\":[\"settle@127.0.0.1\"]}\n";
            ([(header::CONTENT_TYPE, "application/json")], body.as_slice())
        }),
    );
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..REQUESTS {
            drop(std::hint::black_box(app.answer(request("/_membership")).await));
        }
        times[0].push(start.elapsed() / REQUESTS);
        let start = Instant::now();
        for _ in 0..REQUESTS {
            drop(std::hint::black_box(bare.clone().oneshot(request("/db/doc")).await.unwrap()));
        }
        times[1].push(start.elapsed() / REQUESTS);
        let start = Instant::now();
        for _ in 0..REQUESTS {
            drop(std::hint::black_box(
                app.state().site.accounts.remembered(support::ADMIN.as_bytes(), || None),
            ));
        }
        times[2].push(start.elapsed() / REQUESTS);
    }
    for (name, mut times) in ["frame", "bare axum", "remembered password"].into_iter().zip(times) {
        times.sort_unstable();
        println!("{name}: {:?}", times[ROUNDS / 2]);
    }
}
