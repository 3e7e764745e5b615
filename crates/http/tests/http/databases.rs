//! Endpoints over all databases.

use expect_test::expect;
use http::{StatusCode, header};

use crate::support::{TestServer, text};

async fn with_databases(names: &[&str]) -> TestServer {
    let server = TestServer::new().await;
    for name in names {
        let reply = server.send(&format!("PUT /{name}")).await;
        assert_eq!(reply.status(), StatusCode::CREATED, "{name}");
    }
    server
}

#[tokio::test]
async fn names_come_in_order_within_the_range_that_was_asked_for() {
    let server = with_databases(&["b", "a", "c%2Fd", "d", "_users"]).await;
    let names = async |query: &str| {
        let names = text(server.send(&format!("GET /_all_dbs?{query}")).await).await;
        format!("{query}: {names}")
    };
    let all = [
        names("").await,
        names("startkey=%22b%22&endkey=%22d%22").await,
        names("startkey=%22b%22&endkey=%22d%22&inclusive_end=false").await,
        names("descending=true&startkey=%22d%22&limit=2").await,
        names("skip=1&limit=1").await,
        names("key=%22a%22").await,
        names("limit=0").await,
        names("startkey=%7B%7D").await,
        names("endkey=null").await,
    ];
    expect![[r#"
        : ["_users","a","b","c/d","d"]
        startkey=%22b%22&endkey=%22d%22: ["b","c/d","d"]
        startkey=%22b%22&endkey=%22d%22&inclusive_end=false: ["b","c/d"]
        descending=true&startkey=%22d%22&limit=2: ["d","c/d"]
        skip=1&limit=1: ["a"]
        key=%22a%22: ["a"]
        limit=0: []
        startkey=%7B%7D: []
        endkey=null: []
    "#]]
    .assert_eq(&all.concat());
}

#[tokio::test]
async fn a_client_that_knows_all_names_is_told_so() {
    let server = with_databases(&["a"]).await;
    let etag = server.send("GET /_all_dbs").await.headers()[header::ETAG].clone();
    let again = format!("GET /_all_dbs\nIf-None-Match: \"x\", W/{}", etag.to_str().unwrap());
    assert_eq!(server.send(&again).await.status(), StatusCode::NOT_MODIFIED);
    server.send("PUT /b").await;
    assert_eq!(server.send(&again).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn information_comes_for_a_range_and_for_names() {
    let server = with_databases(&["a", "b"]).await;
    server.send("PUT /a/doc\n\n{}").await;
    let all = text(server.send("GET /_dbs_info").await).await;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&all).unwrap();
    let counts: Vec<_> = rows.iter().map(|row| (&row["key"], &row["info"]["doc_count"])).collect();
    assert_eq!(format!("{counts:?}"), r#"[(String("a"), Number(1)), (String("b"), Number(0))]"#);
    assert_eq!(text(server.send("GET /_dbs_info?startkey=%22x%22").await).await, "[]\n");

    let post = |body: &str| format!("POST /_dbs_info\nContent-Type: application/json\n\n{body}");
    let some = text(server.send(&post("{\"keys\":[\"b\",\"x\",\"B\"]}")).await).await;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&some).unwrap();
    assert_eq!(rows[0]["info"]["db_name"], "b");
    assert_eq!(rows[1], serde_json::json!({"key": "x", "error": "not_found"}));
    assert_eq!(rows[2], serde_json::json!({"key": "B", "error": "not_found"}));
    let many: Vec<_> = (0..101).map(|n| format!("d{n}")).collect();
    let many = serde_json::json!({ "keys": many }).to_string();
    server
        .check(
            &post(&many),
            expect![[r#"
        400 Bad Request
        content-type: application/json

        {"error":"bad_request","reason":"too_many_keys"}
    "#]],
        )
        .await;
    server
        .check(
            &post("{}"),
            expect![[r#"
        400 Bad Request
        content-type: application/json

        {"error":"bad_request","reason":"`keys` member must exist."}
    "#]],
        )
        .await;
    server
        .check(
            "POST /_dbs_info\n\n{}",
            expect![[r#"
        415 Unsupported Media Type
        content-type: application/json

        {"error":"bad_content_type","reason":"Content-Type must be application/json"}
    "#]],
        )
        .await;
}

#[tokio::test]
async fn what_happened_to_databases_is_told_from_any_point_on() {
    let server = with_databases(&["a", "b"]).await;
    // Events are written a moment after they happen, what happens to one database in between as one;
    // a feed waits for them.
    let feed = async |query: &str| {
        let feed = text(server.send(&format!("GET /_db_updates?{query}")).await).await;
        let rows = feed.lines().filter(|line| line.contains("db_name"));
        let rows = rows.map(|row| serde_json::from_str(row).unwrap());
        rows.collect::<Vec<serde_json::Value>>()
    };
    let mut rows = feed("feed=continuous&limit=2").await;
    server.send("PUT /c").await;
    let since = rows.last().unwrap()["seq"].as_str().unwrap();
    rows.extend(feed(&format!("feed=longpoll&since={since}")).await);
    let mut told: Vec<_> = rows.iter().map(what).collect();
    told.sort();
    assert_eq!(told, ["created a", "created b", "created c"]);
    let [first, .., last] = rows.as_slice() else { panic!("{rows:?}") };

    let tell = async |query: &str| {
        let reply = text(server.send(&format!("GET /_db_updates?{query}")).await).await;
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
        assert!(reply["last_seq"].is_string());
        reply["results"].as_array().unwrap().iter().map(what).collect::<Vec<_>>()
    };
    let after_first = format!("since={}", first["seq"].as_str().unwrap());
    assert_eq!(tell(&after_first).await, [what(&rows[1]), what(last)]);
    assert_eq!(tell("limit=1").await, [what(first)]);
    assert_eq!(tell("descending=true&limit=1").await, [what(last)]);
    assert_eq!(tell("since=now").await, [] as [String; 0]);
    // Counted by another site, so it may be anywhere: from the start.
    assert_eq!(tell("since=2-00112233aabbccdd").await.len(), 3);

    let waiting = server.send("GET /_db_updates?feed=longpoll&since=now").await;
    let (reply, _) = tokio::join!(text(waiting), server.send("DELETE /a"));
    assert!(reply.contains("\"db_name\":\"a\",\"type\":\"deleted\""), "{reply}");
}

fn what(row: &serde_json::Value) -> String {
    format!("{} {}", row["type"].as_str().unwrap(), row["db_name"].as_str().unwrap())
}

#[tokio::test]
async fn a_compaction_is_a_task_until_it_ends() {
    let server = with_databases(&["d"]).await;
    server.send("PUT /d/a\n\n{}").await;
    let request = "POST /d/_compact\ncontent-type: application/json";
    assert_eq!(server.send(request).await.status(), StatusCode::ACCEPTED);
    let task = "[{\"node\":\"settle@127.0.0.1\",\"type\":\"database_compaction\",\"database\":\"d\",\
                \"started_on\":1795230346,\"updated_on\":1795230346}]\n";
    assert_eq!(text(server.send("GET /_active_tasks").await).await, task);
    while text(server.send("GET /_active_tasks").await).await != "[]\n" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn events_that_are_told_backwards_are_all_of_them() {
    let server = TestServer::new().await;
    for number in 0..501 {
        server.send(&format!("PUT /d{number}")).await;
    }
    let told = async |query: &str| {
        let reply = text(server.send(&format!("GET /_db_updates?{query}")).await).await;
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
        let names = reply["results"].as_array().unwrap().iter();
        names.map(|row| row["db_name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    while told("").await.len() < 501 {
        tokio::task::yield_now().await;
    }
    let mut forwards = told("").await;
    forwards.reverse();
    assert_eq!(told("descending=true").await, forwards);
    assert_eq!(told("descending=true&limit=2").await, forwards[..2]);
}
