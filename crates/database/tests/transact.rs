//! Transactions in the writer's turn: whole or not at all, in order, decided once.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::disallowed_methods, reason = "a test waits for what it spawns")]

#[path = "transact/crashes.rs"]
mod crashes;
#[path = "transact/lives.rs"]
mod lives;
#[path = "transact/order.rs"]
mod order;
#[path = "transact/reading.rs"]
mod reading;
mod support;
#[path = "transact/world.rs"]
mod world;

use std::time::Duration;

use expect_test::expect;

use crate::{
    support::put,
    world::{World, check},
};

#[tokio::test]
async fn a_transaction_is_made_whole_and_its_outcome_is_answered_again() {
    check(
        &[
            r#"put clips {"boxes":50}"#,
            r#"c {"id":"1","require":[{"id":"clips","match":{"boxes":{"$gte":40}}}],"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60,"least":40}}]},{"id":"order","put":{"of":"clips"}}]}"#,
            "show clips order",
            r#"c {"id":"1","require":[{"id":"clips","match":{"boxes":{"$gte":40}}}],"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60,"least":40}}]},{"id":"order","put":{"of":"clips"}}]}"#,
            r#"c {"id":"2","writes":[{"id":"other","put":{}},{"id":"clips","ops":[{"take":{"field":"boxes","want":20}}]}]}"#,
            r#"put clips {"boxes":90}"#,
            r#"c {"id":"2","writes":[{"id":"other","put":{}},{"id":"clips","ops":[{"take":{"field":"boxes","want":20}}]}]}"#,
            r#"c {"id":"2","writes":[]}"#,
            r#"d {"id":"2","writes":[]}"#,
            "show clips other",
        ],
        expect![[r#"
            > put clips {"boxes":50}
            > c {"id":"1","require":[{"id":"clips","match":{"boxes":{"$gte":40}}}],"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60,"least":40}}]},{"id":"order","put":{"of":"clips"}}]}
            {"accepted":true,"revs":{"clips":"2-4f729c94b50fab6a56b6bf9ee00013d1","order":"1-5dfd7573ff4049d5b22a716546edfb6e"},"taken":{"clips":{"boxes":50}}}
            > show clips order
            clips {"boxes":0}
            order {"of":"clips"}
            > c {"id":"1","require":[{"id":"clips","match":{"boxes":{"$gte":40}}}],"writes":[{"id":"clips","ops":[{"take":{"field":"boxes","want":60,"least":40}}]},{"id":"order","put":{"of":"clips"}}]}
            {"accepted":true,"revs":{"clips":"2-4f729c94b50fab6a56b6bf9ee00013d1","order":"1-5dfd7573ff4049d5b22a716546edfb6e"},"taken":{"clips":{"boxes":50}}}
            > c {"id":"2","writes":[{"id":"other","put":{}},{"id":"clips","ops":[{"take":{"field":"boxes","want":20}}]}]}
            {"accepted":false,"reason":"operation","detail":{"id":"clips","operation":"take","field":"boxes","problem":"there is too little","available":0},"current":{"clips":{"_id":"clips","_rev":"2-4f729c94b50fab6a56b6bf9ee00013d1","boxes":0}}}
            > put clips {"boxes":90}
            > c {"id":"2","writes":[{"id":"other","put":{}},{"id":"clips","ops":[{"take":{"field":"boxes","want":20}}]}]}
            {"accepted":false,"reason":"operation","detail":{"id":"clips","operation":"take","field":"boxes","problem":"there is too little","available":0},"current":{"clips":{"_id":"clips","_rev":"2-4f729c94b50fab6a56b6bf9ee00013d1","boxes":0}}}
            > c {"id":"2","writes":[]}
            Reused
            > d {"id":"2","writes":[]}
            {"accepted":true,"revs":{}}
            > show clips other
            clips {"boxes":90}
            other -
        "#]],
    )
    .await;
}

#[tokio::test]
async fn the_list_is_in_order_and_its_mode_says_what_a_refusal_means() {
    let list = r#"{"id":"1","writes":[{"id":"a","put":{"n":1}}]} {"id":"2","writes":[{"id":"gone","delete":true}]} {"id":"3","require":[{"id":"a","exists":true}],"writes":[{"id":"a","ops":[{"inc":{"field":"n"}}]}]}"#;
    let line = |mode: &str| format!("{mode} {list}");
    check(&[&line("c"), "show a", &line("c"), &line("e go_on"), "show a"], expect![[r#"
        > c {"id":"1","writes":[{"id":"a","put":{"n":1}}]} {"id":"2","writes":[{"id":"gone","delete":true}]} {"id":"3","require":[{"id":"a","exists":true}],"writes":[{"id":"a","ops":[{"inc":{"field":"n"}}]}]}
        {"accepted":true,"revs":{"a":"1-731bef401491606a3b246ed178e697c1"}}
        {"accepted":false,"reason":"missing","detail":{"id":"gone"},"current":{"gone":null}}
        NotAttempted
        > show a
        a {"n":1}
        > c {"id":"1","writes":[{"id":"a","put":{"n":1}}]} {"id":"2","writes":[{"id":"gone","delete":true}]} {"id":"3","require":[{"id":"a","exists":true}],"writes":[{"id":"a","ops":[{"inc":{"field":"n"}}]}]}
        {"accepted":true,"revs":{"a":"1-731bef401491606a3b246ed178e697c1"}}
        {"accepted":false,"reason":"missing","detail":{"id":"gone"},"current":{"gone":null}}
        NotAttempted
        > e go_on {"id":"1","writes":[{"id":"a","put":{"n":1}}]} {"id":"2","writes":[{"id":"gone","delete":true}]} {"id":"3","require":[{"id":"a","exists":true}],"writes":[{"id":"a","ops":[{"inc":{"field":"n"}}]}]}
        {"accepted":true,"revs":{"a":"2-628fc992f514f9fe826006d9f5019e2e"}}
        {"accepted":false,"reason":"missing","detail":{"id":"gone"},"current":{"gone":null}}
        {"accepted":true,"revs":{"a":"3-1977a5a600da4587342ef897acbde3fa"}}
        > show a
        a {"n":2}
    "#]]).await;
    check(
        &[
            &line("c all_in_one"),
            "show a",
            &line("c all_in_one"),
            r#"c all_in_one {"id":"1","writes":[{"id":"a","put":{"n":1}}]} {"id":"3","require":[{"id":"a","exists":true}],"writes":[{"id":"a","ops":[{"inc":{"field":"n"}}]}]}"#,
            "show a",
            // What was accepted before stays so, whatever becomes of the others.
            r#"c all_in_one {"id":"4","writes":[{"id":"b","put":{}}]} {"id":"1","writes":[{"id":"a","put":{"n":1}}]} {"id":"5","writes":[{"id":"gone","delete":true}]} {"id":"6","writes":[]}"#,
            "show b",
        ],
        expect![[r#"
            > c all_in_one {"id":"1","writes":[{"id":"a","put":{"n":1}}]} {"id":"2","writes":[{"id":"gone","delete":true}]} {"id":"3","require":[{"id":"a","exists":true}],"writes":[{"id":"a","ops":[{"inc":{"field":"n"}}]}]}
            Aborted
            {"accepted":false,"reason":"missing","detail":{"id":"gone"},"current":{"gone":null}}
            Aborted
            > show a
            a -
            > c all_in_one {"id":"1","writes":[{"id":"a","put":{"n":1}}]} {"id":"2","writes":[{"id":"gone","delete":true}]} {"id":"3","require":[{"id":"a","exists":true}],"writes":[{"id":"a","ops":[{"inc":{"field":"n"}}]}]}
            Aborted
            {"accepted":false,"reason":"missing","detail":{"id":"gone"},"current":{"gone":null}}
            Aborted
            > c all_in_one {"id":"1","writes":[{"id":"a","put":{"n":1}}]} {"id":"3","require":[{"id":"a","exists":true}],"writes":[{"id":"a","ops":[{"inc":{"field":"n"}}]}]}
            {"accepted":true,"revs":{"a":"1-731bef401491606a3b246ed178e697c1"}}
            {"accepted":true,"revs":{"a":"2-c7b1fa7ae4e5ec669a544d4ef6eee928"}}
            > show a
            a {"n":2}
            > c all_in_one {"id":"4","writes":[{"id":"b","put":{}}]} {"id":"1","writes":[{"id":"a","put":{"n":1}}]} {"id":"5","writes":[{"id":"gone","delete":true}]} {"id":"6","writes":[]}
            Aborted
            {"accepted":true,"revs":{"a":"1-731bef401491606a3b246ed178e697c1"}}
            {"accepted":false,"reason":"missing","detail":{"id":"gone"},"current":{"gone":null}}
            Aborted
            > show b
            b -
        "#]],
    )
    .await;
}

#[tokio::test]
async fn documents_that_are_deleted_or_in_conflict_are_met_at_their_winner() {
    check(
        &[
            r#"put a {"n":1}"#,
            r#"c {"id":"1","writes":[{"id":"a","delete":true}]}"#,
            r#"c {"id":"2","require":[{"id":"a","absent":true}],"writes":[{"id":"a","put":{"n":2}}]}"#,
            "graft b 2-b:1-a {\"w\":1}",
            "graft b 2-c:1-a {\"w\":2}",
            r#"c {"id":"3","require":[{"id":"b","match":{"w":2,"_conflicts":{"$size":1}}}],"writes":[{"id":"b","patch":{"w":3}}]}"#,
            "show a b",
        ],
        expect![[r#"
            > put a {"n":1}
            > c {"id":"1","writes":[{"id":"a","delete":true}]}
            {"accepted":true,"revs":{"a":"2-bfa217b130671a8782e04560da45345b"}}
            > c {"id":"2","require":[{"id":"a","absent":true}],"writes":[{"id":"a","put":{"n":2}}]}
            {"accepted":true,"revs":{"a":"3-40eeef52350553c7e4dc0f74ba1f44de"}}
            > graft b 2-b:1-a {"w":1}
            > graft b 2-c:1-a {"w":2}
            > c {"id":"3","require":[{"id":"b","match":{"w":2,"_conflicts":{"$size":1}}}],"writes":[{"id":"b","patch":{"w":3}}]}
            {"accepted":true,"revs":{"b":"3-ee018dfbb6cdee20730f8c5bf612cefc"}}
            > show a b
            a {"n":2}
            b {"w":3}
        "#]],
    )
    .await;
}

#[tokio::test]
async fn what_the_database_cannot_hold_is_refused_whole() {
    let world = World::new().await;
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(2 << 20));
    world.database.put("large", None, &large).await.unwrap();
    let patched = r#"{"id":"1","writes":[{"id":"a","put":{}},{"id":"large","patch":{"y":1}}]}"#;
    let seen = world.ask("c", patched).await;
    assert!(
        seen.contains(
            r#""reason":"too_large","detail":{"id":"large","bytes":2097160,"max":1048576}}"#
        ),
        "{seen}"
    );
    assert!(!seen.contains("current"), "it is too large to be told");
    assert_eq!(world.show("a").await, "-");
    let body = format!("{{\"x\":\"{}\"}}", "x".repeat(9_000_000));
    let seen =
        world.ask("c", &format!(r#"{{"id":"2","writes":[{{"id":"b","put":{body}}}]}}"#)).await;
    assert!(seen.contains(r#""reason":"too_large""#), "{seen}");
    world.database.audit().await;
}

#[tokio::test]
async fn an_outcome_is_remembered_for_as_long_as_the_database_says() {
    let world = World::new().await;
    let day = Duration::from_secs(24 * 60 * 60);
    let database = &world.database;
    assert_eq!(database.db.outcome_retention(&database.read).await.unwrap(), 30 * day);
    for wrong in [Duration::from_secs(59), 367 * day] {
        assert!(database.db.set_outcome_retention(&database.admin, wrong).await.is_err());
    }
    database.db.set_outcome_retention(&database.admin, day).await.unwrap();
    let add = r#"{"id":"1","writes":[{"id":"a","ops":[{"inc":{"field":"n"}}]}]}"#;
    world.database.put("a", None, r#"{"n":0}"#).await.unwrap();
    world.ask("c", add).await;
    world.store.clock.advance(day - Duration::from_secs(1));
    world.ask("c", add).await;
    assert_eq!(world.show("a").await, r#"{"n":1}"#);
    world.store.clock.advance(Duration::from_secs(1));
    world.ask("c", add).await;
    assert_eq!(world.show("a").await, r#"{"n":2}"#);
    world.database.audit().await;
}

#[tokio::test(start_paused = true)]
async fn outcomes_go_when_their_time_has_come_and_history_goes_on_time_beside_them() {
    let world = World::new().await;
    let database = &world.database;
    let day = Duration::from_secs(24 * 60 * 60);
    database.db.set_outcome_retention(&database.admin, day).await.unwrap();
    for at in 0..2_500 {
        let one = format!(r#"{{"id":"{at}","writes":[{{"id":"a","put":{{"n":{at}}}}}]}}"#);
        world.ask("c", &one).await;
    }
    let kept = async || world.rows(0x23).await + world.rows(0x1A).await;
    assert_eq!(kept().await, 5_000);
    let sweep = async |after: Duration| {
        world.store.clock.advance(after);
        tokio::time::sleep(Duration::from_secs(120)).await;
    };
    sweep(Duration::from_secs(3_700)).await;
    assert_eq!((kept().await, world.rows(0x13).await), (5_000, 0), "the past goes after an hour");
    world.ask("c", r#"{"id":"late","writes":[]}"#).await;
    sweep(day - Duration::from_secs(3_700)).await;
    assert_eq!(kept().await, 2, "what came later stays");
    sweep(day).await;
    assert_eq!(kept().await, 0);
    assert_eq!(
        world.store_rows(0x06).await,
        0,
        "nobody comes by a database that has nothing to forget"
    );
    world.database.audit().await;
}

#[tokio::test]
async fn transactions_share_a_commit_with_each_other_and_with_edits() {
    let world = World::new().await;
    world.database.put("a", None, r#"{"n":0}"#).await.unwrap();
    let commits = || world.commits();
    let before = commits();
    let asked = (0..50).map(|at| {
        let one =
            format!(r#"{{"id":"{at}","writes":[{{"id":"a","ops":[{{"inc":{{"field":"n"}}}}]}}]}}"#);
        let world = &world;
        async move { world.ask("c", &one).await }
    });
    let edits = (0..50).map(|at| world.database.one(put(&format!("e{at}"), None, "{}")));
    let (outcomes, edits) = tokio::join!(world::all(asked), world::all(edits));
    assert!(outcomes.iter().all(|it| it.contains("true")) && edits.iter().all(Result::is_ok));
    assert_eq!(world.show("a").await, r#"{"n":50}"#);
    assert!(commits() - before <= 10, "{} commits", commits() - before);
    world.database.audit().await;
}

/// Nothing else is written meanwhile, and what is looked into is in memory.
#[tokio::test]
async fn a_transaction_looks_into_so_much_and_no_more() {
    let world = World::new().await;
    let list = format!(r#"{{"l":[{}]}}"#, vec!["{}"; 300_000].join(","));
    world.database.put("list", None, &list).await.unwrap();
    let removing = async |id: &str, value: &str, times: usize| {
        let op = format!(r#"{{"remove":{{"field":"l","value":{value}}}}}"#);
        let ops = vec![op; times].join(",");
        let one = format!(r#"{{"id":"{id}","writes":[{{"id":"list","ops":[{ops}]}}]}}"#);
        world.ask("c", &one).await
    };
    let long = "7".repeat(1_000);
    assert!(removing("1", &long, 3).await.starts_with(r#"{"accepted":true"#));
    let refused = removing("2", &format!(r#"{{"n":{long}}}"#), 1).await;
    assert!(refused.contains("too_large") && refused.contains("looks into"), "{refused}");

    let large = format!(r#"{{"t":"{}"}}"#, "x".repeat(7_000_000));
    let matching = async |id: &str, count: usize| {
        let required: Vec<String> =
            (0..count).map(|at| format!(r#"{{"id":"large{at}","match":{{"t":"x"}}}}"#)).collect();
        world.ask("c", &format!(r#"{{"id":"{id}","require":[{}]}}"#, required.join(","))).await
    };
    for at in 0..5 {
        world.database.put(&format!("large{at}"), None, &large).await.unwrap();
    }
    assert!(matching("3", 4).await.contains(r#""reason":"requirement""#));
    assert!(matching("4", 5).await.contains(r#""reason":"too_large""#));
}

/// What refusals show is remembered with them.
#[tokio::test]
async fn refusals_of_one_exchange_show_so_much_and_no_more() {
    let world = World::new().await;
    let large = format!(r#"{{"t":"{}"}}"#, "x".repeat(60_000));
    world.database.put("large", None, &large).await.unwrap();
    let one = |at| format!(r#"{{"id":"{at}","require":[{{"id":"large","absent":true}}]}}"#);
    let all: Vec<String> = (0..40).map(one).collect();
    let outcomes = world.ask("c go_on", &all.join(" ")).await;
    assert_eq!(outcomes.matches(r#""reason":"requirement""#).count(), 40);
    assert_eq!(outcomes.matches(r#""current""#).count(), 18);
}
