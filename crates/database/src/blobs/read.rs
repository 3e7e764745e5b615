//! Reading a blob as a stream of verified pieces, with bounded memory.
//!
//! Files are read, checked and unpacked on blocking threads, 256 KiB a step, one step ahead of the
//! reader. What is small and in memory stays on the caller's thread.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use settle_engine::{Plan, ReadError, Step as PlanStep, Visit, Visitor};
use thiserror::Error;
use tokio::task::JoinHandle;

use super::{
    BlobStore, Stopped, blocking,
    digest::{BlobDigest, Encoding},
    file::{BlockReader, Damage, FileReadError},
    folder::{Folder, FolderError},
    joined, keys,
    limits::INLINE_BYTES_MAX,
    record::{BlobRecord, Place, decode_data},
    source::{Source, Step},
};
use crate::{codec::RecordError, error::StorageError};

/// What of a blob is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The bytes as stored, compressed or not.
    Stored,
    /// Some of them. Each block is verified, but not the digest of the whole.
    StoredRange(Range<u64>),
    /// The bytes before compression.
    Identity,
}

/// A blob that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub digest: BlobDigest,
    pub record: BlobRecord,
}

#[derive(Debug, Error)]
pub enum BlobReadError {
    #[error("attachment data {digest} is not stored here")]
    Missing { digest: BlobDigest },
    #[error("attachment data {digest} has no bytes {} to {}", range.start, range.end)]
    OutOfRange { digest: BlobDigest, range: Range<u64> },
    #[error("attachment data {digest} is damaged")]
    Damaged {
        digest: BlobDigest,
        #[source]
        damage: Damage,
    },
    #[error("attachment data {digest} could not be read")]
    File {
        digest: BlobDigest,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Storage(StorageError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl From<ReadError> for BlobReadError {
    fn from(error: ReadError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<RecordError> for BlobReadError {
    fn from(error: RecordError) -> Self {
        Self::Storage(error.into())
    }
}

/// A stream of the bytes that were asked for. An error ends it; a reply that is under way must then
/// be cut short.
#[derive(Debug)]
pub struct BlobReader {
    digest: BlobDigest,
    length: u64,
    ready: VecDeque<Bytes>,
    rest: Rest,
}

#[derive(Debug)]
enum Rest {
    /// In memory: the next step is made when it is asked for.
    Here(Box<Source>),
    /// The next step is being made.
    Ahead(JoinHandle<StepResult>),
    End,
}

type StepResult = (Box<Source>, Result<Step, FileReadError>);

impl BlobStore {
    /// What is known of a blob; `None` when it is not stored.
    pub async fn find(&self, digest: BlobDigest) -> Result<Option<Blob>, StorageError> {
        let Some(value) = self.engine.get(keys::blob(digest)).await? else { return Ok(None) };
        Ok(Some(Blob { digest, record: BlobRecord::decode(digest, &value)? }))
    }

    /// Opens a blob. What is wrong at its beginning is said here.
    pub async fn read(&self, digest: BlobDigest, part: Part) -> Result<BlobReader, BlobReadError> {
        let mut last_tried = None;
        loop {
            let (record, data) = self.look_up(digest).await?;
            let wanted = Wanted::new(digest, &record, &part)?;
            match record.place {
                Place::Inline => {
                    let damage = Damage::NoData;
                    let bytes = data.ok_or(BlobReadError::Damaged { digest, damage })?;
                    return Ok(BlobReader::over_memory(wanted, bytes));
                }
                Place::File => match BlobReader::open_file(&self.folder, wanted, &record).await {
                    // The collector may have taken it since the record was read, and somebody else
                    // may have brought it back as another file.
                    Err(BlobReadError::Damaged { damage: Damage::NoFile, .. })
                        if last_tried != Some(record.upload) =>
                    {
                        last_tried = Some(record.upload);
                    }
                    result => return result,
                },
            }
        }
    }

    async fn look_up(
        &self,
        digest: BlobDigest,
    ) -> Result<(BlobRecord, Option<Bytes>), BlobReadError> {
        let (record_key, data_key) = (keys::blob(digest), keys::data(digest));
        let steps = vec![PlanStep::Get(record_key), PlanStep::Get(data_key.clone())];
        let (found, _) = self.engine.read(Plan::new(steps), Found::default()).await?;
        let [record, data] = found.0;
        let record = record.ok_or(BlobReadError::Missing { digest })?;
        let record = BlobRecord::decode(digest, &record)?;
        let data = match data {
            None => None,
            Some(value) => {
                let offset = value.len() - decode_data(&data_key, &value)?.len();
                Some(Bytes::from(value).slice(offset..))
            }
        };
        Ok((record, data))
    }
}

#[derive(Default)]
struct Found([Option<Vec<u8>>; 2]);

impl Visitor for Found {
    fn visit(&mut self, step: usize, _: &[u8], value: Option<&[u8]>) -> Visit {
        self.0[step] = value.map(<[u8]>::to_vec);
        Visit::Next
    }
}

/// A part of one blob, in numbers.
#[derive(Debug, Clone)]
struct Wanted {
    digest: BlobDigest,
    /// Of the stored bytes.
    range: Range<u64>,
    /// The length to which they are unpacked, if they are.
    unpacked: Option<u64>,
}

impl Wanted {
    fn new(digest: BlobDigest, record: &BlobRecord, part: &Part) -> Result<Self, BlobReadError> {
        let whole = 0..record.stored_length;
        let (range, unpacked) = match (part, record.encoding) {
            (Part::Stored, _) | (Part::Identity, Encoding::Identity) => (whole, None),
            (Part::Identity, Encoding::Gzip) => (whole, Some(record.length)),
            (Part::StoredRange(range), _) => {
                if range.start > range.end || range.end > record.stored_length {
                    return Err(BlobReadError::OutOfRange { digest, range: range.clone() });
                }
                (range.clone(), None)
            }
        };
        Ok(Self { digest, range, unpacked })
    }

    fn length(&self) -> u64 {
        self.unpacked.unwrap_or(self.range.end - self.range.start)
    }

    fn source(&self, source: Source) -> Box<Source> {
        Box::new(match self.unpacked {
            None => source,
            Some(length) => source.unpacked(length),
        })
    }
}

impl BlobReader {
    /// How many bytes the stream gives, if it gives no error.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// All the bytes, for callers that know them to be few.
    pub async fn into_bytes(mut self) -> Result<Vec<u8>, BlobReadError> {
        let mut all = Vec::with_capacity(usize::try_from(self.length).unwrap_or(0));
        while let Some(piece) = self.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    /// The next piece, for callers without stream combinators.
    pub async fn next(&mut self) -> Option<Result<Bytes, BlobReadError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    fn over_memory(wanted: Wanted, bytes: Bytes) -> Self {
        let source = wanted.source(Source::memory(wanted.digest, bytes, wanted.range.clone()));
        let length = wanted.length();
        let rest =
            if length > INLINE_BYTES_MAX as u64 { ahead(source) } else { Rest::Here(source) };
        Self { digest: wanted.digest, length, ready: VecDeque::new(), rest }
    }

    async fn open_file(
        folder: &Arc<Folder>,
        wanted: Wanted,
        record: &BlobRecord,
    ) -> Result<Self, BlobReadError> {
        let (folder, of, upload) = (folder.clone(), wanted.clone(), record.upload);
        let stored_length = record.stored_length;
        let opened = joined(
            blocking(move || {
                let file = folder.open_file(of.digest, upload).map_err(opening_failed)?;
                let (digest, range) = (of.digest, of.range.clone());
                let (from, to) = (range.start, range.end);
                let reader = BlockReader::open(file, upload, digest, stored_length, from, to)?;
                let mut source = of.source(Source::file(digest, reader, stored_length, range));
                let step = source.step()?;
                Ok((source, step))
            })
            .await,
        )?;
        let digest = wanted.digest;
        let (source, step) = opened.map_err(|error| read_failed(digest, error))?;
        let rest = if step.is_last { Rest::End } else { ahead(source) };
        Ok(Self { digest, length: wanted.length(), ready: step.pieces, rest })
    }

    /// Takes in a step, and begins the next one where threads make them.
    fn take(
        &mut self,
        source: Box<Source>,
        result: Result<Step, FileReadError>,
        go_on: fn(Box<Source>) -> Rest,
    ) -> Result<(), BlobReadError> {
        let step = result.map_err(|error| read_failed(self.digest, error))?;
        self.ready = step.pieces;
        if !step.is_last {
            self.rest = go_on(source);
        }
        Ok(())
    }
}

impl Stream for BlobReader {
    type Item = Result<Bytes, BlobReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(piece)));
            }
            // What goes wrong leaves the end behind.
            let taken = match std::mem::replace(&mut self.rest, Rest::End) {
                Rest::End => return Poll::Ready(None),
                Rest::Here(mut source) => {
                    let result = source.step();
                    self.take(source, result, Rest::Here)
                }
                Rest::Ahead(mut work) => {
                    let Poll::Ready(done) = Pin::new(&mut work).poll(context) else {
                        self.rest = Rest::Ahead(work);
                        return Poll::Pending;
                    };
                    match joined(done) {
                        Ok((source, result)) => self.take(source, result, ahead),
                        Err(stopped) => Err(stopped.into()),
                    }
                }
            };
            if let Err(error) = taken {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

fn ahead(mut source: Box<Source>) -> Rest {
    Rest::Ahead(blocking(move || {
        let result = source.step();
        (source, result)
    }))
}

fn opening_failed(error: FolderError) -> FileReadError {
    if error.source.kind() == io::ErrorKind::NotFound {
        Damage::NoFile.into()
    } else {
        error.source.into()
    }
}

fn read_failed(digest: BlobDigest, error: FileReadError) -> BlobReadError {
    match error {
        FileReadError::Damaged(damage) => BlobReadError::Damaged { digest, damage },
        FileReadError::Io(source) => BlobReadError::File { digest, source },
    }
}
