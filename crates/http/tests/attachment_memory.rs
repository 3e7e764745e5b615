//! However large an attachment is, taking and sending it takes little memory, on every way there is.
//!
//! Memory is `RssAnon`: what the process has for itself, without mapped and cached files.

#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, reason = "shows its figures when asked to")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use settle_http::App;
use settle_model::time::{ManualClock, SeededEntropy};

#[path = "http/support.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod support;

const PIECE: usize = 64 << 10;
const GROWTH_KIB_MAX: u64 = 16 << 10;

static PEAK_KIB: AtomicU64 = AtomicU64::new(0);

fn anonymous_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn look() {
    PEAK_KIB.fetch_max(anonymous_kib(), Ordering::Relaxed);
}

/// A long text that compresses to about a half, between two others, in pieces.
fn stream(before: &str, total: u64, after: &str) -> Body {
    let (before, after) = (Bytes::from(before.to_owned()), Bytes::from(after.to_owned()));
    let pieces = (0..total / PIECE as u64).map(|number| {
        look();
        let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut bytes = vec![0; PIECE];
        for chunk in bytes.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let word = state & 0x0F0F_0F0F_0F0F_0F0F | 0x6060_6060_6060_6060;
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Bytes::from(bytes)
    });
    let all = std::iter::once(before).chain(pieces).chain([after]);
    Body::from_stream(futures_util::stream::iter(all.map(Ok::<_, std::convert::Infallible>)))
}

struct Server(App);

impl Server {
    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, &str)],
        body: Body,
    ) -> (StatusCode, u64) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, support::ADMIN);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response = self.0.answer(request.body(body).unwrap()).await;
        let status = response.status();
        let mut body = response.into_body();
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            received += frame.unwrap().into_data().unwrap().len() as u64;
            look();
        }
        (status, received)
    }

    /// What is sent back, in bytes.
    async fn measured(
        &self,
        what: &str,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, &str)],
        body: Body,
    ) -> u64 {
        let before = anonymous_kib();
        PEAK_KIB.store(before, Ordering::Relaxed);
        let (status, received) = self.send(method, path, headers, body).await;
        assert!(status.is_success(), "{what}: {status}");
        let growth = PEAK_KIB.load(Ordering::Relaxed) - before;
        println!("{what}: {growth} KiB");
        assert!(growth <= GROWTH_KIB_MAX, "{what} grew by {growth} KiB");
        received
    }
}

async fn a_large_attachment_takes_little_memory(total: u64) {
    let state = support::state(Arc::new(ManualClock::default()), Arc::new(SeededEntropy::new(1)));
    let server = Server(App::new(Arc::new(state.await)));
    assert_eq!(server.send(Method::PUT, "/d", &[], Body::empty()).await.0, 201);
    let binary = (header::CONTENT_TYPE, "application/octet-stream");
    let text = (header::CONTENT_TYPE, "text/plain");
    let related = (header::CONTENT_TYPE, "multipart/related; boundary=b");
    let (put, get) = (Method::PUT, Method::GET);

    let body = stream("", total, "");
    server.measured("plain upload", put.clone(), "/d/a/n", &[binary], body).await;
    let sent = server.measured("plain reading", get.clone(), "/d/a/n", &[], Body::empty()).await;
    assert_eq!(sent, total);
    let range = (header::RANGE, "bytes=1-");
    let sent = server.measured("a range", get.clone(), "/d/a/n", &[range], Body::empty()).await;
    assert_eq!(sent, total - 1);
    let ranges = (header::RANGE, "bytes=1-,2-");
    let sent = server.measured("two ranges", get.clone(), "/d/a/n", &[ranges], Body::empty()).await;
    assert!(sent > 2 * total - 3);

    let document = format!(
        "--b\r\nContent-Type: application/json\r\n\r\n{{\"_attachments\":{{\"n\":{{\"follows\":true,\
         \"length\":{total}}}}}}}\r\n--b\r\n\r\n"
    );
    let body = stream(&document, total, "\r\n--b--");
    server.measured("an upload of parts", put.clone(), "/d/b", &[related], body).await;
    for (what, accept, path) in [
        ("parts", "multipart/related", "/d/b?attachments=true"),
        ("revisions in parts", "multipart/mixed", "/d/b?open_revs=all"),
        ("a document with all inside", "application/json", "/d/b?attachments=true"),
    ] {
        let accept = (header::ACCEPT, accept);
        let sent = server.measured(what, get.clone(), path, &[accept], Body::empty()).await;
        assert!(sent > total);
    }

    // Compressing is the slowest step by far, so it gets a shorter text.
    let body = stream("", total / 4, "");
    server.measured("a compressed upload", put, "/d/c/t", &[text], body).await;
    let gzip = (header::ACCEPT_ENCODING, "gzip");
    server.measured("packed reading", get.clone(), "/d/c/t", &[gzip], Body::empty()).await;
    let sent = server.measured("unpacked reading", get, "/d/c/t", &[], Body::empty()).await;
    assert_eq!(sent, total / 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_attachment_takes_little_memory_on_every_way() {
    a_large_attachment_takes_little_memory(64 << 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes two minutes; the same with 1 GiB"]
async fn a_gibibyte_takes_little_memory_on_every_way() {
    a_large_attachment_takes_little_memory(1 << 30).await;
}
