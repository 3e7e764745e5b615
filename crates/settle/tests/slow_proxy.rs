//! The slow proxy on real sockets. What is measured has a lower bound alone: a busy machine is later still.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use settle::slow_proxy::{Conditions, Cuts, SlowProxy, Traffic};
use settle_testing::{Process, eventually};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A server for one connection, and a client of it behind a proxy.
async fn connect(conditions: Conditions) -> (TcpStream, TcpStream, SlowProxy) {
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let proxy = SlowProxy::start(ANY_PORT, to, conditions, 1).await.unwrap();
    let client = TcpStream::connect(proxy.address()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, server, proxy)
}

async fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn bytes_pass_unchanged_both_ways_and_so_do_ends() {
    let jitter = Duration::from_millis(3);
    let (mut client, mut server, proxy) =
        connect(Conditions { jitter, ..Conditions::default() }).await;
    let request: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let sent = request.clone();
    let (mut from_server, mut to_server) = client.split();
    let upload = async {
        to_server.write_all(&sent).await.unwrap();
        to_server.shutdown().await.unwrap();
    };
    let answer = async {
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert!(received == request, "the server got what the client sent");
        server.write_all(b"thanks").await.unwrap();
        server.shutdown().await.unwrap();
    };
    let mut answered = String::new();
    let (_, (), ()) = tokio::join!(from_server.read_to_string(&mut answered), upload, answer);
    assert_eq!(answered, "thanks");
    let expected = Traffic {
        bytes_to_server: 1_200_000,
        bytes_to_client: 6,
        connections: 1,
        ..Traffic::default()
    };
    assert_eq!(proxy.stop().await, expected);
}

#[tokio::test]
async fn an_answer_takes_the_latency_both_ways() {
    let latency = Duration::from_millis(40);
    let begun = Instant::now();
    let (mut client, mut server, _proxy) =
        connect(Conditions { latency, ..Conditions::default() }).await;
    assert!(begun.elapsed() >= latency * 2, "connecting takes a round trip");
    let begun = Instant::now();
    client.write_all(b"ask").await.unwrap();
    read(&mut server, 3).await;
    assert!(begun.elapsed() >= latency);
    server.write_all(b"answer").await.unwrap();
    read(&mut client, 6).await;
    assert!(begun.elapsed() >= latency * 2);
}

#[tokio::test]
async fn connections_share_the_rate_of_the_link() {
    let rate = Some("1 MB".parse().unwrap());
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let conditions = Conditions { rate, ..Conditions::default() };
    let proxy = SlowProxy::start(ANY_PORT, to, conditions, 1).await.unwrap();
    let begun = Instant::now();
    let download = async || {
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let (sent, received) =
            tokio::join!(server.write_all(&[7; 100_000]), read(&mut client, 100_000));
        sent.unwrap();
        assert!(received.iter().all(|&byte| byte == 7));
    };
    tokio::join!(download(), download(), download());
    // The first bytes may go at once, since timers are allowed to be late.
    assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_cut_ends_both_sides_of_every_connection_with_a_reset() {
    let (mut client, mut server, proxy) = connect(Conditions::default()).await;
    client.write_all(b"ask").await.unwrap();
    read(&mut server, 3).await;
    proxy.cut();
    for side in [&mut client, &mut server] {
        let error = side.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    assert_eq!(proxy.traffic().cuts, 1);
}

#[tokio::test]
async fn connections_are_reset_after_their_time() {
    let reset_after = Some(Duration::from_millis(20));
    let conditions = Conditions { reset_after, ..Conditions::default() };
    // Not accepted by the server, since its time may be up before that.
    let server = TcpListener::bind(ANY_PORT).await.unwrap();
    let to = server.local_addr().unwrap().to_string();
    let proxy = SlowProxy::start(ANY_PORT, to, conditions, 1).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    eventually("the reset is counted", async || (proxy.traffic().resets == 1).then_some(())).await;
}

#[tokio::test]
async fn nobody_gets_through_while_the_link_is_cut_and_somebody_does_between() {
    let cuts = Cuts { every: Duration::from_millis(60), length: Duration::from_millis(40) };
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let to = listener.local_addr().unwrap().to_string();
    let conditions = Conditions { cuts: Some(cuts), ..Conditions::default() };
    let proxy = SlowProxy::start(ANY_PORT, to, conditions, 1).await.unwrap();
    eventually("both happened", async || {
        drop(TcpStream::connect(proxy.address()).await);
        let seen = proxy.traffic();
        (seen.refused > 0 && seen.connections > 0 && seen.cuts > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_whose_server_is_away_gets_a_reset() {
    let gone = TcpListener::bind(ANY_PORT).await.unwrap().local_addr().unwrap();
    let proxy =
        SlowProxy::start(ANY_PORT, gone.to_string(), Conditions::default(), 1).await.unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_sender_that_nobody_reads_is_held_back() {
    let (mut client, server, proxy) = connect(Conditions::default()).await;
    // A write that does not end soon has met full buffers: those of the system and the proxy's window.
    let soon = Duration::from_millis(300);
    while let Ok(written) = timeout(soon, client.write_all(&[0; 65_536])).await {
        written.unwrap();
        assert!(proxy.traffic().bytes_to_server < 64 << 20, "somewhere it is kept in memory");
    }
    let kept = proxy.traffic().bytes_to_server;
    assert!(kept < 64 << 20, "{kept} bytes went in");
    drop(server);
}

#[tokio::test]
async fn the_command_says_where_it_listens_and_in_the_end_what_it_carried() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let mut command = Process::command(Path::new(env!("CARGO_BIN_EXE_settle")), folder.path());
    command.args(["slow-proxy", "--seed", "7", "--latency", "1ms", "--rate", "8Mbit", "--to"]);
    command.arg(listener.local_addr().unwrap().to_string());
    let mut proxy =
        command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(proxy.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "seed 7");
    let line = lines.next_line().await.unwrap().unwrap();
    let mut client = TcpStream::connect(line.strip_prefix("listening on ").unwrap()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    client.write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut server, 5).await, b"hello");
    let id = rustix::process::Pid::from_raw(i32::try_from(proxy.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let last = lines.next_line().await.unwrap().unwrap();
    assert_eq!(
        last,
        "bytes to the server: 5, to clients: 0; connections: 1, reset: 0, refused: 0; cuts: 0"
    );
    assert!(proxy.wait().await.unwrap().success());
}
