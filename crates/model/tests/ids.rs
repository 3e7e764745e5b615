//! Which names are taken, and what is said about those that are not.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    collections::BTreeSet,
    fmt::{Display, Write as _},
    str::FromStr,
};

use expect_test::{Expect, expect};
use proptest::prelude::*;
use settle_model::{
    id::{AnyId, AttachmentName, DatabaseName, DocumentId, LocalId},
    limits::{ATTACHMENT_NAME_BYTES_MAX, DATABASE_NAME_BYTES_MAX, DOCUMENT_ID_BYTES_MAX},
    revision::{Digest, RevId, RevPath},
};

/// Parses each text as `T`. The only place that knows how.
#[track_caller]
fn check<T>(texts: &[&str], expected: &Expect)
where
    T: FromStr<Err: Display> + Display,
{
    let mut seen = String::new();
    for text in texts {
        match text.parse::<T>() {
            Ok(id) if id.to_string() == *text => writeln!(seen, "{text:?} is taken").unwrap(),
            Ok(id) => writeln!(seen, "{text:?} is taken as {id}").unwrap(),
            Err(error) => writeln!(seen, "{text:?} is refused: {error}").unwrap(),
        }
    }
    expected.assert_eq(&seen);
}

#[test]
fn database_names_follow_couchdbs_rule() {
    check::<DatabaseName>(
        &["notes", "a0_$()+-/z", "Rec", "_rec"],
        &expect![[r#"
        "notes" is taken
        "a0_$()+-/z" is taken
        "Rec" is refused: Name: 'Rec'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter.
        "_rec" is refused: Name: '_rec'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter.
    "#]],
    );
    for name in ["", "0a", "a.b", "a b", "ä", "/a", "_", "_dbs", "_users/a", "a\n"] {
        assert!(name.parse::<DatabaseName>().is_err(), "{name:?}");
    }
}

#[test]
fn system_databases_exist_also_below_a_prefix() {
    let is_system = |name: &str| name.parse::<DatabaseName>().unwrap().is_system();
    for name in ["_users", "_replicator", "_global_changes", "acme/_users", "a/b/_replicator"] {
        assert!(is_system(name), "{name}");
    }
    for name in ["users", "acme/users", "acme/_users/x", "a_users"] {
        assert!(!is_system(name), "{name}");
    }
}

#[test]
fn document_ids_begin_with_an_underscore_only_for_design_documents() {
    check::<DocumentId>(
        &[
            "a",
            "ä",
            " ",
            "a/b",
            "_design/x",
            "_design/x/y",
            "_design/_x",
            "\u{0}",
            "",
            "_b",
            "_",
            "_design",
            "_design/",
            "_local",
            "_local/",
            "_local/x",
            "_designs/x",
        ],
        &expect![[r#"
            "a" is taken
            "ä" is taken
            " " is taken
            "a/b" is taken
            "_design/x" is taken
            "_design/x/y" is taken
            "_design/_x" is taken
            "\0" is taken
            "" is refused: Document id must not be empty
            "_b" is refused: Only reserved document ids may start with underscore.
            "_" is refused: Only reserved document ids may start with underscore.
            "_design" is refused: Only reserved document ids may start with underscore.
            "_design/" is refused: Illegal document id `_design/`
            "_local" is refused: Only reserved document ids may start with underscore.
            "_local/" is refused: Illegal document id `_local/`
            "_local/x" is refused: a local document cannot stand here
            "_designs/x" is refused: Only reserved document ids may start with underscore.
        "#]],
    );
}

#[test]
fn the_text_decides_which_kind_of_document_is_meant() {
    check::<AnyId>(
        &["a", "_design/x", "_local/x", "_local/_x/y", "_local/", "_x"],
        &expect![[r#"
        "a" is taken
        "_design/x" is taken
        "_local/x" is taken
        "_local/_x/y" is taken
        "_local/" is refused: Illegal document id `_local/`
        "_x" is refused: Only reserved document ids may start with underscore.
    "#]],
    );
    assert!(matches!("_local/x".parse(), Ok(AnyId::Local(id)) if id.name() == "x"));
    assert!(matches!("_design/x".parse(), Ok(AnyId::Document(id)) if id.is_design()));
    assert!(matches!("a".parse(), Ok(AnyId::Document(id)) if !id.is_design()));
}

#[test]
fn local_ids_have_their_prefix() {
    check::<LocalId>(
        &["_local/x", "_local/", "x", "_design/x", ""],
        &expect![[r#"
        "_local/x" is taken
        "_local/" is refused: Illegal document id `_local/`
        "x" is refused: a local document's id starts with `_local/`, this one does not
        "_design/x" is refused: a local document's id starts with `_local/`, this one does not
        "" is refused: Document id must not be empty
    "#]],
    );
    assert_eq!(LocalId::from_name("x").unwrap(), "_local/x".parse().unwrap());
    assert!(LocalId::from_name("").is_err());
}

#[test]
fn attachment_names_may_contain_slashes() {
    check::<AttachmentName>(
        &["a.txt", "css/a b.css", "a_", "/", "_x", "_", ""],
        &expect![[r#"
        "a.txt" is taken
        "css/a b.css" is taken
        "a_" is taken
        "/" is taken
        "_x" is refused: Attachment name '_x' starts with prohibited character '_'
        "_" is refused: Attachment name '_' starts with prohibited character '_'
        "" is refused: Attachment name must not be empty
    "#]],
    );
}

#[test]
fn each_name_has_a_longest_length() {
    let just = |length: usize| "a".repeat(length);
    assert!(just(DATABASE_NAME_BYTES_MAX).parse::<DatabaseName>().is_ok());
    assert!(just(DATABASE_NAME_BYTES_MAX + 1).parse::<DatabaseName>().is_err());
    assert!(just(DOCUMENT_ID_BYTES_MAX).parse::<DocumentId>().is_ok());
    assert!(just(ATTACHMENT_NAME_BYTES_MAX).parse::<AttachmentName>().is_ok());

    let long = just(DOCUMENT_ID_BYTES_MAX + 1);
    let error = long.parse::<DocumentId>().unwrap_err().to_string();
    expect!["Document id is too long: 1501 bytes, the limit is 1500"].assert_eq(&error);
    let error = long.parse::<AttachmentName>().unwrap_err().to_string();
    expect!["Attachment name is too long: 1501 bytes, the limit is 1000"].assert_eq(&error);
    let error = "db".repeat(120).parse::<DatabaseName>().unwrap_err().to_string();
    assert!(error.starts_with("At least one path segment of `dbdb"));
    assert!(error.ends_with("` is too long."));
}

#[test]
fn a_zero_in_a_document_id_counts_as_two() {
    let zeros = |count: usize| "\0".repeat(count).parse::<DocumentId>();
    assert!(zeros(DOCUMENT_ID_BYTES_MAX / 2).is_ok());
    assert!(zeros(DOCUMENT_ID_BYTES_MAX / 2 + 1).is_err());
}

#[test]
fn revisions_are_a_generation_and_a_digest() {
    check::<RevId>(
        &[
            "1-967a00dff5e02add41819138abb3284d",
            "1-967A00DFF5E02ADD41819138ABB3284D",
            "4294967295-x",
            "01-x",
            "1-a-b",
            "1-~",
            "",
            "x",
            "1",
            "1-",
            "-x",
            "0-x",
            "+1-x",
            "-1-x",
            "4294967296-x",
            "1-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
            "1-a b",
            "1-a\"",
            "1-a\\",
            "1-ä",
        ],
        &expect![[r#"
            "1-967a00dff5e02add41819138abb3284d" is taken
            "1-967A00DFF5E02ADD41819138ABB3284D" is taken as 1-967a00dff5e02add41819138abb3284d
            "4294967295-x" is taken
            "01-x" is taken as 1-x
            "1-a-b" is taken
            "1-~" is taken
            "" is refused: Invalid rev format
            "x" is refused: Invalid rev format
            "1" is refused: Invalid rev format
            "1-" is taken
            "-x" is refused: Invalid rev format
            "0-x" is refused: Invalid rev format
            "+1-x" is refused: Invalid rev format
            "-1-x" is refused: Invalid rev format
            "4294967296-x" is refused: Invalid rev format
            "1-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz" is refused: Invalid rev format
            "1-a b" is refused: Invalid rev format
            "1-a\"" is refused: Invalid rev format
            "1-a\\" is refused: Invalid rev format
            "1-ä" is refused: Invalid rev format
        "#]],
    );
    assert!(format!("1-{}", "x".repeat(64)).parse::<RevId>().is_ok());
    assert!(format!("1-{}", "x".repeat(65)).parse::<RevId>().is_err());
}

#[test]
fn revisions_are_ordered_by_generation_then_bytes() {
    let text = "2-a 10-a 1-b 1-a 1-ff 1-ff000000000000000000000000000000 1-00000000000000000000000000000000";
    let sorted: BTreeSet<RevId> = text.split(' ').map(|it| it.parse().unwrap()).collect();
    let sorted: Vec<_> = sorted.iter().map(ToString::to_string).collect();
    expect![[r#"
        1-00000000000000000000000000000000
        1-a
        1-b
        1-ff
        1-ff000000000000000000000000000000
        2-a
        10-a"#]]
    .assert_eq(&sorted.join("\n"));
}

#[test]
fn a_path_has_no_more_revisions_than_generations() {
    let digests = |count: usize| vec!["x".parse::<Digest>().unwrap(); count];
    assert!(RevPath::new(3, digests(3)).is_ok());
    assert!(RevPath::new(3, digests(4)).is_err());
    assert!(RevPath::new(3, digests(0)).is_err());
    assert!(RevPath::new(0, digests(1)).is_err());

    let path = RevPath::new(4, digests(3)).unwrap();
    assert_eq!(path.newest(), "4-x".parse().unwrap());
    assert_eq!(path.parent(), Some("3-x".parse().unwrap()));
    assert_eq!(path.oldest_generation(), 2);
    assert_eq!(RevPath::single(path.newest()).parent(), None);
}

#[test]
fn revisions_are_small() {
    assert_eq!(size_of::<RevId>(), 32);
}

proptest! {
    #[test]
    fn a_digest_reads_back_from_what_is_stored(digest in any_digest()) {
        let stored = Digest::from_stored(digest.bytes(), digest.is_md5());
        prop_assert_eq!(stored.as_ref(), Some(&digest));
        prop_assert_eq!(digest.to_string().parse(), Ok(digest.clone()));
        let mut written = Vec::new();
        digest.write_to(&mut written);
        prop_assert_eq!(written, digest.to_string().into_bytes());
    }

    #[test]
    fn digests_are_equal_when_neither_is_less((a, b) in (any_digest(), any_digest())) {
        prop_assert_eq!(a == b, a.cmp(&b).is_eq());
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
    }
}

/// Also texts that have the bytes of an md5 sum.
fn any_digest() -> impl Strategy<Value = Digest> {
    prop_oneof![
        any::<[u8; 16]>().prop_map(Digest::md5),
        "[ab]{16}".prop_map(|text| Digest::md5(text.as_bytes().try_into().unwrap())),
        "[ab]{16}".prop_map(|text| text.parse().unwrap()),
        "[!#-\\[\\]-~]{1,31}".prop_map(|text| text.parse().unwrap()),
    ]
}

#[test]
fn an_id_of_a_partitioned_database_names_its_partition() {
    let check = |id: &str| match id.parse::<DocumentId>().unwrap().check_partition() {
        Ok(()) => "fine".to_owned(),
        Err(error) => error.to_string(),
    };
    for id in ["a:b", "a:b:c", "a:_design/x", "ä/ö:ü", "_design/x"] {
        assert_eq!(check(id), "fine", "{id}");
    }
    assert_eq!(check("a"), "Doc id must be of form partition:id");
    assert_eq!(check(":a"), "Partition must not be empty");
    assert_eq!(check("a:"), "Document id must not be empty");
    assert_eq!(check("a:_b"), "Only reserved document ids may start with underscore.");
}
