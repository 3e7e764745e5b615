use std::sync::atomic::AtomicUsize;

use expect_test::expect;
use proptest::prelude::*;
use settle_model::time::{ManualClock, SeededEntropy, Timestamp};

use super::*;
use crate::password::Memory;

/// What a future without anything to wait for comes to.
fn now<T>(future: impl Future<Output = T>) -> T {
    let waker = std::task::Waker::noop();
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

const START: Timestamp = Timestamp::from_seconds(0x6B01_0A8A);
/// `ada:secret`
const ADA: &[u8] = b"Basic YWRhOnNlY3JldA==";
const WRONG: &[u8] = b"Basic YWRhOndyb25n";

/// argon2 in a build for tests is slow; tests share one hash where they can.
fn hash() -> PasswordHash {
    static HASH: OnceLock<PasswordHash> = OnceLock::new();
    HASH.get_or_init(|| PasswordHash::of("secret", &SeededEntropy::new(7)).unwrap()).clone()
}

fn accounts() -> (Accounts, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(START));
    let entropy = SeededEntropy::new(1);
    let secret = SessionSecret::from_stored(b"the secret of a site".to_vec());
    let admin = Account::admin("ada", hash());
    (Accounts::new(admin, secret, clock.clone(), &entropy), clock)
}

#[test]
fn a_stored_hash_is_read_back_and_anything_else_is_refused_with_a_reason() {
    let stored = hash().as_str().to_owned();
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    assert!(PasswordHash::from_stored(&stored).unwrap().matches("secret", &mut Memory::default()));
    let reason = |text: &str| PasswordHash::from_stored(text).unwrap_err().to_string();
    let all = [
        reason("secret"),
        reason(&stored.replace("argon2id", "argon2i")),
        reason("$argon2id$v=19$m=19456,t=2,p=1"),
    ];
    expect![[r#"
        [
            "the stored password is not an argon2id hash in PHC form: password hash string missing field",
            "the stored password is not an argon2id hash in PHC form: the algorithm is argon2i",
            "the stored password is not an argon2id hash in PHC form: salt or hash is missing",
        ]
    "#]]
    .assert_debug_eq(&all);
}

#[test]
fn an_empty_password_is_none() {
    assert_eq!(PasswordHash::of("", &SeededEntropy::new(1)).unwrap_err(), PasswordError::Empty);
}

#[tokio::test]
async fn credentials_are_remembered_only_after_they_were_right() {
    let (accounts, _) = accounts();
    assert!(accounts.remembered(ADA, || None).is_none());
    assert_eq!(accounts.sign_in(WRONG, None).await.unwrap_err(), SignInError::Incorrect);
    assert!(accounts.remembered(WRONG, || None).is_none());
    accounts.sign_in(ADA, None).await.unwrap().unwrap();
    let actor = accounts.remembered(ADA, || None).unwrap();
    expect![[r#"
        User {
            name: "ada",
            roles: [
                "_admin",
            ],
            scope: Everything,
        }
    "#]]
    .assert_debug_eq(&*actor);
}

#[tokio::test]
async fn an_unknown_name_is_as_wrong_as_a_wrong_password() {
    let (accounts, _) = accounts();
    // `bob:secret`
    let outcome = accounts.sign_in(b"Basic Ym9iOnNlY3JldA==", None).await;
    assert_eq!(outcome.unwrap_err(), SignInError::Incorrect);
}

#[tokio::test]
async fn a_header_of_another_kind_names_nobody() {
    let (accounts, _) = accounts();
    assert!(accounts.sign_in(b"Bearer abc", None).await.unwrap().is_none());
}

#[tokio::test]
async fn a_new_password_ends_sessions_and_remembered_credentials() {
    let (accounts, _) = accounts();
    accounts.sign_in(ADA, None).await.unwrap();
    let (cookie, _) = accounts.open_session("ada", "secret", None).await.unwrap();
    assert!(accounts.session(&cookie).await.unwrap().is_some());
    let other = PasswordHash::of("other", &SeededEntropy::new(8)).unwrap();
    accounts.replace_admin(Account::admin("ada", other));
    assert!(accounts.session(&cookie).await.unwrap().is_none());
    assert!(accounts.remembered(ADA, || None).is_none());
    assert_eq!(accounts.sign_in(ADA, None).await.unwrap_err(), SignInError::Incorrect);
}

#[tokio::test]
async fn a_session_slides_as_long_as_it_is_used_and_then_ends() {
    let (accounts, clock) = accounts();
    let (mut cookie, _) = accounts.open_session("ada", "secret", None).await.unwrap();
    clock.advance(Duration::from_secs(60));
    assert!(accounts.session(&cookie).await.unwrap().unwrap().renewed.is_none());
    for _ in 0..5 {
        clock.advance(Duration::from_secs(500));
        let session = accounts.session(&cookie).await.unwrap().unwrap();
        cookie = session.renewed.unwrap();
    }
    clock.advance(Duration::from_secs(600));
    assert!(accounts.session(&cookie).await.unwrap().is_none());
}

#[tokio::test]
async fn a_session_outlives_one_change_of_the_secret_and_not_two() {
    let (accounts, _) = accounts();
    let (cookie, _) = accounts.open_session("ada", "secret", None).await.unwrap();
    let secret = |n: u8| SessionSecret::from_stored(vec![n; 32]);
    let first = SessionSecret::from_stored(b"the secret of a site".to_vec());
    accounts.rotate_secret(secret(1), Some(first));
    let renewed = accounts.session(&cookie).await.unwrap().unwrap().renewed.unwrap();
    accounts.rotate_secret(secret(2), Some(secret(1)));
    assert!(accounts.session(&cookie).await.unwrap().is_none());
    assert!(accounts.session(&renewed).await.unwrap().is_some());
}

#[tokio::test]
async fn the_cookie_has_couchdbs_form() {
    let (accounts, _) = accounts();
    let (cookie, _) = accounts.open_session("ada", "secret", None).await.unwrap();
    expect!["YWRhOjZCMDEwQThBOoCnXzwsbDP7V61HJx5EWaCXrsnUZt-95TcDm8Iwj4vv"].assert_eq(&cookie);
}

#[tokio::test]
async fn checks_beyond_those_that_may_wait_are_refused_at_once() {
    let (accounts, _) = accounts();
    let accounts = Arc::new(accounts);
    let busy = Arc::new(AtomicUsize::new(0));
    let _all = accounts.hashing.occupy().await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..limits::CHECKS_WAITING_MAX + 3 {
        let (accounts, busy) = (Arc::clone(&accounts), Arc::clone(&busy));
        waiting.spawn(async move {
            if accounts.sign_in(WRONG, None).await == Err(SignInError::Busy) {
                busy.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for _ in 0..3 {
        waiting.join_next().await.unwrap().unwrap();
    }
    assert_eq!(busy.load(Ordering::SeqCst), 3);
}

proptest! {
    #[test]
    fn no_text_but_a_sealed_one_is_a_session(text in "\\PC{0,80}") {
        let (accounts, _) = accounts();
        prop_assert!(!matches!(now(accounts.session(&text)), Ok(Some(_))));
    }

    #[test]
    fn changing_one_byte_of_a_cookie_breaks_its_seal(at in 0usize..44, change in 1u8..=255) {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let (accounts, _) = accounts();
        let cookie = Cookie { name: "ada".to_owned(), opened: START.seconds() };
        let cookie = cookie.seal(&accounts.secrets().current, accounts.admin().password.salt());
        prop_assert!(now(accounts.session(&cookie)).unwrap().is_some());
        let mut text = URL_SAFE_NO_PAD.decode(cookie).unwrap();
        text[at] ^= change;
        let broken = URL_SAFE_NO_PAD.encode(text);
        prop_assert!(!matches!(now(accounts.session(&broken)), Ok(Some(_))));
    }
}
