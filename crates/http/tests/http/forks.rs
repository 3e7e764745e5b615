//! New databases that are what another one was.

use std::sync::Arc;

use expect_test::expect;
use serde_json::json;
use settle_engine::{
    faulty::{Fault, FaultyEngine, Kind},
    memory::MemoryEngine,
};

use crate::{
    asked::{ask, body, check_on},
    history::some,
    support::TestServer,
};

#[tokio::test]
async fn a_fork_is_what_the_database_was() {
    let server = some().await;
    let attached = "PUT /d/e/x.txt\ncontent-type: text/plain\n\nhello";
    assert_eq!(server.send(attached).await.status(), 201);
    check_on(
        &server,
        &[
            r#"POST /d/_fork {"name":"f","at":"monday"}"#,
            "GET /f/_all_docs?include_docs=true",
            r#"POST /d/_fork {"name":"f"}"#,
            r#"POST /d/_fork {"name":"g/h"}"#,
            "GET /g%2Fh/_all_docs",
            "GET /g%2Fh/e/x.txt",
            "GET /g%2Fh/_local_docs?sorted=false",
            r#"POST /d/_fork {"name":"Bad"}"#,
        ],
        expect![[r#"
            > POST /d/_fork {"name":"f","at":"monday"}
            201 Created
            location: http://localhost:5984/f
            {"ok":true,"seq":"2-t"}

            > GET /f/_all_docs?include_docs=true
            200 OK
            {"total_rows":2,"offset":0,"rows":[
            {"id":"a","key":"a","value":{"rev":"1-731bef401491606a3b246ed178e697c1"},"doc":{"_id":"a","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}},
            {"id":"b","key":"b","value":{"rev":"1-731bef401491606a3b246ed178e697c1"},"doc":{"_id":"b","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}}
            ]}

            > POST /d/_fork {"name":"f"}
            412 Precondition Failed
            {"error":"file_exists","reason":"there is a database of this name already"}

            > POST /d/_fork {"name":"g/h"}
            201 Created
            location: http://localhost:5984/g%2Fh
            {"ok":true,"seq":"6-t"}

            > GET /g%2Fh/_all_docs
            200 OK
            {"total_rows":3,"offset":0,"rows":[
            {"id":"a","key":"a","value":{"rev":"2-c7b1fa7ae4e5ec669a544d4ef6eee928"}},
            {"id":"c","key":"c","value":{"rev":"1-731bef401491606a3b246ed178e697c1"}},
            {"id":"e","key":"e","value":{"rev":"1-1137874efcc53301f4df14b196f2b085"}}
            ]}

            > GET /g%2Fh/e/x.txt
            200 OK
            etag: "iMaiC8wqiFlD2NjLTemvCQ=="
            content-type: text/plain
            hello

            > GET /g%2Fh/_local_docs?sorted=false
            200 OK
            {"rows":[

            ]}

            > POST /d/_fork {"name":"Bad"}
            400 Bad Request
            {"error":"illegal_database_name","reason":"Name: 'Bad'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter."}

        "#]],
    )
    .await;
}

/// Forks, and crashes at the nth commit of that; false if there is no such commit. `at` is a moment, or none; then
/// somebody writes before it is asked for again.
async fn fork_crashed(nth: u64, applied: bool, at: Option<&str>) -> bool {
    let faulty = Arc::new(FaultyEngine::new(Arc::new(MemoryEngine::new())));
    let server = TestServer::on(faulty.clone(), 1).await;
    for request in ["PUT /d", "PUT /d/a\n\n{\"n\":1}", "PUT /d/b\n\n{}", "PUT /d/_snapshots/monday"]
    {
        assert_eq!(server.send(request).await.status(), 201, "{request}");
    }
    let fork = format!("POST /d/_fork {}", json!({ "name": "f", "at": at }));
    let fork = fork.as_str();
    faulty.fail_at(Kind::Commit, faulty.counts().commits + nth, Fault::Crash { applied });
    let made = ask(&server, fork).await.status() == 201;
    drop(server);
    let server = TestServer::on(faulty.inner().clone(), 2).await;
    if at.is_none() {
        assert_eq!(ask(&server, "PUT /d/c {}").await.status(), 201);
    }
    let again = ask(&server, fork).await.status();
    // One that is whole, although nobody was told, is a database as any other.
    assert!(again == 201 || again == 412, "{again} after {nth} commits");
    let list = "GET /f/_all_docs?include_docs=true";
    let of = |text: String| text.split_once("\"rows\":").unwrap().1.to_owned();
    let found = of(body(ask(&server, list).await).await);
    let at = async |at: &str| {
        let list = format!("GET /d/_all_docs?include_docs=true&at={at}");
        of(body(ask(&server, &list).await).await)
    };
    // It may not have begun.
    assert!(found == at("monday").await || found == at("now").await, "{found}");
    !made
}

#[tokio::test]
async fn a_fork_that_was_cut_short_is_gone_on_with_wherever_that_was() {
    for (applied, at) in [(true, Some("monday")), (false, Some("monday")), (true, None)] {
        let mut nth = 0;
        while fork_crashed(nth, applied, at).await {
            nth += 1;
        }
        assert!(nth > 4, "there are several commits");
    }
}
