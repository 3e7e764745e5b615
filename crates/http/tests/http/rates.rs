//! Rates of requests, from the outside.

use std::{net::IpAddr, time::Duration};

use axum::response::Response;
use settle_http::connection::Connection;

use crate::support::{ADMIN, TestServer, parse, text};

async fn with(settings: &[(&str, &str)]) -> TestServer {
    let server = TestServer::new().await;
    for (key, value) in settings {
        let request = format!("PUT /_node/_local/_config/{key}\n\n\"{value}\"");
        assert_eq!(server.send(&request).await.status(), 200, "{key}");
    }
    server
}

async fn ask(server: &TestServer, from: &str, request: &str, signed_in: bool) -> Response {
    let peer: IpAddr = from.parse().unwrap();
    let connection = Connection { peer: Some(peer), encrypted: false };
    let request = parse(request, signed_in.then_some(ADMIN));
    server.app.answer_on(connection, request).await
}

/// How many of a hundred requests are answered.
async fn granted(server: &TestServer, from: &str, signed_in: bool) -> usize {
    let mut granted = 0;
    for _ in 0..100 {
        let status = ask(server, from, "GET /_up", signed_in).await.status();
        assert!(status == 200 || status == 429, "{status}");
        granted += usize::from(status == 200);
    }
    granted
}

#[tokio::test]
async fn there_is_no_rate_until_one_is_set() {
    let server = TestServer::new().await;
    assert_eq!(granted(&server, "192.0.2.1", false).await, 100);
}

#[tokio::test]
async fn an_address_has_its_burst_and_then_its_rate_and_is_told_when_to_come_back() {
    let server = with(&[("rate_limits/per_address", "2"), ("rate_limits/burst", "10")]).await;
    assert_eq!(granted(&server, "192.0.2.1", false).await, 20);
    assert_eq!(granted(&server, "192.0.2.2", false).await, 20, "another address has its own");
    let reply = ask(&server, "192.0.2.1", "GET /d", true).await;
    assert_eq!(reply.status(), 429, "whoever it is");
    assert_eq!(reply.headers()["retry-after"], "1");
    let body = text(reply).await;
    assert!(body.starts_with("{\"error\":\"too_many_requests\","), "{body}");
    server.clock.advance(Duration::from_secs(3));
    assert_eq!(granted(&server, "192.0.2.1", false).await, 6);
}

#[tokio::test]
async fn an_account_has_its_rate_from_wherever_it_comes() {
    let server = with(&[("rate_limits/burst", "5"), ("rate_limits/per_account", "1")]).await;
    assert_eq!(granted(&server, "192.0.2.1", true).await, 5);
    assert_eq!(granted(&server, "192.0.2.2", true).await, 0);
    assert_eq!(granted(&server, "192.0.2.1", false).await, 100, "nobody has no account");
}

#[tokio::test]
async fn an_administrator_on_the_machine_itself_is_never_refused() {
    let settings = [("rate_limits/per_address", "1"), ("rate_limits/per_account", "1")];
    let server = with(&settings).await;
    assert_eq!(granted(&server, "127.0.0.1", true).await, 100);
    assert_eq!(granted(&server, "127.0.0.1", false).await, 10);
}

#[tokio::test]
async fn behind_a_proxy_each_client_has_its_own_rate() {
    let server = with(&[("rate_limits/per_address", "1"), ("rate_limits/burst", "1")]).await;
    for client in ["198.51.100.1", "198.51.100.2"] {
        let request = format!("GET /_up\nx-forwarded-for: 203.0.113.9, {client}");
        assert_eq!(ask(&server, "127.0.0.1", &request, false).await.status(), 200);
        assert_eq!(ask(&server, "127.0.0.1", &request, false).await.status(), 429);
    }
    // Who is no proxy cannot be somebody else.
    let request = "GET /_up\nx-forwarded-for: 198.51.100.3";
    assert_eq!(ask(&server, "192.0.2.1", request, false).await.status(), 200);
    let request = "GET /_up\nx-forwarded-for: 198.51.100.4";
    assert_eq!(ask(&server, "192.0.2.1", request, false).await.status(), 429);
}
