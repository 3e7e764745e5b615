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

#[test]
fn every_test_that_the_security_checklist_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let checklist = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let named = checklist.split('`').filter_map(|it| it.split_once(".rs "));
    let mut count = 0;
    for (file, name) in named.filter(|(file, _)| file.starts_with("crates/")) {
        let code = fs::read_to_string(root.join(file).with_extension("rs")).unwrap();
        assert!(code.contains(&format!("fn {name}(")), "{file}.rs {name}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}
