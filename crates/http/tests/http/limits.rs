//! What a client sees at limits, where reaching them takes no time.

use std::fmt::Write as _;

use settle_database::limits::ATTACHMENTS_MAX;
use settle_http::limits;
use settle_model::document::limits::BULK_DOCUMENTS_MAX;

use crate::{
    story::{begin, send},
    support::text,
};

async fn refused(request: &str, expected: &str) {
    let reply = send(&begin().await, request).await;
    let status = reply.status().as_u16();
    assert_eq!(format!("{status} {}", text(reply).await.trim_end()), expected);
}

#[tokio::test]
async fn a_question_may_not_be_as_long_as_an_answer() {
    let spaces = " ".repeat(limits::QUESTION_BODY_MAX);
    for path in ["_all_docs", "_all_docs/queries", "_bulk_get", "_changes", "_purge", "_revs_diff"]
    {
        let request = format!("POST /d/{path}\ncontent-type: application/json\n\n{{}}{spaces}");
        let reason = "the request entity is too large";
        refused(&request, &format!("413 {{\"error\":\"too_large\",\"reason\":\"{reason}\"}}"))
            .await;
    }
}

#[tokio::test]
async fn whoever_is_not_known_yet_may_not_say_much() {
    let long = "x".repeat(limits::CREDENTIALS_MAX);
    let request = format!(
        "POST /_session\ncontent-type: application/json\n\n{{\"name\":\"a\",\"password\":\"{long}\"}}"
    );
    let reason = "the request entity is too large";
    refused(&request, &format!("413 {{\"error\":\"too_large\",\"reason\":\"{reason}\"}}")).await;
}

#[tokio::test]
async fn lists_in_one_request_are_counted() {
    let queries = vec!["{}"; limits::QUERIES_MAX + 1].join(",");
    let request = format!(
        "POST /d/_all_docs/queries\ncontent-type: application/json\n\n{{\"queries\":[{queries}]}}"
    );
    let reason = "at most 1000 `queries` in one request";
    refused(&request, &format!("400 {{\"error\":\"bad_request\",\"reason\":\"{reason}\"}}")).await;
}

#[tokio::test]
async fn documents_of_one_request_are_counted() {
    let docs = vec!["{}"; BULK_DOCUMENTS_MAX + 1].join(",");
    let request =
        format!("POST /d/_bulk_docs\ncontent-type: application/json\n\n{{\"docs\":[{docs}]}}");
    let reason = "`docs` has more than 250000 documents";
    refused(&request, &format!("413 {{\"error\":\"too_large\",\"reason\":\"{reason}\"}}")).await;
}

/// Neither are the parts read that follow, nor what stands inside stored.
#[tokio::test]
async fn attachments_are_counted_before_they_are_stored() {
    let mut list = String::new();
    for number in 0..=ATTACHMENTS_MAX {
        let separator = if number > 0 { "," } else { "" };
        write!(list, "{separator}\"{number}\":{{\"follows\":true,\"length\":1}}").unwrap();
    }
    let request = format!(
        "PUT /d/a\ncontent-type: multipart/related; boundary=b\n\n\
         --b\nContent-Type: application/json\n\n{{\"_attachments\":{{{list}}}}}\n--b--"
    );
    let reply = send(&begin().await, &request).await;
    assert_eq!(reply.status(), 413);
    assert!(text(reply).await.contains("too_many_attachments"));
}
