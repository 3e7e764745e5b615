//! Attachments: alone, inside of their document, behind it.

use std::io::Write as _;

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use expect_test::expect;
use http::{Request, header};
use http_body_util::BodyExt as _;

use crate::story::{begin, check, send, told};

const TEXT: &str = "PUT /d/a/t.txt\nContent-Type: text/plain\n\nhello hello hello hello";
const BYTES: &str = "PUT /d/b/x/u.bin\nContent-Type: application/x-thing\n\n0123456789";

#[tokio::test]
async fn a_file_is_attached_read_and_taken_away() {
    check(
        &[
            BYTES,
            "GET /d/b",
            "GET /d/b/x/u.bin",
            "GET /d/b/x%2Fu.bin",
            "HEAD /d/b/x/u.bin",
            "GET /d/b/none",
            "GET /d/none/x",
            "GET /d/b/_x",
            "PUT /d/b/_x?rev=1-659ab946ced4110bc15c5edc524c009b\n\nx",
            "DELETE /d/b/none",
            "DELETE /d/b/none?rev=1-659ab946ced4110bc15c5edc524c009b",
            "DELETE /d/none/x",
            "DELETE /d/b/x/u.bin\nIf-Match: \"1-659ab946ced4110bc15c5edc524c009b\"",
            "GET /d/b",
            "PUT /d/_local/x/y\n\nz",
        ],
        expect![[r#"
            > PUT /d/b/x/u.bin
            201 Created
            content-type: application/json
            location: http://localhost:5984/d/b/x%2Fu.bin

            {"ok":true,"id":"b","rev":"1-659ab946ced4110bc15c5edc524c009b"}

            > GET /d/b
            200 OK
            content-type: application/json
            etag: "1-659ab946ced4110bc15c5edc524c009b"

            {"_id":"b","_rev":"1-659ab946ced4110bc15c5edc524c009b","_attachments":{"x/u.bin":{"content_type":"application/x-thing","revpos":1,"digest":"md5-eB5eJF1ptWaXm4bijSPyxw==","length":10,"stub":true}}}

            > GET /d/b/x/u.bin
            200 OK
            accept-ranges: bytes
            content-length: 10
            content-security-policy: sandbox
            content-type: application/x-thing
            digest: MD5=eB5eJF1ptWaXm4bijSPyxw==
            etag: "eB5eJF1ptWaXm4bijSPyxw=="
            x-content-type-options: nosniff

            0123456789

            > GET /d/b/x%2Fu.bin
            200 OK
            accept-ranges: bytes
            content-length: 10
            content-security-policy: sandbox
            content-type: application/x-thing
            digest: MD5=eB5eJF1ptWaXm4bijSPyxw==
            etag: "eB5eJF1ptWaXm4bijSPyxw=="
            x-content-type-options: nosniff

            0123456789

            > HEAD /d/b/x/u.bin
            200 OK
            accept-ranges: bytes
            content-length: 10
            content-security-policy: sandbox
            content-type: application/x-thing
            digest: MD5=eB5eJF1ptWaXm4bijSPyxw==
            etag: "eB5eJF1ptWaXm4bijSPyxw=="
            x-content-type-options: nosniff

            > GET /d/b/none
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"Document is missing attachment"}

            > GET /d/none/x
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing"}

            > GET /d/b/_x
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing"}

            > PUT /d/b/_x?rev=1-659ab946ced4110bc15c5edc524c009b
            400 Bad Request
            content-type: application/json

            {"error":"bad_request","reason":"Attachment name '_x' starts with prohibited character '_'"}

            > DELETE /d/b/none
            409 Conflict
            content-type: application/json

            {"error":"conflict","reason":"Document update conflict."}

            > DELETE /d/b/none?rev=1-659ab946ced4110bc15c5edc524c009b
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"Document is missing attachment"}

            > DELETE /d/none/x
            404 Not Found
            content-type: application/json

            {"error":"not_found","reason":"missing"}

            > DELETE /d/b/x/u.bin
            200 OK
            content-type: application/json

            {"ok":true,"id":"b","rev":"2-6075fd7f93219370638c0224db2a1915"}

            > GET /d/b
            200 OK
            content-type: application/json
            etag: "2-6075fd7f93219370638c0224db2a1915"

            {"_id":"b","_rev":"2-6075fd7f93219370638c0224db2a1915"}

            > PUT /d/_local/x/y
            400 Bad Request
            content-type: application/json

            {"error":"bad_request","reason":"_local documents do not accept attachments."}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_compressed_attachment_goes_packed_to_those_who_take_gzip() {
    check(
        &[TEXT, "GET /d/a/t.txt", "HEAD /d/a/t.txt\nAccept-Encoding: gzip"],
        expect![[r#"
            > PUT /d/a/t.txt
            201 Created
            content-type: application/json
            location: http://localhost:5984/d/a/t.txt

            {"ok":true,"id":"a","rev":"1-7e611f025ca66dc2cada84e74ab28719"}

            > GET /d/a/t.txt
            200 OK
            accept-ranges: none
            content-length: 23
            content-security-policy: sandbox
            content-type: text/plain
            etag: "iZnIgHaZ3ETVHDtRSQc4IA=="
            vary: Accept-Encoding
            x-content-type-options: nosniff

            hello hello hello hello

            > HEAD /d/a/t.txt
            200 OK
            accept-ranges: none
            content-encoding: gzip
            content-length: 28
            content-security-policy: sandbox
            content-type: text/plain
            digest: MD5=iZnIgHaZ3ETVHDtRSQc4IA==
            etag: "iZnIgHaZ3ETVHDtRSQc4IA=="
            vary: Accept-Encoding
            x-content-type-options: nosniff

        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_was_sent_packed_is_kept_as_it_came() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&[b'a'; 1000]).unwrap();
    let packed = packer.finish().unwrap();
    let server = begin().await;
    let put = Request::put("/d/a/t")
        .header(header::AUTHORIZATION, crate::support::ADMIN)
        .header(header::CONTENT_TYPE, "image/x-packed")
        .header(header::CONTENT_ENCODING, "gzip")
        .body(Body::from(packed.clone()));
    assert_eq!(server.app.answer(put.unwrap()).await.status(), 201);
    let get = async |request| {
        let response = send(&server, request).await;
        response.into_body().collect().await.unwrap().to_bytes()
    };
    assert_eq!(get("GET /d/a/t\nAccept-Encoding: gzip").await, packed);
    assert_eq!(get("GET /d/a/t").await, vec![b'a'; 1000]);
}

#[tokio::test]
async fn uploads_are_refused_that_are_not_what_they_were_announced_to_be() {
    check(
        &[
            "PUT /d/a/t\nContent-MD5: rL0Y20zC+Fzt72VPzMSk2A==\n\nfoo",
            "PUT /d/b/t\nContent-MD5: rL0Y20zC+Fzt72VPzMSk2A==\n\nbar",
            "PUT /d/b/t\nContent-MD5: x\n\nbar",
            "PUT /d/b/t\nContent-Encoding: gzip\n\nbar",
            "PUT /d/b/t\nContent-Encoding: br\n\nbar",
            "PUT /d/b/t\nContent-Length: 4\n\nbar",
            "PUT /d/b/t\nContent-Length: 9999999999\n\nbar",
        ],
        expect![[r#"
            > PUT /d/a/t
            201 Created
            content-type: application/json
            location: http://localhost:5984/d/a/t

            {"ok":true,"id":"a","rev":"1-a764b8ae7666745ad0f2083984b2d995"}

            > PUT /d/b/t
            400 Bad Request
            content-type: application/json

            {"error":"content_md5_mismatch","reason":"Possible message corruption."}

            > PUT /d/b/t
            400 Bad Request
            content-type: application/json

            {"error":"bad_request","reason":"Content-MD5 must be 16 bytes in base64"}

            > PUT /d/b/t
            400 Bad Request
            content-type: application/json

            {"error":"bad_request","reason":"the attachment was announced as gzip"}

            > PUT /d/b/t
            415 Unsupported Media Type
            content-type: application/json

            {"error":"bad_content_type","reason":"Only gzip and identity content-encodings are supported"}

            > PUT /d/b/t
            400 Bad Request
            content-type: application/json

            {"error":"bad_request","reason":"the attachment was announced with 4 bytes, 3 came"}

            > PUT /d/b/t
            413 Payload Too Large
            content-type: application/json

            {"error":"attachment_too_large","reason":"the attachment has more than the 1073741824 bytes allowed"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_range_of_what_is_compressed_is_for_who_takes_it_so() {
    check(
        &[
            TEXT,
            "HEAD /d/a/t.txt\nAccept-Encoding: gzip\nRange: bytes=2-4",
            "HEAD /d/a/t.txt\nRange: bytes=2-4",
            "GET /d/a/t.txt\nAccept-Encoding: gzip\nRange: bytes=99-",
        ],
        expect![[r#"
            > PUT /d/a/t.txt
            201 Created
            content-type: application/json
            location: http://localhost:5984/d/a/t.txt

            {"ok":true,"id":"a","rev":"1-7e611f025ca66dc2cada84e74ab28719"}

            > HEAD /d/a/t.txt
            206 Partial Content
            accept-ranges: bytes
            content-encoding: gzip
            content-length: 3
            content-range: bytes 2-4/28
            content-security-policy: sandbox
            content-type: text/plain
            etag: "iZnIgHaZ3ETVHDtRSQc4IA=="
            vary: Accept-Encoding
            x-content-type-options: nosniff

            > HEAD /d/a/t.txt
            200 OK
            accept-ranges: none
            content-length: 23
            content-security-policy: sandbox
            content-type: text/plain
            etag: "iZnIgHaZ3ETVHDtRSQc4IA=="
            vary: Accept-Encoding
            x-content-type-options: nosniff

            > GET /d/a/t.txt
            416 Range Not Satisfiable
            content-range: bytes */28
            content-type: application/json

            {"error":"requested_range_not_satisfiable","reason":"Requested range not satisfiable"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn ranges_of_a_plain_attachment_are_sent() {
    check(
        &[
            BYTES,
            "GET /d/b/x/u.bin\nRange: bytes=2-4",
            "GET /d/b/x/u.bin\nRange: bytes=-3",
            "GET /d/b/x/u.bin\nRange: bytes=0-1, 4-5",
            "GET /d/b/x/u.bin\nRange: bytes=10-",
            "HEAD /d/b/x/u.bin\nRange: bytes=2-4",
            "GET /d/b/x/u.bin\nRange: bytes=2-4\nIf-Range: \"other\"",
            TEXT,
            "GET /d/a/t.txt\nRange: bytes=2-4",
        ],
        expect![[r#"
            > PUT /d/b/x/u.bin
            201 Created
            content-type: application/json
            location: http://localhost:5984/d/b/x%2Fu.bin

            {"ok":true,"id":"b","rev":"1-659ab946ced4110bc15c5edc524c009b"}

            > GET /d/b/x/u.bin
            206 Partial Content
            accept-ranges: bytes
            content-length: 3
            content-range: bytes 2-4/10
            content-security-policy: sandbox
            content-type: application/x-thing
            etag: "eB5eJF1ptWaXm4bijSPyxw=="
            x-content-type-options: nosniff

            234

            > GET /d/b/x/u.bin
            206 Partial Content
            accept-ranges: bytes
            content-length: 3
            content-range: bytes 7-9/10
            content-security-policy: sandbox
            content-type: application/x-thing
            etag: "eB5eJF1ptWaXm4bijSPyxw=="
            x-content-type-options: nosniff

            789

            > GET /d/b/x/u.bin
            206 Partial Content
            accept-ranges: bytes
            content-length: 248
            content-security-policy: sandbox
            content-type: multipart/byteranges; boundary="a8574c6fae6d9b6f3b4a79a517cec22a"
            etag: "eB5eJF1ptWaXm4bijSPyxw=="
            x-content-type-options: nosniff

            --a8574c6fae6d9b6f3b4a79a517cec22a\r
            Content-Type: application/x-thing\r
            Content-Range: bytes 0-1/10\r
            \r
            01\r
            --a8574c6fae6d9b6f3b4a79a517cec22a\r
            Content-Type: application/x-thing\r
            Content-Range: bytes 4-5/10\r
            \r
            45\r
            --a8574c6fae6d9b6f3b4a79a517cec22a--

            > GET /d/b/x/u.bin
            416 Range Not Satisfiable
            content-range: bytes */10
            content-type: application/json

            {"error":"requested_range_not_satisfiable","reason":"Requested range not satisfiable"}

            > HEAD /d/b/x/u.bin
            206 Partial Content
            accept-ranges: bytes
            content-length: 3
            content-range: bytes 2-4/10
            content-security-policy: sandbox
            content-type: application/x-thing
            etag: "eB5eJF1ptWaXm4bijSPyxw=="
            x-content-type-options: nosniff

            > GET /d/b/x/u.bin
            200 OK
            accept-ranges: bytes
            content-length: 10
            content-security-policy: sandbox
            content-type: application/x-thing
            digest: MD5=eB5eJF1ptWaXm4bijSPyxw==
            etag: "eB5eJF1ptWaXm4bijSPyxw=="
            x-content-type-options: nosniff

            0123456789

            > PUT /d/a/t.txt
            201 Created
            content-type: application/json
            location: http://localhost:5984/d/a/t.txt

            {"ok":true,"id":"a","rev":"1-7e611f025ca66dc2cada84e74ab28719"}

            > GET /d/a/t.txt
            200 OK
            accept-ranges: none
            content-length: 23
            content-security-policy: sandbox
            content-type: text/plain
            etag: "iZnIgHaZ3ETVHDtRSQc4IA=="
            vary: Accept-Encoding
            x-content-type-options: nosniff

            hello hello hello hello

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_client_that_has_an_attachment_gets_it_not_again() {
    check(
        &[BYTES, "GET /d/b/x/u.bin\nIf-None-Match: \"eB5eJF1ptWaXm4bijSPyxw==\""],
        expect![[r#"
            > PUT /d/b/x/u.bin
            201 Created
            content-type: application/json
            location: http://localhost:5984/d/b/x%2Fu.bin

            {"ok":true,"id":"b","rev":"1-659ab946ced4110bc15c5edc524c009b"}

            > GET /d/b/x/u.bin
            304 Not Modified
            etag: "eB5eJF1ptWaXm4bijSPyxw=="

        "#]],
    )
    .await;
}

#[tokio::test]
async fn attachments_stand_inside_of_their_document_or_behind_it() {
    check(
        &[
            "PUT /d/a\n\n{\"_attachments\":{\"data\":{\"content_type\":\",\\\"data\\\":\\\"\\\"\",\"data\":\"MDEyMw==\"},\"empty\":{\"data\":\"\"},\"t\":{\"content_type\":\"text/plain\",\"data\":\"aGk=\"}}}",
            "GET /d/a?attachments=true\nAccept: application/json",
            "GET /d/a?attachments=true&att_encoding_info=true\nAccept: application/json",
            "GET /d/a?att_encoding_info=true",
            "GET /d/a?open_revs=all&attachments=true\nAccept: application/json",
        ],
        expect![[r#"
            > PUT /d/a
            201 Created
            content-type: application/json
            etag: "1-1525755c6ee1cffdd0ea4d6408252385"
            location: http://localhost:5984/d/a

            {"ok":true,"id":"a","rev":"1-1525755c6ee1cffdd0ea4d6408252385"}

            > GET /d/a?attachments=true
            200 OK
            content-length: 395
            content-type: application/json
            etag: "1-1525755c6ee1cffdd0ea4d6408252385"

            {"_id":"a","_rev":"1-1525755c6ee1cffdd0ea4d6408252385","_attachments":{"data":{"content_type":",\"data\":\"\"","revpos":1,"digest":"md5-62L2uTBttXXC1ZaxJ5YnpA==","data":"MDEyMw=="},"empty":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-1B2M2Y8AsgTpgAmY7PhCfg==","data":""},"t":{"content_type":"text/plain","revpos":1,"digest":"md5-QTVOnBwGnrw6Tx9YG1ZRyA==","data":"aGk="}}}

            > GET /d/a?attachments=true&att_encoding_info=true
            200 OK
            content-length: 433
            content-type: application/json
            etag: "1-1525755c6ee1cffdd0ea4d6408252385"

            {"_id":"a","_rev":"1-1525755c6ee1cffdd0ea4d6408252385","_attachments":{"data":{"content_type":",\"data\":\"\"","revpos":1,"digest":"md5-62L2uTBttXXC1ZaxJ5YnpA==","data":"MDEyMw=="},"empty":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-1B2M2Y8AsgTpgAmY7PhCfg==","data":""},"t":{"content_type":"text/plain","revpos":1,"digest":"md5-QTVOnBwGnrw6Tx9YG1ZRyA==","data":"aGk=","encoding":"gzip","encoded_length":22}}}

            > GET /d/a?att_encoding_info=true
            200 OK
            content-type: application/json
            etag: "1-1525755c6ee1cffdd0ea4d6408252385"

            {"_id":"a","_rev":"1-1525755c6ee1cffdd0ea4d6408252385","_attachments":{"data":{"content_type":",\"data\":\"\"","revpos":1,"digest":"md5-62L2uTBttXXC1ZaxJ5YnpA==","length":4,"stub":true},"empty":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-1B2M2Y8AsgTpgAmY7PhCfg==","length":0,"stub":true},"t":{"content_type":"text/plain","revpos":1,"digest":"md5-QTVOnBwGnrw6Tx9YG1ZRyA==","length":2,"stub":true,"encoding":"gzip","encoded_length":22}}}

            > GET /d/a?open_revs=all&attachments=true
            200 OK
            content-length: 404
            content-type: application/json

            [{"ok":{"_id":"a","_rev":"1-1525755c6ee1cffdd0ea4d6408252385","_attachments":{"data":{"content_type":",\"data\":\"\"","revpos":1,"digest":"md5-62L2uTBttXXC1ZaxJ5YnpA==","data":"MDEyMw=="},"empty":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-1B2M2Y8AsgTpgAmY7PhCfg==","data":""},"t":{"content_type":"text/plain","revpos":1,"digest":"md5-QTVOnBwGnrw6Tx9YG1ZRyA==","data":"aGk="}}}}]

        "#]],
    )
    .await;
}

#[tokio::test]
async fn item_13_attachments_are_sent_that_are_newer_than_what_is_known() {
    let server = begin().await;
    let mut rev = rev_of(&told(&server, &["PUT /d/a/one\n\n1"]).await);
    let first = rev.clone();
    rev = rev_of(&told(&server, &[&format!("PUT /d/a/two?rev={rev}\n\n2")]).await);
    let requests = [
        format!("GET /d/a?atts_since=[\"{first}\"]\nAccept: application/json"),
        format!("GET /d/a?atts_since=[\"{rev}\"]"),
        "GET /d/a?atts_since=[\"1-x\"]\nAccept: application/json".to_owned(),
        format!("GET /d/a?open_revs=all&atts_since=[\"{first}\"]\nAccept: application/json"),
    ];
    let requests: Vec<_> = requests.iter().map(String::as_str).collect();
    expect![[r#"
        > GET /d/a?atts_since=["1-0d6355087f4bd319f2c156078cabf491"]
        200 OK
        content-length: 312
        content-type: application/json
        etag: "2-84cf4fd0b8e190fbd87fec172dd56452"

        {"_id":"a","_rev":"2-84cf4fd0b8e190fbd87fec172dd56452","_attachments":{"two":{"content_type":"application/octet-stream","revpos":2,"digest":"md5-yB5yjZ1ML2NvBn+JzBSGLA==","data":"Mg=="},"one":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-xMpCOKC5I4INzFCab3WEmw==","length":1,"stub":true}}}

        > GET /d/a?atts_since=["2-84cf4fd0b8e190fbd87fec172dd56452"]
        200 OK
        content-length: 321
        content-type: application/json
        etag: "2-84cf4fd0b8e190fbd87fec172dd56452"

        {"_id":"a","_rev":"2-84cf4fd0b8e190fbd87fec172dd56452","_attachments":{"two":{"content_type":"application/octet-stream","revpos":2,"digest":"md5-yB5yjZ1ML2NvBn+JzBSGLA==","length":1,"stub":true},"one":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-xMpCOKC5I4INzFCab3WEmw==","length":1,"stub":true}}}

        > GET /d/a?atts_since=["1-x"]
        200 OK
        content-length: 303
        content-type: application/json
        etag: "2-84cf4fd0b8e190fbd87fec172dd56452"

        {"_id":"a","_rev":"2-84cf4fd0b8e190fbd87fec172dd56452","_attachments":{"two":{"content_type":"application/octet-stream","revpos":2,"digest":"md5-yB5yjZ1ML2NvBn+JzBSGLA==","data":"Mg=="},"one":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-xMpCOKC5I4INzFCab3WEmw==","data":"MQ=="}}}

        > GET /d/a?open_revs=all&atts_since=["1-0d6355087f4bd319f2c156078cabf491"]
        200 OK
        content-length: 321
        content-type: application/json

        [{"ok":{"_id":"a","_rev":"2-84cf4fd0b8e190fbd87fec172dd56452","_attachments":{"two":{"content_type":"application/octet-stream","revpos":2,"digest":"md5-yB5yjZ1ML2NvBn+JzBSGLA==","data":"Mg=="},"one":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-xMpCOKC5I4INzFCab3WEmw==","length":1,"stub":true}}}}]

    "#]].assert_eq(&told(&server, &requests).await);
}

#[tokio::test]
async fn a_document_with_attachments_goes_out_and_in_as_parts() {
    check(
        &[
            "PUT /d/m\nContent-Type: multipart/related;boundary=\"bnd\"\n\n--bnd\nContent-Type: application/json\n\n{\"m\": 1, \"_attachments\": {\"f.txt\": {\"follows\": true, \"length\": 5, \"content_type\": \"image/x\"}, \"g\\\".bin\": {\"follows\": true, \"length\": 3, \"content_type\": \"application/octet-stream\"}}}\n--bnd\n\nfirst\n--bnd\n\nabc\n--bnd--",
            "GET /d/m?attachments=true\nAccept: application/json",
            "GET /d/m?attachments=true\nAccept: multipart/related",
            "GET /d/m?open_revs=[\"9-x\"]\nAccept: multipart/mixed",
            "GET /d/m",
        ],
        expect![[r#"
            > PUT /d/m
            201 Created
            content-type: application/json
            etag: "1-dcca17873044055cf59013c02d84f904"
            location: http://localhost:5984/d/m

            {"ok":true,"id":"m","rev":"1-dcca17873044055cf59013c02d84f904"}

            > GET /d/m?attachments=true
            200 OK
            content-length: 302
            content-type: application/json
            etag: "1-dcca17873044055cf59013c02d84f904"

            {"_id":"m","_rev":"1-dcca17873044055cf59013c02d84f904","m":1,"_attachments":{"f.txt":{"content_type":"image/x","revpos":1,"digest":"md5-iwTV43ddKY54RV78XKQE1Q==","data":"Zmlyc3Q="},"g\".bin":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-kAFQmDzST7DWlj99KOF/cg==","data":"YWJj"}}}

            > GET /d/m?attachments=true
            200 OK
            content-length: 722
            content-type: multipart/related; boundary="a8574c6fae6d9b6f3b4a79a517cec22a"
            etag: "1-dcca17873044055cf59013c02d84f904"

            --a8574c6fae6d9b6f3b4a79a517cec22a\r
            Content-Type: application/json\r
            \r
            {"_id":"m","_rev":"1-dcca17873044055cf59013c02d84f904","m":1,"_attachments":{"f.txt":{"content_type":"image/x","revpos":1,"digest":"md5-iwTV43ddKY54RV78XKQE1Q==","length":5,"follows":true},"g\".bin":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-kAFQmDzST7DWlj99KOF/cg==","length":3,"follows":true}}}\r
            --a8574c6fae6d9b6f3b4a79a517cec22a\r
            Content-Disposition: attachment; filename="f.txt"\r
            Content-Type: image/x\r
            Content-Length: 5\r
            \r
            first\r
            --a8574c6fae6d9b6f3b4a79a517cec22a\r
            Content-Disposition: attachment; filename="g\".bin"\r
            Content-Type: application/octet-stream\r
            Content-Length: 3\r
            \r
            abc\r
            --a8574c6fae6d9b6f3b4a79a517cec22a--

            > GET /d/m?open_revs=["9-x"]
            200 OK
            content-length: 139
            content-type: multipart/mixed; boundary="630bfdb7a6a634a5f1aa2b57dad0bad0"

            --630bfdb7a6a634a5f1aa2b57dad0bad0\r
            Content-Type: application/json; error="true"\r
            \r
            {"missing":"9-x"}\r
            --630bfdb7a6a634a5f1aa2b57dad0bad0--

            > GET /d/m
            200 OK
            content-type: application/json
            etag: "1-dcca17873044055cf59013c02d84f904"

            {"_id":"m","_rev":"1-dcca17873044055cf59013c02d84f904","m":1,"_attachments":{"f.txt":{"content_type":"image/x","revpos":1,"digest":"md5-iwTV43ddKY54RV78XKQE1Q==","length":5,"stub":true},"g\".bin":{"content_type":"application/octet-stream","revpos":1,"digest":"md5-kAFQmDzST7DWlj99KOF/cg==","length":3,"stub":true}}}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn parts_that_do_not_fit_their_document_are_refused() {
    let of = |json: &str, parts: &str| {
        format!(
            "PUT /d/m\nContent-Type: multipart/related; boundary=b\n\n--b\nContent-Type: application/json\n\n{json}\n{parts}"
        )
    };
    let one = "{\"_attachments\":{\"f\":{\"follows\":true,\"length\":3}}}";
    let md5 =
        "{\"_attachments\":{\"f\":{\"follows\":true,\"digest\":\"md5-rL0Y20zC+Fzt72VPzMSk2A==\"}}}";
    let requests = [
        of(one, "--b--"),
        of(one, "--b\n\nabcd\n--b--"),
        of(one, "--b\n\nab\n--b--"),
        of(one, "--b\n\nabc\n--b\n\nabc\n--b--"),
        of(one, "--b\n\nabc"),
        of(md5, "--b\n\nbar\n--b--"),
        of("{\"_attachments\":1}", "--b--"),
        "PUT /d/m\nContent-Type: multipart/related; boundary=b\n\n--b\n\n{}\n--b--".to_owned(),
        "PUT /d/m\nContent-Type: multipart/related\n\n--b--".to_owned(),
        "PUT /d/m\n\n{\"_attachments\":{\"f\":{\"follows\":true}}}".to_owned(),
        "GET /d/m".to_owned(),
    ];
    let requests: Vec<_> = requests.iter().map(String::as_str).collect();
    check(
        &requests,
        expect![[r#"
        > PUT /d/m
        400 Bad Request
        content-type: application/json

        {"error":"bad_request","reason":"the attachment \"f\" should follow, and does not"}

        > PUT /d/m
        400 Bad Request
        content-type: application/json

        {"error":"bad_request","reason":"the attachment was announced with 3 bytes, 4 came"}

        > PUT /d/m
        400 Bad Request
        content-type: application/json

        {"error":"bad_request","reason":"the attachment was announced with 3 bytes, 2 came"}

        > PUT /d/m
        400 Bad Request
        content-type: application/json

        {"error":"bad_request","reason":"there are more parts than attachments that follow"}

        > PUT /d/m
        400 Bad Request
        content-type: application/json

        {"error":"bad_request","reason":"the body ends before its last boundary"}

        > PUT /d/m
        400 Bad Request
        content-type: application/json

        {"error":"content_md5_mismatch","reason":"Possible message corruption."}

        > PUT /d/m
        400 Bad Request
        content-type: application/json

        {"error":"doc_validation","reason":"Bad special document member: _attachments"}

        > PUT /d/m
        415 Unsupported Media Type
        content-type: application/json

        {"error":"bad_content_type","reason":"Content-Type must be application/json"}

        > PUT /d/m
        400 Bad Request
        content-type: application/json

        {"error":"bad_request","reason":"the Content-Type is not multipart, or has no boundary"}

        > PUT /d/m
        400 Bad Request
        content-type: application/json

        {"error":"bad_request","reason":"attachment f does not follow the document"}

        > GET /d/m
        404 Not Found
        content-type: application/json

        {"error":"not_found","reason":"missing"}

    "#]],
    )
    .await;
}

/// As CouchDB's replicator moves documents: what one answers is sent to the other.
#[tokio::test]
async fn parts_that_one_server_sends_another_takes() {
    let (source, target) = (begin().await, begin().await);
    told(&source, &[TEXT]).await;
    let rev = rev_of(&told(&source, &["PUT /d/a?rev=1-7e611f025ca66dc2cada84e74ab28719\n\n{\"_attachments\":{\"t.txt\":{\"stub\":true},\"e\":{\"data\":\"\"},\"b\":{\"data\":\"DQotLQ0K\"}}}"]).await);
    let sent =
        send(&source, "GET /d/a?attachments=true&revs=true\nAccept: multipart/related").await;
    let (parts, body) = sent.into_parts();
    let put = Request::put("/d/a?new_edits=false")
        .header(header::AUTHORIZATION, crate::support::ADMIN)
        .header(header::CONTENT_TYPE, &parts.headers[header::CONTENT_TYPE])
        .body(body);
    assert_eq!(target.app.answer(put.unwrap()).await.status(), 201);
    let requests = ["GET /d/a?att_encoding_info=true&revs=true", "GET /d/a/t.txt", "GET /d/a/b"];
    let moved = told(&target, &requests).await;
    assert!(moved.contains(&rev), "{moved}");
    assert_eq!(moved, told(&source, &requests).await);
}

#[tokio::test]
async fn replies_with_attachments_are_as_long_as_they_say() {
    let server = begin().await;
    let sizes = [0, 1, 2, 3, 65_536, 70_000, 300_001];
    let content =
        |size: usize| b"attachment; ".iter().copied().cycle().take(size).collect::<Vec<u8>>();
    let inline = sizes.iter().flat_map(|&size| {
        let data = STANDARD.encode(content(size));
        ["image/x", "text/plain"].map(|kind| {
            format!("\"{size}-{kind}\":{{\"content_type\":\"{kind}\",\"data\":\"{data}\"}}")
        })
    });
    let inline = inline.collect::<Vec<_>>().join(",");
    told(&server, &[&format!("PUT /d/a\n\n{{\"data\":\"\",\"_attachments\":{{{inline}}}}}")]).await;
    for request in [
        "GET /d/a?attachments=true\nAccept: application/json",
        "GET /d/a?attachments=true\nAccept: multipart/related",
        "GET /d/a?open_revs=all\nAccept: multipart/mixed",
        "GET /d/a/300001-image/x",
        "GET /d/a/300001-image/x\nRange: bytes=1-,65535-65536,-70000",
        "GET /d/a/300001-text/plain",
        "GET /d/a/300001-text/plain\nAccept-Encoding: gzip",
    ] {
        let reply = send(&server, request).await;
        let announced = reply.headers()[header::CONTENT_LENGTH].to_str().unwrap().to_owned();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(announced, body.len().to_string(), "{request}");
        if request.ends_with("application/json") {
            let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
            for size in sizes {
                let data = &document["_attachments"][format!("{size}-text/plain")]["data"];
                assert_eq!(STANDARD.decode(data.as_str().unwrap()).unwrap(), content(size));
            }
        }
    }
}

/// The revision that the last reply tells.
fn rev_of(story: &str) -> String {
    let (_, rev) = story.rsplit_once("\"rev\":\"").unwrap();
    rev.split('"').next().unwrap().to_owned()
}
