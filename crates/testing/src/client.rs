//! A small HTTP client: whole replies, feeds line by line, and raw bytes.

use std::{fmt, net::SocketAddr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName},
};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Requests to one server, as one user. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    authorization: Option<String>,
}

/// A whole reply.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A reply that goes on, read line by line.
#[derive(Debug)]
pub struct Feed {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    buffer: BytesMut,
}

impl Client {
    pub fn anonymous(address: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Self { pool, address, authorization: None }
    }

    pub fn signed_in(address: SocketAddr, name: &str, password: &str) -> Self {
        let pair = BASE64_STANDARD.encode(format!("{name}:{password}"));
        Self { authorization: Some(format!("Basic {pair}")), ..Self::anonymous(address) }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.request(Method::GET, path, &[], Bytes::new()).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.request(Method::DELETE, path, &[], Bytes::new()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        self.request(Method::PUT, path, &[], body.to_string()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.request(Method::POST, path, &[], body.to_string()).await
    }

    /// Any request. A body without a content type is JSON.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let sent = format!("{method} {path}");
        let reply = self.try_request(method, path, headers, body).await;
        reply.unwrap_or_else(|error| panic!("{sent}: {error}"))
    }

    /// The same, for servers that may go away in the middle.
    pub async fn try_request(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply, Interrupted> {
        let feed = self.try_open(method, path, headers, body.into()).await?;
        let body = feed.body.collect().await.map_err(|error| Interrupted(error.into()))?;
        Ok(Reply { status: feed.status, headers: feed.headers, body: body.to_bytes() })
    }

    /// A `GET` whose reply is read as it comes.
    pub async fn open(&self, path: &str) -> Feed {
        let opened = self.try_open(Method::GET, path, &[], Bytes::new()).await;
        opened.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    async fn try_open(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
        body: Bytes,
    ) -> Result<Feed, Interrupted> {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        if !body.is_empty() && headers.iter().all(|(name, _)| name != CONTENT_TYPE) {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Full::new(body)).expect("tests name right headers and paths");
        let reply = self.pool.request(request).await.map_err(|error| Interrupted(error.into()))?;
        let (parts, body) = reply.into_parts();
        let buffer = BytesMut::new();
        Ok(Feed { status: parts.status, headers: parts.headers, body, buffer })
    }
}

/// The connection broke before the reply was whole.
#[derive(Debug)]
pub struct Interrupted(Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the connection broke: {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

impl Reply {
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {} {}", self.status, self.text()),
        }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The reply itself, once it is known to have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }
}

impl Feed {
    /// The next line without its end; empty ones are heartbeats. `None` when the reply has ended
    /// as it should.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => panic!("the feed broke off: {error}"),
                None if self.buffer.is_empty() => return None,
                None => {
                    let rest = self.buffer.split();
                    return Some(String::from_utf8_lossy(&rest).into_owned());
                }
            }
        }
    }
}

/// Sends `request` byte for byte and reads until the server closes the connection.
pub async fn raw(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.write_all(request).await.expect("the server reads");
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.expect("the server answers, then closes");
    reply
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}
