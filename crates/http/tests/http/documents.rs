//! One document: read, written, deleted, copied, with everything that can be asked of it.

use expect_test::expect;

use crate::story::check;

/// Three revisions and a branch: `2-b2` lost against `3-c`.
const TREE: [&str; 3] = [
    "PUT /d/n?new_edits=false\n\n{\"v\":\"c\",\"_revisions\":{\"start\":3,\"ids\":[\"c\",\"b\",\"a\"]}}",
    "PUT /d/n?new_edits=false\n\n{\"v\":\"b2\",\"_revisions\":{\"start\":2,\"ids\":[\"b2\",\"a\"]}}",
    "PUT /d/n?new_edits=false\n\n{\"_deleted\":true,\"_revisions\":{\"start\":2,\"ids\":[\"b3\",\"a\"]}}",
];

async fn check_of_tree(requests: &[&str], expected: expect_test::Expect) {
    let server = crate::story::begin().await;
    crate::story::told(&server, &TREE).await;
    expected.assert_eq(&crate::story::told(&server, requests).await);
}

#[tokio::test]
async fn a_document_is_written_read_changed_and_deleted() {
    check(
        &[
            "PUT /d/a\n\n{\"x\": 1.0}",
            "GET /d/a",
            "PUT /d/a?rev=1-x\n\n{}",
            "DELETE /d/a",
            "HEAD /d/a",
            "GET /d/none",
            "DELETE /d/none",
        ],
        expect![[r#"
            > PUT /d/a
            201 Created
            content-type: application/json
            etag: "1-547fe06a2f74b387df8e7434bb3e4068"
            location: http://localhost:5984/d/a

            {"ok":true,"id":"a","rev":"1-547fe06a2f74b387df8e7434bb3e4068"}

            > GET /d/a
            200 OK
            content-type: application/json
            etag: "1-547fe06a2f74b387df8e7434bb3e4068"

            {"_id":"a","_rev":"1-547fe06a2f74b387df8e7434bb3e4068","x":1.0}

            > PUT /d/a?rev=1-x
            409 Conflict
            content-type: application/json

            {"error":"conflict","reason":"Document update conflict."}

            > DELETE /d/a
            409 Conflict
            content-type: application/json

            {"error":"conflict","reason":"Document update conflict."}

            > HEAD /d/a
            200 OK
            content-length: 64
            content-type: application/json
            etag: "1-547fe06a2f74b387df8e7434bb3e4068"

            > GET /d/none
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing"}

            > DELETE /d/none
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_a_client_has_is_not_sent_again() {
    check_of_tree(
        &[
            "GET /d/n\nIf-None-Match: \"3-c\"",
            "GET /d/n?conflicts=true\nIf-None-Match: \"3-c\"",
            "GET /d/n?revs=true\nIf-None-Match: \"2-b2\", \"3-c\"",
        ],
        expect![[r#"
            > GET /d/n
            304 Not Modified
            etag: "3-c"

            > GET /d/n?conflicts=true
            200 OK
            content-type: application/json

            {"_id":"n","_rev":"3-c","v":"c","_conflicts":["2-b2"]}

            > GET /d/n?revs=true
            304 Not Modified
            etag: "3-c"

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_document_tells_what_it_is_asked() {
    check_of_tree(
        &[
            "GET /d/n?revs=true",
            "GET /d/n?meta=true",
            "GET /d/n?conflicts=true&deleted_conflicts=true&local_seq=true",
            "GET /d/n?rev=2-b3",
            "GET /d/n?rev=2-b",
        ],
        expect![[r#"
            > GET /d/n?revs=true
            200 OK
            content-type: application/json
            etag: "3-c"

            {"_id":"n","_rev":"3-c","v":"c","_revisions":{"start":3,"ids":["c","b","a"]}}

            > GET /d/n?meta=true
            200 OK
            content-type: application/json

            {"_id":"n","_rev":"3-c","v":"c","_revs_info":[{"rev":"3-c","status":"available"},{"rev":"2-b","status":"missing"},{"rev":"1-a","status":"missing"}],"_conflicts":["2-b2"],"_deleted_conflicts":["2-b3"]}

            > GET /d/n?conflicts=true&deleted_conflicts=true&local_seq=true
            200 OK
            content-type: application/json

            {"_id":"n","_rev":"3-c","v":"c","_conflicts":["2-b2"],"_deleted_conflicts":["2-b3"],"_local_seq":3}

            > GET /d/n?rev=2-b3
            200 OK
            content-type: application/json
            etag: "2-b3"

            {"_id":"n","_rev":"2-b3","_deleted":true}

            > GET /d/n?rev=2-b
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn latest_leads_from_an_old_revision_to_what_became_of_it() {
    check_of_tree(
        &[
            "GET /d/n?rev=2-b&latest=true",
            "GET /d/n?rev=2-b2&latest=true",
            "GET /d/n?rev=1-a&latest=true",
            "GET /d/n?open_revs=[\"2-b\",\"3-c\"]&latest=true\nAccept: application/json",
            "GET /d/n?open_revs=[\"1-a\",\"9-x\"]&latest=true\nAccept: application/json",
        ],
        expect![[r#"
            > GET /d/n?rev=2-b&latest=true
            200 OK
            content-type: application/json
            etag: "3-c"

            {"_id":"n","_rev":"3-c","v":"c"}

            > GET /d/n?rev=2-b2&latest=true
            200 OK
            content-type: application/json
            etag: "2-b2"

            {"_id":"n","_rev":"2-b2","v":"b2"}

            > GET /d/n?rev=1-a&latest=true
            200 OK
            content-type: application/json
            etag: "3-c"

            {"_id":"n","_rev":"3-c","v":"c"}

            > GET /d/n?open_revs=["2-b","3-c"]&latest=true
            200 OK
            content-length: 42
            content-type: application/json

            [{"ok":{"_id":"n","_rev":"3-c","v":"c"}}]

            > GET /d/n?open_revs=["1-a","9-x"]&latest=true
            200 OK
            content-length: 151
            content-type: application/json

            [{"ok":{"_id":"n","_rev":"3-c","v":"c"}},{"ok":{"_id":"n","_rev":"2-b2","v":"b2"}},{"ok":{"_id":"n","_rev":"2-b3","_deleted":true}},{"missing":"9-x"}]

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_deleted_document_can_be_asked_for_as_such() {
    check(
        &[
            "PUT /d/a?new_edits=false\n\n{\"_rev\":\"1-a\"}",
            "PUT /d/a?rev=1-a\n\n{\"_deleted\":true,\"why\":\"old\"}",
            "GET /d/a",
            "GET /d/a?deleted=true",
            "GET /d/a?open_revs=all\nAccept: application/json",
        ],
        expect![[r#"
            > PUT /d/a?new_edits=false
            201 Created
            content-type: application/json
            etag: "1-a"
            location: http://localhost:5984/d/a

            {"ok":true,"id":"a","rev":"1-a"}

            > PUT /d/a?rev=1-a
            200 OK
            content-type: application/json
            etag: "2-9dcb89122de550edbaffb1de80bf4164"
            location: http://localhost:5984/d/a

            {"ok":true,"id":"a","rev":"2-9dcb89122de550edbaffb1de80bf4164"}

            > GET /d/a
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"deleted"}

            > GET /d/a?deleted=true
            200 OK
            content-type: application/json
            etag: "2-9dcb89122de550edbaffb1de80bf4164"

            {"_id":"a","_rev":"2-9dcb89122de550edbaffb1de80bf4164","why":"old","_deleted":true}

            > GET /d/a?open_revs=all
            200 OK
            content-length: 93
            content-type: application/json

            [{"ok":{"_id":"a","_rev":"2-9dcb89122de550edbaffb1de80bf4164","why":"old","_deleted":true}}]

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_batched_write_is_accepted_without_a_revision() {
    let server = crate::story::begin().await;
    let story = crate::story::told(&server, &["PUT /d/a?batch=ok\n\n{\"x\":1}"]).await;
    expect![[r#"
        > PUT /d/a?batch=ok
        202 Accepted
        content-type: application/json

        {"ok":true,"id":"a"}

    "#]]
    .assert_eq(&story);
    // Writes of one database are made in order.
    crate::story::told(&server, &["PUT /d/b\n\n{}"]).await;
    assert_eq!(server.send("GET /d/a").await.status(), 200);
}

#[tokio::test]
async fn a_copy_holds_what_its_source_held() {
    check(
        &[
            "PUT /d/a\n\n{\"x\":1,\"_attachments\":{\"t\":{\"data\":\"aGk=\",\"content_type\":\"text/plain\"}}}",
            "COPY /d/a\nDestination: b",
            "GET /d/b",
            "COPY /d/a\nDestination: b",
            "COPY /d/b\nDestination: a?rev=1-c36c6e8853cd69ff25929c633c3c036f",
            "COPY /d/a\nDestination: caf%C3%A9%2Fx",
            "COPY /d/a\nDestination: http://elsewhere/d/a",
            "COPY /d/a",
            "COPY /d/none\nDestination: c",
            "COPY /d/b\nDestination: _local/n",
            "COPY /d/a\nDestination: _x",
            "COPY /d/a?rev=1-c36c6e8853cd69ff25929c633c3c036f\nDestination: e",
        ],
        expect![[r#"
            > PUT /d/a
            201 Created
            content-type: application/json
            etag: "1-c36c6e8853cd69ff25929c633c3c036f"
            location: http://localhost:5984/d/a

            {"ok":true,"id":"a","rev":"1-c36c6e8853cd69ff25929c633c3c036f"}

            > COPY /d/a
            201 Created
            content-type: application/json
            etag: "1-c36c6e8853cd69ff25929c633c3c036f"
            location: http://localhost:5984/d/b

            {"ok":true,"id":"b","rev":"1-c36c6e8853cd69ff25929c633c3c036f"}

            > GET /d/b
            200 OK
            content-type: application/json
            etag: "1-c36c6e8853cd69ff25929c633c3c036f"

            {"_id":"b","_rev":"1-c36c6e8853cd69ff25929c633c3c036f","x":1,"_attachments":{"t":{"content_type":"text/plain","revpos":1,"digest":"md5-QTVOnBwGnrw6Tx9YG1ZRyA==","length":2,"stub":true}}}

            > COPY /d/a
            409 Conflict
            content-type: application/json

            {"error":"conflict","reason":"Document update conflict."}

            > COPY /d/b
            201 Created
            content-type: application/json
            etag: "2-77d609ac911d0ddd844b2140dee78204"
            location: http://localhost:5984/d/a

            {"ok":true,"id":"a","rev":"2-77d609ac911d0ddd844b2140dee78204"}

            > COPY /d/a
            201 Created
            content-type: application/json
            etag: "1-c36c6e8853cd69ff25929c633c3c036f"
            location: http://localhost:5984/d/caf%C3%A9%2Fx

            {"ok":true,"id":"café/x","rev":"1-c36c6e8853cd69ff25929c633c3c036f"}

            > COPY /d/a
            400 Bad Request
            content-type: application/json

            {"error":"bad_request","reason":"Destination URL must be relative."}

            > COPY /d/a
            400 Bad Request
            content-type: application/json

            {"error":"bad_request","reason":"Destination header is mandatory for COPY."}

            > COPY /d/none
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing"}

            > COPY /d/b
            400 Bad Request
            content-type: application/json

            {"error":"bad_request","reason":"_local documents do not accept attachments."}

            > COPY /d/a
            400 Bad Request
            content-type: application/json

            {"error":"illegal_docid","reason":"Only reserved document ids may start with underscore."}

            > COPY /d/a?rev=1-c36c6e8853cd69ff25929c633c3c036f
            201 Created
            content-type: application/json
            etag: "1-c36c6e8853cd69ff25929c633c3c036f"
            location: http://localhost:5984/d/e

            {"ok":true,"id":"e","rev":"1-c36c6e8853cd69ff25929c633c3c036f"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn local_documents_count_their_revisions() {
    check(
        &[
            "PUT /d/_local/a%2Fb\n\n{\"n\":1}",
            "PUT /d/_local/a%2Fb\n\n{\"n\":2,\"_rev\":\"0-1\"}",
            "PUT /d/_local/a%2Fb\n\n{\"n\":3,\"_rev\":\"0-1\"}",
            "GET /d/_local/a%2Fb",
            "GET /d/_local%2Fa%2Fb",
            "DELETE /d/_local/a%2Fb?rev=0-1",
            "DELETE /d/_local/a%2Fb?rev=0-2",
            "GET /d/_local/a%2Fb",
            "COPY /d/_local/none\nDestination: x",
            "PUT /d/_local/c\n\n{\"_attachments\":{\"t\":{\"data\":\"\"}}}",
        ],
        expect![[r#"
            > PUT /d/_local/a%2Fb
            201 Created
            content-type: application/json
            etag: "BOA0QWL8TVZ2NZYJ4ZCO6NJR7"
            location: http://localhost:5984/d/_local%2Fa%2Fb

            {"ok":true,"id":"_local/a/b","rev":"0-1"}

            > PUT /d/_local/a%2Fb
            201 Created
            content-type: application/json
            etag: "4WSIYJG9L6MKKQA92K638GSB6"
            location: http://localhost:5984/d/_local%2Fa%2Fb

            {"ok":true,"id":"_local/a/b","rev":"0-2"}

            > PUT /d/_local/a%2Fb
            409 Conflict
            content-type: application/json

            {"error":"conflict","reason":"Document update conflict."}

            > GET /d/_local/a%2Fb
            200 OK
            content-type: application/json
            etag: "4WSIYJG9L6MKKQA92K638GSB6"

            {"_id":"_local/a/b","_rev":"0-2","n":2}

            > GET /d/_local%2Fa%2Fb
            200 OK
            content-type: application/json
            etag: "4WSIYJG9L6MKKQA92K638GSB6"

            {"_id":"_local/a/b","_rev":"0-2","n":2}

            > DELETE /d/_local/a%2Fb?rev=0-1
            409 Conflict
            content-type: application/json

            {"error":"conflict","reason":"Document update conflict."}

            > DELETE /d/_local/a%2Fb?rev=0-2
            200 OK
            content-type: application/json
            etag: "BXPGGJXO3SAE8NSP1WE1O04DW"

            {"ok":true,"id":"_local/a/b","rev":"0-0"}

            > GET /d/_local/a%2Fb
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing"}

            > COPY /d/_local/none
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing"}

            > PUT /d/_local/c
            201 Created
            content-type: application/json
            etag: "2CQ1QS1O47WI12LM0I1UNJTAL"
            location: http://localhost:5984/d/_local%2Fc

            {"ok":true,"id":"_local/c","rev":"0-1"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn design_documents_are_named_with_either_slash() {
    check(
        &[
            "PUT /d/_design%2Fx\n\n{\"language\":\"javascript\"}",
            "GET /d/_design%2Fx?rev=1-0",
            "GET /d/_design/x",
            "PUT /d/_design/x/page.html?rev=1-ac85fc9abd1578d42425e6186d27ceb0\nContent-Type: text/html\n\n<b>",
            "GET /d/_design/x/_view/v",
        ],
        expect![[r#"
            > PUT /d/_design%2Fx
            201 Created
            content-type: application/json
            etag: "1-ac85fc9abd1578d42425e6186d27ceb0"
            location: http://localhost:5984/d/_design%2Fx

            {"ok":true,"id":"_design/x","rev":"1-ac85fc9abd1578d42425e6186d27ceb0"}

            > GET /d/_design%2Fx?rev=1-0
            301 Moved Permanently
            location: http://localhost:5984/d/_design/x?rev=1-0

            > GET /d/_design/x
            200 OK
            content-type: application/json
            etag: "1-ac85fc9abd1578d42425e6186d27ceb0"

            {"_id":"_design/x","_rev":"1-ac85fc9abd1578d42425e6186d27ceb0","language":"javascript"}

            > PUT /d/_design/x/page.html?rev=1-ac85fc9abd1578d42425e6186d27ceb0
            201 Created
            content-type: application/json
            location: http://localhost:5984/d/_design%2Fx/page.html

            {"ok":true,"id":"_design/x","rev":"2-c09c1ba06ee5ba15061f940a5e6fbd5d"}

            > GET /d/_design/x/_view/v
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing_named_view"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_form_attaches_files_to_a_document() {
    let form =
        "Content-Type: multipart/form-data; boundary=b\nReferer: http://localhost:5984/d/f.html";
    let file = "--b\nContent-Disposition: form-data; name=\"_attachments\"; filename=\"n.txt\"\nContent-Type: text/plain\n\nnote\n";
    let whole = format!(
        "POST /d/f\n{form}\n\n--b\nContent-Disposition: form-data; name=\"_doc\"\n\n{{\"x\":1}}\n{file}--b--"
    );
    let more = format!(
        "POST /d/f\n{form}\n\n--b\nContent-Disposition: form-data; name=\"_rev\"\n\n1-999702d81e9411a861f38c02a39dadb1\n{file}--b--"
    );
    let nothing = format!("POST /d/f\n{form}\n\n{file}--b--");
    check(
        &[
            &whole,
            "GET /d/f",
            &more,
            "GET /d/f",
            &nothing,
            "POST /d/f\nContent-Type: multipart/form-data; boundary=b\n\nx",
            "POST /d/f\nReferer: http://elsewhere/\nContent-Type: multipart/form-data; boundary=b\n\nx",
            "POST /d/f\nReferer: http://localhost:5984/\nContent-Type: application/json\n\n{}",
        ],
        expect![[r#"
            > POST /d/f
            201 Created
            content-type: application/json
            etag: "1-999702d81e9411a861f38c02a39dadb1"

            {"ok":true,"id":"f","rev":"1-999702d81e9411a861f38c02a39dadb1"}

            > GET /d/f
            200 OK
            content-type: application/json
            etag: "1-999702d81e9411a861f38c02a39dadb1"

            {"_id":"f","_rev":"1-999702d81e9411a861f38c02a39dadb1","x":1,"_attachments":{"n.txt":{"content_type":"text/plain","revpos":1,"digest":"md5-86bkMXmdQ68bZ1qI0thLrA==","length":4,"stub":true}}}

            > POST /d/f
            201 Created
            content-type: application/json
            etag: "2-348e1bedf4647ed7b244a618e8951f50"

            {"ok":true,"id":"f","rev":"2-348e1bedf4647ed7b244a618e8951f50"}

            > GET /d/f
            200 OK
            content-type: application/json
            etag: "2-348e1bedf4647ed7b244a618e8951f50"

            {"_id":"f","_rev":"2-348e1bedf4647ed7b244a618e8951f50","x":1,"_attachments":{"n.txt":{"content_type":"text/plain","revpos":2,"digest":"md5-86bkMXmdQ68bZ1qI0thLrA==","length":4,"stub":true}}}

            > POST /d/f
            400 Bad Request
            content-type: application/json

            {"error":"bad_request","reason":"the form has neither `_doc` nor `_rev`"}

            > POST /d/f
            400 Bad Request
            content-type: application/json

            {"error":"bad_request","reason":"Referer header required."}

            > POST /d/f
            400 Bad Request
            content-type: application/json

            {"error":"bad_request","reason":"Referer header must match host."}

            > POST /d/f
            415 Unsupported Media Type
            content-type: application/json

            {"error":"bad_content_type","reason":"Content-Type must be multipart/form-data"}

        "#]],
    )
    .await;
}
