//! The limit of a handler: axum as its examples show it, with one route that answers from memory. Its
//! runtime is set up as the server's is.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use axum::{Router, body::Body, response::Response, routing::get, serve::ListenerExt as _};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::TcpListener;

use crate::client::Kept;

/// What the connection itself adds to every reply.
pub(crate) const FRAMING: [&str; 3] = ["content-length", "date", "transfer-encoding"];

#[derive(Debug, Args)]
pub(crate) struct Bare {
    /// A reply as it came over the connection: its head, then its body without chunks
    reply: PathBuf,
}

impl Bare {
    pub(crate) fn run(self) -> Result<(), anyhow::Error> {
        let reply =
            fs::read(&self.reply).with_context(|| format!("read {}", self.reply.display()))?;
        let (headers, body) = understand(reply)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(serve(headers, body))
    }
}

/// The form in which a reply is handed over.
pub(crate) fn file_of(kept: &Kept) -> Vec<u8> {
    [&kept.head[..], &kept.body].concat()
}

fn understand(reply: Vec<u8>) -> Result<(HeaderMap, Bytes), anyhow::Error> {
    let end = memchr::memmem::find(&reply, b"\r\n\r\n").context("find the end of the head")?;
    let head = String::from_utf8(reply[..end].to_vec()).context("read the head as text")?;
    let mut headers = HeaderMap::new();
    for line in head.split("\r\n").skip(1) {
        let (name, value) = line.split_once(':').with_context(|| format!("split {line:?}"))?;
        let name: HeaderName = name.parse().context("understand a header's name")?;
        if !FRAMING.contains(&name.as_str()) {
            let value = HeaderValue::from_str(value.trim()).context("understand a header")?;
            headers.append(name, value);
        }
    }
    Ok((headers, Bytes::from(reply).slice(end + 4..)))
}

async fn serve(headers: HeaderMap, body: Bytes) -> Result<(), anyhow::Error> {
    let reply = move || {
        let mut response = Response::new(Body::from(body.clone()));
        *response.headers_mut() = headers.clone();
        response
    };
    let read = reply.clone();
    let answer = get(async move || reply()).post(async move |_: Bytes| read());
    let router = Router::new().route("/{database}/{document}", answer);
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
    println!("listening on http://{}", listener.local_addr().context("ask where we listen")?);
    let listener = listener.tap_io(|stream| {
        // An error here is one of the connection, found out by using it.
        drop(stream.set_nodelay(true));
    });
    axum::serve(listener, router).await.context("serve")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_recorded_reply_keeps_its_headers_but_for_those_of_the_connection() {
        let reply = b"HTTP/1.1 200 OK\r\nETag: \"1-a\"\r\nContent-Length: 2\r\ndate: now\r\n\r\n{}";
        let (headers, body) = understand(reply.to_vec()).unwrap();
        expect![[r#"({"etag": "\"1-a\""}, b"{}")"#]].assert_eq(&format!("{:?}", (headers, body)));
    }
}
