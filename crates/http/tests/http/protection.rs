//! Headers that protect the one who reads a reply in a browser.

use std::{fs, path::Path};

use settle_http::{connection::Connection, routes};

use crate::support::{ADMIN, TestServer, parse};

#[tokio::test]
async fn no_reply_lets_a_browser_guess_its_type() {
    let server = TestServer::new().await;
    for route in routes::all() {
        for method in ["GET", "PUT", "POST", "DELETE", "OPTIONS"] {
            let path = route.path.replace(['{', '}'], "").replace("...", "");
            let reply = server.send(&format!("{method} {path}")).await;
            assert_eq!(reply.headers()["x-content-type-options"], "nosniff", "{method} {path}");
        }
    }
}

/// CVE-2021-38295
#[tokio::test]
async fn a_page_that_somebody_stored_as_an_attachment_runs_no_script_here() {
    let server = TestServer::new().await;
    server.send("PUT /d").await;
    let page = "<script>fetch('/_users')</script>";
    for (name, kind) in
        [("a.html", "text/html"), ("a.svg", "image/svg+xml"), ("a.bin", "application/octet-stream")]
    {
        let put = format!("PUT /d/{name}/{name}\ncontent-type: {kind}\n\n{page}");
        assert_eq!(server.send(&put).await.status(), 201);
        for headers in
            ["", "\nprefer: return=minimal", "\nrange: bytes=0-3", "\naccept-encoding: gzip"]
        {
            for method in ["GET", "HEAD"] {
                let request = format!("{method} /d/{name}/{name}{headers}");
                let reply = server.send(&request).await;
                assert!(reply.status().is_success(), "{request}");
                let header = |name: &str| reply.headers()[name].to_str().unwrap().to_owned();
                assert_eq!(header("content-security-policy"), "sandbox", "{request}");
                assert_eq!(header("x-content-type-options"), "nosniff", "{request}");
            }
        }
    }
}

#[tokio::test]
async fn a_cookie_that_was_handed_out_under_tls_never_travels_without() {
    let server = TestServer::new().await;
    let cookie = async |encrypted: bool, headers: &str| {
        let connection = Connection { peer: None, encrypted };
        let request = parse(&format!("DELETE /_session{headers}"), Some(ADMIN));
        let reply = server.app.answer_on(connection, request).await;
        reply.headers()["set-cookie"].to_str().unwrap().to_owned()
    };
    assert!(cookie(true, "").await.ends_with("; HttpOnly; SameSite=Lax; Secure"));
    assert!(cookie(false, "\nx-forwarded-proto: https").await.ends_with("; Secure"));
    assert!(cookie(false, "").await.ends_with("; HttpOnly; SameSite=Lax"));
}

#[tokio::test]
async fn cookies_are_as_wide_as_an_administrator_says() {
    let server = TestServer::new().await;
    let cookie = async |encrypted: bool| {
        let connection = Connection { peer: None, encrypted };
        let request = parse("DELETE /_session", Some(ADMIN));
        let reply = server.app.answer_on(connection, request).await;
        let cookie = reply.headers()["set-cookie"].to_str().unwrap().to_owned();
        cookie.split_once("; Path").unwrap().1.to_owned()
    };
    let set = async |key: &str, value: &str| {
        let put = format!("PUT /_node/_local/_config/chttpd_auth/{key}\n\n\"{value}\"");
        server.send(&put).await.status().as_u16()
    };
    assert_eq!(cookie(true).await, "=/; HttpOnly; SameSite=Lax; Secure");
    assert_eq!(set("same_site", "strict").await, 200);
    assert_eq!(set("cookie_domain", "example.org").await, 200);
    assert_eq!(cookie(true).await, "=/; Domain=example.org; HttpOnly; SameSite=Strict; Secure");
    assert_eq!(set("same_site", "none").await, 200);
    assert_eq!(cookie(true).await, "=/; Domain=example.org; HttpOnly; SameSite=None; Secure");
    assert_eq!(cookie(false).await, "=/; Domain=example.org; HttpOnly; SameSite=Lax");
    for bad in ["org", "a;b.org", "a..org", "example.org; Path=/x", "ä.org"] {
        assert_eq!(set("cookie_domain", bad).await, 400, "{bad}");
    }
    assert_eq!(set("same_site", "any").await, 400);
}

#[tokio::test]
async fn a_cookie_for_pages_of_other_sites_changes_nothing_for_those_that_are_not_listed() {
    let server = TestServer::new().await;
    server.send("PUT /d").await;
    let set = async |setting: &str, value: &str| {
        let put = format!("PUT /_node/_local/_config/{setting}\n\n\"{value}\"");
        assert_eq!(server.send(&put).await.status(), 200);
    };
    let sign_in = "POST /_session\ncontent-type: application/json\n\n\
                   {\"name\":\"admin\",\"password\":\"pw\"}";
    let reply = server.send_anonymous(sign_in).await;
    let cookie = reply.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let status = async |method: &str, origin: &str| {
        let request = format!(
            "{method} /d\nhost: data.example.org\ncookie: {cookie}{origin}\n\
             content-type: application/json\n\n{{}}"
        );
        server.send_anonymous(&request).await.status().as_u16()
    };
    let (own, listed, other) = (
        "\norigin: https://data.example.org",
        "\norigin: https://app.example.net",
        "\norigin: https://other.example",
    );
    // Browsers keep a cookie that is not `None` from pages of other sites.
    assert_eq!(status("POST", other).await, 201);
    set("chttpd_auth/same_site", "none").await;
    set("chttpd/enable_cors", "true").await;
    set("cors/origins", "https://app.example.net").await;
    assert_eq!(status("POST", listed).await, 401, "without cors/credentials");
    set("cors/credentials", "true").await;
    for (origin, expected) in
        [("", 201), (own, 201), (listed, 201), (other, 401), ("\norigin: null", 401)]
    {
        assert_eq!(status("POST", origin).await, expected, "{origin}");
        assert_eq!(status("GET", origin).await, 200, "{origin}");
    }
}

#[tokio::test]
async fn browsers_that_came_by_tls_are_told_to_come_by_nothing_else_if_an_administrator_says_so() {
    let server = TestServer::new().await;
    let told = async |encrypted: bool| {
        let connection = Connection { peer: None, encrypted };
        let reply = server.app.answer_on(connection, parse("GET /_up", None)).await;
        let value = reply.headers().get("strict-transport-security");
        value.map(|it| it.to_str().unwrap().to_owned())
    };
    assert_eq!(told(true).await, None);
    let put = "PUT /_node/_local/_config/chttpd/strict_transport_security\n\n\"31536000\"";
    assert_eq!(server.send(put).await.status(), 200);
    assert_eq!(told(true).await.as_deref(), Some("max-age=31536000"));
    assert_eq!(told(false).await, None);
}

#[test]
fn every_test_that_the_security_checklist_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let checklist = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let is_danger = |line: &&str| line.starts_with("| CVE-") || line.starts_with("| API");
    let dangers: Vec<_> = checklist.lines().filter(is_danger).collect();
    for danger in &dangers {
        let named = danger.split('`').filter_map(|it| it.split_once(".rs "));
        let mut count = 0;
        for (file, name) in named.filter(|(file, _)| file.starts_with("crates/")) {
            let code = fs::read_to_string(root.join(file).with_extension("rs")).unwrap();
            let (before, _) = code.split_once(&format!("fn {name}(")).expect(name);
            let is_test = before.rsplit('\n').skip(1).take(2).any(|line| line.contains("test]"));
            assert!(is_test, "{file}.rs {name} is no test");
            count += 1;
        }
        assert!(count > 0, "no test covers {danger}");
    }
    let of = |what: &str| dangers.iter().filter(|it| it.starts_with(what)).count();
    assert_eq!((of("| CVE-"), of("| API")), (9, 10));
}
