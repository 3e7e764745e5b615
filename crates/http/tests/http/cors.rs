//! What browsers are told about pages of other origins.

use expect_test::expect;

use crate::support::{TestServer, written};

const APP: &str = "https://app.example.org";

async fn with_cors(settings: &[(&str, &str)]) -> TestServer {
    let server = TestServer::new().await;
    let on = [("chttpd/enable_cors", "true"), ("cors/origins", APP)];
    for (key, value) in on.iter().chain(settings) {
        let request = format!("PUT /_node/_local/_config/{key}\n\n\"{value}\"");
        assert_eq!(server.send(&request).await.status(), 200, "{key}");
    }
    server
}

/// The headers that a browser looks at, of a reply to nobody.
async fn told(server: &TestServer, request: &str) -> String {
    let reply = written(server.send_anonymous(request).await).await;
    let of_cors = |line: &&str| line.starts_with("access-control") || line.starts_with("vary");
    let status = reply.lines().next().unwrap_or_default();
    let lines = std::iter::once(status).chain(reply.lines().filter(of_cors));
    lines.collect::<Vec<_>>().join("\n")
}

fn preflight(path: &str, origin: &str) -> String {
    format!(
        "OPTIONS {path}\norigin: {origin}\naccess-control-request-method: PUT\n\
         access-control-request-headers: authorization,content-type"
    )
}

#[tokio::test]
async fn it_is_off_until_it_is_switched_on() {
    let server = TestServer::new().await;
    assert_eq!(told(&server, &preflight("/_up", APP)).await, "405 Method Not Allowed");
    assert_eq!(told(&server, &format!("GET /_up\norigin: {APP}")).await, "200 OK");
    let request = "PUT /_node/_local/_config/chttpd/enable_cors\n\n\"true\"";
    assert_eq!(server.send(request).await.status(), 200);
    let nobody = told(&server, &format!("GET /_up\norigin: {APP}")).await;
    assert_eq!(nobody, "200 OK", "on without origins is off");
}

#[tokio::test]
async fn a_preflight_is_answered_before_anybody_is_asked_who_they_are() {
    let server = with_cors(&[("cors/credentials", "true")]).await;
    let of_secret = told(&server, &preflight("/secret/doc", APP)).await;
    expect![[r#"
        204 No Content
        access-control-allow-credentials: true
        access-control-allow-headers: accept, accept-language, authorization, cache-control, content-encoding, content-language, content-md5, content-type, destination, idempotency-key, if-match, if-none-match, if-range, last-event-id, origin, pragma, prefer, range, referer, x-couch-full-commit, x-couch-persist, x-couch-request-id, x-couchdb-www-authenticate, x-http-method-override, x-requested-with
        access-control-allow-methods: GET, HEAD, POST, PUT, DELETE, COPY, OPTIONS
        access-control-allow-origin: https://app.example.org
        access-control-max-age: 600
        vary: Origin"#]]
    .assert_eq(&of_secret);
    let of_none = told(&server, &preflight("/no/such/_path/at/all", APP)).await;
    assert_eq!(of_none, of_secret, "it does not tell what is there");
}

#[tokio::test]
async fn replies_and_failures_carry_the_exact_origin_and_may_be_read() {
    let server = with_cors(&[("cors/credentials", "true")]).await;
    let expected = |status: &str| {
        format!(
            "{status}\naccess-control-allow-credentials: true\n\
             access-control-allow-origin: {APP}\n\
             access-control-expose-headers: accept-ranges, content-encoding, content-range, digest, \
             etag, location, retry-after, server, x-couch-id, x-couch-request-id, \
             x-couch-update-newrev, x-couchdb-body-time\nvary: Origin"
        )
    };
    for (request, status) in [
        ("GET /_up", "200 OK"),
        ("GET /secret", "401 Unauthorized"),
        ("PATCH /_up", "405 Method Not Allowed"),
        ("GET /%zz", "400 Bad Request"),
        ("POST /_session\ncontent-type: text/plain", "415 Unsupported Media Type"),
        ("GET /_up\nprefer: return=minimal", "200 OK"),
    ] {
        let reply = told(&server, &format!("{request}\norigin: {APP}")).await;
        assert_eq!(reply, expected(status), "{request}");
    }
}

#[tokio::test]
async fn an_origin_that_is_not_listed_learns_nothing_of_it() {
    let server = with_cors(&[("cors/credentials", "true")]).await;
    for origin in [
        "https://evil.example",
        "null",
        "http://app.example.org",
        "https://app.example.org.evil.example",
        "https://app.example.org:8443",
        "https://APP.example.org",
    ] {
        let get = told(&server, &format!("GET /_up\norigin: {origin}")).await;
        assert_eq!(get, "200 OK\nvary: Origin", "{origin}");
        let asked = told(&server, &preflight("/_up", origin)).await;
        assert_eq!(asked, "405 Method Not Allowed\nvary: Origin", "{origin}");
    }
    // A cache must not hand this reply to a page.
    assert_eq!(told(&server, "GET /_up").await, "200 OK\nvary: Origin");
}

#[tokio::test]
async fn the_star_never_goes_with_credentials() {
    let server = with_cors(&[("cors/origins", "*"), ("cors/credentials", "true")]).await;
    let reply = told(&server, "GET /_up\norigin: https://any.example").await;
    assert!(reply.contains("access-control-allow-origin: *"), "{reply}");
    assert!(!reply.contains("credentials"), "{reply}");
    let both = format!("*, {APP}");
    let server = with_cors(&[("cors/origins", &both), ("cors/credentials", "true")]).await;
    let listed = told(&server, &format!("GET /_up\norigin: {APP}")).await;
    assert!(listed.contains("allow-credentials: true"), "{listed}");
    assert!(listed.contains(&format!("allow-origin: {APP}")), "{listed}");
}

#[tokio::test]
async fn methods_headers_and_age_are_as_they_were_set_at_once() {
    let settings =
        [("cors/methods", "GET, put"), ("cors/headers", "X-Csrf-Token"), ("cors/max_age", "5")];
    let server = with_cors(&settings).await;
    let reply = told(&server, &preflight("/d", APP)).await;
    assert!(reply.contains("allow-methods: GET, PUT\n"), "{reply}");
    assert!(reply.contains("x-requested-with, x-csrf-token\n"), "{reply}");
    assert!(reply.contains("max-age: 5\n"), "{reply}");
    server.send("DELETE /_node/_local/_config/chttpd/enable_cors").await;
    assert_eq!(told(&server, &preflight("/_up", APP)).await, "405 Method Not Allowed");
    let old_name = "PUT /_node/_local/_config/httpd/enable_cors\n\n\"true\"";
    server.send(old_name).await;
    assert!(told(&server, &preflight("/d", APP)).await.starts_with("204"));
}

#[tokio::test]
async fn what_is_no_origin_is_refused_with_the_reason() {
    let server = TestServer::new().await;
    let request = "PUT /_node/_local/_config/cors/origins\n\n\"app.example.org\"";
    server
        .check(
            request,
            expect![[r#"
                400 Bad Request
                content-type: application/json

                {"error":"bad_request","reason":"cors/origins: expected origins as browsers send them, such as https://app.example.org, or *; not app.example.org"}
            "#]],
        )
        .await;
}
