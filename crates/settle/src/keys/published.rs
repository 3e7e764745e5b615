//! Keys that are published at a URL, by who signs the tokens.
//!
//! What is fetched is kept in memory. It is fetched again when it has become old, and when a token names a key
//! that is not in it, but not more often than [`KEYS_FETCHED_AGAIN_AFTER`] allows. A URL that does not answer
//! leaves the keys as they are for [`KEYS_KEPT_FOR`]. Redirections are not followed: the URL that somebody has
//! set is the one that is believed.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{Method, StatusCode, Uri, header::ACCEPT};
use settle_accounts::{KeySet, KeySetError};
use settle_model::time::Clock;
use thiserror::Error;

use crate::{
    limits::{
        KEYS_BYTES_MAX, KEYS_FETCHED_AGAIN_AFTER, KEYS_FETCHED_EVERY, KEYS_KEPT_FOR, KEYS_PATIENCE,
    },
    probe::{Bounds, Probe, ProbeError},
};

#[derive(Debug)]
pub(super) struct Published {
    pub(super) keys: KeySet,
    url: Uri,
    probe: Probe,
    clock: Arc<dyn Clock>,
    /// What was fetched last: the same again is no news.
    text: Bytes,
    /// When it was asked for last.
    asked: Option<Duration>,
    /// When it was had last; `None` as long as the keys are none of it.
    had: Option<Duration>,
}

/// Why keys were not fetched.
#[derive(Debug, Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Ask(#[from] ProbeError),
    #[error("it is answered with {status}, and not with 200")]
    Status { status: StatusCode },
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

impl Published {
    pub(super) fn new(
        url: Uri,
        trusted: Option<&Path>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProbeError> {
        let bounds = Bounds { patience: KEYS_PATIENCE, body_bytes_max: KEYS_BYTES_MAX };
        let probe = Probe::new(&url, trusted, bounds)?;
        let (keys, text) = (KeySet::default(), Bytes::new());
        Ok(Self { keys, url, probe, clock, text, asked: None, had: None })
    }

    /// Whether enough time has passed since the last attempt.
    pub(super) fn may_be_asked(&self) -> bool {
        self.asked.is_none_or(|last| self.since(last) >= KEYS_FETCHED_AGAIN_AFTER)
    }

    /// Whether it is time for the next attempt though nobody asks.
    pub(super) fn is_due(&self) -> bool {
        let is_old = self.had.is_none_or(|last| self.since(last) >= KEYS_FETCHED_EVERY);
        is_old && self.may_be_asked()
    }

    /// Whether the keys are others now.
    pub(super) async fn refresh(&mut self) -> bool {
        self.asked = Some(self.clock.monotonic());
        let error = match self.fetch().await {
            Ok(changed) => {
                self.had = self.asked;
                return changed;
            }
            Err(error) => error,
        };
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::warn!(url = %self.url, error, "could not fetch the keys of tokens");
        if self.had.is_none_or(|last| self.since(last) < KEYS_KEPT_FOR) {
            return false;
        }
        tracing::warn!(url = %self.url, "the keys of tokens are too old and good no more");
        (self.keys, self.text, self.had) = (KeySet::default(), Bytes::new(), None);
        true
    }

    /// Whether the keys are others now.
    pub(super) async fn fetch(&mut self) -> Result<bool, FetchError> {
        let path = self.url.path_and_query().map_or("/", |it| it.as_str());
        let accept = (ACCEPT.as_str(), "application/jwk-set+json, application/json");
        let answer = self.probe.ask(Method::GET, path, &[accept], None).await?;
        if answer.status != StatusCode::OK {
            return Err(FetchError::Status { status: answer.status });
        }
        if answer.body == self.text {
            return Ok(false);
        }
        self.keys = KeySet::parse_published(&answer.body)?;
        self.text = answer.body;
        if self.keys.is_empty() {
            tracing::warn!(url = %self.url, "the key set has no key that is of use here");
        }
        tracing::info!(url = %self.url, "fetched keys of tokens");
        Ok(true)
    }

    fn since(&self, time: Duration) -> Duration {
        self.clock.monotonic().saturating_sub(time)
    }
}
