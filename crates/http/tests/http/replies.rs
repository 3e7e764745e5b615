//! Whole replies of the server's own endpoints, and the rules that all replies keep.

use std::time::Duration;

use expect_test::expect;
use http::{StatusCode, header};

use crate::support::{TestServer, text, whole};

#[tokio::test]
async fn a_reply_has_the_headers_that_every_reply_has() {
    let server = TestServer::new().await;
    let whole = async |request| whole(server.send(request).await).await;
    expect![[r#"
        200 OK
        cache-control: must-revalidate
        content-type: application/json
        server: Settle/0.1.0
        x-content-type-options: nosniff
        x-couch-request-id: mine
        x-couchdb-body-time: 0

        {"seeds":{},"status":"ok"}
    "#]]
    .assert_eq(&whole("GET /_up\nX-Couch-Request-ID: mine").await);
    expect![[r#"
        200 OK
        cache-control: must-revalidate
        content-type: application/json
        server: Settle/0.1.0
        x-content-type-options: nosniff

        {"seeds":{},"status":"ok"}
    "#]]
    .assert_eq(&whole("GET /_up\nPrefer: return=minimal").await);
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body_but_with_its_length() {
    let server = TestServer::new().await;
    server
        .check(
            "HEAD /_membership",
            expect![[r#"
        200 OK
        content-length: 72
        content-type: application/json

    "#]],
        )
        .await;
}

#[tokio::test]
async fn failures_are_json_with_a_code_and_a_reason() {
    let server = TestServer::new().await;
    server
        .check(
            "POST /_up",
            expect![[r#"
        405 Method Not Allowed
        allow: GET,HEAD
        content-type: application/json

        {"error":"method_not_allowed","reason":"Only GET,HEAD allowed"}
    "#]],
        )
        .await;
    server
        .check(
            "GET /_nothing",
            expect![[r#"
        404 Not Found
        content-type: application/json

        {"error":"not_found","reason":"Database does not exist."}
    "#]],
        )
        .await;
    server
        .check(
            "GET /_uuids?count=x",
            expect![[r#"
        400 Bad Request
        content-type: application/json

        {"error":"bad_request","reason":"count must be a positive integer"}
    "#]],
        )
        .await;
    server
        .check(
            "GET /_uuids?count=1001",
            expect![[r#"
        400 Bad Request
        content-type: application/json

        {"error":"bad_request","reason":"count parameter too large"}
    "#]],
        )
        .await;
    server
        .check(
            "GET /_up?x=%zz",
            expect![[r#"
        400 Bad Request
        content-type: application/json

        {"error":"bad_request","reason":"invalid_url_encoding"}
    "#]],
        )
        .await;
    server
        .check_anonymous(
            "GET /_all_dbs",
            expect![[r#"
        401 Unauthorized
        content-type: application/json

        {"error":"unauthorized","reason":"You are not a server admin."}
    "#]],
        )
        .await;
    let wrong = "GET /_up\nAuthorization: Basic Z2hvc3Q6bm8=\nX-CouchDB-WWW-Authenticate: Cookie";
    server
        .check(
            wrong,
            expect![[r#"
        401 Unauthorized
        content-type: application/json
        www-authenticate: Cookie

        {"error":"unauthorized","reason":"Name or password is incorrect."}
    "#]],
        )
        .await;
    let long = format!("GET /_up?{}", "x".repeat(61_000));
    server
        .check(
            &long,
            expect![[r#"
        414 URI Too Long
        content-type: application/json

        {"error":"too_long","reason":"the request uri is too long"}
    "#]],
        )
        .await;
}

#[tokio::test]
async fn a_trailing_slash_and_an_encoded_letter_change_nothing() {
    let server = TestServer::new().await;
    for path in ["/_up", "/_up/", "//_up", "/%5Fup"] {
        let reply = server.send(&format!("GET {path}")).await;
        assert_eq!(reply.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_post_can_stand_for_a_method_that_a_client_cannot_send() {
    let server = TestServer::new().await;
    let reply = server.send("POST /_up\nX-HTTP-Method-Override: GET").await;
    assert_eq!(reply.status(), StatusCode::OK);
    let reply = server.send("GET /_up\nX-HTTP-Method-Override: POST").await;
    assert_eq!(reply.status(), StatusCode::OK);
}

#[tokio::test]
async fn ids_come_with_headers_that_keep_caches_away() {
    let server = TestServer::new().await;
    server
        .check(
            "GET /_uuids?count=2",
            expect![[r#"
        200 OK
        cache-control: no-cache
        content-type: application/json
        etag: "CXRCLIFFZZQD54ADQTZIEX5RT"
        expires: Mon, 01 Jan 1990 00:00:00 GMT
        pragma: no-cache

        {"uuids":["8aa2d790d641b387a8574c6fae000c17","8aa2d790d641b387a8574c6fae00165f"]}
    "#]],
        )
        .await;
    server
        .check(
            "GET /favicon.ico",
            expect![[r#"
        404 Not Found
        cache-control: public, max-age=31536000
        content-type: text/plain
        expires: Sun, 21 Nov 2027 03:05:46 GMT

        Not found."#]],
        )
        .await;
}

#[tokio::test]
async fn a_session_is_opened_used_renewed_and_closed() {
    let server = TestServer::new().await;
    let open = "POST /_session\nContent-Type: application/x-www-form-urlencoded\n\n\
                name=admin&password=p%77";
    let reply = server.send_anonymous(open).await;
    let cookie = reply.headers()[header::SET_COOKIE].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    server.check_anonymous(open, expect![[r#"
        200 OK
        content-type: application/json
        set-cookie: AuthSession=YWRtaW46NkIwMTBBOEE67-XGwHzONJ4W7ThCRI5lW5uav8aefgpTuPkEPAT7-wc; Version=1; Expires=Sat, 21-Nov-2026 03:15:46 GMT; Max-Age=600; Path=/; HttpOnly; SameSite=Lax

        {"ok":true,"name":"admin","roles":["_admin"]}
    "#]]).await;

    let show = format!("GET /_session\nCookie: other=1; {cookie}");
    server.check_anonymous(&show, expect![[r#"
        200 OK
        content-type: application/json

        {"ok":true,"userCtx":{"name":"admin","roles":["_admin"]},"info":{"authentication_handlers":["cookie","default"],"authenticated":"cookie"}}
    "#]]).await;
    server.clock.advance(Duration::from_secs(120));
    let renewed = server.send_anonymous(&show).await;
    assert!(renewed.headers().contains_key(header::SET_COOKIE));
    server.clock.advance(Duration::from_secs(481));
    assert!(text(server.send_anonymous(&show).await).await.contains("\"name\":null"));
    server.check_anonymous("DELETE /_session", expect![[r#"
        200 OK
        content-type: application/json
        set-cookie: AuthSession=; Version=1; Expires=Sat, 21-Nov-2026 03:25:47 GMT; Max-Age=600; Path=/; HttpOnly; SameSite=Lax

        {"ok":true}
    "#]]).await;
}

#[tokio::test]
async fn signing_in_is_refused_in_words() {
    let server = TestServer::new().await;
    let json = |body: &str| format!("POST /_session\nContent-Type: application/json\n\n{body}");
    for (request, status, reason) in [
        (json("{\"name\":\"admin\",\"password\":\"no\"}"), 401, "Name or password is incorrect."),
        (json("{\"password\":\"no\"}"), 400, "request body must contain a username"),
        (
            json("{\"name\":\"a\",\"username\":\"b\"}"),
            400,
            "request body contains different usernames",
        ),
        (json("{\"name\":"), 400, "invalid UTF-8 JSON"),
        (json("1"), 400, "name and password must be strings in a JSON object"),
        (
            "POST /_session\nContent-Type: text/plain\n\nx".to_owned(),
            415,
            "Content-Type must be 'application/x-www-form-urlencoded' or 'application/json'",
        ),
        ("GET /_session?basic=true".to_owned(), 401, "Please login."),
        (
            "GET /_session\nCookie: AuthSession=x".to_owned(),
            400,
            "Malformed AuthSession cookie. Please clear your cookies.",
        ),
    ] {
        let reply = server.send_anonymous(&request).await;
        assert_eq!(reply.status(), status, "{request}");
        assert!(text(reply).await.contains(&format!("\"reason\":\"{reason}\"")), "{request}");
    }
}

#[tokio::test]
async fn signing_in_leads_on_to_paths_of_this_server_alone() {
    let server = TestServer::new().await;
    let to = async |next: &str| {
        let request = format!(
            "POST /_session?next={next}\nContent-Type: application/json\n\n\
             {{\"name\":\"admin\",\"password\":\"pw\"}}"
        );
        let reply = server.send_anonymous(&request).await;
        let location = reply.headers().get(header::LOCATION);
        location.map(|location| location.to_str().unwrap().to_owned())
    };
    assert_eq!(to("/db/app").await.as_deref(), Some("http://localhost:5984/db/app"));
    assert_eq!(to("//evil.example").await, None);
    assert_eq!(to("https://evil.example").await, None);
    assert_eq!(to("/%5Cevil.example").await, None);
}

#[tokio::test]
async fn settings_are_read_changed_and_refused() {
    let server = TestServer::new().await;
    let at = "/_node/_local/_config/uuids/algorithm";
    let put = |value: &str| format!("PUT {at}\nContent-Type: application/json\n\n{value}");
    assert_eq!(text(server.send(&put("\"random\"")).await).await, "\"sequential\"\n");
    assert_eq!(text(server.send(&format!("GET {at}")).await).await, "\"random\"\n");
    assert_eq!(text(server.send(&format!("DELETE {at}")).await).await, "\"random\"\n");
    server.check("GET /_node/_local/_config", expect![[r#"
        200 OK
        content-type: application/json

        {"accounts":{"bytes_max":"10737418240","databases_max":"100","deletion_grace_days":"30"},"chttpd":{"enable_cors":"false","max_http_request_size":"4294967296","require_valid_user_except_for_up":"true","strict_transport_security":"0"},"chttpd_auth":{"cookie_domain":"","password_length_min":"8","password_regexp":"","public_fields":"","same_site":"lax","sign_up":"closed","timeout":"600"},"cors":{"credentials":"false","headers":"","max_age":"600","methods":"GET, HEAD, POST, PUT, DELETE, COPY, OPTIONS","origins":""},"couchdb":{"maintenance_mode":"false","max_document_size":"8000000","single_node":"true"},"httpd":{"enable_cors":"false"},"proxies":{"trusted":"127.0.0.1, ::1"},"rate_limits":{"burst":"10","per_account":"0","per_address":"0"},"uuids":{"algorithm":"sequential","max_count":"1000","utc_id_suffix":""}}
    "#]]).await;
    server
        .check(
            &put("7"),
            expect![[r#"
        400 Bad Request
        content-type: application/json

        {"error":"bad_request","reason":"a JSON string expected"}
    "#]],
        )
        .await;
    let executes = "PUT /_node/_local/_config/query_servers/javascript\n\n\"sh\"";
    server
        .check(
            executes,
            expect![[r#"
        403 Forbidden
        content-type: application/json

        {"error":"forbidden","reason":"Config section blacklisted for modification over HTTP API."}
    "#]],
        )
        .await;
    server
        .check(
            "GET /_node/_local/_config/no/such",
            expect![[r#"
        404 Not Found
        content-type: application/json

        {"error":"not_found","reason":"unknown_config_value"}
    "#]],
        )
        .await;
    server
        .check(
            "GET /_node/other@host/_config",
            expect![[r#"
        404 Not Found
        content-type: application/json

        {"error":"not_found","reason":"no such node: other@host"}
    "#]],
        )
        .await;
}

#[tokio::test]
async fn a_changed_session_timeout_counts_at_once() {
    let server = TestServer::new().await;
    server.send("PUT /_node/_local/_config/chttpd_auth/timeout\n\n\"60\"").await;
    assert_eq!(server.app.state().site.accounts.session_timeout(), Duration::from_secs(60));
}

#[tokio::test]
async fn a_load_balancer_is_told_of_maintenance_and_of_the_end() {
    let server = TestServer::new().await;
    server.send("PUT /_node/_local/_config/couchdb/maintenance_mode\n\n\"true\"").await;
    let reply = server.send("GET /_up").await;
    assert_eq!(reply.status(), StatusCode::NOT_FOUND);
    assert_eq!(text(reply).await, "{\"status\":\"maintenance_mode\"}\n");
    server.send("DELETE /_node/_local/_config/couchdb/maintenance_mode").await;
    assert_eq!(server.send("GET /_up").await.status(), StatusCode::OK);
    server.app.state().shutdown.begin();
    assert_eq!(server.send("GET /_up").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn requests_are_counted() {
    let server = TestServer::new().await;
    server.send("GET /_up").await;
    server.send("GET /_nothing").await;
    let stats = "GET /_node/_local/_stats/couchdb/httpd_status_codes";
    server.check(stats, expect![[r#"
        200 OK
        content-type: application/json

        {"200":{"desc":"number of HTTP 200 responses","type":"counter","value":1},"404":{"desc":"number of HTTP 404 responses","type":"counter","value":1}}
    "#]]).await;
    assert_eq!(
        server.send("GET /_node/_local/_stats/couchdb/nothing").await.status(),
        StatusCode::NOT_FOUND
    );
    let figures = text(server.send("GET /_node/_local/_prometheus").await).await;
    assert!(figures.contains("couchdb_httpd_status_codes{code=\"404\"} 2\n"), "{figures}");
    assert!(text(server.send("GET /_node/_local/_system").await).await.contains("\"uptime\":0"));
}
