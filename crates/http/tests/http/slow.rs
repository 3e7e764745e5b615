//! Clients that hold what others need: silent, slow, many. With limits of a moment, where the server's own
//! are minutes.

use std::{
    future::{Future, pending},
    sync::Arc,
    time::Duration,
};

use http::Request;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use settle_http::{ConnectionLimits, Encryption, Pace, Server, ServerOptions, StopOutcome};
use settle_model::time::{ManualClock, SeededEntropy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

use crate::support::{ADMIN, START, TestServer, state, text};

const MOMENT: Duration = Duration::from_millis(100);

/// Until a test gives up: far beyond what any step takes.
const PATIENCE: Duration = Duration::from_secs(30);

async fn start(limits: ConnectionLimits) -> Server {
    start_with(ServerOptions { limits, encryption: None }).await
}

async fn start_with(options: ServerOptions) -> Server {
    let state = state(Arc::new(ManualClock::at(START)), Arc::new(SeededEntropy::new(1))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Server::start_with(listener, Arc::new(state), options).unwrap()
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address()).await.unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it happens")
}

/// What is sent until the connection ends, in whichever way.
async fn until_the_end(stream: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    drop(soon(stream.read_to_end(&mut reply)).await);
    String::from_utf8(reply).unwrap()
}

async fn is_served(stream: &mut TcpStream) -> bool {
    if stream.write_all(b"GET /_up HTTP/1.1\r\nHost: x\r\n\r\n").await.is_err() {
        return false;
    }
    let mut reply = [0; 15];
    soon(stream.read_exact(&mut reply)).await.is_ok() && &reply == b"HTTP/1.1 200 OK"
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_ever_said_ends() {
    let server = start(ConnectionLimits { idle_wait: MOMENT, ..Default::default() }).await;
    for beginning in ["", "PRI * HTT"] {
        let mut stream = connect(&server).await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        assert_eq!(until_the_end(&mut stream).await, "", "{beginning}");
    }
    assert_eq!(server.stop().await, StopOutcome::Complete);
}

#[tokio::test]
async fn headers_that_take_too_long_and_idle_connections_end() {
    let server = start(ConnectionLimits { headers_wait: MOMENT, ..Default::default() }).await;
    let mut stream = connect(&server).await;
    stream.write_all(b"GET /_up HTTP/1.1\r\nHost: x\r\nX-A: ").await.unwrap();
    let reply = until_the_end(&mut stream).await;
    assert!(!reply.contains(" 200 "), "{reply}");
    // A header that grows by a letter now and then does not end either.
    let mut stream = connect(&server).await;
    stream.write_all(b"GET /_up HTTP/1.1\r\nHost: x\r\nX-A: ").await.unwrap();
    let ended = async {
        while timeout(MOMENT / 10, stream.read(&mut [0; 100])).await.is_err() {
            if stream.write_all(b"a").await.is_err() {
                return;
            }
        }
    };
    soon(ended).await;
    let mut stream = connect(&server).await;
    assert!(is_served(&mut stream).await);
    until_the_end(&mut stream).await;
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_of_http_2_is_told_to_go_away() {
    let server = start(ConnectionLimits { idle_wait: MOMENT, ..Default::default() }).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Empty<bytes::Bytes>>(
            TokioExecutor::new(),
            TokioIo::new(connect(&server).await),
        )
        .await
        .unwrap();
    let request = Request::get("http://x/_up").body(Empty::new()).unwrap();
    let used = async {
        let reply = sender.send_request(request).await.unwrap();
        assert_eq!(reply.status(), 200);
        drop(reply);
        pending::<()>().await;
    };
    tokio::select! {
        ended = soon(connection) => assert!(ended.is_ok(), "{ended:?}"),
        () = used => {}
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_comes_in_drops_is_given_up() {
    let body = Pace { wait: MOMENT, bytes_per_second_min: 1 << 20 };
    let server = start(ConnectionLimits { body, ..Default::default() }).await;
    for path in ["/_session", "/_node/_local/_config/uuids/algorithm"] {
        let mut stream = connect(&server).await;
        let method = if path == "/_session" { "POST" } else { "PUT" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {ADMIN}\r\n\
             Content-Type: application/json\r\nContent-Length: 10000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut first = [0; 1];
        let answered = async {
            while timeout(MOMENT / 10, stream.read(&mut first)).await.is_err() {
                // A few bytes each time: it never stands still for as long as it may.
                stream.write_all(b"  ").await.unwrap();
            }
        };
        soon(answered).await;
        let reply = until_the_end(&mut stream).await;
        assert!(reply.starts_with("TTP/1.1 408"), "{reply}");
        assert!(reply.contains("\"request_timeout\""), "{reply}");
    }
    server.stop().await;
}

#[tokio::test]
async fn who_takes_replies_in_drops_is_cut_off() {
    let replies = Pace { wait: MOMENT, bytes_per_second_min: 1 << 20 };
    let server = start(ConnectionLimits { replies, ..Default::default() }).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let (mut read, mut write) = socket.connect(server.address()).await.unwrap().into_split();
    let request =
        format!("GET /_uuids?count=1000 HTTP/1.1\r\nHost: x\r\nAuthorization: {ADMIN}\r\n\r\n");
    let asking = async {
        // More than all buffers between hold; ends when the connection does.
        while write.write_all(request.as_bytes()).await.is_ok() {}
        pending::<()>().await;
    };
    let counted = || server.state().metrics.counts().connections;
    let taking = async {
        soon(read.read_exact(&mut [0; 12])).await.unwrap();
        assert_eq!(counted(), 1);
        while counted() > 0 {
            drop(timeout(MOMENT / 10, pending::<()>()).await);
            drop(read.read(&mut [0; 16]).await);
        }
    };
    tokio::select! {
        () = soon(taking) => {}
        () = asking => {}
    }
    server.stop().await;
}

#[tokio::test]
async fn one_address_does_not_take_all_places() {
    let limits =
        ConnectionLimits { per_address_max: 2, loopback_unbounded: false, ..Default::default() };
    let server = start(limits).await;
    let mut first = connect(&server).await;
    let mut second = connect(&server).await;
    assert!(is_served(&mut first).await && is_served(&mut second).await);
    let mut third = connect(&server).await;
    assert_eq!(until_the_end(&mut third).await, "");
    assert!(!is_served(&mut connect(&server).await).await);
    drop(second);
    let served_again = async { while !is_served(&mut connect(&server).await).await {} };
    soon(served_again).await;
    server.stop().await;
}

#[tokio::test]
async fn connections_beyond_all_places_wait_for_one() {
    let server = start(ConnectionLimits { connections_max: 1, ..Default::default() }).await;
    let mut first = connect(&server).await;
    assert!(is_served(&mut first).await);
    let mut second = connect(&server).await;
    second.write_all(b"GET /_up HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(timeout(MOMENT, second.read(&mut [0])).await.is_err());
    drop(first);
    assert_eq!(soon(second.read(&mut [0])).await.unwrap(), 1);
    server.stop().await;
}

#[tokio::test]
async fn encryption_that_is_never_agreed_on_ends_the_connection() {
    let limits = ConnectionLimits { handshake_wait: MOMENT, ..Default::default() };
    let never = Encryption(Arc::new(|_| Box::pin(pending())));
    let server = start_with(ServerOptions { limits, encryption: Some(never) }).await;
    let mut stream = connect(&server).await;
    assert_eq!(until_the_end(&mut stream).await, "");
    assert_eq!(server.stop().await, StopOutcome::Complete);
}

#[tokio::test]
async fn more_headers_than_a_request_can_have_are_refused_in_both_protocols() {
    let many: String = (0..=100).map(|n| format!("x-{n}: 1\r\n")).collect();
    let server = start(ConnectionLimits::default()).await;
    let mut stream = connect(&server).await;
    let request = format!("GET /_up HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let reply = until_the_end(&mut stream).await;
    assert!(reply.starts_with("HTTP/1.1 431"), "{reply}");
    server.stop().await;

    let many: String = (0..=100).map(|n| format!("\nx-{n}: 1")).collect();
    let reply = TestServer::new().await.send(&format!("GET /_up{many}")).await;
    assert_eq!(reply.status(), 431);
    assert!(text(reply).await.contains("too_many_headers"));
}
