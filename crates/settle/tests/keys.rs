//! A server whose users are signed in by somebody else, who publishes keys.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    thread,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use settle_testing::{Store, TestServer, raw};

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

/// Where the key is published. Ends with the process.
fn publish() -> SocketAddr {
    let x = BASE64_URL_SAFE_NO_PAD.encode(pair().public_key());
    let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x}]}).to_string();
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.len());
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::from("first");
            while !line.trim().is_empty() {
                line.clear();
                if stream.read_line(&mut line).unwrap() == 0 {
                    break;
                }
            }
            stream.get_mut().write_all(reply.as_bytes()).unwrap();
        }
    });
    address
}

fn token(claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "EdDSA", "kid": "k"})), part(claims));
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(pair().sign(signed.as_bytes())))
}

/// The whole reply to who asks with a token who they are.
async fn session(server: &TestServer, token: &str) -> String {
    let request = format!(
        "GET /_session HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         connection: close\r\n\r\n"
    );
    String::from_utf8(raw(server.address(), request.as_bytes()).await).unwrap()
}

#[tokio::test]
async fn who_has_a_token_of_a_published_key_comes_in_from_the_first_request_on() {
    let url = format!("http://{}/keys", publish());
    let server = TestServer::start_on(Store::Memory, |config| {
        config.jwt_keys_url = Some(url.parse().unwrap());
        config.jwt_required_claims = "iss=https://id.example".to_owned();
        config.jwt_roles_claim = "realm.roles".to_owned();
    })
    .await;
    let claims = json!({"sub": "ada", "iss": "https://id.example", "realm": {"roles": ["reader"]}});
    let reply = session(&server, &token(&claims)).await;
    assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
    assert!(reply.contains(r#""userCtx":{"name":"ada","roles":["reader"]}"#), "{reply}");
    assert!(reply.contains(r#""authenticated":"jwt""#), "{reply}");
    let reply = session(&server, &token(&json!({"sub": "ada"}))).await;
    assert!(reply.starts_with("HTTP/1.1 401"), "{reply}");
    assert!(reply.contains("the token's claim iss is missing or wrong"), "{reply}");
    server.stop().await;
}

#[tokio::test]
async fn a_url_that_does_not_answer_keeps_no_server_from_starting() {
    let gone = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let url = format!("http://{gone}/keys");
    let server = TestServer::start_on(Store::Memory, |config| {
        config.jwt_keys_url = Some(url.parse().unwrap());
    })
    .await;
    let reply = session(&server, &token(&json!({"sub": "ada", "exp": 9e12}))).await;
    assert!(reply.starts_with("HTTP/1.1 401"), "{reply}");
    assert!(reply.contains("no key is known that the token could be signed with"), "{reply}");
    server.admin().get("/_all_dbs").await.expect(200);
    server.stop().await;
}
