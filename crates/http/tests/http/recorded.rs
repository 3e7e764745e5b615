//! Exchanges recorded from CouchDB 3.5.2, in the order of one run on one database: sent again, and the
//! replies compared.
//!
//! Compared are the status, the headers below and the body; JSON as values. What must differ between two
//! servers is replaced on both sides: sequences but for 0, ids that the server made, boundaries,
//! times, sizes, cookies, numbers of stack traces. What differs on purpose stands in [`EXCEPTIONS`] with a
//! reason that a client's author would accept. Replications name their databases by URLs of the server that was recorded; here they are
//! sent by their names.

use axum::body::Body;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderName, HeaderValue, Request, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use settle_http::routes;

use crate::support::{ADMIN, TestServer};

const EXCHANGES: &str = include_str!("../recorded/http-exchanges.jsonl");

/// By note: why the answer is another one.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("welcome", "features, git_sha and vendor say what this server is"),
    ("welcome, anonymous", "features, git_sha and vendor say what this server is"),
    ("membership", "the node has a name of its own"),
    ("missing stub", "CouchDB fails with 500; the stub's digest is not a digest, which is said"),
    (
        "attachment, two ranges",
        "the parts are of the same attachment, so its headers are there too",
    ),
    ("attachment, bad range", "Content-Range tells how long the attachment is, as HTTP asks"),
    ("_changes?descending=true&limit=2", "two shards put changes in another order"),
    ("_changes?feed=continuous&timeout=50&limit=3", "two shards put changes in another order"),
    ("_changes?filter=_design", "nothing is pending; CouchDB counts what the filter passed over"),
    ("_changes, doc ids", "nothing is pending; CouchDB counts what the filter passed over"),
    (
        "_changes?filter=d/odd",
        "whoever asks may get another answer, so no entity tag stands for it",
    ),
    ("_changes, selector", "the answer depends on the body, so no entity tag stands for it"),
    ("design document, bad map", "another JavaScript engine has other words"),
    ("user document", "the salt of a password's hash is random, and so is the revision"),
    ("user document read", "passwords are hashed with argon2id"),
    ("security bad", "CouchDB fails with 500; 400 says what is wrong"),
    ("security bad names", "CouchDB fails with 500; 400 says what is wrong"),
    ("revs limit bad", "CouchDB fails with 500; 400 says what is wrong"),
    ("shards", "there is one shard, on one node"),
    ("view v?startkey=5&endkey=1", "the number of a stack trace is left out"),
    ("design info", "signature and collator are this server's; nothing waits to be committed"),
    ("replicate, local", "replication ids are made another way, and sequences count otherwise"),
    ("replicate, missing source", "404, where CouchDB answers 500 whatever fails"),
    ("session, log in", "cookies say SameSite=Lax, which browsers assume anyway"),
    ("session, wrong password", "cookies say SameSite=Lax, which browsers assume anyway"),
    ("session, log out", "cookies say SameSite=Lax, which browsers assume anyway"),
];

struct Exchange {
    note: String,
    method: String,
    path: String,
    request: Value,
    reply: Value,
}

struct Heard {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// Headers that clients act on.
const HEADERS: &[&str] = &[
    "accept-ranges",
    "allow",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-security-policy",
    "content-type",
    "etag",
    "expires",
    "location",
    "pragma",
    "set-cookie",
];

#[tokio::test]
async fn recorded_exchanges_are_answered_alike() {
    let server = TestServer::new().await;
    let own_prefix = server.app.state().make_uuid()[..26].to_owned();
    for database in ["_users", "_replicator"] {
        assert_eq!(server.send(&format!("PUT /{database}")).await.status(), 201);
    }
    let (mut same, mut unrouted) = (0, Vec::new());
    let (mut differing, mut excepted) = (Vec::new(), Vec::new());
    for exchange in exchanges() {
        let path = exchange.path.split('?').next().unwrap();
        // Lists of databases have something to show when databases can be created.
        let needs = if path.contains("_dbs") { "/rec" } else { path };
        if !routes::has(needs) {
            unrouted.push(exchange.note);
            continue;
        }
        let heard = ask(&server, &exchange.method, &exchange.path, &exchange.request).await;
        let differences = compare(&exchange, &heard, &own_prefix);
        if differences.is_empty() {
            same += 1;
        } else if EXCEPTIONS.iter().any(|(note, _)| *note == exchange.note) {
            excepted.push(exchange.note);
        } else {
            differing.push(format!("{}: {}", exchange.note, differences.join("; ")));
        }
    }
    println!("{same} alike, {} exceptions, {} without a route", excepted.len(), unrouted.len(),);
    assert!(differing.is_empty(), "{}\n{}", differing.len(), differing.join("\n"));
    for (note, reason) in EXCEPTIONS {
        assert!(excepted.iter().any(|it| it == note), "no longer an exception: {note} ({reason})");
    }
}

fn exchanges() -> impl Iterator<Item = Exchange> {
    EXCHANGES.lines().map(|line| {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Exchange {
            note: text(&exchange["note"]),
            method: text(&exchange["request"]["method"]),
            path: text(&exchange["request"]["path"]),
            request: exchange["request"].clone(),
            reply: exchange["reply"].clone(),
        }
    })
}

async fn ask(server: &TestServer, method: &str, path: &str, request: &Value) -> Heard {
    let body = bytes(&request["body"]).map(of_this_server);
    // Characters that the recorder's client sent as they are, and this one's does not take.
    let path = path.replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
    let mut builder = Request::builder().method(method).uri(path).header(header::HOST, "{HOST}");
    let headers = builder.headers_mut().unwrap();
    if request["auth"] == "admin" {
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static(ADMIN));
    }
    // What the recorder's client sent where the exchange does not say otherwise.
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if body.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        let name: HeaderName = name.parse().unwrap();
        headers.insert(name, value.as_str().unwrap().parse().unwrap());
    }
    let body = body.map_or_else(Body::empty, Body::from);
    let (parts, body) = server.app.answer(builder.body(body).unwrap()).await.into_parts();
    let headers = parts.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    Heard {
        status: parts.status.as_u16(),
        headers: headers.collect(),
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    }
}

/// Databases of the server that is asked are meant where a replication names them by URLs.
fn of_this_server(body: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(body) {
        Ok(text) => text.replace("http://admin:pw@{HOST}/", "").into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

/// A body is text, or base64 where it is not UTF-8.
fn bytes(body: &Value) -> Option<Vec<u8>> {
    match body {
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Object(encoded) => {
            Some(BASE64_STANDARD.decode(encoded["base64"].as_str().unwrap()).unwrap())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

fn compare(exchange: &Exchange, heard: &Heard, own_prefix: &str) -> Vec<String> {
    let mut differences = Vec::new();
    let status = exchange.reply["status"].as_u64().unwrap();
    if u64::from(heard.status) != status {
        differences.push(format!("status {} instead of {status}", heard.status));
    }
    for name in HEADERS {
        let recorded = exchange.reply["headers"].as_object().unwrap();
        let recorded = recorded.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        let recorded = recorded.map(|(_, value)| neutral_header(name, value.as_str().unwrap()));
        let own = heard.headers.iter().find(|(it, _)| it == name);
        let own = own.map(|(_, value)| neutral_header(name, value));
        let added = recorded.is_none() && matches!(*name, "cache-control");
        if recorded.as_deref().map(neutral_ids) != own.as_deref().map(|it| own_ids(it, own_prefix))
            && !added
        {
            differences.push(format!("{name}: {own:?} instead of {recorded:?}"));
        }
    }
    let recorded = bytes(&exchange.reply["body"]).unwrap();
    let recorded = neutral_body(&neutral_ids(&String::from_utf8_lossy(&recorded)));
    // Which CouchDB does not tell.
    let own = String::from_utf8_lossy(&heard.body).replace("\"conflict_count\":0,", "");
    let own = neutral_body(&own_ids(&own, own_prefix));
    // The recorder cut long bodies.
    let cut = recorded.len() >= 5_900 && own.starts_with(&recorded[..4_000]);
    if !alike(&recorded, &own) && !cut {
        differences.push(format!("body {own} instead of {recorded}"));
    }
    differences
}

/// CouchDB's two shards number and order changes each on its own, so it is the set of rows that counts.
fn sort_rows(value: &mut Value) {
    if let Some(rows) = value.get_mut("results").and_then(Value::as_array_mut)
        && rows.iter().all(|row| row.get("seq").is_some())
    {
        for row in rows.iter_mut() {
            row["seq"] = Value::Null;
        }
        rows.sort_by_key(Value::to_string);
    }
}

/// Equal as JSON, or as lines of JSON, or as text.
fn alike(recorded: &str, own: &str) -> bool {
    if recorded == own {
        return true;
    }
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    match (parse(recorded), parse(own)) {
        (Some(mut recorded), Some(mut own)) => {
            sort_rows(&mut recorded);
            sort_rows(&mut own);
            recorded == own
        }
        (Some(_), None) | (None, Some(_)) => false,
        (None, None) => {
            recorded.lines().count() == own.lines().count()
                && recorded.lines().zip(own.lines()).all(|(recorded, own)| {
                    recorded == own || (parse(recorded).is_some() && parse(recorded) == parse(own))
                })
        }
    }
}

/// Entity tags without a revision differ, since they are made from what differs.
fn neutral_header(name: &str, value: &str) -> String {
    match name {
        "etag" if !is_revision(value) && !value.ends_with("==\"") => "an etag".to_owned(),
        "expires" => "a time".to_owned(),
        "set-cookie" => {
            let parts = value.split("; ").map(|part| match part.split_once('=') {
                Some(("AuthSession", "")) => "AuthSession=",
                Some(("AuthSession", _)) => "AuthSession=…",
                Some(("Expires", _)) => "Expires=…",
                Some(_) | None => part,
            });
            parts.collect::<Vec<_>>().join("; ")
        }
        "content-type" => neutral_boundary(value),
        _ => value.to_owned(),
    }
}

fn is_revision(etag: &str) -> bool {
    let digest = etag.split_once('-').map(|(_, digest)| digest.trim_end_matches('"'));
    digest.is_some_and(|digest| digest.len() == 32)
}

fn neutral_boundary(value: &str) -> String {
    match value.split_once("boundary=") {
        Some((before, _)) => format!("{before}boundary=…"),
        None => value.to_owned(),
    }
}

/// Ids that CouchDB made in that run.
fn neutral_ids(text: &str) -> String {
    replace_ids(text, "8ff2f66802d635b3432b63b412")
}

fn own_ids(text: &str, prefix: &str) -> String {
    replace_ids(text, prefix)
}

fn replace_ids(text: &str, prefix: &str) -> String {
    let mut parts = text.split(prefix);
    let mut neutral = parts.next().unwrap().to_owned();
    for part in parts {
        neutral.push_str("(made id)");
        neutral.push_str(part.get(6..).unwrap_or_default());
    }
    neutral
}

/// Members whose values are times, sizes or numbers of stack traces, and what is opaque in sequences,
/// bookmarks and boundaries.
fn neutral_body(text: &str) -> String {
    // CouchDB cuts a database into two shards by default; here there is one.
    let mut neutral = text.replace("\"cluster\":{\"q\":2,", "\"cluster\":{\"q\":1,");
    for member in
        ["\"instance_start_time\":\"", "\"ref\":", "\"file\":", "\"external\":", "\"active\":"]
    {
        neutral = replace_after(&neutral, member, |it| it.is_ascii_digit());
    }
    for member in ["seq\":\"", "id: \""] {
        let mut rest = neutral.as_str();
        let mut next = String::new();
        while let Some(at) = rest.find(member) {
            let (before, value) = rest.split_at(at + member.len());
            next.push_str(before);
            let digits = value.find(|it: char| !it.is_ascii_digit()).unwrap_or(value.len());
            next.push_str(if &value[..digits] == "0" { "0" } else { "n" });
            let end = value.find('"').unwrap_or(value.len());
            rest = if value[digits..].starts_with('-') { &value[end..] } else { &value[digits..] };
        }
        next.push_str(rest);
        neutral = next;
    }
    neutral = replace_after(&neutral, "\"bookmark\": \"", |it| {
        it.is_ascii_alphanumeric() || it == '_' || it == '-'
    });
    neutral =
        replace_after(&neutral, "\"execution_time_ms\":", |it| it.is_ascii_digit() || it == '.');
    for mark in ["--", "boundary=\""] {
        neutral = replace_boundaries(&neutral, mark);
    }
    neutral
}

fn replace_after(text: &str, mark: &str, is_value: fn(char) -> bool) -> String {
    let mut parts = text.split(mark);
    let mut neutral = parts.next().unwrap().to_owned();
    for part in parts {
        neutral.push_str(mark);
        neutral.push('0');
        neutral.push_str(part.trim_start_matches(is_value));
    }
    neutral
}

fn replace_boundaries(text: &str, mark: &str) -> String {
    let mut parts = text.split(mark);
    let mut neutral = parts.next().unwrap().to_owned();
    for part in parts {
        neutral.push_str(mark);
        let is_boundary =
            part.len() >= 32 && part.as_bytes()[..32].iter().all(u8::is_ascii_hexdigit);
        if is_boundary {
            neutral.push('…');
        }
        neutral.push_str(if is_boundary { &part[32..] } else { part });
    }
    neutral
}
