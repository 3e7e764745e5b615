//! Several requests to one database, one after the other, and their whole replies as text.

use std::fmt::Write as _;

use axum::{body::Body, response::Response};
use expect_test::Expect;

use crate::support::{TestServer, written};

/// A server with the empty database `d`.
pub(crate) async fn begin() -> TestServer {
    let server = TestServer::new().await;
    assert_eq!(server.send("PUT /d").await.status(), 201);
    server
}

/// Sends the requests to a fresh database, and compares the replies with what was expected. The first
/// line of each request stands before its reply. In bodies of several parts, lines end as they must.
pub(crate) async fn check(requests: &[&str], expected: Expect) {
    expected.assert_eq(&told(&begin().await, requests).await);
}

pub(crate) async fn told(server: &TestServer, requests: &[&str]) -> String {
    let mut story = String::new();
    for request in requests {
        let line = request.lines().next().unwrap();
        let reply = written(send(server, request).await).await;
        let reply = reply.replace('\r', "\\r");
        write!(story, "> {line}\n{}\n\n", reply.trim_end()).unwrap();
    }
    story
}

pub(crate) async fn send(server: &TestServer, request: &str) -> Response<Body> {
    let (line, rest) = request.split_once('\n').unwrap_or((request, ""));
    let request = &format!("{}\n{rest}", line.replace('"', "%22"));
    let request = match request.split_once("\n\n") {
        Some((head, body)) if head.contains("multipart/") && !body.is_empty() => {
            format!("{head}\n\n{}", body.replace('\n', "\r\n"))
        }
        Some(_) | None => request.to_owned(),
    };
    server.send(&request).await
}

/// As [`check`], a line for each request: its status, and the code and reason or the body.
pub(crate) async fn check_briefly(requests: &[&str], expected: Expect) {
    let server = begin().await;
    let mut story = String::new();
    for request in requests {
        let line = request.lines().next().unwrap();
        let reply = send(&server, request).await;
        let status = reply.status().as_u16();
        let body = crate::support::text(reply).await.replace('\r', "\\r");
        writeln!(story, "{line} {status} {}", body.trim_end()).unwrap();
    }
    expected.assert_eq(&story);
}
