//! The database of users over HTTP: whatever way a document is sent, no password is stored.

use std::fmt::Write as _;

use expect_test::expect;
use http::StatusCode;

use crate::support::{TestServer, text};

const ADA: &str = "/_users/org.couchdb.user:ada";

async fn body(server: &TestServer, who: &str, request: &str) -> String {
    text(server.send_as(who, request).await).await
}

/// Status and body, revisions and what is made at random left out.
async fn told(server: &TestServer, who: &str, request: &str) -> String {
    let reply = server.send_as(who, request).await;
    let status = reply.status().as_u16();
    let text = text(reply).await;
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    for name in ["rev", "_rev", "salt", "password_hash"] {
        if let Some(found) = value.get_mut(name) {
            *found = "…".into();
        }
    }
    format!("{status} {value}")
}

fn user(name: &str) -> String {
    format!(
        r#"{{"_id":"org.couchdb.user:{name}","type":"user","name":"{name}","roles":[],"password":"a new secret"}}"#
    )
}

#[tokio::test]
async fn whatever_way_a_user_is_written_the_password_is_stored_as_a_hash_alone() {
    let server = TestServer::new().await.with_users(&[]).await;
    let json = "content-type: application/json\n\n";
    let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(user);
    let requests = [
        format!("PUT /_users/org.couchdb.user:a\n{json}{a}"),
        format!("POST /_users\n{json}{b}"),
        format!("POST /_users/_bulk_docs\n{json}{{\"docs\":[{c}]}}"),
        format!(
            "POST /_users/_bulk_docs\n{json}{{\"new_edits\":false,\"docs\":[{}]}}",
            d.replacen('{', r#"{"_rev":"1-967a00dff5e02add41819138abb3284d","#, 1)
        ),
        format!(
            "POST /_users/org.couchdb.user:e\ncontent-type: multipart/form-data; boundary=x\n\
             referer: http://localhost:5984/\n\n\
             --x\r\ncontent-disposition: form-data; name=\"_doc\"\r\n\r\n{e}\r\n--x--"
        ),
    ];
    for request in &requests {
        let reply = server.send(request).await;
        assert_eq!(reply.status(), StatusCode::CREATED, "{request} {}", text(reply).await);
    }
    for name in ["a", "b", "c", "d", "e"] {
        let all = body(&server, "admin:pw", &format!("GET /_users/org.couchdb.user:{name}")).await;
        assert!(!all.contains("a new secret"), "{all}");
        let who = format!("{name}:a new secret");
        let reply = server.send_as(&who, "GET /_session").await;
        assert_eq!(reply.status(), StatusCode::OK, "{name}");
    }
}

#[tokio::test]
async fn users_read_and_change_themselves_and_do_not_see_each_other() {
    let server = TestServer::new().await.with_users(&[("ada", "[\"r\"]"), ("bob", "[]")]).await;
    let mut story = String::new();
    for (who, request) in [
        ("ada:password", format!("GET {ADA}")),
        ("bob:password", format!("GET {ADA}")),
        ("bob:password", "GET /_users/org.couchdb.user:nobody".to_owned()),
        ("bob:password", format!("PUT {ADA}\n\n{{}}")),
        ("bob:password", format!("DELETE {ADA}")),
        ("", format!("GET {ADA}")),
        ("", format!("PUT {ADA}\n\n{{}}")),
        ("ada:password", "GET /_users/_all_docs".to_owned()),
        ("ada:password", "GET /_users/_design/_auth".to_owned()),
        ("ada:password", "GET /_users".to_owned()),
        (
            "ada:password",
            "POST /_users/_bulk_docs\ncontent-type: application/json\n\n{\"docs\":[]}".to_owned(),
        ),
    ] {
        let reply = told(&server, who, &request).await;
        writeln!(story, "{who} {} → {reply}", request.lines().next().unwrap()).unwrap();
    }
    expect![[r#"
        ada:password GET /_users/org.couchdb.user:ada → 200 {"_id":"org.couchdb.user:ada","_rev":"…","name":"ada","password_hash":"…","password_scheme":"argon2id","roles":["r"],"salt":"…","type":"user"}
        bob:password GET /_users/org.couchdb.user:ada → 404 {"error":"not_found","reason":"missing"}
        bob:password GET /_users/org.couchdb.user:nobody → 404 {"error":"not_found","reason":"missing"}
        bob:password PUT /_users/org.couchdb.user:ada → 404 {"error":"not_found","reason":"missing"}
        bob:password DELETE /_users/org.couchdb.user:ada → 404 {"error":"not_found","reason":"missing"}
         GET /_users/org.couchdb.user:ada → 401 {"error":"unauthorized","reason":"You are not authorized to access this db."}
         PUT /_users/org.couchdb.user:ada → 401 {"error":"unauthorized","reason":"You are not authorized to access this db."}
        ada:password GET /_users/_all_docs → 403 {"error":"forbidden","reason":"You are not allowed to access this db."}
        ada:password GET /_users/_design/_auth → 403 {"error":"forbidden","reason":"You are not allowed to access this db."}
        ada:password GET /_users → 403 {"error":"forbidden","reason":"You are not allowed to access this db."}
        ada:password POST /_users/_bulk_docs → 403 {"error":"forbidden","reason":"You are not allowed to access this db."}
    "#]].assert_eq(&story);

    let present: serde_json::Value =
        serde_json::from_str(&body(&server, "ada:password", &format!("GET {ADA}")).await).unwrap();
    let mut changed = present.clone();
    changed["password"] = "another secret".into();
    let reply = server.send_as("ada:password", &format!("PUT {ADA}\n\n{changed}")).await;
    assert_eq!(reply.status(), StatusCode::CREATED);
    let old = server.send_as("ada:password", "GET /_session").await;
    assert_eq!(old.status(), StatusCode::UNAUTHORIZED);
    let mut grabbing: serde_json::Value =
        serde_json::from_str(&body(&server, "ada:another secret", &format!("GET {ADA}")).await)
            .unwrap();
    grabbing["roles"] = serde_json::json!(["r", "boss"]);
    let refused = told(&server, "ada:another secret", &format!("PUT {ADA}\n\n{grabbing}")).await;
    assert!(refused.contains("Only _admin may edit roles"), "{refused}");
    let stale = server.send_as("ada:another secret", &format!("PUT {ADA}\n\n{changed}")).await;
    assert_eq!(stale.status(), StatusCode::CONFLICT);
}

#[tokio::test]
async fn others_see_of_a_user_what_the_settings_name_and_never_a_hash() {
    let server = TestServer::new().await.with_users(&[("ada", "[]"), ("bob", "[]")]).await;
    let setting = "PUT /_node/_local/_config/chttpd_auth/public_fields\n\n\"name, salt, roles\"";
    assert_eq!(server.send(setting).await.status(), StatusCode::OK);
    let seen = told(&server, "bob:password", &format!("GET {ADA}")).await;
    expect![[r#"200 {"_id":"org.couchdb.user:ada","_rev":"…","name":"ada","roles":[]}"#]]
        .assert_eq(&seen);
    let missing = told(&server, "bob:password", "GET /_users/org.couchdb.user:nobody").await;
    expect![[r#"404 {"error":"not_found","reason":"missing"}"#]].assert_eq(&missing);
}

#[tokio::test]
async fn signing_up_is_closed_until_it_is_opened_and_gives_no_more_than_a_user() {
    let server = TestServer::new().await.with_users(&[("bob", "[]")]).await;
    let put = format!("PUT {ADA}\n\n{}", user("ada"));
    assert_eq!(server.send_as("", &put).await.status(), StatusCode::UNAUTHORIZED);
    let setting = "PUT /_node/_local/_config/chttpd_auth/sign_up\n\n\"open\"";
    assert_eq!(server.send(setting).await.status(), StatusCode::OK);
    let boss = put.replace("[]", "[\"boss\"]");
    let short = put.replace("a new secret", "short");
    let admin = put.replace("ada", "admin");
    let mut story = String::new();
    for request in [&boss, &short, &admin, &put, &put] {
        story.push_str(&told(&server, "", request).await);
        story.push('\n');
    }
    for request in [&format!("GET {ADA}"), &format!("DELETE {ADA}"), "PUT /_users", "PUT /_users/x"]
    {
        story.push_str(&told(&server, "", request).await);
        story.push('\n');
    }
    expect![[r#"
        403 {"error":"forbidden","reason":"Only _admin may set roles"}
        400 {"error":"bad_request","reason":"Password does not conform to requirements. It needs at least 8 characters."}
        403 {"error":"forbidden","reason":"This name is not free."}
        201 {"id":"org.couchdb.user:ada","ok":true,"rev":"…"}
        403 {"error":"forbidden","reason":"You may only update your own user document."}
        401 {"error":"unauthorized","reason":"You are not authorized to access this db."}
        401 {"error":"unauthorized","reason":"You are not authorized to access this db."}
        401 {"error":"unauthorized","reason":"You are not a server admin."}
        401 {"error":"unauthorized","reason":"You are not authorized to access this db."}
    "#]].assert_eq(&story);
    let reply = server.send_as("ada:a new secret", "GET /_session").await;
    assert_eq!(reply.status(), StatusCode::OK);
}

#[tokio::test]
async fn users_do_not_learn_who_else_is_one() {
    let server = TestServer::new().await.with_users(&[("ada", "[]"), ("bob", "[]")]).await;
    let json = "content-type: application/json\n\n";
    for request in [
        "GET /_users/org.couchdb.user:NAME".to_owned(),
        "GET /_users/org.couchdb.user:NAME?open_revs=all".to_owned(),
        "GET /_users/org.couchdb.user:NAME?rev=1-967a00dff5e02add41819138abb3284d".to_owned(),
        "GET /_users/org.couchdb.user:NAME/photo".to_owned(),
        "DELETE /_users/org.couchdb.user:NAME?rev=1-967a00dff5e02add41819138abb3284d".to_owned(),
        "DELETE /_users/org.couchdb.user:NAME".to_owned(),
        "COPY /_users/org.couchdb.user:NAME\ndestination: x".to_owned(),
        format!("PUT /_users/org.couchdb.user:NAME\n\n{}", user("NAME")),
        format!("PUT /_users/org.couchdb.user:NAME?batch=ok\n\n{}", user("NAME")),
        format!("PUT /_users/org.couchdb.user:NAME/photo\n{json}1"),
        format!("POST /_users\n{json}{}", user("NAME")),
        format!("POST /_users/_bulk_docs\n{json}{{\"docs\":[{}]}}", user("NAME")),
        format!(
            "POST /_users/_bulk_get\n{json}{{\"docs\":[{{\"id\":\"org.couchdb.user:NAME\"}}]}}"
        ),
        "GET /_accounts/NAME".to_owned(),
        "DELETE /_accounts/NAME".to_owned(),
        "GET /_tokens?user=NAME".to_owned(),
        format!("POST /_tokens?user=NAME\n{json}{{\"label\":\"x\",\"most\":\"read\"}}"),
        "GET /~NAME/".to_owned(),
    ] {
        let mut said = Vec::new();
        for name in ["ada", "eve"] {
            let reply = server.send_as("bob:password", &request.replace("NAME", name)).await;
            said.push(crate::support::written(reply).await.replace(name, "NAME"));
        }
        assert_eq!(said[0], said[1], "{request}");
        assert!(said[0].starts_with('4'), "{request}: {}", said[0]);
    }
}
