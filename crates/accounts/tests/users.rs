//! Users as documents of a store: signing in, what ends when a document changes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use settle_access::{Actor, Grant, Read, Write};
use settle_accounts::{
    Account, Accounts, KeptBeside, PasswordHash, PasswordRules, Proposed, SessionSecret,
    SignInError, USER_PREFIX, UserError,
};
use settle_database::{
    Atomicity, Content, Database, Edit, Extras, Origin, Select, Store, StoreParts, StoreSettings,
    Verdict,
    blobs::{BlobSettings, BlobStore, BlobStoreParts},
};
use settle_engine::{Engine, memory::MemoryEngine};
use settle_model::time::{Clock, Entropy, ManualClock, SeededEntropy};

struct Site {
    clock: Arc<ManualClock>,
    accounts: Arc<Accounts>,
    users: Database,
}

fn admin() -> Actor {
    Actor::user("root", vec!["_admin".to_owned()])
}

async fn site() -> Site {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let manual = Arc::new(ManualClock::default());
    let clock: Arc<dyn Clock> = manual.clone();
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(3));
    let blobs = BlobStore::open(BlobStoreParts {
        engine: engine.clone(),
        folder: None,
        clock: clock.clone(),
        entropy: entropy.clone(),
        settings: BlobSettings::default(),
    });
    let parts = StoreParts {
        engine,
        blobs: blobs.await.unwrap(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        settings: StoreSettings::default(),
    };
    let store = Store::open(parts).await.unwrap();
    let hash = PasswordHash::of("root's password", &*entropy).unwrap();
    let secret = SessionSecret::generate(&*entropy);
    let accounts = Accounts::new(Account::admin("root", hash), secret, clock, &*entropy);
    accounts.attach(store, KeptBeside::nothing(), entropy);
    accounts.ensure_users().await.unwrap();
    accounts.ensure_users().await.unwrap();
    let users = accounts.users().await.unwrap().unwrap();
    Site { clock: manual, accounts: Arc::new(accounts), users }
}

fn basic(name: &str, password: &str) -> Vec<u8> {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}"))).into_bytes()
}

impl Site {
    async fn body(&self, name: &str) -> Option<Vec<u8>> {
        let grant: Grant<Read> = Grant::internal(self.users.resource(), "a test");
        let id = format!("{USER_PREFIX}{name}").parse().unwrap();
        let found = self.users.get(&grant, &id, &Select::Winner, Extras::default()).await;
        Some(found.ok()?.body.to_vec())
    }

    /// Writes a user as the HTTP surface does it, over what is there.
    async fn put(&self, by: &Actor, name: &str, body: &str) -> Result<(), UserError> {
        let id = format!("{USER_PREFIX}{name}");
        let before = self.body(name).await;
        let proposed =
            Proposed { id: &id, deleted: false, body: body.as_bytes(), replicated: false };
        let body = self.accounts.prepare_user(by, proposed, before.as_deref()).await?;
        self.store(name, body).await;
        Ok(())
    }

    async fn store(&self, name: &str, body: Vec<u8>) {
        let id = format!("{USER_PREFIX}{name}").parse().unwrap();
        let read: Grant<Read> = Grant::internal(self.users.resource(), "a test");
        let base = self.users.get(&read, &id, &Select::Winner, Extras::default()).await;
        let edit = Edit {
            id,
            origin: Origin::Interactive { base: base.ok().map(|it| it.rev), must_exist: false },
            deleted: false,
            content: Content::Whole { body, attachments: Vec::new() },
            verdict: Verdict::internal("a test"),
        };
        let grant: Grant<Write> = Grant::internal(self.users.resource(), "a test");
        let written = self.users.write(&grant, vec![edit], Atomicity::EachAlone).await.unwrap();
        written.into_iter().for_each(|it| drop(it.unwrap()));
    }

    async fn sign_in(&self, name: &str, password: &str) -> Result<Arc<Actor>, SignInError> {
        Ok(self.accounts.sign_in(&basic(name, password), None).await?.expect("it is Basic"))
    }
}

fn ada(password: &str) -> String {
    format!(r#"{{"type":"user","name":"ada","roles":["reader"],"password":"{password}"}}"#)
}

#[tokio::test]
async fn a_user_signs_in_with_the_password_that_was_set_and_it_is_stored_as_a_hash_alone() {
    let site = site().await;
    site.put(&admin(), "ada", &ada("correct horse")).await.unwrap();
    let stored = String::from_utf8(site.body("ada").await.unwrap()).unwrap();
    assert!(!stored.contains("correct horse"), "{stored}");
    assert!(stored.contains(r#""password_scheme":"argon2id""#), "{stored}");
    let actor = site.sign_in("ada", "correct horse").await.unwrap();
    assert_eq!(*actor, Actor::user("ada", vec!["reader".to_owned()]));
    assert_eq!(site.sign_in("ada", "wrong").await.unwrap_err(), SignInError::Incorrect);
    assert_eq!(site.sign_in("bob", "wrong").await.unwrap_err(), SignInError::Incorrect);
}

#[tokio::test]
async fn a_new_password_ends_what_was_remembered_and_every_session() {
    let site = site().await;
    site.put(&admin(), "ada", &ada("old password")).await.unwrap();
    site.sign_in("ada", "old password").await.unwrap();
    let (cookie, _) = site.accounts.open_session("ada", "old password", None).await.unwrap();
    assert!(site.accounts.remembered(&basic("ada", "old password"), || None).is_some());
    assert!(site.accounts.session(&cookie).await.unwrap().is_some());
    site.put(&Actor::user("ada", vec![]), "ada", &ada("new password")).await.unwrap();
    assert!(site.accounts.remembered(&basic("ada", "old password"), || None).is_none());
    assert!(site.accounts.session(&cookie).await.unwrap().is_none());
    assert_eq!(site.sign_in("ada", "old password").await.unwrap_err(), SignInError::Incorrect);
    site.sign_in("ada", "new password").await.unwrap();
}

#[tokio::test]
async fn roles_and_suspensions_count_from_the_moment_they_are_written() {
    let site = site().await;
    site.put(&admin(), "ada", &ada("correct horse")).await.unwrap();
    site.sign_in("ada", "correct horse").await.unwrap();
    let (cookie, _) = site.accounts.open_session("ada", "correct horse", None).await.unwrap();
    let stored = String::from_utf8(site.body("ada").await.unwrap()).unwrap();
    let writer = stored.replace(r#"["reader"]"#, r#"["writer","_admin"]"#);
    site.store("ada", writer.into_bytes()).await;
    let actor = site.sign_in("ada", "correct horse").await.unwrap();
    assert_eq!(actor.roles(), ["writer"], "a role of the system is none");
    let session = site.accounts.session(&cookie).await.unwrap().unwrap();
    assert_eq!(session.actor.roles(), ["writer"]);

    let suspended = stored.replacen('{', r#"{"suspended":"owes money","#, 1);
    site.store("ada", suspended.into_bytes()).await;
    let reason = || SignInError::Suspended { reason: "owes money".to_owned() };
    assert_eq!(site.sign_in("ada", "correct horse").await.unwrap_err(), reason());
    assert_eq!(site.sign_in("ada", "wrong").await.unwrap_err(), SignInError::Incorrect);
    assert!(site.accounts.session(&cookie).await.unwrap().is_none());
    site.store("ada", stored.into_bytes()).await;
    assert!(site.accounts.session(&cookie).await.unwrap().is_some());
    site.sign_in("ada", "correct horse").await.unwrap();
}

#[tokio::test]
async fn what_is_written_to_others_costs_a_remembered_user_no_check_of_a_password() {
    let site = site().await;
    site.put(&admin(), "ada", &ada("correct horse")).await.unwrap();
    site.sign_in("ada", "correct horse").await.unwrap();
    site.store("bob", br#"{"type":"user","name":"bob","roles":[]}"#.to_vec()).await;
    assert!(site.accounts.remembered(&basic("ada", "correct horse"), || None).is_none());
    // As busy as it can be: whoever needed a password checked would be turned away.
    let mut busy = tokio::task::JoinSet::new();
    for n in 0..settle_accounts::limits::CHECKS_WAITING_MAX {
        let accounts = Arc::clone(&site.accounts);
        busy.spawn(async move { accounts.sign_in(&basic(&n.to_string(), "wrong"), None).await });
    }
    tokio::task::yield_now().await;
    site.sign_in("ada", "correct horse").await.unwrap();
    busy.abort_all();
    assert!(site.accounts.remembered(&basic("ada", "correct horse"), || None).is_some());
}

#[tokio::test]
async fn users_of_couchdb_sign_in_with_their_password_and_are_upgraded() {
    let site = site().await;
    for line in include_str!("recorded/users.jsonl").lines() {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        let password = line["password"].as_str().unwrap().to_owned();
        let document = line["document"].as_object_mut().unwrap();
        document.retain(|key, _| !key.starts_with('_'));
        let name = document["name"].as_str().unwrap().to_owned();
        let salt = document["salt"].as_str().unwrap().to_owned();
        let body = serde_json::to_vec(document).unwrap();
        site.store(&name, body.clone()).await;

        assert_eq!(site.sign_in(&name, "wrong").await.unwrap_err(), SignInError::Incorrect);
        assert_eq!(site.body(&name).await.unwrap(), body, "a wrong password changes nothing");
        site.sign_in(&name, &password).await.unwrap();
        let stored = site.body(&name).await.unwrap();
        let stored: serde_json::Value = serde_json::from_slice(&stored).unwrap();
        assert_eq!(stored["password_scheme"], "argon2id");
        assert_eq!(stored["salt"], salt, "sessions go on");
        assert_eq!(stored["roles"], serde_json::json!(["reader"]));
        for gone in ["derived_key", "iterations", "pbkdf2_prf", "password_sha"] {
            assert!(stored.get(gone).is_none(), "{gone}");
        }
        site.sign_in(&name, &password).await.unwrap();
        assert_eq!(site.sign_in(&name, "wrong").await.unwrap_err(), SignInError::Incorrect);
    }
}

#[tokio::test]
async fn a_password_against_the_rules_is_refused_before_anything_is_stored() {
    let site = site().await;
    site.accounts.set_password_rules(PasswordRules { length_min: 8, patterns: Vec::new() });
    let refused = site.put(&admin(), "ada", &ada("short")).await.unwrap_err();
    assert!(matches!(refused, UserError::Password { .. }), "{refused}");
    assert!(site.body("ada").await.is_none());
}

#[tokio::test]
async fn who_has_a_second_factor_signs_in_with_its_digits_for_a_session_alone() {
    let site = site().await;
    site.put(&admin(), "ada", &ada("correct horse")).await.unwrap();
    site.sign_in("ada", "correct horse").await.unwrap();
    // The secret of RFC 4226, and its digits a minute after the beginning of time.
    const DIGITS: &str = "359152";
    let totp = r#"{"totp":{"key":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"},"#;
    let stored = String::from_utf8(site.body("ada").await.unwrap()).unwrap();
    site.store("ada", stored.replacen('{', totp, 1).into_bytes()).await;
    let refused = SignInError::Incorrect;
    assert_eq!(site.sign_in("ada", "correct horse").await.unwrap_err(), refused);
    for (password, digits) in [
        ("correct horse", None),
        ("correct horse", Some("755225")),
        ("correct horse", Some("")),
        ("wrong", Some(DIGITS)),
    ] {
        let outcome = site.accounts.open_session_with("ada", password, digits, None).await;
        assert_eq!(outcome.unwrap_err(), refused, "{password} {digits:?}");
    }
    site.clock.advance(std::time::Duration::from_secs(60));
    let opened = site.accounts.open_session_with("ada", "correct horse", Some(DIGITS), None).await;
    let (cookie, _) = opened.unwrap();
    assert!(site.accounts.session(&cookie).await.unwrap().is_some());
}
