//! The pool: processes come and go, and no call is lost.

use std::{fs, sync::Arc};

use rustix::process::{Pid, Signal, kill_process};
use settle_script::{Launcher, ScriptError, ScriptSettings, Scripts};

use crate::support::{bytes, hasty, map, program, program_of, scripts, spawn, with, written};

/// The workers of this process.
fn workers() -> Vec<Pid> {
    let children = fs::read_dir("/proc/self/task").unwrap().flat_map(|task| {
        let children = fs::read_to_string(task.unwrap().path().join("children")).unwrap();
        let pids = children.split_whitespace().map(|pid| pid.parse().unwrap());
        pids.collect::<Vec<i32>>()
    });
    children.filter_map(Pid::from_raw).collect()
}

/// Whether a process has not ended yet, be it that nobody has asked how.
fn lives(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn processes_start_with_the_first_call_and_end_with_the_pool() {
    let scripts = scripts();
    assert_eq!(workers(), []);
    assert_eq!(written(map(&scripts, "function(doc) { emit(1) }", &["{}"]).await), "1 null\n--\n");
    assert_eq!(workers().len(), 1);
    scripts.close().await;
    assert_eq!(workers(), []);
    let closed = map(&scripts, "function(doc) {}", &["{}"]).await;
    assert!(matches!(closed, Err(ScriptError::Closed)));
}

#[tokio::test]
async fn one_worker_serves_one_caller_after_call_after_call() {
    let scripts = with(ScriptSettings { workers: 1, ..ScriptSettings::default() });
    let mut seen = Vec::new();
    for _ in 0..50 {
        let rows = written(map(&scripts, "function(doc) { emit(1) }", &["{}"]).await);
        assert_eq!(rows, "1 null\n--\n");
        seen.extend(workers());
        // Time to be idle in.
        tokio::task::yield_now().await;
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
    scripts.close().await;
}

#[tokio::test]
async fn a_worker_that_died_while_idle_costs_nobody_anything() {
    let scripts = scripts();
    for _ in 0..5 {
        let rows = written(map(&scripts, "function(doc) { emit(1) }", &["{}"]).await);
        assert_eq!(rows, "1 null\n--\n");
        for worker in workers() {
            kill_process(worker, Signal::KILL).unwrap();
            while lives(worker) {
                tokio::task::yield_now().await;
            }
        }
    }
    scripts.close().await;
}

#[tokio::test]
async fn a_worker_that_dies_at_work_costs_one_call() {
    let scripts = with(hasty());
    let calling = {
        let scripts = scripts.clone();
        spawn(async move { map(&scripts, "function(doc) { for (;;) {} }", &["{}"]).await })
    };
    // When there is a process, the call is its first and only one.
    while workers().is_empty() {
        tokio::task::yield_now().await;
    }
    for worker in workers() {
        kill_process(worker, Signal::KILL).unwrap();
    }
    let failed = calling.await.unwrap().unwrap_err().to_string();
    assert!(failed.contains("SIGKILL") || failed.contains("start a process"), "{failed}");
    let rows = written(map(&scripts, "function(doc) { emit(1) }", &["{}"]).await);
    assert_eq!(rows, "1 null\n--\n");
    scripts.close().await;
}

#[tokio::test]
async fn calls_that_wait_behind_a_killed_worker_run_elsewhere() {
    let scripts = with(ScriptSettings { workers: 1, ..hasty() });
    let hostile = {
        let scripts = scripts.clone();
        let source = "function(doc) { var a = 'a'.repeat(8e6); a.indexOf('a'.repeat(4e6) + 'b') }";
        spawn(async move { map(&scripts, source, &["{}"]).await })
    };
    let waiting: Vec<_> = (0..20)
        .map(|database| {
            let scripts = scripts.clone();
            let source = "function(doc) { emit(1) }".into();
            spawn(async move {
                scripts.map(&program_of(database, "{}"), &[source], vec![bytes("{}")]).await
            })
        })
        .collect();
    for call in waiting {
        assert_eq!(written(call.await.unwrap()), "1 null\n--\n");
    }
    let failed = hostile.await.unwrap().unwrap_err();
    assert!(matches!(failed, ScriptError::Deadline { .. }), "{failed}");
    scripts.close().await;
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_leaves_its_worker_usable() {
    let scripts = with(ScriptSettings { workers: 1, ..hasty() });
    for _ in 0..20 {
        let abandoned = map(&scripts, "function(doc) { emit(1) }", &["{}"]);
        drop(futures_util::FutureExt::now_or_never(abandoned));
    }
    let rows = written(map(&scripts, "function(doc) { emit(2) }", &["{}"]).await);
    assert_eq!(rows, "2 null\n--\n");
    scripts.close().await;
}

#[tokio::test]
async fn closing_ends_calls_under_way() {
    let scripts = scripts();
    let calling = {
        let scripts = scripts.clone();
        spawn(async move { map(&scripts, "function(doc) { for (;;) {} }", &["{}"]).await })
    };
    while workers().is_empty() {
        tokio::task::yield_now().await;
    }
    scripts.close().await;
    assert!(matches!(calling.await.unwrap(), Err(ScriptError::Closed)));
    assert_eq!(workers(), []);
}

#[tokio::test]
async fn a_program_that_is_no_worker_is_an_error_of_the_call() {
    for path in ["/nonexistent/settle", "/bin/true"] {
        let launcher = Launcher::program(path.into());
        let scripts = Scripts::new(launcher, ScriptSettings::default());
        let source: Arc<str> = "function(doc) {}".into();
        let failed = scripts.map(&program("{}"), &[source], vec![bytes("{}")]).await;
        assert!(matches!(failed, Err(ScriptError::Launch(_))), "{path}");
        scripts.close().await;
    }
}

#[tokio::test]
async fn many_calls_at_once_share_few_processes() {
    let scripts = scripts();
    let calls: Vec<_> = (0..200)
        .map(|n| {
            let scripts = scripts.clone();
            let source: Arc<str> = format!("function(doc) {{ emit({n}) }}").into();
            spawn(async move {
                scripts.map(&program_of(n % 7, "{}"), &[source], vec![bytes("{}")]).await
            })
        })
        .collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(written(call.await.unwrap()), format!("{n} null\n--\n"));
    }
    assert!(workers().len() <= ScriptSettings::default().workers);
    scripts.close().await;
}
