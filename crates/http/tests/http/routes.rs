//! Every route, from the table that the server is made from.

use expect_test::expect;
use http::StatusCode;
use settle_http::routes::{self, Access, Verb};

use crate::support::TestServer;

/// A path with something in each open part, and nothing there.
fn example(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment {
        "{node}" => "_local",
        _ if segment.starts_with('{') => "nothing",
        _ => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::Put => "PUT",
        Verb::Post => "POST",
        Verb::Delete => "DELETE",
        Verb::Copy => "COPY",
    }
}

#[tokio::test]
async fn without_credentials_nothing_is_open_but_this() {
    let server = TestServer::new().await;
    let mut open = Vec::new();
    for route in routes::all() {
        for operation in route.operations {
            let request = format!("{} {}", method(operation.verb), example(route.path));
            let reply = server.send_anonymous(&request).await;
            if reply.status() != StatusCode::UNAUTHORIZED {
                assert_eq!(operation.access, Access::Open, "{request} {}", reply.status());
                open.push(format!("{} {}", method(operation.verb), route.path));
            }
        }
    }
    expect![[r#"
        GET /
        GET /_up
        GET /_session
        POST /_session
        DELETE /_session"#]]
    .assert_eq(&open.join("\n"));
}

#[tokio::test]
async fn every_route_is_reached_and_fails_in_no_unforeseen_way() {
    let server = TestServer::new().await;
    for route in routes::all() {
        for operation in route.operations {
            let path = example(route.path);
            // A feed that has nothing to send would wait.
            let request = format!("{} {path}", method(operation.verb));
            let reply = server.send(&request).await;
            let status = reply.status();
            assert!(!status.is_server_error(), "{request} {status}");
            assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{request}");
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{request}");
        }
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_405_with_those_it_has() {
    let server = TestServer::new().await;
    for route in routes::all() {
        let reply = server.send(&format!("PATCH {}", example(route.path))).await;
        assert_eq!(reply.status(), StatusCode::METHOD_NOT_ALLOWED, "{}", route.path);
        let allow = reply.headers()["allow"].to_str().unwrap();
        for operation in route.operations {
            assert!(allow.split(',').any(|it| it == method(operation.verb)), "{}", route.path);
        }
    }
}

#[test]
fn every_operation_says_in_a_few_words_what_it_does() {
    for operation in routes::all().flat_map(|route| route.operations) {
        let summary = operation.summary;
        assert!((4..80).contains(&summary.len()) && !summary.ends_with('.'), "{summary}");
    }
}
