//! Clients by the dozen on a server that is killed: an order of all that they did explains all that they were
//! answered. And servers with a fault planted, for whose answers there is none.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use settle_testing::{
    Recording,
    histories::{AnomalyKind, Verdict, check},
};
use tempfile::TempDir;

const SERVER: &str = env!("CARGO_BIN_EXE_settle");
const SEED: u64 = 0x5e77_1e0f;

async fn judge(operations: u64, kills: u64, planted: Option<&str>) -> Verdict {
    let folder = TempDir::new().unwrap();
    let variables: Vec<(&str, &str)> =
        planted.iter().map(|fault| ("PLANTED_FAULT", *fault)).collect();
    let recording = Recording {
        server: Path::new(SERVER),
        data: &folder.path().join("data"),
        variables: &variables,
        clients: 32,
        operations,
        kills,
        seed: SEED,
        functions: true,
    };
    let recorded = recording.record().await.unwrap();
    check(&recorded.history)
}

/// Whether one of these was found, which is what the fault makes.
#[track_caller]
fn expect_found(verdict: &Verdict, kinds: &[AnomalyKind]) {
    let found: Vec<AnomalyKind> = verdict.anomalies.iter().map(|it| it.kind).collect();
    assert!(found.iter().any(|kind| kinds.contains(kind)), "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_an_order_of_all_operations_however_often_the_server_is_killed() {
    let verdict = judge(12_000, 2, None).await;
    assert!(verdict.anomalies.is_empty(), "seed {SEED:x}: {verdict}");
    assert!(verdict.made > 6_000 && verdict.refused > 100, "it was about something: {verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_the_check_of_what_was_read_is_found_out() {
    let verdict = judge(4_000, 0, Some("no_read_set")).await;
    expect_found(&verdict, &[AnomalyKind::LostUpdate]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgets_a_precondition_is_found_out() {
    let verdict = judge(4_000, 0, Some("lost_precondition")).await;
    expect_found(&verdict, &[AnomalyKind::LostUpdate]);
    expect_found(&verdict, &[AnomalyKind::IncompatibleOrders, AnomalyKind::Lost]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_shows_the_past_is_found_out() {
    let verdict = judge(4_000, 0, Some("stale_snapshot")).await;
    expect_found(&verdict, &[AnomalyKind::InTime, AnomalyKind::GSingle, AnomalyKind::G2]);
}
