use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use expect_test::expect;
use jsonwebtoken::{EncodingKey, Header};
use ring::signature::KeyPair as _;
use serde_json::json;

use super::*;

const NOW: u64 = 1_000_000;
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

fn rules(keys: &Value) -> JwtRules {
    JwtRules {
        keys: KeySet::parse(keys.to_string().as_bytes()).unwrap(),
        required: RequiredClaim::parse_list("exp"),
        roles_path: vec!["_couchdb.roles".to_owned()],
        newer: None,
    }
}

fn hmac_keys() -> Value {
    json!({"keys": [{"kty": "oct", "kid": "h", "k": BASE64_URL_SAFE_NO_PAD.encode(SECRET)}]})
}

fn signed(algorithm: Algorithm, kid: Option<&str>, claims: &Value, key: &EncodingKey) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

fn told(rules: &JwtRules, token: &str) -> String {
    match rules.check(token, NOW) {
        Ok(Bearer { actor, expires }) => {
            format!("{} {:?} {expires:?}", actor.name().unwrap(), actor.roles())
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn claims_say_who_it_is_and_what_is_missing_refuses() {
    let mut rules = rules(&hmac_keys());
    rules.required = RequiredClaim::parse_list("exp, iss=us, aud=settle");
    let key = EncodingKey::from_secret(SECRET);
    let good = json!({"sub": "ada", "exp": NOW + 9, "iss": "us", "aud": ["x", "settle"],
        "_couchdb.roles": ["reader", 1]});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        told(&rules, &signed(Algorithm::HS256, Some("h"), &claims, &key))
    };
    let all = [
        with("other", json!(1)),
        with("exp", json!(NOW)),
        with("exp", json!("soon")),
        with("exp", Value::Null),
        with("nbf", json!(NOW + 1)),
        with("iss", json!("them")),
        with("aud", json!("x")),
        with("sub", json!(7)),
        with("_couchdb.roles", Value::Null),
        told(&rules, &signed(Algorithm::HS256, None, &good, &key)),
        told(&rules, &signed(Algorithm::HS256, Some("h"), &good, &EncodingKey::from_secret(b"x"))),
        told(&rules, "a.b.c"),
    ];
    expect![[r#"
        ada ["reader"] Some(1000009)
        the token has expired
        the token's claim exp is missing or wrong
        the token's claim exp is missing or wrong
        the token is not valid yet
        the token's claim iss is missing or wrong
        the token's claim aud is missing or wrong
        the token's claim sub is missing or wrong
        ada [] Some(1000009)
        no key is known that the token could be signed with
        the token's signature is wrong
        the token is malformed"#]]
    .assert_eq(&all.join("\n"));
}

#[test]
fn roles_stand_where_the_settings_say() {
    let mut rules = rules(&hmac_keys());
    rules.roles_path = vec!["resource".to_owned(), "roles".to_owned()];
    let claims = json!({"sub": "ada", "exp": NOW + 9, "resource": {"roles": ["a"]}});
    let token = signed(Algorithm::HS512, Some("h"), &claims, &EncodingKey::from_secret(SECRET));
    assert_eq!(told(&rules, &token), r#"ada ["a"] Some(1000009)"#);
}

#[test]
fn keys_of_every_kind_check_their_own_signatures_and_no_others() {
    let random = ring::rand::SystemRandom::new();
    let base64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let ec_document = ring::signature::EcdsaKeyPair::generate_pkcs8(
        &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        &random,
    )
    .unwrap();
    let ec = ring::signature::EcdsaKeyPair::from_pkcs8(
        &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        ec_document.as_ref(),
        &random,
    )
    .unwrap();
    let point = ec.public_key().as_ref();
    let ed_document = ring::signature::Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let ed = ring::signature::Ed25519KeyPair::from_pkcs8(ed_document.as_ref()).unwrap();
    let rsa = include_str!("../../tests/recorded/jwt-rsa.json");
    let rsa: Value = serde_json::from_str(rsa).unwrap();
    let rules = rules(&json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "e", "x": base64(&point[1..33]),
            "y": base64(&point[33..])},
        {"kty": "OKP", "crv": "Ed25519", "kid": "d", "x": base64(ed.public_key().as_ref())},
        {"kty": "RSA", "kid": "r", "n": rsa["n"], "e": rsa["e"]},
    ]}));
    let claims = json!({"sub": "ada", "exp": NOW + 9});
    let ec_key = EncodingKey::from_ec_der(ec_document.as_ref());
    let ed_key = EncodingKey::from_ed_der(ed_document.as_ref());
    let right = r#"ada [] Some(1000009)"#;
    assert_eq!(told(&rules, &signed(Algorithm::ES256, Some("e"), &claims, &ec_key)), right);
    assert_eq!(told(&rules, &signed(Algorithm::EdDSA, Some("d"), &claims, &ed_key)), right);
    for token in ["rs256", "ps256"] {
        assert_eq!(told(&rules, rsa[token].as_str().unwrap()), right);
    }
    // A public key is no secret to sign with.
    let public = EncodingKey::from_secret(ed.public_key().as_ref());
    let forged = signed(Algorithm::HS256, Some("d"), &claims, &public);
    assert_eq!(told(&rules, &forged), "the token's key is not for the token's algorithm");
    let other = signed(Algorithm::EdDSA, Some("e"), &claims, &ed_key);
    assert_eq!(told(&rules, &other), "the token's key is not for the token's algorithm");
}

#[test]
fn a_token_without_a_signature_is_none() {
    let rules = rules(&hmac_keys());
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "none", "kid": "h"}));
    let claims = part(json!({"sub": "ada", "exp": NOW + 9}));
    assert_eq!(told(&rules, &format!("{header}.{claims}.")), "the token is malformed");
}

#[test]
fn key_sets_that_cannot_be_used_are_refused_with_the_key() {
    let reason = |keys: Value| {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap_err().to_string()
    };
    let key = json!({"kty": "oct", "kid": "a", "k": "AAAA"});
    assert_eq!(reason(json!([key, key])), "two keys are called a");
    let other = json!({"kty": "oct", "kid": "a", "k": "AAAA", "alg": "RS256"});
    assert_eq!(reason(json!([other])), "key a is of a kind that is not used here");
}

#[test]
fn of_a_published_set_only_what_checks_signatures_counts() {
    let key = |kid: &str| {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid,
        "x": BASE64_URL_SAFE_NO_PAD.encode([7; 32])})
    };
    let with = |mut key: Value, name: &str, value: &str| {
        key[name] = value.into();
        key
    };
    let keys = json!({"other": 1, "keys": [
        key("a"),
        with(key("for encryption"), "use", "enc"),
        with(key("for signatures"), "use", "sig"),
        with(key("of tomorrow"), "kty", "PQ"),
        with(key("of an algorithm of tomorrow"), "alg", "HS9000"),
        with(key("no point"), "x", "!"),
        {"kty": "oct", "kid": "no secret", "k": "AAAA"},
        {"kty": "EC", "crv": "P-521", "kid": "large", "x": "AA", "y": "AA"},
        7,
    ]});
    let set = KeySet::parse_published(keys.to_string().as_bytes()).unwrap();
    let mut kept: Vec<_> = set.0.keys().map(String::as_str).collect();
    kept.sort_unstable();
    assert_eq!(kept, ["a", "for signatures"]);
    for text in ["", "{}", r#"{"keys": {}}"#] {
        assert!(KeySet::parse_published(text.as_bytes()).is_err(), "{text}");
    }
    let many = json!({"keys": vec![7; JWT_KEYS_MAX + 1]}).to_string();
    let refused = KeySet::parse_published(many.as_bytes()).unwrap_err();
    assert_eq!(refused.to_string(), "more than 100 keys");
}

#[test]
fn of_two_keys_of_one_name_that_of_this_server_counts() {
    let token = signed(
        Algorithm::HS256,
        Some("h"),
        &json!({"sub": "ada", "exp": NOW + 9}),
        &EncodingKey::from_secret(SECRET),
    );
    let other = json!({"keys": [{"kty": "oct", "kid": "h", "k": "AAAA"}]});
    let (own, other) = (rules(&hmac_keys()), rules(&other));
    let keys = own.keys.and(&other.keys);
    assert_eq!(told(&JwtRules { keys, ..own.clone() }, &token), r#"ada [] Some(1000009)"#);
    let keys = other.keys.and(&own.keys);
    assert_eq!(told(&JwtRules { keys, ..own }, &token), "the token's signature is wrong");
}
