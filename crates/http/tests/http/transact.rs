//! Exchanges of transactions, as clients send them.

use expect_test::expect;

use crate::{
    asked::{ask, body, check, check_on, told},
    story::begin,
    support::TestServer,
};

#[tokio::test]
async fn an_exchange_tells_outcomes_and_what_others_changed() {
    check(
        &[
            r#"PUT /d/clips {"boxes":50}"#,
            r#"POST /d/_transact {"client":"till-7","since":"0","transactions":[{"id":"01J","require":[{"id":"clips","match":{"boxes":{"$gte":40}}}],"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60,"least":40}}]},{"id":"order-9","put":{"of":"clips"}}]},{"id":"02J","writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":20}}]}]}]}"#,
            // The answer was lost; others have gone on.
            r#"PUT /d/other {"x":1}"#,
            r#"POST /d/_transact {"client":"till-7","since":"3","include_docs":true,"transactions":[{"id":"01J","require":[{"id":"clips","match":{"boxes":{"$gte":40}}}],"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60,"least":40}}]},{"id":"order-9","put":{"of":"clips"}}]}]}"#,
            r#"POST /d/_transact {"client":"till-7","since":"0","changes_limit":1,"transactions":[]}"#,
            r#"POST /d/_transact {"client":"till-7","since":"now","transactions":[]}"#,
            r#"POST /d/_transact {"client":"till-7","transactions":[{"id":"01J","writes":[]}]}"#,
            r#"POST /d/_transact {"client":"till-8","transactions":[{"id":"01J","writes":[]}]}"#,
        ],
        expect![[r#"
            > PUT /d/clips {"boxes":50}
            201 Created
            etag: "1-0de2f8ad383e3d4e890958e9932cc008"
            location: http://localhost:5984/d/clips
            {"ok":true,"id":"clips","rev":"1-0de2f8ad383e3d4e890958e9932cc008"}

            > POST /d/_transact {"client":"till-7","since":"0","transactions":[{"id":"01J","require":[{"id":"clips","match":{"boxes":{"$gte":40}}}],"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60,"least":40}}]},{"id":"order-9","put":{"of":"clips"}}]},{"id":"02J","writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":20}}]}]}]}
            200 OK
            {"seq":"3-t","transactions":[{"id":"01J","accepted":true,"revs":{"clips":"2-4f729c94b50fab6a56b6bf9ee00013d1","order-9":"1-5dfd7573ff4049d5b22a716546edfb6e"},"taken":{"clips":{"boxes":50}}},{"id":"02J","accepted":false,"reason":"operation","detail":{"id":"clips","operation":"take","field":"boxes","problem":"there is too little","available":0},"current":{"clips":{"_id":"clips","_rev":"2-4f729c94b50fab6a56b6bf9ee00013d1","boxes":0}}}],"changes":{"results":[{"seq":"2-t","id":"clips","changes":[{"rev":"2-4f729c94b50fab6a56b6bf9ee00013d1"}]}],"last_seq":"3-t","pending":0}}

            > PUT /d/other {"x":1}
            201 Created
            etag: "1-0785e9eb543380151003dc452c3a001a"
            location: http://localhost:5984/d/other
            {"ok":true,"id":"other","rev":"1-0785e9eb543380151003dc452c3a001a"}

            > POST /d/_transact {"client":"till-7","since":"3","include_docs":true,"transactions":[{"id":"01J","require":[{"id":"clips","match":{"boxes":{"$gte":40}}}],"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60,"least":40}}]},{"id":"order-9","put":{"of":"clips"}}]}]}
            200 OK
            {"seq":"4-t","transactions":[{"id":"01J","accepted":true,"revs":{"clips":"2-4f729c94b50fab6a56b6bf9ee00013d1","order-9":"1-5dfd7573ff4049d5b22a716546edfb6e"},"taken":{"clips":{"boxes":50}}}],"changes":{"results":[{"seq":"4-t","id":"other","changes":[{"rev":"1-0785e9eb543380151003dc452c3a001a"}],"doc":{"_id":"other","_rev":"1-0785e9eb543380151003dc452c3a001a","x":1}}],"last_seq":"4-t","pending":0}}

            > POST /d/_transact {"client":"till-7","since":"0","changes_limit":1,"transactions":[]}
            200 OK
            {"seq":"4-t","transactions":[],"changes":{"results":[{"seq":"2-t","id":"clips","changes":[{"rev":"2-4f729c94b50fab6a56b6bf9ee00013d1"}]}],"last_seq":"2-t","pending":2}}

            > POST /d/_transact {"client":"till-7","since":"now","transactions":[]}
            200 OK
            {"seq":"4-t","transactions":[],"changes":{"results":[],"last_seq":"4-t","pending":0}}

            > POST /d/_transact {"client":"till-7","transactions":[{"id":"01J","writes":[]}]}
            422 Unprocessable Entity
            {"error":"id_reused","reason":"the id \"01J\" was used for another transaction"}

            > POST /d/_transact {"client":"till-8","transactions":[{"id":"01J","writes":[]}]}
            200 OK
            {"seq":"4-t","transactions":[{"id":"01J","accepted":true,"revs":{}}]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_was_not_decided_may_be_sent_again() {
    check(
        &[
            r#"POST /d/_transact {"client":"c","transactions":[{"id":"1","writes":[{"id":"gone","delete":true}]},{"id":"2","writes":[{"id":"a","put":{}}]}]}"#,
            r#"POST /d/_transact {"client":"c","mode":"all_in_one","transactions":[{"id":"2","writes":[{"id":"a","put":{}}]},{"id":"3","writes":[{"id":"gone","delete":true}]}]}"#,
            r#"POST /d/_transact {"client":"c","mode":"go_on","transactions":[{"id":"3","writes":[{"id":"gone","delete":true}]},{"id":"2","writes":[{"id":"a","put":{}}]}]}"#,
        ],
        expect![[r#"
            > POST /d/_transact {"client":"c","transactions":[{"id":"1","writes":[{"id":"gone","delete":true}]},{"id":"2","writes":[{"id":"a","put":{}}]}]}
            200 OK
            {"seq":"0-t","transactions":[{"id":"1","accepted":false,"reason":"missing","detail":{"id":"gone"},"current":{"gone":null}},{"id":"2","accepted":false,"reason":"not_attempted","retry":true}]}

            > POST /d/_transact {"client":"c","mode":"all_in_one","transactions":[{"id":"2","writes":[{"id":"a","put":{}}]},{"id":"3","writes":[{"id":"gone","delete":true}]}]}
            200 OK
            {"seq":"0-t","transactions":[{"id":"2","accepted":false,"reason":"aborted","retry":true},{"id":"3","accepted":false,"reason":"missing","detail":{"id":"gone"},"current":{"gone":null}}]}

            > POST /d/_transact {"client":"c","mode":"go_on","transactions":[{"id":"3","writes":[{"id":"gone","delete":true}]},{"id":"2","writes":[{"id":"a","put":{}}]}]}
            200 OK
            {"seq":"1-t","transactions":[{"id":"3","accepted":false,"reason":"missing","detail":{"id":"gone"},"current":{"gone":null}},{"id":"2","accepted":true,"revs":{"a":"1-967a00dff5e02add41819138abb3284d"}}]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn validators_and_schemas_have_their_say_about_transactions() {
    check(
        &[
            r#"PUT /d/_design/v {"validate_doc_update": "function(n, o, u) { if (n.bad) throw({forbidden: 'no ' + n.bad}); if (n.alone) throw({unauthorized: u.name}); if (n.fails) null.x; if (o && n.count < o.count) throw({forbidden: 'less than ' + o.count}); }"}"#,
            r#"POST /d/_transact {"client":"c","transactions":[{"id":"1","writes":[{"id":"a","put":{"count":1}},{"id":"b","put":{"count":1}}]},{"id":"2","writes":[{"id":"a","ops":[{"inc":{"field":"count"}}]},{"id":"b","ops":[{"inc":{"field":"count","by":-1}}]}]}]}"#,
            // Recorded, though the validator would say something else now.
            r#"PUT /d/_design/w {"validate_doc_update": "function() {}"}"#,
            r#"POST /d/_transact {"client":"c","transactions":[{"id":"2","writes":[{"id":"a","ops":[{"inc":{"field":"count"}}]},{"id":"b","ops":[{"inc":{"field":"count","by":-1}}]}]}]}"#,
            r#"POST /d/_transact {"client":"c","mode":"go_on","transactions":[{"id":"3","writes":[{"id":"c","put":{"alone":1}}]},{"id":"4","writes":[{"id":"c","put":{"fails":1}}]},{"id":"5","writes":[{"id":"c","put":{}}]}]}"#,
            r#"POST /d/_transact {"client":"c","mode":"all_in_one","transactions":[{"id":"6","writes":[{"id":"a","ops":[{"inc":{"field":"count","by":5}}]}]},{"id":"7","writes":[{"id":"a","ops":[{"inc":{"field":"count","by":-1}}]}]}]}"#,
            r#"POST /d/_transact {"client":"c","mode":"all_in_one","transactions":[{"id":"8","writes":[{"id":"a","ops":[{"inc":{"field":"count","by":5}}]}]},{"id":"9","writes":[{"id":"a","patch":{"count":6,"bad":null}}]}]}"#,
            "GET /d/a",
        ],
        expect![[r#"
            > PUT /d/_design/v {"validate_doc_update": "function(n, o, u) { if (n.bad) throw({forbidden: 'no ' + n.bad}); if (n.alone) throw({unauthorized: u.name}); if (n.fails) null.x; if (o && n.count < o.count) throw({forbidden: 'less than ' + o.count}); }"}
            201 Created
            etag: "1-7bb38bcbcfa73e5b6065eae665bf266a"
            location: http://localhost:5984/d/_design%2Fv
            {"ok":true,"id":"_design/v","rev":"1-7bb38bcbcfa73e5b6065eae665bf266a"}

            > POST /d/_transact {"client":"c","transactions":[{"id":"1","writes":[{"id":"a","put":{"count":1}},{"id":"b","put":{"count":1}}]},{"id":"2","writes":[{"id":"a","ops":[{"inc":{"field":"count"}}]},{"id":"b","ops":[{"inc":{"field":"count","by":-1}}]}]}]}
            200 OK
            {"seq":"3-t","transactions":[{"id":"1","accepted":true,"revs":{"a":"1-74620ecf527d29daaab9c2b465fbce66","b":"1-74620ecf527d29daaab9c2b465fbce66"}},{"id":"2","accepted":false,"reason":"forbidden","detail":{"id":"b","problem":"less than 1"},"current":{"b":{"_id":"b","_rev":"1-74620ecf527d29daaab9c2b465fbce66","count":1}}}]}

            > PUT /d/_design/w {"validate_doc_update": "function() {}"}
            201 Created
            etag: "1-551bc86121d85b28ca98b4a460d1faf6"
            location: http://localhost:5984/d/_design%2Fw
            {"ok":true,"id":"_design/w","rev":"1-551bc86121d85b28ca98b4a460d1faf6"}

            > POST /d/_transact {"client":"c","transactions":[{"id":"2","writes":[{"id":"a","ops":[{"inc":{"field":"count"}}]},{"id":"b","ops":[{"inc":{"field":"count","by":-1}}]}]}]}
            200 OK
            {"seq":"4-t","transactions":[{"id":"2","accepted":false,"reason":"forbidden","detail":{"id":"b","problem":"less than 1"},"current":{"b":{"_id":"b","_rev":"1-74620ecf527d29daaab9c2b465fbce66","count":1}}}]}

            > POST /d/_transact {"client":"c","mode":"go_on","transactions":[{"id":"3","writes":[{"id":"c","put":{"alone":1}}]},{"id":"4","writes":[{"id":"c","put":{"fails":1}}]},{"id":"5","writes":[{"id":"c","put":{}}]}]}
            200 OK
            {"seq":"5-t","transactions":[{"id":"3","accepted":false,"reason":"undecided","detail":{"error":"unauthorized","problem":"admin"},"retry":true},{"id":"4","accepted":false,"reason":"undecided","detail":{"error":"TypeError","problem":"cannot read property 'x' of null"},"retry":true},{"id":"5","accepted":true,"revs":{"c":"1-967a00dff5e02add41819138abb3284d"}}]}

            > POST /d/_transact {"client":"c","mode":"all_in_one","transactions":[{"id":"6","writes":[{"id":"a","ops":[{"inc":{"field":"count","by":5}}]}]},{"id":"7","writes":[{"id":"a","ops":[{"inc":{"field":"count","by":-1}}]}]}]}
            200 OK
            {"seq":"5-t","transactions":[{"id":"6","accepted":false,"reason":"aborted","retry":true},{"id":"7","accepted":false,"reason":"forbidden","detail":{"id":"a","problem":"less than 6"},"current":{"a":{"_id":"a","_rev":"2-f5fda6ed69e5a4d7a85a604f6ccb40e8","count":6}}}]}

            > POST /d/_transact {"client":"c","mode":"all_in_one","transactions":[{"id":"8","writes":[{"id":"a","ops":[{"inc":{"field":"count","by":5}}]}]},{"id":"9","writes":[{"id":"a","patch":{"count":6,"bad":null}}]}]}
            200 OK
            {"seq":"7-t","transactions":[{"id":"8","accepted":true,"revs":{"a":"2-f5fda6ed69e5a4d7a85a604f6ccb40e8"}},{"id":"9","accepted":true,"revs":{"a":"3-1784959b731a701015dba7ab9f276a91"}}]}

            > GET /d/a
            200 OK
            etag: "3-1784959b731a701015dba7ab9f276a91"
            {"_id":"a","_rev":"3-1784959b731a701015dba7ab9f276a91","count":6}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn attachments_come_with_documents_and_stay_when_these_are_changed_in_part() {
    check(
        &[
            r#"POST /d/_transact {"client":"c","transactions":[{"id":"1","writes":[{"id":"x","put":{}},{"id":"a","put":{"n":1,"_attachments":{"t":{"content_type":"text/plain","data":"eA=="}}}}]},{"id":"2","writes":[{"id":"a","ops":[{"inc":{"field":"n"}}]}]},{"id":"3","writes":[{"id":"a","put":{"n":3,"_attachments":{"t":{"stub":true}}}}]},{"id":"4","writes":[{"id":"a","put":{"_attachments":{"u":{"stub":true}}}}]}]}"#,
            "GET /d/a/t",
            "GET /d/a",
            r#"POST /d/_transact {"client":"c","transactions":[{"id":"5","writes":[{"id":"a","put":{"_attachments":{"u":{"follows":true,"length":1}}}}]}]}"#,
        ],
        expect![[r#"
            > POST /d/_transact {"client":"c","transactions":[{"id":"1","writes":[{"id":"x","put":{}},{"id":"a","put":{"n":1,"_attachments":{"t":{"content_type":"text/plain","data":"eA=="}}}}]},{"id":"2","writes":[{"id":"a","ops":[{"inc":{"field":"n"}}]}]},{"id":"3","writes":[{"id":"a","put":{"n":3,"_attachments":{"t":{"stub":true}}}}]},{"id":"4","writes":[{"id":"a","put":{"_attachments":{"u":{"stub":true}}}}]}]}
            200 OK
            {"seq":"4-t","transactions":[{"id":"1","accepted":true,"revs":{"x":"1-967a00dff5e02add41819138abb3284d","a":"1-afb5c348c5030add45e8fe138e3684d6"}},{"id":"2","accepted":true,"revs":{"a":"2-7eea2dbb580fc32ceec54c856a886b0f"}},{"id":"3","accepted":true,"revs":{"a":"3-075e07a444a1bc799a2d15212e1aafec"}},{"id":"4","accepted":false,"reason":"invalid","detail":{"id":"a","problem":"the parent revision has no attachment u"},"current":{"a":{"_id":"a","_rev":"3-075e07a444a1bc799a2d15212e1aafec","n":3,"_attachments":{"t":{"content_type":"text/plain","revpos":1,"digest":"md5-BQ12Y6Pl9vOURwmqG1HaIA==","length":1,"stub":true}}}}}]}

            > GET /d/a/t
            200 OK
            etag: "BQ12Y6Pl9vOURwmqG1HaIA=="
            content-type: text/plain
            x

            > GET /d/a
            200 OK
            etag: "3-075e07a444a1bc799a2d15212e1aafec"
            {"_id":"a","_rev":"3-075e07a444a1bc799a2d15212e1aafec","n":3,"_attachments":{"t":{"content_type":"text/plain","revpos":1,"digest":"md5-BQ12Y6Pl9vOURwmqG1HaIA==","length":1,"stub":true}}}

            > POST /d/_transact {"client":"c","transactions":[{"id":"5","writes":[{"id":"a","put":{"_attachments":{"u":{"follows":true,"length":1}}}}]}]}
            400 Bad Request
            {"error":"bad_request","reason":"attachment u does not follow the document"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_before_anything_is_done() {
    check(
        &[
            "POST /d/_transact\n\n{}",
            r#"POST /d/_transact {"client":"c","transactions":[{"id":"1","writes":[{"id":"a","put":{}}]},{"id":"2","writes":[{"id":"a","putt":{}}]}]}"#,
            r#"POST /d/_transact {"client":"c","transactions":[{"id":"1","require":[{"id":"a","match":{"n":{"$mod":[0,1]}}}]}]}"#,
            r#"POST /d/_transact {"client":"c","transactions":[{"id":"1","writes":[{"id":"a","put":{"_x":1}}]}]}"#,
            r#"POST /d/_transact {"client":"c","transactions":[{"id":"1","writes":[{"id":"_a","put":{}}]}]}"#,
            r#"POST /d/_transact {"client":"c","transactions":[{"id":"1","call":{"function":"a/b"}}]}"#,
            r#"POST /none/_transact {"client":"c","transactions":[]}"#,
            "GET /d/_transact",
            "GET /d/a",
        ],
        expect![[r#"
            > POST /d/_transact

            {}
            415 Unsupported Media Type
            {"error":"bad_content_type","reason":"Content-Type must be application/json"}

            > POST /d/_transact {"client":"c","transactions":[{"id":"1","writes":[{"id":"a","put":{}}]},{"id":"2","writes":[{"id":"a","putt":{}}]}]}
            400 Bad Request
            {"error":"bad_request","reason":"transaction 1: `putt` means nothing in a write"}

            > POST /d/_transact {"client":"c","transactions":[{"id":"1","require":[{"id":"a","match":{"n":{"$mod":[0,1]}}}]}]}
            400 Bad Request
            {"error":"bad_arg","reason":"transaction 0: Bad argument for operator $mod: [0,1]"}

            > POST /d/_transact {"client":"c","transactions":[{"id":"1","writes":[{"id":"a","put":{"_x":1}}]}]}
            400 Bad Request
            {"error":"doc_validation","reason":"transaction 0: a: Bad special document member: _x"}

            > POST /d/_transact {"client":"c","transactions":[{"id":"1","writes":[{"id":"_a","put":{}}]}]}
            400 Bad Request
            {"error":"illegal_docid","reason":"transaction 0: Only reserved document ids may start with underscore."}

            > POST /d/_transact {"client":"c","transactions":[{"id":"1","call":{"function":"a/b"}}]}
            200 OK
            {"seq":"0-t","transactions":[{"id":"1","accepted":false,"reason":"undecided","detail":{"error":"not_found","problem":"missing transactions function b on design doc _design/a"},"retry":true}]}

            > POST /none/_transact {"client":"c","transactions":[]}
            404 Not Found
            {"error":"not_found","reason":"Database does not exist."}

            > GET /d/_transact
            405 Method Not Allowed
            allow: POST
            {"error":"method_not_allowed","reason":"Only POST allowed"}

            > GET /d/a
            404 Not Found
            {"error":"not_found","reason":"missing"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn admins_say_how_long_outcomes_are_remembered() {
    check(
        &[
            "GET /d/_outcome_retention",
            "PUT /d/_outcome_retention\n\n3600",
            "GET /d/_outcome_retention",
            "PUT /d/_outcome_retention\n\n59",
            "PUT /d/_outcome_retention\n\n\"1h\"",
        ],
        expect![[r#"
            > GET /d/_outcome_retention
            200 OK
            2592000

            > PUT /d/_outcome_retention

            3600
            200 OK
            {"ok":true}

            > GET /d/_outcome_retention
            200 OK
            3600

            > PUT /d/_outcome_retention

            59
            400 Bad Request
            {"error":"bad_request","reason":"outcomes are remembered for 60 to 31622400 seconds"}

            > PUT /d/_outcome_retention

            "1h"
            400 Bad Request
            {"error":"bad_request","reason":"Request body must be a number of seconds"}

        "#]],
    )
    .await;
}

/// Rights, rules of users, rules of replications, quotas.
#[tokio::test]
async fn nothing_is_written_that_could_not_be_written_otherwise() {
    let server = begin().await.with_users(&[("ada", "[]"), ("bob", "[]")]).await;
    let one = |path: &str, write: &str| {
        format!(
            "POST {path}/_transact\ncontent-type: application/json\n\n{{\"client\":\"c\",\"transactions\":[{{\"id\":\"1\",\"writes\":[{write}]}}]}}"
        )
    };
    let put = r#"{"id":"a","put":{}}"#;
    let sent = async |who: &str, request: &str| {
        let reply = if who.is_empty() {
            server.send(request).await
        } else {
            server.send_as(who, request).await
        };
        told(reply).await
    };
    assert!(sent("ada:password", &one("/d", put)).await.starts_with("403"));
    assert!(server.send_anonymous(&one("/d", put)).await.status() == 401);
    let user =
        r#"{"id":"org.couchdb.user:eve","put":{"type":"user","name":"eve","roles":["_admin"]}}"#;
    let refused = sent("", &one("/_users", user)).await;
    assert!(refused.starts_with("403") && refused.contains("one by one"), "{refused}");
    assert!(sent("ada:password", &one("/_users", user)).await.starts_with("403"));

    assert_eq!(server.send_as("ada:password", "PUT /~ada/notes").await.status(), 201);
    assert!(sent("ada:password", &one("/~ada/notes", put)).await.starts_with("200"));
    let quota = "PUT /_accounts/ada\n\n{\"databases_max\":null,\"bytes_max\":10}";
    assert_eq!(server.send(quota).await.status(), 200);
    // What is known is told, what adds is refused, what deletes goes on.
    assert!(sent("ada:password", &one("/~ada/notes", put)).await.starts_with("200"));
    let other = one("/~ada/notes", r#"{"id":"b","put":{}}"#).replace("\"1\"", "\"2\"");
    let full = sent("ada:password", &other).await;
    assert!(full.contains("undecided") && full.contains("insufficient_storage"), "{full}");
    let delete = one("/~ada/notes", r#"{"id":"a","delete":true}"#).replace("\"1\"", "\"3\"");
    let deleted = sent("ada:password", &delete).await;
    assert!(deleted.contains("\"accepted\":true"), "{deleted}");
}

/// What one user was answered is nobody else's.
#[tokio::test]
async fn ids_are_told_apart_by_whoever_sent_them() {
    let server = begin().await.with_users(&[("ada", "[]"), ("bob", "[]")]).await;
    let members = "PUT /d/_security\n\n{\"members\":{\"names\":[\"ada\",\"bob\"],\"roles\":[]}}";
    assert_eq!(server.send(members).await.status(), 200);
    let add = "POST /d/_transact\ncontent-type: application/json\n\n{\"client\":\"c\",\"transactions\":[{\"id\":\"1\",\"writes\":[{\"id\":\"a\",\"ops\":[{\"inc\":{\"field\":\"n\"}}]}]}]}";
    assert_eq!(ask(&server, r#"PUT /d/a {"n":0}"#).await.status(), 201);
    for who in ["ada:password", "bob:password", "ada:password"] {
        assert_eq!(server.send_as(who, add).await.status(), 200);
    }
    assert_eq!(ask(&server, add).await.status(), 200);
    assert!(body(server.send("GET /d/a").await).await.contains("\"n\":3"));
}

#[tokio::test]
async fn partitioned_databases_take_what_they_can_hold() {
    let server = TestServer::new().await;
    check_on(
        &server,
        &[
            "PUT /p?partitioned=true",
            r#"POST /p/_transact {"client":"c","mode":"go_on","transactions":[{"id":"1","writes":[{"id":"a","put":{}}]},{"id":"2","writes":[{"id":"a:b","put":{}}]}]}"#,
        ],
        expect![[r#"
            > PUT /p?partitioned=true
            201 Created
            location: http://localhost:5984/p
            {"ok":true}

            > POST /p/_transact {"client":"c","mode":"go_on","transactions":[{"id":"1","writes":[{"id":"a","put":{}}]},{"id":"2","writes":[{"id":"a:b","put":{}}]}]}
            200 OK
            {"seq":"1-t","transactions":[{"id":"1","accepted":false,"reason":"invalid","detail":{"id":"a","problem":"Doc id must be of form partition:id"},"current":{"a":null}},{"id":"2","accepted":true,"revs":{"a:b":"1-967a00dff5e02add41819138abb3284d"}}]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_transaction_of_an_admin_is_one_act_in_the_audit_log_of_nobody() {
    // Writing documents is no act of administration, by whichever way.
    let server = TestServer::audited(std::time::Duration::from_secs(3_600)).await;
    assert_eq!(server.send("PUT /d").await.status(), 201);
    let add = r#"POST /d/_transact {"client":"c","transactions":[{"id":"1","writes":[{"id":"a","put":{}}]}]}"#;
    assert_eq!(ask(&server, add).await.status(), 200);
    let set = "PUT /d/_outcome_retention\n\n3600";
    assert_eq!(server.send(set).await.status(), 200);
    let records = body(server.send("GET /_audit/_all_docs?include_docs=true").await).await;
    assert!(!records.contains("_transact") && records.contains("_outcome_retention"), "{records}");
}
