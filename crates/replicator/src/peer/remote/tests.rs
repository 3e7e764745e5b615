//! Peers of every kind: good ones, which are real servers, and bad ones, which follow a script.

mod script;
mod settle;

use std::{
    fmt::Write as _,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use expect_test::{Expect, expect};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use settle_model::time::{ManualClock, SeededEntropy, Timestamp};
use settle_sync::{
    job::Endpoint,
    replication::{Side, Want},
    seq::Seq,
    wire::parse_document,
};

use self::script::{Line, Script, begun, free_port, reply};
use super::*;
use crate::limits::UPLOAD_PIECE_BYTES;

fn clients(more_roots: Vec<CertificateDer<'static>>) -> Clients {
    let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(784_111_777)));
    Clients::new(clock, Arc::new(SeededEntropy::new(1)), more_roots)
}

/// The source of a job.
fn peer_of(clients: &Clients, job: &str) -> Result<RemotePeer, Failure> {
    let job = Arc::new(Job::parse(job.as_bytes()).unwrap());
    let Endpoint::Remote(remote) = &job.source else { panic!("the source is here") };
    RemotePeer::new(clients, remote, &job, LocalId::from_name("0a").unwrap())
}

fn peer_at(script: &Script) -> RemotePeer {
    let job = format!(r#"{{"source":"http://{}/db","target":"here"}}"#, script.address);
    peer_of(&clients(Vec::new()), &job).unwrap()
}

async fn ask(peer: &RemotePeer, request: &Request) -> Result<Reply, Failure> {
    peer.ask(request, &|| {}).await
}

fn shown(answer: &Result<Reply, Failure>) -> String {
    match answer {
        Ok(Reply::Fetched(results)) => {
            let one = |result: &Fetched| match result {
                Fetched::Documents(documents) => {
                    documents.iter().map(|it| String::from_utf8_lossy(&it.json)).collect()
                }
                Fetched::Missing | Fetched::Failed { .. } | Fetched::TooLarge => {
                    format!("{result:?}")
                }
            };
            format!("Fetched {}", results.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        Ok(reply) => format!("{reply:?}"),
        Err(failure) => format!("{:?}: {}", failure.kind, failure.reason),
    }
}

fn wants(ids: &[&str]) -> Vec<Want> {
    ids.iter().map(|id| Want::new((*id).into(), "1-a".parse().unwrap(), [].into())).collect()
}

fn fetch(ids: &[&str], bulk: bool, bytes_max: usize) -> Request {
    Request::Fetch(Fetch { wants: wants(ids), bulk, attachments: false, bytes_max })
}

fn changes() -> Request {
    Request::Changes { since: Seq::zero(), limit: 100, wait: None }
}

fn document(text: &str) -> Arc<Document> {
    Arc::new(parse_document(text.as_bytes()).unwrap())
}

/// What becomes of a request that the peer answers with `line`.
async fn check(request: &Request, line: Line, expected: &Expect) {
    let script = Script::new(vec![line]);
    let answer = ask(&peer_at(&script), request).await;
    expected.assert_eq(&shown(&answer));
}

/// How a request is asked of a peer with these members, and answered with this body.
async fn check_asked(source: &str, request: &Request, body: &str, expected: &Expect) {
    let script = Script::new(vec![reply("200 OK", "", body)]);
    let source = source.replace("HOST", &script.address.to_string());
    let peer = peer_of(&clients(Vec::new()), &format!(r#"{{"source":{source},"target":"here"}}"#));
    let answer = ask(&peer.unwrap(), request).await;
    expected.assert_eq(&format!("{}\n--> {}", script.asked().concat(), shown(&answer)));
}

#[tokio::test]
async fn a_request_has_the_headers_of_its_job_and_who_asks() {
    let source = r#"{"url":"http://HOST/db?k=1","headers":{"X-Mine":"1","User-Agent":"me"},
        "auth":{"basic":{"username":"ann","password":"pé"}}}"#;
    let info = r#"{"update_seq":"5-x","instance_start_time":"0"}"#;
    check_asked(
        source,
        &Request::Info(Side::Source),
        info,
        &expect![[r#"
        GET /db/?k=1 HTTP/1.1
        accept: application/json
        authorization: Basic YW5uOnDDqQ==
        user-agent: me
        x-mine: 1

        --> Info(Info { instance_start_time: "0", update_seq: "5-x" })"#]],
    )
    .await;
    let token =
        r#"{"url":"http://HOST/db","headers":{"Authorization":"Bearer x","Content-Length":"9"}}"#;
    check_asked(
        token,
        &Request::Info(Side::Source),
        info,
        &expect![[r#"
        GET /db/ HTTP/1.1
        accept: application/json
        authorization: Bearer x
        user-agent: Settle/0.1.0

        --> Info(Info { instance_start_time: "0", update_seq: "5-x" })"#]],
    )
    .await;
}

#[tokio::test]
async fn requests_are_those_that_couchdb_makes() {
    let source = r#""http://HOST/db""#;
    let page = r#"{"results":[],"last_seq":"5-x","pending":0}"#;
    check_asked(
        source,
        &changes(),
        page,
        &expect![[r#"
        GET /db/_changes?feed=normal&style=all_docs&since=0&limit=100 HTTP/1.1
        accept: application/json
        user-agent: Settle/0.1.0

        --> Page(Page { rows: [], last_seq: "5-x", pending: Some(0) })"#]],
    )
    .await;
    let bulk = r#"{"results":[{"id":"a/b","docs":[{"ok":{"_id":"a/b","_rev":"1-a"}}]}]}"#;
    check_asked(source, &fetch(&["a/b"], true, 1_000), bulk, &expect![[r#"
        POST /db/_bulk_get?revs=true&latest=true&attachments=false HTTP/1.1
        accept: application/json
        content-length: 97
        content-type: application/json
        user-agent: Settle/0.1.0
        {"docs":[{"id":"a/b","rev":"1-a","atts_since":[]}],"latest":true,"revs":true,"attachments":false}
        --> Fetched {"_id":"a/b","_rev":"1-a"}"#]]).await;
    let revs = r#"[{"ok":{"_id":"a/b","_rev":"1-a"}}]"#;
    check_asked(
        source,
        &fetch(&["a/b"], false, 1_000),
        revs,
        &expect![[r#"
        GET /db/a%2Fb?revs=true&latest=true&attachments=false&open_revs=%5B%221-a%22%5D HTTP/1.1
        accept: application/json
        user-agent: Settle/0.1.0

        --> Fetched {"_id":"a/b","_rev":"1-a"}"#]],
    )
    .await;
    let write = Request::Write(vec![document(r#"{"_id":"a","_rev":"1-a"}"#)]);
    check_asked(
        source,
        &write,
        "[]",
        &expect![[r#"
        POST /db/_bulk_docs HTTP/1.1
        accept: application/json
        content-length: 53
        content-type: application/json
        user-agent: Settle/0.1.0
        x-couch-full-commit: false
        {"new_edits":false,"docs":[{"_id":"a","_rev":"1-a"}]}
        --> Written([])"#]],
    )
    .await;
    let committed = r#"{"ok":true,"instance_start_time":"0"}"#;
    check_asked(
        source,
        &Request::Commit(Side::Source),
        committed,
        &expect![[r#"
        POST /db/_ensure_full_commit HTTP/1.1
        accept: application/json
        content-length: 0
        content-type: application/json
        user-agent: Settle/0.1.0

        --> Committed("0")"#]],
    )
    .await;
}

#[tokio::test]
async fn what_is_there_already_need_not_be_created() {
    let there = r#"{"error":"file_exists","reason":"The database could not be created."}"#;
    check(&Request::Create, reply("412 Precondition Failed", "", there), &expect!["Done"]).await;
    let no = r#"{"error":"unauthorized","reason":"You are not a server admin."}"#;
    check(
        &Request::Create,
        reply("401 Unauthorized", "", no),
        &expect!["Unauthorized: You are not a server admin."],
    )
    .await;
}

#[tokio::test]
async fn a_checkpoint_that_is_not_there_is_none() {
    let request = Request::ReadCheckpoint(Side::Source);
    let missing = r#"{"error":"not_found","reason":"missing"}"#;
    check(&request, reply("404 Object Not Found", "", missing), &expect!["Checkpoint(None)"]).await;
    check(
        &request,
        reply("200 OK", "", r#"{"_id":"_local/0a","_rev":"0-3"}"#),
        &expect![[r#"Checkpoint(Some(("0-3", None)))"#]],
    )
    .await;
}

#[tokio::test]
async fn a_peer_that_does_not_know_bulk_requests_is_found_out() {
    let request = fetch(&["a"], true, 1_000);
    for (status, body) in [
        ("404 Not Found", r#"{"error":"not_found","reason":"missing"}"#),
        ("405 Method Not Allowed", r#"{"error":"method_not_allowed","reason":"Only GET"}"#),
        ("501 Not Implemented", ""),
        ("200 OK", "<html>"),
    ] {
        let script = Script::new(vec![reply(status, "", body)]);
        let failure = ask(&peer_at(&script), &request).await.unwrap_err();
        // Both make the replication ask for one document at a time.
        assert!(matches!(failure.kind, FailureKind::Refused | FailureKind::NotFound), "{status}");
    }
}

#[tokio::test]
async fn of_a_bulk_reply_that_is_cut_or_too_long_the_whole_documents_count() {
    let results = |ids: &[&str]| {
        let one = |id: &&str| {
            format!(r#"{{"id":"{id}","docs":[{{"ok":{{"_id":"{id}","_rev":"1-a"}}}}]}}"#)
        };
        format!(r#"{{"results":[{}]}}"#, ids.iter().map(one).collect::<Vec<_>>().join(","))
    };
    let whole = results(&["a", "b"]);
    let ids = ["a", "b"];
    let counts = |answer: Result<Reply, Failure>| match answer {
        Ok(Reply::Fetched(results)) => {
            format!("{} {:?}", results.len(), results[0] == Fetched::TooLarge)
        }
        other => shown(&other),
    };
    for cut in [whole.len() - 3, whole.len() / 2 + 5, 15] {
        let script = Script::new(vec![Line::Say(begun(whole.len(), &whole[..cut]))]);
        let cut_off = counts(ask(&peer_at(&script), &fetch(&ids, true, 10_000)).await);
        let script = Script::new(vec![reply("200 OK", "", &whole)]);
        let too_long = counts(ask(&peer_at(&script), &fetch(&ids, true, cut)).await);
        let expected = if cut == 15 {
            (
                "Lost: the connection was lost: end of file before message length reached"
                    .to_owned(),
                "1 true".to_owned(),
            )
        } else {
            ("1 false".to_owned(), "1 false".to_owned())
        };
        assert_eq!((cut_off, too_long), expected);
    }
}

#[tokio::test]
async fn revisions_of_one_document_come_whole_or_fewer_are_asked_for() {
    let body = r#"[{"ok":{"_id":"a","_rev":"1-a"}}]"#;
    check(&fetch(&["a"], false, 10), reply("200 OK", "", body), &expect!["Fetched TooLarge"]).await;
    check(
        &fetch(&["a", "a"], false, 10),
        reply("200 OK", "", body),
        &expect!["TooLarge: the revisions together have more than 10 bytes"],
    )
    .await;
    let cut = Line::Say(begun(body.len(), &body[..20]));
    check(
        &fetch(&["a"], false, 1_000),
        cut,
        &expect!["Lost: the connection was lost: end of file before message length reached"],
    )
    .await;
}

#[tokio::test]
async fn refusals_inside_a_write_are_told_whatever_the_status() {
    let request = Request::Write(vec![document(r#"{"_id":"a","_rev":"1-a"}"#)]);
    let refused = r#"[{"id":"a","rev":"1-a","error":"forbidden","reason":"no"}]"#;
    check(
        &request,
        reply("417 Expectation Failed", "", refused),
        &expect![[
            r#"Written([Refusal { id: "a", rev: Some(1-a), error: "forbidden", reason: "no" }])"#
        ]],
    )
    .await;
    check(&request, reply("201 Created", "", "[]"), &expect!["Written([])"]).await;
    let too_large = r#"{"error":"too_large","reason":"the request entity is too large"}"#;
    check(
        &request,
        reply("413 Too Large", "", too_large),
        &expect!["TooLarge: the request entity is too large"],
    )
    .await;
}

#[tokio::test]
async fn a_busy_peer_is_respected() {
    let busy = reply("429 Too Many Requests", "Retry-After: 7\r\n", "");
    check(
        &changes(),
        busy,
        &expect!["Busy { retry_after: Some(7s) }: the peer answered 429 Too Many Requests"],
    )
    .await;
    let date = "Retry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\n";
    check(
        &changes(),
        reply("503 Service Unavailable", date, ""),
        &expect!["Busy { retry_after: Some(30s) }: the peer answered 503 Service Unavailable"],
    )
    .await;
}

#[tokio::test]
async fn garbage_is_no_reply() {
    check(
        &changes(),
        reply("200 OK", "Content-Type: image/png\r\n", "\u{1}"),
        &expect!["Broken: the reply to _changes is no page of changes"],
    )
    .await;
    check(
        &changes(),
        reply("200 OK", "", r#"{"results":[]}"#),
        &expect!["Broken: the reply to _changes is no page of changes"],
    )
    .await;
    check(
        &changes(),
        Line::Say(b"what?\r\n\r\n".to_vec()),
        &expect!["Lost: the connection was lost: invalid HTTP version parsed"],
    )
    .await;
    check(
        &changes(),
        reply("204 No Content", "", ""),
        &expect!["Broken: the peer answered 204 No Content"],
    )
    .await;
}

#[tokio::test]
async fn a_connection_that_is_cut_is_lost() {
    check(
        &changes(),
        Line::Say(Vec::new()),
        &expect!["Lost: the connection was lost: connection closed before message completed"],
    )
    .await;
    check(
        &changes(),
        Line::Say(begun(100, "{")),
        &expect!["Lost: the connection was lost: end of file before message length reached"],
    )
    .await;
}

#[tokio::test]
async fn a_reply_without_end_is_given_up() {
    let endless = |status: &str| {
        let head = format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
        Line::Forever(head.into_bytes(), chunk.into_bytes())
    };
    check(
        &changes(),
        endless("200 OK"),
        &expect!["Broken: the peer's reply is longer than 33554432 bytes"],
    )
    .await;
    check(
        &Request::Info(Side::Source),
        endless("200 OK"),
        &expect!["Broken: the peer's reply is longer than 1048576 bytes"],
    )
    .await;
    check(
        &changes(),
        endless("500 Oops"),
        &expect!["Broken: the peer answered 500 Internal Server Error"],
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_reached_is_lost() {
    let nobody = free_port().local_addr().unwrap();
    let job = format!(r#"{{"source":"http://ann:secret@{nobody}/db","target":"here"}}"#);
    let peer = peer_of(&clients(Vec::new()), &job).unwrap();
    expect!["Lost: could not connect: Connection refused (os error 111)"]
        .assert_eq(&shown(&ask(&peer, &changes()).await));

    let job = r#"{"source":"http://ann:secret@nowhere.invalid/db?token=secret","target":"here"}"#;
    let failure = ask(&peer_of(&clients(Vec::new()), job).unwrap(), &changes()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Lost);
    assert!(failure.reason.starts_with("could not connect: "), "{}", failure.reason);
    assert!(!failure.reason.contains("secret"), "{}", failure.reason);
}

#[tokio::test]
async fn redirects_are_followed_with_method_and_body() {
    let page = r#"{"results":[],"last_seq":"5-x"}"#;
    for (status, second) in [
        ("301 Moved", "POST /there?x=1 HTTP/1.1"),
        ("302 Found", "POST /there?x=1 HTTP/1.1"),
        ("307 Temporary Redirect", "POST /there?x=1 HTTP/1.1"),
        ("308 Permanent Redirect", "POST /there?x=1 HTTP/1.1"),
        ("303 See Other", "GET /there?x=1 HTTP/1.1"),
    ] {
        let to = "Location: /there?x=1\r\n";
        let script = Script::new(vec![reply(status, to, ""), reply("200 OK", "", page)]);
        let job = format!(
            r#"{{"source":"http://ann:secret@{}/db","target":"here","doc_ids":["a"]}}"#,
            script.address
        );
        let peer = peer_of(&clients(Vec::new()), &job).unwrap();
        ask(&peer, &changes()).await.unwrap();
        let asked = script.asked();
        assert_eq!(asked[1].lines().next().unwrap(), second);
        assert!(asked[1].contains("authorization: Basic"));
        assert_eq!(asked[1].contains(r#"{"doc_ids":["a"]}"#), second.starts_with("POST"));
    }
}

#[tokio::test]
async fn credentials_do_not_follow_to_another_origin_nor_come_back() {
    let page = r#"{"results":[],"last_seq":"5-x"}"#;
    let (home, away) = (free_port(), free_port());
    let (at_home, elsewhere) = (home.local_addr().unwrap(), away.local_addr().unwrap());
    let to = |address, path: &str| {
        let location = format!("Location: http://eve:x@{address}/{path}\r\n");
        reply("307 Temporary Redirect", &location, "")
    };
    let there = to(elsewhere, "away");
    let home = Script::spoken(home, vec![there, reply("200 OK", "", page)], |stream| stream);
    let away = Script::spoken(away, vec![to(at_home, "back")], |stream| stream);
    let job = format!(
        r#"{{"source":{{"url":"http://ann:secret@{at_home}/db","headers":{{"X-Token":"secret"}}}},
            "target":"here"}}"#
    );
    let peer = peer_of(&clients(Vec::new()), &job).unwrap();
    ask(&peer, &changes()).await.unwrap();
    let (home, away) = (home.asked(), away.asked().concat());
    assert!(home[0].contains("authorization: Basic") && home[0].contains("x-token: secret"));
    for (asked, path) in [(&away, "GET /away "), (&home[1], "GET /back ")] {
        assert!(asked.starts_with(path), "{asked}");
        assert!(!asked.contains("uthorization") && !asked.contains("secret"), "{asked}");
    }
}

#[tokio::test]
async fn redirects_that_lead_nowhere_are_broken_replies() {
    let round = |_| reply("302 Found", "Location: /db/_changes\r\n", "");
    let script = Script::new((0..=10).map(round).collect());
    expect!["Broken: the peer redirects more than 10 times"]
        .assert_eq(&shown(&ask(&peer_at(&script), &changes()).await));
    check(
        &changes(),
        reply("302 Found", "", ""),
        &expect!["Broken: the peer redirects, and does not say where"],
    )
    .await;
    check(
        &changes(),
        reply("302 Found", "Location: file:///etc/passwd\r\n", ""),
        &expect!["Broken: the peer redirects to what is no address of a peer"],
    )
    .await;
}

#[tokio::test]
async fn progress_is_told_while_bytes_and_heartbeats_come() {
    let (open, gate) = mpsc::channel();
    let page = r#"{"results":[],"last_seq":"5-x"}"#;
    let length = page.len() + 1;
    let line = Line::Wait(begun(length, "\n"), gate, page.as_bytes().to_vec());
    let script = Script::new(vec![line]);
    let seen = AtomicUsize::new(0);
    let progress = || {
        if seen.fetch_add(1, Ordering::SeqCst) == 0 {
            open.send(()).unwrap(); // the heartbeat was told before the page came
        }
    };
    let answer = peer_at(&script).ask(&changes(), &progress).await;
    assert!(matches!(answer, Ok(Reply::Page(_))), "{}", shown(&answer));
    assert!(seen.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn progress_is_told_while_a_body_is_sent() {
    let script = Script::new(vec![reply("201 Created", "", "[]")]);
    let text = "x".repeat(10 * UPLOAD_PIECE_BYTES);
    let request =
        Request::Write(vec![document(&format!(r#"{{"_id":"a","_rev":"1-a","t":"{text}"}}"#))]);
    let seen = AtomicUsize::new(0);
    let progress = || {
        seen.fetch_add(1, Ordering::SeqCst);
    };
    peer_at(&script).ask(&request, &progress).await.unwrap();
    assert!(seen.load(Ordering::SeqCst) >= 2);
    let asked = script.asked().concat();
    assert!(asked.contains("content-length: ") && asked.ends_with("\"}]}"), "not in chunks");
}

#[tokio::test]
async fn a_request_that_is_given_up_closes_its_connection() {
    let (open, gate) = mpsc::channel();
    let script = Script::new(vec![Line::Forever(begun(1 << 40, ""), b" ".to_vec())]);
    let peer = peer_at(&script);
    {
        let progress = || {
            let _ = open.send(());
        };
        let request = changes();
        let asking = peer.ask(&request, &progress);
        tokio::pin!(asking);
        while gate.try_recv().is_err() {
            assert!(futures_util::poll!(&mut asking).is_pending());
            tokio::task::yield_now().await;
        }
    }
    // The script ends when it can say no more.
    tokio::task::spawn_blocking(|| script.asked()).await.unwrap();
}

fn with_attachment() -> Arc<Document> {
    document(
        r#"{"_id":"a","_rev":"2-b","_attachments":{"x/y.txt":{"content_type":"text/plain",
        "revpos":1,"digest":"md5-XUFAKrxLKna5cZ2REBfFkg==","length":5,"stub":true}}}"#,
    )
}

async fn attachment(line: Vec<Line>, from: u64) -> (String, String) {
    let script = Script::new(line);
    let stream = peer_at(&script).attachment(&with_attachment(), 0, from).await;
    let shown = match stream {
        Err(failure) => format!("{:?}: {}", failure.kind, failure.reason),
        Ok(mut stream) => {
            let mut text = format!("{:?} from {}: ", stream.encoding, stream.from);
            while let Some(bytes) = stream.bytes.next().await {
                match bytes {
                    Ok(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
                    Err(failure) => write!(text, " {:?}", failure.kind).unwrap(),
                }
            }
            text
        }
    };
    (shown, script.asked().concat())
}

#[tokio::test]
async fn an_attachment_goes_on_where_it_stopped_if_the_source_can() {
    let part = "206 Partial Content";
    let range = "Content-Range: bytes 2-4/5\r\n";
    let (shown, asked) = attachment(vec![reply(part, range, "llo")], 2).await;
    expect![[r#"
        GET /db/a/x%2Fy.txt?rev=2-b HTTP/1.1
        accept-encoding: gzip
        accept: */*
        range: bytes=2-
        user-agent: Settle/0.1.0
        --> Some(Identity) from 2: llo"#]]
    .assert_eq(&format!("{asked}--> {shown}"));
    let (shown, _) =
        attachment(vec![reply("200 OK", "Content-Encoding: gzip\r\n", "hello")], 2).await;
    expect!["Some(Gzip) from 0: hello"].assert_eq(&shown);
    let all = vec![reply("416 Range Not Satisfiable", "Content-Range: bytes */5\r\n", "")];
    expect!["None from 5: "].assert_eq(&attachment(all, 5).await.0);
    let shrunk = reply("416 Range Not Satisfiable", "Content-Range: bytes */5\r\n", "");
    expect!["Some(Identity) from 0: hello"]
        .assert_eq(&attachment(vec![shrunk, reply("200 OK", "", "hello")], 9).await.0);
    expect!["Some(Identity) from 0: he Lost"]
        .assert_eq(&attachment(vec![Line::Say(begun(5, "he"))], 0).await.0);
}

#[tokio::test]
async fn an_attachment_that_makes_no_sense_is_a_broken_reply() {
    let other = vec![reply("200 OK", "Content-Encoding: br\r\n", "hello")];
    expect!["Broken: the attachment comes in an encoding that was not asked for"]
        .assert_eq(&attachment(other, 0).await.0);
    let unsaid = vec![reply("206 Partial Content", "", "hello")];
    expect!["Broken: the peer sends part of an attachment, and does not say which"]
        .assert_eq(&attachment(unsaid, 2).await.0);
    let missing = vec![reply("404 Not Found", "", r#"{"error":"not_found","reason":"missing"}"#)];
    expect!["NotFound: missing"].assert_eq(&attachment(missing, 2).await.0);
}

#[tokio::test]
async fn the_code_of_a_filter_is_found_or_is_not_there() {
    let design = r#"{"_id":"_design/a/b","filters":{"f":"function () {}"}}"#;
    let script = Script::new(vec![reply("200 OK", "", design), reply("200 OK", "", design)]);
    let peer = peer_at(&script);
    assert_eq!(peer.filter_code("a/b", "f").await.unwrap().as_deref(), Some("function () {}"));
    assert_eq!(peer.filter_code("a/b", "g").await.unwrap(), None);
    assert!(script.asked()[0].starts_with("GET /db/_design/a%2Fb HTTP/1.1"));
}

#[tokio::test]
async fn requests_go_through_a_proxy_that_is_told_who_asks() {
    let page = r#"{"results":[],"last_seq":"5-x"}"#;
    let proxy = Script::new(vec![reply("200 OK", "", page)]);
    let job = format!(
        r#"{{"source":"http://peer.example/db","target":"here","proxy":"http://bob:key@{}"}}"#,
        proxy.address
    );
    let peer = peer_of(&clients(Vec::new()), &job).unwrap();
    ask(&peer, &changes()).await.unwrap();
    expect![[r#"
        GET http://peer.example/db/_changes?feed=normal&style=all_docs&since=0&limit=100 HTTP/1.1
        accept: application/json
        proxy-authorization: Basic Ym9iOmtleQ==
        user-agent: Settle/0.1.0
    "#]]
    .assert_eq(&proxy.asked().concat());

    let refuses = Script::new(vec![reply("407 Proxy Authentication Required", "", "")]);
    let job = format!(
        r#"{{"source":"http://peer.example/db","target":"here","proxy":"http://{}"}}"#,
        refuses.address
    );
    let peer = peer_of(&clients(Vec::new()), &job).unwrap();
    expect!["Lost: the proxy asks for credentials, or for others"]
        .assert_eq(&shown(&ask(&peer, &changes()).await));
}

#[tokio::test]
async fn a_socks_proxy_looks_up_names_and_is_told_who_asks() {
    use std::io::{Read as _, Write as _};
    let page = r#"{"results":[],"last_seq":"5-x"}"#;
    let (tell, told) = mpsc::channel();
    // RFC 1928 and 1929.
    let proxy = Script::spoken(free_port(), vec![reply("200 OK", "", page)], move |mut stream| {
        let mut read = |count| {
            let mut bytes = vec![0; count];
            stream.read_exact(&mut bytes).unwrap();
            bytes
        };
        let methods = read(2)[1];
        assert!(read(methods.into()).contains(&2), "a user and a password");
        stream.write_all(&[5, 2]).unwrap();
        let mut read = |count| {
            let mut bytes = vec![0; count];
            stream.read_exact(&mut bytes).unwrap();
            bytes
        };
        let user = read(2)[1];
        let user = read(user.into());
        let password = read(1)[0];
        let password = read(password.into());
        stream.write_all(&[1, 0]).unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(head[..4], [5, 1, 0, 3], "connect to a name");
        let mut host = vec![0; usize::from(head[4]) + 2];
        stream.read_exact(&mut host).unwrap();
        stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80]).unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        tell.send([text(user), text(password), text(host)].join(" ")).unwrap();
        stream
    });
    let job = format!(
        r#"{{"source":"http://peer.example/db","target":"here","proxy":"socks5://bob:key@{}"}}"#,
        proxy.address
    );
    let peer = peer_of(&clients(Vec::new()), &job).unwrap();
    ask(&peer, &changes()).await.unwrap();
    assert_eq!(told.recv().unwrap(), "bob key peer.example\0P");
    assert!(proxy.asked()[0].starts_with("GET /db/_changes?"));
}

#[tokio::test]
async fn jobs_that_go_the_same_way_share_their_connections() {
    let clients = clients(Vec::new());
    let job = |name: &str, proxy: &str| {
        format!(r#"{{"source":"http://h/{name}","target":"here"{proxy}}}"#)
    };
    let one = peer_of(&clients, &job("a", "")).unwrap();
    let two = peer_of(&clients, &job("b", "")).unwrap();
    let other = peer_of(&clients, &job("a", r#","proxy":"http://x:y@p""#)).unwrap();
    assert!(Arc::ptr_eq(&one.client, &two.client));
    assert!(!Arc::ptr_eq(&one.client, &other.client));
    assert!(!format!("{other:?} {clients:?}").contains("x:y"));
}

/// A peer by TLS, and its certificate.
fn tls_script(lines: Vec<Line>) -> (Script, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let certificate = made.cert.der().clone();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let script = Script::spoken(free_port(), lines, move |stream| {
        let connection = rustls::ServerConnection::new(config.clone()).unwrap();
        rustls::StreamOwned::new(connection, stream)
    });
    (script, certificate)
}

#[tokio::test]
async fn certificates_are_trusted_that_the_system_or_the_site_vouches_for() {
    let page = r#"{"results":[],"last_seq":"5-x"}"#;
    let (script, certificate) = tls_script(vec![
        reply("200 OK", "", ""),
        reply("200 OK", "", page),
        reply("302 Found", "Location: http://localhost/\r\n", ""),
    ]);
    let port = script.address.port();
    let job = format!(r#"{{"source":"https://localhost:{port}/db","target":"here"}}"#);
    let stranger = peer_of(&clients(Vec::new()), &job).unwrap();
    expect!["Lost: could not connect: invalid peer certificate: UnknownIssuer"]
        .assert_eq(&shown(&ask(&stranger, &changes()).await));
    let friend = peer_of(&clients(vec![certificate]), &job).unwrap();
    let answer = ask(&friend, &changes()).await;
    assert!(matches!(answer, Ok(Reply::Page(_))), "{}", shown(&answer));
    // Nobody is sent from there to where everybody listens.
    expect!["Broken: the peer redirects from https to http, where anybody could listen"]
        .assert_eq(&shown(&ask(&friend, &changes()).await));
}

#[tokio::test]
async fn attachments_follow_their_document_as_the_source_keeps_them() {
    let document = document(
        r#"{"n":1.0,"_id":"d","_rev":"3-c","_attachments":{
        "a.txt":{"content_type":"text/plain","revpos":3,"digest":"md5-XUFAKrxLKna5cZ2REBfFkg==","length":9,"stub":true},
        "old":{"content_type":"x/y","revpos":1,"length":7,"stub":true},
        "\u00fc\"":{"content_type":"x/ä","revpos":2,"digest":"md5-AAAAAAAAAAAAAAAAAAAAAA==","length":5,
        "encoding":"gzip","encoded_length":4,"stub":true}}}"#,
    );
    let (_spool, files) = settle::spool().await;
    for (attachment, encoding) in [(2, Encoding::Identity), (0, Encoding::Gzip)] {
        let hello = async |from| {
            let bytes = stream::iter([Ok(Bytes::from("hello"))]).boxed();
            Ok(AttachmentStream { encoding: Some(encoding), from, end_is_sure: true, bytes })
        };
        files.stage(&document, attachment, hello, &|_| {}).await.unwrap();
    }
    let staged = files.staged(&document, &[2, 0]).unwrap();
    let script = Script::new(vec![reply("201 Created", "", "{}")]);
    peer_at(&script).write_staged(&document, &staged, &|| {}).await.unwrap();
    expect![[r#"
        PUT /db/d?new_edits=false HTTP/1.1
        accept: application/json
        content-length: 724
        content-type: multipart/related;boundary="c15c0289ec2d0a9167ec8e65a18debbe"
        user-agent: Settle/0.1.0
        x-couch-full-commit: false
        --c15c0289ec2d0a9167ec8e65a18debbe
        Content-Type: application/json

        {"n":1.0,"_id":"d","_rev":"3-c","_attachments":{"a.txt":{"content_type":"text/plain","revpos":3,"digest":"md5-XUFAKrxLKna5cZ2REBfFkg==","length":9,"encoding":"gzip","encoded_length":5,"follows":true},"old":{"content_type":"x/y","revpos":1,"length":7,"stub":true},"\u00fc\"":{"content_type":"x/ä","revpos":2,"length":5,"follows":true}}}
        --c15c0289ec2d0a9167ec8e65a18debbe
        Content-Disposition: attachment; filename="a.txt"
        Content-Type: text/plain
        Content-Length: 5
        Content-Encoding: gzip

        hello
        --c15c0289ec2d0a9167ec8e65a18debbe
        Content-Disposition: attachment; filename="ü%22"
        Content-Length: 5

        hello
        --c15c0289ec2d0a9167ec8e65a18debbe--"#]].assert_eq(&script.asked().concat().replace('\r', ""));
}
