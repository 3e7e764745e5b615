//! What functions find around them, and what they do not.

use expect_test::expect;

use crate::support::{bytes, check_map, map, program_of, scripts, written};

#[tokio::test]
async fn these_are_all_globals() {
    check_map(
        "function(doc) { emit(Object.getOwnPropertyNames(globalThis).sort().join(' ')) }",
        &["{}"],
        expect![[r#"
            "AggregateError Array ArrayBuffer AsyncDisposableStack BigInt BigInt64Array BigUint64Array Boolean DataView Date DisposableStack Error EvalError FinalizationRegistry Float16Array Float32Array Float64Array Function Infinity Int16Array Int32Array Int8Array InternalError Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError Reflect RegExp Set String SuppressedError Symbol SyntaxError TypeError URIError Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakRef WeakSet decodeURI decodeURIComponent encodeURI encodeURIComponent escape eval globalThis isFinite isNaN parseFloat parseInt undefined unescape" null
            --
        "#]],
    )
    .await;
}

#[tokio::test]
async fn nothing_is_imported_and_no_scope_leads_out() {
    let scripts = scripts();
    for (source, expected) in [
        ("function(doc) { emit(typeof native) }", "\"undefined\" null\n--\n"),
        (
            "function(doc) { emit(typeof design + typeof compiled) }",
            "\"undefinedundefined\" null\n--\n",
        ),
        ("function(doc) { emit(this === undefined || this === globalThis) }", "true null\n--\n"),
        (
            "function(doc) { emit(Function('return typeof std + typeof os + typeof process')()) }",
            "\"undefinedundefinedundefined\" null\n--\n",
        ),
        (
            "function(doc) { import('os').then(function (m) { emit(1) }, function (e) { emit(2) }) }",
            "--\n",
        ),
        ("function(doc) { Promise.resolve().then(function () { emit(1) }) }", "--\n"),
    ] {
        assert_eq!(written(map(&scripts, source, &["{}"]).await), expected, "{source}");
    }
    let failed = map(&scripts, "import os from 'os'; (function(doc) {})", &["{}"]).await;
    assert!(failed.unwrap_err().to_string().starts_with("SyntaxError"));
    scripts.close().await;
}

#[tokio::test]
async fn what_one_database_leaves_another_does_not_find() {
    let scripts = scripts();
    let leave = "function(doc) { globalThis.left = doc; Object.prototype.left = 1; Array.prototype.map = null }";
    let find = "function(doc) { emit(typeof left, [typeof ({}).left, typeof [].map]) }";
    let rows = scripts.map(&program_of(1, "{}"), &[leave.into()], vec![bytes("{}"); 50]).await;
    rows.unwrap();
    for _ in 0..20 {
        let rows = scripts.map(&program_of(2, "{}"), &[find.into()], vec![bytes("{}")]).await;
        assert_eq!(written(rows), "\"undefined\" [\"undefined\",\"function\"]\n--\n");
    }
    scripts.close().await;
}
