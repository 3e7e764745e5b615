//! What a reply that is none, or no reply, means for the replication.
//!
//! Two are not what one might think, because a failure that is taken for the peer's word on *content* would
//! leave documents behind for good: certificates that are not trusted and proxies that turn us away are lost
//! connections, which the job tries again later, with the reason to be read.

use std::{error::Error as _, time::Duration};

use http::{HeaderMap, StatusCode, header};
use settle_model::time::Timestamp;
use settle_sync::{
    replication::{Failure, FailureKind},
    wire::{self, WireError},
};

use crate::limits::REASON_CHARS_MAX;

/// Of a status that does not say success. `body` is what came of the reply's body.
pub(super) fn of_status(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Failure {
    let problem = wire::parse_problem(body);
    let error = problem.as_ref().map_or("", |(error, _)| error);
    let retry_after = retry_after(headers, now);
    let kind = match status.as_u16() {
        401 => FailureKind::Unauthorized,
        403 => FailureKind::Forbidden,
        404 | 410 => FailureKind::NotFound,
        407 => FailureKind::Lost,
        408 => FailureKind::Broken,
        409 => FailureKind::Conflict,
        412 if error == "missing_stub" => FailureKind::MissingStub,
        413 | 414 | 431 => FailureKind::TooLarge,
        429 => FailureKind::Busy { retry_after },
        501 => FailureKind::Refused,
        503 if retry_after.is_some() => FailureKind::Busy { retry_after },
        400..=499 => FailureKind::Refused,
        _ => FailureKind::Broken,
    };
    let reason = match &problem {
        None if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "the proxy asks for credentials, or for others".to_owned()
        }
        None => format!("the peer answered {status}"),
        Some((error, reason)) if reason.is_empty() => error.clone(),
        Some((error, reason)) if says_nothing_of_the_error(kind) => format!("{error}: {reason}"),
        Some((_, reason)) => reason.clone(),
    };
    failure(kind, &reason)
}

/// Whether many errors of a peer are of this kind, so that the reason needs the peer's name for it.
fn says_nothing_of_the_error(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Refused | FailureKind::Busy { .. } | FailureKind::Broken => true,
        FailureKind::Unauthorized
        | FailureKind::Forbidden
        | FailureKind::NotFound
        | FailureKind::Conflict
        | FailureKind::MissingStub
        | FailureKind::TooLarge
        | FailureKind::TimedOut
        | FailureKind::Lost => false,
    }
}

/// Seconds, or a date as HTTP writes it.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let since_1970 = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_seconds(since_1970.as_secs()).since(now))
}

/// Of a connection that could not be made, or broke.
pub(super) fn of_network(error: reqwest::Error) -> Failure {
    let kind = if error.is_builder() { FailureKind::Refused } else { FailureKind::Lost };
    let action = match () {
        () if error.is_builder() => "the request cannot be made",
        () if error.is_connect() => "could not connect",
        () => "the connection was lost",
    };
    // The URL is left out: it may have secrets among its parameters.
    let error = error.without_url();
    let mut cause = error.source();
    let mut innermost = None;
    while let Some(error) = cause {
        innermost = Some(error.to_string());
        cause = error.source();
    }
    let reason = match innermost {
        Some(cause) => format!("{action}: {cause}"),
        None => format!("{action}: {error}"),
    };
    failure(kind, &reason)
}

/// Of a reply that makes no sense.
pub(super) fn broken(reason: &str) -> Failure {
    failure(FailureKind::Broken, reason)
}

pub(super) fn not_understood(error: &WireError) -> Failure {
    broken(&error.to_string())
}

pub(super) fn failure(kind: FailureKind, reason: &str) -> Failure {
    Failure { kind, reason: reason.chars().take(REASON_CHARS_MAX).collect() }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(status: u16, retry_after: &str, body: &str, expected: &Expect) {
        let mut headers = HeaderMap::new();
        if !retry_after.is_empty() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(retry_after).unwrap());
        }
        let now = Timestamp::from_seconds(784_111_777);
        let status = StatusCode::from_u16(status).unwrap();
        let failure = of_status(status, &headers, body.as_bytes(), now);
        expected.assert_eq(&format!("{:?} {}", failure.kind, failure.reason));
    }

    #[test]
    fn each_status_has_its_kind() {
        let said = r#"{"error":"some_error","reason":"Some reason."}"#;
        check(401, "", said, &expect!["Unauthorized Some reason."]);
        check(403, "", said, &expect!["Forbidden Some reason."]);
        check(404, "", said, &expect!["NotFound Some reason."]);
        check(410, "", said, &expect!["NotFound Some reason."]);
        check(409, "", said, &expect!["Conflict Some reason."]);
        check(413, "", said, &expect!["TooLarge Some reason."]);
        check(414, "", "", &expect!["TooLarge the peer answered 414 URI Too Long"]);
        check(400, "", said, &expect!["Refused some_error: Some reason."]);
        check(405, "", said, &expect!["Refused some_error: Some reason."]);
        check(501, "", said, &expect!["Refused some_error: Some reason."]);
        check(408, "", said, &expect!["Broken some_error: Some reason."]);
        check(500, "", said, &expect!["Broken some_error: Some reason."]);
        check(304, "", "", &expect!["Broken the peer answered 304 Not Modified"]);
        check(407, "", "", &expect!["Lost the proxy asks for credentials, or for others"]);
    }

    #[test]
    fn a_stub_that_the_target_does_not_have_is_told_from_other_preconditions() {
        let missing = r#"{"error":"missing_stub","reason":"a.txt"}"#;
        check(412, "", missing, &expect!["MissingStub a.txt"]);
        let other = r#"{"error":"file_exists"}"#;
        check(412, "", other, &expect!["Refused file_exists"]);
    }

    #[test]
    fn a_busy_peer_may_say_for_how_long_in_seconds_or_by_a_date() {
        check(
            429,
            "",
            "",
            &expect!["Busy { retry_after: None } the peer answered 429 Too Many Requests"],
        );
        check(
            429,
            "7",
            "",
            &expect!["Busy { retry_after: Some(7s) } the peer answered 429 Too Many Requests"],
        );
        let date = "Sun, 06 Nov 1994 08:50:07 GMT";
        check(
            503,
            date,
            "",
            &expect!["Busy { retry_after: Some(30s) } the peer answered 503 Service Unavailable"],
        );
        check(503, "", "", &expect!["Broken the peer answered 503 Service Unavailable"]);
        let past = "Sun, 06 Nov 1994 08:49:07 GMT";
        check(
            503,
            past,
            "",
            &expect!["Busy { retry_after: Some(0ns) } the peer answered 503 Service Unavailable"],
        );
        check(503, "soon", "", &expect!["Broken the peer answered 503 Service Unavailable"]);
    }

    #[test]
    fn a_page_of_html_is_no_reason_and_a_long_one_is_cut() {
        check(502, "", "<html>", &expect!["Broken the peer answered 502 Bad Gateway"]);
        let body = format!(r#"{{"error":"x","reason":"{}"}}"#, "é".repeat(5_000));
        let failure = of_status(
            StatusCode::FORBIDDEN,
            &HeaderMap::new(),
            body.as_bytes(),
            Timestamp::default(),
        );
        assert_eq!(failure.reason.chars().count(), REASON_CHARS_MAX);
    }
}
