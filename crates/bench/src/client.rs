//! A small HTTP/1.1 client that costs little: requests are bytes made beforehand, connections stay, and of
//! a reply only what frames it is looked at. It does one request at a time on a connection, as clients do.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::limits::REPLY_HEAD_BYTES_MAX;

/// Whom to ask, as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    /// What every request says after its own lines.
    headers: String,
}

/// The parts of a reply that a bench looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body_bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

/// What becomes of a reply's bytes.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Status line and headers, with the empty line.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
}

impl Target {
    pub(crate) fn new(address: SocketAddr, user: Option<(&str, &str)>) -> Self {
        let mut headers = format!("host: {address}\r\n");
        if let Some((name, password)) = user {
            let pair = BASE64_STANDARD.encode(format!("{name}:{password}"));
            write!(headers, "authorization: Basic {pair}\r\n").expect("strings take everything");
        }
        Self { address, headers }
    }

    /// From `http://name:password@host:port`.
    pub(crate) async fn of_url(url: &str) -> Result<Self, anyhow::Error> {
        let uri: http::Uri = url.parse().with_context(|| format!("understand {url}"))?;
        let authority = uri.authority().with_context(|| format!("find a host in {url}"))?;
        if uri.scheme_str() != Some("http") {
            bail!("the bench speaks plain http, not what {url} asks for");
        }
        let host = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(5984));
        let address = tokio::net::lookup_host(&host)
            .await
            .with_context(|| format!("look up {host}"))?
            .next()
            .with_context(|| format!("find an address of {host}"))?;
        let user = authority.as_str().rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
        Ok(Self::new(address, user))
    }

    pub(crate) async fn connect(&self) -> Result<Connection, anyhow::Error> {
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("connect to {}", self.address))?;
        stream.set_nodelay(true).context("send small requests at once")?;
        Ok(Connection { stream, buffer: BytesMut::with_capacity(256 << 10) })
    }

    /// From one of the many addresses that a machine has for itself.
    pub(crate) async fn connect_from(&self, from: Ipv4Addr) -> Result<Connection, anyhow::Error> {
        let socket = TcpSocket::new_v4().context("make a socket")?;
        socket.bind((from, 0).into()).with_context(|| format!("be at {from}"))?;
        let stream = socket.connect(self.address).await;
        let stream = stream.with_context(|| format!("connect to {}", self.address))?;
        Ok(Connection { stream, buffer: BytesMut::new() })
    }

    pub(crate) async fn connections(&self, count: usize) -> Result<Vec<Connection>, anyhow::Error> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(self.connect().await?);
        }
        Ok(connections)
    }

    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        self.head("GET", path, "accept: application/json\r\n").into_bytes()
    }

    /// A request with a JSON body.
    pub(crate) fn json(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let lines = format!(
            "accept: application/json\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        let mut request = self.head(method, path, &lines).into_bytes();
        request.extend_from_slice(body);
        request
    }

    /// A request up to its body. `lines` are further headers, each with its end.
    pub(crate) fn head(&self, method: &str, path: &str, lines: &str) -> String {
        format!("{method} {path} HTTP/1.1\r\n{}{lines}\r\n", self.headers)
    }
}

impl Connection {
    /// Sends a whole request and reads the whole reply.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Reply, anyhow::Error> {
        self.send(request).await?;
        self.receive(None).await
    }

    /// The same, for a reply that has to succeed.
    pub(crate) async fn expect(&mut self, request: &[u8]) -> Result<(), anyhow::Error> {
        self.send(request).await?;
        let reply = self.receive(None).await?;
        if !(200..300).contains(&reply.status) {
            let line = request.split(|&byte| byte == b'\r').next().unwrap_or_default();
            bail!("{} is answered with {}", String::from_utf8_lossy(line), reply.status);
        }
        Ok(())
    }

    /// The same, with what was answered.
    pub(crate) async fn fetch(&mut self, request: &[u8]) -> Result<Kept, anyhow::Error> {
        self.send(request).await?;
        let mut kept = Kept::default();
        let reply = self.receive(Some(&mut kept)).await?;
        if !(200..300).contains(&reply.status) {
            bail!(
                "{} is answered with {}: {}",
                String::from_utf8_lossy(&request[..request.len().min(80)]),
                reply.status,
                String::from_utf8_lossy(&kept.body)
            );
        }
        Ok(kept)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), anyhow::Error> {
        self.stream.write_all(bytes).await.context("send a request")
    }

    pub(crate) async fn receive(
        &mut self,
        mut kept: Option<&mut Kept>,
    ) -> Result<Reply, anyhow::Error> {
        loop {
            let (status, framing) = self.receive_head(kept.as_deref_mut()).await?;
            let body_bytes = match framing {
                _ if matches!(status, 100..200 | 204 | 304) => 0,
                Framing::Length(length) => {
                    self.pass(length, kept.as_deref_mut()).await?;
                    length
                }
                Framing::Chunked => self.pass_chunks(kept.as_deref_mut()).await?,
            };
            // An interim reply; the one that counts follows.
            if !(100..200).contains(&status) {
                return Ok(Reply { status, body_bytes });
            }
        }
    }

    async fn receive_head(
        &mut self,
        kept: Option<&mut Kept>,
    ) -> Result<(u16, Framing), anyhow::Error> {
        let mut searched = 0;
        let end = loop {
            let from = usize::saturating_sub(searched, 3);
            if let Some(at) = memchr::memmem::find(&self.buffer[from..], b"\r\n\r\n") {
                break from + at + 4;
            }
            searched = self.buffer.len();
            if searched > REPLY_HEAD_BYTES_MAX {
                bail!("a reply's head does not end");
            }
            self.read().await?;
        };
        let head = self.buffer.split_to(end);
        if let Some(kept) = kept {
            kept.head = head.to_vec();
        }
        parse_head(&head)
    }

    async fn pass(
        &mut self,
        length: u64,
        mut kept: Option<&mut Kept>,
    ) -> Result<(), anyhow::Error> {
        let mut left = length;
        loop {
            let here =
                usize::try_from(left).map_or(self.buffer.len(), |it| it.min(self.buffer.len()));
            if let Some(kept) = kept.as_deref_mut() {
                kept.body.extend_from_slice(&self.buffer[..here]);
            }
            self.buffer.advance(here);
            left -= here as u64;
            if left == 0 {
                return Ok(());
            }
            self.read().await?;
        }
    }

    /// Gives the length of the body inside the chunks.
    async fn pass_chunks(&mut self, mut kept: Option<&mut Kept>) -> Result<u64, anyhow::Error> {
        let mut sum = 0;
        loop {
            let line = loop {
                if let Some(end) = memchr::memchr(b'\n', &self.buffer) {
                    break self.buffer.split_to(end + 1);
                }
                self.read().await?;
            };
            let length = chunk_length(&line)?;
            self.pass(length, kept.as_deref_mut()).await?;
            self.pass(2, None).await?;
            if length == 0 {
                return Ok(sum);
            }
            sum += length;
        }
    }

    async fn read(&mut self) -> Result<(), anyhow::Error> {
        self.buffer.reserve(64 << 10);
        let bytes = self.stream.read_buf(&mut self.buffer).await.context("read a reply")?;
        if bytes == 0 {
            bail!("the server closed the connection in the middle of a reply");
        }
        Ok(())
    }
}

fn parse_head(head: &[u8]) -> Result<(u16, Framing), anyhow::Error> {
    let head = std::str::from_utf8(head).context("read a reply's head as text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.get(9..12)).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("find a status in {head:?}"))?;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.trim().parse().context("understand a content length")?;
            return Ok((status, Framing::Length(length)));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok((status, Framing::Chunked));
        }
    }
    Ok((status, Framing::Length(0)))
}

fn chunk_length(line: &[u8]) -> Result<u64, anyhow::Error> {
    let text = std::str::from_utf8(line).context("read a chunk's length as text")?;
    let digits = text.trim_end().split(';').next().unwrap_or_default();
    u64::from_str_radix(digits, 16).with_context(|| format!("understand the chunk length {text:?}"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Replies of a server that sends these bytes in pieces of the given length.
    async fn replies(sent: &'static [u8], piece: usize, count: usize) -> Vec<(Reply, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::new(listener.local_addr().unwrap(), None);
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            for piece in sent.chunks(piece) {
                stream.write_all(piece).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let read = async {
            let mut connection = target.connect().await.unwrap();
            let mut replies = Vec::new();
            for _ in 0..count {
                let mut kept = Kept::default();
                let reply = connection.receive(Some(&mut kept)).await.unwrap();
                replies.push((reply, String::from_utf8(kept.body).unwrap()));
            }
            replies
        };
        futures_util::future::join(serve, read).await.1
    }

    #[test]
    fn replies_are_framed_by_length_and_by_chunks_however_they_arrive() {
        let sent = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
            HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwiki\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n\
            HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n\
            HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for piece in [1, 2, 7, 1000] {
            let found = runtime.block_on(replies(sent, piece, 4));
            let reply = |status, body_bytes| Reply { status, body_bytes };
            let expected = [
                (reply(200, 3), "abc".to_owned()),
                (reply(201, 14), "wiki0123456789".to_owned()),
                (reply(304, 0), String::new()),
                (reply(404, 0), String::new()),
            ];
            assert_eq!(found, expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_reply_that_is_no_http_is_an_error() {
        assert!(parse_head(b"SSH-2.0\r\n\r\n").is_err());
        assert!(chunk_length(b"xyz\r\n").is_err());
    }
}
