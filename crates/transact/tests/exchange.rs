//! What exchanges are understood as, and what transactions make of documents.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{collections::HashMap, fmt::Write as _};

use expect_test::{Expect, expect};
use settle_model::{
    document::{self, AnyRev},
    id::DocumentId,
    json::minify,
};
use settle_transact::{Content, Exchange, Present};

/// One transaction without its id on the documents of the lines before it. This is the only place that knows the API.
#[track_caller]
fn check(text: &str, expected: &Expect) {
    let mut stored: HashMap<DocumentId, Present> = HashMap::new();
    let mut seen = String::new();
    for line in text.trim().lines().map(str::trim) {
        if line.starts_with("{\"_id\"") {
            let document = minify(line.as_bytes()).unwrap().into_owned();
            let incoming = document::parse(&document).unwrap();
            let rev = incoming.rev.and_then(AnyRev::into_document).unwrap();
            let present = Present { rev, body: incoming.body, document };
            stored.insert(incoming.id.unwrap().parse().unwrap(), present);
            continue;
        }
        let rest = line.strip_prefix('{').unwrap();
        let exchange = format!(r#"{{"client":"c","transactions":[{{"id":"t",{rest}]}}"#);
        writeln!(seen, "> {line}").unwrap();
        match Exchange::parse(exchange.as_bytes()) {
            Ok(exchange) => seen.push_str(&planned(&exchange, &stored)),
            Err(error) => writeln!(seen, "{error}").unwrap(),
        }
    }
    expected.assert_eq(&seen);
}

fn planned(exchange: &Exchange, stored: &HashMap<DocumentId, Present>) -> String {
    let mut seen = String::new();
    match exchange.transactions[0].plan(|id| stored.get(id)) {
        Ok(plan) => {
            for change in plan.changes {
                let base = change.base.map_or_else(|| "nothing".to_owned(), |rev| rev.to_string());
                let content = match change.content {
                    Content::Whole(body) => format!("is {}", String::from_utf8(body).unwrap()),
                    Content::Body(body) => format!("becomes {}", String::from_utf8(body).unwrap()),
                    Content::Tombstone => "goes".to_owned(),
                };
                writeln!(seen, "{} from {base} {content}", change.id).unwrap();
            }
            for taken in plan.taken {
                let amount = String::from_utf8(taken.amount).unwrap();
                writeln!(seen, "took {amount} of {} {}", taken.id, taken.field).unwrap();
            }
        }
        Err(refusal) => {
            let detail = String::from_utf8(refusal.detail).unwrap();
            writeln!(seen, "{}: {detail}", refusal.reason.as_str()).unwrap();
        }
    }
    seen
}

#[test]
fn as_much_is_taken_as_is_wanted_and_there_or_nothing() {
    check(
        r#"
        {"_id":"clips","_rev":"17-aa","boxes":50}
        {"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60,"least":40}}]}]}
        {"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":20}}]}]}
        {"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60}}]}]}
        {"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60,"least":51}}]}]}
        {"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":30}},{"take":{"field":"boxes","want":30,"least":0}}]}]}
        {"writes":[{"id":"clips","ops":[{"take":{"field":"bags","want":1,"least":0}}]}]}
        {"writes":[{"id":"gone","ops":[{"take":{"field":"boxes","want":1}}]}]}
        {"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":1,"least":2}}]}]}
        "#,
        &expect![[r#"
            > {"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60,"least":40}}]}]}
            clips from 17-aa becomes {"boxes":0}
            took 50 of clips boxes
            > {"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":20}}]}]}
            clips from 17-aa becomes {"boxes":30}
            took 20 of clips boxes
            > {"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60}}]}]}
            operation: {"id":"clips","operation":"take","field":"boxes","problem":"there is too little","available":50}
            > {"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60,"least":51}}]}]}
            operation: {"id":"clips","operation":"take","field":"boxes","problem":"there is too little","available":50}
            > {"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":30}},{"take":{"field":"boxes","want":30,"least":0}}]}]}
            clips from 17-aa becomes {"boxes":0}
            took 50 of clips boxes
            > {"writes":[{"id":"clips","ops":[{"take":{"field":"bags","want":1,"least":0}}]}]}
            operation: {"id":"clips","operation":"take","field":"bags","problem":"there is no such field"}
            > {"writes":[{"id":"gone","ops":[{"take":{"field":"boxes","want":1}}]}]}
            missing: {"id":"gone"}
            > {"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":1,"least":2}}]}]}
            transaction 0: clips: an operation is one of `inc`, `append`, `remove` and `take`, of {"field": …}
        "#]],
    );
}

#[test]
fn fields_are_changed_and_all_else_keeps_its_spelling() {
    check(
        r#"
        {"_id":"a","_rev":"1-a","z": 1e2, "long":12345678901234567890, "price":1.10, "s":"\u00e9", "l":[1,{"x":1.0},1.0]}
        {"writes":[{"id":"a","ops":[{"inc":{"field":"price","by":0.1}},{"inc":{"field":"long"}}]}]}
        {"writes":[{"id":"a","ops":[{"inc":{"field":"new.n","by":-2}},{"append":{"field":"l","value":[ ]}}]}]}
        {"writes":[{"id":"a","ops":[{"remove":{"field":"l","value":1}},{"remove":{"field":"z"}},{"remove":{"field":"none.here"}}]}]}
        {"writes":[{"id":"a","ops":[{"remove":{"field":"l.1.x"}},{"inc":{"field":"l.0"}}]}]}
        {"writes":[{"id":"a","ops":[{"inc":{"field":"s"}}]}]}
        {"writes":[{"id":"a","ops":[{"append":{"field":"s","value":1}}]}]}
        {"writes":[{"id":"a","ops":[{"inc":{"field":"l.7"}}]}]}
        {"writes":[{"id":"a","ops":[{"inc":{"field":"z","by":1e-20}}]}]}
        {"writes":[{"id":"a","ops":[{"inc":{"field":"_rev"}}]}]}
        "#,
        &expect![[r#"
            > {"writes":[{"id":"a","ops":[{"inc":{"field":"price","by":0.1}},{"inc":{"field":"long"}}]}]}
            a from 1-a becomes {"z":1e2,"long":12345678901234567891,"price":1.20,"s":"\u00e9","l":[1,{"x":1.0},1.0]}
            > {"writes":[{"id":"a","ops":[{"inc":{"field":"new.n","by":-2}},{"append":{"field":"l","value":[ ]}}]}]}
            a from 1-a becomes {"z":1e2,"long":12345678901234567890,"price":1.10,"s":"\u00e9","l":[1,{"x":1.0},1.0,[]],"new":{"n":-2}}
            > {"writes":[{"id":"a","ops":[{"remove":{"field":"l","value":1}},{"remove":{"field":"z"}},{"remove":{"field":"none.here"}}]}]}
            a from 1-a becomes {"long":12345678901234567890,"price":1.10,"s":"\u00e9","l":[{"x":1.0}]}
            > {"writes":[{"id":"a","ops":[{"remove":{"field":"l.1.x"}},{"inc":{"field":"l.0"}}]}]}
            a from 1-a becomes {"z":1e2,"long":12345678901234567890,"price":1.10,"s":"\u00e9","l":[2,{},1.0]}
            > {"writes":[{"id":"a","ops":[{"inc":{"field":"s"}}]}]}
            operation: {"id":"a","operation":"inc","field":"s","problem":"the field is no number"}
            > {"writes":[{"id":"a","ops":[{"append":{"field":"s","value":1}}]}]}
            operation: {"id":"a","operation":"append","field":"s","problem":"the field is no array"}
            > {"writes":[{"id":"a","ops":[{"inc":{"field":"l.7"}}]}]}
            operation: {"id":"a","operation":"inc","field":"l.7","problem":"the field lies in something that has no fields"}
            > {"writes":[{"id":"a","ops":[{"inc":{"field":"z","by":1e-20}}]}]}
            a from 1-a becomes {"z":100.00000000000000000001,"long":12345678901234567890,"price":1.10,"s":"\u00e9","l":[1,{"x":1.0},1.0]}
            > {"writes":[{"id":"a","ops":[{"inc":{"field":"_rev"}}]}]}
            transaction 0: a: `_rev` belongs to the server
        "#]],
    );
}

#[test]
fn a_requirement_that_does_not_hold_is_the_reason() {
    check(
        r#"
        {"_id":"a","_rev":"3-c","n":5,"tags":["x"]}
        {"require":[{"id":"a","exists":true,"rev":"3-c","match":{"n":{"$gte":5},"tags":{"$all":["x"]}}},{"id":"b","absent":true}]}
        {"require":[{"id":"a","match":{"n":{"$gt":5}}}]}
        {"require":[{"id":"a","match":{"_id":"a","_rev":"3-c"}}]}
        {"require":[{"id":"a","rev":"3-d"}]}
        {"require":[{"id":"a","absent":true}]}
        {"require":[{"id":"b","exists":true}]}
        {"require":[{"id":"b","match":{}}]}
        {"require":[{"id":"b"}]}
        {"require":[{"id":"a","exists":false}]}
        {"require":[{"id":"a","exist":true}]}
        {"require":[{"id":"a","match":{"n":{"$gt":5,"$nope":1}}}]}
        {"require":[{"id":"_local/a","exists":true}]}
        "#,
        &expect![[r#"
            > {"require":[{"id":"a","exists":true,"rev":"3-c","match":{"n":{"$gte":5},"tags":{"$all":["x"]}}},{"id":"b","absent":true}]}
            > {"require":[{"id":"a","match":{"n":{"$gt":5}}}]}
            requirement: {"id":"a","require":"match"}
            > {"require":[{"id":"a","match":{"_id":"a","_rev":"3-c"}}]}
            > {"require":[{"id":"a","rev":"3-d"}]}
            requirement: {"id":"a","require":"rev"}
            > {"require":[{"id":"a","absent":true}]}
            requirement: {"id":"a","require":"absent"}
            > {"require":[{"id":"b","exists":true}]}
            requirement: {"id":"b","require":"exists"}
            > {"require":[{"id":"b","match":{}}]}
            requirement: {"id":"b","require":"match"}
            > {"require":[{"id":"b"}]}
            transaction 0: b: a requirement is one of `exists`, `absent`, `rev` and `match`, or several
            > {"require":[{"id":"a","exists":false}]}
            transaction 0: `exists` must be `true`
            > {"require":[{"id":"a","exist":true}]}
            transaction 0: `exist` means nothing in a requirement
            > {"require":[{"id":"a","match":{"n":{"$gt":5,"$nope":1}}}]}
            transaction 0: Invalid operator: $nope
            > {"require":[{"id":"_local/a","exists":true}]}
            transaction 0: _local/a: local documents and design documents are written by requests of their own
        "#]],
    );
}

#[test]
fn each_write_is_one_of_five() {
    check(
        r#"
        {"_id":"a","_rev":"3-c","n":5,"o":{"p":1}}
        {"writes":[{"id":"a","put":{"_id":"a","_rev":"3-c","m": 1}},{"id":"b","put":{}}]}
        {"writes":[{"id":"a","patch":{"o":{"p":null,"q":[]},"n":6.0}}]}
        {"writes":[{"id":"a","json_patch":[{"op":"test","path":"/n","value":5.0},{"op":"add","path":"/o/q","value":{}}]}]}
        {"writes":[{"id":"a","json_patch":[{"op":"remove","path":"/n"},{"op":"remove","path":"/n"}]}]}
        {"writes":[{"id":"a","delete":true,"rev":"3-c"}]}
        {"writes":[{"id":"a","delete":true,"rev":"3-d"}]}
        {"writes":[{"id":"b","put":{},"rev":"3-d"}]}
        {"writes":[{"id":"b","patch":{}}]}
        {"writes":[{"id":"b","delete":true}]}
        {"writes":[{"id":"a"}]}
        {"writes":[{"id":"a","put":{},"delete":true}]}
        {"writes":[{"id":"a","put":{}},{"id":"a","delete":true}]}
        {"writes":[{"id":"a","put":{"_deleted":true}}]}
        {"writes":[{"id":"a","put":{"_id":"b"}}]}
        {"writes":[{"id":"a","rev":"3-c","put":{"_rev":"3-d"}}]}
        {"writes":[{"id":"a","put":{"_x":1}}]}
        {"writes":[{"id":"a","patch":{"_id":"b"}}]}
        {"writes":[{"id":"a","json_patch":[{"op":"add","path":"/_id","value":1}]}]}
        {"writes":[{"id":"a","json_patch":[{"op":"add","path":"a","value":1}]}]}
        {"writes":[{"id":"_design/a","put":{}}]}
        {"writes":[{"id":"_a","put":{}}]}
        {"writes":[{"put":{}}]}
        {"call":{"function":"f"}}
        "#,
        &expect![[r#"
            > {"writes":[{"id":"a","put":{"_id":"a","_rev":"3-c","m": 1}},{"id":"b","put":{}}]}
            a from 3-c is {"m":1}
            b from nothing is {}
            > {"writes":[{"id":"a","patch":{"o":{"p":null,"q":[]},"n":6.0}}]}
            a from 3-c becomes {"n":6.0,"o":{"q":[]}}
            > {"writes":[{"id":"a","json_patch":[{"op":"test","path":"/n","value":5.0},{"op":"add","path":"/o/q","value":{}}]}]}
            a from 3-c becomes {"n":5,"o":{"p":1,"q":{}}}
            > {"writes":[{"id":"a","json_patch":[{"op":"remove","path":"/n"},{"op":"remove","path":"/n"}]}]}
            patch: {"id":"a","step":1,"problem":"there is nothing at `path`"}
            > {"writes":[{"id":"a","delete":true,"rev":"3-c"}]}
            a from 3-c goes
            > {"writes":[{"id":"a","delete":true,"rev":"3-d"}]}
            conflict: {"id":"a","rev":"3-c"}
            > {"writes":[{"id":"b","put":{},"rev":"3-d"}]}
            conflict: {"id":"b","rev":null}
            > {"writes":[{"id":"b","patch":{}}]}
            missing: {"id":"b"}
            > {"writes":[{"id":"b","delete":true}]}
            missing: {"id":"b"}
            > {"writes":[{"id":"a"}]}
            transaction 0: a: a write is one of `put`, `patch`, `json_patch`, `delete` and `ops`
            > {"writes":[{"id":"a","put":{},"delete":true}]}
            transaction 0: a: a write is one of `put`, `patch`, `json_patch`, `delete` and `ops`
            > {"writes":[{"id":"a","put":{}},{"id":"a","delete":true}]}
            transaction 0: a is written twice
            > {"writes":[{"id":"a","put":{"_deleted":true}}]}
            transaction 0: a: `put` says of `_deleted` what only the address says, or another write
            > {"writes":[{"id":"a","put":{"_id":"b"}}]}
            transaction 0: a: `put` says of `_id` what only the address says, or another write
            > {"writes":[{"id":"a","rev":"3-c","put":{"_rev":"3-d"}}]}
            transaction 0: a: `put` says of `_rev` what only the address says, or another write
            > {"writes":[{"id":"a","put":{"_x":1}}]}
            transaction 0: a: Bad special document member: _x
            > {"writes":[{"id":"a","patch":{"_id":"b"}}]}
            transaction 0: a: `_id` belongs to the server
            > {"writes":[{"id":"a","json_patch":[{"op":"add","path":"/_id","value":1}]}]}
            transaction 0: a: step 0 changes `_id`, which belongs to the server
            > {"writes":[{"id":"a","json_patch":[{"op":"add","path":"a","value":1}]}]}
            transaction 0: a: step 0 needs `path`, a JSON Pointer
            > {"writes":[{"id":"_design/a","put":{}}]}
            transaction 0: _design/a: local documents and design documents are written by requests of their own
            > {"writes":[{"id":"_a","put":{}}]}
            transaction 0: Only reserved document ids may start with underscore.
            > {"writes":[{"put":{}}]}
            transaction 0: `id` must be the id of a document
            > {"call":{"function":"f"}}
            transaction 0: `call` is {"function": "design/name", "args": …}
        "#]],
    );
}

#[test]
fn a_header_that_means_nothing_is_refused() {
    let error = |text: &str| Exchange::parse(text.as_bytes()).unwrap_err().to_string();
    let seen: Vec<String> = [
        "[]",
        "{",
        r#"{"transactions":[]}"#,
        r#"{"client":"","transactions":[]}"#,
        r#"{"client":"c"}"#,
        r#"{"client":"c","transactions":{}}"#,
        r#"{"client":"c","transactions":[1]}"#,
        r#"{"client":"c","transactions":[{}]}"#,
        r#"{"client":"c","transactions":[{"id":"a"},{"id":"a"}]}"#,
        r#"{"client":"c","mode":"go on","transactions":[]}"#,
        r#"{"client":"c","since":"x","transactions":[]}"#,
        r#"{"client":"c","changes_limit":-1,"transactions":[]}"#,
        r#"{"client":"c","include_docs":1,"transactions":[]}"#,
        r#"{"client":"c","sinces":1,"transactions":[]}"#,
    ]
    .map(error)
    .into();
    expect![[r#"
        an exchange is a JSON object
        invalid UTF-8 JSON
        `client` must be text of 1 to 100 bytes
        `client` must be text of 1 to 100 bytes
        `transactions` must be an array
        `transactions` must be an array
        transaction 0: `transactions` must be an array of objects
        transaction 0: `id` must be text of 1 to 200 bytes
        transaction 1: two transactions have the id "a"
        `mode` must be `stop`, `go_on` or `all_in_one`
        Malformed sequence supplied in 'since' parameter.
        `changes_limit` must be an integer of 0 or more
        `include_docs` must be `true` or `false`
        `sinces` means nothing in an exchange"#]]
    .assert_eq(&seen.join("\n"));
}

#[test]
fn limits_are_kept() {
    let too_many = |count: usize, one: &str| {
        let all = vec![one; count].join(",");
        let text = format!(r#"{{"client":"c","transactions":[{{"id":"t",{all}}}]}}"#);
        Exchange::parse(text.as_bytes()).map(drop)
    };
    let ops = |count: usize| {
        let ops = vec![r#"{"inc":{"field":"n"}}"#; count].join(",");
        too_many(1, &format!(r#""writes":[{{"id":"a","ops":[{ops}]}}]"#))
    };
    assert_eq!(ops(200), Ok(()));
    assert!(ops(201).unwrap_err().to_string().ends_with("more than 200 operations"));
    let writes = |count: usize| {
        let writes: Vec<String> =
            (0..count).map(|at| format!(r#"{{"id":"{at}","delete":true}}"#)).collect();
        too_many(1, &format!(r#""writes":[{}]"#, writes.join(",")))
    };
    assert_eq!(writes(1_000), Ok(()));
    assert!(writes(1_001).is_err());
}

#[test]
fn limits_of_what_is_all_in_one_are_kept() {
    let together = |mode: &str, transactions: &[String]| {
        let text = transactions.join(",");
        let text = format!(r#"{{"client":"c","mode":"{mode}","transactions":[{text}]}}"#);
        Exchange::parse(text.as_bytes()).map(drop).map_err(|error| error.to_string())
    };
    let write = |at| format!(r#"{{"id":"{at}","writes":[{{"id":"{at}","delete":true}}]}}"#);
    let writes: Vec<String> = (0..2_001).map(write).collect();
    assert_eq!(together("all_in_one", &writes[1..]), Ok(()));
    assert_eq!(together("go_on", &writes), Ok(()));
    let error = together("all_in_one", &writes).unwrap_err();
    assert_eq!(error, "more than 2000 writes that are all in one");
    let call = |at| format!(r#"{{"id":"{at}","call":{{"function":"d/f"}}}}"#);
    let calls: Vec<String> = (0..101).map(call).collect();
    assert_eq!(together("all_in_one", &calls[1..]), Ok(()));
    assert_eq!(together("stop", &calls), Ok(()));
    let error = together("all_in_one", &calls).unwrap_err();
    assert_eq!(error, "more than 100 calls of functions that are all in one");
}
