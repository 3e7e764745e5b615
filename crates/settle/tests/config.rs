//! Where settings are read from, which source wins, and what the messages say.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fmt::Write as _, fs};

use expect_test::{Expect, expect, expect_file};
use proptest::prelude::*;
use settle::config::{Config, Origin, Resolved, SETTINGS, Sources, reference};
use tempfile::TempDir;

/// `file` is TOML, `variables` are lines `NAME=value`, `flags` pairs of name and value. Shows what
/// is not a default. This is the only place that knows the API.
#[track_caller]
fn check(file: &str, variables: &str, flags: &[(&'static str, &str)], expected: &Expect) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("settle.toml");
    fs::write(&path, file).unwrap();
    let pairs = variables.lines().map(|line| line.split_once('=').unwrap());
    let sources = Sources {
        file: Some(path),
        environment: pairs.map(|(name, value)| (name.into(), value.into())).collect(),
        flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
    };
    let mut seen = String::new();
    match Resolved::new(&sources) {
        Ok(resolved) => {
            for (setting, source) in SETTINGS.iter().zip(&resolved.sources) {
                if source.origin != Origin::Default {
                    writeln!(seen, "{} = {} ({})", setting.name, source.text, source.origin)
                        .unwrap();
                }
            }
        }
        Err(error) => {
            for cause in anyhow::Error::from(error).chain() {
                writeln!(seen, "{cause}").unwrap();
            }
        }
    }
    expected.assert_eq(&seen.replace(&folder.path().display().to_string(), "…"));
}

#[test]
fn a_flag_beats_a_variable_which_beats_the_file() {
    let file = "data = 'f'\nbind = '127.0.0.1:1'\n[log]\nfilter = 'warn'\nformat = 'json'";
    let variables = "SETTLE_BIND=127.0.0.1:2\nSETTLE_DATA=e\nHOME=/root";
    check(
        file,
        variables,
        &[("data", "a")],
        &expect![[r#"
        data = a (--data)
        bind = 127.0.0.1:2 (SETTLE_BIND)
        log.format = json (…/settle.toml)
        log.filter = warn (…/settle.toml)
    "#]],
    );
}

#[test]
fn a_misspelt_name_is_refused_with_the_closest_one() {
    check(
        "[log]\nfromat = 'json'",
        "",
        &[],
        &expect![[r#"
        …/settle.toml: there is no setting log.fromat; did you mean log.format? (settle config lists all of them)
    "#]],
    );
    check(
        "",
        "SETTLE_ADMIN_PASWORD=x",
        &[],
        &expect![[r#"
        SETTLE_ADMIN_PASWORD: there is no setting SETTLE_ADMIN_PASWORD; did you mean SETTLE_ADMIN_PASSWORD? (settle config lists all of them)
    "#]],
    );
    check(
        "[completely.different]\nthing = 1",
        "",
        &[],
        &expect![[r#"
        …/settle.toml: there is no setting completely; settle config lists all of them
    "#]],
    );
}

#[test]
fn a_value_of_the_wrong_kind_says_what_was_expected() {
    check(
        "",
        "SETTLE_BIND=5984",
        &[],
        &expect![[r#"
        SETTLE_BIND: bind is "5984": expected an IP address and a port, as in 127.0.0.1:5984 or [::1]:5984
    "#]],
    );
    check(
        "[stop]\npatience = 10",
        "",
        &[],
        &expect![[r#"
        …/settle.toml: stop.patience is "10": expected a time with its unit, as in 250 ms, 10 s, 5 min, 1 h
    "#]],
    );
    check(
        "",
        "",
        &[("log.format", "xml")],
        &expect![[r#"
        --log-format: log.format is "xml": expected text or json
    "#]],
    );
    check(
        "bind = ",
        "",
        &[],
        &expect![[r#"
        read the configuration file …/settle.toml as TOML
        TOML parse error at line 1, column 8
          |
        1 | bind = 
          |        ^
        string values must be quoted, expected literal string

    "#]],
    );
}

#[test]
fn the_defaults_are_right() {
    assert_eq!(Resolved::new(&Sources::default()).unwrap().config, Config::default());
}

#[test]
fn the_reference_is_up_to_date() {
    expect_file!["../../../docs/configuration.md"].assert_eq(&reference());
}

proptest! {
    /// Whatever subset of the sources names a setting, the strongest one counts.
    #[test]
    fn the_strongest_source_counts(file: bool, variable: bool, flag: bool) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("settle.toml");
        fs::write(&path, if file { "[admin]\nuser = 'file'" } else { "" }).unwrap();
        let sources = Sources {
            file: Some(path),
            environment: variable
                .then(|| ("SETTLE_ADMIN_USER".to_owned(), "variable".to_owned()))
                .into_iter()
                .collect(),
            flags: flag.then(|| ("admin.user", "flag".to_owned())).into_iter().collect(),
        };
        let expected = match (flag, variable, file) {
            (true, _, _) => "flag",
            (_, true, _) => "variable",
            (_, _, true) => "file",
            _ => "admin",
        };
        prop_assert_eq!(Resolved::new(&sources).unwrap().config.admin_user, expected);
    }
}
