//! Below `/~name/` stands a server that has what one account has.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use expect_test::expect;
use http::StatusCode;
use serde_json::Value;
use settle_http::routes::{self, Route, Verb};

use crate::{
    asked::without_timelines,
    permissions::method,
    support::{TestServer, text, written},
};

const ADA: &str = "ada:password";
const BOB: &str = "bob:password";
const ADMIN: &str = "admin:pw";

async fn server() -> TestServer {
    TestServer::new().await.with_users(&[("ada", "[]"), ("bob", "[]")]).await
}

async fn json(server: &TestServer, who: &str, request: &str) -> Value {
    serde_json::from_str(&text(server.send_as(who, request).await).await).unwrap()
}

async fn status(server: &TestServer, who: &str, request: &str) -> u16 {
    server.send_as(who, request).await.status().as_u16()
}

/// Statuses and bodies, one request after the other.
async fn story(server: &TestServer, requests: &[(&str, &str)]) -> String {
    let mut story = String::new();
    for (who, request) in requests {
        let reply = server.send_as(who, request).await;
        let status = reply.status().as_u16();
        let location = reply.headers().get("location").cloned();
        let location = location.map(|it| format!(" {}", it.to_str().unwrap())).unwrap_or_default();
        let body = without_timelines(&text(reply).await);
        let name = who.split(':').next().unwrap();
        let line = request.lines().next().unwrap();
        writeln!(story, "{name}: {line}\n  {status}{location} {}", body.trim_end()).unwrap();
    }
    story
}

#[tokio::test]
async fn an_owner_makes_uses_and_drops_databases() {
    let server = server().await;
    let told = story(
        &server,
        &[
            (ADA, "PUT /~ada/notes"),
            (ADA, "PUT /~ada/notes"),
            (ADA, "PUT /~ada/Notes"),
            (ADA, "PUT /~ada/_users"),
            (ADA, "PUT /~ada/notes/today\n\n{\"x\":1}"),
            (ADA, "GET /~ada/notes/today"),
            (ADA, "PUT /~ada/notes/_design/d\n\n{}"),
            (ADA, "GET /~ada/notes/_design%2Fd"),
            (ADA, "GET /~ada/notes/_security"),
            (ADA, "GET /~ada/_all_dbs"),
            (ADA, "GET /_all_dbs"),
            (ADA, "PUT /site"),
            (ADMIN, "PUT /site"),
            (ADMIN, "GET /_all_dbs"),
            (ADMIN, "GET /~ada/_all_dbs"),
            (ADMIN, "GET /_all_dbs?endkey=%22~z%22"),
            (ADMIN, "GET /~nobody-has-this-name/"),
            (ADMIN, "PUT /~nobody-has-this-name/x"),
            (ADA, "GET /~ada/_node/_local"),
            (ADA, "DELETE /~ada/notes"),
            (ADA, "GET /~ada/notes"),
        ],
    )
    .await;
    expect![[r#"
        ada: PUT /~ada/notes
          201 http://localhost:5984/~ada/notes {"ok":true}
        ada: PUT /~ada/notes
          412 {"error":"file_exists","reason":"The database could not be created, the file already exists."}
        ada: PUT /~ada/Notes
          400 {"error":"illegal_database_name","reason":"Name: 'Notes'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter."}
        ada: PUT /~ada/_users
          403 {"error":"forbidden","reason":"An account has no databases of the system."}
        ada: PUT /~ada/notes/today
          201 http://localhost:5984/~ada/notes/today {"ok":true,"id":"today","rev":"1-0785e9eb543380151003dc452c3a001a"}
        ada: GET /~ada/notes/today
          200 {"_id":"today","_rev":"1-0785e9eb543380151003dc452c3a001a","x":1}
        ada: PUT /~ada/notes/_design/d
          201 http://localhost:5984/~ada/notes/_design%2Fd {"ok":true,"id":"_design/d","rev":"1-967a00dff5e02add41819138abb3284d"}
        ada: GET /~ada/notes/_design%2Fd
          301 http://localhost:5984/~ada/notes/_design/d 
        ada: GET /~ada/notes/_security
          200 {"members":{"names":["ada"],"roles":["_admin"]},"admins":{"names":["ada"],"roles":["_admin"]}}
        ada: GET /~ada/_all_dbs
          200 ["notes"]
        ada: GET /_all_dbs
          403 {"error":"forbidden","reason":"You are not a server admin."}
        ada: PUT /site
          403 {"error":"forbidden","reason":"You are not a server admin."}
        admin: PUT /site
          201 http://localhost:5984/site {"ok":true}
        admin: GET /_all_dbs
          200 ["_users","site"]
        admin: GET /~ada/_all_dbs
          200 ["notes"]
        admin: GET /_all_dbs?endkey=%22~z%22
          200 ["_users","site"]
        admin: GET /~nobody-has-this-name/
          404 {"error":"not_found","reason":"Database does not exist."}
        admin: PUT /~nobody-has-this-name/x
          404 {"error":"not_found","reason":"Database does not exist."}
        ada: GET /~ada/_node/_local
          404 {"error":"not_found","reason":"Database does not exist."}
        ada: DELETE /~ada/notes
          200 {"ok":true}
        ada: GET /~ada/notes
          404 {"error":"not_found","reason":"Database does not exist."}
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn an_account_has_a_uuid_of_its_own_that_stays() {
    let server = server().await;
    let ada = json(&server, ADA, "GET /~ada/").await;
    assert_eq!(ada["couchdb"], "Welcome");
    assert_eq!(json(&server, ADA, "GET /~ada").await["uuid"], ada["uuid"]);
    assert_eq!(json(&server, ADMIN, "GET /~ada/").await["uuid"], ada["uuid"]);
    let bob = json(&server, BOB, "GET /~bob/").await;
    let site = json(&server, ADA, "GET /").await;
    assert_ne!(ada["uuid"], bob["uuid"]);
    assert_ne!(ada["uuid"], site["uuid"]);
}

#[tokio::test]
async fn lists_and_events_tell_of_the_account_alone() {
    let server = server().await;
    for (who, request) in
        [(ADA, "PUT /~ada/a"), (ADA, "PUT /~ada/b"), (BOB, "PUT /~bob/c"), (ADMIN, "PUT /d")]
    {
        assert_eq!(status(&server, who, request).await, 201);
    }
    assert_eq!(json(&server, ADA, "GET /~ada/_all_dbs").await, serde_json::json!(["a", "b"]));
    let descending = json(&server, ADA, "GET /~ada/_all_dbs?descending=true&limit=1").await;
    assert_eq!(descending, serde_json::json!(["b"]));
    let infos = json(&server, ADA, "GET /~ada/_dbs_info").await;
    assert_eq!(infos[0]["info"]["db_name"], "a");
    assert_eq!(infos[1]["key"], "b");
    let request =
        "POST /~ada/_dbs_info\ncontent-type: application/json\n\n{\"keys\":[\"b\",\"c\"]}";
    let infos = json(&server, ADA, request).await;
    assert_eq!(infos[0]["info"]["db_name"], "b");
    assert_eq!(infos[1]["error"], "not_found");
    // Events are written down a little later than what they tell of.
    for (who, path, expected) in [(ADA, "/~ada", "a b"), (ADMIN, "", "_users d")] {
        loop {
            let events = json(&server, who, &format!("GET {path}/_db_updates")).await;
            let rows = events["results"].as_array().unwrap().iter();
            let names: BTreeSet<_> = rows.map(|row| row["db_name"].as_str().unwrap()).collect();
            let names = names.into_iter().collect::<Vec<_>>().join(" ");
            if names == expected {
                break;
            }
            assert!(names.len() < expected.len(), "{names}");
            let seen = events["last_seq"].as_str().unwrap().split('-').next().unwrap();
            server.app.state().site.store.events_after(seen.parse().unwrap()).await;
        }
    }
}

/// A path of a route whose open parts name what is there, if anything is.
fn path(route: &Route, database: &str) -> String {
    let segments = route.path.split('/').map(|segment| match segment {
        "{db}" => database,
        _ if segment.starts_with('{') => "nothing",
        _ => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn for_everybody_else_nothing_is_there() {
    let server = server().await;
    for request in [
        "PUT /~ada/d",
        "PUT /~ada/d/nothing\n\n{}",
        "PUT /~ada/d/_local/nothing\n\n{}",
        "PUT /~ada/d/_design/nothing\n\n{\"views\":{\"nothing\":{\"map\":\"function(d){}\"}}}",
        "PUT /userdb-616461",
    ] {
        assert_eq!(status(&server, ADA, request).await, 201, "{request}");
    }
    let open = ["/_session", "/_up"];
    for route in routes::all().filter(|it| it.is_below_accounts() && !open.contains(&it.path)) {
        let below = |account: &str, database: &str| format!("/~{account}{}", path(route, database));
        // What is there, what is not, what could not be, and whose account is none.
        let mut paths = vec![
            below("ada", "d"),
            below("ada", "e"),
            below("ada", "Notes"),
            below("ada", "_users"),
            below("nobody-has-this-name", "d"),
            below("everyone", "d"),
            below("a:b", "d"),
        ];
        if route.is_of_database() {
            paths.push(path(route, "userdb-616461"));
            paths.push(path(route, "userdb-626164"));
        }
        for operation in route.operations {
            let method = method(operation.verb);
            let body = match operation.verb {
                Verb::Put | Verb::Post => "\ncontent-type: application/json\n\n{}",
                Verb::Get | Verb::Delete | Verb::Copy => "",
            };
            let mut said = Vec::new();
            for path in &paths {
                let request = format!("{method} {path}{body}");
                said.push(written(server.send_as(BOB, &request).await).await);
                let nobody = status(&server, "", &request).await;
                assert_eq!(nobody, 401, "{request}");
            }
            let first = &said[0];
            assert!(first.starts_with("404"), "{method} {}: {first}", paths[0]);
            assert!(first.contains("Database does not exist."), "{method} {}: {first}", paths[0]);
            for (path, said) in paths.iter().zip(&said) {
                assert_eq!(said, first, "{method} {path}");
            }
        }
    }
    // Nothing of all this was done.
    assert_eq!(json(&server, ADA, "GET /~ada/_all_dbs").await, serde_json::json!(["d", "userdb"]));
    assert_eq!(json(&server, ADA, "GET /~ada/d").await["doc_count"], 2);
}

#[tokio::test]
async fn a_member_whom_the_owner_names_comes_into_one_database() {
    let server = server().await;
    let security = r#"{"members":{"names":["bob"]}}"#;
    for request in [
        "PUT /~ada/open".to_owned(),
        "PUT /~ada/closed".to_owned(),
        format!("PUT /~ada/open/_security\n\n{security}"),
    ] {
        assert!(status(&server, ADA, &request).await < 300, "{request}");
    }
    assert_eq!(status(&server, BOB, "GET /~ada/open").await, 200);
    assert_eq!(status(&server, BOB, "PUT /~ada/open/x\n\n{}").await, 201);
    assert_eq!(status(&server, BOB, "PUT /~ada/open/_design/x\n\n{}").await, 403);
    assert_eq!(status(&server, BOB, "DELETE /~ada/open").await, 404);
    assert_eq!(status(&server, BOB, "GET /~ada/closed").await, 404);
    assert_eq!(status(&server, BOB, "GET /~ada/_all_dbs").await, 404);
}

#[tokio::test]
async fn a_rewrite_does_not_leave_the_database() {
    let server = server().await;
    let rules = r#"{"rewrites":[{"from":"up/*","to":"../../*"}]}"#;
    for request in [
        "PUT /~ada/notes".to_owned(),
        "PUT /~ada/other".to_owned(),
        "PUT /~ada/notes/x\n\n{}".to_owned(),
        "PUT /~ada/other/x\n\n{}".to_owned(),
        format!("PUT /~ada/notes/_design/d\n\n{rules}"),
    ] {
        assert_eq!(status(&server, ADA, &request).await, 201, "{request}");
    }
    let up = text(server.send_as(ADA, "GET /~ada/notes/_design/d/_rewrite/up/x").await).await;
    assert!(up.contains("\"_id\":\"x\""), "{up}");
    let out =
        text(server.send_as(ADA, "GET /~ada/notes/_design/d/_rewrite/up/../other/x").await).await;
    assert!(out.contains("insecure_rewrite_rule"), "{out}");
}

#[tokio::test]
async fn any_name_of_a_user_is_one_of_an_account_but_for_words_that_mean_more() {
    let names = ["eve@example.org", "Eve", "åsa", "a/b", "50%", "a b"];
    let users: Vec<_> = names.iter().map(|name| (*name, "[]")).collect();
    let server = TestServer::new().await.with_users(&[]).await;
    for (name, _) in users {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let user = format!(
            "PUT /_users/org.couchdb.user:{encoded}\n\n\
             {{\"type\":\"user\",\"name\":\"{name}\",\"roles\":[],\"password\":\"password\"}}"
        );
        assert_eq!(server.send(&user).await.status(), StatusCode::CREATED, "{name}");
        let who = format!("{name}:password");
        assert_eq!(status(&server, &who, &format!("PUT /~{encoded}/notes")).await, 201, "{name}");
        let all = json(&server, &who, &format!("GET /%7e{encoded}/_all_dbs")).await;
        assert_eq!(all, serde_json::json!(["notes"]), "{name}");
        assert_eq!(status(&server, &who, "GET /~a/notes").await, 404, "{name}");
    }
    for reserved in ["everyone", "_x", "a:b"] {
        assert_eq!(status(&server, ADMIN, &format!("PUT /~{reserved}/x")).await, 404);
    }
}

#[tokio::test]
async fn what_couchdb_calls_a_users_database_is_the_one_of_the_account() {
    let server = server().await;
    assert_eq!(status(&server, ADA, "PUT /userdb-616461").await, 201);
    assert_eq!(status(&server, ADA, "PUT /userdb-616461/x\n\n{}").await, 201);
    assert_eq!(status(&server, ADA, "GET /~ada/userdb/x").await, 200);
    assert_eq!(status(&server, BOB, "GET /userdb-616461/x").await, 404);
    assert_eq!(status(&server, ADMIN, "GET /userdb-616461/x").await, 200);
    assert_eq!(status(&server, ADMIN, "PUT /userdb-zz").await, 201);
    let all = json(&server, ADMIN, "GET /_all_dbs?startkey=%22u%22").await;
    assert_eq!(all, serde_json::json!(["userdb-zz"]));
    assert_eq!(status(&server, ADA, "DELETE /userdb-616461").await, 200);
}

#[tokio::test]
async fn a_full_account_is_told_why_it_gets_no_more() {
    let server = server().await;
    let quota = |databases: &str, bytes: &str| {
        format!("PUT /_accounts/ada\n\n{{\"databases_max\":{databases},\"bytes_max\":{bytes}}}")
    };
    assert_eq!(status(&server, ADMIN, &quota("1", "null")).await, 200);
    assert_eq!(status(&server, ADA, "PUT /~ada/a").await, 201);
    let refused = story(&server, &[(ADA, "PUT /~ada/b"), (ADA, "PUT /~ada/a")]).await;
    expect![[r#"
        ada: PUT /~ada/b
          403 {"error":"forbidden","reason":"the account has as many databases as it may have: 1"}
        ada: PUT /~ada/a
          412 {"error":"file_exists","reason":"The database could not be created, the file already exists."}
    "#]].assert_eq(&refused);
    assert_eq!(status(&server, ADA, "PUT /~ada/a/x\n\n{}").await, 201);
    assert_eq!(status(&server, ADMIN, &quota("1", "10")).await, 200);
    server.clock.advance(Duration::from_secs(11));
    let reply = server.send_as(ADA, "PUT /~ada/a/y\n\n{}").await;
    assert_eq!(reply.status(), StatusCode::INSUFFICIENT_STORAGE);
    let reason = text(reply).await;
    assert!(reason.contains("and may keep 10; delete something first"), "{reason}");
    let document = json(&server, ADA, "GET /~ada/a/x").await;
    let rev = document["_rev"].as_str().unwrap();
    assert_eq!(status(&server, ADA, &format!("DELETE /~ada/a/x?rev={rev}")).await, 200);
    let shown = json(&server, ADA, "GET /_accounts/ada").await;
    assert_eq!(shown["databases"], 1);
    assert_eq!(shown["bytes_max"], 10);
    assert_eq!(status(&server, BOB, "GET /_accounts/ada").await, 404);
    assert_eq!(status(&server, ADA, &quota("9", "null")).await, 403);
}

/// What the account keeps, as of now.
async fn bytes(server: &TestServer, who: &str) -> u64 {
    server.clock.advance(Duration::from_secs(11));
    let name = who.split(':').next().unwrap();
    json(server, who, &format!("GET /_accounts/{name}")).await["bytes"].as_u64().unwrap()
}

#[tokio::test]
async fn documents_their_history_indexes_and_checkpoints_count() {
    let server = server().await;
    assert_eq!(bytes(&server, ADA).await, 0);
    let text = "x".repeat(5_000);
    let put = |path: &str, rev: &str| format!("PUT /~ada/a/{path}{rev}\n\n{{\"text\":\"{text}\"}}");
    assert_eq!(status(&server, ADA, "PUT /~ada/a").await, 201);
    let mut before = bytes(&server, ADA).await;
    let mut grown = async |request: &str| {
        let reply = server.send_as(ADA, request).await;
        assert!(reply.status().is_success(), "{request} {}", crate::support::text(reply).await);
        let now = bytes(&server, ADA).await;
        let grown = now.checked_signed_diff(before).unwrap();
        before = now;
        grown
    };
    assert!((5_000..6_000).contains(&grown(&put("x", "")).await), "a document");
    let rev = json(&server, ADA, "GET /~ada/a/x").await["_rev"].as_str().unwrap().to_owned();
    let history = grown(&put("x", &format!("?rev={rev}"))).await;
    assert!((5_000..6_000).contains(&history), "a revision that can still be read: {history}");
    assert!((5_000..6_000).contains(&grown(&put("_local/x", "")).await), "a local document");
    let index = "POST /~ada/a/_index\ncontent-type: application/json\n\n\
                 {\"index\":{\"fields\":[\"text\"]},\"ddoc\":\"d\"}";
    grown(index).await;
    let find = "POST /~ada/a/_find\ncontent-type: application/json\n\n\
                {\"selector\":{\"text\":{\"$gt\":null}}}";
    let index = grown(find).await;
    assert!((5_000..20_000).contains(&index), "an index: {index}");
    assert!(grown("DELETE /~ada/a/_local/x").await < -5_000);
    assert!(grown("DELETE /~ada/a").await < -10_000);
    assert_eq!(bytes(&server, ADA).await, 0);
}

/// Puts 70,000 bytes, the same for the same seed.
async fn attach(server: &TestServer, who: &str, path: &str, seed: u8) -> String {
    let name = who.split(':').next().unwrap();
    let content: String = (0..70_000_u32)
        .map(|n| {
            char::from(
                b'!' + u8::try_from((n % 1_009 * (n % 997) + n * u32::from(seed)) % 90).unwrap(),
            )
        })
        .collect();
    let kind = "content-type: application/octet-stream";
    let put = format!("PUT /~{name}/{path}/file\n{kind}\n\n{content}");
    written(server.send_as(who, &put).await).await.replace(name, "…")
}

#[tokio::test]
async fn an_attachment_counts_once_in_an_account() {
    let server = server().await;
    for database in ["a", "b"] {
        assert_eq!(status(&server, ADA, &format!("PUT /~ada/{database}")).await, 201);
    }
    let empty = bytes(&server, ADA).await;
    attach(&server, ADA, "a/x", 1).await;
    let one = bytes(&server, ADA).await;
    assert!((70_000..72_000).contains(&(one - empty)), "{empty} {one}");
    attach(&server, ADA, "a/y", 1).await;
    attach(&server, ADA, "b/x", 1).await;
    let same = bytes(&server, ADA).await;
    assert!(same - one < 3_000, "{one} {same}");
    attach(&server, ADA, "b/y", 2).await;
    let two = bytes(&server, ADA).await;
    assert!((70_000..72_000).contains(&(two - same)), "{same} {two}");
    assert_eq!(status(&server, ADA, "DELETE /~ada/a").await, 200);
    let left = bytes(&server, ADA).await;
    assert!((140_000..142_000).contains(&left), "what another database has stays: {left}");
}

#[tokio::test]
async fn nothing_tells_whether_others_have_an_attachment() {
    let names = ["ada", "bob", "eve"].map(|name| (name, "[]"));
    let server = TestServer::new().await.with_users(&names).await;
    let mut told = Vec::new();
    for (who, seed) in [(ADA, 1), (BOB, 1), ("eve:password", 2)] {
        let name = who.split(':').next().unwrap();
        assert_eq!(status(&server, who, &format!("PUT /~{name}/d")).await, 201);
        // By its digest alone nobody gets at what others have.
        let known = json(&server, ADA, "GET /~ada/d/x").await["_attachments"]["file"].to_string();
        let known = if known == "null" { String::new() } else { known };
        for stub in [r#"{"stub":true}"#, &known].into_iter().filter(|it| !it.is_empty()) {
            let put = format!("PUT /~{name}/d/x\n\n{{\"_attachments\":{{\"file\":{stub}}}}}");
            assert_eq!(status(&server, who, &put).await, 412, "{who} {stub}");
        }
        let mut said = attach(&server, who, "d/x", seed).await;
        write!(said, "\n{}", bytes(&server, who).await).unwrap();
        let info = json(&server, who, &format!("GET /~{name}/d")).await;
        write!(said, "\n{}", info["sizes"]).unwrap();
        told.push(said);
    }
    // Who brings what is there already, and who brings something new: revisions alone differ, as contents do.
    let [_, same, other] = &told[..] else { unreachable!() };
    let without_revision = |said: &str| {
        let (before, after) = said.split_once("\"rev\":\"1-").unwrap();
        format!("{before}{}", &after[32..])
    };
    assert_eq!(without_revision(same), without_revision(other));
}

#[tokio::test]
async fn a_full_account_can_be_read_synced_from_and_emptied() {
    let server = server().await;
    assert_eq!(status(&server, ADA, "PUT /~ada/a").await, 201);
    assert_eq!(status(&server, ADA, "PUT /~ada/a/x\n\n{\"n\":1}").await, 201);
    let quota = "PUT /_accounts/ada\n\n{\"databases_max\":null,\"bytes_max\":10}";
    assert_eq!(status(&server, ADMIN, quota).await, 200);
    let kind = "content-type: application/json\n\n";
    let rev = json(&server, ADA, "GET /~ada/a/x").await["_rev"].as_str().unwrap().to_owned();
    let large = "x".repeat(2 << 20);
    let told = story(
        &server,
        &[
            (ADA, "PUT /~ada/a/y\n\n{}"),
            (ADA, "PUT /~ada/a/y?batch=ok\n\n{}"),
            (ADA, &format!("POST /~ada/a/_bulk_docs\n{kind}{{\"docs\":[{{\"_id\":\"y\"}}]}}")),
            (ADA, &format!("PUT /~ada/a/y/file\n{kind}abc")),
            (ADA, &format!("PUT /~ada/a/y/file?large\n{kind}{large}")),
            (ADA, &format!("PUT /~ada/a/_local/y\n\n{{\"text\":\"{large}\"}}")),
            (ADA, &format!("POST /~ada/a/_index\n{kind}{{\"index\":{{\"fields\":[\"n\"]}},\"ddoc\":\"d\",\"name\":\"n\"}}")),
            (ADA, "PUT /~ada/a/_local/checkpoint\n\n{\"last_seq\":1}"),
            (ADA, &format!("POST /~ada/a/_revs_diff\n{kind}{{\"x\":[\"{rev}\"]}}")),
            (ADA, &format!("POST /~ada/a/_ensure_full_commit\n{kind}{{}}")),
            (
                ADA,
                &format!(
                    "POST /~ada/a/_bulk_docs\n{kind}{{\"docs\":[\
                     {{\"_id\":\"x\",\"_rev\":\"{rev}\",\"_deleted\":true}}]}}"
                ),
            ),
        ],
    )
    .await;
    let told = regex::Regex::new("keeps [0-9]+ bytes").unwrap().replace_all(&told, "keeps … bytes");
    expect![[r#"
        ada: PUT /~ada/a/y
          507 {"error":"insufficient_storage","reason":"the account keeps … bytes, and may keep 10; delete something first"}
        ada: PUT /~ada/a/y?batch=ok
          507 {"error":"insufficient_storage","reason":"the account keeps … bytes, and may keep 10; delete something first"}
        ada: POST /~ada/a/_bulk_docs
          507 {"error":"insufficient_storage","reason":"the account keeps … bytes, and may keep 10; delete something first"}
        ada: PUT /~ada/a/y/file
          507 {"error":"insufficient_storage","reason":"the account keeps … bytes, and may keep 10; delete something first"}
        ada: PUT /~ada/a/y/file?large
          507 {"error":"insufficient_storage","reason":"the account keeps … bytes, and may keep 10; delete something first"}
        ada: PUT /~ada/a/_local/y
          507 {"error":"insufficient_storage","reason":"the account keeps … bytes, and may keep 10; delete something first"}
        ada: POST /~ada/a/_index
          200 {"result":"created","id":"_design/d","name":"n"}
        ada: PUT /~ada/a/_local/checkpoint
          201 http://localhost:5984/~ada/a/_local%2Fcheckpoint {"ok":true,"id":"_local/checkpoint","rev":"0-1"}
        ada: POST /~ada/a/_revs_diff
          200 {}
        ada: POST /~ada/a/_ensure_full_commit
          201 {"ok":true,"instance_start_time":"1795230346"}
        ada: POST /~ada/a/_bulk_docs
          201 [{"ok":true,"id":"x","rev":"2-bfa217b130671a8782e04560da45345b"}]
    "#]].assert_eq(&told);
}

#[tokio::test]
async fn a_deleted_account_can_be_taken_back_until_its_time_has_come() {
    let server = server().await;
    let accounts = &server.app.state().site.accounts;
    assert_eq!(status(&server, ADA, "PUT /~ada/notes").await, 201);
    assert_eq!(status(&server, BOB, "DELETE /_accounts/ada").await, 404);
    assert_eq!(status(&server, ADMIN, "DELETE /_accounts/ada").await, 202);
    let reply = server.send_as(ADA, "GET /~ada/notes").await;
    assert_eq!(reply.status(), StatusCode::FORBIDDEN);
    assert!(text(reply).await.contains("the account is being deleted"));
    server.clock.advance(Duration::from_secs(29 * 24 * 3_600));
    assert_eq!(accounts.carry_out_deletions().await.unwrap(), 0);
    assert_eq!(status(&server, ADMIN, "POST /_accounts/ada/_restore").await, 200);
    assert_eq!(status(&server, ADA, "GET /~ada/notes").await, 200);
    server.clock.advance(Duration::from_secs(2 * 24 * 3_600));
    assert_eq!(accounts.carry_out_deletions().await.unwrap(), 0);
    assert_eq!(status(&server, ADA, "GET /~ada/notes").await, 200);

    assert_eq!(status(&server, ADA, "DELETE /_accounts/ada").await, 202);
    server.clock.advance(Duration::from_secs(31 * 24 * 3_600));
    assert_eq!(accounts.carry_out_deletions().await.unwrap(), 1);
    assert_eq!(status(&server, ADA, "GET /~ada/notes").await, 401);
    assert_eq!(status(&server, ADMIN, "GET /~ada/notes").await, 404);
    assert_eq!(status(&server, ADMIN, "GET /_users/org.couchdb.user:ada").await, 404);
}

#[tokio::test]
async fn nobody_signs_up_into_the_databases_of_somebody_who_was_here() {
    let server = server().await;
    assert_eq!(status(&server, ADA, "PUT /~ada/notes").await, 201);
    let user = json(&server, ADMIN, "GET /_users/org.couchdb.user:ada").await;
    let rev = user["_rev"].as_str().unwrap();
    let delete = format!("DELETE /_users/org.couchdb.user:ada?rev={rev}");
    assert_eq!(status(&server, ADMIN, &delete).await, 200);
    let setting = "PUT /_node/_local/_config/chttpd_auth/sign_up\n\n\"open\"";
    assert_eq!(status(&server, ADMIN, setting).await, 200);
    let sign_up = "PUT /_users/org.couchdb.user:ada\n\n\
                   {\"type\":\"user\",\"name\":\"ada\",\"roles\":[],\"password\":\"strangers\"}";
    let refused = text(server.send_as("", sign_up).await).await;
    assert!(refused.contains("This name is not free."), "{refused}");
    server.clock.advance(Duration::from_secs(31 * 24 * 3_600));
    let gone = server.app.state().site.accounts.carry_out_deletions().await.unwrap();
    assert_eq!(gone, 1);
    assert_eq!(status(&server, "", sign_up).await, 201);
    assert_eq!(status(&server, "ada:strangers", "GET /~ada/notes").await, 404);
}
