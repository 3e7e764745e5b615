//! Functions that mean harm. Each costs its caller an error that says why; the pool stays, and functions of
//! other design documents go on.

use std::time::{Duration, Instant};

use settle_script::{ScriptError, Scripts, ValidateEdit};

use crate::support::{bytes, hasty, map, program_of, program_with, spawn, with, written};

/// Runs a function of another database; how long that took.
async fn neighbour(scripts: &Scripts) -> Duration {
    let started = now();
    let source = "function(doc) { emit(doc.n) }".into();
    let rows = scripts.map(&program_of(2, "{}"), &[source], vec![bytes("{\"n\":1}")]).await;
    assert_eq!(written(rows), "1 null\n--\n");
    started.elapsed()
}

#[expect(clippy::disallowed_methods, reason = "other processes know no other time")]
fn now() -> Instant {
    Instant::now()
}

async fn fails(scripts: &Scripts, source: &str) -> ScriptError {
    let failed = map(scripts, source, &["{}"]).await;
    neighbour(scripts).await;
    failed.expect_err(source)
}

#[tokio::test]
async fn an_endless_loop_is_stopped() {
    let scripts = with(hasty());
    for source in [
        "function(doc) { for (;;) {} }",
        "function(doc) { while (true) { try { for (;;) {} } catch (e) {} finally { continue } } }",
        "function(doc) { (function f() { try { f() } finally { f() } })() }",
        "function(doc) { /(a+)+b/.test('a'.repeat(100)) }",
        "function(doc) { [1, 2].sort(function () { for (;;) {} }) }",
        "function(doc) { emit({toJSON: function () { for (;;) {} }}) }",
        "function(doc) { emit({get a() { for (;;) {} }}) }",
        "for (;;) {}",
    ] {
        let error = fails(&scripts, source).await;
        assert!(matches!(error, ScriptError::Deadline { .. }), "{source}: {error}");
        assert_eq!(error.to_string(), "a map function of _design/d did not end within 1000 ms");
    }
    scripts.close().await;
}

#[tokio::test]
async fn a_built_in_that_nothing_interrupts_is_killed() {
    let scripts = with(hasty());
    let source = "function(doc) { var a = 'a'.repeat(8e6); a.indexOf('a'.repeat(4e6) + 'b') }";
    let error = fails(&scripts, source).await;
    assert!(matches!(error, ScriptError::Deadline { .. }), "{error}");
    scripts.close().await;
}

#[tokio::test]
async fn endless_allocation_ends_at_the_memory_limit() {
    let scripts = with(hasty());
    for source in [
        "function(doc) { var a = []; for (;;) a.push({a: [a.length]}) }",
        "function(doc) { var s = 'x'; for (;;) s += s }",
        "function(doc) { new ArrayBuffer(1e9) }",
        "function(doc) { 'x'.repeat(1 << 28) }",
        "function(doc) { Array(1e9).fill({}) }",
        "function(doc) { var m = new Map(); for (var i = 0;; i++) m.set(i, 'x' + i) }",
        "function(doc) { var a = []; for (;;) { try { for (;;) a.push(new Array(1000)) } catch (e) { a.x = [e] } } }",
        "function(doc) { var x = 3n; for (;;) x = x ** 3n }",
    ] {
        let outcome = map(&scripts, source, &["{}"]).await;
        neighbour(&scripts).await;
        match outcome {
            Err(ScriptError::Memory { .. } | ScriptError::Deadline { .. }) => {}
            // What the engine itself refuses as too long.
            Ok(rows) => assert!(rows[0].maps[0].is_err(), "{source}: {rows:?}"),
            Err(error) => panic!("{source}: {error}"),
        }
    }
    scripts.close().await;
}

#[tokio::test]
async fn deep_recursion_is_an_error_of_the_function() {
    let scripts = with(hasty());
    for source in [
        "function(doc) { (function f() { f() })() }",
        "function(doc) { var o = {}; o.toString = function () { return '' + o }; '' + o }",
        "function(doc) { var a = []; for (var i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a) }",
        "function(doc) { (function f() { emit({toJSON: f}) })() }",
        "function(doc) { var p = {}; for (var i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x }",
    ] {
        let outcome = map(&scripts, source, &["{}"]).await;
        neighbour(&scripts).await;
        match outcome {
            Ok(rows) => assert!(rows[0].maps[0].is_err(), "{source}"),
            // Far down each step costs more.
            Err(error) => {
                assert!(matches!(error, ScriptError::Deadline { .. }), "{source}: {error}");
            }
        }
    }
    let source =
        format!("function(doc) {{ return {}1{} }}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(matches!(fails(&scripts, &source).await, ScriptError::Compilation { .. }));
    let regex =
        format!("function(doc) {{ /{}a{}/.test('a') }}", "(".repeat(50_000), ")".repeat(50_000));
    fails(&scripts, &regex).await;
    scripts.close().await;
}

#[tokio::test]
async fn a_polluted_prototype_harms_nobody_else() {
    let scripts = with(hasty());
    for source in [
        "function(doc) { Object.prototype.toJSON = function () { for (;;) {} }; emit(doc) }",
        "function(doc) { Object.defineProperty(Object.prototype, 'n', {set: function () { for (;;) {} }}); emit(1) }",
        "function(doc) { Array.prototype.push = Array.prototype.join = function () { throw 1 }; emit(1) }",
        "function(doc) { JSON.stringify = JSON.parse = Object.freeze = null; emit(1) }",
        "function(doc) { Function.prototype.call = Function.prototype.apply = null; emit(1) }",
        "function(doc) { Map.prototype.get = Map.prototype.set = function () { throw 'x' }; emit(1) }",
        "function(doc) { Object.setPrototypeOf(Function.prototype, null); emit({a: 1}) }",
        "function(doc) { Object.setPrototypeOf(Object.prototype, new Proxy({}, {})); emit({a: 1}) }",
        "function(doc) { delete globalThis.Object; delete globalThis.Array; globalThis.eval = null; emit(1) }",
        "function(doc) { String.prototype.split = String.prototype.includes = null; emit(1) }",
        "function(doc) { Symbol.iterator in {}; Array.prototype[Symbol.iterator] = null; emit(1) }",
    ] {
        // Twice, as the second call finds what the first one left.
        for _ in 0..2 {
            let outcome = map(&scripts, source, &["{\"n\":1}", "{}"]).await;
            assert!(
                matches!(
                    outcome,
                    Ok(_)
                        | Err(ScriptError::Deadline { .. }
                            | ScriptError::Thrown(_)
                            | ScriptError::Compilation { .. })
                ),
                "{source}: {outcome:?}"
            );
            neighbour(&scripts).await;
        }
    }
    scripts.close().await;
}

#[tokio::test]
async fn whatever_is_thrown_wherever_is_an_error_in_words() {
    let scripts = with(hasty());
    let thrown = [
        "null",
        "undefined",
        "1",
        "''",
        "[]",
        "{}",
        "Symbol('x')",
        "10n",
        "new Proxy({}, {get: function () { throw 1 }})",
        "{get name() { throw 1 }, get error() { throw 2 }}",
        "{error: {toString: function () { throw 1 }}, reason: 1}",
        "{name: 'x', stack: 'y', message: {toString: null}}",
        "{toString: function () { for (;;) {} }, toSource: 1}",
        "['error']",
        "['fatal', {}, {}]",
        "(function f() { try { f() } catch (e) { throw e } })",
        "new Error('x'.repeat(1e6))",
        "Object.create(null)",
    ];
    for thrown in thrown {
        let throws = format!("function() {{ throw ({thrown}) }}");
        let map = map(&scripts, &throws, &["{}"]).await;
        if let Ok(rows) = &map {
            assert!(rows[0].maps[0].is_err());
        }
        let show = scripts.show(&program_with("shows", &throws), "f", None, bytes("{}")).await;
        let error = show.unwrap_err().to_string();
        assert!(error.len() < 5_000, "{thrown}: {error}");
        let filter = program_with("filters", &throws);
        scripts.filter(&filter, "f", vec![bytes("{}")], bytes("{}")).await.unwrap_err();
        let source = serde_json::json!({ "validate_doc_update": throws }).to_string();
        let edits = vec![ValidateEdit { new: bytes("{}"), old: None }];
        let program = program_of(1, &source);
        let validate = scripts.validate(&program, edits, bytes("{}"), bytes("{}"));
        if let Ok(verdicts) = validate.await {
            assert!(verdicts[0].is_err(), "{thrown}");
        }
        neighbour(&scripts).await;
    }
    scripts.close().await;
}

#[tokio::test]
async fn an_emit_of_100_mb_fails_the_document() {
    let scripts = with(hasty());
    for source in [
        "function(doc) { emit('x'.repeat(1e8)) }",
        "function(doc) { var s = 'x'.repeat(1e6); for (var i = 0; i < 100; i++) emit(s) }",
        "function(doc) { var s = 'x'.repeat(1e6); for (var i = 0; i < 100; i++) { try { emit(s) } catch (e) {} } }",
        "function(doc) { var s = 'x'.repeat(1e6), a = []; for (var i = 0; i < 100; i++) a.push(s); emit(a) }",
        "function(doc) { var s = '\\u0000'.repeat(4e6); emit(s) }",
    ] {
        let outcome = map(&scripts, source, &["{}"]).await;
        neighbour(&scripts).await;
        match outcome {
            Ok(rows) => assert!(rows[0].maps[0].is_err(), "{source}"),
            Err(ScriptError::Memory { .. } | ScriptError::Deadline { .. }) => {}
            Err(error) => panic!("{source}: {error}"),
        }
    }
    scripts.close().await;
}

#[tokio::test]
async fn while_one_database_loops_others_are_served() {
    let scripts = with(hasty());
    // Warm.
    neighbour(&scripts).await;
    let loops = (0..8).map(|n| {
        let program = program_with("shows", &format!("function() {{ for (;;) {{}} return {n} }}"));
        let scripts = scripts.clone();
        spawn(async move { scripts.show(&program, "f", None, bytes("{}")).await })
    });
    let loops: Vec<_> = loops.collect();
    let mut served = 0;
    while !loops.iter().all(tokio::task::JoinHandle::is_finished) {
        let took = neighbour(&scripts).await;
        assert!(took < Duration::from_secs(2), "{took:?} after {served} calls");
        served += 1;
    }
    assert!(served > 20, "{served}");
    for looped in loops {
        let error = looped.await.unwrap().unwrap_err();
        assert!(matches!(error, ScriptError::Deadline { .. }), "{error}");
    }
    scripts.close().await;
}
