//! Map functions: how they may be written, what they see, and what their rows are.

use std::sync::Arc;

use expect_test::expect;

use crate::support::{bytes, check_map, map, program, scripts, written};

#[tokio::test]
async fn a_map_function_emits_a_row_for_each_call() {
    check_map(
        "function (doc) { emit(doc.a, doc.b); emit([1, doc.a]) }",
        &[r#"{"_id":"x","a":1,"b":{"c":[true,null]}}"#, r#"{"_id":"y"}"#],
        expect![[r#"
            1 {"c":[true,null]}
            [1,1] null
            --
            null null
            [1,null] null
            --
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_function_may_be_written_in_every_form_that_couchdb_takes() {
    let scripts = scripts();
    for source in [
        "function(doc) { emit(1) }",
        "function map(doc) { emit(1) }",
        "  function(doc) { emit(1) };  ",
        "(function(doc) { emit(1) })",
        "(function(doc) { emit(1) });",
        "doc => emit(1)",
        "(doc) => { emit(1) }",
        "// a comment\nfunction(doc) { emit(1) } // another",
        "/* a comment */ function(doc) { emit(1) }",
        "var one = 1; (function(doc) { emit(one) })",
        "var one = 1;\nfunction(doc) { [1].forEach(function(x) { emit(one) }) }",
        "function one() { return 1 }\nfunction(doc) { emit(one()) }",
        "const f = function(doc) { emit(1) }; f",
        "async function(doc) { emit(1) }",
    ] {
        let rows = written(map(&scripts, source, &["{}"]).await);
        assert_eq!(rows, "1 null\n--\n", "{source}");
    }
    scripts.close().await;
}

#[tokio::test]
async fn what_is_no_function_fails_the_call_and_says_why() {
    let scripts = scripts();
    for (source, said) in [
        ("function(", "(function()"),
        ("function(doc) { emit(1 }", "SyntaxError: "),
        ("1", "Expression does not eval to a function. (1)"),
        ("var x = 1;", "Expression does not eval to a function. (var x = 1;)"),
        ("nothing", "ReferenceError: nothing is not defined (nothing)"),
        ("", "missing function"),
    ] {
        let failed = map(&scripts, source, &["{}"]).await.unwrap_err().to_string();
        assert!(failed.contains(said), "{source}: {failed}");
    }
    scripts.close().await;
}

#[tokio::test]
async fn a_function_that_throws_emits_nothing_for_that_document() {
    check_map(
        "function(doc) { emit(doc._id); if (doc.bad) throw doc.bad; doc.a.b }",
        &[
            r#"{"_id":"x","a":{}}"#,
            r#"{"_id":"y"}"#,
            r#"{"_id":"z","bad":"words"}"#,
            r#"{"_id":"u","bad":{"forbidden":"no"}}"#,
        ],
        expect![[r#"
            "x" null
            --
            failed: function raised exception TypeError: cannot read property 'b' of undefined with doc._id y
            --
            failed: function raised exception words with doc._id z
            --
            failed: function raised exception {"forbidden":"no"} with doc._id u
            --
        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_function_can_ask_that_the_whole_call_fails() {
    let scripts = scripts();
    for (source, said) in [
        ("function(doc) { throw 'fatal_error' }", "function raised 'fatal_error'"),
        ("function(doc) { throw ['fatal', 'mine', 'as I say'] }", "as I say"),
    ] {
        let failed = map(&scripts, source, &["{}"]).await.unwrap_err().to_string();
        assert_eq!(failed, said);
    }
    scripts.close().await;
}

#[tokio::test]
async fn documents_are_frozen_so_that_no_function_changes_them_for_the_next_one() {
    let scripts = scripts();
    let first = "function(doc) { doc.a = 2; doc.new = 1; delete doc.b; doc.c.d = 2; \
                 try { doc.list.push(3) } catch (e) { emit(e.name) } \
                 try { doc.list.sort() } catch (e) { emit(e.name) } \
                 try { doc.list.length = 1 } catch (e) {} \
                 try { (function () { 'use strict'; doc.c.e = 1 })() } catch (e) { emit(e.name) } \
                 try { Object.defineProperty(doc, '__proto__', {value: 1}) } catch (e) { emit(e.name) } }";
    let second = "function(doc) { emit(Object.isFrozen(doc) && Object.isFrozen(doc.c) && \
                  Object.isFrozen(doc.list), doc) }";
    let docs = vec![bytes(r#"{"a":1,"b":1,"c":{"d":1},"list":[2,1]}"#)];
    let rows = scripts.map(&program("{}"), &[first.into(), second.into()], docs).await;
    expect![[r#"
        "TypeError" null
        "TypeError" null
        "TypeError" null
        "TypeError" null
        true {"a":1,"b":1,"c":{"d":1},"list":[2,1]}
        --
    "#]]
    .assert_eq(&written(rows));
    scripts.close().await;
}

#[tokio::test]
async fn the_helpers_are_there() {
    check_map(
        "function(doc) { \
           emit('sum', sum([1, 2, 3.5])); \
           emit('sum of object', sum({a: 1, b: 2})); \
           emit('toJSON', toJSON({a: [1]})); \
           emit('isArray', [isArray([]), isArray({length: 0})]); \
           emit('log', log('a line')); \
           emit('error', new TypeError('wrong')); \
           emit(typeof require, typeof provides + typeof registerType + typeof start + \
             typeof send + typeof getRow); }",
        &["{}"],
        expect![[r#"
            "sum" 6.5
            "sum of object" 3
            "toJSON" "{\"a\":[1]}"
            "isArray" [true,false]
            "log" null
            "error" {"error":"TypeError","message":"wrong"}
            "function" "functionfunctionfunctionfunctionfunction"
            --
        "#]],
    )
    .await;
}

#[tokio::test]
async fn map_functions_require_what_is_below_views_lib() {
    let scripts = scripts();
    let design = r#"{
        "lib": {"no": "exports.x = 1"},
        "views": {"lib": {
            "a": "exports.name = 'a'; exports.b = require('./deep/b').name; exports.id = module.id",
            "deep": {
                "b": "exports.name = 'b ' + require('views/lib/deep/c').name",
                "c": "module.exports = {name: 'c ' + require('../a').name}"
            },
            "emits": "exports.twice = function (key) { emit(key, 1); emit(key, 2) }",
            "throws": "throw new Error('in a module')",
            "wrong": "(",
            "number": 1
        }}
    }"#;
    let maps = [
        "function(doc) { var a = require('views/lib/a'); emit(a.name, [a.b, a.id]); \
         emit(a === require('views/lib/a')) }",
        "function(doc) { require('views/lib/emits').twice('k') }",
        "function(doc) { require('lib/no') }",
        "function(doc) { require('views/lib/none') }",
        "function(doc) { require('views/lib/throws') }",
        "function(doc) { require('views/lib/wrong') }",
        "function(doc) { require('views/lib/number') }",
        "function(doc) { require('views/../..') }",
    ];
    let maps: Vec<Arc<str>> = maps.into_iter().map(Arc::from).collect();
    let rows = scripts.map(&program(design), &maps, vec![bytes(r#"{"_id":"x"}"#)]).await;
    expect![[r#"
        "a" ["b c undefined","views/lib/a"]
        true null
        "k" 1
        "k" 2
        failed: function raised exception ["error","invalid_require_path","Object has no property \"lib\". {\"views\":{\"lib\":{\"a\":\"exports.name = 'a'; exports.b = require('./deep/b').name; exports.id = module.id\",\"deep\":{\"b\":\"exports.name = 'b ' + require('views/lib/deep/c').name\",\"c\":\"module.exports = {name: 'c ' + require('../a').name}\"},\"emits\":\"exports.twice = function (key) { emit(key, 1); emit(key, 2) }\",\"throws\":\"throw new Error('in a module')\",\"wrong\":\"(\",\"number\":1}}}"] with doc._id x
        failed: function raised exception ["error","invalid_require_path","Object has no property \"none\". {\"a\":\"exports.name = 'a'; exports.b = require('./deep/b').name; exports.id = module.id\",\"deep\":{\"b\":\"exports.name = 'b ' + require('views/lib/deep/c').name\",\"c\":\"module.exports = {name: 'c ' + require('../a').name}\"},\"emits\":\"exports.twice = function (key) { emit(key, 1); emit(key, 2) }\",\"throws\":\"throw new Error('in a module')\",\"wrong\":\"(\",\"number\":1}"] with doc._id x
        failed: function raised exception ["error","compilation_error","Module require('views/lib/throws') raised error Error: in a module"] with doc._id x
        failed: function raised exception ["error","compilation_error","Module require('views/lib/wrong') raised error SyntaxError: unexpected token in expression: '}'"] with doc._id x
        failed: function raised exception ["error","invalid_require_path","Must require a JavaScript string, not: number"] with doc._id x
        failed: function raised exception ["error","invalid_require_path","Object has no parent {\"lib\":{\"a\":\"exports.name = 'a'; exports.b = require('./deep/b').name; exports.id = module.id\",\"deep\":{\"b\":\"exports.name = 'b ' + require('views/lib/deep/c').name\",\"c\":\"module.exports = {name: 'c ' + require('../a').name}\"},\"emits\":\"exports.twice = function (key) { emit(key, 1); emit(key, 2) }\",\"throws\":\"throw new Error('in a module')\",\"wrong\":\"(\",\"number\":1}}"] with doc._id x
        --
    "#]].assert_eq(&written(rows));
    scripts.close().await;
}

#[tokio::test]
async fn a_thousand_documents_keep_their_order_and_their_maps() {
    let scripts = scripts();
    let docs: Vec<_> = (0..5_000).map(|n| bytes(&format!(r#"{{"_id":"d{n}","n":{n}}}"#))).collect();
    let maps = ["function(doc) { emit(doc.n) }", "function(doc) { if (doc.n % 2) emit(doc._id) }"];
    let rows = scripts.map(&program("{}"), &maps.map(Arc::from), docs).await.unwrap();
    assert_eq!(rows.len(), 5_000);
    for (n, doc) in rows.into_iter().enumerate() {
        let [first, second] = &doc.maps[..] else { panic!("there are two maps") };
        assert_eq!(first.as_ref().unwrap()[0].key, n.to_string().as_bytes());
        let second = second.as_ref().unwrap();
        assert_eq!(second.len(), n % 2);
        assert!(second.iter().all(|row| row.key == format!("\"d{n}\"").as_bytes()));
    }
    scripts.close().await;
}

#[tokio::test]
async fn no_documents_make_no_rows() {
    let scripts = scripts();
    assert!(map(&scripts, "function(doc) {}", &[]).await.unwrap().is_empty());
    scripts.close().await;
}

#[tokio::test]
async fn helpers_that_one_function_overwrites_are_there_for_the_next() {
    let scripts = scripts();
    let maps =
        ["function(doc) { sum = 1; log = 2; emit(sum) }", "function(doc) { emit(sum([1])) }"];
    let rows = scripts.map(&program("{}"), &maps.map(Arc::from), vec![bytes("{}")]).await;
    assert_eq!(written(rows), "1 null\n1 null\n--\n");
    scripts.close().await;
}
