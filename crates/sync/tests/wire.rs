//! The JSON of requests and replies.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{sync::Arc, time::Duration};

use expect_test::{Expect, expect};
use proptest::prelude::*;
use settle_model::{json, revision::RevId};
use settle_sync::{
    job::Job,
    replication::{Fetched, Want},
    seq::Seq,
    wire,
};

fn rev(text: &str) -> RevId {
    text.parse().unwrap()
}

fn want(id: &str, name: &str, since: &[&str]) -> Want {
    let since: Vec<_> = since.iter().map(|it| rev(it)).collect();
    Want::new(id.into(), rev(name), since.into())
}

#[track_caller]
fn check(bytes: &[u8], expected: &Expect) {
    json::validate(bytes).unwrap();
    expected.assert_eq(str::from_utf8(bytes).unwrap());
}

#[track_caller]
fn check_query(job: &str, wait: Option<u64>, expected: &Expect) {
    let job = Job::parse(job.as_bytes()).unwrap();
    let since = Seq::from_text("12-x");
    let query = wire::changes_query(&job, &since, 100, wait.map(Duration::from_secs));
    let mut shown: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let body = wire::changes_body(&job.selection);
    shown.extend(body.map(|body| String::from_utf8(body).unwrap()));
    expected.assert_eq(&shown.join(" "));
}

#[test]
fn changes_are_asked_for_as_the_job_selects() {
    check_query(
        r#"{"source":"a","target":"b"}"#,
        None,
        &expect!["feed=normal style=all_docs since=12-x limit=100"],
    );
    check_query(
        r#"{"source":"a","target":"b","winning_revs_only":true}"#,
        Some(50),
        &expect!["feed=longpoll style=main_only since=12-x limit=100 timeout=50000"],
    );
    check_query(
        r#"{"source":"a","target":"b","doc_ids":["x","\""]}"#,
        None,
        &expect![[
            r#"feed=normal style=all_docs since=12-x limit=100 filter=_doc_ids {"doc_ids":["\"","x"]}"#
        ]],
    );
    check_query(
        r#"{"source":"a","target":"b","selector":{"a": 1}}"#,
        None,
        &expect![[
            r#"feed=normal style=all_docs since=12-x limit=100 filter=_selector {"selector":{"a":1}}"#
        ]],
    );
    check_query(
        r#"{"source":"a","target":"b","filter":"d/f","query_params":{"k":[1],"since":"0"}}"#,
        None,
        &expect!["feed=normal style=all_docs since=12-x limit=100 filter=d/f k=[1]"],
    );
}

#[test]
fn a_checkpoint_is_written_over_the_one_before() {
    let checkpoint = settle_sync::checkpoint::Checkpoint {
        session_id: "s".to_owned(),
        source_last_seq: Seq::from_text("5-x"),
        history: Vec::new(),
        source_without_checkpoint: None,
    };
    let id = "_local/0a".parse().unwrap();
    check(
        &wire::checkpoint_body(&id, Some("0-1"), &checkpoint),
        &expect![[
            r#"{"_id":"_local/0a","_rev":"0-1","session_id":"s","source_last_seq":"5-x","replication_id_version":5,"history":[]}"#
        ]],
    );
    let body = wire::checkpoint_body(&id, Some("0-1"), &checkpoint);
    assert_eq!(wire::parse_checkpoint(&body), Ok(("0-1".to_owned(), Some(checkpoint))));
}

#[test]
fn an_id_stands_once_in_a_question_for_missing_revisions() {
    let revs = [
        ("b".into(), vec![rev("2-b"), rev("1-a")]),
        ("a\"".into(), vec![rev("1-a")]),
        ("b".into(), vec![rev("3-c"), rev("2-b")]),
    ];
    check(&wire::revs_diff_body(&revs), &expect![[r#"{"a\"":["1-a"],"b":["1-a","2-b","3-c"]}"#]]);
    let reply = wire::parse_revs_diff(
        br#"{"b":{"missing":["2-b","not one"],"possible_ancestors":["1-a"]},"a":{"missing":[]}}"#,
    );
    expect![[r#"[("b", Missing { missing: [2-b], possible_ancestors: [1-a] }), ("a", Missing { missing: [], possible_ancestors: [] })]"#]].assert_eq(&format!("{:?}", reply.unwrap()));
    assert!(wire::parse_revs_diff(b"[]").is_err());
}

#[test]
fn documents_are_asked_for_in_bulk_or_by_their_revisions() {
    let wants = [want("x", "2-b", &["1-a"]), want("x", "2-c", &["1-a"])];
    check(
        &wire::bulk_get_body(&wants, true),
        &expect![[
            r#"{"docs":[{"id":"x","rev":"2-b","atts_since":["1-a"]},{"id":"x","rev":"2-c","atts_since":["1-a"]}],"latest":true,"revs":true,"attachments":true}"#
        ]],
    );
    expect![[r#"[("revs", "true"), ("latest", "true"), ("attachments", "false"), ("open_revs", "[\"2-b\",\"2-c\"]"), ("atts_since", "[\"1-a\"]")]"#]].assert_eq(&format!("{:?}", wire::open_revs_query(&wants, false)));
}

fn shown(results: &[Fetched]) -> String {
    let one = |result: &Fetched| match result {
        Fetched::Documents(documents) => {
            let revs = documents.iter().map(|it| {
                let names: Vec<_> =
                    it.attachments.iter().map(|it| format!("{}:{}", it.name, it.length)).collect();
                format!("{} {} [{}]", it.id, it.rev, names.join(","))
            });
            revs.collect::<Vec<_>>().join(" + ")
        }
        Fetched::Missing => "missing".to_owned(),
        Fetched::Failed { error, reason } => format!("{error}: {reason}"),
        Fetched::TooLarge => "too large".to_owned(),
    };
    results.iter().map(one).collect::<Vec<_>>().join("\n")
}

const BULK: &str = r#"{"results": [
    {"id":"x","docs":[{"ok":{"_id":"x","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"n":1.0,
     "_attachments":{"p\"q":{"content_type":"t","revpos":2,"digest":"md5-x","length":9,"stub":true,
     "encoding":"gzip","encoded_length":7},"in":{"data":"aGk=","revpos":1}}}}]},
    {"id":"y","docs":[{"error":{"id":"y","rev":"1-a","error":"not_found","reason":"missing"}}]},
    {"id":"z","docs":[{"error":{"id":"z","rev":"1-a","error":"forbidden","reason":"no"}}]},
    {"id":"d","docs":[{"ok":{"_id":"d","_rev":"1-a","twice":1,"twice":2}}]},
    {"id":"other","docs":[]},
    {"id":"e","docs":[{"ok":{"_id":"e","_rev":"1-a","text":"]}\\\"{["}}]}
    ]}"#;

fn bulk_wants() -> Vec<Want> {
    let ids = ["x", "y", "z", "d", "q", "e"];
    ids.map(|id| want(id, if id == "x" { "2-b" } else { "1-a" }, &[])).to_vec()
}

#[test]
fn each_document_of_a_bulk_reply_stands_for_itself() {
    let results = wire::parse_bulk_get(&bulk_wants(), BULK.as_bytes()).unwrap();
    expect![[r#"
        x 2-b [p"q:7]
        missing
        forbidden: no
        doc_validation: it is not JSON that we take
        bad_reply: it is about another document
        e 1-a []"#]]
    .assert_eq(&shown(&results));
    let Fetched::Documents(documents) = &results[0] else { panic!("{results:?}") };
    json::validate(&documents[0].json).unwrap();
    assert_eq!(documents[0].path.as_ref().unwrap().digests().len(), 2);
    let again = documents[0].changed_attachments(&[rev("1-a")]);
    assert_eq!(again, [0]);
    assert_eq!(documents[0].changed_attachments(&[rev("2-b")]), [0; 0]);
}

#[test]
fn a_bulk_reply_that_was_cut_gives_what_is_whole() {
    let wants = bulk_wants();
    let whole = wire::parse_bulk_get(&wants, BULK.as_bytes()).unwrap();
    let mut counts = Vec::new();
    for end in 0..BULK.len() {
        if let Ok(results) = wire::parse_bulk_get(&wants, &BULK.as_bytes()[..end]) {
            assert_eq!(results, whole[..results.len()]);
            counts.push(results.len());
        }
    }
    counts.dedup();
    assert_eq!(counts, [0, 1, 2, 3, 4, 5, 6]);
    let other_order = br#"{"more":1,"results":[]}"#;
    assert_eq!(wire::parse_bulk_get(&wants, other_order).unwrap(), []);
    assert!(wire::parse_bulk_get(&wants, b"<html>").is_err());
}

#[test]
fn revisions_of_one_document_go_to_who_asked_for_them() {
    let wants = [
        want("x", "1-a", &[]),
        want("x", "1-b", &[]),
        want("x", "2-c", &[]),
        want("x", "1-d", &[]),
    ];
    let body =
        br#"[{"missing":"1-d"},{"ok":{"_id":"x","_rev":"2-c"}},{"ok":{"_id":"x","_rev":"3-e"}}]"#;
    expect![[r#"
        x 3-e []

        x 2-c []
        missing"#]]
    .assert_eq(&shown(&wire::parse_open_revs(&wants, body).unwrap()));
    let twice = br#"[{"ok":{"_id":"x","_rev":"1-a","_rev":"1-b"}}]"#;
    let results = wire::parse_open_revs(&wants[..1], twice).unwrap();
    expect!["doc_validation: it is not JSON that we take"].assert_eq(&shown(&results));
    assert!(wire::parse_open_revs(&wants, br#"[{"ok":{"_id":"x","#).is_err());
}

#[test]
fn changes_are_read_with_patience() {
    let page = wire::parse_changes(
        br#"{"results":[
        {"seq":"1-x","id":"a","changes":[{"rev":"1-a"},{"rev":"bad"}]},
        {"seq":null,"id":"b","changes":[{"rev":"2-b"}],"deleted":true},
        {"seq":3,"id":"","changes":[{"rev":"2-b"}]},
        7],
        "last_seq":"4-x","pending":12}"#,
    );
    expect![[r#"
        Page {
            rows: [
                Row {
                    seq: Some(
                        "1-x",
                    ),
                    id: "a",
                    revs: [
                        1-a,
                    ],
                    unreadable: 1,
                },
                Row {
                    seq: None,
                    id: "b",
                    revs: [
                        2-b,
                    ],
                    unreadable: 0,
                },
            ],
            last_seq: "4-x",
            pending: Some(
                12,
            ),
        }"#]]
    .assert_eq(&format!("{:#?}", page.unwrap()));
    assert!(wire::parse_changes(br#"{"results":[]}"#).is_err());
}

#[test]
fn of_a_write_only_what_failed_is_told() {
    let refused = wire::parse_bulk_docs(
        br#"[{"ok":true,"id":"a","rev":"1-a"},
        {"id":"b","rev":"1-b","error":"forbidden","reason":"no"},{"id":"c","error":"x"}]"#,
    );
    expect![[r#"[Refusal { id: "b", rev: Some(1-b), error: "forbidden", reason: "no" }, Refusal { id: "c", rev: None, error: "x", reason: "" }]"#]].assert_eq(&format!("{:?}", refused.unwrap()));
}

#[test]
fn the_code_of_a_filter_is_found() {
    let design = br#"{"_id":"_design/d","filters":{"f":"function"}}"#;
    assert_eq!(wire::parse_filter(design, "f").as_deref(), Some("function"));
    assert_eq!(wire::parse_filter(design, "g"), None);
}

#[test]
fn a_database_is_who_it_says() {
    let info = wire::parse_info(br#"{"update_seq":"5-x","instance_start_time":"170"}"#).unwrap();
    assert_eq!((info.instance_start_time.as_str(), info.update_seq.integer()), ("170", Some(5)));
    assert!(wire::parse_info(br#"{"couchdb":"Welcome"}"#).is_err());
    assert_eq!(wire::parse_rev(br#"{"ok":true,"id":"_local/x","rev":"0-2"}"#).unwrap(), "0-2");
    assert!(wire::parse_rev(br#"{"ok":true}"#).is_err());
    assert_eq!(wire::parse_committed(br#"{"ok":true,"instance_start_time":0}"#).unwrap(), "0");
    let problem = wire::parse_problem(br#"{"error":"not_found","reason":"missing"}"#);
    assert_eq!(problem, Some(("not_found".to_owned(), "missing".to_owned())));
}

proptest! {
    /// What was written for a peer of ours is read as what it was.
    #[test]
    fn documents_cross_the_wire(ids in prop::collection::vec("[a-z\"é]{1,5}", 1..5), number in 0..9) {
        let mut wants = Vec::new();
        let mut body = b"{\"results\":[".to_vec();
        for (place, id) in ids.iter().enumerate() {
            let mut text = Vec::new();
            json::write_string(&mut text, id);
            let text = String::from_utf8(text).unwrap();
            let comma = if place > 0 { "," } else { "" };
            let document = format!(r#"{{"_id":{text},"_rev":"1-a{number}","n":[{number}]}}"#);
            body.extend_from_slice(
                format!(r#"{comma}{{"id":{text},"docs":[{{"ok":{document}}}]}}"#).as_bytes());
            wants.push(want(id, &format!("1-a{number}"), &[]));
        }
        body.extend_from_slice(b"]}");
        let results = wire::parse_bulk_get(&wants, &body).unwrap();
        prop_assert_eq!(results.len(), ids.len());
        let documents = results.into_iter().map(|result| {
            let Fetched::Documents(mut documents) = result else { panic!("{result:?}") };
            Arc::new(documents.remove(0))
        });
        let written = wire::bulk_docs_body(&documents.collect::<Vec<_>>());
        let bulk = settle_model::document::parse_bulk(&written).unwrap();
        prop_assert_eq!(bulk.new_edits, Some(false));
        let read: Vec<_> = bulk.docs.iter().map(|it| it.id.clone().unwrap()).collect();
        prop_assert_eq!(read, ids);
    }
}
