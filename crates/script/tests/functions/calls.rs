//! Filters, validation, updates, shows, rewrites, and calls of any function.

use std::fmt::Write as _;

use expect_test::expect;
use settle_script::{ScriptError, ScriptSettings, ValidateEdit};

use crate::support::{bytes, program, program_with, scripts, with};

const REQUEST: &str = r#"{"method":"POST","path":["db","_design","d","_show","f"],"query":{"n":"1"},"headers":{},"body":"b"}"#;

#[tokio::test]
async fn a_filter_lets_through_what_it_calls_true() {
    let scripts = scripts();
    let program = program_with(
        "filters",
        "function(doc, req) { if (doc.n === 3) doc.n = 4; return doc.n > req.query.n && this._id }",
    );
    let docs = [1, 2, 3].map(|n| bytes(&format!("{{\"n\":{n}}}"))).into();
    let passes = scripts.filter(&program, "f", docs, bytes(REQUEST)).await.unwrap();
    assert_eq!(passes, [false, true, true]);
    scripts.close().await;
}

#[tokio::test]
async fn a_view_filters_by_whether_it_emits() {
    let scripts = scripts();
    let design = r#"{"lib":{"x":"exports.min = 1"},"views":{"v":{"map":"function(doc) { if (doc.n > require('lib/x').min) emit() }"}}}"#;
    let docs = [1, 2].map(|n| bytes(&format!("{{\"n\":{n}}}"))).into();
    let passes = scripts.map_filter(&program(design), "v", docs).await.unwrap();
    assert_eq!(passes, [false, true]);
    scripts.close().await;
}

#[tokio::test]
async fn a_missing_function_is_said_by_its_name() {
    let scripts = scripts();
    let program = program_with("filters", "function() {}");
    let missing = scripts.filter(&program, "none", vec![bytes("{}")], bytes(REQUEST)).await;
    expect!["missing filters function none on design doc _design/d"]
        .assert_eq(&missing.unwrap_err().to_string());
    for name in ["constructor", "__proto__", "toString"] {
        let missing = scripts.show(&program, name, None, bytes(REQUEST)).await.unwrap_err();
        assert!(matches!(missing, ScriptError::Missing { .. }), "{name}: {missing}");
    }
    scripts.close().await;
}

#[tokio::test]
async fn validation_says_of_each_edit_what_was_thrown() {
    let scripts = scripts();
    let source = r#"{"lib":{"v":"exports.no = 'as the module says'"},"validate_doc_update":"function(doc, old, user, security) {
          if (doc.a === 1) throw({forbidden: 'no'});
          if (doc.a === 2) throw({unauthorized: 'who'});
          if (doc.a === 3) throw({forbidden: {code: 1}});
          if (doc.a === 4) throw({other: 'thing'});
          if (doc.a === 5) throw('words');
          if (doc.a === 6) throw({forbidden: require('lib/v').no});
          if (doc.a === 7 && old.a === 1) throw({forbidden: user.name + security.admins.names[0]});
          if (doc.a === 8) throw({forbidden: old});
          if (doc.a === 9) throw null;
          doc.changed = true; user.name = 'changed';
        }"}"#;
    let program = program(&source.replace('\n', " "));
    let edit = |a: u8| ValidateEdit {
        new: bytes(&format!("{{\"a\":{a}}}")),
        old: (a == 7).then(|| bytes("{\"a\":1}")),
    };
    let edits = (0..10).map(edit).collect();
    let (user, security) = (bytes(r#"{"name":"ada"}"#), bytes(r#"{"admins":{"names":["bo"]}}"#));
    let verdicts = scripts.validate(&program, edits, user, security).await.unwrap();
    let lines: Vec<_> = verdicts
        .into_iter()
        .map(|it| it.map_or_else(|it| format!("{}: {}\n", it.error, it.reason), |()| "ok\n".into()))
        .collect();
    expect![[r#"
        ok
        forbidden: no
        unauthorized: who
        forbidden: {"code":1}
        unknown_error: thing
        unknown_error: words
        forbidden: as the module says
        forbidden: adabo
        forbidden: null
        unknown_error: null
    "#]]
    .assert_eq(&lines.concat());
    scripts.close().await;
}

#[tokio::test]
async fn a_validation_with_a_mistake_fails_the_call() {
    let scripts = scripts();
    let program = program(r#"{"validate_doc_update":"function(doc) { doc.a.b.c }"}"#);
    let edits = vec![ValidateEdit { new: bytes("{}"), old: None }];
    let failed = scripts.validate(&program, edits, bytes("{}"), bytes("{}")).await.unwrap_err();
    let ScriptError::Thrown(thrown) = failed else { panic!("{failed}") };
    assert_eq!(thrown.error, "TypeError");
    assert_eq!(thrown.reason, "cannot read property 'b' of undefined");
    scripts.close().await;
}

#[tokio::test]
async fn an_update_gives_a_document_and_a_response() {
    let scripts = scripts();
    for (source, expected) in [
        (
            "function(doc, req) { return [{_id: 'x', old: doc, n: req.query.n}, 'done'] }",
            r#"Some({"_id":"x","old":{"a":1},"n":"1"}) {"body":"done"}"#,
        ),
        (
            "function(doc, req) { doc.a += 1; return [doc, {code: 202, json: [1]}] }",
            r#"Some({"a":2}) {"code":202,"json":[1]}"#,
        ),
        ("function(doc, req) { return [null, '' + this._id] }", r#"None {"body":"_design/d"}"#),
    ] {
        let program = program_with("updates", source);
        let updated = scripts.update(&program, "f", Some(bytes("{\"a\":1}")), bytes(REQUEST));
        let updated = updated.await.unwrap();
        let text = |it: &[u8]| String::from_utf8_lossy(it).into_owned();
        let document = match &updated.document {
            Some(document) => format!("Some({})", text(document)),
            None => "None".to_owned(),
        };
        assert_eq!(format!("{document} {}", text(&updated.response)), expected);
    }
    scripts.close().await;
}

#[tokio::test]
async fn what_an_update_or_show_throws_is_an_error_reply() {
    let scripts = scripts();
    let mut lines = String::new();
    for source in [
        "function(doc, req) { throw(['error', 'not_found', 'gone']) }",
        "function(doc, req) { throw({error: 'mine', reason: 'why'}) }",
        "function(doc, req) { throw({forbidden: 'no'}) }",
        "function(doc, req) { return [doc] }",
        "function(doc, req) { return 5 }",
    ] {
        let program = program_with("updates", source);
        let failed = scripts.update(&program, "f", None, bytes(REQUEST)).await.unwrap_err();
        let ScriptError::Thrown(thrown) = failed else { panic!("{failed}") };
        let reason = thrown.reason.split("stacktrace: ").next().unwrap();
        writeln!(lines, "{}: {reason}", thrown.error).unwrap();
    }
    let get = REQUEST.replace("POST", "GET");
    let program = program_with("updates", "function(doc, req) {}");
    let failed = scripts.update(&program, "f", None, bytes(&get)).await.unwrap_err();
    lines.push_str(&failed.to_string());
    expect![[r#"
        not_found: gone
        mine: why
        render_error: function raised error: {"forbidden":"no"} 

        render_error: undefined response from update function
        render_error: undefined response from update function
        Update functions do not allow GET"#]]
    .assert_eq(&lines);
    scripts.close().await;
}

#[tokio::test]
async fn a_show_answers_with_text_an_object_or_by_type() {
    let scripts = scripts();
    let mut lines = String::new();
    for (source, request) in [
        ("function(doc, req) { return '<b>' + doc.a }", "{}"),
        ("function(doc, req) { return {code: 302, headers: {Location: '/'}} }", "{}"),
        ("function(doc, req) { send('a'); send(1); return 'b' }", "{}"),
        ("function(doc, req) { start({'X-A': 'b'}); send('a') }", "{}"),
        (
            "function(doc, req) { provides('html', function () { return 'h' }); \
             provides('json', function () { return {json: this._id} }) }",
            r#"{"headers":{"Accept":"application/json"},"query":{}}"#,
        ),
        (
            "function(doc, req) { provides('html', function () { return 'h' }); \
             provides('xml', function () { return 'x' }) }",
            r#"{"headers":{"Accept":"text/xml;q=0.5, text/html;q=0.4"},"query":{}}"#,
        ),
        (
            "function(doc, req) { provides('html', function () { return 'h' }); \
             provides('xml', function () { send('x'); return 'y' }) }",
            r#"{"headers":{"Accept":"text/html"},"query":{"format":"xml"}}"#,
        ),
        (
            "function(doc, req) { registerType('foo', 'application/foo'); \
             provides('foo', function () { return 'f' }) }",
            r#"{"headers":{"Accept":"*/*"},"query":{}}"#,
        ),
        (
            "function(doc, req) { provides('html', function () { return 'h' }) }",
            r#"{"headers":{"Accept":"image/png"},"query":{}}"#,
        ),
        (
            "function(doc, req) { provides('html', function () { return 'h' }) }",
            r#"{"headers":{},"query":{}}"#,
        ),
        ("function(doc, req) { return doc.none.at.all }", r#"{"path":["db"]}"#),
    ] {
        let program = program_with("shows", source);
        let doc = Some(bytes("{\"a\":1}"));
        match scripts.show(&program, "f", doc, bytes(request)).await {
            Ok(response) => lines.push_str(&String::from_utf8_lossy(&response)),
            Err(error) => lines.push_str(error.to_string().split(" \nstack").next().unwrap()),
        }
        lines.push('\n');
    }
    expect![[r#"
        {"body":"<b>1"}
        {"code":302,"headers":{"Location":"/"}}
        {"body":"a1b","headers":{}}
        {"headers":{"X-A":"b"},"body":"a"}
        {"body":"","headers":{"Content-Type":"application/json"}}
        {"body":"x","headers":{"Content-Type":"text/xml"}}
        {"body":"xy","headers":{"Content-Type":"application/xml"}}
        {"body":"f","headers":{"Content-Type":"application/foo"}}
        Content-Type image/png not supported, try one of: text/html; charset=utf-8
        {"body":"h","headers":{"Content-Type":"text/html; charset=utf-8"}}
        function raised error: TypeError: cannot read property 'at' of undefined
    "#]]
    .assert_eq(&lines);
    scripts.close().await;
}

#[tokio::test]
async fn a_show_without_its_document_is_not_found() {
    let scripts = scripts();
    let program = program_with("shows", "function(doc, req) { return doc.a }");
    let request = r#"{"path":["db","_design","d","_show","f","x"]}"#;
    let failed = scripts.show(&program, "f", None, bytes(request)).await.unwrap_err();
    let ScriptError::Thrown(thrown) = failed else { panic!("{failed}") };
    assert_eq!((&*thrown.error, &*thrown.reason), ("not_found", "document not found"));
    scripts.close().await;
}

#[tokio::test]
async fn rewrites_give_a_request_or_none() {
    let scripts = scripts();
    for (source, expected) in [
        ("function(req) { return req.query.n + '/x' }", Some(r#"{"path":"1/x","method":"POST"}"#)),
        (
            "function(req) { return {path: 'a', query: {b: 'c'}} }",
            Some(r#"{"path":"a","query":{"b":"c"}}"#),
        ),
        ("function(req) {}", None),
    ] {
        let source = serde_json::json!({ "rewrites": source }).to_string();
        let rewritten = scripts.rewrite(&program(&source), bytes(REQUEST)).await.unwrap();
        assert_eq!(rewritten.as_deref(), expected.map(str::as_bytes));
    }
    scripts.close().await;
}

#[tokio::test]
async fn any_function_of_the_design_document_can_be_called() {
    let scripts = scripts();
    let program = program(
        r#"{"transactions":{"pay":"function(a, b) { return {sum: a + b.n, of: this.title} }"},"title":"t"}"#,
    );
    let arguments = vec![bytes("1"), bytes("{\"n\":2}")];
    let result = scripts.call(&program, &["transactions", "pay"], arguments).await.unwrap();
    assert_eq!(result, r#"{"sum":3,"of":"t"}"#);
    scripts.close().await;
}

#[tokio::test]
async fn a_source_can_be_tried_before_it_is_stored() {
    let scripts = scripts();
    let program = program("{}");
    scripts.compile(&program, "the map function", "function(doc) {}").await.unwrap();
    let failed = scripts.compile(&program, "the map function", "function(").await.unwrap_err();
    assert!(matches!(failed, ScriptError::Compilation { .. }), "{failed}");
    scripts.close().await;
}

#[tokio::test]
async fn a_runtime_that_was_forgotten_is_made_again() {
    let scripts =
        with(ScriptSettings { workers: 1, worker_bytes_max: 1, ..ScriptSettings::default() });
    for round in 0..3 {
        for n in 0..3 {
            let source = format!("function(doc, req) {{ return '{n}' }}");
            let program = program_with("shows", &source);
            let response = scripts.show(&program, "f", None, bytes("{}")).await.unwrap();
            assert_eq!(response, format!("{{\"body\":\"{n}\"}}"), "{round}");
        }
    }
    scripts.close().await;
}
