//! Bodies of requests, read whole with a limit.
//!
//! Whatever the length header says, what is counted are the bytes that arrive, and those that come out of
//! a compressed body. Compression is `gzip` or none.
//!
//! Source: `chttpd:body/1`, `chttpd:maybe_decompress/2`.

use std::io::Write as _;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::write::GzDecoder;
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::{
    error::{ApiError, Code},
    limits::INFLATE_STEP,
};

/// The whole body, decompressed, if it has at most `limit` bytes then.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    match headers.get(header::CONTENT_ENCODING).map(http::HeaderValue::as_bytes) {
        None | Some(b"identity" | b"") => plain(body, limit).await,
        Some(encoding) if encoding.eq_ignore_ascii_case(b"gzip") => gzipped(body, limit).await,
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            let reason = format!("{other} is not a supported content encoding.");
            Err(ApiError::new(Code::BadContentType, reason))
        }
    }
}

async fn plain(mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let announced = body.size_hint();
    if announced.lower() > limit as u64 {
        return Err(ApiError::too_large());
    }
    let Some(first) = next(&mut body).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(ApiError::too_large());
    }
    // Nearly all bodies come in one piece, which is then not copied.
    let Some(second) = next(&mut body).await? else { return Ok(first) };
    let expected = announced.exact().and_then(|bytes| usize::try_from(bytes).ok());
    let mut whole = BytesMut::with_capacity(expected.unwrap_or(2 * first.len() + second.len()));
    whole.extend_from_slice(&first);
    let mut piece = Some(second);
    while let Some(bytes) = piece {
        if whole.len() + bytes.len() > limit {
            return Err(ApiError::too_large());
        }
        whole.extend_from_slice(&bytes);
        piece = next(&mut body).await?;
    }
    Ok(whole.freeze())
}

async fn gzipped(mut body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let broken = |_| ApiError::bad_request("Request body is not properly gzipped.");
    let mut decoder = GzDecoder::new(Vec::new());
    while let Some(bytes) = next(&mut body).await? {
        for step in bytes.chunks(INFLATE_STEP) {
            decoder.write_all(step).map_err(broken)?;
            if decoder.get_ref().len() > limit {
                return Err(ApiError::too_large());
            }
        }
    }
    let whole = decoder.finish().map_err(broken)?;
    if whole.len() > limit {
        return Err(ApiError::too_large());
    }
    Ok(whole.into())
}

/// The next piece of data; trailers are passed over.
pub(crate) async fn next(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::bad_request("the request's body broke off").caused_by(error)
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
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
        read(&headers, body, limit)
            .await
            .map_err(|error| format!("{} {}", error.code().as_str(), error.reason()))
    }

    proptest! {
        #[test]
        fn a_body_arrives_whole_however_it_is_cut(
            bytes in proptest::collection::vec(any::<u8>(), 0..2_000), size in 1usize..700,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
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
