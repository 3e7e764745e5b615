//! From an archive to a database, beside the one whose place it may take.
//!
//! Each batch of documents is read back and compared with the archive, leaf by leaf, as soon as it is there; at the
//! end all of them are read once more, and their digest must be the one that the archive gives. Only then there is
//! something that can be put in its place. Dropped before that, it leaves nothing.
//!
//! A small archive may hold a large database, so whoever has little room says how much. Bodies and attachments are
//! counted before they are stored; what is stored, ids and ancestries included, is measured behind each batch.

use std::{io, pin::Pin, sync::Arc, task::Context};

use bytes::Bytes;
use futures_core::Stream;
use settle_access::{Administer, Grant};
use settle_database::{
    Database, Facts, LocalError, Next, PastError, Point, PurgeEntry, RestoreError,
    RestoredDocument, Restoring, StorageError, Store, WholeDocument, WholeLeaf,
    blobs::{BlobWriter, Encoding, Received, UploadError, UploadOptions},
};
use settle_model::id::LocalId;
use thiserror::Error;

use crate::{
    compare::difference,
    limits::{LOCALS_AT_ONCE, RESTORED_AT_ONCE, RESTORED_BLOBS_AT_ONCE, RESTORED_BYTES_AT_ONCE},
    line::{Header, Totals},
    reading::{BadArchive, Contents, Item, Reader},
    writing::ContentDigest,
};

/// Where the bytes of an archive come from.
pub type Source = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

#[derive(Debug, Error)]
pub enum RestoreFailure {
    #[error(transparent)]
    Bad(#[from] BadArchive),
    #[error("the archive could not be read")]
    Source(#[source] io::Error),
    #[error("an attachment could not be stored")]
    Upload(#[from] UploadError),
    #[error("what was restored is not what the archive has: {what}")]
    Differs { what: String },
    #[error("the archive holds more than the {max} bytes that there is room for")]
    NoRoom { max: u64 },
    #[error(transparent)]
    Refused(#[from] RestoreError),
    #[error(transparent)]
    Past(#[from] PastError),
}

impl From<StorageError> for RestoreFailure {
    fn from(error: StorageError) -> Self {
        Self::Past(error.into())
    }
}

/// A database that has been restored and compared, and has no name yet.
#[derive(Debug)]
pub struct Restored {
    restoring: Restoring,
    pub header: Header,
    pub facts: Facts,
    pub totals: Totals,
}

/// Bytes that become items when they are asked for.
pub(crate) struct Incoming {
    source: Source,
    reader: Reader,
    is_at_end: bool,
}

impl Incoming {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, reader: Reader::default(), is_at_end: false }
    }

    /// The next item; `None` behind the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Item>, IncomingError> {
        loop {
            if let Some(item) = self.reader.item()? {
                return Ok(Some(item));
            }
            if self.is_at_end {
                return Ok(None);
            }
            let source = &mut self.source;
            let poll = |context: &mut Context<'_>| source.as_mut().poll_next(context);
            match std::future::poll_fn(poll).await {
                Some(bytes) => self.reader.feed(&bytes.map_err(IncomingError::Source)?),
                None => {
                    self.reader.finish();
                    self.is_at_end = true;
                }
            }
        }
    }
}

/// Why there is no next item.
pub(crate) enum IncomingError {
    Bad(BadArchive),
    Source(io::Error),
}

impl From<BadArchive> for IncomingError {
    fn from(error: BadArchive) -> Self {
        Self::Bad(error)
    }
}

impl From<IncomingError> for RestoreFailure {
    fn from(error: IncomingError) -> Self {
        match error {
            IncomingError::Bad(error) => Self::Bad(error),
            IncomingError::Source(error) => Self::Source(error),
        }
    }
}

/// Reads an archive, and builds the database that it holds, of so many bytes at the most; `None` for any number.
pub async fn restore(
    store: &Store,
    grant: &Grant<Administer>,
    instead_of: &Database,
    source: Source,
    bytes_max: Option<u64>,
) -> Result<Restored, RestoreFailure> {
    let mut incoming = Incoming::new(source);
    // What is no archive has cost nothing.
    let Some(Item::Header(header)) = incoming.next().await? else {
        return Err(differs("it does not begin with what it is"));
    };
    let mut building = Building {
        store,
        restoring: store.begin_restore(grant, instead_of).await?,
        locals: Vec::new(),
        purges: Vec::new(),
        document: None,
        content: None,
        batch: Batch::default(),
        facts: None,
        last: 0,
        bytes: 0,
        bytes_max,
    };
    loop {
        let Some(item) = incoming.next().await? else {
            return Err(differs("it has no end"));
        };
        if let Item::End(totals) = item {
            // Nothing may stand behind the end.
            incoming.next().await?;
            return building.finish(header, totals).await;
        }
        building.take(item).await?;
    }
}

fn differs(what: impl Into<String>) -> RestoreFailure {
    RestoreFailure::Differs { what: what.into() }
}

struct Building<'s> {
    store: &'s Store,
    restoring: Restoring,
    locals: Vec<(LocalId, u64, Bytes)>,
    purges: Vec<PurgeEntry>,
    /// The document whose attachments are coming in.
    document: Option<RestoredDocument>,
    content: Option<(Contents, BlobWriter)>,
    batch: Batch,
    facts: Option<Facts>,
    /// The sequence of the last document that has been read back.
    last: u64,
    /// Of all that has come in so far.
    bytes: u64,
    bytes_max: Option<u64>,
}

#[derive(Default)]
struct Batch {
    documents: Vec<RestoredDocument>,
    bytes: usize,
    blobs: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.documents.len() >= RESTORED_AT_ONCE
            || self.bytes >= RESTORED_BYTES_AT_ONCE
            || self.blobs >= RESTORED_BLOBS_AT_ONCE
    }
}

impl Building<'_> {
    async fn take(&mut self, item: Item) -> Result<(), RestoreFailure> {
        match item {
            Item::Local { id, revision, body } => {
                self.add_bytes(body.len() as u64)?;
                self.locals.push((id, revision, body));
                if self.locals.len() as u64 >= LOCALS_AT_ONCE {
                    self.put_locals().await?;
                }
            }
            Item::Point(facts) => {
                self.put_locals().await?;
                self.facts = Some(facts);
            }
            Item::Purge(entry) => {
                self.add_bytes(purge_bytes(&entry))?;
                self.purges.push(entry);
                if self.purges.len() >= RESTORED_AT_ONCE {
                    self.put_documents().await?;
                }
            }
            Item::Document(document) => {
                self.add_bytes(document_bytes(&document))?;
                self.document_is_whole().await?;
                self.document = Some(RestoredDocument { document, blobs: Vec::new() });
            }
            Item::Blob(contents) => {
                let writer = self.store.blobs().upload(&options(&contents));
                self.content = Some((contents, writer));
            }
            Item::Data(bytes) => {
                if let Some((_, writer)) = &mut self.content {
                    writer.write(&bytes).await?;
                }
            }
            Item::BlobEnd => self.content_is_whole().await?,
            // The reader gives them once, at the beginning and at the end.
            Item::Header(_) | Item::End(_) => {}
        }
        Ok(())
    }

    /// What comes next has so many bytes, and is not stored yet.
    fn add_bytes(&mut self, bytes: u64) -> Result<(), RestoreFailure> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.check_room(self.bytes)
    }

    fn check_room(&self, bytes: u64) -> Result<(), RestoreFailure> {
        match self.bytes_max {
            Some(max) if bytes > max => Err(RestoreFailure::NoRoom { max }),
            Some(_) | None => Ok(()),
        }
    }

    async fn content_is_whole(&mut self) -> Result<(), RestoreFailure> {
        let (Some((contents, writer)), Some(document)) = (self.content.take(), &mut self.document)
        else {
            return Ok(());
        };
        let staged = writer.finish().await?;
        let stored = (staged.digest(), staged.md5(), staged.encoding(), staged.length());
        if stored != (contents.digest, contents.md5, contents.encoding, contents.length) {
            return Err(differs(format!("the attachments' content {}", contents.digest)));
        }
        document.blobs.push(Arc::new(staged));
        self.batch.blobs += 1;
        Ok(())
    }

    /// The document that was begun last has all its attachments.
    async fn document_is_whole(&mut self) -> Result<(), RestoreFailure> {
        let Some(document) = self.document.take() else { return Ok(()) };
        self.batch.bytes += document.bytes();
        self.batch.documents.push(document);
        if self.batch.is_full() { self.put_documents().await } else { Ok(()) }
    }

    async fn put_locals(&mut self) -> Result<(), RestoreFailure> {
        let locals = std::mem::take(&mut self.locals);
        if locals.is_empty() {
            return Ok(());
        }
        self.restoring.put_locals(&locals).await?;
        let read = self.restoring.reader();
        for (id, revision, body) in &locals {
            let back = self.restoring.database().local(&read, id).await;
            let back = back.map_err(|error| match error {
                LocalError::Storage(error) => error.into(),
                LocalError::Missing | LocalError::Conflict | LocalError::TooLarge { .. } => {
                    differs(format!("the local document {id} is missing"))
                }
            })?;
            if (back.revision, &back.body) != (*revision, body) {
                return Err(differs(format!("the local document {id}")));
            }
        }
        Ok(())
    }

    /// Stores what has gathered, and reads it back.
    async fn put_documents(&mut self) -> Result<(), RestoreFailure> {
        let Batch { documents, .. } = std::mem::take(&mut self.batch);
        let expected: Vec<WholeDocument> =
            documents.iter().map(|restored| restored.document.clone()).collect();
        let purges = std::mem::take(&mut self.purges);
        self.restoring.put_documents(documents, purges).await?;
        if self.bytes_max.is_some() {
            let info = self.restoring.database().info(&self.restoring.reader()).await?;
            self.check_room(info.file_bytes)?;
        }
        if expected.is_empty() {
            return Ok(());
        }
        let mut expected = expected.into_iter();
        let point = self.restoring.point().await?;
        let mut since = Some(self.last);
        while let Some(at) = since {
            let (found, next) = point.documents(at).await?;
            for found in found {
                self.last = found.sequence;
                let expected = expected.next();
                if expected.as_ref() != Some(&found) {
                    return Err(differs(told(expected.as_ref(), &found)));
                }
            }
            since = behind(next);
        }
        match expected.next() {
            None => Ok(()),
            Some(missing) => Err(differs(format!("{:?} is missing", missing.id.as_str()))),
        }
    }

    async fn finish(mut self, header: Header, totals: Totals) -> Result<Restored, RestoreFailure> {
        self.document_is_whole().await?;
        self.put_documents().await?;
        let facts = self.facts.take().ok_or_else(|| differs("it has no point"))?;
        let point = self.restoring.point().await?;
        let counted = (point.facts().doc_count, point.facts().deleted_count);
        if counted != (totals.documents, totals.deleted) {
            return Err(differs(format!("{} documents and {} tombstones", counted.0, counted.1)));
        }
        if content_digest(&point).await? != totals.contents {
            return Err(differs("the digest of documents and leaves"));
        }
        Ok(Restored { restoring: self.restoring, header, facts, totals })
    }
}

impl Restored {
    /// Bytes of its leaves and attachments, as accounts are measured.
    pub async fn external_bytes(&self) -> Result<u64, StorageError> {
        let info = self.restoring.database().info(&self.restoring.reader()).await?;
        Ok(info.external_bytes)
    }

    /// Puts it in the place of the database that it was made for.
    pub async fn place(self, instead_of: &Database) -> Result<Database, RestoreFailure> {
        Ok(self.restoring.place(instead_of, &self.facts).await?)
    }
}

/// The digest of all documents, as an archive of them has it.
async fn content_digest(point: &Point) -> Result<String, RestoreFailure> {
    let mut digest = ContentDigest::default();
    let mut since = Some(0);
    while let Some(at) = since {
        let (documents, next) = point.documents(at).await?;
        for document in documents {
            let added = digest.add_document(&document);
            added.ok_or_else(|| differs(format!("a body of {:?}", document.id.as_str())))?;
        }
        since = behind(next);
    }
    Ok(digest.digest())
}

fn behind(next: Next<u64>) -> Option<u64> {
    match next {
        Next::Done => None,
        Next::Go(since) => Some(since),
    }
}

fn told(expected: Option<&WholeDocument>, found: &WholeDocument) -> String {
    match expected {
        None => format!("{:?} is too much", found.id.as_str()),
        Some(expected) => difference(expected, Some(found))
            .unwrap_or_else(|| format!("the sequence or the times of {:?}", expected.id.as_str())),
    }
}

/// Bytes of its leaves and their attachments, before compression or as they are stored, whichever is more.
fn document_bytes(document: &WholeDocument) -> u64 {
    let leaf_bytes = |leaf: &WholeLeaf| {
        let attached = leaf.attachments.iter().map(|it| it.length.max(it.stored_length));
        attached.fold(leaf.body.len() as u64, u64::saturating_add)
    };
    document.leaves.iter().map(leaf_bytes).fold(0, u64::saturating_add)
}

fn purge_bytes(entry: &PurgeEntry) -> u64 {
    let revs = entry.revs.iter().map(|rev| rev.to_string().len());
    (entry.id.len() + revs.sum::<usize>()) as u64
}

/// As they are stored, whatever their type: they have been compressed already, or never were.
fn options(contents: &Contents) -> UploadOptions<'static> {
    let received = match contents.encoding {
        Encoding::Identity => Received::Plain { content_type: "application/octet-stream" },
        Encoding::Gzip => Received::Gzip,
    };
    UploadOptions {
        length: Some(contents.stored_length),
        md5: Some(contents.md5),
        length_max: u64::MAX,
        ..UploadOptions::new(received)
    }
}
