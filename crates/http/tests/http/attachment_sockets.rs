//! Attachments on one real connection, where every reply must end where it says.

use std::sync::Arc;

use settle_http::Server;
use settle_model::time::{ManualClock, SeededEntropy};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream},
    net::{TcpListener, TcpStream},
};

use crate::support::{ADMIN, START, state};

struct Connection(BufStream<TcpStream>);

impl Connection {
    /// Status and body. `headers` are whole lines.
    async fn ask(&mut self, line: &str, headers: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let head = format!("{line} HTTP/1.1\r\nHost: x\r\nAuthorization: {ADMIN}\r\n{headers}\r\n");
        self.0.write_all(head.as_bytes()).await.unwrap();
        self.0.write_all(body).await.unwrap();
        self.0.flush().await.unwrap();
        let status = self.line().await;
        let status = status.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("{line}: {status}"));
        let status = status[..3].parse().unwrap();
        let mut length = 0;
        loop {
            let header = self.line().await;
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        let has_body = !line.starts_with("HEAD") && status != 304;
        let mut body = vec![0; if has_body { length } else { 0 }];
        self.0.read_exact(&mut body).await.unwrap();
        (status, body)
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end().to_owned()
    }
}

async fn connect() -> (Server, Connection) {
    let state = state(Arc::new(ManualClock::at(START)), Arc::new(SeededEntropy::new(1))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start(listener, Arc::new(state)).unwrap();
    let stream = TcpStream::connect(server.address()).await.unwrap();
    (server, Connection(BufStream::new(stream)))
}

#[tokio::test]
async fn one_connection_carries_attachments_both_ways() {
    let (server, mut connection) = connect().await;
    let content = b"0123456789".repeat(100_000);
    let mut chunked = Vec::new();
    for piece in content.chunks(70_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");

    assert_eq!(connection.ask("PUT /d", "Content-Length: 0\r\n", b"").await.0, 201);
    let put = "Transfer-Encoding: chunked\r\nContent-Type: image/x\r\n";
    assert_eq!(connection.ask("PUT /d/a/n", put, &chunked).await.0, 201);
    assert_eq!(connection.ask("PUT /d/a/n", put, &chunked).await.0, 409);
    for _ in 0..2 {
        assert_eq!(connection.ask("HEAD /d/a/n", "", b"").await, (200, Vec::new()));
        assert_eq!(connection.ask("GET /d/a/n", "", b"").await, (200, content.clone()));
        let range = connection.ask("GET /d/a/n", "Range: bytes=65535-65536\r\n", b"").await;
        assert_eq!(range, (206, b"56".to_vec()));
        assert_eq!(connection.ask("HEAD /d/a?attachments=true", "", b"").await.0, 200);
        let (status, parts) = connection.ask("GET /d/a?attachments=true", "", b"").await;
        assert_eq!(status, 200);
        assert!(parts.len() > content.len() && parts.ends_with(b"--"));
    }
    let (status, document) = connection.ask("GET /d/a", "", b"").await;
    assert!(status == 200 && document.ends_with(b"}\n"));
    drop(connection);
    server.stop().await;
}

/// Where the reply ends is decided by the method that was sent, not by the one that it stands for.
#[tokio::test]
async fn a_post_that_stands_for_a_head_has_the_body_that_it_announces() {
    let (server, mut connection) = connect().await;
    assert_eq!(connection.ask("PUT /d", "Content-Length: 0\r\n", b"").await.0, 201);
    let put = "Content-Type: image/x\r\nContent-Length: 5\r\n";
    assert_eq!(connection.ask("PUT /d/a/f", put, b"hello").await.0, 201);
    let stands_for = "X-HTTP-Method-Override: HEAD\r\nContent-Length: 0\r\n";
    for path in ["/d/a/f", "/d/a?revs=true", "/d/a", "/d", "/d/a/none"] {
        let got = connection.ask(&format!("GET {path}"), "", b"").await;
        assert_eq!(connection.ask(&format!("POST {path}"), stands_for, b"").await, got, "{path}");
    }
    drop(connection);
    server.stop().await;
}
