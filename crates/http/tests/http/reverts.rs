//! Going back to what a database was.

use expect_test::expect;
use serde_json::{Value, json};

use crate::{
    asked::{ask, body, check_on, member},
    history::some,
    story::begin,
};

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
        expect![[r#"
            > PUT /d/_history {"window_seconds":3600,"append_only":{"kind":"audit"}}
            200 OK
            {"ok":true}

            > GET /d/_history
            200 OK
            {"window_seconds":3600,"append_only":{"kind":"audit"},"kept_from":"0-t"}

            > PUT /d/_history {"append_only":[]}
            400 Bad Request
            {"error":"invalid_selector_json","reason":"Selector must be a JSON object, not: []"}

            > PUT /d/_history {"window":1}
            400 Bad Request
            {"error":"bad_request","reason":"`window_seconds`, `tombstone_seconds` and `checkpoint_seconds` must be numbers of seconds, `append_only` a selector"}

            > POST /d/_revert {"to":"monday","preview":true}
            200 OK
            {"changes":[{"id":"a","now":"2-c7b1fa7ae4e5ec669a544d4ef6eee928","then":"1-731bef401491606a3b246ed178e697c1"},{"id":"b","now":"2-bfa217b130671a8782e04560da45345b","deleted":true,"then":"1-731bef401491606a3b246ed178e697c1"},{"id":"c","now":"1-731bef401491606a3b246ed178e697c1","then":null}],"left_out":["log"]}

            > POST /d/_revert {"to":"monday","ids":["a"],"snapshot":"before-a"}
            200 OK
            {"ok":true,"seq":"7-t","snapshot":"before-a","reverted":1,"left_out":[]}

            > GET /d/a
            200 OK
            etag: "3-1dc2d4f3a2aa8de0cedf863e95678d2b"
            {"_id":"a","_rev":"3-1dc2d4f3a2aa8de0cedf863e95678d2b","n":1}

            > GET /d/c
            200 OK
            etag: "1-731bef401491606a3b246ed178e697c1"
            {"_id":"c","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}

            > POST /d/_revert {"to":"monday","snapshot":"tuesday"}
            200 OK
            {"ok":true,"seq":"9-t","snapshot":"tuesday","reverted":2,"left_out":["log"]}

            > GET /d/_all_docs?include_docs=true
            200 OK
            {"total_rows":3,"offset":0,"rows":[
            {"id":"a","key":"a","value":{"rev":"3-1dc2d4f3a2aa8de0cedf863e95678d2b"},"doc":{"_id":"a","_rev":"3-1dc2d4f3a2aa8de0cedf863e95678d2b","n":1}},
            {"id":"b","key":"b","value":{"rev":"3-1c4d7ae427747bfae5bb08dde8079b21"},"doc":{"_id":"b","_rev":"3-1c4d7ae427747bfae5bb08dde8079b21","n":1}},
            {"id":"log","key":"log","value":{"rev":"1-d8b40d44bfdf03224d0bab249fc55714"},"doc":{"_id":"log","_rev":"1-d8b40d44bfdf03224d0bab249fc55714","kind":"audit"}}
            ]}

            > POST /d/_revert {"to":"tuesday","selector":{"n":2},"preview":true}
            200 OK
            {"changes":[],"left_out":[]}

            > POST /d/_revert {"to":"before-a","snapshot":"wednesday"}
            200 OK
            {"ok":true,"seq":"12-t","snapshot":"wednesday","reverted":3,"left_out":[]}

            > GET /d/_all_docs?include_docs=true
            200 OK
            {"total_rows":3,"offset":0,"rows":[
            {"id":"a","key":"a","value":{"rev":"4-ad6263d4840cc36a606135ed35a95dfc"},"doc":{"_id":"a","_rev":"4-ad6263d4840cc36a606135ed35a95dfc","n":2}},
            {"id":"c","key":"c","value":{"rev":"3-1c4d7ae427747bfae5bb08dde8079b21"},"doc":{"_id":"c","_rev":"3-1c4d7ae427747bfae5bb08dde8079b21","n":1}},
            {"id":"log","key":"log","value":{"rev":"1-d8b40d44bfdf03224d0bab249fc55714"},"doc":{"_id":"log","_rev":"1-d8b40d44bfdf03224d0bab249fc55714","kind":"audit"}}
            ]}

            > POST /d/_revert {"to":"nothing"}
            404 Not Found
            {"error":"no_snapshot","reason":"there is no snapshot named nothing"}

            > POST /d/_revert {"to":"monday","snapshot":"tuesday"}
            412 Precondition Failed
            {"error":"snapshot_exists","reason":"there is a snapshot of this name already"}

            > POST /d/_revert {"too":"monday"}
            400 Bad Request
            {"error":"bad_request","reason":"expected `to`, and maybe `ids`, `selector`, `preview`, `in_parts`, `snapshot`"}

        "#]],
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
            "GET /d/_all_docs?at=monday&include_docs=true&attachments=true",
            r#"POST /d/_revert {"to":"monday","snapshot":"tuesday"}"#,
            "GET /d/a/x.txt",
        ],
        expect![[r#"
            > PUT /d/_snapshots/monday
            201 Created
            location: http://localhost:5984/d/_snapshots/monday
            {"name":"monday","seq":"1-t","taken":"2026-11-21T03:05:46.000Z"}

            > PUT /d/a {"_rev":"1-1137874efcc53301f4df14b196f2b085","n":2}
            201 Created
            etag: "2-506bfcdefd5be7e15f3f6895c7a803ff"
            location: http://localhost:5984/d/a
            {"ok":true,"id":"a","rev":"2-506bfcdefd5be7e15f3f6895c7a803ff"}

            > GET /d/a/x.txt
            404 Not Found
            {"error":"not_found","reason":"Document is missing attachment"}

            > GET /d/a/x.txt?at=monday
            200 OK
            etag: "iMaiC8wqiFlD2NjLTemvCQ=="
            content-type: text/plain
            hello

            > GET /d/_all_docs?at=monday&include_docs=true&attachments=true
            200 OK
            {"total_rows":null,"offset":null,"rows":[
            {"id":"a","key":"a","value":{"rev":"1-1137874efcc53301f4df14b196f2b085"},"doc":{"_id":"a","_rev":"1-1137874efcc53301f4df14b196f2b085","_attachments":{"x.txt":{"content_type":"text/plain","revpos":1,"digest":"md5-iMaiC8wqiFlD2NjLTemvCQ==","data":"aGVsbG8="}}}}
            ]}

            > POST /d/_revert {"to":"monday","snapshot":"tuesday"}
            200 OK
            {"ok":true,"seq":"3-t","snapshot":"tuesday","reverted":1,"left_out":[]}

            > GET /d/a/x.txt
            200 OK
            etag: "iMaiC8wqiFlD2NjLTemvCQ=="
            content-type: text/plain
            hello

        "#]],
    )
    .await;
}

/// More than one commit bears goes back in parts, and goes on where it was interrupted.
#[tokio::test]
async fn a_revert_in_parts_goes_on_where_it_was_interrupted() {
    const COUNT: usize = 1_700;
    let server = begin().await;
    let write = async |n: u64| {
        let found: Value =
            serde_json::from_str(&body(ask(&server, "GET /d/_all_docs").await).await).unwrap();
        let rev_of = |id: &str| {
            let mut rows = found["rows"].as_array().unwrap().iter();
            rows.find(|row| row["id"] == id).map(|row| row["value"]["rev"].clone())
        };
        let mut docs: Vec<Value> = (0..COUNT)
            .map(|at| {
                let id = format!("d{at:04}");
                json!({ "_id": id, "_rev": rev_of(&id), "n": n })
            })
            .collect();
        docs.push(json!({ "_id": format!("log-{n}"), "kind": "audit", "n": n }));
        for doc in &mut docs {
            if doc["_rev"].is_null() {
                doc.as_object_mut().unwrap().remove("_rev");
            }
        }
        let asked = json!({ "docs": docs });
        assert_eq!(ask(&server, &format!("POST /d/_bulk_docs {asked}")).await.status(), 201);
    };
    let count = async |at: &str| {
        let list = format!("GET /d/_all_docs?include_docs=true{at}");
        let list: Value = serde_json::from_str(&body(ask(&server, &list).await).await).unwrap();
        let rows = list["rows"].as_array().unwrap().iter();
        rows.filter(|row| row["id"].as_str().unwrap().starts_with('d') && row["doc"]["n"] == 1)
            .count()
    };
    let window = r#"PUT /d/_history {"append_only":{"kind":"audit"}}"#;
    assert_eq!(ask(&server, window).await.status(), 200);
    write(1).await;
    assert_eq!(ask(&server, "PUT /d/_snapshots/monday").await.status(), 201);
    write(2).await;
    let revert = r#"POST /d/_revert {"to":"monday","in_parts":true,"snapshot":"before"}"#;
    let begun = async {
        while count("").await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = ask(&server, revert) => panic!("it was too fast to be interrupted"),
        () = begun => {}
    }
    let done = count("").await;
    assert!((1..COUNT).contains(&done), "{done}");
    let again: Value = serde_json::from_str(&body(ask(&server, revert).await).await).unwrap();
    assert_eq!(again["left_out"], json!(["log-2"]), "{again}");
    assert_eq!(again["snapshot"], "before");
    let rest = usize::try_from(again["reverted"].as_u64().unwrap()).unwrap();
    assert!((1..COUNT).contains(&rest), "{again}");
    assert_eq!(count("").await, COUNT);
    assert_eq!(count("&at=before").await, 0, "the snapshot is that of the first time");
    // And back again.
    let back = r#"POST /d/_revert {"to":"before","in_parts":true}"#;
    assert_eq!(ask(&server, back).await.status(), 200);
    assert_eq!(count("").await, 0);
}

/// What adds to a full account is refused, what takes away is not.
#[tokio::test]
async fn nothing_comes_back_that_the_account_has_no_room_for() {
    let server = begin().await.with_users(&[("ada", "[]")]).await;
    let sent = async |request: &str| {
        let request = match request.split_once(" {") {
            Some((line, json)) => format!("{line}\ncontent-type: application/json\n\n{{{json}"),
            None => request.to_owned(),
        };
        server.send_as("ada:password", &request).await
    };
    let text = "x".repeat(100);
    for request in [
        "PUT /~ada/notes",
        "PUT /~ada/notes/_snapshots/empty",
        &format!(r#"PUT /~ada/notes/a {{"text":"{text}"}}"#),
        "PUT /~ada/notes/_snapshots/full",
    ] {
        assert_eq!(sent(request).await.status(), 201, "{request}");
    }
    let quota = "PUT /_accounts/ada\n\n{\"databases_max\":null,\"bytes_max\":10}";
    assert_eq!(server.send(quota).await.status(), 200);
    assert_eq!(sent(r#"POST /~ada/notes/_revert {"to":"empty"}"#).await.status(), 200);
    for request in [
        r#"POST /~ada/notes/_revert {"to":"full"}"#,
        r#"POST /~ada/notes/_revert {"to":"full","in_parts":true,"snapshot":"before"}"#,
    ] {
        let refused = sent(request).await;
        assert_eq!(refused.status(), 507, "{request}");
    }
    let more = "PUT /_accounts/ada\n\n{\"databases_max\":null,\"bytes_max\":1000000}";
    assert_eq!(server.send(more).await.status(), 200);
    let again = r#"POST /~ada/notes/_revert {"to":"full","snapshot":"again"}"#;
    assert_eq!(sent(again).await.status(), 200);
    assert_eq!(server.send(quota).await.status(), 200);
    assert_eq!(sent(r#"POST /~ada/notes/_fork {"name":"copy"}"#).await.status(), 507);
    assert_eq!(sent("GET /~ada/copy").await.status(), 404);
}
