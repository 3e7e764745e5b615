//! Finding documents by selectors, and the indexes for it.

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use settle_access::{Grant, Resource};
use settle_database::CreateOptions;

use crate::support::TestServer;

impl TestServer {
    /// Sends a request with a body of JSON; the status and the reply's body.
    async fn ask(&self, line: &str, body: &Value) -> (u16, Value) {
        let request = format!("{line}\nContent-Type: application/json\n\n{body}");
        let response = self.send(&request).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// A database with people in it.
    async fn people() -> Self {
        let server = Self::new().await;
        assert_eq!(server.ask("PUT /db", &json!({})).await.0, 201);
        let names = ["Ada", "Bo", "Cy", "Dee", "Eve", "Flo", "Gus", "Hal"];
        let docs: Vec<_> = (0..)
            .zip(names)
            .map(|(n, name)| {
                let city = if n % 3 == 0 { "Oslo" } else { "Rome" };
                let boss = names[n / 2].to_lowercase();
                let id = name.to_lowercase();
                json!({"_id": id, "name": name, "age": 20 + n, "city": city, "boss": boss})
            })
            .collect();
        assert_eq!(server.ask("POST /db/_bulk_docs", &json!({ "docs": docs })).await.0, 201);
        server
    }

    async fn index(&self, fields: &[&str], name: &str) {
        let index = json!({"index": {"fields": fields}, "ddoc": name, "name": name});
        let (status, reply) = self.ask("POST /db/_index", &index).await;
        assert_eq!((status, &reply["result"]), (200, &json!("created")), "{reply}");
    }

    async fn find(&self, request: Value) -> Value {
        let (status, reply) = self.ask("POST /db/_find", &request).await;
        assert_eq!(status, 200, "{reply}");
        reply
    }

    /// The ids that are found, in their order.
    async fn ids(&self, request: Value) -> Vec<String> {
        ids(&self.find(request).await)
    }

    async fn refused(&self, line: &str, request: Value) -> String {
        let (status, reply) = self.ask(line, &request).await;
        format!(
            "{status} {}: {}",
            reply["error"].as_str().unwrap(),
            reply["reason"].as_str().unwrap()
        )
    }
}

fn ids(reply: &Value) -> Vec<String> {
    let docs = reply["docs"].as_array().unwrap().iter();
    docs.map(|doc| doc["_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_reply_has_couchdbs_form() {
    let server = TestServer::people().await;
    server.index(&["age"], "age").await;
    let check = async |request: Value, lines: &[&str]| {
        let request = format!("POST /db/_find\nContent-Type: application/json\n\n{request}");
        let body = server.send(&request).await.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(str::from_utf8(&body).unwrap(), lines.join("\r\n"));
    };
    check(
        json!({"selector": {"age": {"$gt": 25}}, "fields": ["name", "age"], "execution_stats": true}),
        &[
            "{\"docs\":[",
            "{\"name\":\"Gus\",\"age\":26},",
            "{\"name\":\"Hal\",\"age\":27}",
            "],",
            "\"bookmark\": \"eyJrZXkiOlsyN10sImlkIjoiaGFsIn0\",",
            "\"execution_stats\": {\"total_keys_examined\":2,\"total_docs_examined\":2,\
             \"total_quorum_docs_examined\":0,\"results_returned\":2,\"execution_time_ms\":0.000}}",
            "\n",
        ],
    )
    .await;
    let none = ["{\"docs\":[", "],", "\"bookmark\": \"nil\"}", "\n"];
    check(json!({"selector": {"age": "x"}}), &none).await;
    // What cannot be found is not looked for.
    let nothing = json!({"selector": {"age": {"$gt": 1, "$lt": 0}}, "execution_stats": true});
    check(nothing, &["{\"docs\":[", "]}", "\n"]).await;
}

#[tokio::test]
async fn an_index_and_a_scan_find_the_same() {
    let server = TestServer::people().await;
    let requests = [
        json!({"selector": {"age": {"$gte": 22, "$lt": 25}}}),
        json!({"selector": {"age": 23}}),
        json!({"selector": {"age": {"$gt": 22}, "city": "Oslo"}}),
        json!({"selector": {"city": "Rome", "age": {"$in": [21, 24, 27]}}}),
        json!({"selector": {"$or": [{"city": "Oslo"}, {"age": 21}]}}),
        json!({"selector": {"name": {"$regex": "e$"}}}),
        json!({"selector": {"name": {"$beginsWith": "D"}}}),
        json!({"selector": {"_id": {"$gt": "c"}}}),
    ];
    let mut scanned = Vec::new();
    for request in &requests {
        let reply = server.find(request.clone()).await;
        assert!(reply["warning"].as_str().unwrap().starts_with("No matching index found"));
        scanned.push(ids(&reply));
    }
    server.index(&["age"], "age").await;
    server.index(&["city", "age"], "city").await;
    server.index(&["name"], "name").await;
    for (request, scanned) in requests.iter().zip(scanned) {
        assert_eq!(server.ids(request.clone()).await, scanned, "{request}");
        assert!(!scanned.is_empty());
    }
}

#[tokio::test]
async fn a_document_that_changes_is_found_as_it_is() {
    let server = TestServer::people().await;
    server.index(&["age"], "age").await;
    let old = json!({"selector": {"age": {"$gt": 26}}, "fields": ["_id"]});
    assert_eq!(server.ids(old.clone()).await, ["hal"]);
    let (_, bo) = server.ask("GET /db/bo", &json!({})).await;
    let mut bo = bo.as_object().unwrap().clone();
    bo.insert("age".to_owned(), json!(90));
    assert_eq!(server.ask("PUT /db/bo", &bo.into()).await.0, 201);
    assert_eq!(server.ids(old).await, ["hal", "bo"]);
    let young = json!({"selector": {"age": 21}, "update": false});
    assert_eq!(server.ids(young).await, [""; 0]);
}

#[tokio::test]
async fn pages_follow_one_another_by_their_bookmarks() {
    let server = TestServer::people().await;
    server.index(&["city", "age"], "city").await;
    for request in [
        json!({"selector": {"_id": {"$gt": null}}, "limit": 3}),
        json!({"selector": {"_id": {"$gt": null}}, "limit": 3, "sort": [{"_id": "desc"}]}),
        json!({"selector": {"city": {"$gt": null}}, "limit": 3, "sort": ["city", "age"]}),
        json!({"selector": {"city": {"$gt": null}}, "limit": 3, "sort": [{"city": "desc"}, {"age": "desc"}]}),
        json!({"selector": {"city": {"$gt": null}, "age": {"$gt": 0}}, "limit": 3, "fields": ["_id", "age"]}),
    ] {
        let mut all = request.clone();
        all["limit"] = json!(100);
        let all = server.ids(all).await;
        assert_eq!(all.len(), 8, "{request}");
        let (mut paged, mut bookmark) = (Vec::new(), Value::Null);
        loop {
            let mut page = request.clone();
            page["bookmark"] = bookmark.clone();
            let page = server.find(page).await;
            paged.extend(ids(&page));
            if ids(&page).is_empty() {
                assert_eq!(page["bookmark"], bookmark);
                break;
            }
            bookmark = page["bookmark"].clone();
        }
        assert_eq!(paged, all, "{request}");
    }
    let skipped = json!({"selector": {"_id": {"$gt": null}}, "skip": 6});
    assert_eq!(server.ids(skipped).await, ["gus", "hal"]);
    let none = server.find(json!({"selector": {"_id": {"$gt": null}}, "limit": 0})).await;
    assert_eq!((ids(&none).len(), &none["bookmark"]), (0, &json!("nil")));
}

#[tokio::test]
async fn design_documents_are_not_found() {
    let server = TestServer::people().await;
    server.index(&["age"], "age").await;
    let all = server.ids(json!({"selector": {}, "limit": 100})).await;
    assert_eq!(all.len(), 8);
    let designs = json!({"selector": {"_id": {"$beginsWith": "_design"}}});
    assert_eq!(server.ids(designs).await, [""; 0]);
}

#[tokio::test]
async fn a_covering_index_is_read_alone() {
    let server = TestServer::people().await;
    server.index(&["city", "age"], "city").await;
    let mut request = json!({
        "selector": {"city": "Oslo", "age": {"$gt": 20}},
        "fields": ["age", "_id"],
        "execution_stats": true,
    });
    let reply = server.find(request.clone()).await;
    assert_eq!(reply["docs"], json!([{"age": 23, "_id": "dee"}, {"age": 26, "_id": "gus"}]));
    let stats = &reply["execution_stats"];
    assert_eq!(
        (&stats["total_keys_examined"], &stats["total_docs_examined"]),
        (&json!(2), &json!(0))
    );
    request["fields"] = json!(["name"]);
    let stats = &server.find(request.clone()).await["execution_stats"];
    assert_eq!(stats["total_docs_examined"], 2);
    request["r"] = json!(2);
    let stats = &server.find(request).await["execution_stats"];
    assert_eq!(stats["total_quorum_docs_examined"], 2);
}

#[tokio::test]
async fn conflicts_are_told_where_they_are_asked_for() {
    let server = TestServer::people().await;
    let docs = json!([
        {"_id": "x", "_rev": "1-a", "x": 1},
        {"_id": "x", "_rev": "1-b", "x": 2},
    ]);
    let body = json!({"docs": docs, "new_edits": false});
    assert_eq!(server.ask("POST /db/_bulk_docs", &body).await.0, 201);
    server.index(&["x"], "x").await;
    for selector in [json!({"x": {"$gt": 0}}), json!({"_id": "x"})] {
        let found = server.find(json!({"selector": selector, "conflicts": true})).await;
        assert_eq!(
            found["docs"],
            json!([{"_id": "x", "_rev": "1-b", "x": 2, "_conflicts": ["1-a"]}])
        );
        let found = server.find(json!({"selector": selector})).await;
        assert_eq!(found["docs"], json!([{"_id": "x", "_rev": "1-b", "x": 2}]));
    }
}

#[tokio::test]
async fn selected_documents_are_counted_whatever_the_page() {
    let server = TestServer::people().await;
    let count = |selector: Value| json!({"selector": selector, "count": true, "limit": 0, "execution_stats": true});
    let scanned = server.find(count(json!({"city": "Rome"}))).await;
    assert_eq!((&scanned["count"], &scanned["docs"]), (&json!(5), &json!([])));
    assert_eq!(scanned["execution_stats"]["total_docs_examined"], 8);
    server.index(&["city", "age"], "city").await;
    let exact = server.find(count(json!({"city": "Rome", "age": {"$gt": 21, "$lte": 25}}))).await;
    assert_eq!(
        (&exact["count"], &exact["execution_stats"]["total_keys_examined"]),
        (&json!(3), &json!(0))
    );
    let page =
        server.find(json!({"selector": {"age": {"$gt": 21}}, "count": true, "limit": 2})).await;
    assert_eq!((ids(&page).len(), &page["count"]), (2, &json!(6)));
    let rest =
        json!({"selector": {"age": {"$gt": 21}}, "count": true, "bookmark": page["bookmark"]});
    let rest = server.find(rest).await;
    assert_eq!((ids(&rest).len(), &rest["count"]), (4, &json!(6)));
}

#[tokio::test]
async fn documents_are_grouped() {
    let server = TestServer::people().await;
    let request = json!({
        "selector": {"age": {"$gt": 20}},
        "group": ["city"],
        "aggregate": {"n": {"$count": true}, "ages": {"$sum": "age"}, "first": {"$min": "name"}},
    });
    let groups = json!([
        {"city": "Oslo", "n": 2, "ages": 49, "first": "Dee"},
        {"city": "Rome", "n": 5, "ages": 119, "first": "Bo"},
    ]);
    assert_eq!(server.find(request.clone()).await["groups"], groups);
    server.index(&["city", "age", "name"], "all").await;
    let mut covered = request.clone();
    covered["selector"]["city"] = json!({"$exists": true});
    covered["selector"]["name"] = json!({"$exists": true});
    covered["execution_stats"] = json!(true);
    let reply = server.find(covered).await;
    assert_eq!(reply["groups"], groups);
    assert_eq!(reply["execution_stats"]["total_docs_examined"], 0);
    let mut sorted = request;
    sorted["sort"] = json!([{"n": "desc"}]);
    sorted["limit"] = json!(1);
    assert_eq!(server.find(sorted).await["groups"][0]["city"], "Rome");
}

#[tokio::test]
async fn documents_are_joined_by_id_and_by_field() {
    let server = TestServer::people().await;
    let request = json!({
        "selector": {"_id": {"$in": ["bo", "eve"]}},
        "fields": ["name"],
        "join": [
            {"from": "boss", "to": "_id", "as": "boss", "fields": ["name", "age"]},
            {"from": "_id", "to": "boss", "as": "team", "fields": ["_id"]},
        ],
    });
    assert_eq!(
        server.refused("POST /db/_find", request.clone()).await,
        "400 no_usable_index: no index exists for the join on `boss`: create one on this field alone"
    );
    server.index(&["boss"], "boss").await;
    assert_eq!(
        server.find(request).await["docs"],
        json!([
            {"name": "Bo", "boss": {"name": "Ada", "age": 20}, "team": [{"_id": "cy"}, {"_id": "dee"}]},
            {"name": "Eve", "boss": {"name": "Cy", "age": 22}, "team": []},
        ])
    );
    let (status, _) = server.ask("PUT /db/list", &json!({"of": ["ada", "nobody", "bo"]})).await;
    assert_eq!(status, 201);
    let request = json!({
        "selector": {"_id": "list"},
        "fields": ["_id"],
        "join": [
            {"from": "of", "to": "_id", "as": "all", "fields": ["name"]},
            {"from": "missing", "to": "_id", "as": "one"},
            {"from": "of", "to": "_id", "as": "first", "fields": ["name"], "limit": 1},
        ],
    });
    assert_eq!(
        server.find(request).await["docs"],
        json!([{
            "_id": "list",
            "all": [{"name": "Ada"}, null, {"name": "Bo"}],
            "one": null,
            "first": [{"name": "Ada"}],
        }])
    );
}

#[tokio::test]
async fn indexes_are_created_listed_and_deleted() {
    let server = TestServer::people().await;
    let index = json!({"index": {"fields": ["age"]}, "ddoc": "ages", "name": "by-age"});
    let (_, reply) = server.ask("POST /db/_index", &index).await;
    assert_eq!(reply, json!({"result": "created", "id": "_design/ages", "name": "by-age"}));
    let (_, reply) = server.ask("POST /db/_index", &index).await;
    assert_eq!(reply, json!({"result": "exists", "id": "_design/ages", "name": "by-age"}));
    let unnamed = json!({"index": {"fields": [{"age": "desc"}]}});
    let (_, unnamed) = server.ask("POST /db/_index", &unnamed).await;
    let partial = json!({
        "index": {"fields": ["age"], "partial_filter_selector": {"city": "Oslo"}},
        "ddoc": "_design/ages",
        "name": "oslo",
    });
    assert_eq!(server.ask("POST /db/_index", &partial).await.0, 200);
    let (_, design) = server.ask("GET /db/_design/ages", &json!({})).await;
    assert_eq!(design["language"], "query");
    assert_eq!(
        design["views"]["oslo"],
        json!({
            "map": {
                "fields": {"age": "asc"},
                "partial_filter_selector": {"city": {"$eq": "Oslo"}},
            },
            "reduce": "_count",
            "options": {"def": partial["index"]},
        })
    );
    let request = json!({"selector": {"age": {"$gt": 0}}, "use_index": ["ages", "oslo"]});
    assert_eq!(server.ids(request).await, ["ada", "dee", "gus"]);

    let (_, listed) = server.ask("GET /db/_index", &json!({})).await;
    let names: Vec<_> =
        listed["indexes"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(
        names,
        [json!("_all_docs"), unnamed["name"].clone(), json!("by-age"), json!("oslo")]
    );
    let (_, page) = server.ask("GET /db/_index?skip=1&limit=1", &json!({})).await;
    assert_eq!((&page["total_rows"], &page["indexes"][0]["name"]), (&json!(4), &unnamed["name"]));
    assert_eq!(server.ask("GET /db/_index?limit=0", &json!({})).await.0, 400);

    let ok = (200, json!({"ok": true}));
    let nothing = json!({});
    assert_eq!(server.ask("DELETE /db/_index/_design/ages/json/oslo", &nothing).await, ok);
    assert_eq!(server.ask("DELETE /db/_index/ages/json/oslo", &nothing).await.0, 404);
    assert_eq!(server.ask("DELETE /db/_index/ages/text/by-age", &nothing).await.0, 404);
    assert_eq!(server.ask("DELETE /db/_index/_design%2Fages/json/by-age", &nothing).await, ok);
    assert_eq!(server.ask("GET /db/_design/ages", &nothing).await.1["reason"], "deleted");
    assert_eq!(server.ask("POST /db/_index", &index).await.1["result"], "created");
    let several = json!({"docids": ["ages", unnamed["id"], "none"]});
    assert_eq!(
        server.ask("POST /db/_index/_bulk_delete", &several).await.1,
        json!({
            "success": [{"id": "_design/ages", "ok": true}, {"id": unnamed["id"], "ok": true}],
            "fail": [{"id": "_design/none", "error": "not_found"}],
        })
    );
    assert_eq!(server.ask("GET /db/_index", &nothing).await.1["total_rows"], 1);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_couchdbs_words() {
    let server = TestServer::people().await;
    server.index(&["age"], "age").await;
    for (request, expected) in [
        (json!({}), "400 missing_required_key: Missing required key: selector"),
        (json!([]), "400 bad_request: Request body must be a JSON object"),
        (json!({"selector": {"a": {"$no": 1}}}), "400 invalid_operator: Invalid operator: $no"),
        (json!({"selector": {"a": {"$in": 1}}}), {
            "400 bad_arg: Bad argument for operator $in: 1"
        }),
        (json!({"selector": {"zz": 1}, "sort": ["zz"]}), {
            "400 no_usable_index: No index exists for this sort, try indexing by the sort fields."
        }),
        (json!({"selector": {"zz": 1}, "bookmark": "nil"}), {
            "400 invalid_bookmark: Invalid bookmark value: \"nil\""
        }),
        (json!({"selector": {"zz": 1}, "use_index": "a/b/c"}), {
            "400 invalid_index_name: Invalid index name: <<97,47,98,47,99>>"
        }),
        (json!({"selector": {"zz": 1}, "use_index": "age", "allow_fallback": false}), {
            "400 invalid_index: _design/age specified by `use_index` could not be found or it is not suitable."
        }),
        (json!({"selector": {"zz": 1}, "partition": "p"}), {
            "400 bad_request: database is not partitioned"
        }),
        (json!({"selector": {"$text": "zz"}}), {
            "400 not_supported: Unsupported operator: $text, because there is no full text search yet"
        }),
    ] {
        assert_eq!(server.refused("POST /db/_find", request).await, expected);
    }
    for (request, expected) in [
        (json!({"index": {"fields": [""]}}), "400 invalid_sort_field: Invalid sort field: <<>>"),
        (json!({"index": {"fields": ["a"]}, "type": "text"}), {
            "503 required index service unavailable: text"
        }),
        (json!({"index": {"fields": ["a"]}, "ddoc": "_design/"}), {
            "400 illegal_docid: Illegal document id `_design/`"
        }),
    ] {
        assert_eq!(server.refused("POST /db/_index", request).await, expected);
    }
    let design = json!({"views": {}});
    assert_eq!(server.ask("PUT /db/_design/js", &design).await.0, 201);
    let index = json!({"index": {"fields": ["a"]}, "ddoc": "js"});
    assert_eq!(
        server.refused("POST /db/_index", index).await,
        "400 invalid_ddoc_lang: Existing design doc has an invalid language: false"
    );
    let form = server.send("POST /db/_find\nContent-Type: text/plain\n\n{}").await;
    assert_eq!(form.status(), 415);
}

#[tokio::test]
async fn a_partition_is_looked_at_alone() {
    let server = TestServer::new().await;
    let grant = Grant::internal(Resource::Server, "a test makes a partitioned database");
    let options = CreateOptions { partitioned: true, ..CreateOptions::default() };
    let store = &server.app.state().site.store;
    store.create(&grant, &"db".parse().unwrap(), options).await.unwrap();
    let docs: Vec<_> = ["a:1", "a:2", "b:1"].iter().map(|id| json!({"_id": id, "v": 1})).collect();
    assert_eq!(server.ask("POST /db/_bulk_docs", &json!({ "docs": docs })).await.0, 201);
    let request = json!({"selector": {"v": 1}});
    let scanned = server.ask("POST /db/_partition/a/_find", &request).await.1;
    assert_eq!(ids(&scanned), ["a:1", "a:2"]);
    server.index(&["v"], "v").await;
    let found = server.ask("POST /db/_partition/a/_find", &request).await.1;
    assert_eq!((ids(&found), &found["warning"]), (ids(&scanned), &Value::Null));
    let explained = server.ask("POST /db/_partition/a/_explain", &request).await.1;
    assert_eq!(
        (&explained["index"]["name"], &explained["mrargs"]["partition"]),
        (&json!("v"), &json!("a"))
    );
    assert_eq!(ids(&server.find(request.clone()).await).len(), 3);
    let mut other = request;
    other["partition"] = json!("b");
    assert_eq!(server.ids(other.clone()).await, ["b:1"]);
    assert_eq!(server.ask("POST /db/_partition/a/_find", &other).await.0, 400);
}

#[tokio::test]
async fn many_documents_are_found_in_pieces() {
    let server = TestServer::new().await;
    assert_eq!(server.ask("PUT /db", &json!({})).await.0, 201);
    let text = "x".repeat(500);
    let docs: Vec<_> = (0..2_500).map(|n| json!({"n": n, "text": text})).collect();
    assert_eq!(server.ask("POST /db/_bulk_docs", &json!({ "docs": docs })).await.0, 201);
    server.index(&["n"], "n").await;
    let request = json!({"selector": {"n": {"$gte": 0}}, "limit": 10_000, "sort": ["n"]});
    let found = server.find(request).await;
    let numbers = found["docs"].as_array().unwrap().iter().map(|doc| doc["n"].as_i64().unwrap());
    assert!(numbers.eq(0..2_500));
    let request =
        json!({"selector": {"n": {"$mod": [500, 1]}}, "fields": ["n", "text"], "limit": 100});
    let found = server.find(request).await;
    assert_eq!(found["docs"].as_array().unwrap().len(), 5);
    assert!(found["warning"].as_str().unwrap().contains("number of documents examined is high"));
}
