use std::{fmt::Write as _, sync::Arc};

use expect_test::expect_file;

use super::*;
use crate::{ADMIN_ROLE, Administer, Grant, Read, authorize};

fn user(name: &str, roles: &[&str]) -> Actor {
    Actor::user(name, roles.iter().map(|&role| role.to_owned()).collect())
}

fn token(most: Operation, databases: Option<&[&str]>) -> Scope {
    let databases =
        databases.map(|databases| databases.iter().map(|&name| name.to_owned()).collect());
    Scope::Only(Arc::new(ScopeLimits { most, databases }))
}

fn with_token(actor: Actor, token: Scope) -> Actor {
    match actor {
        Actor::Anonymous => Actor::Anonymous,
        Actor::User { name, roles, .. } => Actor::User { name, roles, scope: token },
    }
}

fn actors() -> Vec<(&'static str, Actor)> {
    vec![
        ("nobody", Actor::Anonymous),
        ("alice", user("alice", &[])),
        ("mia, member by name", user("mia", &[])),
        ("rob with a member's role", user("rob", &["staff"])),
        ("dan, admin by name", user("dan", &[])),
        ("eve with an admin's role", user("eve", &["chiefs"])),
        ("oscar", user("oscar", &[])),
        ("prometheus with _metrics", user("prometheus", &[METRICS_ROLE])),
        ("server admin", user("root", &[ADMIN_ROLE])),
        ("alice, reading token", with_token(user("alice", &[]), token(Operation::Read, None))),
        (
            "alice, token for ~alice/a",
            with_token(user("alice", &[]), token(Operation::Administer, Some(&["~alice/a"]))),
        ),
        (
            "server admin, writing token",
            with_token(user("root", &[ADMIN_ROLE]), token(Operation::Write, None)),
        ),
    ]
}

fn database(number: u64, name: &str, security: &str) -> Arc<Protected> {
    let name = match name.strip_prefix("~alice/") {
        None => name.parse().unwrap(),
        Some(local) => "alice"
            .parse::<settle_model::id::AccountName>()
            .unwrap()
            .database(&local.parse().unwrap())
            .unwrap(),
    };
    Arc::new(Protected::new(number, name, security.as_bytes()))
}

const PEOPLE: &str = r#"{"admins":{"names":["dan"],"roles":["chiefs"]},
    "members":{"names":["mia"],"roles":["staff"]}}"#;

fn resources() -> Vec<(&'static str, Resource)> {
    // As it would be stored: without white space between tokens.
    let people = PEOPLE.replace(['\n', ' '], "");
    let users = database(7, "_users", "");
    vec![
        ("server", Resource::Server),
        ("all servers", Resource::AllServers),
        ("server of alice", Resource::Account { name: "alice".parse().unwrap() }),
        ("database, nothing set", Resource::Database(database(1, "a", ""))),
        ("database with people", Resource::Database(database(2, "b", &people))),
        (
            "database, admins alone named",
            Resource::Database(database(3, "c", r#"{"admins":{"names":["dan"]}}"#)),
        ),
        (
            "database with readers",
            Resource::Database(database(4, "d", r#"{"readers":{"names":["mia"]}}"#)),
        ),
        ("alice's database", Resource::Database(database(5, "~alice/a", ""))),
        ("alice's, with people", Resource::Database(database(6, "~alice/b", &people))),
        ("alice's, none named", Resource::Database(database(8, "~alice/c", "{}"))),
        ("database of replications", Resource::Database(database(9, "_replicator", &people))),
        (
            "alice's database of replications",
            Resource::Database(database(10, "~alice/_replicator", "")),
        ),
        ("database of users", Resource::Database(users.clone())),
        (
            "alice's user document",
            Resource::UserDocument {
                database: users.clone(),
                user: "alice".into(),
                sign_up: false,
            },
        ),
        (
            "alice's user document, sign-up open",
            Resource::UserDocument { database: users, user: "alice".into(), sign_up: true },
        ),
    ]
}

#[test]
fn the_table_of_who_may_do_what() {
    let mut text = String::from(
        "# Who may do what\n\n\
         `R` read, `W` write, `A` administer, `M` figures, `I` inspect, `S` administer the server. \
         What is missing is refused: 401 to nobody, else 403, or 404 where there is a `-`.\n",
    );
    for (name, resource) in resources() {
        writeln!(text, "\n## {name}\n").unwrap();
        for (who, actor) in actors() {
            let mut may = String::new();
            let mut hidden = false;
            for &operation in Operation::ALL {
                let letter = match operation {
                    Operation::Read => 'R',
                    Operation::Write => 'W',
                    Operation::Administer => 'A',
                    Operation::ReadMetrics => 'M',
                    Operation::Inspect => 'I',
                    Operation::AdministerServer => 'S',
                };
                match decide(&actor, &resource, operation) {
                    Verdict::Allowed => may.push(letter),
                    Verdict::SignIn => assert_eq!(actor, Actor::Anonymous),
                    Verdict::Forbidden => {}
                    Verdict::Hidden => hidden = true,
                }
            }
            let hidden = if hidden { " -" } else { "" };
            writeln!(text, "- {who}: {may}{hidden}").unwrap();
        }
    }
    expect_file!["table.md"].assert_eq(&text);
}

#[test]
fn a_token_is_never_wider_than_its_user() {
    for (_, actor) in actors() {
        for (_, resource) in resources() {
            for &operation in Operation::ALL {
                for &most in Operation::ALL {
                    let narrow = with_token(actor.clone(), token(most, None));
                    let all = with_token(actor.clone(), Scope::Everything);
                    if decide(&narrow, &resource, operation) == Verdict::Allowed {
                        assert_eq!(decide(&all, &resource, operation), Verdict::Allowed);
                    }
                }
            }
        }
    }
}

#[test]
fn who_may_do_more_may_do_less() {
    // Nobody may only sign up, where that is open.
    for (_, actor) in actors().into_iter().filter(|(_, actor)| *actor != Actor::Anonymous) {
        for (_, resource) in resources() {
            let may = |operation| decide(&actor, &resource, operation) == Verdict::Allowed;
            assert!(!may(Operation::Administer) || may(Operation::Write), "{actor:?} {resource:?}");
            assert!(!may(Operation::Write) || may(Operation::Read), "{actor:?} {resource:?}");
        }
    }
}

#[test]
fn a_grant_is_for_one_database_and_no_other() {
    let admin = user("root", &[ADMIN_ROLE]);
    let grant: Grant<Read> = authorize(&admin, &Resource::Database(database(1, "a", ""))).unwrap();
    assert!(grant.is_for_database(1));
    assert!(!grant.is_for_database(2));
    assert!(!grant.is_for_server_of(&"a".parse().unwrap()));
    let server: Grant<Administer> = authorize(&admin, &Resource::Server).unwrap();
    assert!(!server.is_for_database(0));
}
