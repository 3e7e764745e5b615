//! People by the thousand, who are signed in by a proxy, since checking a password is slow on purpose.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::{bench::send_each, client::Target, process::PROXY_SECRET};

/// In one request.
const AT_ONCE: u64 = 500;

/// Of some password; nobody signs in with it here.
const KEPT_PASSWORD: &str = "\"password_scheme\":\"argon2id\",\
     \"salt\":\"53f1ba3e3ae2f9d6b9c8e1a0d4c7b2f1\",\
     \"password_hash\":\"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
     DNw2mq4nYZXTPZpCgKZkJHGAOqLqCSxb7uq3TAMLpXk\"";

/// Adds users 0 to `count`.
pub(crate) async fn make(target: &Target, count: u64) -> Result<(), anyhow::Error> {
    let request = |n: u64| {
        let numbers = n * AT_ONCE..count.min((n + 1) * AT_ONCE);
        let users = numbers.map(|number| {
            let name = name_of(number);
            format!(
                "{{\"_id\":\"org.couchdb.user:{name}\",\"type\":\"user\",\"name\":\"{name}\",\
                 \"roles\":[],{KEPT_PASSWORD}}}"
            )
        });
        let body = format!("{{\"docs\":[{}]}}", users.collect::<Vec<_>>().join(","));
        target.json("POST", "/_users/_bulk_docs", body.as_bytes())
    };
    send_each(target, 0..count.div_ceil(AT_ONCE), &request).await
}

pub(crate) fn name_of(number: u64) -> String {
    format!("user{number:07}")
}

/// The headers with which a proxy says who it is.
pub(crate) fn signed(number: u64) -> String {
    let name = name_of(number);
    let mac = Hmac::<Sha256>::new_from_slice(PROXY_SECRET.as_bytes()).expect("any length is a key");
    let token = hex::encode(mac.chain_update(name.as_bytes()).finalize().into_bytes());
    format!("x-auth-couchdb-username: {name}\r\nx-auth-couchdb-token: {token}\r\n")
}
