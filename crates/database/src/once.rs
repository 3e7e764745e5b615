//! Writes that may come again: whoever did not hear the answer sends the same request once more, and is answered the
//! same. What is remembered is written in the commit of the effect.

use std::{fmt, sync::Arc};

use crate::{
    edit::{EditError, Written},
    keys::Keys,
    transact::key_part,
};

/// What a request is known by: who sent it, what it was sent to, and the key that the client gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnceKey {
    principal: String,
    place: String,
    key: String,
    /// Of what was sent.
    payload: [u8; 32],
}

type Results = [Result<Written, EditError>];
type Tell = dyn Fn(&Results) -> Option<Vec<u8>> + Send + Sync;

/// Makes of the results of all edits what is to be answered; `None` where nothing is to be remembered.
#[derive(Clone)]
pub struct Answer(Arc<Tell>);

/// A key, and what to remember under it.
#[derive(Debug, Clone)]
pub struct Recording {
    pub key: OnceKey,
    pub answer: Answer,
}

/// What is remembered under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    Answer(Vec<u8>),
    /// It stands for another request.
    Other,
}

impl OnceKey {
    /// `place` is what the request was sent to, such as `PUT /notes/today`.
    pub fn new(principal: Option<&str>, place: &str, key: String, payload: [u8; 32]) -> Self {
        // No client of transactions has such a name.
        let place = format!("\0{}", blake3::hash(place.as_bytes()).to_hex());
        Self { principal: key_part(principal), place, key, payload }
    }

    pub(crate) fn record(&self, keys: Keys) -> Vec<u8> {
        keys.idempotency(&self.principal, &self.place, &self.key)
    }

    pub(crate) fn payload(&self) -> [u8; 32] {
        self.payload
    }
}

impl Answer {
    pub fn new(
        answer: impl Fn(&[Result<Written, EditError>]) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(answer))
    }

    /// One that is known already.
    pub fn fixed(answer: Vec<u8>) -> Self {
        Self::new(move |_| Some(answer.clone()))
    }

    pub(crate) fn of(&self, results: &[Result<Written, EditError>]) -> Option<Vec<u8>> {
        (self.0)(results)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer(..)")
    }
}
