use std::sync::Arc;

use expect_test::{Expect, expect};
use settle_access::Actor;
use settle_replicator::{Ended, JobEventKind, JobState};
use settle_sync::replication::Ending;

use crate::support::{World, admin, leaves};

fn counts(ended: &Ended) -> String {
    let stats = ended.progress.as_ref().unwrap().stats;
    format!(
        "{:?}: {} checked, {} missing, {} read, {} written, {} refused",
        ended.outcome.ending,
        stats.missing_checked,
        stats.missing_found,
        stats.docs_read,
        stats.docs_written,
        stats.doc_write_failures
    )
}

/// What a job with these members copies from a database with eight documents.
async fn check(members: &str, expected: Expect) {
    let mut world = World::new().await;
    let source = world.create("source").await;
    let target = world.create("target").await;
    let design = r#"{"_id":"_design/d","views":{"odd":{"map":"function (doc) { if (doc.n % 2) emit(doc.n); }"}},
        "filters":{"above":"function (doc, req) { return doc.n > Number(req.query.least); }"}}"#;
    world.put(&source, design).await;
    for n in 0..6 {
        world.put(&source, &format!("{{\"_id\":\"d{n}\",\"n\":{n}}}")).await;
    }
    let conflict = r#"{"_id":"d5","n":50,"_revisions":{"start":1,"ids":["00000000000000000000000000000000"]}}"#;
    world.put(&source, conflict).await;
    let job = format!("{{\"source\":\"source\",\"target\":\"target\"{members}}}");
    let ended = world.replicate(&job).await;
    let copied: Vec<_> =
        leaves(&target).await.into_keys().map(|(id, rev)| format!("{id} {}", &rev[..4])).collect();
    expected.assert_eq(&format!("{}\n{}\n", counts(&ended), copied.join(", ")));
    world.scheduler.close().await;
}

#[tokio::test]
async fn everything_is_copied_or_what_the_job_selects() {
    check(
        "",
        expect![[r#"
        Completed: 8 checked, 8 missing, 8 read, 8 written, 0 refused
        _design/d 1-1f, d0 1-6a, d1 1-73, d2 1-43, d3 1-2a, d4 1-23, d5 1-00, d5 1-16
    "#]],
    )
    .await;
    check(
        r#","doc_ids":["d1","d5","none"]"#,
        expect![[r#"
        Completed: 3 checked, 3 missing, 3 read, 3 written, 0 refused
        d1 1-73, d5 1-00, d5 1-16
    "#]],
    )
    .await;
    check(
        r#","selector":{"n":{"$gt":3}}"#,
        expect![[r#"
        Completed: 3 checked, 3 missing, 3 read, 3 written, 0 refused
        d4 1-23, d5 1-00, d5 1-16
    "#]],
    )
    .await;
    check(
        r#","filter":"d/above","query_params":{"least":"4"}"#,
        expect![[r#"
        Completed: 2 checked, 2 missing, 2 read, 2 written, 0 refused
        d5 1-00, d5 1-16
    "#]],
    )
    .await;
    check(
        r#","filter":"_view","query_params":{"view":"d/odd"}"#,
        expect![[r#"
        Completed: 3 checked, 3 missing, 3 read, 3 written, 0 refused
        d1 1-73, d3 1-2a, d5 1-16
    "#]],
    )
    .await;
    check(
        r#","filter":"_design""#,
        expect![[r#"
        Completed: 1 checked, 1 missing, 1 read, 1 written, 0 refused
        _design/d 1-1f
    "#]],
    )
    .await;
    check(
        r#","winning_revs_only":true"#,
        expect![[r#"
        Completed: 7 checked, 7 missing, 7 read, 7 written, 0 refused
        _design/d 1-1f, d0 1-6a, d1 1-73, d2 1-43, d3 1-2a, d4 1-23, d5 1-16
    "#]],
    )
    .await;
    check(r#","filter":"d/none""#, expect![[r#"
        Failed(Request { side: Source, what: "changes", kind: NotFound, reason: "missing json key: none" }): 0 checked, 0 missing, 0 read, 0 written, 0 refused

    "#]]).await;
}

#[tokio::test]
async fn what_is_there_is_not_copied_again() {
    let mut world = World::new().await;
    let source = world.create("source").await;
    let job = r#"{"source":"source","target":"target","create_target":true}"#;
    for n in 0..1_500 {
        world.put(&source, &format!("{{\"_id\":\"d{n}\"}}")).await;
    }
    let first = world.replicate(job).await;
    expect!["Completed: 1500 checked, 1500 missing, 1500 read, 1500 written, 0 refused"]
        .assert_eq(&counts(&first));
    let second = world.replicate(job).await;
    expect!["Completed: 0 checked, 0 missing, 0 read, 0 written, 0 refused"]
        .assert_eq(&counts(&second));
    let reply = String::from_utf8(second.outcome.to_json(true)).unwrap();
    assert!(reply.starts_with("{\"ok\":true,\"no_changes\":true,"), "{reply}");
    world.put(&source, "{\"_id\":\"late\"}").await;
    let third = world.replicate(job).await;
    expect!["Completed: 1 checked, 1 missing, 1 read, 1 written, 0 refused"]
        .assert_eq(&counts(&third));
    assert_eq!(leaves(&source).await, leaves(&world.database("target").await).await);
}

#[tokio::test]
async fn attachments_come_along_small_and_large() {
    let mut world = World::new().await;
    let source = world.create("source").await;
    let target = world.create("target").await;
    let large = "A".repeat(4 * (300 << 10));
    let document = format!(
        r#"{{"_id":"d","_attachments":{{
            "small.txt":{{"content_type":"text/plain","data":"aGVsbG8="}},
            "large.bin":{{"content_type":"application/octet-stream","data":"{large}"}},
            "large.txt":{{"content_type":"text/plain","data":"{large}"}}}}}}"#
    );
    let rev = world.put(&source, &document).await;
    let job = r#"{"source":"source","target":"target"}"#;
    world.replicate(job).await;
    assert_eq!(leaves(&source).await, leaves(&target).await);
    let update = format!(
        r#"{{"_id":"d","_rev":"{rev}","new":true,"_attachments":{{"small.txt":{{"stub":true}},"large.bin":{{"stub":true}},
            "more":{{"content_type":"text/plain","data":"aGVsbG8="}}}}}}"#
    );
    world.put(&source, &update).await;
    world.replicate(job).await;
    assert_eq!(leaves(&source).await, leaves(&target).await);
}

#[tokio::test]
async fn a_continuous_job_rests_until_its_source_changes() {
    let mut world = World::new().await;
    let source = world.create("source").await;
    let target = world.create("target").await;
    let job = r#"{"source":"source","target":"target","continuous":true}"#;
    let task = world.task(job, admin()).await;
    world.scheduler.add(task.clone()).unwrap();
    assert!(world.scheduler.add(task.clone()).is_err(), "it is there");
    for round in 0..3 {
        world.put(&source, &format!("{{\"_id\":\"d{round}\"}}")).await;
        world.until_equal(&source, &target).await;
        let rests = world.until(&task, |job| job.progress.is_some() && job.pid.is_none()).await;
        assert_eq!(rests.state, JobState::Running);
        assert_eq!(rests.progress.unwrap().stats.docs_written, round + 1);
    }
    assert!(world.scheduler.remove(&task.id));
    assert!(!world.scheduler.remove(&task.id));
    assert!(matches!(world.end().await.outcome.ending, Ending::Cancelled));
    world.scheduler.add(task.clone()).unwrap();
    world.put(&source, "{\"_id\":\"again\"}").await;
    world.until_equal(&source, &target).await;
    // While it runs.
    assert!(world.scheduler.remove(&task.id));
    assert!(world.scheduler.job(&task.id.to_string()).is_none());
    world.scheduler.add(task.clone()).unwrap();
    world.put(&source, "{\"_id\":\"and again\"}").await;
    world.until_equal(&source, &target).await;
}

#[tokio::test]
async fn rights_are_those_of_whom_the_job_runs_for() {
    let mut world = World::new().await;
    let source = world.create("source").await;
    world.create("target").await;
    world.put(&source, "{\"_id\":\"d\"}").await;
    let job = r#"{"source":"source","target":"target"}"#;
    let nobody = Arc::new(Actor::user("nobody", Vec::new()));
    world.scheduler.add(world.task(job, nobody).await).unwrap();
    let ended = world.end().await;
    expect![[r#"
        Failed(
            Request {
                side: Source,
                what: "info",
                kind: Forbidden,
                reason: "You are not allowed to access this db.",
            },
        )
    "#]]
    .assert_eq(&format!("{:#?}\n", ended.outcome.ending));
    let ended = world.replicate(r#"{"source":"none","target":"target"}"#).await;
    expect![[r#"
        Failed(
            Request {
                side: Source,
                what: "info",
                kind: NotFound,
                reason: "Database does not exist.",
            },
        )
    "#]]
    .assert_eq(&format!("{:#?}\n", ended.outcome.ending));
    let ended = world.replicate(r#"{"source":"source","target":"none"}"#).await;
    expect![[r#"
        Failed(
            Request {
                side: Target,
                what: "info",
                kind: NotFound,
                reason: "Database does not exist.",
            },
        )
    "#]]
    .assert_eq(&format!("{:#?}\n", ended.outcome.ending));
}

#[tokio::test]
async fn what_validators_refuse_is_counted_and_the_rest_goes_on() {
    let mut world = World::new().await;
    let source = world.create("source").await;
    let target = world.create("target").await;
    let design = r#"{"_id":"_design/no","validate_doc_update":"function (doc) { if (doc.bad) throw({forbidden: 'bad'}); }"}"#;
    world.put(&target, design).await;
    for n in 0..10 {
        world.put(&source, &format!("{{\"_id\":\"d{n}\",\"bad\":{}}}", n % 2 == 0)).await;
    }
    let ended = world.replicate(r#"{"source":"source","target":"target"}"#).await;
    expect!["Completed: 10 checked, 10 missing, 10 read, 5 written, 5 refused"]
        .assert_eq(&counts(&ended));
    assert_eq!(leaves(&target).await.len(), 6);
}

#[tokio::test]
async fn a_job_of_a_source_that_goes_fails_and_waits() {
    let world = World::new().await;
    let source = world.create("source").await;
    world.create("target").await;
    let job = r#"{"source":"source","target":"target","continuous":true}"#;
    let task = world.task(job, admin()).await;
    world.scheduler.add(task.clone()).unwrap();
    world.put(&source, "{\"_id\":\"d\"}").await;
    world.until(&task, |job| job.progress.is_some() && job.pid.is_none()).await;
    let grant = world.site.may_administer(&admin(), source.name()).unwrap();
    world.site.store.drop(&grant, source.name()).await.unwrap();
    let fails = world.until(&task, |job| job.failures > 0).await;
    assert_eq!(fails.state, JobState::Crashing);
    assert!(matches!(fails.events[0].kind, JobEventKind::Crashed { .. }), "{:?}", fails.events);
}
