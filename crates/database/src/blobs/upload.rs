//! Uploads: bytes in, a [`StagedBlob`] out, with bounded memory whatever the size.
//!
//! Hashing and compressing cost up to 50 ns a byte, so they run on blocking threads: bytes gather
//! in a batch, and one batch is worked on while the next fills. A small upload is worked on where
//! it arrives, at the end.

use std::{io, sync::Arc};

use thiserror::Error;
use tokio::{sync::Semaphore, task::JoinHandle};

use super::{
    BlobStore, Stopped, blocking,
    compress::{self, NotGzip},
    digest::Encoding,
    intake::Intake,
    joined,
    limits::{BATCH_BYTES, LENGTH_MAX_DEFAULT, UNTHREADED_BYTES_MAX},
    staged::StagedBlob,
};

/// How the bytes of an upload come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received<'a> {
    /// As the client sees them; stored compressed if the content type says so.
    Plain { content_type: &'a str },
    /// Compressed by the sender with gzip, and stored as they are: a request with
    /// `Content-Encoding: gzip`, or an attachment that another server has compressed.
    Gzip,
}

/// What is known of an upload before it begins.
#[derive(Debug, Clone)]
pub struct UploadOptions<'a> {
    pub received: Received<'a>,
    /// How many bytes will come, if that was said.
    pub length: Option<u64>,
    /// The md5 of the bytes as they come, if that was said: `Content-MD5`, or the `digest` of an
    /// attachment that follows its document.
    pub md5: Option<[u8; 16]>,
    /// Most bytes allowed, as they come and before compression.
    pub length_max: u64,
}

impl<'a> UploadOptions<'a> {
    pub fn new(received: Received<'a>) -> Self {
        Self { received, length: None, md5: None, length_max: LENGTH_MAX_DEFAULT }
    }
}

#[derive(Debug, Error)]
pub enum UploadError {
    #[error("the attachment has more than the {max} bytes allowed")]
    TooLarge { max: u64 },
    #[error("the attachment was announced with {announced} bytes, {received} came")]
    Length { announced: u64, received: u64 },
    #[error("the attachment's md5 is not the one that was announced")]
    Md5Mismatch,
    #[error("the attachment was announced as gzip")]
    NotGzip(#[from] NotGzip),
    #[error("there is no space left for the attachment")]
    StorageFull,
    #[error("could not {action} the attachment's file")]
    File { action: &'static str, source: io::Error },
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// It was written to after an error.
    #[error("the upload has already failed")]
    Failed,
}

pub(super) fn write_failed(action: &'static str, source: io::Error) -> UploadError {
    if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        UploadError::StorageFull
    } else {
        UploadError::File { action, source }
    }
}

/// Takes the bytes of one upload. Dropped before [`finish`](Self::finish), it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    threads: Arc<Semaphore>,
    state: State,
    batch: Vec<u8>,
    received: u64,
    announced: Option<u64>,
    length_max: u64,
}

#[derive(Debug)]
enum State {
    Idle(Box<Intake>),
    /// A batch is being worked on; its buffer comes back.
    Busy(JoinHandle<Worked>),
    Failed,
}

type Worked = (Box<Intake>, Vec<u8>, Result<(), UploadError>);

impl BlobStore {
    /// Begins an upload.
    pub fn upload(&self, options: &UploadOptions<'_>) -> BlobWriter {
        let (encoding, is_packed_already) = match options.received {
            Received::Gzip => (Encoding::Gzip, true),
            Received::Plain { content_type } if compress::is_compressible(content_type) => {
                (Encoding::Gzip, false)
            }
            Received::Plain { .. } => (Encoding::Identity, false),
        };
        let intake = Intake::new(
            self.folder.clone(),
            encoding,
            is_packed_already,
            options.md5,
            options.length_max,
        );
        BlobWriter {
            threads: self.upload_threads.clone(),
            state: State::Idle(Box::new(intake)),
            batch: Vec::new(),
            received: 0,
            announced: options.length,
            length_max: options.length_max,
        }
    }

    /// An upload of bytes that are at hand, such as an attachment inside a document.
    pub async fn stage(
        &self,
        bytes: &[u8],
        options: &UploadOptions<'_>,
    ) -> Result<StagedBlob, UploadError> {
        let mut writer = self.upload(options);
        writer.write(bytes).await?;
        writer.finish().await
    }
}

impl BlobWriter {
    /// Takes the next bytes. After an error, or when this future is dropped before its end, the
    /// upload cannot be finished.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), UploadError> {
        self.received += bytes.len() as u64;
        if self.received > self.length_max {
            return Err(self.fail(UploadError::TooLarge { max: self.length_max }));
        }
        if let Some(announced) = self.announced.filter(|&announced| self.received > announced) {
            return Err(self.fail(UploadError::Length { announced, received: self.received }));
        }
        while !bytes.is_empty() {
            let room = BATCH_BYTES - self.batch.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.batch.extend_from_slice(now);
            bytes = later;
            if self.batch.len() == BATCH_BYTES {
                self.hand_over().await?;
            }
        }
        Ok(())
    }

    /// The whole blob, synced if it is a file.
    pub async fn finish(mut self) -> Result<StagedBlob, UploadError> {
        if let Some(announced) = self.announced.filter(|&announced| self.received != announced) {
            return Err(UploadError::Length { announced, received: self.received });
        }
        let (mut intake, _) = self.idle().await?;
        let batch = std::mem::take(&mut self.batch);
        let is_small = self.received <= UNTHREADED_BYTES_MAX as u64;
        let work = move || {
            intake.push(&batch)?;
            intake.finish()
        };
        if is_small {
            return work();
        }
        let permit = self.permit().await;
        joined(
            blocking(move || {
                let result = work();
                drop(permit);
                result
            })
            .await,
        )?
    }

    async fn hand_over(&mut self) -> Result<(), UploadError> {
        let (mut intake, spare) = self.idle().await?;
        let batch = std::mem::replace(&mut self.batch, spare);
        let permit = self.permit().await;
        self.state = State::Busy(blocking(move || {
            let mut batch = batch;
            let result = intake.push(&batch);
            batch.clear();
            drop(permit);
            (intake, batch, result)
        }));
        Ok(())
    }

    /// Waits for the batch that is being worked on, and takes the intake with a buffer to fill.
    async fn idle(&mut self) -> Result<(Box<Intake>, Vec<u8>), UploadError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(intake) => Ok((intake, Vec::new())),
            State::Busy(work) => {
                let (intake, buffer, result) = joined(work.await)?;
                result.map(|()| (intake, buffer))
            }
            State::Failed => Err(UploadError::Failed),
        }
    }

    async fn permit(&self) -> tokio::sync::OwnedSemaphorePermit {
        let permit = self.threads.clone().acquire_owned().await;
        permit.expect("nobody closes the semaphore")
    }

    fn fail(&mut self, error: UploadError) -> UploadError {
        self.state = State::Failed;
        error
    }
}
