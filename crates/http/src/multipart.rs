//! Bodies of several parts, read and written as streams.
//!
//! - `multipart/related` in: a document, then the attachments that follow it ([`Followers`] says which is
//!   which);
//! - `multipart/form-data` in: the form that a browser sends;
//! - `multipart/related`, `mixed` and `byteranges` out ([`Writer`]).
//!
//! Reading holds at most one piece of the body as it came, and the headers of one part. Bytes of a part
//! are handed on as slices of what came, without a copy.
//!
//! Source: RFC 2046 §5.1; `couch_httpd:parse_multipart_request/3`, `couch_httpd_multipart.erl`.

mod followers;
mod header;
mod parser;
mod writer;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use thiserror::Error;

pub use self::{
    followers::Followers,
    header::{Boundary, Parameters, PartHeaders},
    parser::{Event, Parser},
    writer::{RelatedPart, Writer},
};
use crate::{body, error::ApiError, limits};

/// A body that is read part by part.
#[derive(Debug)]
pub struct Multipart {
    body: Body,
    parser: Parser,
    /// Of the whole body, so far.
    bytes_read: u64,
    in_part: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MultipartError {
    #[error("the Content-Type is not multipart, or has no boundary")]
    NoBoundary,
    #[error(
        "the boundary is longer than {} bytes, or has characters that it cannot have",
        limits::BOUNDARY_MAX
    )]
    BadBoundary,
    #[error("the body ends before its last boundary")]
    Truncated,
    #[error("bad part header")]
    BadPartHeader,
    #[error("the headers of a part are longer than {} bytes", limits::PART_HEADERS_MAX)]
    LongPartHeaders,
    #[error("there are more parts than attachments that follow")]
    UnexpectedPart,
    #[error("no attachment that follows is named {name:?}")]
    UnknownPart { name: String },
    #[error("the attachment {name:?} should follow, and does not")]
    MissingPart { name: String },
}

impl Multipart {
    /// `content_type` is the header of the whole body.
    pub fn new(content_type: &str, body: Body) -> Result<Self, MultipartError> {
        let boundary = Boundary::of_content_type(content_type)?;
        Ok(Self { body, parser: Parser::new(&boundary), bytes_read: 0, in_part: false })
    }

    /// The headers of the next part; what was not read of the one before is passed over. `None` after
    /// the last.
    pub async fn next_part(&mut self) -> Result<Option<PartHeaders>, ApiError> {
        while self.in_part {
            self.chunk().await?;
        }
        match self.event().await? {
            Event::Part(headers) => {
                self.in_part = true;
                Ok(Some(headers))
            }
            Event::End => Ok(None),
            Event::Data(_) | Event::PartEnd => unreachable!("data comes only inside of a part"),
        }
    }

    /// The next bytes of the present part; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        if !self.in_part {
            return Ok(None);
        }
        match self.event().await? {
            Event::Data(bytes) => Ok(Some(bytes)),
            Event::PartEnd => {
                self.in_part = false;
                Ok(None)
            }
            Event::Part(_) | Event::End => unreachable!("a part ends before the next begins"),
        }
    }

    /// The rest of the present part, if it has at most `limit` bytes.
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, ApiError> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let mut more = None;
        if first.len() <= limit {
            more = self.chunk().await?;
            if more.is_none() {
                return Ok(first);
            }
        }
        let mut whole = BytesMut::from(&first[..]);
        while whole.len() <= limit {
            let Some(bytes) = more else { return Ok(whole.freeze()) };
            whole.extend_from_slice(&bytes);
            more = self.chunk().await?;
        }
        Err(ApiError::too_large())
    }

    /// Reads to the end of the body, so that the connection can be used again.
    pub async fn drain(&mut self) -> Result<(), ApiError> {
        while self.next_part().await?.is_some() {}
        Ok(())
    }

    async fn event(&mut self) -> Result<Event, ApiError> {
        loop {
            if let Some(event) = self.parser.event()? {
                return Ok(event);
            }
            match body::next(&mut self.body).await? {
                Some(bytes) => {
                    self.bytes_read += bytes.len() as u64;
                    if self.bytes_read > limits::STREAMED_BODY_MAX {
                        return Err(ApiError::too_large());
                    }
                    self.parser.feed(bytes);
                }
                None => return Err(MultipartError::Truncated.into()),
            }
        }
    }
}

impl From<MultipartError> for ApiError {
    fn from(error: MultipartError) -> Self {
        match error {
            MultipartError::NoBoundary
            | MultipartError::BadBoundary
            | MultipartError::Truncated
            | MultipartError::BadPartHeader
            | MultipartError::LongPartHeaders
            | MultipartError::UnexpectedPart
            | MultipartError::UnknownPart { .. }
            | MultipartError::MissingPart { .. } => Self::bad_request(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
