//! `Idempotency-Key`: a write that is sent again because its answer was not heard is answered the same, and made once.
//!
//! The key is the client's, for one user and one method and address. What is remembered under it is written in the
//! commit of the effect, so it is there after a crash, or neither is. A key that comes with another request is refused
//! with 422. Two requests with one key at the same moment need no order: the writer makes one of them, and answers
//! both.
//!
//! Source: draft-ietf-httpapi-idempotency-key-header-06. Different here: a key need not stand in quotes, and a request
//! that comes while the first is being worked on is answered as soon as that is, instead of with 409.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderName, header};
use http_body::{Frame, SizeHint};
use settle_access::{Grant, Write};
use settle_database::{OnceKey, Recorded};

use crate::{
    body,
    call::Call,
    error::{ApiError, Code},
    limits::IDEMPOTENCY_KEY_MAX,
    open,
    routes::Operation,
    told::Told,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const DESTINATION: HeaderName = HeaderName::from_static("destination");

/// Headers that say what a write does, besides its address and body.
const MEANING: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::IF_MATCH, DESTINATION];

/// The key of a request, and the digest of what has come of it.
#[derive(Debug)]
pub(crate) struct Once {
    key: String,
    digest: Arc<Mutex<blake3::Hasher>>,
}

/// Notes the key of a request, if the operation remembers what it answered; the answer, if it is known.
pub(crate) async fn begin(
    call: &mut Call,
    operation: &Operation,
) -> Result<Option<Response>, ApiError> {
    let Some(value) = call.parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    if !operation.remembers {
        return Ok(None);
    }
    let key = key(value.as_bytes())?;
    if call.query().get("batch").as_deref() == Some("ok") {
        let reason =
            "`batch=ok` answers before anything is written, so there is no answer to remember";
        return Err(ApiError::bad_request(reason));
    }
    let digest = Arc::new(Mutex::new(begun(call)));
    let body = Digested { body: call.take_body(), digest: digest.clone() };
    call.body = Mutex::new(Body::new(body));
    call.once = Some(Once { key, digest });
    known(call).await
}

/// What the request is known by, once all of its body has come.
pub(crate) fn key_of(call: &Call) -> Option<OnceKey> {
    let once = call.once.as_ref()?;
    let digest = once.digest.lock().unwrap_or_else(PoisonError::into_inner).finalize();
    let place = format!("{} {}", call.parts.method, call.raw_path());
    Some(OnceKey::new(call.actor.name(), &place, once.key.clone(), *digest.as_bytes()))
}

/// The reply that is remembered.
pub(crate) fn told_again(recorded: Recorded) -> Result<Response, ApiError> {
    match recorded {
        Recorded::Answer(answer) => match Told::decode(&answer) {
            Some(told) => Ok(told.into_response()),
            None => Err(ApiError::internal("a remembered reply cannot be read")),
        },
        Recorded::Other => {
            let reason = "this Idempotency-Key was used for another request";
            Err(ApiError::new(Code::IdReused, reason))
        }
    }
}

async fn known(call: &mut Call) -> Result<Option<Response>, ApiError> {
    // What is wrong with the database or the rights is said by whoever does the work.
    let Ok(database) = open::find(call).await else { return Ok(None) };
    let Ok(grant) = call.authorize::<Write>(database.resource()) else { return Ok(None) };
    let grant: Grant<Write> = grant;
    let Some(key) = key_of(call) else { return Ok(None) };
    if database.recorded(&grant, &key).await?.is_none() {
        return Ok(None);
    }
    // It is told only to who sends the same.
    let mut rest = call.take_body();
    while body::next(&mut rest).await?.is_some() {}
    let Some(key) = key_of(call) else { return Ok(None) };
    // Without one, it has been forgotten in this moment, and the body is gone.
    let busy = || ApiError::busy("What was remembered is forgotten; send it again.", 1);
    let recorded = database.recorded(&grant, &key).await?.ok_or_else(busy)?;
    told_again(recorded).map(Some)
}

/// The digest of all that comes before the body.
fn begun(call: &Call) -> blake3::Hasher {
    let mut digest = blake3::Hasher::new();
    digest.update(call.parts.uri.query().unwrap_or_default().as_bytes());
    for name in MEANING {
        digest.update(b"\n");
        if let Some(value) = call.parts.headers.get(&name) {
            digest.update(value.as_bytes());
        }
    }
    digest.update(b"\n");
    digest
}

/// A text in quotes, as the draft has it, or the same without them.
fn key(value: &[u8]) -> Result<String, ApiError> {
    let inner = value.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\"")).unwrap_or(value);
    let fits = (1..=IDEMPOTENCY_KEY_MAX).contains(&inner.len());
    if fits && inner.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"') {
        return Ok(String::from_utf8_lossy(inner).into_owned());
    }
    let reason = format!(
        "Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters, in quotes or without"
    );
    Err(ApiError::bad_request(reason))
}

/// A body of which a digest is made as it comes.
struct Digested {
    body: Body,
    digest: Arc<Mutex<blake3::Hasher>>,
}

impl http_body::Body for Digested {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.digest.lock().unwrap_or_else(PoisonError::into_inner).update(data);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_stand_in_quotes() {
        let of = |text: &str| key(text.as_bytes()).ok();
        assert_eq!(of("\"8e03978e-40d5\""), Some("8e03978e-40d5".to_owned()));
        assert_eq!(of("8e03978e-40d5"), Some("8e03978e-40d5".to_owned()));
        for wrong in ["", "\"\"", "a b", "\"a", "a\"b\"", &"x".repeat(IDEMPOTENCY_KEY_MAX + 1)] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }
}
