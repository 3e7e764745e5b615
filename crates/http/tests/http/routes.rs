//! Every route, from the table that the server is made from.

use expect_test::expect;
use http::StatusCode;
use http_body::Body as _;
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

/// A path whose open parts name what is there.
fn existing(path: &str) -> String {
    let names = [
        ("{node}", "_local"),
        ("{section}", "chttpd_auth"),
        ("{key}", "timeout"),
        ("{db}", "d"),
        ("{id}", "a"),
        ("{docid...}", "a"),
        ("{attachment...}", "f.txt"),
        ("{name}", "x"),
        ("{path...}", "couchdb"),
    ];
    names.iter().fold(path.to_owned(), |path, (open, name)| path.replace(open, name))
}

#[tokio::test]
async fn a_head_has_the_status_and_the_headers_of_its_get() {
    let server = TestServer::new().await;
    for request in [
        "PUT /d",
        "PUT /d/a\n\n{}",
        "PUT /d/_local/x\n\n{}",
        "PUT /d/_design/x\n\n{}",
        "PUT /d/b/f.txt\ncontent-type: text/plain\n\nhello",
    ] {
        assert!(server.send(request).await.status().is_success(), "{request}");
    }
    // Two replies have two ids and two lists of ids, and the length of figures changes.
    let told = |mut reply: axum::response::Response| {
        for name in ["x-couch-request-id", "x-couchdb-body-time", "etag", "content-length"] {
            reply.headers_mut().remove(name);
        }
        (reply.status(), reply.headers().clone())
    };
    for route in routes::all() {
        if !route.operations.iter().any(|operation| operation.verb == Verb::Get) {
            continue;
        }
        let path = existing(route.path);
        let get = server.send(&format!("GET {path}")).await;
        assert_ne!(get.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let length = get.body().size_hint().exact();
        let head = server.send(&format!("HEAD {path}")).await;
        assert!(head.body().is_end_stream(), "{path}");
        let announced = head.headers().get("content-length").map(|it| it.to_str().unwrap());
        if !path.starts_with("/_node") {
            assert_eq!(announced, length.map(|it| it.to_string()).as_deref(), "{path}");
        }
        assert_eq!(told(head), told(get), "{path}");
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
