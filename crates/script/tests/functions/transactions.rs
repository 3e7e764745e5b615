//! Transaction functions: they ask for what they read, and say in the end what is to be written.

use std::{collections::BTreeMap, fmt::Write as _};

use bytes::Bytes;
use expect_test::{Expect, expect};
use serde_json::{Value, json};
use settle_script::{Program, ScriptError, Scripts, Thrown, TransactionOutput, limits};

use crate::support::{bytes, hasty, program_with, scripts, with};

/// What a function does with a few documents, each question and the end a line.
async fn check(source: &str, arguments: &str, expected: Expect) {
    let scripts = scripts();
    let said = said(&scripts, source, arguments).await;
    scripts.close().await;
    expected.assert_eq(&said);
}

async fn said(scripts: &Scripts, source: &str, arguments: &str) -> String {
    let program = program_with("transactions", source);
    let user_ctx = br#"{"name":"ada"}"#;
    let started = scripts.transaction(&program, "f", arguments.as_bytes(), user_ctx).await;
    let (mut transaction, mut output) = match started {
        Ok(started) => started,
        Err(error) => return format!("{error}\n"),
    };
    let mut said = String::new();
    loop {
        match output {
            TransactionOutput::Asks(question) => {
                writeln!(said, "asks {}", String::from_utf8_lossy(&question)).unwrap();
                match transaction.answer(answer(&question)).await {
                    Ok(next) => output = next,
                    Err(error) => return format!("{said}{error}\n"),
                }
            }
            TransactionOutput::Done(done) => {
                return format!("{said}done {}\n", String::from_utf8_lossy(&done));
            }
        }
    }
}

fn answer(question: &Bytes) -> Result<Bytes, Thrown> {
    let docs: BTreeMap<&str, Value> = ["a", "b1", "b2", "b3"]
        .into_iter()
        .map(|id| (id, json!({ "_id": id, "_rev": "1-x", "n": 1 })))
        .collect();
    let question: Value = serde_json::from_slice(question).unwrap();
    let get = |id: &Value| docs.get(id.as_str().unwrap()).cloned().unwrap_or(Value::Null);
    let answer = if let Some(keys) = question["keys"].as_array() {
        keys.iter().map(get).collect()
    } else if let Some(prefix) = question["prefix"].as_str() {
        let limit = question["limit"].as_u64().unwrap_or(100);
        let found = docs.iter().filter(|(id, _)| id.starts_with(prefix));
        found.take(usize::try_from(limit).unwrap()).map(|(_, doc)| doc.clone()).collect()
    } else if question.get("get").is_some() {
        get(&question["get"])
    } else {
        let (error, reason) = ("not_found".to_owned(), "there is no such view".to_owned());
        return Err(Thrown { error, reason });
    };
    Ok(bytes(&answer.to_string()))
}

#[tokio::test]
async fn a_function_reads_and_writes() {
    check(
        "function (db, args, user) { const doc = db.get('a'); doc.n += args.by; doc.who = user.name; \
         db.put(doc); db.put({ _id: 'new' }); db.delete('b1'); return { n: doc.n }; }",
        r#"{"by":2}"#,
        expect![[r#"
            asks {"get":"a"}
            asks {"get":"b1"}
            done {"writes":[{"id":"a","put":{"_id":"a","_rev":"1-x","n":3,"who":"ada"}},{"id":"new","put":{"_id":"new"}},{"id":"b1","delete":true}],"result":{"n":3}}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_function_sees_what_it_wrote() {
    check(
        "function (db) { \
           db.put({ _id: 'b0' }); db.put({ _id: 'b2', n: 2 }); db.delete('b3'); \
           const seen = [db.get('b0'), db.get('b3'), db.get('c')]; \
           seen.push(db.all(['b3', 'a', 'b2']).map((doc) => doc && doc.n)); \
           seen.push(db.all({ prefix: 'b' }).map((doc) => doc._id)); \
           seen.push(db.all({ prefix: 'b', limit: 2 }).map((doc) => doc._id)); \
           return seen; }",
        "null",
        expect![[r#"
            asks {"get":"b3"}
            asks {"get":"c"}
            asks {"keys":["a"]}
            asks {"prefix":"b"}
            asks {"prefix":"b","limit":5}
            done {"writes":[{"id":"b0","put":{"_id":"b0"}},{"id":"b2","put":{"_id":"b2","n":2}},{"id":"b3","delete":true}],"result":[{"_id":"b0"},null,null,[null,1,2],["b0","b1","b2"],["b0","b1"]]}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_was_made_and_deleted_again_is_not_written() {
    check(
        "function (db) { db.put({ _id: 'new' }); const was = db.delete('new'); \
         db.put({ _id: 'a' }); db.delete('a'); return [was, db.delete('none')]; }",
        "null",
        expect![[r#"
            asks {"get":"new"}
            asks {"get":"a"}
            asks {"get":"none"}
            done {"writes":[{"id":"a","delete":true}],"result":[true,false]}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_refusal_ends_the_function() {
    check(
        "function (db) { db.put({ _id: 'x' }); db.refuse('sold_out', { left: 0 }); db.get('a'); }",
        "null",
        expect![[r#"
            done {"refused":{"reason":"sold_out","detail":{"left":0}}}
        "#]],
    )
    .await;
    check(
        "function (db) { try { db.refuse('no') } catch (e) {} return 1; }",
        "null",
        expect![[r#"
            done {"refused":{"reason":"no","detail":null}}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_answered_can_be_caught() {
    check(
        "function (db) { try { db.view('d/v') } catch (e) { return e.error; } }",
        "null",
        expect![[r#"
            asks {"view":["d","v"],"options":{}}
            done {"writes":[],"result":"not_found"}
        "#]],
    )
    .await;
    check(
        "function (db) { db.find({ selector: {} }) }",
        "null",
        expect![[r#"
            asks {"find":{"selector":{}}}
            there is no such view
        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_makes_no_sense_throws() {
    for source in [
        "function (db) { db.get(1) }",
        "function (db) { db.put({}) }",
        "function (db) { db.all() }",
        "function (db) { db.all({ prefix: 'a', limit: -1 }) }",
        "function (db) { db.view('nothing') }",
        "function (db) { db.find([]) }",
        "function (db) { undefined.x }",
    ] {
        let scripts = scripts();
        let said = said(&scripts, source, "null").await;
        assert!(!said.contains("done") && !said.contains("asks"), "{source}: {said}");
        scripts.close().await;
    }
}

#[tokio::test]
async fn a_function_has_its_time_in_all_and_not_for_each_question() {
    let scripts = with(hasty());
    let source = "function (db) { for (;;) { db.get('a'); for (let i = 0; i < 100000; i += 1); } }";
    let program = program_with("transactions", source);
    let (mut transaction, _) = scripts.transaction(&program, "f", b"null", b"null").await.unwrap();
    let error = loop {
        match transaction.answer(Ok(bytes("null"))).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ScriptError::Deadline { .. }), "{error}");
    scripts.close().await;
}

#[tokio::test]
async fn functions_that_are_left_alone_leave_room_for_others() {
    let scripts = scripts();
    let program = program_with("transactions", "function (db) { return db.get('a') }");
    for _ in 0..20 {
        drop(scripts.transaction(&program, "f", b"null", b"null").await.unwrap());
    }
    scripts.close().await;
}

#[tokio::test]
async fn functions_of_one_database_leave_processes_for_others() {
    let scripts = scripts();
    let program = program_with("transactions", "function (db) { return db.get('a') }");
    let mut held = Vec::new();
    for _ in 0..limits::PROCESSES_OF_ONE_MAX {
        held.push(scripts.transaction(&program, "f", b"null", b"null").await.unwrap());
    }
    let other = Program { database: program.database + 1, ..program.clone() };
    tokio::select! {
        biased;
        _ = scripts.transaction(&program, "f", b"null", b"null") => panic!("it has enough"),
        found = scripts.transaction(&other, "f", b"null", b"null") => drop(found.unwrap()),
    }
    // One that is let go makes room.
    drop(held.pop());
    drop(scripts.transaction(&program, "f", b"null", b"null").await.unwrap());
    drop(held);
    scripts.close().await;
}
