use expect_test::{Expect, expect};
use settle_access::ADMIN_ROLE;

use super::*;

fn admin() -> Actor {
    Actor::user("root", vec![ADMIN_ROLE.to_owned()])
}

fn ada() -> Actor {
    Actor::user("ada", vec!["reader".to_owned()])
}

fn minified(text: &str) -> Vec<u8> {
    json::minify(text.as_bytes()).unwrap().into_owned()
}

/// Each body in turn, written over `before`: what is said, or `ok`.
fn told(by: &Actor, id: &str, before: Option<&str>, bodies: &[&str]) -> String {
    let before = before.map(minified);
    let lines = bodies.iter().map(|body| {
        let text = minified(body);
        let proposed = Proposed { id, deleted: false, body: &text, replicated: false };
        match check(by, proposed, before.as_deref()) {
            Ok(()) => format!("{body}: ok"),
            Err(error) => format!("{body}: {error}"),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn check_all(by: &Actor, before: Option<&str>, bodies: &[&str], expected: Expect) {
    expected.assert_eq(&told(by, "org.couchdb.user:ada", before, bodies));
}

#[test]
fn a_user_document_has_a_form_that_even_admins_keep_to() {
    check_all(
        &admin(),
        None,
        &[
            r#"{"type":"user","name":"ada","roles":[]}"#,
            r#"{"type":"user","name":"ada","roles":["reader","_metrics"],"password":"x","more":1}"#,
            r#"{"name":"ada","roles":[]}"#,
            r#"{"type":"user","roles":[]}"#,
            r#"{"type":"user","name":"","roles":[]}"#,
            r#"{"type":"user","name":"bob","roles":[]}"#,
            r#"{"type":"user","name":"ada"}"#,
            r#"{"type":"user","name":"ada","roles":"reader"}"#,
            r#"{"type":"user","name":"ada","roles":[1]}"#,
            r#"{"type":"user","name":"ada","roles":["_admin"]}"#,
            r#"{"type":"user","name":"ada","roles":[],"password_sha":"00"}"#,
            r#"{"type":"user","name":"ada","roles":[],"password_scheme":"md5"}"#,
            r#"{"type":"user","name":"ada","roles":[],"password_scheme":"pbkdf2"}"#,
            r#"{"type":"user","name":"ada","roles":[],"password_scheme":"pbkdf2","iterations":1}"#,
        ],
        expect![[r#"
            {"type":"user","name":"ada","roles":[]}: ok
            {"type":"user","name":"ada","roles":["reader","_metrics"],"password":"x","more":1}: ok
            {"name":"ada","roles":[]}: doc.type must be user
            {"type":"user","roles":[]}: doc.name is required
            {"type":"user","name":"","roles":[]}: doc.name is required
            {"type":"user","name":"bob","roles":[]}: Doc ID must be of the form org.couchdb.user:name
            {"type":"user","name":"ada"}: doc.roles must exist
            {"type":"user","name":"ada","roles":"reader"}: doc.roles must be an array
            {"type":"user","name":"ada","roles":[1]}: doc.roles can only contain strings
            {"type":"user","name":"ada","roles":["_admin"]}: No system roles (starting with underscore) in users db.
            {"type":"user","name":"ada","roles":[],"password_sha":"00"}: Users with password_sha must have a salt.
            {"type":"user","name":"ada","roles":[],"password_scheme":"md5"}: Password scheme `md5` not supported.
            {"type":"user","name":"ada","roles":[],"password_scheme":"pbkdf2"}: iterations must be a number.
            {"type":"user","name":"ada","roles":[],"password_scheme":"pbkdf2","iterations":1}: derived_key must be a string."#]],
    );
    let of_system = told(
        &admin(),
        "org.couchdb.user:_ada",
        None,
        &[r#"{"type":"user","name":"_ada","roles":[]}"#],
    );
    assert!(of_system.ends_with("Username may not start with underscore."), "{of_system}");
    let colon = told(
        &admin(),
        "org.couchdb.user:a:b",
        None,
        &[r#"{"type":"user","name":"a:b","roles":[]}"#],
    );
    assert!(colon.ends_with("Character `:` is not allowed in usernames."), "{colon}");
}

const ADA: &str = r#"{"type":"user","name":"ada","roles":["reader","writer"],
    "password_scheme":"argon2id","salt":"s","password_hash":"h"}"#;

#[test]
fn users_change_their_password_and_nothing_that_gives_them_more() {
    check_all(
        &ada(),
        Some(ADA),
        &[
            r#"{"type":"user","name":"ada","roles":["writer","reader"],"password":"new","mail":"x"}"#,
            r#"{"type":"user","name":"ada","roles":["reader","writer"],"password_scheme":"argon2id","salt":"s","password_hash":"h","mail":"x"}"#,
            r#"{"type":"user","name":"ada","roles":["reader","writer"]}"#,
            r#"{"type":"user","name":"ada","roles":["reader","writer"],"password_scheme":"simple","salt":"s","password_sha":"00"}"#,
            r#"{"type":"user","name":"ada","roles":["reader"],"password":"new"}"#,
            r#"{"type":"user","name":"ada","roles":["reader","writer","boss"],"password":"new"}"#,
            r#"{"type":"user","name":"ada","roles":["reader","writer"],"password":"new","suspended":false}"#,
        ],
        expect![[r#"
            {"type":"user","name":"ada","roles":["writer","reader"],"password":"new","mail":"x"}: ok
            {"type":"user","name":"ada","roles":["reader","writer"],"password_scheme":"argon2id","salt":"s","password_hash":"h","mail":"x"}: ok
            {"type":"user","name":"ada","roles":["reader","writer"]}: Only _admin may change what a password is kept as; send `password` instead, or send the other members as they were.
            {"type":"user","name":"ada","roles":["reader","writer"],"password_scheme":"simple","salt":"s","password_sha":"00"}: Only _admin may change what a password is kept as; send `password` instead, or send the other members as they were.
            {"type":"user","name":"ada","roles":["reader"],"password":"new"}: Only _admin may edit roles
            {"type":"user","name":"ada","roles":["reader","writer","boss"],"password":"new"}: Only _admin may edit roles
            {"type":"user","name":"ada","roles":["reader","writer"],"password":"new","suspended":false}: Only _admin may suspend a user."#]],
    );
}

#[test]
fn who_signs_up_brings_a_password_and_no_roles() {
    check_all(
        &Actor::Anonymous,
        None,
        &[
            r#"{"type":"user","name":"ada","roles":[],"password":"new"}"#,
            r#"{"type":"user","name":"ada","roles":["boss"],"password":"new"}"#,
            r#"{"type":"user","name":"ada","roles":[],"suspended":"x"}"#,
            r#"{"type":"user","name":"ada","roles":[],"salt":"x","password_sha":"00"}"#,
        ],
        expect![[r#"
            {"type":"user","name":"ada","roles":[],"password":"new"}: ok
            {"type":"user","name":"ada","roles":["boss"],"password":"new"}: Only _admin may set roles
            {"type":"user","name":"ada","roles":[],"suspended":"x"}: Only _admin may suspend a user.
            {"type":"user","name":"ada","roles":[],"salt":"x","password_sha":"00"}: Only _admin may set what a password is kept as."#]],
    );
    let taken = told(
        &Actor::Anonymous,
        "org.couchdb.user:ada",
        Some(ADA),
        &[r#"{"type":"user","name":"ada","roles":[],"password":"mine"}"#],
    );
    assert!(taken.ends_with("You may only update your own user document."), "{taken}");
}

#[test]
fn users_are_removed_by_themselves_and_by_admins() {
    let delete = |by: &Actor, id: &str| {
        check(by, Proposed { id, deleted: true, body: b"{}", replicated: false }, Some(b"{}"))
    };
    assert!(delete(&admin(), "org.couchdb.user:ada").is_ok());
    assert!(delete(&ada(), "org.couchdb.user:ada").is_ok());
    assert!(delete(&ada(), "org.couchdb.user:bob").is_err());
    assert!(delete(&Actor::Anonymous, "org.couchdb.user:ada").is_err());
    assert!(delete(&admin(), "_design/_auth").is_err());
}

#[test]
fn a_password_is_replaced_by_its_hash_and_the_rest_stays_as_it_was() {
    let body =
        br#"{"name":"ada","x":1.0,"password":"p","salt":"old","iterations":1,"more":"\u0041"}"#;
    let hashed = String::from_utf8(with_hash(body, "$argon2id$", "new")).unwrap();
    expect![[r#"{"password_scheme":"argon2id","salt":"new","password_hash":"$argon2id$","name":"ada","x":1.0,"more":"\u0041"}"#]]
        .assert_eq(&hashed);
    let same = upgraded(body, "$argon2id$");
    assert!(String::from_utf8(same).unwrap().contains(r#""salt":"old""#));
    let kept = with_hash(br#"{"salt":"old","preserve_salt":true,"password":"p"}"#, "h", "new");
    expect![[r#"{"password_scheme":"argon2id","salt":"old","password_hash":"h"}"#]]
        .assert_eq(&String::from_utf8(kept).unwrap());
}

#[test]
fn passwords_that_are_too_short_or_miss_a_pattern_are_refused_with_what_is_missing() {
    let digit = regex::Regex::new("[0-9]").unwrap();
    let upper = regex::Regex::new("[A-Z]").unwrap();
    let rules = PasswordRules {
        length_min: 4,
        patterns: vec![(digit, Some("Use a digit.".to_owned())), (upper, None)],
    };
    let told = ["abc", "abcd", "abc1", "Abc1"].map(|password| {
        let said = check_password(password, &rules).err();
        format!("{password}: {}", said.map_or_else(|| "ok".to_owned(), |error| error.to_string()))
    });
    expect![[r#"
        abc: Password does not conform to requirements. It needs at least 4 characters.
        abcd: Password does not conform to requirements. Use a digit.
        abc1: Password does not conform to requirements.
        Abc1: ok"#]]
    .assert_eq(&told.join("\n"));
}

#[test]
fn what_everybody_may_see_never_shows_how_a_password_is_kept() {
    let fields = ["name", "salt", "password_hash"].map(str::to_owned);
    let part = public_part(&minified(ADA), &fields).unwrap();
    assert_eq!(String::from_utf8(part).unwrap(), r#"{"name":"ada"}"#);
    assert_eq!(public_part(&minified(ADA), &["mail".to_owned()]), None);
}

#[test]
fn names_that_no_account_can_have_are_refused_where_they_are_new() {
    let long = "x".repeat(300);
    let refused = |name: &str, before: Option<&[u8]>, replicated: bool| {
        let body = minified(&format!(r#"{{"type":"user","name":"{name}","roles":[]}}"#));
        let id = format!("org.couchdb.user:{name}");
        let proposed = Proposed { id: &id, deleted: false, body: &body, replicated };
        check(&admin(), proposed, before).is_err()
    };
    for name in ["everyone", "nobody", "settle", "system", "anonymous", &long] {
        assert!(refused(name, None, false), "{name}");
        assert!(!refused(name, Some(b"{}"), false) && !refused(name, None, true), "{name}");
    }
    for name in ["Everyone", "eve@example.org", "a/b", "åsa"] {
        assert!(!refused(name, None, false), "{name}");
    }
}
