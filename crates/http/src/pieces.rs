//! Bodies of replies that are made while they are sent, so that their length costs no memory.

use std::future::Future;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::{error::ApiError, feed::FeedBroken};

/// Bytes after which a piece is sent.
pub(crate) const PIECE_BYTES: usize = 64 << 10;

/// Room for a piece. Most replies are short, and are their first piece.
pub(crate) fn room(is_first: bool) -> Vec<u8> {
    Vec::with_capacity(if is_first { 1 << 10 } else { PIECE_BYTES + (PIECE_BYTES >> 4) })
}

/// Makes a body piece by piece.
pub(crate) trait Pieces: Send + 'static {
    /// Asked for until it says that a piece was the last. Pieces are not empty, the last one may be.
    fn next(&mut self) -> impl Future<Output = Result<Piece, ApiError>> + Send;
}

#[derive(Debug)]
pub(crate) enum Piece {
    More(Vec<u8>),
    Last(Vec<u8>),
}

/// The body. Its first piece is made here, so that what fails at once is an error like any other,
/// and what is short has a length. Later failures can only cut the connection.
pub(crate) async fn body(mut pieces: impl Pieces) -> Result<Body, ApiError> {
    let first = match pieces.next().await? {
        Piece::Last(bytes) => return Ok(Body::from(bytes)),
        Piece::More(bytes) => Bytes::from(bytes),
    };
    let rest = stream::unfold(Some(pieces), |pieces| async {
        let mut pieces = pieces?;
        Some(match pieces.next().await {
            Ok(Piece::More(bytes)) => (Ok(Bytes::from(bytes)), Some(pieces)),
            Ok(Piece::Last(bytes)) => (Ok(bytes.into()), None),
            Err(error) => (Err(FeedBroken::log(&error)), None),
        })
    });
    Ok(Body::from_stream(stream::once(async { Ok(first) }).chain(rest)))
}
