//! What design documents have to say about writes: validators in both languages and schemas, and that
//! nobody gets past them.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "lanes/races.rs"]
mod races;
#[path = "lanes/schemas.rs"]
mod schemas;
#[path = "lanes/world.rs"]
mod world;

use std::time::Duration;

use settle_database::Atomicity;
use settle_index::lane::Author;
use settle_script::ScriptSettings;

use crate::world::{World, delete, design, put, replicated, said};

#[test]
fn script_worker() {
    settle_script::worker::main_of_test();
}

/// Refuses with all that it was told.
const TELLS: &str = "function(n, o, u, s) { throw({forbidden: JSON.stringify([n, o, u, s])}); }";

/// Lets documents with `ok` pass, and throws the rest in several ways.
const PICKY: &str = r#"function(n, o) {
    if (n._deleted && o.locked) throw({forbidden: "locked"});
    if (n.throws == "unauthorized") throw({unauthorized: "who are you"});
    if (n.throws == "text") throw("just so");
    if (n.throws == "error") null.x;
    if (n.throws) throw({forbidden: "no " + n.throws});
}"#;

#[tokio::test]
async fn without_validators_writes_are_as_before() {
    let world = World::new().await;
    assert_eq!(world.one(put("a", None, r#"{"n":1}"#)).await, "ok");
    assert_eq!(
        world.one(put("a", None, "{}")).await,
        "the document has moved on from the revision given"
    );
    world.design("d", r#"{"views":{}}"#).await;
    assert_eq!(world.one(put("b", None, r#"{"n":1}"#)).await, "ok");
    assert_eq!(world.one(replicated("a", "3 c b", false, "{}")).await, "ok");
}

#[tokio::test]
async fn a_validator_says_why() {
    let world = World::new().await;
    world.validator("d", PICKY).await;
    for (throws, expected) in [
        (r#""docs""#, "forbidden: no docs"),
        (r#""unauthorized""#, "unauthorized: who are you"),
        ("0", "ok"),
    ] {
        assert_eq!(world.one(put("a", None, &format!(r#"{{"throws":{throws}}}"#))).await, expected);
    }
    let edits = ["a1", "error", "a2"]
        .map(|throws| put(throws, None, &format!(r#"{{"throws":"{throws}"}}"#)));
    let said = world.write(edits.into(), Atomicity::EachAlone).await;
    assert_eq!([said[0].as_str(), said[2].as_str()], ["forbidden: no a1", "forbidden: no a2"]);
    for throws in ["text", "error"] {
        let said = world.one(put("b", None, &format!(r#"{{"throws":"{throws}"}}"#))).await;
        assert!(said.starts_with("thrown "), "{said}");
    }
    let rev = world.rev("a").await;
    assert_eq!(world.one(put("a", Some(&rev), r#"{"locked":true}"#)).await, "ok");
    let rev = world.rev("a").await;
    assert_eq!(world.one(delete("a", &rev)).await, "forbidden: locked");
    assert_eq!(world.rev("a").await, rev);
}

#[tokio::test]
async fn a_validator_is_told_what_couchdb_tells_it() {
    let world = World::new().await;
    assert_eq!(world.one(replicated("a", "2 b a", false, r#"{"n":1}"#)).await, "ok");
    world.validator("d", TELLS).await;
    let default = r#"{"members":{"roles":["_admin"]},"admins":{"roles":["_admin"]}}"#;
    assert_eq!(
        world.one(put("b", None, r#"{"x":1}"#)).await,
        format!(
            r#"forbidden: [{{"_id":"b","x":1,"_revisions":{{"start":0,"ids":[]}}}},null,{{"db":"notes","name":"ada","roles":["till","_admin"]}},{default}]"#
        )
    );
    let security = r#"{"members":{"names":["ada"]}}"#;
    world.db.set_security(&world.admin, security.as_bytes().to_vec()).await.unwrap();
    let nobody = Author::default();
    let written = world.write_as(&nobody, vec![replicated("a", "3 c b a", true, "{}")]);
    assert_eq!(
        said(&written.await[0]),
        format!(
            concat!(
                r#"forbidden: [{{"_id":"a","_rev":"3-c","_deleted":true,"_revisions":{{"start":3,"ids":["c","b","a"]}}}},"#,
                r#"{{"_id":"a","_rev":"2-b","n":1,"_revisions":{{"start":2,"ids":["b","a"]}}}},"#,
                r#"{{"db":"notes","name":null,"roles":[]}},{}]"#
            ),
            security
        )
    );
}

#[tokio::test]
async fn each_document_of_a_write_is_judged_by_itself_unless_it_is_atomic() {
    let world = World::new().await;
    world.validator("d", PICKY).await;
    let edits = || {
        let no = put("no", None, r#"{"throws":"this"}"#);
        vec![put("a", None, "{}"), no, put("b", None, "{}"), design("e", "{}")]
    };
    let atomic = world.write(edits(), Atomicity::AllOrNothing).await;
    let aborted = "another edit of the same atomic write was refused";
    assert_eq!(atomic, [aborted, "forbidden: no this", aborted, aborted]);
    assert_eq!(world.count().await, 1);
    let alone = world.write(edits(), Atomicity::EachAlone).await;
    assert_eq!(alone, ["ok", "forbidden: no this", "ok", "ok"]);
    // What the validators pass can be in conflict with what is stored.
    let edits = vec![put("c", None, "{}"), put("a", None, "{}")];
    let conflict = "the document has moved on from the revision given";
    assert_eq!(world.write(edits, Atomicity::AllOrNothing).await, [aborted, conflict]);
}

#[tokio::test]
async fn all_validators_are_asked() {
    let world = World::new().await;
    world.validator("d", "function(n) { if (n.a) throw({forbidden: 'a'}); }").await;
    world.validator("e", "function(n) { if (n.b) throw({forbidden: 'b'}); }").await;
    let rule = r#"{"language":"query","validate_doc_update":{"newDoc":{"c":{"$exists":false}}}}"#;
    world.design("f", rule).await;
    let edits = ["a", "b", "c", "d"];
    let edits = edits.map(|id| put(id, None, &format!(r#"{{"{id}":1}}"#))).into();
    assert_eq!(
        world.write(edits, Atomicity::EachAlone).await,
        ["forbidden: a", "forbidden: b", "forbidden: document is not valid", "ok"]
    );
}

#[tokio::test]
async fn a_selector_can_be_a_validator() {
    let world = World::new().await;
    let rule = r#"{"language":"query","validate_doc_update":{"$or":[
        {"userCtx.roles":{"$elemMatch":{"$eq":"_admin"}}},
        {"oldDoc":{"$exists":false}, "newDoc.kind":"note"},
        {"oldDoc.kind":"note", "newDoc.kind":"note"}
    ]}}"#;
    world.design("d", rule).await;
    let clerk = Author { name: Some("bob".to_owned()), roles: vec!["clerk".to_owned()] };
    let write = async |edit| said(&world.write_as(&clerk, vec![edit]).await[0]);
    assert_eq!(world.one(put("a", None, r#"{"kind":"order"}"#)).await, "ok");
    let no = "forbidden: document is not valid";
    assert_eq!(write(put("b", None, r#"{"kind":"order"}"#)).await, no);
    assert_eq!(write(put("b", None, r#"{"kind":"note"}"#)).await, "ok");
    let rev = world.rev("b").await;
    assert_eq!(write(put("b", Some(&rev), r#"{"kind":"order"}"#)).await, no);
    assert_eq!(write(put("b", Some(&rev), r#"{"kind":"note","n":2}"#)).await, "ok");
}

#[tokio::test]
async fn a_rule_that_cannot_be_used_lets_nothing_pass() {
    let world = World::new().await;
    world.validator("d", "function(n) { this is no function").await;
    let said = world.one(put("a", None, "{}")).await;
    assert!(said.starts_with("script "), "{said}");
    // It can be taken away.
    let rev = world.rev("_design/d").await;
    assert_eq!(world.one(delete("_design/d", &rev)).await, "ok");
    assert_eq!(world.one(put("a", None, "{}")).await, "ok");
    // One that came before this was looked at.
    let foreign = design("e", r#"{"language":"erlang","validate_doc_update":"fun() -> ok end."}"#);
    world.db.write(&world.write, vec![foreign], Atomicity::EachAlone).await.unwrap();
    assert_eq!(world.one(put("b", None, "{}")).await, "_design/e: unknown query language erlang");
}

#[tokio::test]
async fn a_design_document_that_is_none_is_refused_when_it_is_written() {
    let world = World::new().await;
    for (body, expected) in [
        (r#"{"views":[]}"#, "`views` field must have object type"),
        (
            r#"{"language":"query","validate_doc_update":{"newDoc":{"a":{"$what":1}}}}"#,
            "`validate_doc_update`: Invalid operator: $what",
        ),
        (
            r#"{"schemas":[{"selector":{},"schema":{"type":"text"}}]}"#,
            "`schemas`: the schema is none",
        ),
    ] {
        for edit in [design("d", body), replicated("_design/d", "1 a", false, body)] {
            let said = world.one(edit).await;
            assert!(said.starts_with(expected), "{said}");
        }
    }
    assert_eq!(world.count().await, 0);
}

#[tokio::test]
async fn local_and_design_documents_are_not_validated() {
    let world = World::new().await;
    world.validator("d", "function() { throw({forbidden: 'nothing'}); }").await;
    assert_eq!(world.one(put("a", None, "{}")).await, "forbidden: nothing");
    assert_eq!(world.one(design("e", "{}")).await, "ok");
    world.db.put_local(&world.write, &"_local/x".parse().unwrap(), None, b"{}").await.unwrap();
}

#[tokio::test]
async fn what_is_written_later_is_judged_as_well() {
    let world = World::new().await;
    world.validator("d", PICKY).await;
    let edits = vec![put("a", None, "{}"), put("b", None, r#"{"throws":"it"}"#)];
    world.lanes.write_later(&world.db, &world.write, Author::default(), edits);
    world.store.close().await;
    assert_eq!(world.db.sequence(), 2, "the design document and a");
}

/// One of many waits for the deadline; the others are told what they would have been told without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_validator_that_does_not_end_costs_its_document_an_error() {
    let settings =
        ScriptSettings { deadline: Duration::from_millis(300), ..ScriptSettings::default() };
    let world = World::with(settings).await;
    world.validator("d", "function(n) { while (n.loops) {} }").await;
    let write = async |id: &'static str, body: &'static str| world.one(put(id, None, body)).await;
    let begun = tokio::time::Instant::now();
    let (a, b, c, d) = tokio::join!(
        write("a", "{}"),
        write("b", r#"{"loops":true}"#),
        write("c", "{}"),
        write("d", r#"{"n":1}"#),
    );
    assert!(b.starts_with("script "), "{b}");
    assert_eq!([a.as_str(), c.as_str(), d.as_str()], ["ok"; 3]);
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(world.one(put("e", None, "{}")).await, "ok");
}
