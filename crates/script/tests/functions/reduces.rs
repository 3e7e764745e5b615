//! Reduce functions.

use std::sync::Arc;

use settle_script::{ReduceLimit, Rows, ScriptError, ScriptSettings, Scripts};

use crate::support::{program, scripts, with};

fn rows(rows: &[(&str, &str, &str)]) -> Rows {
    let mut group = Rows::default();
    for (key, id, value) in rows {
        group.push(key.as_bytes(), id, value.as_bytes());
    }
    group
}

async fn reduce(
    scripts: &Scripts,
    source: &str,
    groups: Vec<Rows>,
) -> Result<Vec<String>, ScriptError> {
    let values = scripts.reduce(&program("{}"), &Arc::from(source), groups).await?;
    Ok(values.into_iter().map(|it| String::from_utf8(it).unwrap()).collect())
}

#[tokio::test]
async fn a_reduce_function_sees_keys_with_ids_and_values() {
    let scripts = scripts();
    let groups =
        vec![rows(&[("1", "a", "{\"n\":1}"), ("[2]", "b", "5")]), rows(&[("null", "c", "7")])];
    let values =
        reduce(&scripts, "function(keys, values, re) { return [keys, values, re] }", groups);
    assert_eq!(
        values.await.unwrap(),
        [r#"[[[1,"a"],[[2],"b"]],[{"n":1},5],false]"#, r#"[[[null,"c"]],[7],false]"#]
    );
    scripts.close().await;
}

#[tokio::test]
async fn a_reduce_function_is_given_its_own_results_again() {
    let scripts = scripts();
    let groups = vec![vec![b"1".to_vec(), b"2".to_vec()], vec![b"[3]".to_vec()]];
    let source = Arc::from("function(keys, values, re) { return [keys, values, re] }");
    let values = scripts.rereduce(&program("{}"), &source, groups).await.unwrap();
    assert_eq!(values, [b"[null,[1,2],true]".to_vec(), b"[null,[[3]],true]".to_vec()]);
    scripts.close().await;
}

#[tokio::test]
async fn a_reduce_function_that_throws_or_gives_nothing_gives_null() {
    let scripts = scripts();
    let groups = || vec![rows(&[("1", "a", "1")])];
    for source in [
        "function(k, v) { throw new Error('x') }",
        "function(k, v) {}",
        "function(k, v) { return null }",
    ] {
        assert_eq!(reduce(&scripts, source, groups()).await.unwrap(), ["null"], "{source}");
    }
    let fatal =
        reduce(&scripts, "function(k, v) { throw ['fatal', 'mine', 'why'] }", groups()).await;
    assert_eq!(fatal.unwrap_err().to_string(), "why");
    scripts.close().await;
}

#[tokio::test]
async fn a_result_that_does_not_shrink_is_refused_unless_it_may_grow() {
    let source = "function(keys, values) { return values.join('') }";
    let long = format!("\"{}\"", "x".repeat(6_000));
    let groups = || vec![rows(&[("1", "a", &long)])];
    let scripts = scripts();
    let refused = reduce(&scripts, source, groups()).await.unwrap_err();
    let ScriptError::Thrown(thrown) = refused else { panic!("{refused}") };
    assert_eq!(thrown.error, "reduce_overflow_error");
    assert!(thrown.reason.starts_with("Reduce output must shrink more rapidly: input size: 60"));
    scripts.close().await;
    for limit in [ReduceLimit::Log, ReduceLimit::Off] {
        let scripts = with(ScriptSettings { reduce_limit: limit, ..ScriptSettings::default() });
        assert_eq!(reduce(&scripts, source, groups()).await.unwrap(), [long.as_str()]);
        scripts.close().await;
    }
}

#[tokio::test]
async fn reduce_functions_have_sum_but_no_require() {
    let scripts = scripts();
    let groups = vec![rows(&[("1", "a", "1"), ("1", "b", "2.5")])];
    let values = reduce(&scripts, "function(k, v) { return [sum(v), typeof require] }", groups);
    assert_eq!(values.await.unwrap(), ["[3.5,\"undefined\"]"]);
    scripts.close().await;
}
