//! Views: rows of functions in order, reduced, with their documents; what is refused, and how; and
//! what there is to say of indexes and partitions.

use expect_test::{Expect, expect};
use settle_access::{AdministerServer, Grant, Resource};
use settle_database::CreateOptions;

use crate::asked::{ask, body, check_on};
use crate::support::TestServer;

/// Orders of three customers, with links between documents, and one that is in conflict.
async fn filled() -> TestServer {
    let server = crate::story::begin().await;
    let requests = [
        r#"PUT /d/_design/s {"views": {"sums": {"map": "function (doc) { if (doc.by) emit([doc.by, doc.day], doc.sum); }", "reduce": "_sum"}, "days": {"map": "function (doc) { if (doc.day) emit(doc.day, null); }"}, "all": {"map": "function (doc) { if (doc.by) emit([doc.by, doc.day], 1); }", "reduce": "function (keys, values, rereduce) { return rereduce ? sum(values) : values.length; }"}, "links": {"map": "function (doc) { if (doc.link) emit(doc._id, doc.link); }"}, "texts": {"map": "function (doc) { if (doc.by) emit(doc.by, 'x'); }", "reduce": "_sum"}}}"#,
        r#"POST /d/_bulk_docs {"docs": [{"_id": "1", "by": "ann", "day": 1, "sum": 5}, {"_id": "2", "by": "ann", "day": 2, "sum": 7}, {"_id": "3", "by": "bob", "day": 1, "sum": 1.5}, {"_id": "4", "by": "bob", "day": 1, "sum": 2}, {"_id": "5", "by": "cem", "day": 3, "sum": 10}]}"#,
        r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "c", "_rev": "1-a"}, {"_id": "c", "_rev": "1-b", "v": 1, "_attachments": {"x": {"content_type": "text/plain", "data": "eHg="}}}]}"#,
        r#"POST /d/_bulk_docs {"docs": [{"_id": "l1", "link": {"_id": "1"}}, {"_id": "l2", "link": {"_id": "c", "_rev": "1-a"}}, {"_id": "l3", "link": {"_id": "nowhere"}}, {"_id": "l4", "link": {"_id": 7}}, {"_id": "l5", "link": {"_id": "c"}}]}"#,
    ];
    for request in requests {
        assert_eq!(ask(&server, request).await.status(), 201);
    }
    server
}

/// The body of an answer.
async fn get(server: &TestServer, path: &str) -> String {
    let response = ask(server, &format!("GET {path}")).await;
    assert_eq!(response.status(), 200, "{path}");
    body(response).await
}

async fn check(requests: &[&str], expected: Expect) {
    check_on(&filled().await, requests, expected).await;
}

#[tokio::test]
async fn rows_come_in_the_order_of_their_keys() {
    check(
        &[
            "GET /d/_design/s/_view/days",
            "GET /d/_design/s/_view/days?descending=true&skip=1&limit=2",
            "GET /d/_design/s/_view/days?key=1",
            "GET /d/_design/s/_view/days?startkey=2",
            "GET /d/_design/s/_view/days?startkey=1&startkey_docid=3&endkey=2",
            "GET /d/_design/s/_view/days?startkey=1&endkey=1&endkey_docid=3",
            "GET /d/_design/s/_view/days?startkey=1&endkey=1&endkey_docid=3&inclusive_end=false",
            "GET /d/_design/s/_view/days?startkey=3&endkey=1&descending=true&inclusive_end=false",
            "GET /d/_design/s/_view/days?startkey=9",
            "GET /d/_design/s/_view/days?limit=0",
            "GET /d/_design/s/_view/days?limit=1&sorted=false",
            "GET /d/_design/s/_view/sums?reduce=false&startkey=[%22ann%22]&endkey=[%22ann%22,{}]",
        ],
        expect![[r#"
            > GET /d/_design/s/_view/days
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"1","key":1,"value":null},
            {"id":"3","key":1,"value":null},
            {"id":"4","key":1,"value":null},
            {"id":"2","key":2,"value":null},
            {"id":"5","key":3,"value":null}
            ]}

            > GET /d/_design/s/_view/days?descending=true&skip=1&limit=2
            200 OK
            {"total_rows":5,"offset":1,"rows":[
            {"id":"2","key":2,"value":null},
            {"id":"4","key":1,"value":null}
            ]}

            > GET /d/_design/s/_view/days?key=1
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"1","key":1,"value":null},
            {"id":"3","key":1,"value":null},
            {"id":"4","key":1,"value":null}
            ]}

            > GET /d/_design/s/_view/days?startkey=2
            200 OK
            {"total_rows":5,"offset":3,"rows":[
            {"id":"2","key":2,"value":null},
            {"id":"5","key":3,"value":null}
            ]}

            > GET /d/_design/s/_view/days?startkey=1&startkey_docid=3&endkey=2
            200 OK
            {"total_rows":5,"offset":1,"rows":[
            {"id":"3","key":1,"value":null},
            {"id":"4","key":1,"value":null},
            {"id":"2","key":2,"value":null}
            ]}

            > GET /d/_design/s/_view/days?startkey=1&endkey=1&endkey_docid=3
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"1","key":1,"value":null},
            {"id":"3","key":1,"value":null}
            ]}

            > GET /d/_design/s/_view/days?startkey=1&endkey=1&endkey_docid=3&inclusive_end=false
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"1","key":1,"value":null}
            ]}

            > GET /d/_design/s/_view/days?startkey=3&endkey=1&descending=true&inclusive_end=false
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"5","key":3,"value":null},
            {"id":"2","key":2,"value":null}
            ]}

            > GET /d/_design/s/_view/days?startkey=9
            200 OK
            {"total_rows":5,"offset":5,"rows":[

            ]}

            > GET /d/_design/s/_view/days?limit=0
            200 OK
            {"total_rows":5,"offset":0,"rows":[

            ]}

            > GET /d/_design/s/_view/days?limit=1&sorted=false
            200 OK
            {"rows":[
            {"id":"1","key":1,"value":null}
            ]}

            > GET /d/_design/s/_view/sums?reduce=false&startkey=[%22ann%22]&endkey=[%22ann%22,{}]
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"1","key":["ann",1],"value":5},
            {"id":"2","key":["ann",2],"value":7}
            ]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn keys_are_answered_in_the_order_of_the_question() {
    check(
        &[
            "GET /d/_design/s/_view/days?keys=[3,1,9]",
            "GET /d/_design/s/_view/days?keys=[3,1]&skip=1&limit=2",
            "GET /d/_design/s/_view/days?keys=[3]",
            "GET /d/_design/s/_view/days?keys=[]",
            r#"POST /d/_design/s/_view/days {"keys": [2, 3]}"#,
            r#"POST /d/_design/s/_view/days?limit=1 {"startkey": 2, "limit": 5}"#,
            r#"POST /d/_design/s/_view/sums?group=true {"keys": [["bob", 1], ["x"], ["ann", 2]]}"#,
            r#"POST /d/_design/s/_view/sums/queries {"queries": [{"reduce": false, "limit": 1}, {"key": ["bob", 1]}, {"group_level": 1}]}"#,
            r#"POST /d/_design/s/_view/sums/queries {"queries": []}"#,
            r#"POST /d/_design/s/_view/sums {"queries": []}"#,
            r#"POST /d/_design/s/_view/sums/queries {}"#,
        ],
        expect![[r#"
            > GET /d/_design/s/_view/days?keys=[3,1,9]
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"5","key":3,"value":null},
            {"id":"1","key":1,"value":null},
            {"id":"3","key":1,"value":null},
            {"id":"4","key":1,"value":null}
            ]}

            > GET /d/_design/s/_view/days?keys=[3,1]&skip=1&limit=2
            200 OK
            {"total_rows":5,"offset":1,"rows":[
            {"id":"1","key":1,"value":null},
            {"id":"3","key":1,"value":null}
            ]}

            > GET /d/_design/s/_view/days?keys=[3]
            200 OK
            {"total_rows":5,"offset":4,"rows":[
            {"id":"5","key":3,"value":null}
            ]}

            > GET /d/_design/s/_view/days?keys=[]
            200 OK
            {"total_rows":5,"offset":0,"rows":[

            ]}

            > POST /d/_design/s/_view/days {"keys": [2, 3]}
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"2","key":2,"value":null},
            {"id":"5","key":3,"value":null}
            ]}

            > POST /d/_design/s/_view/days?limit=1 {"startkey": 2, "limit": 5}
            200 OK
            {"total_rows":5,"offset":3,"rows":[
            {"id":"2","key":2,"value":null}
            ]}

            > POST /d/_design/s/_view/sums?group=true {"keys": [["bob", 1], ["x"], ["ann", 2]]}
            200 OK
            {"rows":[
            {"key":["bob",1],"value":3.5},
            {"key":["ann",2],"value":7}
            ]}

            > POST /d/_design/s/_view/sums/queries {"queries": [{"reduce": false, "limit": 1}, {"key": ["bob", 1]}, {"group_level": 1}]}
            200 OK
            {"results":[
            {"total_rows":5,"offset":0,"rows":[
            {"id":"1","key":["ann",1],"value":5}
            ]},
            {"rows":[
            {"key":null,"value":3.5}
            ]},
            {"rows":[
            {"key":["ann"],"value":12},
            {"key":["bob"],"value":3.5},
            {"key":["cem"],"value":10}
            ]}
            ]}

            > POST /d/_design/s/_view/sums/queries {"queries": []}
            200 OK
            {"results":[
            ]}

            > POST /d/_design/s/_view/sums {"queries": []}
            400 Bad Request
            {"error":"bad_request","reason":"The `queries` parameter is no longer supported at this endpoint"}

            > POST /d/_design/s/_view/sums/queries {}
            400 Bad Request
            {"error":"bad_request","reason":"POST body must include `queries` parameter."}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn groups_are_reduced_together() {
    check(
        &[
            "GET /d/_design/s/_view/sums",
            "GET /d/_design/s/_view/sums?group=true",
            "GET /d/_design/s/_view/sums?group_level=1",
            "GET /d/_design/s/_view/sums?group_level=0",
            "GET /d/_design/s/_view/sums?group_level=1&descending=true&skip=1&limit=1",
            "GET /d/_design/s/_view/sums?group_level=1&startkey=[%22ann%22,2]&endkey=[%22bob%22,{}]",
            "GET /d/_design/s/_view/sums?startkey=[%22x%22]",
            "GET /d/_design/s/_view/sums?group=true&limit=0",
            "GET /d/_design/s/_view/all",
            "GET /d/_design/s/_view/all?group_level=1",
        ],
        expect![[r#"
            > GET /d/_design/s/_view/sums
            200 OK
            {"rows":[
            {"key":null,"value":25.5}
            ]}

            > GET /d/_design/s/_view/sums?group=true
            200 OK
            {"rows":[
            {"key":["ann",1],"value":5},
            {"key":["ann",2],"value":7},
            {"key":["bob",1],"value":3.5},
            {"key":["cem",3],"value":10}
            ]}

            > GET /d/_design/s/_view/sums?group_level=1
            200 OK
            {"rows":[
            {"key":["ann"],"value":12},
            {"key":["bob"],"value":3.5},
            {"key":["cem"],"value":10}
            ]}

            > GET /d/_design/s/_view/sums?group_level=0
            200 OK
            {"rows":[
            {"key":null,"value":25.5}
            ]}

            > GET /d/_design/s/_view/sums?group_level=1&descending=true&skip=1&limit=1
            200 OK
            {"rows":[
            {"key":["bob"],"value":3.5}
            ]}

            > GET /d/_design/s/_view/sums?group_level=1&startkey=[%22ann%22,2]&endkey=[%22bob%22,{}]
            200 OK
            {"rows":[
            {"key":["ann"],"value":7},
            {"key":["bob"],"value":3.5}
            ]}

            > GET /d/_design/s/_view/sums?startkey=[%22x%22]
            200 OK
            {"rows":[

            ]}

            > GET /d/_design/s/_view/sums?group=true&limit=0
            200 OK
            {"rows":[

            ]}

            > GET /d/_design/s/_view/all
            200 OK
            {"rows":[
            {"key":null,"value":5}
            ]}

            > GET /d/_design/s/_view/all?group_level=1
            200 OK
            {"rows":[
            {"key":["ann"],"value":2},
            {"key":["bob"],"value":2},
            {"key":["cem"],"value":1}
            ]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn documents_stand_in_rows_their_own_or_linked_ones() {
    check(
        &[
            "GET /d/_design/s/_view/days?include_docs=true&limit=1",
            "GET /d/_design/s/_view/links?include_docs=true",
            "GET /d/_design/s/_view/links?include_docs=true&conflicts=true&key=%22l5%22",
            "GET /d/_design/s/_view/links?include_docs=true&attachments=true&key=%22l5%22",
        ],
        expect![[r#"
            > GET /d/_design/s/_view/days?include_docs=true&limit=1
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"1","key":1,"value":null,"doc":{"_id":"1","_rev":"1-263d1e28c3659b5d4362eaee46470108","by":"ann","day":1,"sum":5}}
            ]}

            > GET /d/_design/s/_view/links?include_docs=true
            200 OK
            {"total_rows":5,"offset":0,"rows":[
            {"id":"l1","key":"l1","value":{"_id":"1"},"doc":{"_id":"1","_rev":"1-263d1e28c3659b5d4362eaee46470108","by":"ann","day":1,"sum":5}},
            {"id":"l2","key":"l2","value":{"_id":"c","_rev":"1-a"},"doc":{"_id":"c","_rev":"1-a"}},
            {"id":"l3","key":"l3","value":{"_id":"nowhere"},"doc":null},
            {"id":"l4","key":"l4","value":{"_id":7},"doc":null},
            {"id":"l5","key":"l5","value":{"_id":"c"},"doc":{"_id":"c","_rev":"1-b","v":1,"_attachments":{"x":{"content_type":"text/plain","revpos":1,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","length":2,"stub":true}}}}
            ]}

            > GET /d/_design/s/_view/links?include_docs=true&conflicts=true&key=%22l5%22
            200 OK
            {"total_rows":5,"offset":4,"rows":[
            {"id":"l5","key":"l5","value":{"_id":"c"},"doc":{"_id":"c","_rev":"1-b","v":1,"_conflicts":["1-a"],"_attachments":{"x":{"content_type":"text/plain","revpos":1,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","length":2,"stub":true}}}}
            ]}

            > GET /d/_design/s/_view/links?include_docs=true&attachments=true&key=%22l5%22
            200 OK
            {"total_rows":5,"offset":4,"rows":[
            {"id":"l5","key":"l5","value":{"_id":"c"},"doc":{"_id":"c","_rev":"1-b","v":1,"_attachments":{"x":{"content_type":"text/plain","revpos":1,"digest":"md5-BxueR53uSIqRqEh6tP9Rdw==","data":"eHg="}}}}
            ]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_in_couchdbs_words() {
    check(
        &[
            "GET /d/_design/s/_view/none",
            "GET /d/_design/none/_view/days",
            "GET /d/_design/s/_view/days?reduce=true",
            "GET /d/_design/s/_view/days?group=true",
            "GET /d/_design/s/_view/days?group_level=1",
            "GET /d/_design/s/_view/sums?include_docs=true",
            "GET /d/_design/s/_view/sums?conflicts=true",
            "GET /d/_design/s/_view/sums?keys=[1,2]",
            "GET /d/_design/s/_view/sums?group_level=x",
            "GET /d/_design/s/_view/sums?group_level=-1",
            "GET /d/_design/s/_view/days?keys=[1,2]&key=1",
            "GET /d/_design/s/_view/days?startkey=2&endkey=1",
            "GET /d/_design/s/_view/days?startkey=1&endkey=2&descending=true",
            "GET /d/_design/s/_view/days?update=maybe",
            "GET /d/_design/s/_view/days?stale=maybe",
            "GET /d/_design/s/_view/days?stable=maybe",
            "GET /d/_design/s/_view/days?key=",
            "GET /d/_design/s/_view/texts",
            "GET /d/_design/s/_view/days?partition=p",
        ],
        expect![[r#"
            > GET /d/_design/s/_view/none
            404 Not Found
            {"error":"not_found","reason":"missing_named_view"}

            > GET /d/_design/none/_view/days
            404 Not Found
            {"error":"not_found","reason":"missing"}

            > GET /d/_design/s/_view/days?reduce=true
            400 Bad Request
            {"error":"query_parse_error","reason":"Reduce is invalid for map-only views."}

            > GET /d/_design/s/_view/days?group=true
            400 Bad Request
            {"error":"query_parse_error","reason":"Invalid use of grouping on a map view."}

            > GET /d/_design/s/_view/days?group_level=1
            400 Bad Request
            {"error":"query_parse_error","reason":"Invalid use of grouping on a map view."}

            > GET /d/_design/s/_view/sums?include_docs=true
            400 Bad Request
            {"error":"query_parse_error","reason":"`include_docs` is invalid for reduce"}

            > GET /d/_design/s/_view/sums?conflicts=true
            400 Bad Request
            {"error":"query_parse_error","reason":"`conflicts` is invalid for reduce views."}

            > GET /d/_design/s/_view/sums?keys=[1,2]
            400 Bad Request
            {"error":"query_parse_error","reason":"Multi-key fetches for reduce views must use `group=true`"}

            > GET /d/_design/s/_view/sums?group_level=x
            400 Bad Request
            {"error":"query_parse_error","reason":"Invalid value for integer: \"x\""}

            > GET /d/_design/s/_view/sums?group_level=-1
            400 Bad Request
            {"error":"query_parse_error","reason":"Invalid value for positive integer: \"-1\""}

            > GET /d/_design/s/_view/days?keys=[1,2]&key=1
            400 Bad Request
            {"error":"query_parse_error","reason":"`keys` is incompatible with `key`, `start_key` and `end_key`"}

            > GET /d/_design/s/_view/days?startkey=2&endkey=1
            400 Bad Request
            {"error":"query_parse_error","reason":"No rows can match your key range, reverse your start_key and end_key or set descending=true"}

            > GET /d/_design/s/_view/days?startkey=1&endkey=2&descending=true
            400 Bad Request
            {"error":"query_parse_error","reason":"No rows can match your key range, reverse your start_key and end_key or set descending=false"}

            > GET /d/_design/s/_view/days?update=maybe
            400 Bad Request
            {"error":"query_parse_error","reason":"Invalid value for `update`."}

            > GET /d/_design/s/_view/days?stale=maybe
            400 Bad Request
            {"error":"query_parse_error","reason":"Invalid value for `stale`."}

            > GET /d/_design/s/_view/days?stable=maybe
            400 Bad Request
            {"error":"query_parse_error","reason":"Invalid value for `stable`."}

            > GET /d/_design/s/_view/days?key=
            400 Bad Request
            {"error":"bad_request","reason":"invalid UTF-8 JSON"}

            > GET /d/_design/s/_view/texts
            200 OK
            {"rows":[
            {"key":null,"value":{"error":"builtin_reduce_error","reason":"The _sum function requires that map values be numbers, arrays of numbers, or objects. Objects cannot be mixed with other data structures. Objects can be arbitrarily nested, provided that the values for all fields are themselves numbers, arrays of numbers, or objects.","caused_by":"x"}}
            ]}

            > GET /d/_design/s/_view/days?partition=p
            400 Bad Request
            {"error":"query_parse_error","reason":"`partition` parameter is not supported in this design doc"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_answer_may_be_older_than_the_database_where_that_is_wanted() {
    let server = filled().await;
    let get = async |query: &str| get(&server, &format!("/d/_design/s/_view/days{query}")).await;
    // Nobody has waited for the index so far.
    for query in ["?update=false", "?stale=ok"] {
        let text = get(query).await;
        assert!(text.contains("\"total_rows\":0") || text.contains("\"total_rows\":5"), "{text}");
    }
    let whole = get("").await;
    assert!(whole.contains("\"total_rows\":5"), "{whole}");
    for query in ["?update=false", "?stale=ok", "?stable=true&update=true", "?update=lazy"] {
        assert_eq!(get(query).await, whole, "{query}");
    }
    let text = get("?update_seq=true&limit=0").await;
    assert!(text.contains("\"update_seq\":\"13-"), "{text}");
}

#[tokio::test]
async fn a_long_answer_is_whole() {
    let server = filled().await;
    let docs: Vec<String> = (0..3_000)
        .map(|n| format!(r#"{{"_id":"n{n:05}","by":"dan","day":{n},"pad":"{n:060}"}}"#))
        .collect();
    let request = format!("POST /d/_bulk_docs {{\"docs\":[{}]}}", docs.join(","));
    assert_eq!(ask(&server, &request).await.status(), 201);
    for (query, count) in [
        ("", 3_004),
        ("?include_docs=true", 3_004),
        ("?descending=true", 3_004),
        ("?skip=2500", 504),
        ("?startkey=1000&endkey=1999", 1_000),
    ] {
        let text = get(&server, &format!("/d/_design/s/_view/days{query}")).await;
        let body: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["total_rows"], 3_004);
        assert_eq!(body["rows"].as_array().unwrap().len(), count, "{query}");
    }
    // Functions reduce many segments, and what they made of them.
    let range = "?startkey=[%22cem%22]&endkey=[%22dan%22,2000]";
    check_on(
        &server,
        &[
            "GET /d/_design/s/_view/all",
            "GET /d/_design/s/_view/all?group_level=1",
            &format!("GET /d/_design/s/_view/all{range}"),
        ],
        expect![[r#"
            > GET /d/_design/s/_view/all
            200 OK
            {"rows":[
            {"key":null,"value":3005}
            ]}

            > GET /d/_design/s/_view/all?group_level=1
            200 OK
            {"rows":[
            {"key":["ann"],"value":2},
            {"key":["bob"],"value":2},
            {"key":["cem"],"value":1},
            {"key":["dan"],"value":3000}
            ]}

            > GET /d/_design/s/_view/all?startkey=[%22cem%22]&endkey=[%22dan%22,2000]
            200 OK
            {"rows":[
            {"key":null,"value":2002}
            ]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn an_index_tells_of_itself() {
    let server = filled().await;
    get(&server, "/d/_design/s/_view/days").await;
    let info = get(&server, "/d/_design/s/_info").await;
    for part in [
        "\"name\":\"s\",\"view_index\":{\"updates_pending\":{\"minimum\":0,",
        "\"language\":\"javascript\"",
        "\"updater_running\":false",
        "\"compact_running\":false",
    ] {
        assert!(info.contains(part), "{info}");
    }
    check_on(
        &server,
        &[
            "GET /d/_design/none/_info",
            "POST /d/_view_cleanup {}",
            "POST /d/_compact/s {}",
            "POST /d/_compact/none {}",
        ],
        expect![[r#"
            > GET /d/_design/none/_info
            404 Not Found
            {"error":"not_found","reason":"missing"}

            > POST /d/_view_cleanup {}
            202 Accepted
            {"ok":true}

            > POST /d/_compact/s {}
            202 Accepted
            {"ok":true}

            > POST /d/_compact/none {}
            404 Not Found
            {"error":"not_found","reason":"missing"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_partition_is_asked_as_if_it_were_alone() {
    let server = TestServer::new().await;
    let grant = Grant::<AdministerServer>::internal(Resource::Server, "a test");
    let options = CreateOptions { partitioned: true, ..CreateOptions::default() };
    server.app.state().site.store.create(&grant, &"p".parse().unwrap(), options).await.unwrap();
    let requests = [
        r#"PUT /p/_design/s {"views": {"v": {"map": "function (doc) { emit(doc.n, doc.n); }", "reduce": "_sum"}}}"#,
        r#"PUT /p/_design/g {"options": {"partitioned": false}, "views": {"v": {"map": "function (doc) { emit(doc.n, doc.n); }", "reduce": "_sum"}}}"#,
        r#"POST /p/_bulk_docs {"docs": [{"_id": "a:1", "n": 1}, {"_id": "a:2", "n": 2}, {"_id": "b:1", "n": 10}, {"_id": "ab:1", "n": 100}]}"#,
        "PUT /d",
    ];
    for request in requests {
        assert_eq!(ask(&server, request).await.status(), 201, "{request}");
    }
    check_on(
        &server,
        &[
            "GET /p/_partition/a/_design/s/_view/v?reduce=false",
            "GET /p/_partition/a/_design/s/_view/v",
            "GET /p/_partition/b/_design/s/_view/v?group=true",
            "GET /p/_partition/a/_design/s/_view/v?reduce=false&startkey=2&descending=true",
            "GET /p/_partition/a/_design/s/_view/v?reduce=false&keys=[2,1,10]",
            r#"POST /p/_partition/a/_design/s/_view/v {"key": 2}"#,
            "GET /p/_design/s/_view/v",
            "GET /p/_design/s/_view/v?partition=b",
            "GET /p/_design/g/_view/v",
            "GET /p/_partition/a/_design/g/_view/v",
            "GET /p/_partition/a/_all_docs",
            "GET /p/_partition/a/_all_docs?startkey=%22a:2%22",
            "GET /p/_partition/_x/_all_docs",
            "GET /p/_partition/a:b",
            "GET /d/_partition/a",
            "GET /p/_partition/none",
        ],
        expect![[r#"
            > GET /p/_partition/a/_design/s/_view/v?reduce=false
            200 OK
            {"total_rows":4,"offset":0,"rows":[
            {"id":"a:1","key":1,"value":1},
            {"id":"a:2","key":2,"value":2}
            ]}

            > GET /p/_partition/a/_design/s/_view/v
            200 OK
            {"rows":[
            {"key":null,"value":3}
            ]}

            > GET /p/_partition/b/_design/s/_view/v?group=true
            200 OK
            {"rows":[
            {"key":10,"value":10}
            ]}

            > GET /p/_partition/a/_design/s/_view/v?reduce=false&startkey=2&descending=true
            200 OK
            {"total_rows":4,"offset":2,"rows":[
            {"id":"a:2","key":2,"value":2},
            {"id":"a:1","key":1,"value":1}
            ]}

            > GET /p/_partition/a/_design/s/_view/v?reduce=false&keys=[2,1,10]
            200 OK
            {"total_rows":4,"offset":0,"rows":[
            {"id":"a:2","key":2,"value":2},
            {"id":"a:1","key":1,"value":1}
            ]}

            > POST /p/_partition/a/_design/s/_view/v {"key": 2}
            200 OK
            {"rows":[
            {"key":null,"value":2}
            ]}

            > GET /p/_design/s/_view/v
            400 Bad Request
            {"error":"query_parse_error","reason":"`partition` parameter is mandatory for queries to this view."}

            > GET /p/_design/s/_view/v?partition=b
            200 OK
            {"rows":[
            {"key":null,"value":10}
            ]}

            > GET /p/_design/g/_view/v
            200 OK
            {"rows":[
            {"key":null,"value":113}
            ]}

            > GET /p/_partition/a/_design/g/_view/v
            400 Bad Request
            {"error":"query_parse_error","reason":"`partition` parameter is not supported in this design doc"}

            > GET /p/_partition/a/_all_docs
            200 OK
            {"total_rows":6,"offset":2,"rows":[
            {"id":"a:1","key":"a:1","value":{"rev":"1-731bef401491606a3b246ed178e697c1"}},
            {"id":"a:2","key":"a:2","value":{"rev":"1-43a36d04d31d38efc5b9245c53e00627"}}
            ]}

            > GET /p/_partition/a/_all_docs?startkey=%22a:2%22
            200 OK
            {"total_rows":6,"offset":3,"rows":[
            {"id":"a:2","key":"a:2","value":{"rev":"1-43a36d04d31d38efc5b9245c53e00627"}}
            ]}

            > GET /p/_partition/_x/_all_docs
            400 Bad Request
            {"error":"illegal_partition","reason":"Partition must not start with an underscore"}

            > GET /p/_partition/a:b
            400 Bad Request
            {"error":"illegal_partition","reason":"Partition must not contain a colon"}

            > GET /d/_partition/a
            400 Bad Request
            {"error":"bad_request","reason":"database is not partitioned"}

            > GET /p/_partition/none
            200 OK
            {"db_name":"p","sizes":{"active":0,"external":0},"partition":"none","doc_count":0,"doc_del_count":0}

        "#]],
    )
    .await;
}
