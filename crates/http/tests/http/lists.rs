//! Lists of documents by id.

use expect_test::{Expect, expect};

use crate::asked::{ask, check_on, told};
use crate::support::TestServer;

/// `a` with a conflict and an attachment, `b` deleted, `B`, `ä`, two design documents, two local ones.
async fn filled() -> TestServer {
    let server = crate::story::begin().await;
    let requests = [
        r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_rev": "1-a"}, {"_id": "a", "_rev": "1-b", "v": 1.0, "_attachments": {"x": {"content_type": "text/plain", "data": "eHg="}}}, {"_id": "b", "_rev": "2-b", "_deleted": true}, {"_id": "B", "_rev": "1-B"}, {"_id": "ä", "_rev": "1-c"}]}"#,
        r#"POST /d/_bulk_docs {"docs": [{"_id": "_design/x"}, {"_id": "_design/y"}, {"_id": "_local/p", "n": 1}, {"_id": "_local/q"}]}"#,
    ];
    for request in requests {
        assert_eq!(ask(&server, request).await.status(), 201);
    }
    server
}

async fn check(requests: &[&str], expected: Expect) {
    check_on(&filled().await, requests, expected).await;
}

#[tokio::test]
async fn ids_come_in_the_order_of_their_bytes() {
    check(
        &[
            "GET /d/_all_docs",
            "GET /d/_all_docs?descending=true&limit=2&skip=1",
            "GET /d/_all_docs?startkey=%22B%22&endkey=%22a%22",
            "GET /d/_all_docs?start_key=%22a%22&end_key=%22B%22&descending=true&inclusive_end=false",
            "GET /d/_all_docs?key=%22a%22",
            "GET /d/_all_docs?key=%22b%22",
            "GET /d/_all_docs?startkey=null&endkey=%22B%22",
            "GET /d/_all_docs?endkey=%7B%7D",
            "GET /d/_all_docs?startkey=%22a%22&endkey=%22B%22",
            "GET /d/_all_docs?limit=0&update_seq=true",
            "GET /d/_all_docs?limit=1&sorted=false",
            "GET /none/_all_docs",
        ],
        expect![[r#"
            > GET /d/_all_docs
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"B","key":"B","value":{"rev":"1-B"}},
            {"id":"_design/x","key":"_design/x","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},
            {"id":"_design/y","key":"_design/y","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},
            {"id":"a","key":"a","value":{"rev":"1-b"}},
            {"id":"ä","key":"ä","value":{"rev":"1-c"}}
            ]}

            > GET /d/_all_docs?descending=true&limit=2&skip=1
            200 OK
            {"total_rows":5,"offset":1,"rows":[
            {"id":"a","key":"a","value":{"rev":"1-b"}},
            {"id":"_design/y","key":"_design/y","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}}
            ]}

            > GET /d/_all_docs?startkey=%22B%22&endkey=%22a%22
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"B","key":"B","value":{"rev":"1-B"}},
            {"id":"_design/x","key":"_design/x","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},
            {"id":"_design/y","key":"_design/y","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},
            {"id":"a","key":"a","value":{"rev":"1-b"}}
            ]}

            > GET /d/_all_docs?start_key=%22a%22&end_key=%22B%22&descending=true&inclusive_end=false
            200 OK
            {"total_rows":5,"offset":1,"rows":[
            {"id":"a","key":"a","value":{"rev":"1-b"}},
            {"id":"_design/y","key":"_design/y","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},
            {"id":"_design/x","key":"_design/x","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}}
            ]}

            > GET /d/_all_docs?key=%22a%22
            200 OK
            {"total_rows":5,"offset":3,"rows":[
            {"id":"a","key":"a","value":{"rev":"1-b"}}
            ]}

            > GET /d/_all_docs?key=%22b%22
            200 OK
            {"total_rows":5,"offset":4,"rows":[

            ]}

            > GET /d/_all_docs?startkey=null&endkey=%22B%22
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"B","key":"B","value":{"rev":"1-B"}}
            ]}

            > GET /d/_all_docs?endkey=%7B%7D
            200 OK
            {"total_rows":5,"offset":0,"rows":[

            ]}

            > GET /d/_all_docs?startkey=%22a%22&endkey=%22B%22
            200 OK
            {"total_rows":5,"offset":3,"rows":[

            ]}

            > GET /d/_all_docs?limit=0&update_seq=true
            200 OK
            {"total_rows":5,"offset":0,"update_seq":"7-t","rows":[

            ]}

            > GET /d/_all_docs?limit=1&sorted=false
            200 OK
            {"rows":[
            {"id":"B","key":"B","value":{"rev":"1-B"}}
            ]}

            > GET /none/_all_docs
            404 Not Found
            {"error":"not_found","reason":"Database does not exist."}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn rows_hold_documents_with_what_was_asked_for() {
    check(
        &[
            "GET /d/_all_docs?include_docs=true&key=%22a%22",
            "GET /d/_all_docs?include_docs=true&conflicts=true&att_encoding_info=true&key=%22a%22",
            "GET /d/_all_docs?include_docs=true&attachments=true&startkey=%22B%22&endkey=%22a%22",
        ],
        expect![[r#"
            > GET /d/_all_docs?include_docs=true&key=%22a%22
            200 OK
            {"total_rows":5,"offset":3,"rows":[
            {"id":"a","key":"a","value":{"rev":"1-b"},"doc":{"_id":"a","_rev":"1-b","v":1.0,"_attachments":{"x":{"content_type":"text/plain","revpos":1,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","length":2,"stub":true}}}}
            ]}

            > GET /d/_all_docs?include_docs=true&conflicts=true&att_encoding_info=true&key=%22a%22
            200 OK
            {"total_rows":5,"offset":3,"rows":[
            {"id":"a","key":"a","value":{"rev":"1-b"},"doc":{"_id":"a","_rev":"1-b","v":1.0,"_conflicts":["1-a"],"_attachments":{"x":{"content_type":"text/plain","revpos":1,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","length":2,"stub":true,"encoding":"gzip","encoded_length":22}}}}
            ]}

            > GET /d/_all_docs?include_docs=true&attachments=true&startkey=%22B%22&endkey=%22a%22
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"B","key":"B","value":{"rev":"1-B"},"doc":{"_id":"B","_rev":"1-B"}},
            {"id":"_design/x","key":"_design/x","value":{"rev":"1-967a00dff5e02add41819138abb3284d"},"doc":{"_id":"_design/x","_rev":"1-967a00dff5e02add41819138abb3284d"}},
            {"id":"_design/y","key":"_design/y","value":{"rev":"1-967a00dff5e02add41819138abb3284d"},"doc":{"_id":"_design/y","_rev":"1-967a00dff5e02add41819138abb3284d"}},
            {"id":"a","key":"a","value":{"rev":"1-b"},"doc":{"_id":"a","_rev":"1-b","v":1.0,"_attachments":{"x":{"content_type":"text/plain","revpos":1,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","data":"eHg="}}}}
            ]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn keys_have_rows_in_their_order_whatever_they_find() {
    check(
        &[
            r#"POST /d/_all_docs {"keys": ["b", "none", "a", "a", 1, "_local/p", ""]}"#,
            r#"POST /d/_all_docs?include_docs=true {"keys": ["b", "none", "B"]}"#,
            r#"POST /d/_all_docs?attachments=true {"keys": ["b", "none", "a"], "include_docs": true}"#,
            r#"POST /d/_all_docs?descending=true&skip=1&limit=1 {"keys": ["b", "none", "a"]}"#,
            r#"POST /d/_all_docs {"keys": []}"#,
            r#"POST /d/_all_docs {"keys": ["a"], "key": "b"}"#,
            r#"POST /d/_all_docs {"keys": "a"}"#,
            r#"POST /d/_all_docs {"limit": 1, "startkey": "B"}"#,
            "POST /d/_all_docs\ncontent-type: application/json\n\n[]",
            "POST /d/_all_docs\n\n{}",
            "GET /d/_all_docs?keys=%5B%22a%22%5D&update_seq=true",
        ],
        expect![[r#"
            > POST /d/_all_docs {"keys": ["b", "none", "a", "a", 1, "_local/p", ""]}
            200 OK
            {"total_rows":5,"offset":null,"rows":[
            {"id":"b","key":"b","value":{"rev":"2-b","deleted":true}},
            {"key":"none","error":"not_found"},
            {"id":"a","key":"a","value":{"rev":"1-b"}},
            {"id":"a","key":"a","value":{"rev":"1-b"}},
            {"key":1,"error":"not_found"},
            {"key":"_local/p","error":"not_found"},
            {"key":"","error":"not_found"}
            ]}

            > POST /d/_all_docs?include_docs=true {"keys": ["b", "none", "B"]}
            200 OK
            {"total_rows":5,"offset":null,"rows":[
            {"id":"b","key":"b","value":{"rev":"2-b","deleted":true},"doc":null},
            {"key":"none","error":"not_found"},
            {"id":"B","key":"B","value":{"rev":"1-B"},"doc":{"_id":"B","_rev":"1-B"}}
            ]}

            > POST /d/_all_docs?attachments=true {"keys": ["b", "none", "a"], "include_docs": true}
            200 OK
            {"total_rows":5,"offset":null,"rows":[
            {"id":"b","key":"b","value":{"rev":"2-b","deleted":true},"doc":null},
            {"key":"none","error":"not_found"},
            {"id":"a","key":"a","value":{"rev":"1-b"},"doc":{"_id":"a","_rev":"1-b","v":1.0,"_attachments":{"x":{"content_type":"text/plain","revpos":1,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","data":"eHg="}}}}
            ]}

            > POST /d/_all_docs?descending=true&skip=1&limit=1 {"keys": ["b", "none", "a"]}
            200 OK
            {"total_rows":5,"offset":null,"rows":[
            {"key":"none","error":"not_found"}
            ]}

            > POST /d/_all_docs {"keys": []}
            200 OK
            {"total_rows":5,"offset":null,"rows":[

            ]}

            > POST /d/_all_docs {"keys": ["a"], "key": "b"}
            400 Bad Request
            {"error":"query_parse_error","reason":"`keys` is incompatible with `key`, `start_key` and `end_key`"}

            > POST /d/_all_docs {"keys": "a"}
            400 Bad Request
            {"error":"bad_request","reason":"`keys` member must be an array."}

            > POST /d/_all_docs {"limit": 1, "startkey": "B"}
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"B","key":"B","value":{"rev":"1-B"}}
            ]}

            > POST /d/_all_docs
            content-type: application/json

            []
            400 Bad Request
            {"error":"bad_request","reason":"Request body must be a JSON object"}

            > POST /d/_all_docs

            {}
            415 Unsupported Media Type
            {"error":"bad_content_type","reason":"Content-Type must be application/json"}

            > GET /d/_all_docs?keys=%5B%22a%22%5D&update_seq=true
            200 OK
            {"total_rows":5,"offset":null,"update_seq":null,"rows":[
            {"id":"a","key":"a","value":{"rev":"1-b"}}
            ]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn design_and_local_documents_have_lists_of_their_own() {
    check(
        &[
            "GET /d/_design_docs",
            "GET /d/_design_docs?startkey=%22_design/y%22&include_docs=true",
            "GET /d/_design_docs?descending=true&limit=1",
            r#"POST /d/_design_docs {"keys": ["a", "_design/x", "_design/none"]}"#,
            "GET /d/_local_docs",
            "GET /d/_local_docs?include_docs=true&descending=true&limit=1",
            "GET /d/_local_docs?startkey=%22_local/q%22",
            r#"POST /d/_local_docs {"keys": ["_local/q", "_local/none", "a"]}"#,
        ],
        expect![[r#"
            > GET /d/_design_docs
            200 OK
            {"total_rows":2,"offset":1,"rows":[
            {"id":"_design/x","key":"_design/x","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},
            {"id":"_design/y","key":"_design/y","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}}
            ]}

            > GET /d/_design_docs?startkey=%22_design/y%22&include_docs=true
            200 OK
            {"total_rows":2,"offset":2,"rows":[
            {"id":"_design/y","key":"_design/y","value":{"rev":"1-967a00dff5e02add41819138abb3284d"},"doc":{"_id":"_design/y","_rev":"1-967a00dff5e02add41819138abb3284d"}}
            ]}

            > GET /d/_design_docs?descending=true&limit=1
            200 OK
            {"total_rows":2,"offset":2,"rows":[
            {"id":"_design/y","key":"_design/y","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}}
            ]}

            > POST /d/_design_docs {"keys": ["a", "_design/x", "_design/none"]}
            200 OK
            {"total_rows":2,"offset":null,"rows":[
            {"id":"_design/x","key":"_design/x","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},
            {"key":"_design/none","error":"not_found"}
            ]}

            > GET /d/_local_docs
            200 OK
            {"total_rows":null,"offset":null,"rows":[
            {"id":"_local/p","key":"_local/p","value":{"rev":"0-1"}},
            {"id":"_local/q","key":"_local/q","value":{"rev":"0-1"}}
            ]}

            > GET /d/_local_docs?include_docs=true&descending=true&limit=1
            200 OK
            {"total_rows":null,"offset":null,"rows":[
            {"id":"_local/q","key":"_local/q","value":{"rev":"0-1"},"doc":{"_id":"_local/q","_rev":"0-1"}}
            ]}

            > GET /d/_local_docs?startkey=%22_local/q%22
            200 OK
            {"total_rows":null,"offset":null,"rows":[
            {"id":"_local/q","key":"_local/q","value":{"rev":"0-1"}}
            ]}

            > POST /d/_local_docs {"keys": ["_local/q", "_local/none", "a"]}
            200 OK
            {"total_rows":null,"offset":null,"rows":[
            {"id":"_local/q","key":"_local/q","value":{"rev":"0-1"}},
            {"key":"_local/none","error":"not_found"}
            ]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn several_lists_come_in_one_reply() {
    check(
        &[
            r#"POST /d/_all_docs/queries {"queries": [{"limit": 1}, {"keys": ["B"]}, {"keys": ["b", "none"]}]}"#,
            r#"POST /d/_all_docs/queries?include_docs=true {"queries": [{"key": "B"}, {"key": "B", "include_docs": false}]}"#,
            r#"POST /d/_design_docs/queries {"queries": [{"limit": 1}]}"#,
            r#"POST /d/_local_docs/queries {"queries": [{"limit": 1}, {}]}"#,
            r#"POST /d/_all_docs/queries {"queries": []}"#,
            r#"POST /d/_all_docs/queries {"queries": [1]}"#,
            r#"POST /d/_all_docs/queries {}"#,
        ],
        expect![[r#"
            > POST /d/_all_docs/queries {"queries": [{"limit": 1}, {"keys": ["B"]}, {"keys": ["b", "none"]}]}
            200 OK
            {"results":[
            {"total_rows":5,"offset":0,"rows":[
            {"id":"B","key":"B","value":{"rev":"1-B"}}
            ]},
            {"total_rows":5,"offset":0,"rows":[
            {"id":"B","key":"B","value":{"rev":"1-B"}}
            ]},
            {"total_rows":5,"offset":null,"rows":[
            {"id":"b","key":"b","value":{"rev":"2-b","deleted":true}},
            {"key":"none","error":"not_found"}
            ]}
            ]}

            > POST /d/_all_docs/queries?include_docs=true {"queries": [{"key": "B"}, {"key": "B", "include_docs": false}]}
            200 OK
            {"results":[
            {"total_rows":5,"offset":0,"rows":[
            {"id":"B","key":"B","value":{"rev":"1-B"},"doc":{"_id":"B","_rev":"1-B"}}
            ]},
            {"total_rows":5,"offset":0,"rows":[
            {"id":"B","key":"B","value":{"rev":"1-B"}}
            ]}
            ]}

            > POST /d/_design_docs/queries {"queries": [{"limit": 1}]}
            200 OK
            {"results":[
            {"total_rows":2,"offset":1,"rows":[
            {"id":"_design/x","key":"_design/x","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}}
            ]}
            ]}

            > POST /d/_local_docs/queries {"queries": [{"limit": 1}, {}]}
            200 OK
            {"results":[
            {"total_rows":null,"offset":null,"rows":[
            {"id":"_local/p","key":"_local/p","value":{"rev":"0-1"}}
            ]},
            {"total_rows":null,"offset":null,"rows":[
            {"id":"_local/p","key":"_local/p","value":{"rev":"0-1"}},
            {"id":"_local/q","key":"_local/q","value":{"rev":"0-1"}}
            ]}
            ]}

            > POST /d/_all_docs/queries {"queries": []}
            200 OK
            {"results":[
            ]}

            > POST /d/_all_docs/queries {"queries": [1]}
            400 Bad Request
            {"error":"bad_request","reason":"each of `queries` must be an object"}

            > POST /d/_all_docs/queries {}
            400 Bad Request
            {"error":"bad_request","reason":"POST body must include `queries` parameter."}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_long_list_has_every_row_once() {
    let server = crate::story::begin().await;
    let docs: Vec<_> = (0..5_000).map(|n| format!("{{\"_id\":\"{n:05}\"}}")).collect();
    let request = format!("POST /d/_bulk_docs {{\"docs\":[{}]}}", docs.join(","));
    assert_eq!(ask(&server, &request).await.status(), 201);
    let ids: Vec<_> = (0..5_000).map(|n| format!("{n:05}")).collect();
    for path in ["/d/_all_docs", "/d/_all_docs?include_docs=true"] {
        assert_eq!(listed(&server, &format!("GET {path}")).await, ids);
    }
    let keys = serde_json::to_string(&ids).unwrap();
    let request = format!("POST /d/_all_docs {{\"keys\":{keys}}}");
    assert_eq!(listed(&server, &request).await, ids);
    let mut backwards = ids;
    backwards.reverse();
    assert_eq!(listed(&server, "GET /d/_all_docs?descending=true").await, backwards);
}

async fn listed(server: &TestServer, request: &str) -> Vec<String> {
    let reply = told(ask(server, request).await).await;
    let (_, body) = reply.split_once('\n').unwrap();
    let list: serde_json::Value = serde_json::from_str(body).unwrap();
    let rows = list["rows"].as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_bound_longer_than_any_id_counts_as_far_as_ids_go() {
    let server = crate::story::begin().await;
    let id = "i".repeat(1_500);
    assert_eq!(ask(&server, &format!("PUT /d/{id} {{}}")).await.status(), 201);
    let long = "i".repeat(3_000);
    let list = async |bounds: &str| listed(&server, &format!("GET /d/_all_docs?{bounds}")).await;
    assert_eq!(list(&format!("startkey=%22{long}%22")).await, Vec::<String>::new());
    assert_eq!(list(&format!("endkey=%22{long}%22")).await, std::slice::from_ref(&id));
    assert_eq!(list(&format!("endkey=%22{long}%22&inclusive_end=false")).await, [id]);
    let missing = format!("POST /d/_all_docs {{\"keys\":[\"{long}\"]}}");
    assert!(told(ask(&server, &missing).await).await.contains("not_found"));
}
