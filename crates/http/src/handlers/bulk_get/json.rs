//! The reply as one JSON object.

use std::{collections::VecDeque, sync::Arc};

use settle_database::blobs::BlobStore;

use super::{Found, Question};
use crate::{
    documents::outgoing::Attachments,
    error::ApiError,
    pieces::{PIECE_BYTES, Piece, Pieces},
};

pub(super) struct Answer {
    question: Question,
    blobs: Arc<BlobStore>,
    /// Read and not yet written.
    found: VecDeque<Found>,
    began: bool,
}

impl Answer {
    pub(super) fn new(question: Question, blobs: Arc<BlobStore>) -> Self {
        Self { question, blobs, found: VecDeque::new(), began: false }
    }

    async fn write(&self, out: &mut Vec<u8>, found: &Found) -> Result<(), ApiError> {
        out.extend_from_slice(b"{\"id\":");
        out.extend_from_slice(&found.id);
        out.extend_from_slice(b",\"docs\":[");
        for (index, doc) in found.docs.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            match doc {
                Ok((form, revision)) => {
                    let contents = form.contents(&self.blobs, &revision.attachments).await?;
                    out.extend_from_slice(b"{\"ok\":");
                    form.write(out, revision, &contents);
                }
                Err(error) => {
                    out.extend_from_slice(b"{\"error\":");
                    error.write(out);
                }
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
        Ok(())
    }
}

impl Pieces for Answer {
    async fn next(&mut self) -> Result<Piece, ApiError> {
        let mut out = Vec::with_capacity(PIECE_BYTES + (PIECE_BYTES >> 4));
        if !self.began {
            out.extend_from_slice(b"{\"results\":[");
        }
        while out.len() < PIECE_BYTES {
            if let Some(found) = self.found.pop_front() {
                if std::mem::replace(&mut self.began, true) {
                    out.push(b',');
                }
                self.write(&mut out, &found).await?;
                continue;
            }
            self.found = self.question.next(Attachments::Inline).await?.into();
            if self.found.is_empty() {
                out.extend_from_slice(b"]}\n");
                return Ok(Piece::Last(out));
            }
        }
        Ok(Piece::More(out))
    }
}
