//! What a database was: snapshots, reads as of a moment, going back, forks.

use expect_test::expect;

use crate::{
    asked::{ask, body, check, check_on, member},
    story::begin,
    support::TestServer,
};

/// `a` was 1 and is 2, `b` was there and is deleted, `c` is new; `monday` is from before.
async fn some() -> TestServer {
    let server = begin().await;
    let first = member(&server, r#"PUT /d/a {"n":1}"#, "rev").await;
    let gone = member(&server, r#"PUT /d/b {"n":1}"#, "rev").await;
    assert_eq!(ask(&server, "PUT /d/_snapshots/monday").await.status(), 201);
    server.clock.advance(std::time::Duration::from_secs(60));
    let second = format!(r#"PUT /d/a {{"_rev":{first},"n":2}}"#);
    assert_eq!(ask(&server, &second).await.status(), 201);
    let rev = gone.as_str().unwrap();
    assert_eq!(ask(&server, &format!("DELETE /d/b?rev={rev}")).await.status(), 200);
    assert_eq!(ask(&server, r#"PUT /d/c {"n":1}"#).await.status(), 201);
    server
}

#[tokio::test]
async fn snapshots_are_taken_listed_and_deleted() {
    check(
        &[
            "GET /d/_snapshots",
            r#"PUT /d/a {"n":1}"#,
            "PUT /d/_snapshots/monday",
            "PUT /d/_snapshots/monday",
            "PUT /d/_snapshots/empty?at=0",
            "PUT /d/_snapshots/0no",
            "PUT /d/_snapshots/late?at=7",
            "GET /d/_snapshots",
            "GET /d/_snapshots/monday",
            "GET /d/_snapshots/tuesday",
            "DELETE /d/_snapshots/monday",
            "DELETE /d/_snapshots/monday",
            "GET /d/a?at=monday",
            "GET /d/a?at=empty",
            "GET /other/_snapshots",
        ],
        expect![[""]],
    )
    .await;
}

#[tokio::test]
async fn documents_are_read_as_they_were() {
    check_on(
        &some().await,
        &[
            "GET /d/a?at=monday",
            "GET /d/a?at=1&conflicts=true&local_seq=true",
            "GET /d/a?at=now",
            "GET /d/b?at=monday",
            "GET /d/b",
            "GET /d/c?at=monday",
            "GET /d/a?at=tuesday",
            "GET /d/a?at=99",
            "GET /d/a?at=never%20ever",
            "GET /d/a?at=monday&revs=true",
            "GET /d/_all_docs?at=monday&include_docs=true",
            "GET /d/_all_docs?at=monday&descending=true&limit=1",
            "GET /d/_all_docs?at=monday&skip=1&update_seq=true&sorted=false",
            r#"POST /d/_all_docs?at=monday {"keys":["c","b","a"]}"#,
            r#"POST /d/_all_docs/queries {"queries":[{"at":"monday","key":"b"},{"key":"b"}]}"#,
            "GET /d/_local_docs?at=monday",
            "GET /d/_changes?at=monday&include_docs=true",
            "GET /d/_changes?at=3&limit=1",
            "GET /d/_changes?at=3&since=2",
            "GET /d/_changes?at=3&since=4",
            "GET /d/_changes?at=monday&descending=true",
            "GET /d/_changes?at=monday&feed=longpoll",
            r#"POST /d/_find?at=monday {"selector":{"n":1},"fields":["_id","n"]}"#,
            r#"POST /d/_find?at=now {"selector":{"n":1},"fields":["_id","n"]}"#,
        ],
        expect![[""]],
    )
    .await;
}

#[tokio::test]
async fn a_time_is_a_moment_as_well() {
    let server = some().await;
    let time = |seconds| {
        let now = settle_model::time::Clock::now(&*server.clock);
        settle_model::date::iso(now.minus(std::time::Duration::from_secs(seconds)))
    };
    let of = async |seconds| {
        body(ask(&server, &format!("GET /d/_all_docs?at={}&sorted=false", time(seconds))).await)
            .await
    };
    assert_eq!(of(0).await.matches("\"id\"").count(), 2);
    assert!(of(59).await.contains("\"b\""));
    assert_eq!(of(100).await.matches("\"id\"").count(), 0, "there was nothing yet");
}

#[tokio::test]
async fn what_nothing_keeps_is_said_to_be_gone() {
    let server = some().await;
    assert_eq!(ask(&server, "DELETE /d/_snapshots/monday").await.status(), 200);
    let compact = "POST /d/_compact\ncontent-type: application/json\n\n{}";
    assert_eq!(server.send(compact).await.status(), 202);
    let mut status = 200;
    // It is done in the background.
    while status == 200 {
        tokio::task::yield_now().await;
        status = ask(&server, "GET /d/a?at=2").await.status().as_u16();
    }
    check_on(
        &server,
        &[
            "GET /d/a?at=2",
            "GET /d/_all_docs?at=2",
            "GET /d/_changes?at=2",
            "PUT /d/_snapshots/x?at=2",
        ],
        expect![[""]],
    )
    .await;
}

#[tokio::test]
async fn versions_and_differences_are_listed() {
    check_on(
        &some().await,
        &[
            "GET /d/a/_history",
            "GET /d/a/_history?limit=1",
            "GET /d/a/_history?before=2",
            "GET /d/b/_history",
            "GET /d/nothing/_history",
            "GET /d/a/_history?limit=0",
            "GET /d/_difference?from=monday",
            "GET /d/_difference?from=monday&limit=1",
            "GET /d/_difference?from=monday&since=4",
            "GET /d/_difference?from=0&to=monday",
            "GET /d/_difference?from=now&to=monday",
            "GET /d/_difference",
        ],
        expect![[""]],
    )
    .await;
}

#[tokio::test]
async fn going_back_writes_new_revisions_and_leaves_out_what_is_only_appended_to() {
    let server = some().await;
    assert_eq!(ask(&server, r#"PUT /d/log {"kind":"audit"}"#).await.status(), 201);
    check_on(
        &server,
        &[
            r#"PUT /d/_history {"window_seconds":3600,"append_only":{"kind":"audit"}}"#,
            "GET /d/_history",
            r#"PUT /d/_history {"append_only":[]}"#,
            r#"PUT /d/_history {"window":1}"#,
            r#"POST /d/_revert {"to":"monday","preview":true}"#,
            r#"POST /d/_revert {"to":"monday","ids":["a"],"snapshot":"before-a"}"#,
            "GET /d/a",
            "GET /d/c",
            r#"POST /d/_revert {"to":"monday","snapshot":"tuesday"}"#,
            "GET /d/_all_docs?include_docs=true",
            r#"POST /d/_revert {"to":"tuesday","selector":{"n":2},"preview":true}"#,
            r#"POST /d/_revert {"to":"before-a","snapshot":"wednesday"}"#,
            "GET /d/_all_docs?include_docs=true",
            r#"POST /d/_revert {"to":"nothing"}"#,
            r#"POST /d/_revert {"to":"monday","snapshot":"tuesday"}"#,
            r#"POST /d/_revert {"too":"monday"}"#,
        ],
        expect![[""]],
    )
    .await;
}

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
        expect![[""]],
    )
    .await;
}

#[tokio::test]
async fn attachments_come_back_and_are_read_as_they_were() {
    let server = begin().await;
    let attached = "PUT /d/a/x.txt\ncontent-type: text/plain\n\nhello";
    assert_eq!(server.send(attached).await.status(), 201);
    let rev = member(&server, "GET /d/a", "_rev").await;
    check_on(
        &server,
        &[
            "PUT /d/_snapshots/monday",
            &format!(r#"PUT /d/a {{"_rev":{rev},"n":2}}"#),
            "GET /d/a/x.txt",
            "GET /d/a/x.txt?at=monday",
            "GET /d/a?at=monday&attachments=true",
            r#"POST /d/_revert {"to":"monday","snapshot":"tuesday"}"#,
            "GET /d/a/x.txt",
        ],
        expect![[""]],
    )
    .await;
}

#[tokio::test]
async fn views_have_no_past() {
    let server = begin().await;
    let design = r#"PUT /d/_design/v {"views":{"v":{"map":"function (doc) { emit(1) }"}}}"#;
    assert_eq!(ask(&server, design).await.status(), 201);
    check_on(&server, &["GET /d/_design/v/_view/v?at=now"], expect![[""]]).await;
}
