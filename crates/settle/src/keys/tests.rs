//! Keys at a URL, on a server of the loopback address.

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::{crypto::ring as crypto, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use settle_accounts::{Account, PasswordHash, SessionSecret};
use settle_model::time::{ManualClock, SeededEntropy, Timestamp};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::limits::{KEYS_BYTES_MAX, KEYS_FETCHED_AGAIN_AFTER, KEYS_FETCHED_EVERY, KEYS_KEPT_FOR};

const NOW: u64 = 1_700_000_000;

/// Who signs tokens. Keys have names of a letter, from which they are made.
fn pair(kid: char) -> Ed25519KeyPair {
    let seed = [u8::try_from(kid).unwrap(); 32];
    Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()
}

fn key(kid: char) -> Value {
    let x = BASE64_URL_SAFE_NO_PAD.encode(pair(kid).public_key());
    json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x})
}

fn set(kids: &str) -> String {
    json!({"keys": kids.chars().map(key).collect::<Vec<_>>()}).to_string()
}

fn token(kid: char) -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({"alg": "EdDSA", "kid": kid}));
    let signed = format!("{head}.{}", part(json!({"sub": "ada", "exp": NOW + 1_000_000})));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(pair(kid).sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Publishes a key set.
struct Publisher {
    address: SocketAddr,
    says: Arc<Mutex<String>>,
    asked: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Publisher {
    async fn start(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let says = Arc::new(Mutex::new(String::new()));
        let asked = Arc::new(AtomicU64::new(0));
        let (reply, count) = (Arc::clone(&says), Arc::clone(&asked));
        let serve = async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let reply = reply.lock().unwrap().clone();
                count.fetch_add(1, Ordering::Relaxed);
                // Who does not like the certificate hangs up.
                let _outcome = match &tls {
                    None => answer(&mut stream, &reply).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(mut stream) => answer(&mut stream, &reply).await,
                        Err(error) => Err(error),
                    },
                };
            }
        };
        #[expect(clippy::disallowed_methods, reason = "it ends with the test")]
        let task = tokio::spawn(serve);
        Self { address, says, asked, task }
    }

    fn publish(&self, kids: &str) {
        self.say("200 OK", &set(kids));
    }

    fn say(&self, status: &str, body: &str) {
        let length = body.len();
        *self.says.lock().unwrap() =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn answer<S>(stream: &mut S, reply: &str) -> io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    assert!(request.starts_with(b"GET /keys?of=us HTTP/1.1\r\n"));
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await
}

/// A server's people, with keys of a URL, and a clock that stands still.
struct World {
    accounts: Arc<Accounts>,
    clock: Arc<ManualClock>,
    keys: Keys,
    asked: KeysAsked,
}

impl World {
    fn new(config: &Config) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(NOW)));
        let entropy = SeededEntropy::new(1);
        let admin = Account::admin("admin", PasswordHash::of("pw", &entropy).unwrap());
        let secret = SessionSecret::generate(&entropy);
        let accounts = Accounts::new(admin, secret, Arc::clone(&clock) as _, &entropy);
        let accounts = Arc::new(accounts);
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let (keys, asked) = Keys::open(config, &accounts, &shared).unwrap().unwrap();
        keys.set();
        Self { accounts, clock, keys, asked }
    }

    fn of(publisher: &Publisher) -> Self {
        Self::new(&config("http", publisher))
    }

    /// What becomes of a token that this key has signed.
    async fn comes_in(&mut self, kid: char) -> Result<(), String> {
        let header = format!("Bearer {}", token(kid));
        let asking = async {
            loop {
                let wanted = self.asked.next().await;
                self.keys.answer(wanted).await;
            }
        };
        tokio::select! {
            outcome = self.accounts.sign_in(header.as_bytes(), None) => {
                let actor = outcome.map_err(|error| error.to_string())?.unwrap();
                assert_eq!(actor.name(), Some("ada"));
                Ok(())
            }
            () = asking => unreachable!("it goes on"),
        }
    }
}

fn config(scheme: &str, publisher: &Publisher) -> Config {
    let url = format!("{scheme}://{}/keys?of=us", publisher.address);
    Config { jwt_keys_url: Some(url.parse().unwrap()), ..Config::default() }
}

const UNKNOWN: &str = "no key is known that the token could be signed with";

#[test]
fn a_dot_behind_a_backslash_belongs_to_a_name() {
    assert_eq!(members(r"_couchdb\.roles"), ["_couchdb.roles"]);
    assert_eq!(members("realm.roles"), ["realm", "roles"]);
}

#[tokio::test]
async fn a_token_of_a_new_key_fetches_it_and_one_of_a_key_that_was_taken_away_is_refused() {
    let publisher = Publisher::start(None).await;
    let mut world = World::of(&publisher);
    publisher.publish("a");
    world.comes_in('a').await.unwrap();
    world.comes_in('a').await.unwrap();
    assert_eq!(publisher.asked(), 1);

    // Both while both are in use, then the new one alone.
    publisher.publish("ab");
    world.clock.advance(KEYS_FETCHED_AGAIN_AFTER);
    world.comes_in('b').await.unwrap();
    world.comes_in('a').await.unwrap();
    publisher.publish("b");
    world.clock.advance(KEYS_FETCHED_EVERY);
    world.keys.look().await;
    assert_eq!(world.comes_in('a').await.unwrap_err(), UNKNOWN);
    world.comes_in('b').await.unwrap();
    assert_eq!(publisher.asked(), 3);
}

#[tokio::test]
async fn who_makes_names_of_keys_up_does_not_make_the_server_ask_all_the_time() {
    let publisher = Publisher::start(None).await;
    publisher.publish("a");
    let mut world = World::of(&publisher);
    for kid in 'b'..'z' {
        assert_eq!(world.comes_in(kid).await.unwrap_err(), UNKNOWN);
    }
    assert_eq!(publisher.asked(), 1);
    world.comes_in('a').await.unwrap();
    world.clock.advance(KEYS_FETCHED_AGAIN_AFTER);
    assert_eq!(world.comes_in('z').await.unwrap_err(), UNKNOWN);
    assert_eq!(publisher.asked(), 2);
}

#[tokio::test]
async fn a_url_that_fails_leaves_the_keys_in_force_for_a_day() {
    let publisher = Publisher::start(None).await;
    publisher.publish("a");
    let mut world = World::of(&publisher);
    world.comes_in('a').await.unwrap();
    let large = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(KEYS_BYTES_MAX));
    let elsewhere = format!("302 Found\r\nlocation: http://{}/keys?of=us", publisher.address);
    for (status, body) in [
        ("500 Internal Server Error", ""),
        ("404 Not Found", set("b").as_str()),
        (elsewhere.as_str(), ""),
        ("200 OK", "<html>"),
        ("200 OK", large.as_str()),
    ] {
        publisher.say(status, body);
        world.clock.advance(KEYS_FETCHED_EVERY);
        assert!(world.keys.published.as_ref().unwrap().is_due());
        world.keys.look().await;
        world.comes_in('a').await.unwrap();
        assert_eq!(world.comes_in('b').await.unwrap_err(), UNKNOWN, "{status}");
    }
    publisher.task.abort();
    world.clock.advance(KEYS_KEPT_FOR - 6 * KEYS_FETCHED_EVERY);
    world.keys.look().await;
    world.comes_in('a').await.unwrap();
    world.clock.advance(KEYS_FETCHED_EVERY);
    world.keys.look().await;
    assert_eq!(world.comes_in('a').await.unwrap_err(), UNKNOWN);
}

#[tokio::test]
async fn a_url_that_answers_later_is_asked_again() {
    let publisher = Publisher::start(None).await;
    publisher.say("503 Service Unavailable", "");
    let mut world = World::of(&publisher);
    world.keys.look().await;
    assert_eq!(world.comes_in('a').await.unwrap_err(), UNKNOWN);
    publisher.publish("a");
    assert_eq!(world.comes_in('a').await.unwrap_err(), UNKNOWN, "too soon");
    world.clock.advance(KEYS_FETCHED_AGAIN_AFTER);
    world.keys.look().await;
    world.comes_in('a').await.unwrap();
}

#[tokio::test]
async fn the_same_keys_again_are_no_news() {
    let publisher = Publisher::start(None).await;
    publisher.publish("a");
    let mut world = World::of(&publisher);
    let published = world.keys.published.as_mut().unwrap();
    assert!(published.refresh().await);
    assert!(!published.refresh().await);
    publisher.publish("b");
    assert!(published.refresh().await);
}

#[tokio::test]
async fn keys_of_a_file_and_of_a_url_are_good_side_by_side() {
    let publisher = Publisher::start(None).await;
    publisher.publish("b");
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("keys.json");
    fs::write(&path, set("a")).unwrap();
    let mut world =
        World::new(&Config { jwt_keys: Some(path.clone()), ..config("http", &publisher) });
    world.comes_in('a').await.unwrap();
    assert_eq!(publisher.asked(), 0);
    world.comes_in('b').await.unwrap();

    fs::write(&path, set("c")).unwrap();
    let later = fs::metadata(&path).unwrap().modified().unwrap() + Duration::from_secs(9);
    fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    world.keys.look().await;
    world.comes_in('c').await.unwrap();
    world.comes_in('b').await.unwrap();
    assert_eq!(world.comes_in('a').await.unwrap_err(), UNKNOWN);
}

#[tokio::test]
async fn over_tls_only_a_publisher_with_a_trusted_certificate_is_believed() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(crypto::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let publisher = Publisher::start(Some(TlsAcceptor::from(Arc::new(tls)))).await;
    publisher.publish("a");
    let folder = TempDir::new().unwrap();
    let trusted = folder.path().join("trusted.pem");
    fs::write(&trusted, made.cert.pem()).unwrap();

    let mut world = World::new(&config("https", &publisher));
    assert_eq!(world.comes_in('a').await.unwrap_err(), UNKNOWN);
    let mut world =
        World::new(&Config { tls_trusted: Some(trusted), ..config("https", &publisher) });
    world.comes_in('a').await.unwrap();
}

#[tokio::test]
async fn the_doctor_says_whether_keys_are_where_the_server_will_look() {
    let publisher = Publisher::start(None).await;
    let config = config("http", &publisher);
    let found = async || {
        let found = crate::doctor::keys(&config).await.unwrap();
        let address = publisher.address.to_string();
        format!("{:?} {}", found.level, found.what.replace(&address, "HOST"))
    };
    publisher.publish("ab");
    assert_eq!(found().await, "Good http://HOST/keys?of=us has keys for JSON Web Tokens: 2");
    publisher.publish("");
    let none = "Problem http://HOST/keys?of=us has no key that JSON Web Tokens can be checked with";
    assert_eq!(found().await, none);
    publisher.say("404 Not Found", "");
    let failed = "Problem keys of JSON Web Tokens not fetched: it is answered with 404 Not Found, and \
                  not with 200";
    assert_eq!(found().await, failed);
    assert_eq!(crate::doctor::keys(&Config::default()).await, None);
}
