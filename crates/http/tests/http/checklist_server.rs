//! What other implementations of the protocol usually get wrong, item by item: those of the server.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http::{StatusCode, header};
use settle_http::App;
use settle_model::time::{ManualClock, SeededEntropy};

use crate::support::{START, TestServer, state, text};

#[tokio::test]
async fn item_36_a_page_of_a_listed_origin_can_sync_with_credentials() {
    let server = TestServer::new().await;
    for (key, value) in [
        ("chttpd/enable_cors", "true"),
        ("cors/origins", "https://app.example.org"),
        ("cors/credentials", "true"),
    ] {
        server.send(&format!("PUT /_node/_local/_config/{key}\n\n\"{value}\"")).await;
    }
    let preflight = "OPTIONS /d/_bulk_docs\norigin: https://app.example.org\n\
                     access-control-request-method: POST\n\
                     access-control-request-headers: authorization,content-type";
    let reply = server.send_anonymous(preflight).await;
    assert_eq!(reply.status(), StatusCode::NO_CONTENT);
    let header = |name: &str| reply.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("access-control-allow-origin"), "https://app.example.org");
    assert_eq!(header("access-control-allow-credentials"), "true");
    for name in ["authorization", "content-type", "if-match", "accept", "origin", "referer"] {
        assert!(header("access-control-allow-headers").contains(name), "{name}");
    }
    let reply = server.send("GET /d\norigin: https://app.example.org").await;
    let exposed = reply.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("etag") && exposed.contains("x-couch-request-id"), "{exposed}");
}

#[tokio::test]
async fn item_37_a_session_that_is_used_is_renewed_when_a_tenth_of_it_is_over() {
    let server = TestServer::new().await;
    let request = "POST /_session\ncontent-type: application/json\n\n\
                   {\"name\":\"admin\",\"password\":\"pw\"}";
    let opened = server.send_anonymous(request).await;
    let cookie = opened.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    let cookie = cookie.split(';').next().unwrap();
    let renewed = async || {
        let reply = server.send_anonymous(&format!("GET /_all_dbs\ncookie: {cookie}")).await;
        (reply.status(), reply.headers().contains_key(header::SET_COOKIE))
    };
    assert_eq!(renewed().await, (StatusCode::OK, false));
    server.clock.advance(Duration::from_secs(61));
    assert_eq!(renewed().await, (StatusCode::OK, true));
    server.clock.advance(Duration::from_secs(600));
    assert_eq!(renewed().await, (StatusCode::UNAUTHORIZED, false));
}

/// That it is the same after a start is shown where stores are opened.
#[tokio::test]
async fn item_38_a_server_has_one_uuid_that_no_other_has() {
    let uuid = async |app: &App| {
        let reply = app.answer(http::Request::new(axum::body::Body::empty())).await;
        let reply: serde_json::Value = serde_json::from_str(&text(reply).await).unwrap();
        reply["uuid"].as_str().unwrap().to_owned()
    };
    let app = async |seed| {
        let clock = Arc::new(ManualClock::at(START));
        App::new(Arc::new(state(clock, Arc::new(SeededEntropy::new(seed))).await))
    };
    let (one, other) = (app(1).await, app(2).await);
    assert_eq!(uuid(&one).await, uuid(&one).await);
    assert_ne!(uuid(&one).await, uuid(&other).await);
    assert_eq!(uuid(&one).await.len(), 32);
}

#[tokio::test]
async fn item_40_whoever_comes_at_a_bad_time_is_told_in_json_when_to_come_again() {
    let server = TestServer::new().await;
    let request = "GET /_all_dbs\nauthorization: Basic YTpi";
    let attempts = (0..300).map(|_| server.send_anonymous(request));
    let mut replies: FuturesUnordered<_> = attempts.collect();
    let busy = loop {
        let reply = replies.next().await.unwrap();
        if reply.status() == StatusCode::SERVICE_UNAVAILABLE {
            break reply;
        }
    };
    assert_eq!(busy.headers()[header::RETRY_AFTER], "2");
    assert_eq!(busy.headers()[header::CONTENT_TYPE], "application/json");
    assert!(text(busy).await.starts_with("{\"error\":\"service unavailable\""));
}
