//! What a server is from the outside: reached, encrypted, on time, open to the right pages.

use hyper::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;
use settle_model::time::{Clock as _, Timestamp};

use super::{Finding, Patient};
use crate::{
    limits::{DOCTOR_CLOCK_SKEW_MAX, DOCTOR_PATIENCE, DOCTOR_REPLY_BYTES_MAX},
    probe::{Answer, Bounds, Probe, ProbeError},
    system::SystemClock,
};

/// An origin that nobody lists.
const STRANGER: &str = "https://settle-doctor.invalid";

pub(super) async fn examine(patient: &Patient) -> Vec<Finding> {
    let bounds = Bounds { patience: DOCTOR_PATIENCE, body_bytes_max: DOCTOR_REPLY_BYTES_MAX };
    let probe = match Probe::new(&patient.url, patient.trusted.as_deref(), bounds) {
        Ok(probe) => probe,
        Err(error) => return vec![unreachable(error)],
    };
    let clock = SystemClock::new();
    let start = clock.monotonic();
    let welcome = match probe.ask(Method::GET, "/", &[], None).await {
        Ok(welcome) => welcome,
        Err(error) => return vec![unreachable(error)],
    };
    let micros = clock.monotonic().saturating_sub(start).as_micros();
    let mut findings = vec![reached(patient, &welcome, micros)];
    findings.push(up(&probe).await);
    findings.push(encryption(&probe));
    findings.push(time(&welcome.headers, clock.now()));
    findings.push(nobody(&probe).await);
    findings.extend(cors(&probe, patient.origin.as_deref()).await);
    findings.extend(settings(&probe, patient).await);
    findings
}

fn unreachable(error: ProbeError) -> Finding {
    let advice = match &error {
        ProbeError::Url { .. } => "name the server as its clients do",
        ProbeError::Trusted { .. } => "name a file of certificates as PEM with --trust",
        ProbeError::Connect { .. } | ProbeError::Late { .. } => {
            "see that the server runs, listens on an address that clients reach (`bind`), and that \
             no firewall stands between"
        }
        ProbeError::Tls(_) | ProbeError::Name(_) => {
            "see that the certificate names this host, has not run out, comes with those between it \
             and the root, and that its root is trusted (--trust adds one)"
        }
        ProbeError::Exchange(_) | ProbeError::Body(_) => {
            "see whether another program answers on that port, or TLS is spoken there (https://)"
        }
    };
    Finding::problem(format!("not reached: {:#}", anyhow::Error::from(error)), advice)
}

fn reached(patient: &Patient, welcome: &Answer, micros: u128) -> Finding {
    let url = &patient.url;
    let who: Value = serde_json::from_slice(&welcome.body).unwrap_or_default();
    if who["couchdb"] != "Welcome" {
        let what = format!("{url} answers, and is no Settle");
        return Finding::problem(what, "name the server's own address, or see what its proxy does");
    }
    let version = who["vendor"]["version"].as_str().unwrap_or("?");
    Finding::good(format!(
        "reached {url} in {}.{} ms, version {version}",
        micros / 1_000,
        micros / 100 % 10
    ))
}

async fn up(probe: &Probe) -> Finding {
    match probe.ask(Method::GET, "/_up", &[], None).await {
        Ok(answer) if answer.status == StatusCode::OK => Finding::good("it takes requests"),
        Ok(_) => Finding::warning(
            "it is in maintenance: load balancers send nobody to it",
            "set couchdb/maintenance_mode to false when it shall be used",
        ),
        Err(error) => unreachable(error),
    }
}

fn encryption(probe: &Probe) -> Finding {
    let host = probe.host();
    let is_near = host == "localhost"
        || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    match (probe.is_encrypted(), is_near) {
        (true, _) => {
            Finding::good(format!("TLS protects it, and the certificate is good for {host}"))
        }
        (false, true) => Finding::good("no TLS, which the loopback address does not need"),
        (false, false) => Finding::problem(
            "no TLS: passwords and documents travel readable",
            "set tls.certificate and tls.key, or put a proxy with TLS in front",
        ),
    }
}

fn time(headers: &HeaderMap, now: Timestamp) -> Finding {
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
    let Some(theirs) = date.and_then(seconds_of) else {
        return Finding::skipped("it does not say what time it has", "a proxy may remove `Date`");
    };
    let skew = theirs.abs_diff(now.seconds());
    if skew <= DOCTOR_CLOCK_SKEW_MAX.as_secs() {
        return Finding::good(format!("its clock and ours are {skew} s apart"));
    }
    Finding::warning(
        format!("its clock and ours are {skew} s apart"),
        "keep both in time (NTP): sessions and certificates run out by the clock",
    )
}

/// `Sun, 21 Nov 2027 03:05:46 GMT` in seconds since 1970.
fn seconds_of(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = date.split_once(", ")?.1.split([' ', ':']);
    let number = |part: Option<&str>| part?.parse::<u64>().ok();
    let day = number(parts.next())?;
    let month = parts.next()?;
    let month = u64::try_from(MONTHS.iter().position(|it| *it == month)?).ok()? + 1;
    let year = number(parts.next())?;
    let (hour, minute, second) =
        (number(parts.next())?, number(parts.next())?, number(parts.next())?);
    // Howard Hinnant's `days_from_civil`.
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let shifted = (month + 9) % 12;
    let of_year = (153 * shifted + 2) / 5 + day.checked_sub(1)?;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Whether somebody without a password sees more than they should.
async fn nobody(probe: &Probe) -> Finding {
    match probe.ask(Method::GET, "/_all_dbs", &[], None).await {
        Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => {
            Finding::good("who is not signed in sees no databases")
        }
        Ok(answer) => Finding::problem(
            format!("who is not signed in is answered {} on /_all_dbs", answer.status),
            "see what a proxy in front adds to requests",
        ),
        Err(error) => unreachable(error),
    }
}

/// A preflight and the request behind it, as a browser sends them for a page of `origin`.
async fn cors(probe: &Probe, origin: Option<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(origin) = origin {
        findings.push(preflight(probe, origin).await);
        findings.push(real(probe, origin).await);
    } else {
        let advice = "name a page's origin with --origin to see whether it can use the server";
        findings.push(Finding::skipped("CORS was not looked at", advice));
    }
    let stranger = probe.ask(Method::GET, "/_up", &[("origin", STRANGER)], None).await;
    if let Ok(answer) = stranger
        && let Some(allowed) = answer.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN)
    {
        let credentials = answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
        let what = format!("pages of any origin may read replies ({allowed:?})");
        let advice = "list the origins that need it in cors/origins instead";
        findings.push(if credentials {
            Finding::problem(format!("{what}, with the reader's password"), advice)
        } else {
            Finding::warning(what, advice)
        });
    }
    findings
}

const ADVICE: &str = "set cors/origins to the exact origin, cors/credentials to true if its pages sign in, and \
     chttpd/enable_cors to true; see that no proxy answers OPTIONS itself or adds headers of its own";

async fn preflight(probe: &Probe, origin: &str) -> Finding {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "authorization,content-type,if-match"),
    ];
    let answer = match probe.ask(Method::OPTIONS, "/settle-doctor/doc", &headers, None).await {
        Ok(answer) => answer,
        Err(error) => return unreachable(error),
    };
    let get = |name| answer.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let lists =
        |name, wanted: &str| get(name).split(',').any(|it| it.trim().eq_ignore_ascii_case(wanted));
    let wrong = if !answer.status.is_success() {
        Some(format!("status {}", answer.status))
    } else if !is_allowed(&answer.headers, origin) {
        Some("the origin is not allowed".to_owned())
    } else if !lists(header::ACCESS_CONTROL_ALLOW_METHODS, "PUT") {
        Some("PUT is not allowed".to_owned())
    } else {
        let needed = ["authorization", "content-type", "if-match"];
        let missing = needed.iter().find(|it| !lists(header::ACCESS_CONTROL_ALLOW_HEADERS, it));
        missing.map(|name| format!("the header {name} is not allowed"))
    };
    match wrong {
        None => Finding::good(format!("a preflight for {origin} passes")),
        Some(wrong) => {
            Finding::problem(format!("a preflight for {origin} does not pass: {wrong}"), ADVICE)
        }
    }
}

async fn real(probe: &Probe, origin: &str) -> Finding {
    let answer = match probe.ask(Method::GET, "/_session", &[("origin", origin)], None).await {
        Ok(answer) => answer,
        Err(error) => return unreachable(error),
    };
    if !is_allowed(&answer.headers, origin) {
        let what = format!("a page of {origin} may not read replies");
        return Finding::problem(what, ADVICE);
    }
    if answer.headers.get_all(header::ACCESS_CONTROL_ALLOW_ORIGIN).iter().count() > 1 {
        let what = "replies name the allowed origin twice, which browsers refuse";
        return Finding::problem(what, "let either the server or the proxy answer for CORS");
    }
    if answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS) {
        return Finding::good(format!("a page of {origin} may read replies, and sign in"));
    }
    Finding::warning(
        format!("a page of {origin} may read replies, but browsers send no cookie or password"),
        "set cors/credentials to true, and list the exact origin, if its pages sign in",
    )
}

fn is_allowed(headers: &HeaderMap, origin: &str) -> bool {
    let allowed = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    allowed.is_some_and(|it| it == origin || it == "*")
}

/// Those that can be changed while the server runs.
async fn settings(probe: &Probe, patient: &Patient) -> Vec<Finding> {
    let Some(admin) = &patient.admin else {
        let advice = "set SETTLE_ADMIN_PASSWORD to have them looked at";
        return vec![Finding::skipped(
            "the settings that HTTP can change were not looked at",
            advice,
        )];
    };
    let path = "/_node/_local/_config";
    let answer = match probe.ask(Method::GET, path, &[], Some(admin)).await {
        Ok(answer) => answer,
        Err(error) => return vec![unreachable(error)],
    };
    if answer.status != StatusCode::OK {
        let what = format!("{} may not read the settings ({})", admin.0, answer.status);
        return vec![Finding::skipped(
            what,
            "see whether name and password are the administrator's",
        )];
    }
    let all: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let get = |section: &str, key: &str| all[section][key].as_str().unwrap_or_default();
    let has_cors = get("chttpd", "enable_cors") == "true" || get("httpd", "enable_cors") == "true";
    let mut findings = Vec::new();
    if has_cors && get("cors", "origins").trim().is_empty() {
        let what = "CORS is switched on and no origin is listed, so it is off";
        findings.push(Finding::warning(what, "list origins in cors/origins"));
    }
    if has_cors
        && get("cors", "credentials") == "true"
        && get("cors", "origins").contains("http://")
    {
        let what = "pages that came without TLS may send passwords (cors/origins has http://)";
        let advice = "list https:// origins, but for development on localhost";
        findings.push(Finding::warning(what, advice));
    }
    let timeout = get("chttpd_auth", "timeout").parse::<u64>().unwrap_or_default();
    if timeout > 24 * 60 * 60 {
        let what = format!("a session lives {} h without a request", timeout / 3_600);
        let advice = "set chttpd_auth/timeout to what a stolen cookie may be worth";
        findings.push(Finding::warning(what, advice));
    }
    if findings.is_empty() {
        findings.push(Finding::good("no setting that HTTP can change is risky"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_as_it_is_written() {
        assert_eq!(seconds_of("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds_of("Tue, 29 Feb 2000 00:00:00 GMT"), Some(951_782_400));
        assert_eq!(seconds_of("Mon, 01 Mar 2100 00:00:00 GMT"), Some(4_107_542_400));
        for wrong in ["", "x", "Thu, 00 Jan 1970 00:00:00 GMT", "Thu, 01 Foo 1970 00:00:00 GMT"] {
            assert_eq!(seconds_of(wrong), None, "{wrong}");
        }
    }
}
