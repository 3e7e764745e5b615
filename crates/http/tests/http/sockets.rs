//! Servers on real sockets: several in one process, both versions of the protocol, and how they stop.

use std::{sync::Arc, time::Duration};

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use settle_http::{Server, StopOutcome};
use settle_model::time::{ManualClock, SeededEntropy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::support::{ADMIN, START, state};

async fn start(seed: u64) -> Server {
    let clock = Arc::new(ManualClock::at(START));
    let state = state(clock, Arc::new(SeededEntropy::new(seed))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Server::start(listener, Arc::new(state)).unwrap()
}

async fn raw(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    String::from_utf8(reply).unwrap()
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1_024];
    while !text.contains(end) {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the connection ended after {text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    text
}

#[tokio::test]
async fn several_servers_run_side_by_side_and_start_again() {
    for round in 0..2 {
        let servers = [start(round * 2).await, start(round * 2 + 1).await];
        assert_ne!(servers[0].address(), servers[1].address());
        let mut replies = Vec::new();
        for server in &servers {
            replies
                .push(raw(server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await);
        }
        assert!(replies.iter().all(|reply| reply.starts_with("HTTP/1.1 200 OK\r\n")));
        for server in servers {
            assert_eq!(server.stop().await, StopOutcome::Complete);
        }
    }
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let server = start(1).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /_up HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let reply = read_until(&mut stream, "\"ok\"}\n").await;
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert!(reply.contains("content-length: 27\r\n"), "{reply}");
    }
    drop(stream);
    assert_eq!(server.stop().await, StopOutcome::Complete);
}

#[tokio::test]
async fn a_head_announces_the_length_that_its_get_has() {
    let server = start(1).await;
    let head = "HEAD /_up HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let reply = raw(&server, head).await;
    assert!(reply.contains("content-length: 27\r\n"), "{reply}");
    assert!(reply.ends_with("\r\n\r\n"), "{reply}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_begins_with_http_2_is_answered_in_it() {
    let server = start(1).await;
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let driver = async { drop(connection.await) };
    let requests = async move {
        for _ in 0..3 {
            let uri = format!("http://{}/_up", "x");
            let request = Request::builder().uri(uri).body(Empty::<bytes::Bytes>::new()).unwrap();
            let reply = sender.send_request(request).await.unwrap();
            assert_eq!(reply.status(), StatusCode::OK);
            let body = reply.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "{\"seeds\":{},\"status\":\"ok\"}\n");
        }
    };
    tokio::join!(driver, requests);
    assert_eq!(server.stop().await, StopOutcome::Complete);
}

#[tokio::test]
async fn a_feed_ends_with_its_last_line_when_the_server_stops() {
    let server = start(1).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = format!(
        "GET /_db_updates?feed=continuous&heartbeat=10 HTTP/1.1\r\nHost: x\r\n\
         Authorization: {ADMIN}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut stream, "\r\n\r\n1\r\n\n\r\n").await;
    let (outcome, rest) = tokio::join!(server.stop(), async {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        String::from_utf8(rest).unwrap()
    });
    assert_eq!(outcome, StopOutcome::Complete);
    assert!(rest.contains("{\"last_seq\":\"0-"), "{rest}");
    assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[tokio::test]
async fn what_hangs_is_cut_after_a_while() {
    let server = start(1).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = "POST /_session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                   Content-Length: 100\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut stream, "100 Continue").await;
    assert_eq!(server.stop_within(Duration::from_millis(50)).await, StopOutcome::Cut);
}

/// The client sends its body only after the reply to its head, as large ones may.
#[tokio::test]
async fn a_client_is_told_that_a_connection_ends_because_its_body_was_not_read() {
    let server = start(1).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {ADMIN}\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n"
        )
    };
    // Read to its end, a body leaves the connection as it was.
    let refused = format!("{}[]", head("/_session"));
    for _ in 0..2 {
        stream.write_all(refused.as_bytes()).await.unwrap();
        let reply = read_until(&mut stream, "}\n").await;
        assert!(reply.starts_with("HTTP/1.1 400"), "{reply}");
        assert!(!reply.contains("connection: close"), "{reply}");
    }
    stream.write_all(head("/none/_bulk_docs").as_bytes()).await.unwrap();
    let reply = read_until(&mut stream, "}\n").await;
    assert!(reply.starts_with("HTTP/1.1 404"), "{reply}");
    assert!(reply.contains("connection: close"), "{reply}");
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    server.stop().await;
}

/// Two that disagree on where a request ends see different requests.
#[tokio::test]
async fn a_request_whose_end_is_not_certain_is_the_last_of_its_connection() {
    let server = start(1).await;
    let uncertain = [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n\r\n{}  ",
        "Content-Length: +2\r\n\r\n{}",
        "Content-Length: 4, 4\r\n\r\n{}  ",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Content-Length : 2\r\n\r\n{}",
        " folded: x\r\nContent-Length: 2\r\n\r\n{}",
    ];
    for rest in uncertain {
        let hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
        let request = format!("POST /_session HTTP/1.1\r\nHost: x\r\n{rest}{hidden}");
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        let read = stream.read_to_end(&mut reply);
        let read = tokio::time::timeout(Duration::from_secs(2), read).await;
        let reply = String::from_utf8_lossy(&reply);
        assert!(read.is_ok(), "{rest:?} stays open {reply}");
        assert!(reply.matches("HTTP/1.1 ").count() <= 1, "{rest:?} {reply}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_feed_over_http_2_ends_with_its_last_line_and_what_hangs_there_is_cut() {
    use futures_util::stream;
    type Sent = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, std::convert::Infallible>;

    let server = start(1).await;
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::handshake::<_, _, Sent>(
        TokioExecutor::new(),
        TokioIo::new(stream),
    )
    .await
    .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async { drop(connection.await) });
    let request = |method: &str, path: &str, body: Sent| {
        let uri = format!("http://x{path}");
        let request = Request::builder().method(method).uri(uri);
        request.header("authorization", ADMIN).header("content-type", "application/json").body(body)
    };
    let empty = Empty::<bytes::Bytes>::new().boxed_unsync();
    let feed = request("GET", "/_db_updates?feed=continuous&heartbeat=10", empty).unwrap();
    let mut feed = sender.send_request(feed).await.unwrap().into_body();
    feed.frame().await.unwrap().unwrap();

    let endless = http_body_util::StreamBody::new(stream::pending()).boxed_unsync();
    let hanging = sender.send_request(request("POST", "/_session", endless).unwrap());
    tasks.spawn(async { assert!(hanging.await.is_err()) });
    let (outcome, rest) =
        tokio::join!(server.stop_within(Duration::from_millis(300)), feed.collect());
    assert_eq!(outcome, StopOutcome::Cut);
    let rest = String::from_utf8(rest.unwrap().to_bytes().to_vec()).unwrap();
    assert!(rest.contains("{\"last_seq\":\"0-"), "{rest}");
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// It writes all of its body, and then reads, as simple clients do.
#[tokio::test]
async fn a_client_that_reads_no_answer_before_it_has_sent_everything_gets_it() {
    let server = start(1).await;
    for path in ["/none/doc", "/none/doc/file"] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {ADMIN}\r\nContent-Type: application/json\r\n\
             Content-Length: {LARGE}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b' '; LARGE / 64];
        for _ in 0..64 {
            stream.write_all(&piece).await.unwrap();
        }
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 404 Not Found\r\n"), "{reply}");
        assert!(reply.contains("connection: close\r\n"), "{reply}");
    }
    assert_eq!(server.stop().await, StopOutcome::Complete);
}

/// More than the buffers of a socket hold, so that it matters whether somebody reads.
const LARGE: usize = 12 << 20;

/// Who asks before sending is not asked to send what is not wanted, nor waited for.
#[tokio::test]
async fn a_client_that_asks_first_sends_nothing_where_it_is_refused() {
    let server = start(1).await;
    let request = |more: &str| {
        format!(
            "PUT /none/doc/file HTTP/1.1\r\nHost: x\r\nAuthorization: {ADMIN}\r\n\
             Content-Length: {LARGE}\r\n{more}\r\n"
        )
    };
    let (asks, sends) = (request("Expect: 100-continue\r\n"), request(""));
    // This one is waited for, from before the other begins.
    let mut sending = TcpStream::connect(server.address()).await.unwrap();
    sending.write_all(sends.as_bytes()).await.unwrap();
    read_until(&mut sending, "}\n").await;
    let reply = tokio::select! {
        biased;
        _ = sending.read_u8() => panic!("both are waited for"),
        reply = raw(&server, &asks) => reply,
    };
    assert!(reply.starts_with("HTTP/1.1 404 Not Found\r\n"), "{reply}");
    server.stop().await;
}

/// What nobody reads is taken up to a bound, and not for long.
#[tokio::test]
async fn a_body_that_nobody_reads_is_not_taken_for_ever() {
    let server = start(1).await;
    let head = format!(
        "PUT /none/doc/file HTTP/1.1\r\nHost: x\r\nAuthorization: {ADMIN}\r\n\
         Content-Length: 1000000000\r\n\r\n"
    );
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b' '; 1 << 20];
    let mut taken = 0;
    while stream.write_all(&piece).await.is_ok() {
        taken += 1;
        assert!(taken < 500, "all of it is taken");
    }
    // A letter now and then does not hold the connection either.
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut stream, "}\n").await;
    let mut ended = false;
    while !ended {
        let read = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut [0])).await;
        ended = match read {
            Ok(read) => read.is_err() || read.is_ok_and(|count| count == 0),
            Err(_) => stream.write_all(b" ").await.is_err(),
        };
    }
    server.stop().await;
}
