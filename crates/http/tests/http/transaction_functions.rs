//! Transactions whose writes a function of a design document says.

use expect_test::expect;
use serde_json::{Value, json};

use crate::{
    asked::{ask, body, check},
    story::begin,
    support::TestServer,
};

/// One line of a request, with a function.
fn design(function: &str) -> String {
    let design = json!({ "transactions": { "f": function } });
    format!("PUT /d/_design/t {design}")
}

fn call(id: &str, args: &Value) -> String {
    let transactions = json!([{ "id": id, "call": { "function": "t/f", "args": args } }]);
    exchange(&json!({ "client": "c", "transactions": transactions }))
}

fn exchange(exchange: &Value) -> String {
    format!("POST /d/_transact {exchange}")
}

#[tokio::test]
async fn a_function_reads_decides_and_writes() {
    let order = "function (db, args, user) { \
        const item = db.get(args.item); \
        if (!item) db.refuse('unknown', { item: args.item }); \
        const count = Math.min(args.want, item.stock); \
        if (count < args.least) db.refuse('sold_out', { left: item.stock }); \
        item.stock -= count; db.put(item); \
        db.put({ _id: 'order-' + args.order, item: args.item, count, by: user.name }); \
        return { count }; }";
    check(
        &[
            &design(order),
            r#"PUT /d/clips {"stock":50}"#,
            &call("1", &json!({ "item": "clips", "want": 60, "least": 40, "order": 1 })),
            &call("2", &json!({ "item": "clips", "want": 20, "least": 20, "order": 2 })),
            &call("3", &json!({ "item": "pens", "want": 1, "least": 1, "order": 3 })),
            "GET /d/clips",
            "GET /d/order-1",
            // Decided once, whatever is there now.
            r#"PUT /d/pens {"stock":5}"#,
            &call("3", &json!({ "item": "pens", "want": 1, "least": 1, "order": 3 })),
            &call("1", &json!({ "item": "clips", "want": 60, "least": 40, "order": 1 })),
            &call("1", &json!({ "item": "clips", "want": 61, "least": 40, "order": 1 })),
        ],
        expect![[r#"
            > PUT /d/_design/t {"transactions":{"f":"function (db, args, user) { const item = db.get(args.item); if (!item) db.refuse('unknown', { item: args.item }); const count = Math.min(args.want, item.stock); if (count < args.least) db.refuse('sold_out', { left: item.stock }); item.stock -= count; db.put(item); db.put({ _id: 'order-' + args.order, item: args.item, count, by: user.name }); return { count }; }"}}
            201 Created
            etag: "1-70f75b33be386b9dbc5cb26380e14c21"
            location: http://localhost:5984/d/_design%2Ft
            {"ok":true,"id":"_design/t","rev":"1-70f75b33be386b9dbc5cb26380e14c21"}

            > PUT /d/clips {"stock":50}
            201 Created
            etag: "1-62d0427fabad030684e7770934897a8e"
            location: http://localhost:5984/d/clips
            {"ok":true,"id":"clips","rev":"1-62d0427fabad030684e7770934897a8e"}

            > POST /d/_transact {"client":"c","transactions":[{"call":{"args":{"item":"clips","least":40,"order":1,"want":60},"function":"t/f"},"id":"1"}]}
            200 OK
            {"seq":"4-t","transactions":[{"id":"1","accepted":true,"revs":{"clips":"2-482f1eb04341cdd712c1930853389147","order-1":"1-179ba420131d480e572ef01489e07ff2"},"result":{"count":50}}]}

            > POST /d/_transact {"client":"c","transactions":[{"call":{"args":{"item":"clips","least":20,"order":2,"want":20},"function":"t/f"},"id":"2"}]}
            200 OK
            {"seq":"4-t","transactions":[{"id":"2","accepted":false,"reason":"function","detail":{"function":"t/f","problem":"sold_out","detail":{"left":0}}}]}

            > POST /d/_transact {"client":"c","transactions":[{"call":{"args":{"item":"pens","least":1,"order":3,"want":1},"function":"t/f"},"id":"3"}]}
            200 OK
            {"seq":"4-t","transactions":[{"id":"3","accepted":false,"reason":"function","detail":{"function":"t/f","problem":"unknown","detail":{"item":"pens"}}}]}

            > GET /d/clips
            200 OK
            etag: "2-482f1eb04341cdd712c1930853389147"
            {"_id":"clips","_rev":"2-482f1eb04341cdd712c1930853389147","stock":0}

            > GET /d/order-1
            200 OK
            etag: "1-179ba420131d480e572ef01489e07ff2"
            {"_id":"order-1","_rev":"1-179ba420131d480e572ef01489e07ff2","item":"clips","count":50,"by":"admin"}

            > PUT /d/pens {"stock":5}
            201 Created
            etag: "1-4884fca62d549d232a489733c0ce0979"
            location: http://localhost:5984/d/pens
            {"ok":true,"id":"pens","rev":"1-4884fca62d549d232a489733c0ce0979"}

            > POST /d/_transact {"client":"c","transactions":[{"call":{"args":{"item":"pens","least":1,"order":3,"want":1},"function":"t/f"},"id":"3"}]}
            200 OK
            {"seq":"5-t","transactions":[{"id":"3","accepted":false,"reason":"function","detail":{"function":"t/f","problem":"unknown","detail":{"item":"pens"}}}]}

            > POST /d/_transact {"client":"c","transactions":[{"call":{"args":{"item":"clips","least":40,"order":1,"want":60},"function":"t/f"},"id":"1"}]}
            200 OK
            {"seq":"5-t","transactions":[{"id":"1","accepted":true,"revs":{"clips":"2-482f1eb04341cdd712c1930853389147","order-1":"1-179ba420131d480e572ef01489e07ff2"},"result":{"count":50}}]}

            > POST /d/_transact {"client":"c","transactions":[{"call":{"args":{"item":"clips","least":40,"order":1,"want":61},"function":"t/f"},"id":"1"}]}
            422 Unprocessable Entity
            {"error":"id_reused","reason":"the id \"1\" was used for another transaction"}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_function_asks_for_documents_views_and_queries() {
    let list = "function (db, args) { return [ \
        db.all(args.keys).map((doc) => doc && doc.n), \
        db.all({ prefix: 'a' }).map((doc) => doc._id), \
        db.all({ prefix: 'a', limit: 1 }).map((doc) => doc._id), \
        db.all({ prefix: 'c' }), \
        db.view('v/by_n', { startkey: 2 }).rows, \
        db.view('v/by_n', { reduce: true, group: true }).rows, \
        db.find({ selector: { n: { $gt: 2 } }, fields: ['_id'] }).docs, \
    ]; }";
    let views = r#"PUT /d/_design/v {"views":{"by_n":{"map":"function (doc) { if (doc.n) emit(doc.n, 1) }","reduce":"_sum"}}}"#;
    check(
        &[
            &design(list),
            views,
            r#"PUT /d/a1 {"n":1}"#,
            r#"PUT /d/a2 {"n":2}"#,
            r#"PUT /d/b1 {"n":3}"#,
            &call("1", &json!({ "keys": ["b1", "none", "a1"] })),
        ],
        expect![[r#"
            > PUT /d/_design/t {"transactions":{"f":"function (db, args) { return [ db.all(args.keys).map((doc) => doc && doc.n), db.all({ prefix: 'a' }).map((doc) => doc._id), db.all({ prefix: 'a', limit: 1 }).map((doc) => doc._id), db.all({ prefix: 'c' }), db.view('v/by_n', { startkey: 2 }).rows, db.view('v/by_n', { reduce: true, group: true }).rows, db.find({ selector: { n: { $gt: 2 } }, fields: ['_id'] }).docs, ]; }"}}
            201 Created
            etag: "1-4f52e4b49bc5697464ad3d578bd7ab46"
            location: http://localhost:5984/d/_design%2Ft
            {"ok":true,"id":"_design/t","rev":"1-4f52e4b49bc5697464ad3d578bd7ab46"}

            > PUT /d/_design/v {"views":{"by_n":{"map":"function (doc) { if (doc.n) emit(doc.n, 1) }","reduce":"_sum"}}}
            201 Created
            etag: "1-208aaed4226c067a94f2bdebcda41d74"
            location: http://localhost:5984/d/_design%2Fv
            {"ok":true,"id":"_design/v","rev":"1-208aaed4226c067a94f2bdebcda41d74"}

            > PUT /d/a1 {"n":1}
            201 Created
            etag: "1-731bef401491606a3b246ed178e697c1"
            location: http://localhost:5984/d/a1
            {"ok":true,"id":"a1","rev":"1-731bef401491606a3b246ed178e697c1"}

            > PUT /d/a2 {"n":2}
            201 Created
            etag: "1-43a36d04d31d38efc5b9245c53e00627"
            location: http://localhost:5984/d/a2
            {"ok":true,"id":"a2","rev":"1-43a36d04d31d38efc5b9245c53e00627"}

            > PUT /d/b1 {"n":3}
            201 Created
            etag: "1-2acff5ec499bf1cf4a478896765b824e"
            location: http://localhost:5984/d/b1
            {"ok":true,"id":"b1","rev":"1-2acff5ec499bf1cf4a478896765b824e"}

            > POST /d/_transact {"client":"c","transactions":[{"call":{"args":{"keys":["b1","none","a1"]},"function":"t/f"},"id":"1"}]}
            200 OK
            {"seq":"5-t","transactions":[{"id":"1","accepted":true,"revs":{},"result":[[3,null,1],["a1","a2"],["a1"],[],[{"key":null,"value":2}],[{"key":1,"value":1},{"key":2,"value":1},{"key":3,"value":1}],[{"_id":"b1"}]]}]}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn in_one_commit_a_function_sees_what_those_before_it_wrote() {
    let sum = "function (db) { const docs = db.all({ prefix: 'n' }); \
        const total = docs.reduce((sum, doc) => sum + doc.n, 0); \
        const old = db.get('total') || { _id: 'total', times: 0 }; \
        db.put(Object.assign(old, { total, times: old.times + 1 })); return docs.map((doc) => doc._id); }";
    let all = |mode: &str, ids: [&str; 5]| {
        let call = json!({ "function": "t/f" });
        exchange(&json!({ "client": "c", "mode": mode, "transactions": [
            { "id": ids[0], "writes": [{ "id": "n1", "put": { "n": 1 } }, { "id": "n0", "delete": true }] },
            { "id": ids[1], "call": call },
            { "id": ids[2], "writes": [{ "id": "n1", "ops": [{ "inc": { "field": "n", "by": 4 } }] }] },
            { "id": ids[3], "call": call },
            { "id": ids[4], "require": [{ "id": "total", "match": { "total": 5 } }] },
        ] }))
    };
    check(
        &[
            &design(sum),
            r#"PUT /d/n0 {"n":100}"#,
            &all("all_in_one", ["1", "2", "3", "4", "5"]),
            "GET /d/total",
            r#"PUT /d/n0 {"n":100}"#,
            &all("stop", ["6", "7", "8", "9", "10"]),
            "GET /d/total",
        ],
        expect![[r#"
            > PUT /d/_design/t {"transactions":{"f":"function (db) { const docs = db.all({ prefix: 'n' }); const total = docs.reduce((sum, doc) => sum + doc.n, 0); const old = db.get('total') || { _id: 'total', times: 0 }; db.put(Object.assign(old, { total, times: old.times + 1 })); return docs.map((doc) => doc._id); }"}}
            201 Created
            etag: "1-d491fcb143b5ff88fea08f2fed23026e"
            location: http://localhost:5984/d/_design%2Ft
            {"ok":true,"id":"_design/t","rev":"1-d491fcb143b5ff88fea08f2fed23026e"}

            > PUT /d/n0 {"n":100}
            201 Created
            etag: "1-ac27f7dea6d9bfdbcfe449395f5841be"
            location: http://localhost:5984/d/n0
            {"ok":true,"id":"n0","rev":"1-ac27f7dea6d9bfdbcfe449395f5841be"}

            > POST /d/_transact {"client":"c","mode":"all_in_one","transactions":[{"id":"1","writes":[{"id":"n1","put":{"n":1}},{"delete":true,"id":"n0"}]},{"call":{"function":"t/f"},"id":"2"},{"id":"3","writes":[{"id":"n1","ops":[{"inc":{"by":4,"field":"n"}}]}]},{"call":{"function":"t/f"},"id":"4"},{"id":"5","require":[{"id":"total","match":{"total":5}}]}]}
            200 OK
            {"seq":"7-t","transactions":[{"id":"1","accepted":true,"revs":{"n1":"1-731bef401491606a3b246ed178e697c1","n0":"2-0974e7f66cf3c6b49f96fb6b3470fdce"}},{"id":"2","accepted":true,"revs":{"total":"1-0dc32c2078775d843d7ca4cc42082280"},"result":["n1"]},{"id":"3","accepted":true,"revs":{"n1":"2-77d849b233969d253bb32fcee47527b8"}},{"id":"4","accepted":true,"revs":{"total":"2-d3895c2bfc7a30963891f010fd633950"},"result":["n1"]},{"id":"5","accepted":true,"revs":{}}]}

            > GET /d/total
            200 OK
            etag: "2-d3895c2bfc7a30963891f010fd633950"
            {"_id":"total","_rev":"2-d3895c2bfc7a30963891f010fd633950","times":2,"total":5}

            > PUT /d/n0 {"n":100}
            201 Created
            etag: "3-174f0c160c23e2a46bad61b6736d9274"
            location: http://localhost:5984/d/n0
            {"ok":true,"id":"n0","rev":"3-174f0c160c23e2a46bad61b6736d9274"}

            > POST /d/_transact {"client":"c","mode":"stop","transactions":[{"id":"6","writes":[{"id":"n1","put":{"n":1}},{"delete":true,"id":"n0"}]},{"call":{"function":"t/f"},"id":"7"},{"id":"8","writes":[{"id":"n1","ops":[{"inc":{"by":4,"field":"n"}}]}]},{"call":{"function":"t/f"},"id":"9"},{"id":"10","require":[{"id":"total","match":{"total":5}}]}]}
            200 OK
            {"seq":"13-t","transactions":[{"id":"6","accepted":true,"revs":{"n1":"3-03397b9d31e2e00ac20ed1d29969e5f5","n0":"4-a5e82dcf8ae65ff141e37995ed14e4fd"}},{"id":"7","accepted":true,"revs":{"total":"3-6e67eac75839d2c08f9c49a6ca55d1a8"},"result":["n1"]},{"id":"8","accepted":true,"revs":{"n1":"4-17b532a17324d2fd9250d872e95e903b"}},{"id":"9","accepted":true,"revs":{"total":"4-0be8a30cb73001d9f3d9c42634167c83"},"result":["n1"]},{"id":"10","accepted":true,"revs":{}}]}

            > GET /d/total
            200 OK
            etag: "4-0be8a30cb73001d9f3d9c42634167c83"
            {"_id":"total","_rev":"4-0be8a30cb73001d9f3d9c42634167c83","times":4,"total":5}

        "#]],
    )
    .await;
}

#[tokio::test]
async fn indexes_do_not_know_what_is_not_committed() {
    let source = "function (db) { return db.find({ selector: {} }) }";
    let all = exchange(&json!({ "client": "c", "mode": "all_in_one", "transactions": [
        { "id": "1", "writes": [{ "id": "a", "put": {} }] },
        { "id": "2", "call": { "function": "t/f" } },
    ] }));
    check(&[&design(source), &all, "GET /d/a"], expect![[r#"
        > PUT /d/_design/t {"transactions":{"f":"function (db) { return db.find({ selector: {} }) }"}}
        201 Created
        etag: "1-4f992b569843cd8e1b082ad3513cd181"
        location: http://localhost:5984/d/_design%2Ft
        {"ok":true,"id":"_design/t","rev":"1-4f992b569843cd8e1b082ad3513cd181"}

        > POST /d/_transact {"client":"c","mode":"all_in_one","transactions":[{"id":"1","writes":[{"id":"a","put":{}}]},{"call":{"function":"t/f"},"id":"2"}]}
        200 OK
        {"seq":"1-t","transactions":[{"id":"1","accepted":false,"reason":"aborted","retry":true},{"id":"2","accepted":false,"reason":"undecided","detail":{"error":"bad_request","problem":"indexes do not know what earlier transactions of one commit write"},"retry":true}]}

        > GET /d/a
        404 Not Found
        {"error":"not_found","reason":"missing"}

    "#]]).await;
}

#[tokio::test]
async fn functions_together_write_no_more_than_one_commit_may_have() {
    let source = "function (db, args) { \
        for (let n = 0; n < args.count; n++) db.put({ _id: args.name + n }); }";
    let call = |id: &str, count: u64| {
        let args = json!({ "name": id, "count": count });
        json!({ "id": id, "call": { "function": "t/f", "args": args } })
    };
    let written = json!({ "id": "d", "writes": [{ "id": "d0", "put": {} }] });
    let all = [call("a", 1_000), call("b", 999), call("c", 1), written];
    let all = exchange(&json!({ "client": "c", "mode": "all_in_one", "transactions": all }));
    check(&[&design(source), &all, "GET /d/a0"], expect![[r#"
        > PUT /d/_design/t {"transactions":{"f":"function (db, args) { for (let n = 0; n < args.count; n++) db.put({ _id: args.name + n }); }"}}
        201 Created
        etag: "1-e148d7bffe7030a6011ccf60a58adbcd"
        location: http://localhost:5984/d/_design%2Ft
        {"ok":true,"id":"_design/t","rev":"1-e148d7bffe7030a6011ccf60a58adbcd"}

        > POST /d/_transact {"client":"c","mode":"all_in_one","transactions":[{"call":{"args":{"count":1000,"name":"a"},"function":"t/f"},"id":"a"},{"call":{"args":{"count":999,"name":"b"},"function":"t/f"},"id":"b"},{"call":{"args":{"count":1,"name":"c"},"function":"t/f"},"id":"c"},{"id":"d","writes":[{"id":"d0","put":{}}]}]}
        200 OK
        {"seq":"1-t","transactions":[{"id":"a","accepted":false,"reason":"aborted","retry":true},{"id":"b","accepted":false,"reason":"aborted","retry":true},{"id":"c","accepted":false,"reason":"undecided","detail":{"error":"os_process_error","problem":"the transaction function f of _design/t wrote what cannot be written: more than 2000 writes that are all in one"},"retry":true},{"id":"d","accepted":false,"reason":"aborted","retry":true}]}

        > GET /d/a0
        404 Not Found
        {"error":"not_found","reason":"missing"}

    "#]]).await;
}

/// What adds is refused, what deletes goes on.
#[tokio::test]
async fn functions_write_no_more_than_the_account_has_room_for() {
    let server = begin().await.with_users(&[("ada", "[]")]).await;
    let source = "function (db, args) { \
        const doc = db.get('a') || { _id: 'a' }; \
        if (args) db.put(doc); else db.delete('a'); }";
    let sent = async |request: &str| {
        let request = request.replace("/d/", "/~ada/notes/");
        let (line, json) = request.split_once(" {").unwrap();
        let request = format!("{line}\ncontent-type: application/json\n\n{{{json}");
        body(server.send_as("ada:password", &request).await).await
    };
    assert_eq!(server.send_as("ada:password", "PUT /~ada/notes").await.status(), 201);
    sent(&design(source)).await;
    let accepted = sent(&call("1", &json!(true))).await;
    assert!(accepted.contains("\"accepted\":true"), "{accepted}");
    let quota = "PUT /_accounts/ada\n\n{\"databases_max\":null,\"bytes_max\":10}";
    assert_eq!(server.send(quota).await.status(), 200);
    let full = sent(&call("2", &json!(true))).await;
    assert!(full.contains("\"undecided\"") && full.contains("insufficient_storage"), "{full}");
    let deleted = sent(&call("3", &json!(false))).await;
    assert!(deleted.contains("\"accepted\":true"), "{deleted}");
}

#[tokio::test]
async fn a_requirement_that_does_not_hold_comes_before_the_function() {
    let call = exchange(&json!({ "client": "c", "transactions": [{
        "id": "1",
        "require": [{ "id": "a", "exists": true }],
        "call": { "function": "t/f" },
    }] }));
    check(&[&design("function () { null.x }"), &call], expect![[r#"
        > PUT /d/_design/t {"transactions":{"f":"function () { null.x }"}}
        201 Created
        etag: "1-047e077cc94248338945e71ef3f90281"
        location: http://localhost:5984/d/_design%2Ft
        {"ok":true,"id":"_design/t","rev":"1-047e077cc94248338945e71ef3f90281"}

        > POST /d/_transact {"client":"c","transactions":[{"call":{"function":"t/f"},"id":"1","require":[{"exists":true,"id":"a"}]}]}
        200 OK
        {"seq":"1-t","transactions":[{"id":"1","accepted":false,"reason":"requirement","detail":{"id":"a","require":"exists"},"current":{"a":null}}]}

    "#]]).await;
}

#[tokio::test]
async fn validators_are_shown_what_a_function_writes() {
    let source = "function (db, args) { db.put({ _id: 'x', n: args }) }";
    check(
        &[
            &design(source),
            r#"PUT /d/_design/v {"validate_doc_update": "function(n) { if (n.n < 0) throw({forbidden: 'less than nothing'}) }"}"#,
            &call("1", &json!(-1)),
            &call("2", &json!(1)),
            "GET /d/x",
        ],
        expect![[r#"
            > PUT /d/_design/t {"transactions":{"f":"function (db, args) { db.put({ _id: 'x', n: args }) }"}}
            201 Created
            etag: "1-c9ba6be01039d16777f507155b89d5a5"
            location: http://localhost:5984/d/_design%2Ft
            {"ok":true,"id":"_design/t","rev":"1-c9ba6be01039d16777f507155b89d5a5"}

            > PUT /d/_design/v {"validate_doc_update": "function(n) { if (n.n < 0) throw({forbidden: 'less than nothing'}) }"}
            201 Created
            etag: "1-b73ed5ff4790ca02348c6ba785287f4d"
            location: http://localhost:5984/d/_design%2Fv
            {"ok":true,"id":"_design/v","rev":"1-b73ed5ff4790ca02348c6ba785287f4d"}

            > POST /d/_transact {"client":"c","transactions":[{"call":{"args":-1,"function":"t/f"},"id":"1"}]}
            200 OK
            {"seq":"2-t","transactions":[{"id":"1","accepted":false,"reason":"forbidden","detail":{"id":"x","problem":"less than nothing"},"current":{"x":null}}]}

            > POST /d/_transact {"client":"c","transactions":[{"call":{"args":1,"function":"t/f"},"id":"2"}]}
            200 OK
            {"seq":"3-t","transactions":[{"id":"2","accepted":true,"revs":{"x":"1-731bef401491606a3b246ed178e697c1"},"result":null}]}

            > GET /d/x
            200 OK
            etag: "1-731bef401491606a3b246ed178e697c1"
            {"_id":"x","_rev":"1-731bef401491606a3b246ed178e697c1","n":1}

        "#]],
    )
    .await;
}

/// Whatever it says, since what is stale is of another moment.
#[tokio::test]
async fn a_function_waits_for_indexes() {
    let server = begin().await;
    let found = "db.find({ selector: { n: 1 }, update: false, stable: true }).docs.length";
    let source = format!(
        "function (db) {{ return [db.view('t/v', {{ update: 'false' }}).rows.length, \
         db.view('t/v', {{ stale: 'ok' }}).rows.length, {found}] }}"
    );
    let design = json!({
        "transactions": { "f": source },
        "views": { "v": { "map": "function (doc) { emit(doc.n) }" } },
    });
    body(ask(&server, &format!("PUT /d/_design/t {design}")).await).await;
    body(ask(&server, r#"POST /d/_index {"index":{"fields":["n"]}}"#).await).await;
    for n in 1..4 {
        body(ask(&server, &format!(r#"PUT /d/a{n} {{"n":1}}"#)).await).await;
        let answer = transact(&server, &call(&n.to_string(), &json!(null))).await;
        assert_eq!(answer["transactions"][0]["result"], json!([n, n, n]), "{answer}");
    }
}

#[tokio::test]
async fn a_function_that_does_not_do_what_it_can_decides_nothing() {
    for source in [
        "function () { throw { error: 'odd', reason: 'why' } }",
        "function (db) { db.put({ _id: '_odd' }) }",
        "function (db) { db.put({ _id: '_local/a' }) }",
        "function (db) { db.put({ _id: 'a', _deleted: true }) }",
        "function (db) { db.put({ _id: 'a', _attachments: { t: { data: 'eA==' } } }) }",
        "function (db) { return 'x'.repeat(70000) }",
        "function (db) { for (let n = 0; n < 1001; n += 1) db.put({ _id: 'a' + n }) }",
        "function (db) { db.get('_local/a') }",
        "function (db) { db.view('none/none') }",
        "function (db) { db.find({ selector: 1 }) }",
        "this is no function",
    ] {
        check_undecided(source).await;
    }
    check(
        &[
            &design("function () {}"),
            &exchange(&json!({ "client": "c", "mode": "go_on", "transactions": [
                { "id": "1", "call": { "function": "t/g" } },
                { "id": "2", "call": { "function": "u/f" } },
                { "id": "3", "call": { "function": "t/f" } },
            ] })),
            r#"PUT /d/_design/t2 {"transactions":1}"#,
        ],
        expect![[r#"
            > PUT /d/_design/t {"transactions":{"f":"function () {}"}}
            201 Created
            etag: "1-c88b3fb2d6bfe1af10c87fea83a34bb1"
            location: http://localhost:5984/d/_design%2Ft
            {"ok":true,"id":"_design/t","rev":"1-c88b3fb2d6bfe1af10c87fea83a34bb1"}

            > POST /d/_transact {"client":"c","mode":"go_on","transactions":[{"call":{"function":"t/g"},"id":"1"},{"call":{"function":"u/f"},"id":"2"},{"call":{"function":"t/f"},"id":"3"}]}
            200 OK
            {"seq":"1-t","transactions":[{"id":"1","accepted":false,"reason":"undecided","detail":{"error":"not_found","problem":"missing transactions function g on design doc _design/t"},"retry":true},{"id":"2","accepted":false,"reason":"undecided","detail":{"error":"not_found","problem":"missing transactions function f on design doc _design/u"},"retry":true},{"id":"3","accepted":true,"revs":{},"result":null}]}

            > PUT /d/_design/t2 {"transactions":1}
            400 Bad Request
            {"error":"invalid_design_doc","reason":"`transactions` field must have object type"}

        "#]],
    )
    .await;
}

async fn check_undecided(source: &str) {
    let server = begin().await;
    body(ask(&server, &design(source)).await).await;
    let answer = transact(&server, &call("1", &json!(null))).await;
    let outcome = &answer["transactions"][0];
    assert_eq!(outcome["reason"], "undecided", "{source}: {outcome}");
    assert_eq!(outcome["retry"], true, "{source}: {outcome}");
    assert!(outcome["detail"]["problem"].is_string(), "{source}: {outcome}");
    assert!(answer["seq"].as_str().unwrap().starts_with("1-"), "{source}: {answer}");
}

async fn transact(server: &TestServer, request: &str) -> Value {
    serde_json::from_str(&body(ask(server, request).await).await).unwrap()
}

#[tokio::test]
async fn attachments_stay_with_a_document_that_a_function_writes_again() {
    let source = "function (db) { const doc = db.get('a'); doc.n = 2; db.put(doc) }";
    check(
        &[
            &design(source),
            r#"PUT /d/a {"n":1,"_attachments":{"t":{"content_type":"text/plain","data":"eA=="}}}"#,
            &call("1", &json!(null)),
            "GET /d/a/t",
        ],
        expect![[r#"
            > PUT /d/_design/t {"transactions":{"f":"function (db) { const doc = db.get('a'); doc.n = 2; db.put(doc) }"}}
            201 Created
            etag: "1-8d5d0de599fc139adb6b8f02c9f0e939"
            location: http://localhost:5984/d/_design%2Ft
            {"ok":true,"id":"_design/t","rev":"1-8d5d0de599fc139adb6b8f02c9f0e939"}

            > PUT /d/a {"n":1,"_attachments":{"t":{"content_type":"text/plain","data":"eA=="}}}
            201 Created
            etag: "1-afb5c348c5030add45e8fe138e3684d6"
            location: http://localhost:5984/d/a
            {"ok":true,"id":"a","rev":"1-afb5c348c5030add45e8fe138e3684d6"}

            > POST /d/_transact {"client":"c","transactions":[{"call":{"args":null,"function":"t/f"},"id":"1"}]}
            200 OK
            {"seq":"3-t","transactions":[{"id":"1","accepted":true,"revs":{"a":"2-7eea2dbb580fc32ceec54c856a886b0f"},"result":null}]}

            > GET /d/a/t
            200 OK
            etag: "BQ12Y6Pl9vOURwmqG1HaIA=="
            content-type: text/plain
            x

        "#]],
    )
    .await;
}

/// Sixteen clients add to one document, by a function that reads it: nobody's sum is lost, and nobody waits for ever.
#[tokio::test]
async fn functions_that_clash_are_run_again() {
    const CLIENTS: u64 = 16;
    const TIMES: u64 = 10;
    let source = "function (db) { const doc = db.get('sum') || { _id: 'sum', n: 0 }; doc.n += 1; db.put(doc); return doc.n }";
    let server = begin().await;
    body(ask(&server, &design(source)).await).await;
    let client = async |client: u64| {
        for id in 0..TIMES {
            let transactions = json!([{ "id": id.to_string(), "call": { "function": "t/f" } }]);
            let asked = json!({ "client": client.to_string(), "transactions": transactions });
            loop {
                let answer = transact(&server, &exchange(&asked)).await;
                let outcome = &answer["transactions"][0];
                if outcome["accepted"] == true {
                    break;
                }
                assert_eq!(outcome["retry"], true, "{outcome}");
            }
        }
    };
    futures_util::future::join_all((0..CLIENTS).map(client)).await;
    let sum: Value = serde_json::from_str(&body(ask(&server, "GET /d/sum").await).await).unwrap();
    assert_eq!(sum["n"], CLIENTS * TIMES);
}

/// Somebody writes as fast as he can what the function reads: it has its turn all the same, and has counted right.
#[tokio::test]
async fn a_function_that_is_always_overtaken_has_the_writers_turn() {
    let source = "function (db) { const before = db.all({ prefix: 'note-' }).length; \
                  const found = db.find({ selector: { kind: 'note' }, limit: 10000 }).docs.length; \
                  db.put({ _id: 'seen', before, found }); return [before, found] }";
    let server = begin().await;
    body(ask(&server, &design(source)).await).await;
    let writing = async {
        for n in 0.. {
            let reply = ask(&server, &format!("PUT /d/note-{n} {{\"kind\":\"note\"}}")).await;
            assert_eq!(reply.status(), 201);
        }
    };
    let asking = async {
        let mut accepted = 0;
        for id in 0..20 {
            let answer = transact(&server, &call(&id.to_string(), &json!(null))).await;
            let outcome = &answer["transactions"][0];
            if outcome["accepted"] == true {
                accepted += 1;
                assert_eq!(outcome["result"][0], outcome["result"][1], "{outcome}");
            } else {
                assert_eq!(outcome["retry"], true, "{outcome}");
            }
        }
        accepted
    };
    let accepted = tokio::select! {
        () = writing => unreachable!("there are always more"),
        accepted = asking => accepted,
    };
    assert!(accepted > 0, "the function was never let through");
}
