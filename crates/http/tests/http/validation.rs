//! What design documents say about writes, over every way of writing.

use expect_test::expect;

use crate::asked::check;

const VALIDATOR: &str = r#"PUT /d/_design/v {"validate_doc_update": "function(n, o, u) { if (n.bad) throw({forbidden: 'no ' + n.bad}); if (n.alone) throw({unauthorized: u.name}); if (n.odd) throw({teapot: 'short'}); if (n.fails) null.x; if (o && o.kept && n._deleted) throw({forbidden: 'kept'}); }"}"#;

#[tokio::test]
async fn a_validator_is_asked_whichever_way_a_document_is_written() {
    check(
        &[
            VALIDATOR,
            r#"PUT /d/a {"bad": "news"}"#,
            r#"PUT /d/a {"alone": 1}"#,
            r#"PUT /d/a {"odd": 1}"#,
            r#"PUT /d/a {"fails": 1}"#,
            r#"PUT /d/a?new_edits=false {"_rev": "1-a", "bad": "replica"}"#,
            r#"POST /d {"_id": "a", "bad": "post"}"#,
            r#"PUT /d/a {"kept": 1}"#,
            "DELETE /d/a?rev=1-3a63113b874df0ea585c1203e8f5afd3",
            "PUT /d/a/file?rev=1-3a63113b874df0ea585c1203e8f5afd3\n\ntext",
            r#"PUT /d/_local/x {"bad": 1}"#,
            r#"PUT /d/_design/w {"bad": 1}"#,
        ],
        expect![[r#"
            > PUT /d/_design/v {"validate_doc_update": "function(n, o, u) { if (n.bad) throw({forbidden: 'no ' + n.bad}); if (n.alone) throw({unauthorized: u.name}); if (n.odd) throw({teapot: 'short'}); if (n.fails) null.x; if (o && o.kept && n._deleted) throw({forbidden: 'kept'}); }"}
            201 Created
            etag: "1-dd3112753cddb4c6af27ca6ddb836b47"
            location: http://localhost:5984/d/_design%2Fv
            {"ok":true,"id":"_design/v","rev":"1-dd3112753cddb4c6af27ca6ddb836b47"}

            > PUT /d/a {"bad": "news"}
            403 Forbidden
            {"error":"forbidden","reason":"no news"}

            > PUT /d/a {"alone": 1}
            401 Unauthorized
            {"error":"unauthorized","reason":"admin"}

            > PUT /d/a {"odd": 1}
            500 Internal Server Error
            {"error":"unknown_error","reason":"short"}

            > PUT /d/a {"fails": 1}
            500 Internal Server Error
            {"error":"TypeError","reason":"cannot read property 'x' of null"}

            > PUT /d/a?new_edits=false {"_rev": "1-a", "bad": "replica"}
            403 Forbidden
            {"error":"forbidden","reason":"no replica"}

            > POST /d {"_id": "a", "bad": "post"}
            403 Forbidden
            {"error":"forbidden","reason":"no post"}

            > PUT /d/a {"kept": 1}
            201 Created
            etag: "1-3a63113b874df0ea585c1203e8f5afd3"
            location: http://localhost:5984/d/a
            {"ok":true,"id":"a","rev":"1-3a63113b874df0ea585c1203e8f5afd3"}

            > DELETE /d/a?rev=1-3a63113b874df0ea585c1203e8f5afd3
            403 Forbidden
            {"error":"forbidden","reason":"kept"}

            > PUT /d/a/file?rev=1-3a63113b874df0ea585c1203e8f5afd3

            text
            201 Created
            location: http://localhost:5984/d/a/file
            {"ok":true,"id":"a","rev":"2-162610aa9409259926cc1f7d478fdc9b"}

            > PUT /d/_local/x {"bad": 1}
            201 Created
            etag: "UBVD4XTMJJYQ4PA7O2RV12FS"
            location: http://localhost:5984/d/_local%2Fx
            {"ok":true,"id":"_local/x","rev":"0-1"}

            > PUT /d/_design/w {"bad": 1}
            201 Created
            etag: "1-809b6547d37e0e6c1dda85ab3de68748"
            location: http://localhost:5984/d/_design%2Fw
            {"ok":true,"id":"_design/w","rev":"1-809b6547d37e0e6c1dda85ab3de68748"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn each_document_of_a_bulk_has_its_own_verdict() {
    check(
        &[
            VALIDATOR,
            r#"POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"_id": "b", "bad": 1}, {"_id": "c", "alone": 1}, {"_id": "d", "odd": 1}, {"_id": "e", "fails": 1}]}"#,
            r#"POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "f", "_rev": "1-a"}, {"_id": "g", "_rev": "1-a", "bad": 1}]}"#,
            r#"POST /d/_bulk_docs {"all_or_nothing": true, "docs": [{"_id": "h"}, {"_id": "i", "bad": 1}]}"#,
            "GET /d/_all_docs",
        ],
        expect![[r#"
            > PUT /d/_design/v {"validate_doc_update": "function(n, o, u) { if (n.bad) throw({forbidden: 'no ' + n.bad}); if (n.alone) throw({unauthorized: u.name}); if (n.odd) throw({teapot: 'short'}); if (n.fails) null.x; if (o && o.kept && n._deleted) throw({forbidden: 'kept'}); }"}
            201 Created
            etag: "1-dd3112753cddb4c6af27ca6ddb836b47"
            location: http://localhost:5984/d/_design%2Fv
            {"ok":true,"id":"_design/v","rev":"1-dd3112753cddb4c6af27ca6ddb836b47"}

            > POST /d/_bulk_docs {"docs": [{"_id": "a"}, {"_id": "b", "bad": 1}, {"_id": "c", "alone": 1}, {"_id": "d", "odd": 1}, {"_id": "e", "fails": 1}]}
            201 Created
            [{"ok":true,"id":"a","rev":"1-967a00dff5e02add41819138abb3284d"},{"id":"b","error":"forbidden","reason":"no 1"},{"id":"c","error":"unauthorized","reason":"admin"},{"id":"d","error":"unknown_error","reason":"short"},{"id":"e","error":"TypeError","reason":"cannot read property 'x' of null"}]

            > POST /d/_bulk_docs {"new_edits": false, "docs": [{"_id": "f", "_rev": "1-a"}, {"_id": "g", "_rev": "1-a", "bad": 1}]}
            201 Created
            [{"id":"g","rev":"1-a","error":"forbidden","reason":"no 1"}]

            > POST /d/_bulk_docs {"all_or_nothing": true, "docs": [{"_id": "h"}, {"_id": "i", "bad": 1}]}
            417 Expectation Failed
            [{"id":"i","error":"forbidden","reason":"no 1"}]

            > GET /d/_all_docs
            200 OK
            {"total_rows":3,"offset":0,"rows":[
            {"id":"_design/v","key":"_design/v","value":{"rev":"1-dd3112753cddb4c6af27ca6ddb836b47"}},
            {"id":"a","key":"a","value":{"rev":"1-967a00dff5e02add41819138abb3284d"}},
            {"id":"f","key":"f","value":{"rev":"1-a"}}
            ]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn schemas_and_selectors_speak_as_well() {
    check(
        &[
            r#"PUT /d/_design/s {"schemas": [{"selector": {"type": "invoice"}, "schema": {"properties": {"total": {"type": "number"}}}}]}"#,
            r#"PUT /d/a {"type": "invoice", "total": "12"}"#,
            r#"PUT /d/_design/q {"language": "query", "validate_doc_update": {"newDoc.type": {"$type": "string"}}}"#,
            r#"PUT /d/b {"type": 1}"#,
            r#"PUT /d/b {"type": "invoice", "total": 12}"#,
        ],
        expect![[r#"
            > PUT /d/_design/s {"schemas": [{"selector": {"type": "invoice"}, "schema": {"properties": {"total": {"type": "number"}}}}]}
            201 Created
            etag: "1-aa481d1f22762d0521b34b0e21d184f5"
            location: http://localhost:5984/d/_design%2Fs
            {"ok":true,"id":"_design/s","rev":"1-aa481d1f22762d0521b34b0e21d184f5"}

            > PUT /d/a {"type": "invoice", "total": "12"}
            403 Forbidden
            {"error":"forbidden","reason":"the document breaks a schema of _design/s: /total: value is not of type \"number\" (rule /properties/total/type)"}

            > PUT /d/_design/q {"language": "query", "validate_doc_update": {"newDoc.type": {"$type": "string"}}}
            201 Created
            etag: "1-f145215d4a8b2439c03a41cd2b6de984"
            location: http://localhost:5984/d/_design%2Fq
            {"ok":true,"id":"_design/q","rev":"1-f145215d4a8b2439c03a41cd2b6de984"}

            > PUT /d/b {"type": 1}
            403 Forbidden
            {"error":"forbidden","reason":"document is not valid"}

            > PUT /d/b {"type": "invoice", "total": 12}
            201 Created
            etag: "1-9bea2978faf8d57c898d9037415f1af2"
            location: http://localhost:5984/d/b
            {"ok":true,"id":"b","rev":"1-9bea2978faf8d57c898d9037415f1af2"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_design_document_that_cannot_be_one_is_refused() {
    check(
        &[
            r#"PUT /d/_design/a {"views": 1}"#,
            r#"PUT /d/_design/a {"views": {"v": {}}}"#,
            r#"PUT /d/_design/a {"validate_doc_update": 1}"#,
            r#"PUT /d/_design/a {"validate_doc_update": {"newDoc.x": {"$nope": 1}}}"#,
            r#"PUT /d/_design/a {"schemas": [{"selector": {}, "schema": {"$ref": "http://localhost/"}}]}"#,
            r#"POST /d/_bulk_docs {"docs": [{"_id": "_design/a", "views": 1}, {"_id": "b"}]}"#,
        ],
        expect![[r#"
            > PUT /d/_design/a {"views": 1}
            400 Bad Request
            {"error":"invalid_design_doc","reason":"`views` field must have object type"}

            > PUT /d/_design/a {"views": {"v": {}}}
            400 Bad Request
            {"error":"invalid_design_doc","reason":"View `v` must contain map function"}

            > PUT /d/_design/a {"validate_doc_update": 1}
            400 Bad Request
            {"error":"invalid_design_doc","reason":"`validate_doc_update` field must have object or string type"}

            > PUT /d/_design/a {"validate_doc_update": {"newDoc.x": {"$nope": 1}}}
            400 Bad Request
            {"error":"invalid_design_doc","reason":"`validate_doc_update`: Invalid operator: $nope"}

            > PUT /d/_design/a {"schemas": [{"selector": {}, "schema": {"$ref": "http://localhost/"}}]}
            400 Bad Request
            {"error":"invalid_design_doc","reason":"`schemas`: the schema is none: Resource 'http://localhost/' is not present in a registry and retrieving it failed: Retrieval is disabled, cannot fetch http://localhost/"}

            > POST /d/_bulk_docs {"docs": [{"_id": "_design/a", "views": 1}, {"_id": "b"}]}
            201 Created
            [{"id":"_design/a","error":"invalid_design_doc","reason":"`views` field must have object type"},{"ok":true,"id":"b","rev":"1-967a00dff5e02add41819138abb3284d"}]

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_function_that_is_none_is_not_saved() {
    check(
        &[
            r#"PUT /d/_design/a {"views": {"v": {"map": "function("}}}"#,
            r#"PUT /d/_design/a {"views": {"v": {"map": "17"}}}"#,
            r#"PUT /d/_design/a {"views": {"v": {"map": ""}}}"#,
            r#"PUT /d/_design/a {"views": {"v": {"map": "function(d) {}", "reduce": "function(k, v"}}}"#,
            r#"PUT /d/_design/a {"validate_doc_update": "function("}"#,
            r#"PUT /d/_design/a {"validate_doc_update": "(function() { while (true); })()"}"#,
            r#"PUT /d/_design/a?new_edits=false {"_rev": "1-a", "validate_doc_update": "("}"#,
            r#"POST /d/_bulk_docs {"docs": [{"_id": "_design/a", "views": {"v": {"map": "("}}}, {"_id": "b"}]}"#,
            r#"PUT /d/_design/a {"language": "erlang", "views": {"v": {"map": "fun("}}}"#,
            r#"PUT /d/_design/b {"views": {"lib": {"m": "exports.x = 1"}, "v": {"map": "(function() { const x = require('views/lib/m').x; return function(d) { emit(x) } })()"}}}"#,
            r#"PUT /d/_design/c {"validate_doc_update": "const x = require('m').x; (function() {})", "m": "exports.x = 1"}"#,
            "PUT /d/c {}",
        ],
        expect![[r#"
            > PUT /d/_design/a {"views": {"v": {"map": "function("}}}
            400 Bad Request
            {"error":"compilation_error","reason":"Compilation of the map function in the 'v' view failed: SyntaxError: Unexpected end of input (function()"}

            > PUT /d/_design/a {"views": {"v": {"map": "17"}}}
            400 Bad Request
            {"error":"compilation_error","reason":"Compilation of the map function in the 'v' view failed: Expression does not eval to a function. (17)"}

            > PUT /d/_design/a {"views": {"v": {"map": ""}}}
            400 Bad Request
            {"error":"compilation_error","reason":"Compilation of the map function in the 'v' view failed: Expression does not eval to a function. ()"}

            > PUT /d/_design/a {"views": {"v": {"map": "function(d) {}", "reduce": "function(k, v"}}}
            400 Bad Request
            {"error":"compilation_error","reason":"Compilation of the reduce function in the 'v' view failed: SyntaxError: Unexpected end of input (function(k, v)"}

            > PUT /d/_design/a {"validate_doc_update": "function("}
            400 Bad Request
            {"error":"compilation_error","reason":"Compilation of the validate_doc_update function failed: SyntaxError: Unexpected end of input (function()"}

            > PUT /d/_design/a {"validate_doc_update": "(function() { while (true); })()"}
            500 Internal Server Error
            {"error":"os_process_timeout","reason":"the validate_doc_update function did not end within 5000 ms"}

            > PUT /d/_design/a?new_edits=false {"_rev": "1-a", "validate_doc_update": "("}
            400 Bad Request
            {"error":"compilation_error","reason":"Compilation of the validate_doc_update function failed: SyntaxError: unexpected token in expression: ')' (()"}

            > POST /d/_bulk_docs {"docs": [{"_id": "_design/a", "views": {"v": {"map": "("}}}, {"_id": "b"}]}
            201 Created
            [{"id":"_design/a","error":"compilation_error","reason":"Compilation of the map function in the 'v' view failed: SyntaxError: unexpected token in expression: ')' (()"},{"ok":true,"id":"b","rev":"1-967a00dff5e02add41819138abb3284d"}]

            > PUT /d/_design/a {"language": "erlang", "views": {"v": {"map": "fun("}}}
            201 Created
            etag: "1-682c2cb787859ecbf1bf9dceafca6861"
            location: http://localhost:5984/d/_design%2Fa
            {"ok":true,"id":"_design/a","rev":"1-682c2cb787859ecbf1bf9dceafca6861"}

            > PUT /d/_design/b {"views": {"lib": {"m": "exports.x = 1"}, "v": {"map": "(function() { const x = require('views/lib/m').x; return function(d) { emit(x) } })()"}}}
            201 Created
            etag: "1-290851a9b1c734c095e6b5c7ae4c3805"
            location: http://localhost:5984/d/_design%2Fb
            {"ok":true,"id":"_design/b","rev":"1-290851a9b1c734c095e6b5c7ae4c3805"}

            > PUT /d/_design/c {"validate_doc_update": "const x = require('m').x; (function() {})", "m": "exports.x = 1"}
            201 Created
            etag: "1-aaf8abcce83f15211e8497586c970a0a"
            location: http://localhost:5984/d/_design%2Fc
            {"ok":true,"id":"_design/c","rev":"1-aaf8abcce83f15211e8497586c970a0a"}

            > PUT /d/c {}
            201 Created
            etag: "1-967a00dff5e02add41819138abb3284d"
            location: http://localhost:5984/d/c
            {"ok":true,"id":"c","rev":"1-967a00dff5e02add41819138abb3284d"}

        "#]],
    )
    .await;
}

/// Only lanes ask validators, so no handler may reach a verdict of its own, or write past them.
#[test]
fn no_handler_writes_past_the_validators() {
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // The audit log is the server's own, and takes nothing from outside.
            if path.ends_with("src/audit.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap().replace("Verdict::NONE", "");
            for way in ["Verdict::", "database.write(", "database.write_later(", ".attempt("] {
                assert!(!text.contains(way), "{way} in {}", path.display());
            }
            files += 1;
        }
    }
    assert!(files > 50);
}
