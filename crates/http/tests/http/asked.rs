//! Several requests to one database, in short: a line with maybe a JSON body behind it, and of the reply
//! the status, the headers that say something, and the body. Timelines are written as `t`.

use axum::{body::Body, response::Response};
use expect_test::Expect;
use http_body_util::BodyExt as _;

use crate::{story::begin, support::TestServer};

/// Sends the requests to a fresh database `d`, one after the other.
pub(crate) async fn check(requests: &[&str], expected: Expect) {
    check_on(&begin().await, requests, expected).await;
}

pub(crate) async fn check_on(server: &TestServer, requests: &[&str], expected: Expect) {
    let mut story = String::new();
    for request in requests {
        let reply = told(ask(server, request).await).await;
        story.push_str("> ");
        story.push_str(&without_timelines(request));
        story.push('\n');
        story.push_str(&reply);
        story.push('\n');
    }
    expected.assert_eq(&story);
}

/// `POST /d/_bulk_docs {"docs":[]}`
pub(crate) async fn ask(server: &TestServer, request: &str) -> Response<Body> {
    let Some((line, body)) =
        request.split_once(" {").map(|(line, body)| (line, format!("{{{body}")))
    else {
        return server.send(request).await;
    };
    server.send(&format!("{line}\ncontent-type: application/json\n\n{body}")).await
}

pub(crate) async fn told(response: Response<Body>) -> String {
    let mut lines = vec![response.status().to_string()];
    for name in ["allow", "etag", "location"] {
        if let Some(value) = response.headers().get(name) {
            lines.push(format!("{name}: {}", value.to_str().unwrap()));
        }
    }
    let kind = response.headers().get("content-type").map(|it| it.to_str().unwrap());
    if let Some(kind) = kind.filter(|kind| *kind != "application/json") {
        lines.push(format!("content-type: {kind}"));
    }
    let body = body(response).await;
    lines.push(body.trim_end_matches('\n').to_owned());
    without_timelines(&lines.join("\n").replace('\r', "")) + "\n"
}

pub(crate) async fn body(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// `12-00c0ffee00c0ffee` as `12-t`.
pub(crate) fn without_timelines(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('-') {
        let (before, after) = rest.split_at(at + 1);
        out.push_str(before);
        let digits = after.bytes().take_while(u8::is_ascii_hexdigit).count();
        rest = if digits == 16 && before.len() > 1 {
            out.push('t');
            &after[16..]
        } else {
            after
        };
    }
    out + rest
}

/// The `update_seq` and such of a JSON object.
pub(crate) async fn member(server: &TestServer, request: &str, name: &str) -> serde_json::Value {
    let text = body(ask(server, request).await).await;
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value[name].take()
}
