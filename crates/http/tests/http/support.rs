//! A server in memory, and one `check` for whole replies.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use expect_test::Expect;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use settle_accounts::{Account, Accounts, PasswordHash, SessionSecret};
use settle_database::{
    Store, StoreParts, StoreSettings,
    blobs::{BlobSettings, BlobStore, BlobStoreParts},
};
use settle_engine::{Engine, memory::MemoryEngine};
use settle_http::{App, AppState, Foundations, MemoryConfig, Settings};
use settle_index::{IndexParts, IndexSettings, Indexes};
use settle_model::time::{Clock, Entropy, ManualClock, SeededEntropy, Timestamp};
use settle_replicator::{
    KEY_BYTES, Replicator, Scheduler, SchedulerParts, SchedulerSettings, Sealer,
};
use settle_script::{Launcher, ScriptSettings, Scripts};
use settle_site::{Site, SiteParts};

/// 2026-11-21, 03:05:46.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_795_230_346);
/// `admin:pw`
pub(crate) const ADMIN: &str = "Basic YWRtaW46cHc=";

pub(crate) struct TestServer {
    pub(crate) app: App,
    pub(crate) clock: Arc<ManualClock>,
}

impl TestServer {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let state = state(clock.clone(), Arc::new(SeededEntropy::new(1))).await;
        Self { app: App::new(Arc::new(state)), clock }
    }

    /// One on what another may have left.
    pub(crate) async fn on(engine: Arc<dyn Engine>, seed: u64) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let entropy = Arc::new(SeededEntropy::new(seed));
        let state = state_on(engine, clock.clone(), entropy, None).await;
        Self { app: App::new(Arc::new(state)), clock }
    }

    /// One that keeps records of acts and sign-ins for so long.
    pub(crate) async fn audited(keep: Duration) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let state = state_with(clock.clone(), Arc::new(SeededEntropy::new(1)), Some(keep)).await;
        state.open_audit().await.unwrap();
        Self { app: App::new(Arc::new(state)), clock }
    }

    /// Sends `GET /path` and the like, signed in as the admin, with headers as `name: value` lines
    /// behind it, then an empty line and the body.
    pub(crate) async fn send(&self, request: &str) -> Response<Body> {
        self.app.answer(parse(request, Some(ADMIN))).await
    }

    /// As `send`, as somebody (`ada:password`) or nobody (an empty text).
    pub(crate) async fn send_as(&self, who: &str, request: &str) -> Response<Body> {
        let authorization = format!("Basic {}", BASE64_STANDARD.encode(who));
        let authorization = (!who.is_empty()).then_some(&*authorization);
        self.app.answer(parse(request, authorization)).await
    }

    /// Makes the database of users, and users of these names and roles whose password is `password`.
    pub(crate) async fn with_users(self, users: &[(&str, &str)]) -> Self {
        self.app.state().site.accounts.ensure_users().await.unwrap();
        for (name, roles) in users {
            let request = format!(
                "PUT /_users/org.couchdb.user:{name}\n\n\
                 {{\"type\":\"user\",\"name\":\"{name}\",\"roles\":{roles},\"password\":\"password\"}}"
            );
            let reply = self.send(&request).await;
            assert_eq!(reply.status(), 201, "{name}");
        }
        self
    }

    pub(crate) async fn send_anonymous(&self, request: &str) -> Response<Body> {
        self.app.answer(parse(request, None)).await
    }

    pub(crate) async fn check(&self, request: &str, expected: Expect) {
        expected.assert_eq(&written(self.send(request).await).await);
    }

    pub(crate) async fn check_anonymous(&self, request: &str, expected: Expect) {
        expected.assert_eq(&written(self.send_anonymous(request).await).await);
    }
}

pub(crate) async fn state(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> AppState {
    state_with(clock, entropy, None).await
}

pub(crate) async fn state_with(
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    audit: Option<Duration>,
) -> AppState {
    state_on(Arc::new(MemoryEngine::new()), clock, entropy, audit).await
}

async fn state_on(
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    audit: Option<Duration>,
) -> AppState {
    let blobs = BlobStoreParts {
        engine: Arc::clone(&engine),
        folder: None,
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        settings: BlobSettings::default(),
    };
    let parts = StoreParts {
        engine,
        blobs: BlobStore::open(blobs).await.unwrap(),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        settings: StoreSettings::default(),
    };
    let store = Store::open(parts).await.unwrap();
    let scripts = Scripts::new(Launcher::this_test().unwrap(), ScriptSettings::default());
    let indexes = IndexParts {
        engine: Arc::new(MemoryEngine::new()),
        store: store.clone(),
        scripts: scripts.clone(),
        folder: None,
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        settings: IndexSettings::default(),
    };
    let indexes = Indexes::open(indexes).await.unwrap();
    let admin = Account::admin("admin", PasswordHash::of("pw", &*entropy).unwrap());
    let secret = SessionSecret::from_stored(b"secret".to_vec());
    let accounts = Accounts::new(admin, secret, Arc::clone(&clock), &*entropy);
    let settings = Settings::load(Arc::new(MemoryConfig::default()));
    let site = Arc::new(Site::new(SiteParts {
        store,
        indexes,
        scripts,
        accounts: Arc::new(accounts),
        sealer: Arc::new(Sealer::new([7; KEY_BYTES], &[])),
        clock,
        entropy,
    }));
    let parts = SchedulerParts {
        site: Arc::clone(&site),
        spool: None,
        settings: SchedulerSettings::default(),
    };
    let scheduler = Scheduler::start(parts).await.unwrap();
    let replicator = Replicator::new(Arc::clone(&site), Arc::new(scheduler));
    replicator.follow_documents().await.unwrap();
    AppState::new(Foundations {
        site,
        replicator: Arc::new(replicator),
        shows_lists: true,
        settings: Arc::new(settings),
        audit,
    })
}

pub(crate) fn parse(text: &str, authorization: Option<&str>) -> Request<Body> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines().map(str::trim);
    let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
    let mut request =
        Request::new(if body.is_empty() { Body::empty() } else { Body::from(body.to_owned()) });
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = path.parse().unwrap();
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("localhost:5984"));
    if let Some(authorization) = authorization {
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
    }
    for (name, value) in lines.map(|line| line.split_once(": ").unwrap()) {
        let name: HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    request
}

/// Status, headers by name but for those that every reply has, body.
pub(crate) async fn written(mut response: Response<Body>) -> String {
    let headers = response.headers_mut();
    for name in ["connection", "server", "x-couch-request-id", "x-couchdb-body-time"] {
        headers.remove(name);
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        headers.remove(header::X_CONTENT_TYPE_OPTIONS);
    }
    if headers.get(header::CACHE_CONTROL).is_some_and(|it| it == "must-revalidate") {
        headers.remove(header::CACHE_CONTROL);
    }
    whole(response).await
}

/// Status, headers by name, body.
pub(crate) async fn whole(response: Response<Body>) -> String {
    let (parts, body) = response.into_parts();
    let mut lines = vec![parts.status.to_string()];
    let mut headers: Vec<_> = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    lines.extend(headers);
    let body = body.collect().await.unwrap().to_bytes();
    lines.push(String::new());
    lines.push(String::from_utf8_lossy(&body).into_owned());
    lines.join("\n")
}

pub(crate) async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}
