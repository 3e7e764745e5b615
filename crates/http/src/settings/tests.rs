use expect_test::expect;

use super::*;

async fn refusal(section: &str, key: &str, value: &str) -> String {
    let settings = Settings::load(Arc::new(MemoryConfig::default()));
    settings.set(section, key, value, true).await.unwrap_err().to_string()
}

#[tokio::test]
async fn what_executes_is_fixed_unknown_or_invalid_is_refused_with_a_reason() {
    let all = [
        refusal("query_servers", "javascript", "sh -c id").await,
        refusal("couchdb", "max_document_size", "1").await,
        refusal("couchdb", "database_dir", "/tmp").await,
        refusal("uuids", "algorithm", "rot13").await,
        refusal("chttpd_auth", "timeout", "0").await,
        refusal("uuids", "utc_id_suffix", "a/b").await,
    ];
    expect![[r#"
        [
            "Config section blacklisted for modification over HTTP API.",
            "couchdb/max_document_size is set when the server starts and cannot be changed over HTTP",
            "couchdb/database_dir is not a setting that this server has",
            "uuids/algorithm: expected one of sequential, utc_random, utc_id, uuid_v7, uuid_v4, random",
            "chttpd_auth/timeout: expected a number from 1 to 2592000",
            "uuids/utc_id_suffix: expected at most 64 letters, digits, '-', '_' or '.'",
        ]
    "#]].assert_debug_eq(&all);
}

#[tokio::test]
async fn a_changed_setting_is_live_at_once_and_there_after_the_next_start() {
    let store = Arc::new(MemoryConfig::default());
    let settings = Settings::load(Arc::clone(&store) as Arc<dyn ConfigStore>);
    let old = settings.set("uuids", "algorithm", "random", true).await.unwrap();
    assert_eq!(old, "sequential");
    assert_eq!(settings.live().uuid_algorithm, UuidAlgorithm::Random);
    let restarted = Settings::load(store);
    assert_eq!(restarted.live().uuid_algorithm, UuidAlgorithm::Random);
    assert_eq!(restarted.reset("uuids", "algorithm", true).await.unwrap(), "random");
    assert_eq!(restarted.live().uuid_algorithm, UuidAlgorithm::Sequential);
}

#[tokio::test]
async fn a_setting_that_is_not_to_be_kept_ends_with_a_reload() {
    let settings = Settings::load(Arc::new(MemoryConfig::default()));
    settings.set("chttpd_auth", "timeout", "60", false).await.unwrap();
    assert_eq!(settings.live().session_timeout, Duration::from_secs(60));
    settings.set("uuids", "max_count", "5", true).await.unwrap();
    assert_eq!(settings.get("chttpd_auth", "timeout").as_deref(), Some("60"));
    settings.reload();
    assert_eq!(settings.get("chttpd_auth", "timeout").as_deref(), Some("600"));
    assert_eq!(settings.get("uuids", "max_count").as_deref(), Some("5"));
}

#[test]
fn a_saved_value_that_is_no_longer_valid_has_no_effect() {
    let values = [
        (("uuids".to_owned(), "algorithm".to_owned()), "gone".to_owned()),
        (("gone".to_owned(), "gone".to_owned()), "gone".to_owned()),
    ];
    let store = MemoryConfig(Arc::new(RwLock::new(Values::from(values))));
    assert_eq!(*Settings::load(Arc::new(store)).live(), Live::default());
}

#[test]
fn every_default_is_a_valid_value_and_the_live_defaults_are_those() {
    for known in KNOWN {
        assert_eq!((known.check)(known.default), Ok(()), "{}/{}", known.section, known.key);
    }
    let default = |section, key| find(section, key).unwrap().default;
    let body = settle_database::limits::BODY_BYTES_MAX.to_string();
    assert_eq!(default("couchdb", "max_document_size"), body);
    let request = limits::STREAMED_BODY_MAX.to_string();
    assert_eq!(default("chttpd", "max_http_request_size"), request);
    assert!(KNOWN.is_sorted_by_key(|known| (known.section, known.key)));
    assert_eq!(*Settings::load(Arc::new(MemoryConfig::default())).live(), Live::default());
}
