//! TLS on real sockets: what is agreed on, certificates that change, and starts that fail.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, path::Path, sync::Arc};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use settle::{
    Server,
    config::{Config, Secret},
};
use settle_testing::{Store, TestServer};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Writes a new certificate and its key, and says what clients have to trust.
    fn renew(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        // As programs that renew certificates do: beside, then in its place.
        for (name, text) in [("cert.pem", cert.pem()), ("key.pem", signing_key.serialize_pem())] {
            let path = self.folder.path().join(name);
            fs::write(path.with_extension("new"), text).unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        }
        cert.der().clone()
    }

    fn set(&self, config: &mut Config) {
        config.tls_certificate = Some(self.folder.path().join("cert.pem"));
        config.tls_key = Some(self.folder.path().join("key.pem"));
    }
}

async fn connect(
    server: &TestServer,
    trusted: &CertificateDer<'static>,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(server.address()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn ask(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    let request = format!("{request} HTTP/1.1\r\nHost: localhost\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(b"\r\n").await.unwrap();
    let mut reply = String::new();
    let mut buffer = [0; 1_024];
    while !reply.contains("}\n") {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the connection ended after {reply}");
        reply.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    reply
}

#[tokio::test]
async fn both_protocols_are_agreed_on_and_served() {
    let files = Files::new();
    let trusted = files.renew();
    let server = TestServer::start_on(Store::Memory, |config| files.set(config)).await;
    let mut stream = connect(&server, &trusted, &["http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(ask(&mut stream, "GET /_up").await.starts_with("HTTP/1.1 200 OK\r\n"));

    let stream = connect(&server, &trusted, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    let request = hyper::Request::get("https://localhost/_up");
    let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    tokio::select! {
        ended = connection => panic!("{ended:?}"),
        reply = sender.send_request(request) => assert_eq!(reply.unwrap().status(), 200),
    }
    server.stop().await;
}

#[tokio::test]
async fn a_renewed_certificate_counts_from_the_next_connection_on_and_no_other_is_cut() {
    let files = Files::new();
    let old = files.renew();
    let server = TestServer::start_on(Store::Memory, |config| files.set(config)).await;
    let mut first = connect(&server, &old, &[]).await.unwrap();
    ask(&mut first, "GET /_up").await;

    let new = files.renew();
    assert!(connect(&server, &old, &[]).await.is_err());
    let mut second = connect(&server, &new, &[]).await.unwrap();
    assert!(ask(&mut second, "GET /_up").await.starts_with("HTTP/1.1 200"));
    assert!(ask(&mut first, "GET /_up").await.starts_with("HTTP/1.1 200"));
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_leaves_the_last_one_in_force() {
    let files = Files::new();
    let good = files.renew();
    let server = TestServer::start_on(Store::Memory, |config| files.set(config)).await;
    let (cert, key) = (files.folder.path().join("cert.pem"), files.folder.path().join("key.pem"));
    let kept = [fs::read(&cert).unwrap(), fs::read(&key).unwrap()];
    let other = KeyPair::generate().unwrap().serialize_pem();
    for break_it in [
        (|cert: &Path, _: &Path, _: &str| fs::write(cert, "nothing"))
            as fn(&Path, &Path, &str) -> _,
        |_, key, other| fs::write(key, other),
        |cert, _, _| fs::remove_file(cert),
    ] {
        break_it(&cert, &key, &other).unwrap();
        connect(&server, &good, &[]).await.unwrap();
        fs::write(&cert, &kept[0]).unwrap();
        fs::write(&key, &kept[1]).unwrap();
        connect(&server, &good, &[]).await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn a_session_that_began_under_tls_never_travels_without() {
    let files = Files::new();
    let trusted = files.renew();
    let server = TestServer::start_on(Store::Memory, |config| files.set(config)).await;
    let mut stream = connect(&server, &trusted, &[]).await.unwrap();
    let reply = ask(&mut stream, "DELETE /_session").await;
    assert!(reply.contains("; HttpOnly; SameSite=Lax; Secure\r\n"), "{reply}");
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_speak_tls_is_told_nothing() {
    let files = Files::new();
    files.renew();
    let server = TestServer::start_on(Store::Memory, |config| files.set(config)).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    stream.write_all(b"GET /_up HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut reply = Vec::new();
    drop(stream.read_to_end(&mut reply).await);
    assert!(!String::from_utf8_lossy(&reply).contains("HTTP"), "{reply:?}");
    server.stop().await;
}

/// The message and its causes, without the folder's name.
async fn refusal(files: &Files, change: impl FnOnce(&mut Config)) -> String {
    let data = files.folder.path().join("data");
    let mut config = Config {
        data: data.clone(),
        bind: ([127, 0, 0, 1], 0).into(),
        admin_password: Some(Secret::new("pw")),
        ..Config::default()
    };
    files.set(&mut config);
    change(&mut config);
    let error = anyhow::Error::from(Server::start(config).await.unwrap_err());
    assert!(!data.exists(), "a start that fails changes nothing");
    format!("{error:#}").replace(files.folder.path().to_str().unwrap(), "folder")
}

#[tokio::test]
async fn a_start_that_fails_says_what_is_missing() {
    let files = Files::new();
    files.renew();
    let key = files.folder.path().join("key.pem");
    let mut all = vec![
        refusal(&files, |config| config.tls_key = None).await,
        refusal(&files, |config| config.tls_certificate = None).await,
        refusal(&files, |config| config.tls_certificate = Some("/none/cert.pem".into())).await,
        refusal(&files, |config| config.tls_certificate = Some(key.clone())).await,
    ];
    fs::write(
        &key,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    all.push(refusal(&files, |_| {}).await);
    fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    all.push(refusal(&files, |_| {}).await);
    expect_test::expect![[r#"
        set up TLS: tls.certificate is set and tls.key is not; TLS needs both
        set up TLS: tls.key is set and tls.certificate is not; TLS needs both
        set up TLS: read /none/cert.pem: No such file or directory (os error 2)
        set up TLS: folder/key.pem holds no certificate; expected PEM with BEGIN CERTIFICATE
        set up TLS: folder/key.pem holds no private key that can be used; expected PEM with BEGIN PRIVATE KEY, without a passphrase
        set up TLS: use the key in folder/key.pem with the certificate in folder/cert.pem: keys may not be consistent: KeyMismatch"#]].assert_eq(&all.join("\n"));
}

#[tokio::test]
async fn commands_of_this_machine_reach_it_without_a_certificate() {
    let files = Files::new();
    files.renew();
    let server = TestServer::start_on(Store::Folder, |config| files.set(config)).await;
    let url = fs::read_to_string(server.config().data.join("address")).unwrap();
    let address = url.trim().strip_prefix("http://127.0.0.1:").unwrap();
    assert_ne!(address, server.address().port().to_string());
    let address = format!("127.0.0.1:{address}").parse().unwrap();
    let reply = settle_testing::Client::anonymous(address).get("/_up").await;
    assert_eq!(reply.status, 200);
    server.stop().await;
}
