//! The reply in parts, attachments as they are stored.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::HeaderValue;
use settle_database::blobs::BlobStore;
use settle_model::time::Entropy;

use super::{Found, Question};
use crate::{
    documents::{outgoing::Attachments, parts::Mixed, pieces::Pieces},
    error::ApiError,
    feed::FeedBroken,
};

pub(super) struct Answer {
    question: Question,
    /// `None` once its last part is written.
    mixed: Option<Mixed>,
    blobs: Arc<BlobStore>,
    /// A batch that is being sent.
    current: Option<BodyDataStream>,
}

impl Answer {
    pub(super) fn new(question: Question, blobs: Arc<BlobStore>, entropy: &dyn Entropy) -> Self {
        let mixed = Mixed::new(Pieces::new(blobs.clone()), entropy);
        Self { question, mixed: Some(mixed), blobs, current: None }
    }

    pub(super) fn content_type(&self, kind: &str) -> HeaderValue {
        let mixed = self.mixed.as_ref().expect("nothing has been read");
        mixed.content_type_of(kind)
    }

    /// The first batch is read here, so that what fails at once is an error like any other.
    pub(super) async fn into_body(mut self) -> Result<Body, ApiError> {
        self.read().await?;
        Ok(Body::from_stream(stream::unfold(self, |mut answer| async move {
            Some((answer.next().await?, answer))
        })))
    }

    async fn next(&mut self) -> Option<Result<Bytes, FeedBroken>> {
        loop {
            if let Some(current) = &mut self.current {
                match current.next().await {
                    Some(Ok(bytes)) => return Some(Ok(bytes)),
                    // It has been logged where it happened.
                    Some(Err(_)) => return self.broken(FeedBroken),
                    None => self.current = None,
                }
            }
            self.mixed.as_ref()?;
            if let Err(error) = self.read().await {
                return self.broken(FeedBroken::log(&error));
            }
        }
    }

    fn broken(&mut self, broken: FeedBroken) -> Option<Result<Bytes, FeedBroken>> {
        (self.mixed, self.current) = (None, None);
        Some(Err(broken))
    }

    async fn read(&mut self) -> Result<(), ApiError> {
        let Some(mut mixed) = self.mixed.take() else { return Ok(()) };
        let batch = self.question.next(Attachments::Follow).await?;
        let pieces = if batch.is_empty() {
            mixed.finish()
        } else {
            for found in &batch {
                write(&mut mixed, found);
            }
            let pieces = mixed.take(Pieces::new(self.blobs.clone()));
            self.mixed = Some(mixed);
            pieces
        };
        self.current = Some(pieces.into_body().into_data_stream());
        Ok(())
    }
}

fn write(mixed: &mut Mixed, found: &Found) {
    for doc in &found.docs {
        match doc {
            Ok((form, revision)) => {
                let rev = revision.rev.to_string();
                let headers = [("X-Doc-Id", revision.id.as_str()), ("X-Rev-Id", &rev)];
                mixed.document(&headers, form, revision);
            }
            Err(error) => {
                let mut json = Vec::new();
                error.write(&mut json);
                mixed.error(&json);
            }
        }
    }
}
