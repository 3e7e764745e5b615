//! The limit of a server to a client: what it answered once, from memory. Its runtime is set up as the
//! server's is.
//!
//! The file has a line for each exchange, a JSON object with `method`, `path` (with its query), `asked` (the
//! body of a POST, as text), `status`, `headers` (pairs) and `body` (as text). A request that was made more than
//! once gets the replies in their order, and then the last one again. Checkpoints are called anew each
//! time that somebody replicates, so that all count as one.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
    serve::ListenerExt as _,
};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::bare::FRAMING;

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// What was recorded, an exchange a line
    exchanges: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Exchange {
    method: String,
    path: String,
    #[serde(default)]
    asked: String,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Method, path and the body of a POST.
type Asked = (String, String, Bytes);

/// What was answered to each request.
#[derive(Debug, Default)]
struct Replies(HashMap<Asked, Series>);

/// The replies to one request, and which is next.
#[derive(Debug, Default)]
struct Series {
    replies: Vec<Reply>,
    next: usize,
}

#[derive(Debug, Clone)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Replay {
    pub(crate) fn run(self) -> Result<(), anyhow::Error> {
        let text = fs::read_to_string(&self.exchanges)
            .with_context(|| format!("read {}", self.exchanges.display()))?;
        let replies = Replies::of(&text)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(serve(replies))
    }
}

impl Replies {
    fn of(text: &str) -> Result<Self, anyhow::Error> {
        let mut all = Self::default();
        for line in text.lines() {
            let exchange: Exchange = serde_json::from_str(line).context("understand a record")?;
            let mut headers = HeaderMap::new();
            for (name, value) in &exchange.headers {
                let name: HeaderName = name.parse().context("understand a header's name")?;
                if !FRAMING.contains(&name.as_str()) {
                    headers.append(name, HeaderValue::from_str(value)?);
                }
            }
            let status = StatusCode::from_u16(exchange.status).context("understand a status")?;
            let reply = Reply { status, headers, body: exchange.body.into() };
            let asked = asked(&exchange.method, &exchange.path, exchange.asked.into());
            all.0.entry(asked).or_default().replies.push(reply);
        }
        Ok(all)
    }

    fn next(&mut self, method: &str, path: &str, body: Bytes) -> Option<Reply> {
        let series = self.0.get_mut(&asked(method, path, body))?;
        let reply = series.replies.get(series.next).or_else(|| series.replies.last()).cloned();
        series.next += 1;
        reply
    }
}

fn asked(method: &str, path: &str, body: Bytes) -> Asked {
    let path = match path.find("/_local/") {
        Some(at) => &path[..at + "/_local/".len()],
        None => path,
    };
    (method.to_owned(), path.to_owned(), if method == "POST" { body } else { Bytes::new() })
}

async fn serve(replies: Replies) -> Result<(), anyhow::Error> {
    let router = Router::new().fallback(answer).with_state(Arc::new(Mutex::new(replies)));
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
    println!("listening on http://{}", listener.local_addr().context("ask where we listen")?);
    let listener = listener.tap_io(|stream| {
        // An error here is one of the connection, found out by using it.
        drop(stream.set_nodelay(true));
    });
    axum::serve(listener, router).await.context("serve")
}

async fn answer(
    State(replies): State<Arc<Mutex<Replies>>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().map_or("/", |it| it.as_str());
    let reply = {
        let mut replies = replies.lock().unwrap_or_else(PoisonError::into_inner);
        replies.next(method.as_str(), path, body)
    };
    let Some(reply) = reply else {
        eprintln!("nobody recorded {method} {path}");
        return StatusCode::NOT_IMPLEMENTED.into_response();
    };
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::expect;

    use super::*;

    #[test]
    fn a_request_gets_the_replies_to_it_in_their_order_and_then_the_last_again() {
        let record = [
            r#"{"method":"GET","path":"/db/_local/a","status":404,"headers":[],"body":"none"}"#,
            r#"{"method":"GET","path":"/db/_local/a","status":200,"headers":[["ETag","x"],["date","now"]],"body":"one"}"#,
            r#"{"method":"POST","path":"/db/_bulk_get?revs=true","asked":"a","status":200,"headers":[],"body":"of a"}"#,
            r#"{"method":"POST","path":"/db/_bulk_get?revs=true","asked":"b","status":200,"headers":[],"body":"of b"}"#,
        ];
        let mut replies = Replies::of(&record.join("\n")).unwrap();
        let mut shown = String::new();
        for (method, path, body) in [
            ("GET", "/db/_local/a", ""),
            ("GET", "/db/_local/b", ""),
            ("GET", "/db/_local/a", ""),
            ("POST", "/db/_bulk_get?revs=true", "b"),
            ("POST", "/db/_bulk_get?revs=true", "a"),
            ("POST", "/db/_bulk_get?revs=true", "c"),
            ("POST", "/db/_bulk_get", "a"),
        ] {
            let reply = replies.next(method, path, Bytes::from(body));
            let reply = reply.map(|it| (it.status.as_u16(), it.headers, it.body));
            writeln!(shown, "{method} {path} {body}: {reply:?}").unwrap();
        }
        expect![[r#"
            GET /db/_local/a : Some((404, {}, b"none"))
            GET /db/_local/b : Some((200, {"etag": "x"}, b"one"))
            GET /db/_local/a : Some((200, {"etag": "x"}, b"one"))
            POST /db/_bulk_get?revs=true b: Some((200, {}, b"of b"))
            POST /db/_bulk_get?revs=true a: Some((200, {}, b"of a"))
            POST /db/_bulk_get?revs=true c: None
            POST /db/_bulk_get a: None
        "#]]
        .assert_eq(&shown);
    }
}
