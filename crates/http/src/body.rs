//! Bodies of requests, read whole with a limit.
//!
//! Large ones share what memory there is for them: a body that has grown large waits for a place of the
//! size that it can have, and keeps it until its request has been answered.
//!
//! Whatever the length header says, what is counted are the bytes that arrive, and those that come out of
//! a compressed body. Compression is `gzip` or none.
//!
//! Source: `chttpd:body/1`, `chttpd:maybe_decompress/2`.

use std::{io::Write as _, sync::Arc};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::write::GzDecoder;
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    error::{ApiError, Code},
    limits::{BODY_WAIT, INFLATE_STEP, LARGE_BODIES_MAX, LARGE_BODY, LARGE_BODY_WAIT},
    server::ArrivalError,
};

/// The memory for large bodies, shared by all requests. A permit is a KiB of it.
#[derive(Debug)]
pub(crate) struct LargeBodies(Arc<Semaphore>);

/// Memory that one body may use; free again when this is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

/// What a body that is being read may still become.
struct Allowance<'a> {
    limit: usize,
    /// Its greatest length.
    most: usize,
    large_bodies: &'a LargeBodies,
    place: Option<Place>,
}

impl Default for LargeBodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_BODIES_MAX >> 10)))
    }
}

impl LargeBodies {
    async fn place(&self, bytes: usize) -> Result<Place, ApiError> {
        let permits = bytes.min(LARGE_BODIES_MAX).div_ceil(1 << 10);
        let permits = u32::try_from(permits).expect("a gibibyte has a million permits");
        let place = timeout(LARGE_BODY_WAIT, Arc::clone(&self.0).acquire_many_owned(permits)).await;
        let busy =
            |_| ApiError::busy("Too many large requests are being read; try again soon.", 10);
        Ok(place.map_err(busy)?.expect("the semaphore is never closed"))
    }
}

impl Allowance<'_> {
    /// To be asked before more memory is used than `bytes`.
    async fn allow(&mut self, bytes: usize) -> Result<(), ApiError> {
        if bytes > self.limit {
            return Err(ApiError::too_large());
        }
        if bytes > LARGE_BODY && self.place.is_none() {
            self.place = Some(self.large_bodies.place(self.most).await?);
        }
        Ok(())
    }
}

/// The whole body, decompressed, if it has at most `limit` bytes then, and its place if it is large.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    large_bodies: &LargeBodies,
) -> Result<(Bytes, Option<Place>), ApiError> {
    let mut allowance = Allowance { limit, most: limit, large_bodies, place: None };
    let bytes = decompressed(headers, body, &mut allowance).await?;
    Ok((bytes, allowance.place))
}

async fn decompressed(
    headers: &HeaderMap,
    body: Body,
    allowance: &mut Allowance<'_>,
) -> Result<Bytes, ApiError> {
    match headers.get(header::CONTENT_ENCODING).map(http::HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => plain(body, allowance).await,
        Some(encoding) if encoding.eq_ignore_ascii_case(b"gzip") => gzipped(body, allowance).await,
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            let reason = format!("{other} is not a supported content encoding.");
            Err(ApiError::new(Code::BadContentType, reason))
        }
    }
}

async fn plain(mut body: Body, allowance: &mut Allowance<'_>) -> Result<Bytes, ApiError> {
    let announced = body.size_hint().exact();
    let announced = announced.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if let Some(bytes) = announced {
        allowance.most = bytes;
        allowance.allow(bytes).await?;
    }
    let Some(first) = next(&mut body).await? else { return Ok(Bytes::new()) };
    allowance.allow(first.len()).await?;
    // Nearly all bodies come in one piece, which is then not copied.
    let Some(second) = next(&mut body).await? else { return Ok(first) };
    let mut whole = BytesMut::with_capacity(announced.unwrap_or(2 * first.len() + second.len()));
    whole.extend_from_slice(&first);
    let mut piece = Some(second);
    while let Some(bytes) = piece {
        allowance.allow(whole.len() + bytes.len()).await?;
        whole.extend_from_slice(&bytes);
        piece = next(&mut body).await?;
    }
    Ok(whole.freeze())
}

async fn gzipped(mut body: Body, allowance: &mut Allowance<'_>) -> Result<Bytes, ApiError> {
    let broken = |_| ApiError::bad_request("Request body is not properly gzipped.");
    let mut decoder = GzDecoder::new(Vec::new());
    while let Some(bytes) = next(&mut body).await? {
        for step in bytes.chunks(INFLATE_STEP) {
            decoder.write_all(step).map_err(broken)?;
            allowance.allow(decoder.get_ref().len()).await?;
        }
    }
    let whole = decoder.finish().map_err(broken)?;
    allowance.allow(whole.len()).await?;
    Ok(whole.into())
}

/// The next piece of data; trailers are passed over.
pub(crate) async fn next(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    let late = |_| late_error();
    while let Some(frame) = timeout(BODY_WAIT, body.frame()).await.map_err(late)? {
        let frame = frame.map_err(|error| match ArrivalError::of(&error) {
            Some(ArrivalError::TooSlow) => late_error(),
            Some(ArrivalError::Broken(_)) | None => {
                ApiError::bad_request("the request's body broke off").caused_by(error)
            }
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn late_error() -> ApiError {
    ApiError::new(Code::RequestTimeout, "The request's body did not arrive in time.")
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn pieces(bytes: &[u8], size: usize) -> Body {
        struct Pieces(std::collections::VecDeque<Bytes>);
        impl http_body::Body for Pieces {
            type Data = Bytes;
            type Error = std::convert::Infallible;

            fn poll_frame(
                mut self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
                std::task::Poll::Ready(self.0.pop_front().map(|it| Ok(http_body::Frame::data(it))))
            }
        }
        Body::new(Pieces(bytes.chunks(size).map(Bytes::copy_from_slice).collect()))
    }

    async fn of(encoding: &'static str, body: Body, limit: usize) -> Result<Bytes, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, http::HeaderValue::from_static(encoding));
        let read = read(&headers, body, limit, &LargeBodies::default()).await;
        read.map(|(bytes, _)| bytes).map_err(told)
    }

    fn told(error: ApiError) -> String {
        format!("{} {}", error.code().as_str(), error.reason())
    }

    proptest! {
        #[test]
        fn a_body_arrives_whole_however_it_is_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..2_000), size in 1usize..700,
        ) {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                assert_eq!(of("", pieces(&bytes, size), 2_000).await.unwrap(), bytes);
                let compressed = gzip(&bytes);
                assert_eq!(of("gzip", pieces(&compressed, size), 2_000).await.unwrap(), bytes);
            });
        }
    }

    #[tokio::test]
    async fn more_than_the_limit_is_refused_in_each_form() {
        let large = Err("too_large the request entity is too large".to_owned());
        let bytes = vec![b'a'; 1_001];
        assert_eq!(of("", Body::from(bytes.clone()), 1_000).await, large);
        assert_eq!(of("", pieces(&bytes, 10), 1_000).await, large);
        assert_eq!(of("gzip", Body::from(gzip(&bytes)), 1_000).await, large);
    }

    #[tokio::test]
    async fn a_small_body_that_grows_a_thousandfold_does_not_fill_memory() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        let large = Err("too_large the request entity is too large".to_owned());
        assert_eq!(of("gzip", Body::from(bomb), 1 << 20).await, large);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_arriving_is_given_up() {
        let begun = futures_util::stream::once(std::future::ready(Ok::<_, std::io::Error>("{")));
        let endless = futures_util::StreamExt::chain(begun, futures_util::stream::pending());
        let late = "request_timeout The request's body did not arrive in time.".to_owned();
        assert_eq!(of("", Body::from_stream(endless), 1_000).await, Err(late));
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_wait_for_a_place_and_small_ones_do_not() {
        let all = LargeBodies::default();
        let headers = HeaderMap::new();
        let large = || pieces(&vec![b'a'; LARGE_BODY + 1], 64 << 10);
        // What does not say how long it will be may become as long as it is allowed to be.
        let (_, place) = read(&headers, large(), LARGE_BODIES_MAX, &all).await.unwrap();
        let refused = read(&headers, large(), LARGE_BODIES_MAX, &all).await;
        let busy = "service unavailable Too many large requests are being read; try again soon.";
        assert_eq!(refused.map_err(told).unwrap_err(), busy);
        let small = read(&headers, pieces(&[b'a'; 1_000], 100), LARGE_BODIES_MAX, &all).await;
        assert!(small.unwrap().1.is_none());
        drop(place);
        assert!(read(&headers, large(), LARGE_BODIES_MAX, &all).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_not_gzip_or_breaks_off_or_is_of_another_kind_is_refused() {
        let broken = Err("bad_request Request body is not properly gzipped.".to_owned());
        assert_eq!(of("gzip", Body::from("plain"), 1_000).await, broken);
        let compressed = gzip(b"some text");
        let part = compressed[..compressed.len() - 3].to_vec();
        assert_eq!(of("gzip", Body::from(part), 1_000).await, broken);
        let other = "bad_content_type br is not a supported content encoding.".to_owned();
        assert_eq!(of("br", Body::from("plain"), 1_000).await, Err(other));
    }
}
