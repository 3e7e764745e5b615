//! Every route, asked by everybody: who gets past the question whether they may.
//!
//! The golden is made from the table of routes, so that a new route fails here until somebody has looked
//! at who may use it.

use std::fmt::Write as _;

use expect_test::expect_file;
use http::StatusCode;
use settle_http::routes::{self, Operation, Route, Verb};

use crate::support::TestServer;

const PEOPLE: [(&str, &str); 6] = [
    ("nobody", ""),
    ("user", "ursula:password"),
    ("other user", "oscar:password"),
    ("member", "mia:password"),
    ("database admin", "dan:password"),
    ("server admin", "admin:pw"),
];

const SECURITY: &str = r#"{"admins":{"names":["dan"]},"members":{"names":["mia"]}}"#;

pub(crate) fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::Put => "PUT",
        Verb::Post => "POST",
        Verb::Delete => "DELETE",
        Verb::Copy => "COPY",
    }
}

/// A path whose open parts name nothing that is there, but for the database.
fn path(route: &Route, database: &str) -> String {
    let segments = route.path.split('/').map(|segment| match segment {
        "{node}" => "_local",
        "{db}" => database,
        "{section}" => "chttpd_auth",
        _ if segment.starts_with('{') => "nothing",
        _ => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Sends what cannot succeed beyond the question of permission: `yes` if it got that far.
async fn may(server: &TestServer, who: &str, operation: &Operation, path: &str) -> &'static str {
    // What cannot be read is refused after the question whether it may be sent.
    let body = match operation.verb {
        Verb::Put | Verb::Post => "\ncontent-type: application/json\n\n[",
        Verb::Get | Verb::Delete | Verb::Copy => "",
    };
    let request = format!("{} {path}{body}", method(operation.verb));
    let reply = server.send_as(who, &request).await;
    let status = reply.status();
    let text = crate::support::text(reply).await;
    assert!(!status.is_server_error() || status == 501, "{request} as {who}: {status} {text}");
    match status {
        StatusCode::UNAUTHORIZED => "401",
        StatusCode::FORBIDDEN => "403",
        StatusCode::NOT_FOUND if text.contains("Database does not exist.") => "404",
        _ => "yes",
    }
}

async fn server() -> TestServer {
    let users = [("ursula", "[]"), ("oscar", "[]"), ("mia", "[]"), ("dan", "[]")];
    let server = TestServer::new().await.with_users(&users).await;
    assert_eq!(server.send("PUT /d").await.status(), StatusCode::CREATED);
    let reply = server.send(&format!("PUT /d/_security\n\n{SECURITY}")).await;
    assert_eq!(reply.status(), StatusCode::OK);
    server
}

/// Requests that would change what later ones ask about.
fn spoils(route: &Route, operation: &Operation) -> bool {
    route.path == "/{db}" && operation.verb == Verb::Delete
}

/// A line for each operation of each route: what everybody gets below `prefix`.
async fn table(
    server: &TestServer,
    people: &[(&str, &str)],
    prefix: &str,
    routes: impl Iterator<Item = &'static Route>,
) -> String {
    let mut text = String::from("| request |");
    for (who, _) in people {
        write!(text, " {who} |").unwrap();
    }
    text.push_str("\n|---|---|---|---|---|---|---|\n");
    for route in routes {
        for operation in route.operations {
            if operation.verb == Verb::Delete && route.path == "/_session" {
                continue;
            }
            write!(text, "| {} {} |", method(operation.verb), route.path).unwrap();
            for (who, credentials) in people {
                let path = format!("{prefix}{}", path(route, "d"));
                let may = if spoils(route, operation) && ["owner", "server admin"].contains(who) {
                    "yes"
                } else {
                    may(server, credentials, operation, &path).await
                };
                write!(text, " {may} |").unwrap();
            }
            text.push('\n');
        }
    }
    text
}

#[tokio::test]
async fn the_table_of_routes_and_who_may_use_them() {
    let server = server().await;
    let site = table(&server, &PEOPLE, "", routes::all()).await;
    let [nobody, (_, owner), rest @ ..] = PEOPLE;
    let people: Vec<_> = [nobody, ("owner", owner)].into_iter().chain(rest).collect();
    assert_eq!(server.send_as(owner, "PUT /~ursula/d").await.status(), StatusCode::CREATED);
    let reply = server.send_as(owner, &format!("PUT /~ursula/d/_security\n\n{SECURITY}")).await;
    assert_eq!(reply.status(), StatusCode::OK);
    let below = routes::all().filter(|route| route.is_below_accounts());
    let account = table(&server, &people, "/~ursula", below).await;
    let text = format!(
        "# Every route, and who gets past the question whether they may\n\n\
         The database has a member and an admin of its own. `yes` for nobody is what is open; 404 is the \
         same as for what is not there.\n\n{site}\n\
         ## Below `/~ursula`\n\n\
         The owner of the account has named the same member and admin. Other routes are not there.\n\n{account}"
    );
    expect_file!["permissions.md"].assert_eq(&text);
}

#[tokio::test]
async fn nobody_but_admins_reaches_the_database_of_users_as_a_whole() {
    let server = server().await;
    for route in routes::all().filter(|route| route.path.starts_with("/{db}")) {
        for operation in route.operations {
            for who in ["ursula:password", "mia:password", "dan:password"] {
                let path = path(route, "_users");
                let may = may(&server, who, operation, &path).await;
                assert_eq!(may, "403", "{} {path} as {who}", method(operation.verb));
            }
        }
    }
}
