//! `settle doctor`: looks at a running server as its clients see it, and at the folder that it runs on.
//!
//! Each check finds something and says what can be done about it. Nothing is changed: what is asked of the
//! server are requests that a browser or a client would make anyway.

mod machine;
mod network;

use std::{path::PathBuf, sync::Arc};

use hyper::Uri;

use crate::{
    config::{Config, Secret},
    keys,
    system::SystemClock,
};

pub use crate::probe::ProbeError;

/// What is to be examined.
#[derive(Debug)]
pub struct Patient {
    /// How clients reach the server.
    pub url: Uri,
    /// A page's origin that shall be able to use it.
    pub origin: Option<String>,
    /// Certificates to trust beside those of the system, as PEM.
    pub trusted: Option<PathBuf>,
    /// As the server was started, as far as the one who asks can tell.
    pub config: Config,
    /// To look at the settings that can be changed over HTTP.
    pub admin: Option<(String, Secret)>,
    /// Whether the server runs on this machine, on the data folder of the configuration.
    pub is_here: bool,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Good,
    /// Could not be looked at.
    Skipped,
    /// May be meant so.
    Warning,
    /// Does not work, or protects nobody.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub what: String,
    /// What can be done about it.
    pub advice: Option<&'static str>,
}

impl Finding {
    fn good(what: impl Into<String>) -> Self {
        Self { level: Level::Good, what: what.into(), advice: None }
    }

    fn skipped(what: impl Into<String>, advice: &'static str) -> Self {
        Self { level: Level::Skipped, what: what.into(), advice: Some(advice) }
    }

    fn warning(what: impl Into<String>, advice: &'static str) -> Self {
        Self { level: Level::Warning, what: what.into(), advice: Some(advice) }
    }

    fn problem(what: impl Into<String>, advice: &'static str) -> Self {
        Self { level: Level::Problem, what: what.into(), advice: Some(advice) }
    }
}

/// Everything that was found, in the order of the checks.
pub async fn examine(patient: &Patient) -> Vec<Finding> {
    let mut findings = network::examine(patient).await;
    if patient.is_here {
        let config = patient.config.clone();
        let found = tokio::task::spawn_blocking(move || machine::examine(&config)).await;
        findings.extend(found.expect("looking at files does not panic"));
        findings.extend(keys(&patient.config).await);
    }
    findings
}

/// Whether the keys of JSON Web Tokens are where the server will look for them.
pub(crate) async fn keys(config: &Config) -> Option<Finding> {
    let url = config.jwt_keys_url.clone()?;
    let counted = keys::count_published(config, url.clone(), Arc::new(SystemClock::new())).await;
    Some(match counted {
        Ok(0) => Finding::problem(
            format!("{url} has no key that JSON Web Tokens can be checked with"),
            "see that jwt.keys_url is where who signs the tokens publishes keys (RFC 7517)",
        ),
        Ok(count) => Finding::good(format!("{url} has keys for JSON Web Tokens: {count}")),
        Err(error) => Finding::problem(
            format!("keys of JSON Web Tokens not fetched: {:#}", anyhow::Error::from(error)),
            "see that jwt.keys_url is right and is reached from here, and that its certificate is \
             trusted (tls.trusted adds one)",
        ),
    })
}
