//! A database itself: made, described, set up, dropped.

use expect_test::expect;

use crate::asked::check;

#[tokio::test]
async fn a_database_is_created_described_and_dropped() {
    check(
        &[
            "PUT /d",
            "PUT /e%2Ff",
            "GET /e%2Ff",
            "HEAD /e%2Ff",
            "PUT /e?partitioned=true",
            "PUT /e?partitioned=x",
            "PUT /E",
            "GET /E",
            "DELETE /e%2Ff?rev=1-a",
            "DELETE /e%2Ff",
            "DELETE /e%2Ff",
            "GET /e%2Ff",
            "PATCH /d",
        ],
        expect![[r#"
            > PUT /d
            412 Precondition Failed
            {"error":"file_exists","reason":"The database could not be created, the file already exists."}

            > PUT /e%2Ff
            201 Created
            location: http://localhost:5984/e%2Ff
            {"ok":true}

            > GET /e%2Ff
            200 OK
            {"instance_start_time":"1795230346","db_name":"e/f","purge_seq":"0-t","update_seq":"0-t","sizes":{"file":0,"external":0,"active":0},"props":{},"doc_del_count":0,"doc_count":0,"conflict_count":0,"disk_format_version":8,"compact_running":false,"cluster":{"q":1,"n":1,"w":1,"r":1}}

            > HEAD /e%2Ff
            200 OK


            > PUT /e?partitioned=true
            201 Created
            location: http://localhost:5984/e
            {"ok":true}

            > PUT /e?partitioned=x
            400 Bad Request
            {"error":"bad_request","reason":"Invalid `partitioned` parameter"}

            > PUT /E
            400 Bad Request
            {"error":"illegal_database_name","reason":"Name: 'E'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter."}

            > GET /E
            404 Not Found
            {"error":"not_found","reason":"Database does not exist."}

            > DELETE /e%2Ff?rev=1-a
            400 Bad Request
            {"error":"bad_request","reason":"You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?"}

            > DELETE /e%2Ff
            200 OK
            {"ok":true}

            > DELETE /e%2Ff
            404 Not Found
            {"error":"not_found","reason":"Database does not exist."}

            > GET /e%2Ff
            404 Not Found
            {"error":"not_found","reason":"Database does not exist."}

            > PATCH /d
            405 Method Not Allowed
            allow: DELETE,GET,HEAD,POST,PUT
            {"error":"method_not_allowed","reason":"Only DELETE,GET,HEAD,POST,PUT allowed"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn upkeep_is_accepted_in_json_alone_where_couchdb_wants_it_so() {
    check(
        &[
            "POST /d/_compact",
            "POST /d/_compact {}",
            "POST /d/_compact/x {}",
            "PUT /d/_design/x {}",
            "POST /d/_compact/x {}",
            "POST /d/_view_cleanup",
            "POST /d/_search_cleanup",
            "POST /d/_ensure_full_commit",
            "POST /d/_ensure_full_commit {}",
            "GET /d/_shards",
            "GET /d/_shards/some%2Fid",
            "POST /d/_sync_shards",
            "POST /none/_compact {}",
            "GET /d/_ensure_full_commit",
        ],
        expect![[r#"
            > POST /d/_compact
            415 Unsupported Media Type
            {"error":"bad_content_type","reason":"Content-Type must be application/json"}

            > POST /d/_compact {}
            202 Accepted
            {"ok":true}

            > POST /d/_compact/x {}
            404 Not Found
            {"error":"not_found","reason":"missing"}

            > PUT /d/_design/x {}
            201 Created
            etag: "1-967a00dff5e02add41819138abb3284d"
            location: http://localhost:5984/d/_design%2Fx
            {"ok":true,"id":"_design/x","rev":"1-967a00dff5e02add41819138abb3284d"}

            > POST /d/_compact/x {}
            202 Accepted
            {"ok":true}

            > POST /d/_view_cleanup
            202 Accepted
            {"ok":true}

            > POST /d/_search_cleanup
            202 Accepted
            {"ok":true}

            > POST /d/_ensure_full_commit
            415 Unsupported Media Type
            {"error":"bad_content_type","reason":"Content-Type must be application/json"}

            > POST /d/_ensure_full_commit {}
            201 Created
            {"ok":true,"instance_start_time":"1795230346"}

            > GET /d/_shards
            200 OK
            {"shards":{"00000000-ffffffff":["settle@127.0.0.1"]}}

            > GET /d/_shards/some%2Fid
            200 OK
            {"range":"00000000-ffffffff","nodes":["settle@127.0.0.1"]}

            > POST /d/_sync_shards
            202 Accepted
            {"ok":true}

            > POST /none/_compact {}
            404 Not Found
            {"error":"not_found","reason":"Database does not exist."}

            > GET /d/_ensure_full_commit
            405 Method Not Allowed
            allow: POST
            {"error":"method_not_allowed","reason":"Only POST allowed"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_security_object_is_kept_as_sent_when_it_is_one() {
    check(
        &[
            "GET /d/_security",
            r#"PUT /d/_security {"members": {"roles": ["r"]}, "cloudant": {"x": 1.0}}"#,
            "GET /d/_security",
            "PUT /d/_security\n\n[]",
            "PUT /d/_security\n\n{",
            r#"PUT /d/_security {"admins": 1}"#,
            r#"PUT /d/_security {"admins": {"names": "a"}}"#,
            r#"PUT /d/_security {"members": {"roles": ["a", 1]}}"#,
            r#"PUT /d/_security {"admins": {}, "admins": {}}"#,
            "GET /d/_security",
            "PUT /_users",
            r#"PUT /_users/_security {}"#,
        ],
        expect![[r#"
            > GET /d/_security
            200 OK
            {"members":{"roles":["_admin"]},"admins":{"roles":["_admin"]}}

            > PUT /d/_security {"members": {"roles": ["r"]}, "cloudant": {"x": 1.0}}
            200 OK
            {"ok":true}

            > GET /d/_security
            200 OK
            {"members":{"roles":["r"]},"cloudant":{"x":1.0}}

            > PUT /d/_security

            []
            400 Bad Request
            {"error":"bad_request","reason":"Request body must be a JSON object"}

            > PUT /d/_security

            {
            400 Bad Request
            {"error":"bad_request","reason":"invalid UTF-8 JSON"}

            > PUT /d/_security {"admins": 1}
            400 Bad Request
            {"error":"bad_request","reason":"admins or members must be a JSON object with names and roles"}

            > PUT /d/_security {"admins": {"names": "a"}}
            400 Bad Request
            {"error":"bad_request","reason":"names must be a JSON list of strings"}

            > PUT /d/_security {"members": {"roles": ["a", 1]}}
            400 Bad Request
            {"error":"bad_request","reason":"roles must be a JSON list of strings"}

            > PUT /d/_security {"admins": {}, "admins": {}}
            400 Bad Request
            {"error":"bad_request","reason":"a second member \"admins\" in one object at byte 15"}

            > GET /d/_security
            200 OK
            {"members":{"roles":["r"]},"cloudant":{"x":1.0}}

            > PUT /_users
            201 Created
            location: http://localhost:5984/_users
            {"ok":true}

            > PUT /_users/_security {}
            403 Forbidden
            {"error":"forbidden","reason":"You can't edit the security object of the user database."}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn limits_are_positive_integers() {
    check(
        &[
            "GET /d/_revs_limit",
            "PUT /d/_revs_limit\n\n3",
            "GET /d/_revs_limit",
            "PUT /d/_revs_limit\n\n0",
            "PUT /d/_revs_limit\n\n-1",
            "PUT /d/_revs_limit\n\n\"3\"",
            "PUT /d/_revs_limit\n\n",
            "GET /d/_purged_infos_limit",
            "PUT /d/_purged_infos_limit\n\n7",
            "GET /d/_purged_infos_limit",
            "PUT /d/_purged_infos_limit\n\n1.5",
        ],
        expect![[r#"
            > GET /d/_revs_limit
            200 OK
            1000

            > PUT /d/_revs_limit

            3
            200 OK
            {"ok":true}

            > GET /d/_revs_limit
            200 OK
            3

            > PUT /d/_revs_limit

            0
            400 Bad Request
            {"error":"bad_request","reason":"`revs_limit` must be positive integer"}

            > PUT /d/_revs_limit

            -1
            400 Bad Request
            {"error":"bad_request","reason":"`revs_limit` must be positive integer"}

            > PUT /d/_revs_limit

            "3"
            400 Bad Request
            {"error":"bad_request","reason":"`revs_limit` must be positive integer"}

            > PUT /d/_revs_limit


            400 Bad Request
            {"error":"bad_request","reason":"invalid UTF-8 JSON"}

            > GET /d/_purged_infos_limit
            200 OK
            1000

            > PUT /d/_purged_infos_limit

            7
            200 OK
            {"ok":true}

            > GET /d/_purged_infos_limit
            200 OK
            7

            > PUT /d/_purged_infos_limit

            1.5
            400 Bad Request
            {"error":"bad_request","reason":"`purged_infos_limit` must be positive integer"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn revisions_are_compared_with_those_of_a_peer() {
    check(
        &[
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_revisions": {"start": 3, "ids": ["c", "b", "a"]}}, {"_id": "a", "_revisions": {"start": 2, "ids": ["z", "a"]}}]}"#,
            r#"POST /d/_revs_diff {"a": ["3-c", "1-a", "2-y", "4-d"], "b": ["1-q"], "a/b": [], "_x": ["1-x"]}"#,
            r#"POST /d/_missing_revs {"a": ["1-a", "2-y"], "b": ["1-q"]}"#,
            r#"POST /d/_revs_diff {}"#,
            r#"POST /d/_revs_diff {"a": ["x"]}"#,
            r#"POST /d/_revs_diff {"a": "1-x"}"#,
            "POST /d/_revs_diff\ncontent-type: application/json\n\n[]",
            "POST /d/_revs_diff\n\n{}",
        ],
        expect![[r#"
            > POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_revisions": {"start": 3, "ids": ["c", "b", "a"]}}, {"_id": "a", "_revisions": {"start": 2, "ids": ["z", "a"]}}]}
            201 Created
            []

            > POST /d/_revs_diff {"a": ["3-c", "1-a", "2-y", "4-d"], "b": ["1-q"], "a/b": [], "_x": ["1-x"]}
            200 OK
            {"a":{"missing":["2-y","4-d"],"possible_ancestors":["3-c","2-z"]},"b":{"missing":["1-q"]},"_x":{"missing":["1-x"]}}

            > POST /d/_missing_revs {"a": ["1-a", "2-y"], "b": ["1-q"]}
            200 OK
            {"missing_revs":{"a":["2-y"],"b":["1-q"]}}

            > POST /d/_revs_diff {}
            200 OK
            {}

            > POST /d/_revs_diff {"a": ["x"]}
            400 Bad Request
            {"error":"bad_request","reason":"Invalid rev format"}

            > POST /d/_revs_diff {"a": "1-x"}
            400 Bad Request
            {"error":"bad_request","reason":"each document's revisions must be an array of strings"}

            > POST /d/_revs_diff
            content-type: application/json

            []
            400 Bad Request
            {"error":"bad_request","reason":"Request body must be a JSON object"}

            > POST /d/_revs_diff

            {}
            415 Unsupported Media Type
            {"error":"bad_content_type","reason":"Content-Type must be application/json"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_purge_tells_what_went() {
    check(
        &[
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_rev": "1-a"}, {"_id": "a", "_rev": "1-b"}, {"_id": "b", "_rev": "1-c"}]}"#,
            r#"POST /d/_purge {"a": ["1-b", "1-x"], "none": ["1-a"], "_x": ["1-a"]}"#,
            "GET /d/a?conflicts=true",
            r#"POST /d/_purge {"a": ["1-a"], "b": ["1-c"]}"#,
            "GET /d/_purged_infos",
            "GET /d/_all_docs",
            "GET /d",
            r#"POST /d/_purge {}"#,
        ],
        expect![[r#"
            > POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "a", "_rev": "1-a"}, {"_id": "a", "_rev": "1-b"}, {"_id": "b", "_rev": "1-c"}]}
            201 Created
            []

            > POST /d/_purge {"a": ["1-b", "1-x"], "none": ["1-a"], "_x": ["1-a"]}
            201 Created
            {"purge_seq":null,"purged":{"a":["1-b"],"none":[],"_x":[]}}

            > GET /d/a?conflicts=true
            200 OK
            {"_id":"a","_rev":"1-a"}

            > POST /d/_purge {"a": ["1-a"], "b": ["1-c"]}
            201 Created
            {"purge_seq":null,"purged":{"a":["1-a"],"b":["1-c"]}}

            > GET /d/_purged_infos
            200 OK
            {"purged_infos":[{"id":"a","revs":["1-b"]},{"id":"a","revs":["1-a"]},{"id":"b","revs":["1-c"]}]}

            > GET /d/_all_docs
            200 OK
            {"total_rows":0,"offset":0,"rows":[

            ]}

            > GET /d
            200 OK
            {"instance_start_time":"1795230346","db_name":"d","purge_seq":"3-t","update_seq":"6-t","sizes":{"file":28,"external":0,"active":28},"props":{},"doc_del_count":0,"doc_count":0,"conflict_count":0,"disk_format_version":8,"compact_running":false,"cluster":{"q":1,"n":1,"w":1,"r":1}}

            > POST /d/_purge {}
            201 Created
            {"purge_seq":null,"purged":{}}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_is_posted_to_an_endpoint_that_is_not_here_is_missing() {
    check(
        &[
            "POST /d/_temp_view {}",
            "POST /d/_search_analyze {}",
            "POST /d/_design/x/_view/y {}",
            "POST /_replicate {}",
        ],
        expect![[r#"
            > POST /d/_temp_view {}
            404 Not Found
            {"error":"not_found","reason":"missing"}

            > POST /d/_search_analyze {}
            404 Not Found
            {"error":"not_found","reason":"missing"}

            > POST /d/_design/x/_view/y {}
            404 Not Found
            {"error":"not_found","reason":"missing"}

            > POST /_replicate {}
            400 Bad Request
            {"error":"bad_request","reason":"Missing replicator database: `source` is not there"}

        "#]],
    )
    .await;
}
