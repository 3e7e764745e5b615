//! The records of sign-ins and administrative acts.

use std::time::Duration;

use expect_test::expect;
use futures_util::FutureExt as _;
use serde_json::Value;
use settle_http::routes::{self, Access, Verb};

use crate::support::{TestServer, text};

const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

async fn records(server: &TestServer) -> Vec<Value> {
    let all = text(server.send("GET /_audit/_all_docs?include_docs=true").await).await;
    let all: Value = serde_json::from_str(&all).unwrap();
    all["rows"].as_array().unwrap().iter().map(|row| row["doc"].clone()).collect()
}

async fn told(server: &TestServer) -> String {
    let told = records(server).await.into_iter().map(|mut record| {
        for member in ["_id", "_rev", "request"] {
            record.as_object_mut().unwrap().remove(member).unwrap();
        }
        record.to_string()
    });
    told.collect::<Vec<_>>().join("\n")
}

/// An act is on disk when it is answered, and what was noted before it with it.
async fn act(server: &TestServer) {
    let request = "PUT /_node/_local/_config/uuids/algorithm\n\n\"random\"";
    assert_eq!(server.send(request).await.status(), 200);
}

#[tokio::test]
async fn acts_and_sign_ins_are_recorded_in_order_and_reading_and_writing_are_not() {
    let server = TestServer::audited(KEEP).await;
    for request in [
        "PUT /d",
        "PUT /d/a\n\n{}",
        "GET /d/a",
        "PUT /d/_design/x\n\n{}",
        "PUT /d/_security\n\n{}",
        "POST /d/_bulk_docs\ncontent-type: application/json\n\n{\"docs\":[{\"_id\":\"_design/y\"}]}",
        "POST /d/_all_docs\ncontent-type: application/json\n\n{}",
        "DELETE /none",
    ] {
        server.clock.advance(Duration::from_secs(1));
        server.send(request).await;
    }
    for request in [
        "GET /_up\nauthorization: Basic YWRtaW46d3Jvbmc=",
        "POST /_session\ncontent-type: application/json\n\n{\"name\":\"admin\",\"password\":\"pw\"}",
        "POST /_session\ncontent-type: application/json\n\n{\"name\":\"eve\",\"password\":\"x\"}",
    ] {
        server.clock.advance(Duration::from_secs(1));
        server.send_anonymous(request).await;
    }
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(server.send("DELETE /d").await.status(), 200);
    expect![[r#"
        {"by":"password","name":"admin","outcome":"accepted","time":"2026-11-21T03:05:47.000000Z","type":"sign_in"}
        {"by":"default","method":"PUT","name":"admin","path":"/d","status":201,"time":"2026-11-21T03:05:47.000000Z","type":"act"}
        {"by":"default","method":"PUT","name":"admin","path":"/d/_design/x","status":201,"time":"2026-11-21T03:05:50.000000Z","type":"act"}
        {"by":"default","method":"PUT","name":"admin","path":"/d/_security","status":200,"time":"2026-11-21T03:05:51.000000Z","type":"act"}
        {"by":"default","method":"POST","name":"admin","path":"/d/_bulk_docs","status":201,"time":"2026-11-21T03:05:52.000000Z","type":"act"}
        {"by":"password","name":"admin","outcome":"refused","time":"2026-11-21T03:05:55.000000Z","type":"sign_in"}
        {"by":"session","name":"admin","outcome":"accepted","time":"2026-11-21T03:05:56.000000Z","type":"sign_in"}
        {"by":"session","name":"eve","outcome":"refused","time":"2026-11-21T03:05:57.000000Z","type":"sign_in"}
        {"by":"default","method":"DELETE","name":"admin","path":"/d","status":200,"time":"2026-11-21T03:05:58.000000Z","type":"act"}"#]].assert_eq(&told(&server).await);
}

/// A user, as the administrator makes one.
async fn add(server: &TestServer, name: &str) {
    let user = format!(
        "{{\"type\":\"user\",\"name\":\"{name}\",\"roles\":[],\"password\":\"a long password\"}}"
    );
    let put = format!("PUT /_users/org.couchdb.user:{name}\n\n{user}");
    assert_eq!(server.send(&put).await.status(), 201);
}

#[tokio::test]
async fn changes_of_what_somebody_signs_in_with_are_recorded_whoever_makes_them() {
    const ADA: &str = "ada:a long password";
    let server = TestServer::audited(KEEP).await.with_users(&[]).await;
    add(&server, "ada").await;
    let made = server
        .send_as(ADA, "POST /_tokens\ncontent-type: application/json\n\n{\"most\":\"read\"}")
        .await;
    let made: Value = serde_json::from_str(&text(made).await).unwrap();
    let id = made["id"].as_str().unwrap();
    let user = server.send_as(ADA, "GET /_users/org.couchdb.user:ada").await;
    let mut user: Value = serde_json::from_str(&text(user).await).unwrap();
    user["password"] = "another long password".into();
    let put = format!("PUT /_users/org.couchdb.user:ada\n\n{user}");
    const NEW: &str = "ada:another long password";
    for (who, request, status) in [
        (ADA, format!("DELETE /_tokens/{id}"), 200),
        (ADA, "PUT /~ada/notes".to_owned(), 201),
        (ADA, "PUT /~ada/notes/a\n\n{}".to_owned(), 201),
        (ADA, put, 201),
        ("admin:pw", "PUT /_accounts/ada\n\n{\"databases_max\":7}".to_owned(), 200),
        (NEW, "DELETE /_accounts/ada".to_owned(), 202),
        ("admin:pw", "POST /_accounts/ada/_restore".to_owned(), 200),
    ] {
        assert_eq!(server.send_as(who, &request).await.status(), status, "{request}");
    }
    let acts = records(&server).await.into_iter().filter(|it| it["type"] == "act").map(|act| {
        let of = |name: &str| act[name].as_str().unwrap().replace(id, "ID");
        format!("{} {} {}", of("name"), of("method"), of("path"))
    });
    expect![[r#"
        admin PUT /_users/org.couchdb.user:ada
        ada POST /_tokens
        ada DELETE /_tokens/ID
        ada PUT /~ada/notes
        ada PUT /_users/org.couchdb.user:ada
        admin PUT /_accounts/ada
        ada DELETE /_accounts/ada
        admin POST /_accounts/ada/_restore"#]]
    .assert_eq(&acts.collect::<Vec<_>>().join("\n"));
    // Bodies, and so passwords and hashes, are not among it.
    assert!(!told(&server).await.contains("long password"));
}

#[tokio::test]
async fn who_is_turned_away_is_recorded_by_every_way_in() {
    let server = TestServer::audited(KEEP).await.with_users(&[]).await;
    add(&server, "ada").await;
    let session =
        "POST /_session\ncontent-type: application/json\n\n{\"name\":\"ada\",\"password\":\"x\"}";
    for _ in 0..6 {
        server.send_anonymous(session).await;
    }
    let locked = server.send_anonymous(session).await;
    assert_eq!(locked.status(), 403);
    server.send_anonymous("GET /_up\nauthorization: Bearer settle_a_b").await;
    act(&server).await;
    let refused = records(&server).await.into_iter().filter(|it| it["outcome"] == "refused");
    let refused: Vec<_> = refused.map(|it| format!("{} {}", it["name"], it["by"])).collect();
    let mut expected = vec![r#""ada" "session""#.to_owned(); 7];
    expected.push(r#""" "token""#.to_owned());
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn nothing_that_http_has_changes_a_record() {
    let server = TestServer::audited(KEEP).await;
    act(&server).await;
    let before = told(&server).await;
    let id = records(&server).await[0]["_id"].as_str().unwrap().to_owned();
    let rev = records(&server).await[0]["_rev"].as_str().unwrap().to_owned();
    for route in routes::all().filter(|route| route.path.starts_with("/{db}")) {
        for operation in route.operations {
            let method = match operation.verb {
                Verb::Get => continue,
                Verb::Put => "PUT",
                Verb::Post => "POST",
                Verb::Delete => "DELETE",
                Verb::Copy => "COPY",
            };
            let (is_write, path) = match operation.access {
                Access::Write | Access::Administer | Access::AdministerServer => (true, route.path),
                Access::Open
                | Access::SignedIn
                | Access::ReadMetrics
                | Access::Inspect
                | Access::Read => (false, route.path),
            };
            let path = path.replace("{docid...}", &id).replace("{id}", &id).replace("{name}", "x");
            let path = path.replace("{attachment...}", "a");
            for name in ["_audit", "%5Faudit"] {
                let path = path.replace("{db}", name);
                for body in [
                    "{}".to_owned(),
                    format!("{{\"docs\":[{{\"_id\":\"{id}\",\"_rev\":\"{rev}\"}}]}}"),
                    format!("{{\"{id}\":[\"{rev}\"]}}"),
                ] {
                    let request = format!(
                        "{method} {path}?rev={rev}\ndestination: copy\n\
                         content-type: application/json\n\n{body}"
                    );
                    let status = server.send(&request).await.status();
                    assert!(!status.is_success() || !is_write, "{request} {status}");
                }
            }
        }
    }
    assert_eq!(server.send("DELETE /_audit").await.status(), 403);
    assert_eq!(server.send("PUT /_audit").await.status(), 403);
    assert_eq!(told(&server).await, before);
    assert_eq!(server.send_anonymous("GET /_audit/_all_docs").await.status(), 401);
}

#[tokio::test]
async fn guessing_passwords_fills_no_disk_and_is_counted() {
    let server = TestServer::audited(KEEP).await;
    let wrong = "GET /_up\nauthorization: Basic YWRtaW46d3Jvbmc=";
    for _ in 0..63 {
        server.send_anonymous(wrong).await;
    }
    server.clock.advance(Duration::from_secs(60));
    server.send_anonymous(wrong).await;
    act(&server).await;
    let records = records(&server).await;
    let refused: Vec<_> = records.iter().filter(|it| it["outcome"] == "refused").collect();
    assert_eq!(refused.len(), 61);
    assert_eq!(refused[60]["omitted"], 3);
    assert_eq!(refused[59]["omitted"], Value::Null);
}

#[tokio::test]
async fn records_leave_when_they_are_older_than_they_are_kept() {
    let server = TestServer::audited(KEEP).await;
    for _ in 0..3 {
        act(&server).await;
    }
    let old = records(&server).await.len();
    server.clock.advance(KEEP + Duration::from_secs(1));
    act(&server).await;
    // Old ones go once the new one is there.
    for _ in 0..1_000 {
        if records(&server).await.len() < old {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(records(&server).await.iter().filter(|it| it["type"] == "act").count(), 1);
}

#[tokio::test]
async fn going_away_before_the_answer_leaves_a_record_too() {
    let server = TestServer::audited(KEEP).await;
    act(&server).await;
    // Polled once, as far as it comes, and dropped.
    drop(server.send("PUT /secret").now_or_never());
    act(&server).await;
    let records = records(&server).await;
    let found = records.iter().find(|it| it["path"] == "/secret").expect("it is recorded");
    assert!(found["status"].is_null() || found["status"] == 201, "{found}");
}
