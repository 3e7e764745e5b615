//! Conflicts: listed, counted, found by Mango, and resolved in one write.

use expect_test::expect;
use serde_json::json;

use crate::{
    asked::{check, check_on, member},
    story::begin,
    support::TestServer,
};

/// `a` and `b/c` are in conflict, `gone` has one live branch, `plain` has one at all.
const SOME: &str = r#"POST /d/_bulk_docs {"new_edits":false,"docs":[
    {"_id":"a","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},"n":1},
    {"_id":"a","_rev":"2-c","_revisions":{"start":2,"ids":["c","a"]},"n":2},
    {"_id":"a","_rev":"2-d","_revisions":{"start":2,"ids":["d","a"]},"n":3},
    {"_id":"a","_rev":"4-x","_revisions":{"start":4,"ids":["x","y","z","a"]},"_deleted":true},
    {"_id":"b/c","_rev":"1-a","n":4},{"_id":"b/c","_rev":"1-b","n":5},
    {"_id":"gone","_rev":"1-a"},{"_id":"gone","_rev":"1-b","_deleted":true},
    {"_id":"plain","_rev":"1-a"}]}"#;

async fn some() -> TestServer {
    let server = begin().await;
    let written = crate::asked::ask(&server, SOME).await;
    assert_eq!(written.status(), 201);
    server
}

#[tokio::test]
async fn documents_in_conflict_are_listed_like_all_documents() {
    let server = some().await;
    check_on(
        &server,
        &[
            "GET /d/_conflicts",
            "GET /d/_conflicts?descending=true&limit=1",
            "GET /d/_conflicts?skip=1",
            "GET /d/_conflicts?startkey=%22b%22",
            "GET /d/_conflicts?start_key=%22a%22&end_key=%22b/c%22&inclusive_end=false",
            "GET /d/_conflicts?key=%22plain%22",
            "GET /d/_conflicts?include_docs=true&conflicts=true&startkey=%22b%22",
            "GET /d/_conflicts?include_docs=true&attachments=true&startkey=%22b%22",
            r#"POST /d/_conflicts {"keys": ["plain", "a", "none", "gone"]}"#,
            "GET /d/_conflicts?limit=x",
            "GET /other/_conflicts",
        ],
        expect![[r#"
            > GET /d/_conflicts
            200 OK
            {"total_rows":2,"offset":0,"rows":[
            {"id":"a","key":"a","value":{"rev":"2-d","conflicts":["2-c","2-b"]}},
            {"id":"b/c","key":"b/c","value":{"rev":"1-b","conflicts":["1-a"]}}
            ]}

            > GET /d/_conflicts?descending=true&limit=1
            200 OK
            {"total_rows":2,"offset":0,"rows":[
            {"id":"b/c","key":"b/c","value":{"rev":"1-b","conflicts":["1-a"]}}
            ]}

            > GET /d/_conflicts?skip=1
            200 OK
            {"total_rows":2,"offset":1,"rows":[
            {"id":"b/c","key":"b/c","value":{"rev":"1-b","conflicts":["1-a"]}}
            ]}

            > GET /d/_conflicts?startkey=%22b%22
            200 OK
            {"total_rows":2,"offset":1,"rows":[
            {"id":"b/c","key":"b/c","value":{"rev":"1-b","conflicts":["1-a"]}}
            ]}

            > GET /d/_conflicts?start_key=%22a%22&end_key=%22b/c%22&inclusive_end=false
            200 OK
            {"total_rows":2,"offset":0,"rows":[
            {"id":"a","key":"a","value":{"rev":"2-d","conflicts":["2-c","2-b"]}}
            ]}

            > GET /d/_conflicts?key=%22plain%22
            200 OK
            {"total_rows":2,"offset":2,"rows":[

            ]}

            > GET /d/_conflicts?include_docs=true&conflicts=true&startkey=%22b%22
            200 OK
            {"total_rows":2,"offset":1,"rows":[
            {"id":"b/c","key":"b/c","value":{"rev":"1-b","conflicts":["1-a"]},"doc":{"_id":"b/c","_rev":"1-b","n":5,"_conflicts":["1-a"]}}
            ]}

            > GET /d/_conflicts?include_docs=true&attachments=true&startkey=%22b%22
            200 OK
            {"total_rows":2,"offset":1,"rows":[
            {"id":"b/c","key":"b/c","value":{"rev":"1-b","conflicts":["1-a"]},"doc":{"_id":"b/c","_rev":"1-b","n":5}}
            ]}

            > POST /d/_conflicts {"keys": ["plain", "a", "none", "gone"]}
            200 OK
            {"total_rows":2,"offset":null,"rows":[
            {"key":"plain","error":"not_found"},
            {"id":"a","key":"a","value":{"rev":"2-d","conflicts":["2-c","2-b"]}},
            {"key":"none","error":"not_found"},
            {"key":"gone","error":"not_found"}
            ]}

            > GET /d/_conflicts?limit=x
            400 Bad Request
            {"error":"query_parse_error","reason":"Invalid value for integer: \"x\""}

            > GET /other/_conflicts
            404 Not Found
            {"error":"not_found","reason":"Database does not exist."}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_database_and_the_list_of_databases_tell_how_many_documents_are_in_conflict() {
    let server = some().await;
    assert_eq!(member(&server, "GET /d", "conflict_count").await, 2);
    let all = crate::asked::body(crate::asked::ask(&server, "GET /_dbs_info").await).await;
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all[0]["info"]["conflict_count"], 2);
    let keep = crate::asked::ask(&server, r#"POST /d/a/_resolve {"keep": "2-b"}"#).await;
    assert_eq!(keep.status(), 201);
    assert_eq!(member(&server, "GET /d", "conflict_count").await, 1);
    let purge = crate::asked::ask(&server, r#"POST /d/_purge {"b/c": ["1-b"]}"#).await;
    assert_eq!(purge.status(), 201);
    assert_eq!(member(&server, "GET /d", "conflict_count").await, 0);
}

#[tokio::test]
async fn one_branch_is_kept_and_all_others_are_closed() {
    let server = some().await;
    check_on(
        &server,
        &[
            r#"POST /d/a/_resolve {"keep": "2-c", "revs": ["2-b", "2-c", "2-d"]}"#,
            "GET /d/a?conflicts=true&deleted_conflicts=true",
            r#"POST /d/a/_resolve {"keep": "2-c"}"#,
            r#"POST /d/b%2Fc/_resolve {"keep": "1-b"}"#,
            "GET /d/_conflicts",
        ],
        expect![[r#"
            > POST /d/a/_resolve {"keep": "2-c", "revs": ["2-b", "2-c", "2-d"]}
            201 Created
            etag: "2-c"
            location: http://localhost:5984/d/a
            {"ok":true,"id":"a","rev":"2-c","closed":["2-d","2-b"]}

            > GET /d/a?conflicts=true&deleted_conflicts=true
            200 OK
            {"_id":"a","_rev":"2-c","n":2,"_deleted_conflicts":["4-x","3-f0eee6c5978bb7c3fc835f8200e9eec8","3-97b67b081bd787d56b66cd7a6fa062d0"]}

            > POST /d/a/_resolve {"keep": "2-c"}
            201 Created
            etag: "2-c"
            location: http://localhost:5984/d/a
            {"ok":true,"id":"a","rev":"2-c","closed":[]}

            > POST /d/b%2Fc/_resolve {"keep": "1-b"}
            201 Created
            etag: "1-b"
            location: http://localhost:5984/d/b%2Fc
            {"ok":true,"id":"b/c","rev":"1-b","closed":["1-a"]}

            > GET /d/_conflicts
            200 OK
            {"total_rows":0,"offset":0,"rows":[

            ]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_merged_body_goes_on_the_winner_or_on_the_branch_that_it_names() {
    let server = some().await;
    check_on(
        &server,
        &[
            r#"POST /d/a/_resolve {"doc": {"_rev": "2-b", "merged": true}}"#,
            "GET /d/a?revs=true&conflicts=true",
            r#"POST /d/b%2Fc/_resolve {"doc": {"n": 9}, "revs": ["1-a", "1-b"]}"#,
            "GET /d/b%2Fc?revs=true",
            "GET /d/_conflicts",
        ],
        expect![[r#"
            > POST /d/a/_resolve {"doc": {"_rev": "2-b", "merged": true}}
            201 Created
            etag: "3-d67769a81b6d168df90a038703db72cf"
            location: http://localhost:5984/d/a
            {"ok":true,"id":"a","rev":"3-d67769a81b6d168df90a038703db72cf","closed":["2-d","2-c"]}

            > GET /d/a?revs=true&conflicts=true
            200 OK
            {"_id":"a","_rev":"3-d67769a81b6d168df90a038703db72cf","merged":true,"_revisions":{"start":3,"ids":["d67769a81b6d168df90a038703db72cf","b","a"]}}

            > POST /d/b%2Fc/_resolve {"doc": {"n": 9}, "revs": ["1-a", "1-b"]}
            201 Created
            etag: "2-4df445e8864861e988fde41a4eaee7a2"
            location: http://localhost:5984/d/b%2Fc
            {"ok":true,"id":"b/c","rev":"2-4df445e8864861e988fde41a4eaee7a2","closed":["1-a"]}

            > GET /d/b%2Fc?revs=true
            200 OK
            etag: "2-4df445e8864861e988fde41a4eaee7a2"
            {"_id":"b/c","_rev":"2-4df445e8864861e988fde41a4eaee7a2","n":9,"_revisions":{"start":2,"ids":["4df445e8864861e988fde41a4eaee7a2","b"]}}

            > GET /d/_conflicts
            200 OK
            {"total_rows":0,"offset":0,"rows":[

            ]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn stubs_of_a_merged_body_are_of_the_branch_that_it_is_made_from() {
    check(
        &[
            r#"POST /d/_bulk_docs {"new_edits":false,"docs":[
                {"_id":"a","_rev":"1-a","_attachments":{"x":{"data":"aGk=","content_type":"text/plain"}}},
                {"_id":"a","_rev":"1-b"}]}"#,
            r#"POST /d/a/_resolve {"doc": {"_attachments": {"x": {"stub": true}}}}"#,
            r#"POST /d/a/_resolve {"doc": {"_rev": "1-a", "_attachments": {"x": {"stub": true}, "y": {"data": "eW8=", "content_type": "text/plain"}}}}"#,
            "GET /d/a/x",
            "GET /d/a/y",
            "GET /d/_conflicts",
        ],
        expect![[r#"
            > POST /d/_bulk_docs {"new_edits":false,"docs":[
                            {"_id":"a","_rev":"1-a","_attachments":{"x":{"data":"aGk=","content_type":"text/plain"}}},
                            {"_id":"a","_rev":"1-b"}]}
            201 Created
            []

            > POST /d/a/_resolve {"doc": {"_attachments": {"x": {"stub": true}}}}
            412 Precondition Failed
            {"error":"missing_stub","reason":"Invalid attachment stub for x"}

            > POST /d/a/_resolve {"doc": {"_rev": "1-a", "_attachments": {"x": {"stub": true}, "y": {"data": "eW8=", "content_type": "text/plain"}}}}
            201 Created
            etag: "2-75d75592a0e719474e2382e54047854f"
            location: http://localhost:5984/d/a
            {"ok":true,"id":"a","rev":"2-75d75592a0e719474e2382e54047854f","closed":["1-b"]}

            > GET /d/a/x
            200 OK
            etag: "QTVOnBwGnrw6Tx9YG1ZRyA=="
            content-type: text/plain
            hi

            > GET /d/a/y
            200 OK
            etag: "dPU/NEp4nWbr6W+EbLD7BQ=="
            content-type: text/plain
            yo

            > GET /d/_conflicts
            200 OK
            {"total_rows":0,"offset":0,"rows":[

            ]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_resolved_is_refused_with_a_reason() {
    let server = some().await;
    check_on(
        &server,
        &[
            r#"POST /d/none/_resolve {"keep": "1-a"}"#,
            r#"POST /d/a/_resolve {"keep": "4-x"}"#,
            r#"POST /d/a/_resolve {"keep": "1-a"}"#,
            r#"POST /d/a/_resolve {"keep": "2-b", "revs": ["2-b", "2-c"]}"#,
            r#"POST /d/a/_resolve {"doc": {"_rev": "1-a"}}"#,
            r#"POST /d/a/_resolve {"doc": {"_rev": "0-1"}}"#,
            r#"POST /d/a/_resolve {"doc": {"_deleted": true}}"#,
            r#"POST /d/a/_resolve {"doc": []}"#,
            r#"POST /d/a/_resolve {"keep": "2-b", "doc": {}}"#,
            r#"POST /d/a/_resolve {}"#,
            r#"POST /d/a/_resolve {"keep": 2}"#,
            r#"POST /d/a/_resolve {"keep": "2-b", "revs": "2-b"}"#,
            r#"POST /d/a/_resolve {"keep": "2-b", "else": 1}"#,
            "POST /d/a/_resolve",
            "GET /d/a/_resolve",
            r#"POST /d/_local%2Fa/_resolve {"keep": "2-b"}"#,
            r#"POST /d/_local/a/_resolve {"keep": "2-b"}"#,
            r#"PUT /d/gone {"_rev": "1-a", "_deleted": true}"#,
            r#"POST /d/gone/_resolve {"keep": "1-a"}"#,
            "GET /d/a?conflicts=true",
        ],
        expect![[r#"
            > POST /d/none/_resolve {"keep": "1-a"}
            404 Not Found
            {"error":"not_found","reason":"missing"}

            > POST /d/a/_resolve {"keep": "4-x"}
            409 Conflict
            {"error":"conflict","reason":"4-x is not a live leaf of the document"}

            > POST /d/a/_resolve {"keep": "1-a"}
            409 Conflict
            {"error":"conflict","reason":"1-a is not a live leaf of the document"}

            > POST /d/a/_resolve {"keep": "2-b", "revs": ["2-b", "2-c"]}
            409 Conflict
            {"error":"conflict","reason":"the live leaves of the document are 2-d, 2-c, 2-b"}

            > POST /d/a/_resolve {"doc": {"_rev": "1-a"}}
            409 Conflict
            {"error":"conflict","reason":"1-a is not a live leaf of the document"}

            > POST /d/a/_resolve {"doc": {"_rev": "0-1"}}
            409 Conflict
            {"error":"conflict","reason":"Document update conflict."}

            > POST /d/a/_resolve {"doc": {"_deleted": true}}
            400 Bad Request
            {"error":"bad_request","reason":"`doc` is what stays, so it cannot be deleted: delete each leaf instead"}

            > POST /d/a/_resolve {"doc": []}
            400 Bad Request
            {"error":"bad_request","reason":"Document must be a JSON object"}

            > POST /d/a/_resolve {"keep": "2-b", "doc": {}}
            400 Bad Request
            {"error":"bad_request","reason":"send either `keep`, a revision, or `doc`, a merged document"}

            > POST /d/a/_resolve {}
            400 Bad Request
            {"error":"bad_request","reason":"send either `keep`, a revision, or `doc`, a merged document"}

            > POST /d/a/_resolve {"keep": 2}
            400 Bad Request
            {"error":"bad_request","reason":"Invalid rev format"}

            > POST /d/a/_resolve {"keep": "2-b", "revs": "2-b"}
            400 Bad Request
            {"error":"bad_request","reason":"`revs` must be an array of revisions"}

            > POST /d/a/_resolve {"keep": "2-b", "else": 1}
            400 Bad Request
            {"error":"bad_request","reason":"`else` means nothing here: send `keep` or `doc`, and `revs`"}

            > POST /d/a/_resolve
            415 Unsupported Media Type
            {"error":"bad_content_type","reason":"Content-Type must be application/json"}

            > GET /d/a/_resolve
            405 Method Not Allowed
            allow: POST
            {"error":"method_not_allowed","reason":"Only POST allowed"}

            > POST /d/_local%2Fa/_resolve {"keep": "2-b"}
            400 Bad Request
            {"error":"bad_request","reason":"local documents have no conflicts"}

            > POST /d/_local/a/_resolve {"keep": "2-b"}
            405 Method Not Allowed
            allow: DELETE,GET,HEAD,PUT
            {"error":"method_not_allowed","reason":"Only DELETE,GET,HEAD,PUT allowed"}

            > PUT /d/gone {"_rev": "1-a", "_deleted": true}
            200 OK
            etag: "2-aaa2cf22eb11f7752d8c541e4b262df8"
            location: http://localhost:5984/d/gone
            {"ok":true,"id":"gone","rev":"2-aaa2cf22eb11f7752d8c541e4b262df8"}

            > POST /d/gone/_resolve {"keep": "1-a"}
            404 Not Found
            {"error":"not_found","reason":"deleted"}

            > GET /d/a?conflicts=true
            200 OK
            {"_id":"a","_rev":"2-d","n":3,"_conflicts":["2-c","2-b"]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_validator_that_refuses_one_tombstone_refuses_the_whole() {
    let server = some().await;
    check_on(
        &server,
        &[
            r#"PUT /d/_design/v {"validate_doc_update": "function(n, o, u) { if (o && o.n == 2 && n._deleted) throw({forbidden: 'kept'}); if (n.bad) throw({forbidden: 'bad'}) }"}"#,
            r#"POST /d/a/_resolve {"keep": "2-d"}"#,
            r#"POST /d/a/_resolve {"doc": {"_rev": "2-c", "bad": true}}"#,
            "GET /d/a?conflicts=true&deleted_conflicts=true",
            r#"POST /d/a/_resolve {"keep": "2-c"}"#,
            "GET /d/a?conflicts=true",
        ],
        expect![[r#"
            > PUT /d/_design/v {"validate_doc_update": "function(n, o, u) { if (o && o.n == 2 && n._deleted) throw({forbidden: 'kept'}); if (n.bad) throw({forbidden: 'bad'}) }"}
            201 Created
            etag: "1-45aef08c6a3a0d62cff2c26272adbbfe"
            location: http://localhost:5984/d/_design%2Fv
            {"ok":true,"id":"_design/v","rev":"1-45aef08c6a3a0d62cff2c26272adbbfe"}

            > POST /d/a/_resolve {"keep": "2-d"}
            403 Forbidden
            {"error":"forbidden","reason":"kept"}

            > POST /d/a/_resolve {"doc": {"_rev": "2-c", "bad": true}}
            403 Forbidden
            {"error":"forbidden","reason":"bad"}

            > GET /d/a?conflicts=true&deleted_conflicts=true
            200 OK
            {"_id":"a","_rev":"2-d","n":3,"_conflicts":["2-c","2-b"],"_deleted_conflicts":["4-x"]}

            > POST /d/a/_resolve {"keep": "2-c"}
            201 Created
            etag: "2-c"
            location: http://localhost:5984/d/a
            {"ok":true,"id":"a","rev":"2-c","closed":["2-d","2-b"]}

            > GET /d/a?conflicts=true
            200 OK
            {"_id":"a","_rev":"2-c","n":2}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn the_conflict_of_a_design_document_is_resolved_by_an_admin() {
    let server = begin().await.with_users(&[("mia", "[]")]).await;
    let security = r#"PUT /d/_security {"members": {"names": ["mia"]}}"#;
    let docs = r#"POST /d/_bulk_docs {"new_edits":false,"docs":[{"_id":"_design/x","_rev":"1-a","n":1},{"_id":"_design/x","_rev":"1-b"}]}"#;
    for request in [security, docs] {
        assert!(crate::asked::ask(&server, request).await.status().is_success());
    }
    let resolve =
        "POST /d/_design/x/_resolve\ncontent-type: application/json\n\n{\"keep\": \"1-a\"}";
    assert_eq!(server.send_as("mia:password", resolve).await.status(), 403);
    assert_eq!(server.send(resolve).await.status(), 201);
    assert_eq!(member(&server, "GET /d/_design/x", "n").await, 1);
    assert_eq!(member(&server, "GET /d", "conflict_count").await, 0);
}

#[tokio::test]
async fn replicas_that_resolve_alike_agree_without_telling_each_other() {
    let (one, other) = (some().await, some().await);
    let request = r#"POST /d/a/_resolve {"doc": {"merged": true}}"#;
    let mut replies = Vec::new();
    for server in [&one, &other] {
        assert_eq!(crate::asked::ask(server, request).await.status(), 201);
        let all = server.send("GET /d/a?open_revs=all\naccept: application/json").await;
        replies.push(crate::asked::body(all).await);
    }
    assert_eq!(replies[0], replies[1]);
}

#[tokio::test]
async fn mango_finds_conflicts_without_a_look_at_other_documents() {
    let server = some().await;
    let selector = json!({"_conflicts": {"$exists": true}});
    let find = async |request: serde_json::Value| {
        let line = format!("POST /d/_find {request}");
        let reply = crate::asked::body(crate::asked::ask(&server, &line).await).await;
        serde_json::from_str::<serde_json::Value>(&reply).unwrap()
    };
    let all =
        json!({"selector": selector, "conflicts": true, "execution_stats": true, "count": true});
    let found = find(all).await;
    assert_eq!(found["docs"][0]["_conflicts"], json!(["2-c", "2-b"]));
    assert_eq!(found["docs"][1]["_id"], "b/c");
    assert_eq!(found["docs"].as_array().unwrap().len(), 2);
    assert_eq!(found["count"], 2);
    assert_eq!(found.get("warning"), None);
    // Those of the page and, again, of the count.
    assert_eq!(found["execution_stats"]["total_docs_examined"], 4);

    let ids = |found: &serde_json::Value| {
        let ids = found["docs"].as_array().unwrap().iter().map(|doc| doc["_id"].clone());
        serde_json::Value::from(ids.collect::<Vec<_>>())
    };
    let down = json!({"selector": selector, "conflicts": true, "sort": [{"_id": "desc"}]});
    assert_eq!(ids(&find(down).await), json!(["b/c", "a"]));
    let first = json!({"selector": selector, "conflicts": true, "limit": 1});
    let first = find(first).await;
    assert_eq!(ids(&first), json!(["a"]));
    let next = json!({"selector": selector, "conflicts": true, "bookmark": first["bookmark"]});
    assert_eq!(ids(&find(next).await), json!(["b/c"]));
    let narrowed = json!({"selector": {"_conflicts": {"$size": 2}, "n": 3}, "conflicts": true});
    assert_eq!(ids(&find(narrowed).await), json!(["a"]));
    let none = json!({"selector": {"_conflicts": {"$exists": false}}, "conflicts": true});
    assert_eq!(ids(&find(none).await), json!(["gone", "plain"]));
    let unseen = json!({"selector": selector});
    assert_eq!(ids(&find(unseen).await), json!([]), "without the option there is no such field");
}

#[tokio::test]
async fn an_explanation_names_the_list_of_conflicts() {
    let server = some().await;
    let explain = async |request: serde_json::Value| {
        let line = format!("POST /d/_explain {request}");
        let reply = crate::asked::body(crate::asked::ask(&server, &line).await).await;
        serde_json::from_str::<serde_json::Value>(&reply).unwrap()
    };
    let selector = json!({"_conflicts": {"$exists": true}});
    let plan = explain(json!({"selector": selector, "conflicts": true})).await;
    assert_eq!(plan["index"]["name"], "_conflicts");
    assert_eq!(plan["index"]["type"], "special");
    let other = &plan["index_candidates"][0];
    assert_eq!(other["index"]["name"], "_all_docs");
    assert_eq!(other["analysis"]["reasons"][0]["name"], "unfavored_type");

    let index = r#"POST /d/_index {"index": {"fields": ["n"]}, "ddoc": "n", "name": "n"}"#;
    assert_eq!(crate::asked::ask(&server, index).await.status(), 200);
    let both = json!({"_conflicts": {"$exists": true}, "n": {"$gt": 0}});
    let plan = explain(json!({"selector": both, "conflicts": true})).await;
    assert_eq!(plan["index"]["name"], "_conflicts");
    let plan = explain(json!({"selector": both, "conflicts": true, "use_index": "n"})).await;
    assert_eq!(plan["index"]["name"], "n");
    let listed = crate::asked::body(server.send("GET /d/_index").await).await;
    assert!(!listed.contains("_conflicts"), "it cannot be deleted, so it is not listed: {listed}");
}

#[tokio::test]
async fn the_conflict_of_a_user_is_resolved_by_an_admin_alone() {
    let server = begin().await.with_users(&[("mia", "[]")]).await;
    let rev = format!("1-{}", "0".repeat(32));
    let other = json!({
        "_id": "org.couchdb.user:mia", "_rev": rev, "type": "user", "name": "mia", "roles": [],
    });
    let docs = json!({"new_edits": false, "docs": [other]});
    let written = crate::asked::ask(&server, &format!("POST /_users/_bulk_docs {docs}")).await;
    assert_eq!(written.status(), 201);
    assert_eq!(member(&server, "GET /_users", "conflict_count").await, 1);
    let resolve = |body: serde_json::Value| {
        let path = "POST /_users/org.couchdb.user:mia/_resolve";
        format!("{path}\ncontent-type: application/json\n\n{body}")
    };
    let keep = resolve(json!({ "keep": rev }));
    assert_eq!(server.send_as("mia:password", &keep).await.status(), 403);
    let merged = json!({"type": "user", "name": "mia", "roles": [], "password": "merged password"});
    assert_eq!(server.send(&resolve(json!({ "doc": merged }))).await.status(), 201);
    assert_eq!(member(&server, "GET /_users", "conflict_count").await, 0);
    let stored = member(&server, "GET /_users/org.couchdb.user:mia", "password").await;
    assert_eq!(stored, json!(null), "it is hashed");
    assert_eq!(server.send_as("mia:merged password", "GET /_session").await.status(), 200);
    assert_eq!(server.send_as("mia:password", "GET /_session").await.status(), 401);
}
