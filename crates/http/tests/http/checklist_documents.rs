//! What other implementations of the protocol usually get wrong, item by item: those of single documents.

use expect_test::expect;

use crate::story::{begin, check, check_briefly, told};

#[tokio::test]
async fn item_04_a_revision_without_ancestry_is_taken_and_none_at_all_refused() {
    check_briefly(
        &[
            "PUT /d/a?new_edits=false\n\n{\"_rev\":\"3-x\"}",
            "GET /d/a?revs=true",
            "PUT /d/b?new_edits=false&rev=2-y\n\n{}",
            "PUT /d/c?new_edits=false\n\n{}",
        ],
        expect![[r#"
            PUT /d/a?new_edits=false 201 {"ok":true,"id":"a","rev":"3-x"}
            GET /d/a?revs=true 200 {"_id":"a","_rev":"3-x","_revisions":{"start":3,"ids":["x"]}}
            PUT /d/b?new_edits=false&rev=2-y 201 {"ok":true,"id":"b","rev":"2-y"}
            PUT /d/c?new_edits=false 400 {"error":"bad_request","reason":"When `new_edits: false`, the document needs `_rev` or `_revisions` specified"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_05_a_known_revision_is_silent_success() {
    let put = "PUT /d/a?new_edits=false\n\n{\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]}}";
    let older = "PUT /d/a?new_edits=false\n\n{\"_rev\":\"1-a\"}";
    check_briefly(
        &[put, put, older, "GET /d/a?local_seq=true"],
        expect![[r#"
        PUT /d/a?new_edits=false 201 {"ok":true,"id":"a","rev":"2-b"}
        PUT /d/a?new_edits=false 201 {"ok":true,"id":"a","rev":"2-b"}
        PUT /d/a?new_edits=false 201 {"ok":true,"id":"a","rev":"1-a"}
        GET /d/a?local_seq=true 200 {"_id":"a","_rev":"2-b","_local_seq":1}
    "#]],
    )
    .await;
}

#[tokio::test]
async fn item_08_local_documents_leave_no_trace_in_the_database() {
    let server = begin().await;
    let before = told(&server, &["GET /d", "GET /d/_changes", "GET /d/_all_docs"]).await;
    let puts = [
        "PUT /d/_local/a.b_c~d\n\n{\"any\":{\"field\":1},\"session_id\":\"x\"}",
        "PUT /d/_local%2Fe\n\n{}",
    ];
    let story = told(&server, &puts).await;
    assert_eq!(story.matches("201 Created").count(), 2, "{story}");
    let after = told(&server, &["GET /d", "GET /d/_changes", "GET /d/_all_docs"]).await;
    assert_eq!(before, after);
}

#[tokio::test]
async fn item_09_what_is_missing_and_what_was_deleted_are_told_apart() {
    check_briefly(
        &[
            "PUT /d/a?new_edits=false\n\n{\"_rev\":\"1-a\",\"_deleted\":true}",
            "GET /d/a",
            "GET /d/b",
            "GET /d/_local/a",
            "GET /d/_x",
        ],
        expect![[r#"
            PUT /d/a?new_edits=false 200 {"ok":true,"id":"a","rev":"1-a"}
            GET /d/a 404 {"error":"not_found","reason":"deleted"}
            GET /d/b 404 {"error":"not_found","reason":"missing"}
            GET /d/_local/a 404 {"error":"not_found","reason":"missing"}
            GET /d/_x 404 {"error":"not_found","reason":"missing"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_10_writes_and_failures_are_answered_in_json() {
    let server = begin().await;
    for request in [
        "PUT /d/a\n\n{}",
        "PUT /d/a\n\n{}",
        "PUT /d/a/n?rev=1-967a00dff5e02add41819138abb3284d\n\n",
        "PUT /d/_local/a\n\n{}",
        "DELETE /d/_local/a",
        "COPY /d/a\nDestination: b",
        "DELETE /d/b",
        "GET /d/none\nAccept: text/html",
        "GET /d/a/none\nAccept: image/png",
        "PUT /d/c\n\n{",
        "PATCH /d/c",
    ] {
        let reply = server.send(request).await;
        assert_eq!(reply.headers()["content-type"], "application/json", "{request}");
        let body = crate::support::text(reply).await;
        assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{request}: {body}");
    }
}

#[tokio::test]
async fn item_11_several_revisions_come_as_parts_with_attachments_as_stored() {
    check(
        &[
            "PUT /d/a?new_edits=false\n\n{\"_rev\":\"1-a\",\"_attachments\":{\"n\":{\"data\":\"aGk=\"}}}",
            "PUT /d/a?new_edits=false\n\n{\"_rev\":\"1-b\"}",
            "GET /d/a?open_revs=[\"1-a\",\"1-b\",\"9-x\"]&revs=true\nAccept: multipart/mixed",
        ],
        expect![[r#"
            > PUT /d/a?new_edits=false
            201 Created
            content-type: application/json
            etag: "1-a"
            location: http://localhost:5984/d/a

            {"ok":true,"id":"a","rev":"1-a"}

            > PUT /d/a?new_edits=false
            201 Created
            content-type: application/json
            etag: "1-b"
            location: http://localhost:5984/d/a

            {"ok":true,"id":"a","rev":"1-b"}

            > GET /d/a?open_revs=["1-a","1-b","9-x"]&revs=true
            200 OK
            content-length: 849
            content-type: multipart/mixed; boundary="3b4a79a517cec22a630bfdb7a6a634a5"

            --3b4a79a517cec22a630bfdb7a6a634a5\r
            Content-Type: multipart/related; boundary="f1aa2b57dad0bad0ee89af30963784ae"\r
            \r
            --f1aa2b57dad0bad0ee89af30963784ae\r
            Content-Type: application/json\r
            \r
            {"_id":"a","_rev":"1-a","_revisions":{"start":1,"ids":["a"]},"_attachments":{"n":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-SfaKXIST7CwL9ImCHCH8Ow==","length":2,"follows":true}}}\r
            --f1aa2b57dad0bad0ee89af30963784ae\r
            Content-Disposition: attachment; filename="n"\r
            Content-Type: application/octet-stream\r
            Content-Length: 2\r
            \r
            hi\r
            --f1aa2b57dad0bad0ee89af30963784ae--\r
            --3b4a79a517cec22a630bfdb7a6a634a5\r
            Content-Type: application/json\r
            \r
            {"_id":"a","_rev":"1-b","_revisions":{"start":1,"ids":["b"]}}\r
            --3b4a79a517cec22a630bfdb7a6a634a5\r
            Content-Type: application/json; error="true"\r
            \r
            {"missing":"9-x"}\r
            --3b4a79a517cec22a630bfdb7a6a634a5--

        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_12_several_revisions_come_as_json_only_to_those_who_take_no_parts() {
    let server = begin().await;
    told(&server, &["PUT /d/a\n\n{}"]).await;
    for (accept, expected) in [
        ("", "multipart/mixed"),
        ("\nAccept: */*", "multipart/mixed"),
        ("\nAccept: application/json, multipart/mixed", "multipart/mixed"),
        ("\nAccept: application/json", "application/json"),
        ("\nAccept: text/html", "application/json"),
    ] {
        let reply = server.send(&format!("GET /d/a?open_revs=all{accept}")).await;
        let content_type = reply.headers()["content-type"].to_str().unwrap();
        assert!(content_type.starts_with(expected), "{accept}: {content_type}");
    }
}

#[tokio::test]
async fn item_14_digests_are_of_the_stored_bytes_and_lengths_of_both() {
    check_briefly(
        &[
            "PUT /d/a/t\nContent-Type: text/plain\n\nhello hello hello hello",
            "GET /d/a?att_encoding_info=true",
        ],
        expect![[r#"
            PUT /d/a/t 201 {"ok":true,"id":"a","rev":"1-65d2e76c3259258d529c27f324b15834"}
            GET /d/a?att_encoding_info=true 200 {"_id":"a","_rev":"1-65d2e76c3259258d529c27f324b15834","_attachments":{"t":{"content_type":"text/plain","revpos":1,"digest":"md5-iZnIgHaZ3ETVHDtRSQc4IA==","length":23,"stub":true,"encoding":"gzip","encoded_length":28}}}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_15_a_tombstone_keeps_what_it_was_written_with() {
    check_briefly(
        &[
            "PUT /d/a?new_edits=false\n\n{\"_rev\":\"1-a\",\"x\":1}",
            "PUT /d/a?new_edits=false\n\n{\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]},\"_deleted\":true,\"why\":1,\"_attachments\":{\"n\":{\"data\":\"\"}}}",
            "GET /d/a?rev=2-b",
            "PUT /d/c?new_edits=false\n\n{\"_rev\":\"1-a\",\"x\":1}",
            "DELETE /d/c?rev=1-a",
            "GET /d/c?rev=2-aaa2cf22eb11f7752d8c541e4b262df8",
        ],
        expect![[r#"
            PUT /d/a?new_edits=false 201 {"ok":true,"id":"a","rev":"1-a"}
            PUT /d/a?new_edits=false 200 {"ok":true,"id":"a","rev":"2-b"}
            GET /d/a?rev=2-b 200 {"_id":"a","_rev":"2-b","why":1,"_deleted":true,"_attachments":{"n":{"content_type":"application/octet-stream","revpos":2,"digest":"md5-1B2M2Y8AsgTpgAmY7PhCfg==","length":0,"stub":true}}}
            PUT /d/c?new_edits=false 201 {"ok":true,"id":"c","rev":"1-a"}
            DELETE /d/c?rev=1-a 200 {"ok":true,"id":"c","rev":"2-aaa2cf22eb11f7752d8c541e4b262df8"}
            GET /d/c?rev=2-aaa2cf22eb11f7752d8c541e4b262df8 200 {"_id":"c","_rev":"2-aaa2cf22eb11f7752d8c541e4b262df8","_deleted":true}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_16_a_deleted_document_is_written_anew_on_top_of_its_tombstone() {
    check_briefly(
        &[
            "PUT /d/a?new_edits=false\n\n{\"_rev\":\"1-a\"}",
            "DELETE /d/a?rev=1-a",
            "PUT /d/a\n\n{\"x\":1}",
            "GET /d/a?revs=true",
        ],
        expect![[r#"
            PUT /d/a?new_edits=false 201 {"ok":true,"id":"a","rev":"1-a"}
            DELETE /d/a?rev=1-a 200 {"ok":true,"id":"a","rev":"2-aaa2cf22eb11f7752d8c541e4b262df8"}
            PUT /d/a 201 {"ok":true,"id":"a","rev":"3-e2ff3da2db57e103fd944d5b1c9e664d"}
            GET /d/a?revs=true 200 {"_id":"a","_rev":"3-e2ff3da2db57e103fd944d5b1c9e664d","x":1,"_revisions":{"start":3,"ids":["e2ff3da2db57e103fd944d5b1c9e664d","aaa2cf22eb11f7752d8c541e4b262df8","a"]}}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_17_when_the_winner_is_deleted_the_other_branch_shows() {
    check_briefly(
        &[
            "PUT /d/a?new_edits=false\n\n{\"_rev\":\"1-a\",\"v\":\"a\"}",
            "PUT /d/a?new_edits=false\n\n{\"_rev\":\"1-b\",\"v\":\"b\"}",
            "DELETE /d/a?rev=1-b",
            "GET /d/a",
        ],
        expect![[r#"
            PUT /d/a?new_edits=false 201 {"ok":true,"id":"a","rev":"1-a"}
            PUT /d/a?new_edits=false 201 {"ok":true,"id":"a","rev":"1-b"}
            DELETE /d/a?rev=1-b 200 {"ok":true,"id":"a","rev":"2-fc383f258391b69eea18223cf4fd254a"}
            GET /d/a 200 {"_id":"a","_rev":"1-a","v":"a"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_18_a_document_that_is_there_is_not_overwritten_without_its_revision() {
    check_briefly(
        &["PUT /d/a\n\n{\"x\":1}", "PUT /d/a\n\n{\"x\":2}"],
        expect![[r#"
        PUT /d/a 201 {"ok":true,"id":"a","rev":"1-0785e9eb543380151003dc452c3a001a"}
        PUT /d/a 409 {"error":"conflict","reason":"Document update conflict."}
    "#]],
    )
    .await;
}

#[tokio::test]
async fn item_29_revisions_in_query_body_and_header_must_agree() {
    check_briefly(
        &[
            "PUT /d/a?new_edits=false\n\n{\"_rev\":\"1-a\"}",
            "PUT /d/a?rev=1-a\n\n{\"_rev\":\"1-b\"}",
            "PUT /d/a?rev=1-a\nIf-Match: 1-b\n\n{}",
            "PUT /d/a\nIf-Match: \"1-b\"\n\n{\"_rev\":\"1-a\"}",
            "DELETE /d/a?rev=1-a\nIf-Match: \"1-b\"",
            "PUT /d/a?rev=1-a\nIf-Match: \"1-a\"\n\n{\"_rev\":\"1-a\"}",
            "PUT /d/a\nIf-Match: x\n\n{}",
        ],
        expect![[r#"
            PUT /d/a?new_edits=false 201 {"ok":true,"id":"a","rev":"1-a"}
            PUT /d/a?rev=1-a 400 {"error":"bad_request","reason":"Document rev from request body and query string have different values"}
            PUT /d/a?rev=1-a 400 {"error":"bad_request","reason":"Document rev and etag have different values"}
            PUT /d/a 400 {"error":"bad_request","reason":"Document rev and etag have different values"}
            DELETE /d/a?rev=1-a 400 {"error":"bad_request","reason":"Document rev and etag have different values"}
            PUT /d/a?rev=1-a 201 {"ok":true,"id":"a","rev":"2-0f458bdb4160f5383a09432f69a3bf41"}
            PUT /d/a 400 {"error":"bad_request","reason":"Invalid rev format"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_30_a_document_may_have_eight_million_bytes_besides_its_attachments() {
    let server = begin().await;
    let of = |bytes: usize| format!("PUT /d/a\n\n{{\"x\":\"{}\"}}", "x".repeat(bytes - 8));
    assert_eq!(server.send(&of(8_000_001)).await.status(), 413);
    assert_eq!(server.send(&of(8_000_000)).await.status(), 201);
    let data = "QUFB".repeat(3_000_000);
    let attached = format!("PUT /d/b\n\n{{\"_attachments\":{{\"n\":{{\"data\":\"{data}\"}}}}}}");
    assert_eq!(server.send(&attached).await.status(), 201);
}

#[tokio::test]
async fn item_31_unknown_members_with_an_underscore_are_refused() {
    check_briefly(
        &[
            "PUT /d/a\n\n{\"_unknown\":1}",
            "PUT /d/b\n\n{\"_replication_state\":\"completed\",\"_access\":[]}",
            "GET /d/b",
        ],
        expect![[r#"
            PUT /d/a 400 {"error":"doc_validation","reason":"Bad special document member: _unknown"}
            PUT /d/b 201 {"ok":true,"id":"b","rev":"1-09bf4bd687261043cc220d4133306160"}
            GET /d/b 200 {"_id":"b","_rev":"1-09bf4bd687261043cc220d4133306160","_replication_state":"completed","_access":[]}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_32_ids_are_any_text_and_an_encoded_slash_belongs_to_them() {
    let long = format!("PUT /d/{}\n\n{{}}", "x".repeat(1_501));
    assert_eq!(begin().await.send(&long).await.status(), 400);
    check_briefly(
        &[
            "PUT /d/a%2Fb%20c+d%2Be%F0%9F%98%80%22%00\n\n{}",
            "GET /d/a%2Fb%20c+d%2Be%F0%9F%98%80%22%00",
            "GET /d/a/b",
            "PUT /d/_nothing\n\n{}",
            "PUT /d/%FF\n\n{}",
        ],
        expect![[r#"
            PUT /d/a%2Fb%20c+d%2Be%F0%9F%98%80%22%00 201 {"ok":true,"id":"a/b c d+e😀\"\u0000","rev":"1-967a00dff5e02add41819138abb3284d"}
            GET /d/a%2Fb%20c+d%2Be%F0%9F%98%80%22%00 200 {"_id":"a/b c d+e😀\"\u0000","_rev":"1-967a00dff5e02add41819138abb3284d"}
            GET /d/a/b 404 {"error":"not_found","reason":"missing"}
            PUT /d/_nothing 400 {"error":"illegal_docid","reason":"Only reserved document ids may start with underscore."}
            PUT /d/%FF 400 {"error":"bad_request","reason":"the path is not UTF-8"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_33_what_was_written_is_read_as_it_was_spelled() {
    check_briefly(
        &[
            "PUT /d/a\n\n{\"z\": 1.0, \"a\": [12345678901234567890, 1e2, -0],\n\"\\u0041\": \"\\u00e9\"}",
            "GET /d/a",
            "PUT /d/b\n\n{\"a\":1,\"\\u0061\":2}",
        ],
        expect![[r#"
            PUT /d/a 201 {"ok":true,"id":"a","rev":"1-4c812e78964e71fe8e9730992c1af45f"}
            GET /d/a 200 {"_id":"a","_rev":"1-4c812e78964e71fe8e9730992c1af45f","z":1.0,"a":[12345678901234567890,1e2,-0],"\u0041":"\u00e9"}
            PUT /d/b 400 {"error":"bad_request","reason":"a second member \"a\" in one object at byte 7"}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_39_a_trailing_slash_changes_nothing_and_head_is_get_without_a_body() {
    check(
        &["PUT /d/a/\n\n{}", "HEAD /d/a/", "GET /d/a/"],
        expect![[r#"
        > PUT /d/a/
        201 Created
        content-type: application/json
        etag: "1-967a00dff5e02add41819138abb3284d"
        location: http://localhost:5984/d/a

        {"ok":true,"id":"a","rev":"1-967a00dff5e02add41819138abb3284d"}

        > HEAD /d/a/
        200 OK
        content-length: 56
        content-type: application/json
        etag: "1-967a00dff5e02add41819138abb3284d"

        > GET /d/a/
        200 OK
        content-type: application/json
        etag: "1-967a00dff5e02add41819138abb3284d"

        {"_id":"a","_rev":"1-967a00dff5e02add41819138abb3284d"}

    "#]],
    )
    .await;
}
