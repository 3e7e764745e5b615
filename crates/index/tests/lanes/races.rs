//! Rules that come, and documents that move, while writes wait.

use std::sync::Arc;

use settle_database::{DocumentForm, Next, RenderedScan};

use crate::world::{World, put, replicated};

/// Many write while a validator is saved: no document that it would have refused comes after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_slips_past_a_validator_that_comes_while_writes_wait() {
    for round in 0..8 {
        let world = Arc::new(World::new().await);
        if round % 2 == 1 {
            world.validator("first", "function(n) { if (n.never) throw({forbidden: 'x'}); }").await;
        }
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..4 {
            let world = world.clone();
            writers.spawn(async move {
                for n in 0..20 {
                    world.one(put(&format!("{writer}-{n}"), None, r#"{"bad":true}"#)).await;
                }
            });
        }
        let no = "function(n) { if (n.bad) throw({forbidden: 'bad'}); }";
        while world.db.sequence() < 5 {
            tokio::task::yield_now().await;
        }
        world.validator("second", no).await;
        while let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
        let sequence = sequence_of(&world, "_design/second").await;
        for (id, other) in all(&world).await {
            assert!(!id.contains('-') || other < sequence, "{id} at {other} is behind {sequence}");
        }
        assert_eq!(world.one(put("late", None, r#"{"bad":true}"#)).await, "forbidden: bad");
    }
}

/// Each revision was judged with what it replaces: no count goes down, whoever writes at the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_document_that_many_write_is_judged_as_it_is() {
    let world = Arc::new(World::new().await);
    let grows =
        "function(n, o) { if (o && n.n != o.n + 1) throw({forbidden: n.n + ' after ' + o.n}); }";
    world.validator("d", grows).await;
    assert_eq!(world.one(put("a", None, r#"{"n":0}"#)).await, "ok");
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let world = world.clone();
        writers.spawn(async move {
            let mut made = 0;
            while made < 10 {
                let rev = world.rev("a").await;
                let body = world.body("a").await;
                let n: u64 = body[5..body.len() - 1].parse().unwrap();
                let edit = put("a", Some(&rev), &format!(r#"{{"n":{}}}"#, n + 1));
                match world.one(edit).await.as_str() {
                    "ok" => made += 1,
                    // Read before another wrote.
                    said => assert!(said.contains("moved on") || said.contains("after"), "{said}"),
                }
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(world.body("a").await, r#"{"n":40}"#);
}

/// Replicas send revisions of one document at once; each is judged against the state that it meets.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicated_edits_of_one_document_meet_each_other() {
    let world = Arc::new(World::new().await);
    // At most one of them may come first.
    world
        .validator("d", "function(n, o) { if (!o && n._id == 'x') throw({forbidden: 'alone'}); }")
        .await;
    assert_eq!(world.one(replicated("x", "1 z", false, "{}")).await, "forbidden: alone");
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..20 {
        let world = world.clone();
        writers.spawn(async move {
            world.one(replicated("a", &format!("2 b{n} a"), false, "{}")).await
        });
    }
    while let Some(said) = writers.join_next().await {
        assert_eq!(said.unwrap(), "ok");
    }
    assert_eq!(world.db.sequence(), 21);
}

async fn all(world: &World) -> Vec<(String, u64)> {
    let mut scan = Next::Go(RenderedScan {
        start: std::ops::Bound::Unbounded,
        end: std::ops::Bound::Unbounded,
        form: DocumentForm::default(),
        in_conflict: false,
        count_max: 1_000,
        bytes_max: usize::MAX,
    });
    let mut found = Vec::new();
    while let Next::Go(next) = scan {
        let documents;
        (documents, scan) = world.db.scan_rendered(&world.read, next).await.unwrap();
        found.extend(documents.into_iter().map(|it| (it.id, it.sequence)));
    }
    found
}

async fn sequence_of(world: &World, id: &str) -> u64 {
    all(world).await.into_iter().find(|(it, _)| it == id).unwrap().1
}
