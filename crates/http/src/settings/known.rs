//! The table of settings.

use crate::{connection, cors, limits, uuids::UuidAlgorithm};

/// One setting, under CouchDB's names.
#[derive(Debug)]
pub struct Known {
    pub section: &'static str,
    pub key: &'static str,
    pub default: &'static str,
    /// Decided at start; reading is allowed, changing is not.
    pub fixed: bool,
    pub summary: &'static str,
    pub(super) check: fn(&str) -> Result<(), String>,
}

pub const KNOWN: &[Known] = &[
    Known {
        section: "accounts",
        key: "bytes_max",
        default: "10737418240",
        fixed: false,
        summary: "bytes that an account may keep, unless it was given another number",
        check: |value| number(value, 0, u64::MAX),
    },
    Known {
        section: "accounts",
        key: "databases_max",
        default: "100",
        fixed: false,
        summary: "databases that an account may have, unless it was given another number",
        check: |value| number(value, 0, 1_000_000),
    },
    Known {
        section: "accounts",
        key: "deletion_grace_days",
        default: "30",
        fixed: false,
        summary: "days in which a deleted account can be taken back",
        check: |value| number(value, 0, 3_650),
    },
    Known {
        section: "chttpd",
        key: "enable_cors",
        default: "false",
        fixed: false,
        summary: "whether pages of other origins may read replies",
        check: boolean,
    },
    Known {
        section: "chttpd",
        key: "max_http_request_size",
        default: "4294967296",
        fixed: true,
        summary: "bytes of a streamed request body",
        check: anything,
    },
    Known {
        section: "chttpd",
        key: "require_valid_user_except_for_up",
        default: "true",
        fixed: true,
        summary: "nothing but `/`, `/_up` and `/_session` is open",
        check: anything,
    },
    Known {
        section: "chttpd",
        key: "strict_transport_security",
        default: "0",
        fixed: false,
        summary: "seconds in which browsers that came by TLS shall come by nothing else; 0 says nothing",
        check: |value| number(value, 0, limits::STRICT_TRANSPORT_MAX),
    },
    Known {
        section: "chttpd_auth",
        key: "cookie_domain",
        default: "",
        fixed: false,
        summary: "domain whose hosts all get session cookies, instead of this host alone",
        check: domain,
    },
    Known {
        section: "chttpd_auth",
        key: "password_length_min",
        default: "8",
        fixed: false,
        summary: "characters of a new password of a user at least",
        check: |value| number(value, 1, 256),
    },
    Known {
        section: "chttpd_auth",
        key: "password_regexp",
        default: "",
        fixed: false,
        summary: "what new passwords must match: a JSON list of patterns, or of pairs of a pattern and \
                  a reason",
        check: |value| patterns(value).map(drop),
    },
    Known {
        section: "chttpd_auth",
        key: "public_fields",
        default: "",
        fixed: false,
        summary: "members of user documents that everybody signed in may see, with commas between",
        check: anything,
    },
    Known {
        section: "chttpd_auth",
        key: "same_site",
        default: "lax",
        fixed: false,
        summary: "attribute of session cookies: lax, strict or none; none counts under TLS alone",
        check: |value| one_of(value, &["lax", "strict", "none"]),
    },
    Known {
        section: "chttpd_auth",
        key: "sign_up",
        default: "closed",
        fixed: false,
        summary: "whether anybody may make themselves a user: closed or open",
        check: |value| one_of(value, &["closed", "open"]),
    },
    Known {
        section: "chttpd_auth",
        key: "timeout",
        default: "600",
        fixed: false,
        summary: "seconds that a session lives without a request",
        check: |value| number(value, 1, 30 * 24 * 60 * 60),
    },
    Known {
        section: "cors",
        key: "credentials",
        default: "false",
        fixed: false,
        summary: "whether listed origins may send cookies and passwords; never those that only `*` allows",
        check: boolean,
    },
    Known {
        section: "cors",
        key: "headers",
        default: "",
        fixed: false,
        summary: "headers that pages may send beyond those of the protocol",
        check: cors::check_headers,
    },
    Known {
        section: "cors",
        key: "max_age",
        default: "600",
        fixed: false,
        summary: "seconds that a browser remembers what a preflight said",
        check: cors::check_max_age,
    },
    Known {
        section: "cors",
        key: "methods",
        default: cors::METHODS_DEFAULT,
        fixed: false,
        summary: "methods that pages may use",
        check: cors::check_methods,
    },
    Known {
        section: "cors",
        key: "origins",
        default: "",
        fixed: false,
        summary: "origins whose pages may read replies, with commas between, or `*`",
        check: cors::check_origins,
    },
    Known {
        section: "couchdb",
        key: "maintenance_mode",
        default: "false",
        fixed: false,
        summary: "what `_up` answers to a load balancer: false, true or nolb",
        check: |value| one_of(value, &["false", "true", "nolb"]),
    },
    Known {
        section: "couchdb",
        key: "max_document_size",
        default: "8000000",
        fixed: true,
        summary: "bytes of a document's body",
        check: anything,
    },
    Known {
        section: "couchdb",
        key: "single_node",
        default: "true",
        fixed: true,
        summary: "whether there is one node",
        check: anything,
    },
    Known {
        section: "httpd",
        key: "enable_cors",
        default: "false",
        fixed: false,
        summary: "the older name of chttpd/enable_cors; either of them is enough",
        check: boolean,
    },
    Known {
        section: "proxies",
        key: "trusted",
        default: "127.0.0.1, ::1",
        fixed: false,
        summary: "addresses whose X-Forwarded-For says where a request comes from",
        check: connection::check_proxies,
    },
    Known {
        section: "rate_limits",
        key: "burst",
        default: "10",
        fixed: false,
        summary: "seconds of requests that may come at once",
        check: |value| number(value, 1, limits::RATE_BURST_MAX),
    },
    Known {
        section: "rate_limits",
        key: "per_account",
        default: "0",
        fixed: false,
        summary: "requests a second of one account, 0 for any number",
        check: |value| number(value, 0, limits::RATE_MAX),
    },
    Known {
        section: "rate_limits",
        key: "per_address",
        default: "0",
        fixed: false,
        summary: "requests a second from one address, 0 for any number",
        check: |value| number(value, 0, limits::RATE_MAX),
    },
    Known {
        section: "uuids",
        key: "algorithm",
        default: "sequential",
        fixed: false,
        summary: "how ids are made",
        check: |value| one_of(value, UuidAlgorithm::NAMES),
    },
    Known {
        section: "uuids",
        key: "max_count",
        default: "1000",
        fixed: false,
        summary: "ids in one request to `_uuids`",
        check: |value| number(value, 1, u64::try_from(limits::UUIDS_MAX).unwrap_or(u64::MAX)),
    },
    Known {
        section: "uuids",
        key: "utc_id_suffix",
        default: "",
        fixed: false,
        summary: "what ids of the algorithm utc_id end with",
        check: suffix,
    },
];

pub(super) fn find(section: &str, key: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.section == section && known.key == key)
}

/// Texts with commas between.
pub(super) fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

/// Patterns, each with what is said of a password that does not match.
pub(super) fn patterns(value: &str) -> Result<Vec<(String, Option<String>)>, String> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Pattern {
        Alone(String),
        Explained(String, String),
    }
    if value.trim().is_empty() {
        return Ok(Vec::new());
    }
    let all: Vec<Pattern> = serde_json::from_str(value).map_err(|_| {
        r#"expected a list such as ["[0-9]", ["[A-Z]", "Use a capital."]]"#.to_owned()
    })?;
    let all = all.into_iter().map(|pattern| match pattern {
        Pattern::Alone(pattern) => (pattern, None),
        Pattern::Explained(pattern, reason) => (pattern, Some(reason)),
    });
    let all: Vec<_> = all.collect();
    for (pattern, _) in &all {
        regex::Regex::new(pattern).map_err(|error| format!("the pattern {pattern}: {error}"))?;
    }
    Ok(all)
}

fn anything(_: &str) -> Result<(), String> {
    Ok(())
}

fn boolean(value: &str) -> Result<(), String> {
    one_of(value, &["false", "true"])
}

fn one_of(value: &str, allowed: &[&str]) -> Result<(), String> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(format!("expected one of {}", allowed.join(", ")))
}

fn number(value: &str, least: u64, most: u64) -> Result<(), String> {
    match value.parse::<u64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(()),
        Ok(_) | Err(_) => Err(format!("expected a number from {least} to {most}")),
    }
}

/// Of at least two labels: browsers take no cookie for `org`.
fn domain(value: &str) -> Result<(), String> {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
    };
    let labels: Vec<_> = value.split('.').collect();
    if value.is_empty()
        || (value.len() <= 253 && labels.len() > 1 && labels.into_iter().all(is_label))
    {
        return Ok(());
    }
    Err("expected a domain such as example.org, or nothing".to_owned())
}

/// Ids are parts of paths.
fn suffix(value: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if value.len() <= 64 && value.bytes().all(allowed) {
        return Ok(());
    }
    Err("expected at most 64 letters, digits, '-', '_' or '.'".to_owned())
}
