//! List functions: rows go to and fro while they run.

use settle_script::{List, ListOutput, ScriptError, Scripts};

use crate::support::{bytes, program_with, scripts};

async fn list(scripts: &Scripts, source: &str) -> Result<(List, ListOutput), ScriptError> {
    let request = r#"{"headers":{"Accept":"text/html"},"query":{}}"#;
    let program = program_with("lists", source);
    scripts.list(&program, "f", bytes(r#"{"total_rows":3}"#), bytes(request)).await
}

fn output(response: Option<&str>, chunk: &str, ended: bool) -> ListOutput {
    ListOutput { response: response.map(bytes), chunk: bytes(chunk), ended }
}

fn rows(keys: &[u8]) -> Vec<bytes::Bytes> {
    keys.iter().map(|key| bytes(&format!("{{\"key\":{key}}}"))).collect()
}

#[tokio::test]
async fn a_list_gets_rows_and_sends_text() {
    let scripts = scripts();
    let source = "function(head, req) { start({code: 201, headers: {'X-A': 'b'}}); send('<' + head.total_rows); \
                  var row; while (row = getRow()) send(row.key); return '>' }";
    let (mut list, started) = list(&scripts, source).await.unwrap();
    assert_eq!(started, output(Some(r#"{"code":201,"headers":{"X-A":"b"}}"#), "<3", false));
    assert_eq!(list.rows(rows(&[1, 2])).await.unwrap(), output(None, "12", false));
    assert_eq!(list.rows(rows(&[])).await.unwrap(), output(None, "", false));
    assert_eq!(list.rows(rows(&[3])).await.unwrap(), output(None, "3", false));
    assert_eq!(list.end().await.unwrap(), output(None, ">", true));
    scripts.close().await;
}

#[tokio::test]
async fn a_list_may_end_before_the_rows_do() {
    let scripts = scripts();
    let source = "function(head, req) { var row = getRow(); return 'first ' + row.key }";
    let (mut list, started) = list(&scripts, source).await.unwrap();
    assert_eq!(started, output(Some(r#"{"headers":{}}"#), "", false));
    assert_eq!(list.rows(rows(&[1, 2, 3])).await.unwrap(), output(None, "first 1", true));
    assert!(matches!(list.rows(rows(&[4])).await, Err(ScriptError::Closed)));
    scripts.close().await;
}

#[tokio::test]
async fn a_list_that_asks_for_no_row_is_started_all_the_same() {
    let scripts = scripts();
    let (list, started) = list(&scripts, "function() { return 'x' }").await.unwrap();
    assert_eq!(started, output(Some(r#"{"headers":{}}"#), "", false));
    assert_eq!(list.end().await.unwrap(), output(None, "x", true));
    scripts.close().await;
}

#[tokio::test]
async fn a_list_answers_by_type() {
    let scripts = scripts();
    let source = "function(head, req) { provides('html', function () { var row; \
                  while (row = getRow()) send(row.key + ' '); return 'html' }) }";
    let (mut list, started) = list(&scripts, source).await.unwrap();
    let response = r#"{"headers":{"Content-Type":"text/html; charset=utf-8"}}"#;
    assert_eq!(started, output(Some(response), "", false));
    assert_eq!(list.rows(rows(&[1, 2])).await.unwrap(), output(None, "1 2 ", false));
    assert_eq!(list.end().await.unwrap(), output(None, "html", true));
    scripts.close().await;
}

#[tokio::test]
async fn a_list_that_throws_between_rows_says_so() {
    let scripts = scripts();
    let source = "function(head, req) { getRow(); throw new Error('at a row') }";
    let (mut list, _) = list(&scripts, source).await.unwrap();
    let failed = list.rows(rows(&[1])).await.unwrap_err().to_string();
    assert!(failed.starts_with("function raised error: Error: at a row"), "{failed}");
    scripts.close().await;
}

#[tokio::test]
async fn a_list_that_nobody_reads_any_more_leaves_room_for_others() {
    let scripts = scripts();
    let source = "function(head, req) { for (;;) { try { getRow() } catch (e) {} } }";
    for _ in 0..20 {
        let (list, _) = list(&scripts, source).await.unwrap();
        drop(list);
    }
    scripts.close().await;
}
