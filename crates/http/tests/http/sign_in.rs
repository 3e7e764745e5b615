//! Ways to sign in besides a password and a session: tokens, proxies, JSON Web Tokens; and what happens to
//! those who guess.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::StatusCode;
use serde_json::{Value, json};
use settle_accounts::{JwtRules, KeySet, RequiredClaim};
use settle_http::connection::Connection;

use crate::support::{TestServer, parse, text};

const ADA: &str = "ada:a long password";
const JSON: &str = "content-type: application/json\n\n";

async fn server() -> TestServer {
    let server = TestServer::new().await.with_users(&[]).await;
    for name in ["ada", "bob"] {
        let user =
            json!({"type": "user", "name": name, "roles": ["r"], "password": "a long password"});
        let put = format!("PUT /_users/org.couchdb.user:{name}\n\n{user}");
        assert_eq!(server.send(&put).await.status(), StatusCode::CREATED);
    }
    server
}

async fn body(server: &TestServer, who: &str, request: &str) -> Value {
    serde_json::from_str(&text(server.send_as(who, request).await).await).unwrap()
}

async fn bearer(server: &TestServer, token: &str, request: &str) -> (StatusCode, Value) {
    let (line, rest) = request.split_once("\n\n").unwrap_or((request, ""));
    let request = format!("{line}\nauthorization: Bearer {token}\n\n{rest}");
    let reply = server.send_as("", &request).await;
    let status = reply.status();
    (status, serde_json::from_str(&text(reply).await).unwrap())
}

async fn token(server: &TestServer, wanted: Value) -> (String, String) {
    let made = body(server, ADA, &format!("POST /_tokens\n{JSON}{wanted}")).await;
    let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    (text("id"), text("token"))
}

#[tokio::test]
async fn a_token_does_what_it_was_made_for_until_it_is_revoked() {
    let server = server().await;
    for request in ["PUT /~ada/a", "PUT /~ada/b", "PUT /~ada/a/x\n\n{}", "PUT /~ada/b/x\n\n{}"] {
        assert_eq!(server.send_as(ADA, request).await.status(), StatusCode::CREATED);
    }
    let (id, reading) =
        token(&server, json!({"label": "phone", "most": "read", "databases": ["~ada/a"]})).await;
    let (_, all) = token(&server, json!({"most": "everything"})).await;
    let listed = body(&server, ADA, "GET /_tokens").await.to_string();
    assert!(listed.contains("phone") && !listed.contains(&reading), "{listed}");

    let (status, session) = bearer(&server, &reading, "GET /_session").await;
    assert_eq!((status, &session["userCtx"]["name"]), (StatusCode::OK, &json!("ada")));
    for (token, request, expected) in [
        (&reading, "GET /~ada/a/x", StatusCode::OK),
        (&reading, "GET /~ada/b/x", StatusCode::FORBIDDEN),
        (&reading, "PUT /~ada/a/y\n\n{}", StatusCode::FORBIDDEN),
        (&reading, "GET /~ada/_all_dbs", StatusCode::FORBIDDEN),
        (&reading, "GET /_tokens", StatusCode::FORBIDDEN),
        (&all, "PUT /~ada/c", StatusCode::CREATED),
        (&all, "GET /_tokens", StatusCode::FORBIDDEN),
        (&all, "PUT /_users/org.couchdb.user:ada\n\n{}", StatusCode::FORBIDDEN),
        (&all, "GET /_users/org.couchdb.user:ada", StatusCode::OK),
    ] {
        let (status, reply) = bearer(&server, token, request).await;
        assert_eq!(status, expected, "{request} {reply}");
    }
    // As an application password, with the name of its user and no other.
    let with_basic = server.send_as(&format!("ada:{reading}"), "GET /~ada/a/x").await;
    assert_eq!(with_basic.status(), StatusCode::OK);
    let of_another = server.send_as(&format!("bob:{reading}"), "GET /~ada/a/x").await;
    assert_eq!(of_another.status(), StatusCode::UNAUTHORIZED);

    let revoke = format!("DELETE /_tokens/{id}");
    let by_another = server.send_as("bob:a long password", &revoke).await;
    assert_eq!(by_another.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.send_as(ADA, &revoke).await.status(), StatusCode::OK);
    assert_eq!(bearer(&server, &reading, "GET /~ada/a/x").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn tokens_of_somebody_who_is_gone_are_not_those_of_a_namesake() {
    let server = server().await;
    let (_, old) = token(&server, json!({"most": "everything"})).await;
    assert_eq!(bearer(&server, &old, "GET /_uuids").await.0, StatusCode::OK);
    let of_nobody = format!("POST /_tokens?user=eve\n{JSON}{}", json!({"most": "read"}));
    assert_eq!(server.send(&of_nobody).await.status(), StatusCode::NOT_FOUND);

    let user = body(&server, "admin:pw", "GET /_users/org.couchdb.user:ada").await;
    let rev = user["_rev"].as_str().unwrap();
    let delete = format!("DELETE /_users/org.couchdb.user:ada?rev={rev}");
    assert_eq!(server.send(&delete).await.status(), StatusCode::OK);
    assert_eq!(bearer(&server, &old, "GET /_uuids").await.0, StatusCode::UNAUTHORIZED);
    let again = json!({"type": "user", "name": "ada", "roles": [], "password": "a new password"});
    let put = format!("PUT /_users/org.couchdb.user:ada\n\n{again}");
    assert_eq!(server.send(&put).await.status(), StatusCode::CREATED);
    assert_eq!(bearer(&server, &old, "GET /_uuids").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_session_tells_by_which_ways_one_may_sign_in() {
    let server = server().await;
    let ways = async || {
        let session = body(&server, "", "GET /_session").await;
        session["info"]["authentication_handlers"].to_string()
    };
    assert_eq!(ways().await, r#"["cookie","default"]"#);
    let accounts = &server.app.state().site.accounts;
    accounts.set_proxy_secret(Some(b"the_secret".to_vec()));
    accounts.set_jwt_rules(Some(JwtRules {
        keys: KeySet::default(),
        required: Vec::new(),
        roles_path: Vec::new(),
        newer: None,
    }));
    assert_eq!(ways().await, r#"["cookie","default","jwt","proxy"]"#);
}

#[tokio::test]
async fn a_token_ends_when_it_was_to_end() {
    let server = server().await;
    let (_, short) = token(&server, json!({"most": "read", "expires_in_seconds": 60})).await;
    assert_eq!(bearer(&server, &short, "GET /_uuids").await.0, StatusCode::OK);
    server.clock.advance(Duration::from_secs(61));
    assert_eq!(bearer(&server, &short, "GET /_uuids").await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn who_is_suspended_comes_in_by_no_way() {
    let server = server().await;
    let (_, token) = token(&server, json!({"most": "read"})).await;
    let mut user = body(&server, "admin:pw", "GET /_users/org.couchdb.user:ada").await;
    user["suspended"] = "owes money".into();
    let put = format!("PUT /_users/org.couchdb.user:ada\n\n{user}");
    assert_eq!(server.send(&put).await.status(), StatusCode::CREATED);
    let reply = server.send_as(ADA, "GET /_uuids").await;
    assert_eq!(reply.status(), StatusCode::FORBIDDEN);
    assert!(text(reply).await.contains("owes money"));
    assert_eq!(bearer(&server, &token, "GET /_uuids").await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_proxy_that_proves_itself_says_who_it_is() {
    let server = server().await;
    let request = "GET /_session\nx-auth-couchdb-username: foo\nx-auth-couchdb-roles: a,_admin\n\
                   x-auth-couchdb-token: 3f0786e96b20b0102b77f1a49c041be6977cfb3bf78c41a12adc121cd9b4e68a";
    assert_eq!(body(&server, "", request).await["userCtx"]["name"], Value::Null);
    server.app.state().site.accounts.set_proxy_secret(Some(b"the_secret".to_vec()));
    let session = body(&server, "", request).await;
    assert_eq!(session["userCtx"], json!({"name": "foo", "roles": ["a"]}));
    assert_eq!(session["info"]["authenticated"], "proxy");
    let forged = request.replace("username: foo", "username: admin");
    assert_eq!(body(&server, "", &forged).await["userCtx"]["name"], Value::Null);
}

#[tokio::test]
async fn a_signed_token_of_a_known_key_says_who_it_is() {
    let server = server().await;
    let material: Value =
        serde_json::from_str(include_str!("../../../accounts/tests/recorded/jwt-rsa.json"))
            .unwrap();
    let keys = json!({"keys": [{"kty": "RSA", "kid": "r", "n": material["n"], "e": "AQAB"}]});
    let token = material["rs256"].as_str().unwrap();
    let rules = JwtRules {
        keys: KeySet::parse(keys.to_string().as_bytes()).unwrap(),
        required: RequiredClaim::parse_list("sub"),
        roles_path: vec!["_couchdb.roles".to_owned()],
        newer: None,
    };
    server.app.state().site.accounts.set_jwt_rules(Some(rules));
    // It expired in 1970.
    let (status, reply) = bearer(&server, token, "GET /_session").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(reply["reason"], "the token has expired");
    let (header, signature) = (token.split('.').next().unwrap(), token.rsplit('.').next().unwrap());
    let (status, _) = bearer(&server, &format!("{header}.e30.{signature}"), "GET /_session").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn who_guesses_has_to_wait_and_others_do_not() {
    let server = server().await;
    for _ in 0..5 {
        let reply = server.send_as("ada:wrong", "GET /_uuids").await;
        assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    }
    let reply = server.send_as("ada:wrong", "GET /_uuids").await;
    assert_eq!(reply.status(), StatusCode::FORBIDDEN);
    assert_eq!(reply.headers()["retry-after"], "1");
    let right = server.send_as(ADA, "GET /_uuids").await;
    assert_eq!(right.status(), StatusCode::FORBIDDEN, "not heard at all");
    let bob = server.send_as("bob:a long password", "GET /_uuids").await;
    assert_eq!(bob.status(), StatusCode::OK);
    server.clock.advance(Duration::from_secs(2));
    let right = server.send_as(ADA, "GET /_uuids").await;
    assert_eq!(right.status(), StatusCode::OK);
    for _ in 0..10 {
        let admin = server.send_as("admin:wrong", "GET /_uuids").await;
        assert_eq!(admin.status(), StatusCode::UNAUTHORIZED);
    }
    let admin = server.send_as("admin:pw", "GET /_uuids").await;
    assert_eq!(admin.status(), StatusCode::OK);
}

#[tokio::test]
async fn guesses_are_not_heard_where_the_right_password_is_remembered_either() {
    let server = server().await;
    let status = async |address: &str, password: &str| {
        let peer = Some(address.parse().unwrap());
        let authorization = authorization("ada", password);
        let request = parse("GET /_uuids", Some(&authorization));
        let reply = server.app.answer_on(Connection { peer, encrypted: false }, request).await;
        reply.status().as_u16()
    };
    assert_eq!(status("192.0.2.1", "a long password").await, 200);
    for _ in 0..5 {
        assert_eq!(status("192.0.2.2", "wrong").await, 401);
    }
    assert_eq!(status("192.0.2.2", "wrong").await, 403);
    assert_eq!(status("192.0.2.2", "a long password").await, 403);
    assert_eq!(status("192.0.2.1", "a long password").await, 200);
    server.clock.advance(Duration::from_secs(2));
    assert_eq!(status("192.0.2.2", "a long password").await, 200);
}

#[tokio::test]
async fn nobody_locks_the_administrator_out_of_the_machine_itself() {
    let server = server().await;
    let status = async |address: &str, password: &str, forwarded: &str| {
        let peer = Some(address.parse().unwrap());
        let authorization = authorization("admin", password);
        let request = parse(&format!("GET /_uuids{forwarded}"), Some(&authorization));
        let reply = server.app.answer_on(Connection { peer, encrypted: false }, request).await;
        reply.status().as_u16()
    };
    for n in 0..60 {
        status(&format!("192.0.2.{n}"), "wrong", "").await;
        assert_eq!(status("127.0.0.1", "wrong", "").await, 401);
    }
    assert_eq!(status("198.51.100.7", "pw", "").await, 403);
    let forwarded = "\nx-forwarded-for: 198.51.100.7";
    assert_eq!(status("127.0.0.1", "pw", forwarded).await, 403, "a proxy is not whom it serves");
    assert_eq!(status("::1", "pw", "").await, 200);
    // That it is remembered as right is no way around.
    assert_eq!(status("198.51.100.7", "pw", "").await, 403);
}

fn authorization(name: &str, password: &str) -> String {
    let pair = format!("{name}:{password}");
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}
