//! `Idempotency-Key`: a write that is sent again because its answer was not heard is answered the same, and made once.
//!
//! The key is the client's, for one user and one method and address. What is remembered under it is written in the
//! commit of the effect, so it is there after a crash, or neither is. A key that comes with another request is refused
//! with 422. Two requests with one key at the same moment need no order: the writer makes one of them, and answers
//! both.
//!
//! What counts is what the client sent: all of its body, whether or not a handler reads it, and before `_rewrite` made
//! another request of it.
//!
//! Source: draft-ietf-httpapi-idempotency-key-header-06. Different here: a key need not stand in quotes, and a request
//! that comes while the first is being worked on is answered as soon as that is, instead of with 409.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use http_body::{Frame, SizeHint};
use settle_access::{Grant, Write};
use settle_database::{OnceKey, Recorded};

use crate::{
    body,
    call::Call,
    error::{ApiError, Code},
    limits::{IDEMPOTENCY_KEY_MAX, STREAMED_BODY_MAX},
    open,
    routes::Operation,
    told::Told,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const DESTINATION: HeaderName = HeaderName::from_static("destination");

/// Headers that say what a write does, besides its address and body.
const MEANING: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::IF_MATCH, DESTINATION];

/// What came with a key, as the client sent it.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    key: HeaderValue,
    /// Method and path.
    place: String,
    body: Digested,
}

/// The key of a request, and what else it is known by.
#[derive(Debug)]
pub(crate) struct Once {
    key: String,
    sent: Sent,
}

/// What the client sent, if it has a key. From here on a digest is made of the body as it comes.
pub(crate) fn sent(call: &mut Call) -> Option<Sent> {
    let key = call.parts.headers.get(IDEMPOTENCY_KEY)?.clone();
    let place = format!("{} {}", call.parts.method, call.raw_path());
    let digest = begun(call);
    let body = Digested::new(digest, call.take_body());
    call.body = Mutex::new(Body::new(body.clone()));
    Some(Sent { key, place, body })
}

/// Notes the key of a request, if the operation remembers what it answered; the answer, if it is known.
pub(crate) async fn begin(
    call: &mut Call,
    operation: &Operation,
    sent: Option<&Sent>,
) -> Result<Option<Response>, ApiError> {
    let Some(sent) = sent.filter(|_| operation.remembers) else { return Ok(None) };
    let key = key(sent.key.as_bytes())?;
    if call.query().get("batch").as_deref() == Some("ok") {
        let reason =
            "`batch=ok` answers before anything is written, so there is no answer to remember";
        return Err(ApiError::bad_request(reason));
    }
    call.once = Some(Once { key, sent: sent.clone() });
    known(call).await
}

/// What the request is known by. What nobody has read of its body is read first.
pub(crate) async fn key_of(call: &Call) -> Result<Option<OnceKey>, ApiError> {
    if let Some(once) = &call.once {
        once.sent.body.read_to_end().await?;
    }
    Ok(key_so_far(call))
}

/// As [`key_of`], of what has come of the body.
fn key_so_far(call: &Call) -> Option<OnceKey> {
    let Once { key, sent } = call.once.as_ref()?;
    Some(OnceKey::new(call.actor.name(), &sent.place, key.clone(), sent.body.digest()))
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

async fn known(call: &Call) -> Result<Option<Response>, ApiError> {
    // What is wrong with the database or the rights is said by whoever does the work.
    let Ok(database) = open::find(call).await else { return Ok(None) };
    let Ok(grant) = call.authorize::<Write>(database.resource()) else { return Ok(None) };
    let grant: Grant<Write> = grant;
    let Some(key) = key_so_far(call) else { return Ok(None) };
    if database.recorded(&grant, &key).await?.is_none() {
        return Ok(None);
    }
    // It is told only to who sends the same.
    let Some(key) = key_of(call).await? else { return Ok(None) };
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

/// A body of which a digest is made as it comes. Clones are the same, so what one reader leaves another still finds.
#[derive(Debug, Clone)]
struct Digested(Arc<Mutex<Arriving>>);

#[derive(Debug)]
struct Arriving {
    digest: blake3::Hasher,
    body: Body,
    is_over: bool,
}

impl Digested {
    fn new(digest: blake3::Hasher, body: Body) -> Self {
        Self(Arc::new(Mutex::new(Arriving { digest, body, is_over: false })))
    }

    async fn read_to_end(&self) -> Result<(), ApiError> {
        let mut rest = Body::new(self.clone());
        let mut bytes_read = 0;
        while let Some(bytes) = body::next(&mut rest).await? {
            bytes_read += bytes.len() as u64;
            if bytes_read > STREAMED_BODY_MAX {
                return Err(ApiError::too_large());
            }
        }
        Ok(())
    }

    fn digest(&self) -> [u8; 32] {
        *self.arriving().digest.finalize().as_bytes()
    }

    fn arriving(&self) -> MutexGuard<'_, Arriving> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Digested {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut arriving = self.arriving();
        let Arriving { digest, body, is_over } = &mut *arriving;
        if *is_over {
            return Poll::Ready(None);
        }
        let polled = Pin::new(body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    digest.update(data);
                }
            }
            Poll::Ready(None) => *is_over = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let arriving = self.arriving();
        arriving.is_over || arriving.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.arriving().body.size_hint()
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

    #[tokio::test]
    async fn what_a_reader_leaves_of_a_body_is_in_its_digest() {
        let pieces = futures_util::stream::iter(["a", "b", "c"].map(Ok::<_, std::io::Error>));
        let sent = Digested::new(blake3::Hasher::new(), Body::from_stream(pieces));
        let mut reader = Body::new(sent.clone());
        assert_eq!(body::next(&mut reader).await.unwrap(), Some(Bytes::from("a")));
        drop(reader);
        assert_ne!(sent.digest(), *blake3::hash(b"abc").as_bytes());
        for _ in 0..2 {
            sent.read_to_end().await.unwrap();
            assert_eq!(sent.digest(), *blake3::hash(b"abc").as_bytes());
        }
    }
}
