use std::collections::VecDeque;

use expect_test::{Expect, expect};
use http_body_util::BodyExt as _;

use super::*;
use crate::parameters::Query;

/// Rows by the time at which they come: each entry is one time, the first is now.
struct Script {
    times: VecDeque<Vec<u64>>,
    last: u64,
    limit: u64,
}

impl Source for Script {
    async fn read(&mut self, mut rows: Rows) -> Result<(Rows, Progress), ApiError> {
        for sequence in self.times.pop_front().unwrap_or_default() {
            self.last = sequence;
            let id = format!("\"{sequence}\"");
            rows.push(id.as_bytes(), |text| {
                text.extend_from_slice(format!("{{\"seq\":{id}}}").as_bytes());
            });
            if rows.count() == self.limit {
                return Ok((rows, Progress::Ended));
            }
        }
        Ok((rows, Progress::CaughtUp))
    }

    async fn wait(&mut self) {
        if self.times.is_empty() {
            std::future::pending::<()>().await;
        }
    }

    fn end(&self) -> End {
        End { last_sequence: format!("{}-x", self.last), pending: Some(0) }
    }
}

fn feed(query: &str, times: &[&[u64]], shutdown: &Shutdown) -> Feed<Script> {
    let parameters = ChangesParameters::of_query(Query::new(query), None).unwrap();
    let times = times.iter().map(|rows| rows.to_vec()).collect();
    let limit = parameters.limit.unwrap_or(u64::MAX);
    Feed::new(Script { times, last: 0, limit }, &parameters, shutdown.clone())
}

async fn sent(feed: Feed<Script>) -> String {
    let bytes = feed.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn check(query: &str, times: &[&[u64]], expected: Expect) {
    expected.assert_eq(&sent(feed(query, times, &Shutdown::default())).await.replace('\r', "\\r"));
}

#[tokio::test]
async fn a_normal_feed_sends_what_is_there_and_ends() {
    check(
        "",
        &[&[1, 2]],
        expect![[r#"
        {"results":[
        {"seq":"1"},\r
        {"seq":"2"}
        ],
        "last_seq":"2-x","pending":0}

    "#]],
    )
    .await;
    check(
        "",
        &[&[]],
        expect![[r#"
        {"results":[

        ],
        "last_seq":"0-x","pending":0}

    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_longpoll_waits_only_when_there_is_nothing() {
    check(
        "feed=longpoll",
        &[&[1], &[2]],
        expect![[r#"
        {"results":[
        {"seq":"1"}
        ],
        "last_seq":"1-x","pending":0}

    "#]],
    )
    .await;
    check(
        "feed=longpoll",
        &[&[], &[2, 3]],
        expect![[r#"
        {"results":[

        {"seq":"2"},\r
        {"seq":"3"}
        ],
        "last_seq":"3-x","pending":0}

    "#]],
    )
    .await;
    check(
        "feed=longpoll&timeout=1",
        &[&[]],
        expect![[r#"
        {"results":[


        ],
        "last_seq":"0-x","pending":0}

    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_continuous_feed_goes_on_until_its_limit_or_timeout() {
    check(
        "feed=continuous&limit=3",
        &[&[1], &[2, 3, 4]],
        expect![[r#"
        {"seq":"1"}
        {"seq":"2"}
        {"seq":"3"}
        {"last_seq":"3-x","pending":0}
    "#]],
    )
    .await;
    check(
        "feed=continuous&timeout=1",
        &[&[1], &[2]],
        expect![[r#"
        {"seq":"1"}
        {"seq":"2"}
        {"last_seq":"2-x","pending":0}
    "#]],
    )
    .await;
}

#[tokio::test]
async fn an_event_source_names_the_place_to_come_back_to() {
    check(
        "feed=eventsource&timeout=1",
        &[&[1], &[2]],
        expect![[r#"
            data: {"seq":"1"}
            id: "1"

            data: {"seq":"2"}
            id: "2"


        "#]],
    )
    .await;
}

#[tokio::test]
async fn a_heartbeat_replaces_the_timeout() {
    for (kind, beat) in [("longpoll", "\n"), ("eventsource", "event: heartbeat\ndata: \n\n")] {
        let query = format!("feed={kind}&heartbeat=1&timeout=1");
        let mut body = feed(&query, &[&[]], &Shutdown::default()).into_body();
        let mut beats = 0;
        while beats < 3 {
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            beats += usize::from(piece == beat);
        }
    }
}

#[tokio::test]
async fn a_stopping_server_ends_each_feed_with_its_last_line() {
    let shutdown = Shutdown::default();
    let running = feed("feed=continuous&heartbeat=60000", &[&[1]], &shutdown);
    let body = running.into_body();
    shutdown.begin();
    let bytes = body.collect().await.unwrap().to_bytes();
    assert_eq!(bytes, "{\"seq\":\"1\"}\n{\"last_seq\":\"1-x\",\"pending\":0}\n");
}

/// Finds nothing for a while, and then one row.
struct Quiet(u32);

impl Source for Quiet {
    async fn read(&mut self, mut rows: Rows) -> Result<(Rows, Progress), ApiError> {
        self.0 += 1;
        match self.0 {
            1 | 3 => Ok((rows, Progress::More)),
            2 => Ok((rows, Progress::Quiet)),
            _ => {
                rows.push(b"\"1\"", |text| text.extend_from_slice(b"{}"));
                Ok((rows, Progress::Ended))
            }
        }
    }

    async fn wait(&mut self) {}

    fn end(&self) -> End {
        End { last_sequence: "1-x".to_owned(), pending: None }
    }
}

#[tokio::test]
async fn who_wants_heartbeats_hears_that_a_filter_is_still_looking() {
    for (query, expected) in [
        ("heartbeat=1000", "{\"results\":[\n\n{}\n],\n\"last_seq\":\"1-x\"}\n\n"),
        ("", "{\"results\":[\n{}\n],\n\"last_seq\":\"1-x\"}\n\n"),
    ] {
        let parameters = ChangesParameters::of_query(Query::new(query), None).unwrap();
        for primes in [false, true] {
            let mut feed = Feed::new(Quiet(0), &parameters, Shutdown::default());
            if primes {
                feed.prime().await.unwrap();
            }
            let bytes = feed.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(String::from_utf8(bytes.to_vec()).unwrap(), expected);
        }
    }
}
