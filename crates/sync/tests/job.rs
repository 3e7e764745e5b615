//! Jobs from JSON, and what they are called.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use expect_test::{Expect, expect};
use proptest::prelude::*;
use settle_sync::{
    id::ReplicationId,
    job::{Endpoint, Job, JobError, ReplicateRequest},
};

#[track_caller]
fn check(job: &str, expected: &Expect) {
    let shown = match Job::parse(job.as_bytes()) {
        Ok(job) => format!("{job:#?}\n"),
        Err(error) => format!("{error}\n"),
    };
    expected.assert_eq(&shown);
}

/// What is refused, and what is said.
#[track_caller]
fn refused(member: &str, value: &str, expected: &Expect) {
    let job = match member {
        "source" => format!(r#"{{"source":{value},"target":"b"}}"#),
        _ => format!(r#"{{"source":"a","target":"b","{member}":{value}}}"#),
    };
    expected.assert_eq(&Job::parse(job.as_bytes()).unwrap_err().to_string());
}

fn job(text: &str) -> Job {
    Job::parse(text.as_bytes()).unwrap()
}

fn id(text: &str) -> String {
    ReplicationId::new("uuid", &job(text), None).to_string()
}

fn remote(endpoint: &Endpoint) -> &settle_sync::job::Remote {
    match endpoint {
        Endpoint::Remote(remote) => remote,
        Endpoint::Local(name) => panic!("{name} is local"),
    }
}

#[test]
fn what_is_not_said_is_as_in_couchdb() {
    check(
        r#"{"source":"a","target":"https://u:p@Example.org/b"}"#,
        &expect![[r#"
        Job {
            source: Local(
                DatabaseName(
                    "a",
                ),
            ),
            target: Remote(
                Remote {
                    url: "https://example.org/b/",
                    headers: [],
                    proxy: None,
                    ..
                },
            ),
            selection: Everything,
            winning_revs_only: false,
            continuous: false,
            create_target: false,
            create_target_params: [],
            since_seq: None,
            use_checkpoints: true,
            checkpoint_interval: 30s,
            use_bulk_get: true,
            worker_batch_size: 500,
            worker_processes: 4,
            http_connections: 20,
            retries_per_request: 5,
            connection_timeout: 30s,
            socket_options: None,
            user_ctx: None,
        }
    "#]],
    );
}

#[test]
fn every_member_is_read() {
    check(
        r#"{"_id":"x","_rev":"1-a","owner":"me",
        "source":{"url":"http://h:5984/a%2Fb?x=1","headers":{"X-A":"b","Authorization":"Bearer c"}},
        "target":"b","filter":"d/f","query_params":{"n":1,"t":"x"},"winning_revs_only":true,
        "continuous":true,"create_target":true,"create_target_params":{"q":2,"partitioned":true},
        "since_seq":"12-abc","use_checkpoints":false,"checkpoint_interval":5000,
        "use_bulk_get":false,"worker_batch_size":"7","worker_processes":2,"http_connections":3,
        "retries_per_request":1,"connection_timeout":9000,"socket_options":"[{keepalive,true}]",
        "source_proxy":"socks5://me:secret@proxy:1080","user_ctx":{"name":"eve","roles":["r"]}}"#,
        &expect![[r#"
            Job {
                source: Remote(
                    Remote {
                        url: "http://h:5984/a%2Fb?x=1",
                        headers: [
                            "Authorization",
                            "X-A",
                        ],
                        proxy: Some(
                            "socks5://proxy:1080/",
                        ),
                        ..
                    },
                ),
                target: Local(
                    DatabaseName(
                        "b",
                    ),
                ),
                selection: Filter {
                    name: "d/f",
                    params: [
                        (
                            "n",
                            "1",
                        ),
                        (
                            "t",
                            "x",
                        ),
                    ],
                },
                winning_revs_only: true,
                continuous: true,
                create_target: true,
                create_target_params: [
                    (
                        "q",
                        "2",
                    ),
                    (
                        "partitioned",
                        "true",
                    ),
                ],
                since_seq: Some(
                    "12-abc",
                ),
                use_checkpoints: false,
                checkpoint_interval: 5s,
                use_bulk_get: false,
                worker_batch_size: 7,
                worker_processes: 2,
                http_connections: 3,
                retries_per_request: 1,
                connection_timeout: 9s,
                socket_options: Some(
                    "[{keepalive,true}]",
                ),
                user_ctx: Some(
                    UserContext {
                        name: Some(
                            "eve",
                        ),
                        roles: [
                            "r",
                        ],
                    },
                ),
            }
        "#]],
    );
}

#[test]
fn what_asks_for_too_much_gets_less() {
    check(
        r#"{"source":"a","target":"b","worker_batch_size":1000000000,"worker_processes":1000000000,
        "http_connections":99999999999999999999999,"retries_per_request":1000000000,
        "connection_timeout":1,"checkpoint_interval":0}"#,
        &expect![[r#"
            Job {
                source: Local(
                    DatabaseName(
                        "a",
                    ),
                ),
                target: Local(
                    DatabaseName(
                        "b",
                    ),
                ),
                selection: Everything,
                winning_revs_only: false,
                continuous: false,
                create_target: false,
                create_target_params: [],
                since_seq: None,
                use_checkpoints: true,
                checkpoint_interval: 100ms,
                use_bulk_get: true,
                worker_batch_size: 10000,
                worker_processes: 64,
                http_connections: 100,
                retries_per_request: 100,
                connection_timeout: 1s,
                socket_options: None,
                user_ctx: None,
            }
        "#]],
    );
}

#[test]
fn ids_of_documents_are_decoded_sorted_and_each_there_once() {
    let job = job(r#"{"source":"a","target":"b","doc_ids":["b%2Fc","a","a","%e4%bd%a0"]}"#);
    expect![[r#"DocIds(["a", "b/c", "你"])"#]].assert_eq(&format!("{:?}", job.selection));
}

#[test]
fn mistakes_are_named() {
    check(
        "[]",
        &expect![[r#"
        Request body must be a JSON object
    "#]],
    );
    check(
        "{",
        &expect![[r#"
        invalid UTF-8 JSON
    "#]],
    );
    check(
        r#"{"target":"b"}"#,
        &expect![[r#"
        Missing replicator database: `source` is not there
    "#]],
    );
    check(
        r#"{"source":"a"}"#,
        &expect![[r#"
        Missing replicator database: `target` is not there
    "#]],
    );
    refused(
        "source",
        "1",
        &expect!["`source` must be a URL, the name of a database, or an object with a `url`"],
    );
    refused(
        "source",
        "{}",
        &expect!["`source` must be a URL, the name of a database, or an object with a `url`"],
    );
    refused(
        "source",
        r#""A""#,
        &expect![
            "`source` is neither a URL nor the name of a database: Name: 'A'. Only lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter."
        ],
    );
    refused(
        "source",
        r#""ftp://h/a""#,
        &expect!["source has an invalid url: expected `http://` or `https://`"],
    );
    refused("source", r#""http:///a""#, &expect!["source has an invalid url: it names no host"]);
    refused(
        "source",
        r#""http://h:x/a""#,
        &expect!["source has an invalid url: the port is not a number up to 65535"],
    );
    refused(
        "source",
        r#""http://h/a b""#,
        &expect![
            "source has an invalid url: it has white space or other characters that must be percent-encoded"
        ],
    );
    refused(
        "source",
        r#""http://h/a#b""#,
        &expect!["source has an invalid url: it has a fragment"],
    );
    refused(
        "source",
        r#"{"url":"http://h/a","headers":{"a b":"c"}}"#,
        &expect![[r#"`source` has a header that cannot be sent: "a b""#]],
    );
    refused(
        "source",
        r#"{"url":"http://h/a","headers":{"a":"b\nc"}}"#,
        &expect![[r#"`source` has a header that cannot be sent: "a""#]],
    );
    refused(
        "source",
        r#"{"url":"http://h/a","auth":{"basic":{"username":"u"}}}"#,
        &expect!["parameter `auth.basic` must be an object with `username` and `password`"],
    );
    refused("continuous", r#""yes""#, &expect!["parameter `continuous` must be a boolean"]);
    refused(
        "worker_processes",
        "0",
        &expect!["parameter `worker_processes` must be a number greater than 0"],
    );
    refused(
        "http_connections",
        "-1",
        &expect!["parameter `http_connections` must be a number, 0 or greater"],
    );
    refused("doc_ids", "[1]", &expect!["parameter `doc_ids` must be an array of strings"]);
    refused("doc_ids", r#""a""#, &expect!["parameter `doc_ids` must be an array of strings"]);
    refused("selector", "[]", &expect!["parameter `selector` must be a JSON object"]);
    refused("filter", r#""name""#, &expect!["Invalid filter. Must match `ddocname/filtername`."]);
    refused("filter", r#""_view""#, &expect!["Invalid `view` parameter."]);
    refused(
        "filter",
        r#""d/f","selector":{}"#,
        &expect!["`doc_ids`,`filter`,`selector` are mutually exclusive"],
    );
    refused(
        "proxy",
        r#""http://p","source_proxy":"http://p""#,
        &expect!["`proxy` is mutually exclusive with `source_proxy`"],
    );
    refused(
        "proxy",
        r#""ftp://p""#,
        &expect!["proxy has an invalid url: expected `http://`, `https://` or `socks5://`"],
    );
    refused(
        "since_seq",
        "null",
        &expect!["parameter `since_seq` must be a sequence: a string, a number or an array"],
    );
    refused(
        "user_ctx",
        "[]",
        &expect!["parameter `user_ctx` must be an object with a `name` and a list of `roles`"],
    );
}

#[test]
fn credentials_come_from_auth_then_the_url_then_a_header() {
    let with = |user: &str, rest: &str| {
        let text = format!(r#"{{"source":{{"url":"http://{user}h/a"{rest}}},"target":"b"}}"#);
        let job = job(&text);
        let credentials = remote(&job.source).credentials.clone().unwrap();
        (credentials.username, credentials.password)
    };
    let auth = r#","auth":{"basic":{"username":"a","password":"1"}}"#;
    let header = r#","headers":{"authorization":"Basic aDozOjQ="}"#;
    let pair = |user: &str, password: &str| (user.to_owned(), password.to_owned());
    assert_eq!(with("u%40x:2%2F@", &format!("{auth}{header}")), pair("a", "1"));
    assert_eq!(with("u%40x:2%2F@", header), pair("u@x", "2/"));
    assert_eq!(with("", header), pair("h", "3:4"));
}

#[test]
fn secrets_are_not_shown() {
    let job = job(r#"{"source":{"url":"http://u:secret@h/a","headers":{"Cookie":"secret"},
        "auth":{"basic":{"username":"u","password":"secret"}}},
        "target":"http://u:secret@h/b","proxy":"http://u:secret@p"}"#);
    assert!(!format!("{job:?}").contains("secret"));
    assert_eq!(job.source.to_string(), "http://h/a/");
}

#[test]
fn a_job_is_cancelled_by_its_id_or_by_itself() {
    let parse = |text: &str| ReplicateRequest::parse(text.as_bytes());
    let by_id = ReplicateRequest::CancelId("0a+continuous".to_owned());
    assert_eq!(parse(r#"{"cancel":true,"replication_id":"0a+continuous"}"#), Ok(by_id.clone()));
    assert_eq!(parse(r#"{"cancel":true,"_local_id":"0a continuous"}"#), Ok(by_id.clone()));
    assert_eq!(parse(r#"{"cancel":true,"id":"0a+continuous"}"#), Ok(by_id));
    let same = r#"{"source":"a","target":"b","cancel":true}"#;
    let boxed = Box::new(job(same));
    assert_eq!(parse(same), Ok(ReplicateRequest::CancelJob(boxed.clone())));
    assert_eq!(parse(r#"{"source":"a","target":"b"}"#), Ok(ReplicateRequest::Start(boxed)));
    let missing = Err(JobError::NoEndpoint { member: "source" });
    assert_eq!(parse(r#"{"cancel":true}"#), missing);
}

#[test]
fn an_id_stays_what_it_is() {
    let plain = r#"{"source":"a","target":"http://h/b"}"#;
    expect!["fc304d09bce8b5bb083fe80b8511182a"].assert_eq(&id(plain));
    let filtered = job(
        r#"{"source":"a","target":"b","filter":"d/f","query_params":{"a":"1"},"continuous":true,
        "create_target":true}"#,
    );
    assert_eq!(filtered.filter_function(), Some(("d", "f")));
    let code = ReplicationId::new("uuid", &filtered, Some("function(doc) { return true; }"));
    expect!["5b7cc61bfb3a892417f2b8b2d158c7cc+continuous+create_target"]
        .assert_eq(&code.to_string());
    expect!["_local/5b7cc61bfb3a892417f2b8b2d158c7cc"].assert_eq(code.checkpoint_id().as_str());
}

#[test]
fn an_id_tells_jobs_apart_that_copy_other_documents_and_only_these() {
    let with =
        |target: &str, rest: &str| id(&format!(r#"{{"source":"a","target":{target}{rest}}}"#));
    let plain = with(r#""http://h/b""#, "");
    for same in [
        (r#""https://H:443/b/""#, ""),
        (r#"{"url":"http://h:5984/b"}"#, ""),
        (r#""http://h/b""#, r#","winning_revs_only":false,"worker_processes":1"#),
        (r#""http://h/b""#, r#","connection_timeout":5000,"proxy":"http://p""#),
    ] {
        assert_eq!(with(same.0, same.1), plain, "{same:?}");
    }
    let mut ids = vec![plain];
    for other in [
        (r#""http://h/c""#, ""),
        (r#""http://u:p@h/b""#, ""),
        (r#"{"url":"http://h/b","headers":{"x":"y"}}"#, ""),
        (r#""http://h/b""#, r#","winning_revs_only":true"#),
        (r#""http://h/b""#, r#","since_seq":5"#),
        (r#""http://h/b""#, r#","doc_ids":["a"]"#),
        (r#""http://h/b""#, r#","selector":{"a":1}"#),
        (r#""http://h/b""#, r#","filter":"d/f""#),
        (r#""http://h/b""#, r#","filter":"d/f","query_params":{"a":"1"}"#),
    ] {
        ids.push(with(other.0, other.1));
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
    let password = with(r#""http://u:other@h/b""#, "");
    assert!(ids.contains(&password), "a new password does not begin a new replication");
    let spelt = |selector: &str| with(r#""b""#, &format!(r#","selector":{selector}"#));
    assert_eq!(
        spelt(r#"{"a":1,"b":{"c":"\u0061","d":[]}}"#),
        spelt(r#"{"b":{"d":[],"c":"a"},"a":1}"#)
    );
}

proptest! {
    /// Members in any order and spelling describe the same job.
    #[test]
    fn the_order_of_members_does_not_matter(
        members in Just(vec![
            r#""source":"a""#, r#""target":"http://u:p@h/b""#, r#""filter":"d/f""#,
            r#""query_params":{"x":"1"}"#, r#""continuous":true"#, r#""worker_batch_size":7"#,
            r#""since_seq":"5-x""#, r#""unknown":[1,{"a":null}]"#,
        ]).prop_shuffle()
    ) {
        let text = format!("{{{}}}", members.join(" , "));
        let expected = job(&text);
        let mut sorted = members;
        sorted.sort_unstable();
        let again = job(&format!("{{{}}}", sorted.join(",")));
        prop_assert_eq!(&expected, &again);
        prop_assert_eq!(
            ReplicationId::new("u", &expected, None),
            ReplicationId::new("u", &again, None)
        );
    }

    /// A URL that is taken is shown so that it is taken again, as the same.
    #[test]
    fn a_url_that_is_shown_is_the_same_url(
        scheme in "https?", user in "([a-z%@:]{0,5}@)?", host in r"[a-zA-Z0-9.:\[\]-]{0,10}",
        port in "(:[0-9]{0,6})?", path in "(/[a-z%/]{0,8})?", query in r"(\?[a-z=&]{0,5})?",
    ) {
        let url = format!("{scheme}://{user}{host}{port}{path}{query}");
        let text = format!(r#"{{"source":"{url}","target":"b"}}"#);
        if let Ok(job) = Job::parse(text.as_bytes()) {
            let shown = job.source.to_string();
            let again = Job::parse(format!(r#"{{"source":"{shown}","target":"b"}}"#).as_bytes());
            let again = again.unwrap();
            prop_assert_eq!(&remote(&again.source).url, &remote(&job.source).url);
        }
    }
}
