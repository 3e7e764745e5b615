//! Making an archive, piece by piece: whoever wants the next block asks for it.

use std::{collections::VecDeque, io, ops::Bound};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use settle_access::{Administer, Grant, Read};
use settle_database::{
    Database, Direction, Facts, KeepError, LocalDocument, Moment, Next, PastError, Point,
    PointError, PurgeEntry, StorageError, Store, WholeDocument, WholeLeaf,
    blobs::{BlobDigest, BlobReadError, BlobReader, Part},
    is_checkpoint,
};
use settle_model::{date, time::Timestamp};
use thiserror::Error;

use crate::{
    block::Packer,
    limits::{DATA_BYTES, DOCUMENT_BYTES_MAX, LEAVES_MAX, LINE_BYTES_MAX, LOCALS_AT_ONCE},
    line::{
        BlobLine, DataLine, DocumentLine, EndLine, FORM, Gone, Header, KeptFields, LeafLine,
        LocalLine, PointFields, PointLine, PurgedLine, TimelineFields, Totals, put, raw,
    },
    reading::blobs_of,
};

/// Why an archive cannot be finished.
#[derive(Debug, Error)]
pub enum ArchiveError {
    #[error("the document {id:?} with its leaves is too large for an archive")]
    TooLarge { id: String },
    #[error("a stored body of {id:?} is not JSON")]
    NotJson { id: String },
    #[error("an attachment of {id:?} cannot be read")]
    Blob {
        id: String,
        #[source]
        source: Box<BlobReadError>,
    },
    #[error("the archive could not be compressed")]
    Compress(#[source] io::Error),
    #[error(transparent)]
    Past(#[from] PastError),
    #[error(transparent)]
    Keep(#[from] KeepError),
}

impl From<StorageError> for ArchiveError {
    fn from(error: StorageError) -> Self {
        Self::Past(error.into())
    }
}

impl From<PointError> for ArchiveError {
    fn from(error: PointError) -> Self {
        match error {
            PointError::Past(error) => Self::Past(error),
            PointError::Keep(error) => Self::Keep(error),
        }
    }
}

/// For whom the moment is held.
const HOLDER: &str = "an archive";

/// An archive that is being made.
#[derive(Debug)]
pub struct Archiving {
    store: Store,
    database: Database,
    read: Grant<Read>,
    administer: Grant<Administer>,
    /// `None` for the present.
    moment: Option<Moment>,
    lines: Lines,
    stage: Stage,
}

/// What comes next.
#[derive(Debug)]
enum Stage {
    Header(Timestamp),
    /// Local documents that have been read, and those behind this id.
    Locals(VecDeque<LocalDocument>, Option<String>),
    Point,
    /// Purges that have been read, and those behind this one.
    Purges(Box<Point>, VecDeque<PurgeEntry>, u64),
    Documents(Box<Documents>),
    End,
    Done,
}

impl Stage {
    /// The moment that is being read.
    fn point(&mut self) -> Option<&mut Point> {
        match self {
            Self::Purges(point, ..) => Some(point.as_mut()),
            Self::Documents(documents) => Some(&mut documents.point),
            Self::Header(_) | Self::Locals(..) | Self::Point | Self::End | Self::Done => None,
        }
    }
}

/// The documents from here on.
#[derive(Debug)]
struct Documents {
    point: Point,
    /// Where the next slice begins; `None` behind the last.
    since: Option<u64>,
    ready: VecDeque<WholeDocument>,
    /// The rest of the document that was begun last.
    id: String,
    leaves: VecDeque<WholeLeaf>,
    blobs: VecDeque<BlobDigest>,
    reading: Option<(BlobReader, Vec<u8>)>,
}

/// Lines, and what has been counted of them.
#[derive(Debug, Default)]
struct Lines {
    packer: Packer,
    totals: Totals,
    digest: blake3::Hasher,
    contents: ContentDigest,
}

/// The digest of documents and leaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContentDigest(blake3::Hasher);

impl ContentDigest {
    pub(crate) fn add(&mut self, line: &[u8]) {
        self.0.update(line);
    }

    pub(crate) fn digest(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }

    /// Adds a document as its lines are; `None` if a body is not JSON.
    pub(crate) fn add_document(&mut self, document: &WholeDocument) -> Option<()> {
        let mut lines = Vec::new();
        put(&mut lines, &DocumentLine::of(document));
        for leaf in &document.leaves {
            put(&mut lines, &LeafLine::of(leaf)?);
        }
        self.add(&lines);
        Some(())
    }
}

impl Archiving {
    /// Begins an archive of the database as it was at a moment; `None` for the present, as it will be when the local
    /// documents have been read.
    pub fn new(
        store: &Store,
        database: &Database,
        grant: &Grant<Administer>,
        moment: Option<Moment>,
        now: Timestamp,
    ) -> Self {
        Self {
            store: store.clone(),
            database: database.clone(),
            read: grant.internally("what is archived is read"),
            administer: grant.clone(),
            moment,
            lines: Lines::default(),
            stage: Stage::Header(now),
        }
    }

    /// The next block of the file; `None` behind the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ArchiveError> {
        if let Some(point) = self.stage.point() {
            point.renew_when_due().await?;
        }
        while !self.lines.packer.is_full() {
            self.stage = self.step().await?;
            if matches!(self.stage, Stage::Done) {
                break;
            }
        }
        if self.lines.packer.lines().is_empty() {
            return Ok(None);
        }
        let mut packer = std::mem::take(&mut self.lines.packer);
        let packing = tokio::task::spawn_blocking(move || {
            let block = packer.pack();
            (packer, block)
        });
        let stopped = |error| ArchiveError::Compress(io::Error::other(error));
        let (packer, block) = packing.await.map_err(stopped)?;
        self.lines.packer = packer;
        Ok(Some(block.map_err(ArchiveError::Compress)?.into()))
    }

    /// Counts of what has been written so far; digests are there at the end.
    pub fn totals(&self) -> &Totals {
        &self.lines.totals
    }

    /// Writes some lines, and says what comes next.
    async fn step(&mut self) -> Result<Stage, ArchiveError> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Header(now) => self.header(now).await,
            Stage::Locals(ready, after) => self.locals(ready, after).await,
            Stage::Point => self.point().await,
            Stage::Purges(point, ready, after) => self.purges(point, ready, after).await,
            Stage::Documents(documents) => self.documents(documents).await,
            Stage::End => {
                self.lines.end();
                Ok(Stage::Done)
            }
            Stage::Done => Ok(Stage::Done),
        }
    }

    async fn header(&mut self, now: Timestamp) -> Result<Stage, ArchiveError> {
        let info = self.database.info(&self.read).await?;
        self.lines.add(&Header {
            settle_archive: FORM,
            name: info.name.clone(),
            site: hex::encode(self.store.uuid()),
            instance_start_time: info.instance_start_time(),
            created: info.created.micros(),
            made: date::rfc3339(now),
        });
        Ok(Stage::Locals(VecDeque::new(), None))
    }

    /// The next local document, or more of them.
    async fn locals(
        &mut self,
        mut ready: VecDeque<LocalDocument>,
        after: Option<String>,
    ) -> Result<Stage, ArchiveError> {
        if let Some(LocalDocument { id, revision, body }) = ready.pop_front() {
            let id = id.as_str();
            // That of the present would claim what a moment of the past does not have.
            if self.moment.is_some() && is_checkpoint(&body) {
                return Ok(Stage::Locals(ready, Some(id.to_owned())));
            }
            let body = raw(&body).ok_or_else(|| ArchiveError::NotJson { id: id.to_owned() })?;
            self.lines.add(&LocalLine { local: id.into(), rev: revision, body });
            self.lines.totals.locals += 1;
            return Ok(Stage::Locals(ready, Some(id.to_owned())));
        }
        let start = after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let (range, most) = ((start, Bound::Unbounded), LOCALS_AT_ONCE);
        let found = self.database.locals(&self.read, range, Direction::Ascending, 0, most).await?;
        Ok(if found.is_empty() { Stage::Point } else { Stage::Locals(found.into(), after) })
    }

    async fn point(&mut self) -> Result<Stage, ArchiveError> {
        let point = self.database.point(&self.administer, self.moment, HOLDER).await?;
        let facts = point.facts();
        let security = match &*facts.security {
            [] => None,
            security => {
                let id = "_security".to_owned();
                Some(raw(security).ok_or(ArchiveError::NotJson { id })?)
            }
        };
        let kept = KeptFields::of(facts);
        let kept = kept.ok_or_else(|| ArchiveError::NotJson { id: "append_only".to_owned() })?;
        let fields = PointFields {
            sequence: facts.sequence,
            timelines: facts.timelines.iter().map(TimelineFields::of).collect(),
            documents: facts.doc_count,
            deleted: facts.deleted_count,
            purge_sequence: facts.purge_sequence,
            partitioned: facts.partitioned,
            revs_limit: facts.revs_limit,
            purged_infos_limit: facts.purged_infos_limit,
            grace_ms: u64::try_from(facts.grace.as_millis()).unwrap_or(u64::MAX),
            security,
            kept,
        };
        self.lines.add(&PointLine { point: fields });
        Ok(Stage::Purges(Box::new(point), VecDeque::new(), 0))
    }

    /// The next purge, or more of them.
    async fn purges(
        &mut self,
        point: Box<Point>,
        mut ready: VecDeque<PurgeEntry>,
        after: u64,
    ) -> Result<Stage, ArchiveError> {
        if let Some(entry) = ready.pop_front() {
            self.lines.add(&PurgedLine::of(&entry));
            self.lines.totals.purged += 1;
            return Ok(Stage::Purges(point, ready, entry.sequence));
        }
        let found = point.purges(after).await?;
        Ok(match found.is_empty() {
            true => Stage::Documents(Box::new(Documents::of(*point))),
            false => Stage::Purges(point, found.into(), after),
        })
    }

    /// The next leaf, or piece of an attachment, or document, or slice of documents.
    async fn documents(&mut self, mut documents: Box<Documents>) -> Result<Stage, ArchiveError> {
        let blob_of = |source, id: &str| {
            let source = Box::new(source);
            ArchiveError::Blob { id: id.to_owned(), source }
        };
        if let Some(leaf) = documents.leaves.pop_front() {
            self.lines.leaf(&documents.id, &leaf)?;
        } else if let Some((reader, rest)) = &mut documents.reading {
            match reader.next().await.transpose() {
                Ok(Some(piece)) => self.lines.data(rest, &piece),
                Ok(None) => {
                    self.lines.last_data(rest);
                    documents.reading = None;
                }
                Err(source) => return Err(blob_of(source, &documents.id)),
            }
        } else if let Some(digest) = documents.blobs.pop_front() {
            let reader = self.store.blobs().read(digest, Part::Stored).await;
            let reader = reader.map_err(|source| blob_of(source, &documents.id))?;
            self.lines.blob(digest, reader.length());
            documents.reading = Some((reader, Vec::new()));
        } else if let Some(document) = documents.ready.pop_front() {
            self.lines.document(&document)?;
            let blobs = blobs_of(&document).into_iter().map(|blob| blob.digest);
            documents.blobs = blobs.collect();
            document.id.as_str().clone_into(&mut documents.id);
            documents.leaves = document.leaves.into();
        } else if let Some(since) = documents.since {
            let (ready, next) = documents.point.documents(since).await?;
            documents.ready = ready.into();
            documents.since = match next {
                Next::Done => None,
                Next::Go(since) => Some(since),
            };
        } else {
            let gone = gone_since(documents.point.facts(), &self.database, &self.read).await?;
            self.lines.totals.gone = Some(gone);
            // If this fails, it runs out.
            drop(documents.point.release().await);
            return Ok(Stage::End);
        }
        Ok(Stage::Documents(documents))
    }
}

/// What may have gone since a point was made.
async fn gone_since(
    point: &Facts,
    database: &Database,
    read: &Grant<Read>,
) -> Result<Gone, StorageError> {
    let info = database.info(read).await?;
    let rule = database.retention(read).await?.tombstones;
    Ok(Gone {
        purges: info.purge_sequence.saturating_sub(point.purge_sequence),
        tombstones: point.retention.tombstones.or(rule).is_some(),
    })
}

impl Documents {
    fn of(point: Point) -> Self {
        Self {
            point,
            since: Some(0),
            ready: VecDeque::new(),
            id: String::new(),
            leaves: VecDeque::new(),
            blobs: VecDeque::new(),
            reading: None,
        }
    }
}

impl Lines {
    fn add(&mut self, line: &impl serde::Serialize) {
        let lines = self.packer.lines();
        let begun = lines.len();
        put(lines, line);
        self.digest.update(&lines[begun..]);
        self.totals.lines += 1;
    }

    /// A document, whose leaves are to follow.
    fn document(&mut self, document: &WholeDocument) -> Result<(), ArchiveError> {
        let bytes: usize = document.leaves.iter().map(|leaf| leaf.body.len()).sum();
        if bytes > DOCUMENT_BYTES_MAX || document.leaves.len() > LEAVES_MAX {
            return Err(ArchiveError::TooLarge { id: document.id.as_str().to_owned() });
        }
        self.add_content(&DocumentLine::of(document));
        let totals = &mut self.totals;
        *if document.deleted() { &mut totals.deleted } else { &mut totals.documents } += 1;
        Ok(())
    }

    fn leaf(&mut self, id: &str, leaf: &WholeLeaf) -> Result<(), ArchiveError> {
        let line = LeafLine::of(leaf);
        let bytes = self.add_content(&line.ok_or_else(|| ArchiveError::NotJson { id: id.into() })?);
        self.totals.leaves += 1;
        if bytes > LINE_BYTES_MAX { Err(ArchiveError::TooLarge { id: id.into() }) } else { Ok(()) }
    }

    /// A line of a document or a leaf; its bytes.
    fn add_content(&mut self, line: &impl serde::Serialize) -> usize {
        let begun = self.packer.lines().len();
        self.add(line);
        let line = &self.packer.lines()[begun..];
        self.contents.add(line);
        line.len()
    }

    fn blob(&mut self, digest: BlobDigest, bytes: u64) {
        self.add(&BlobLine { blob: digest.to_string(), bytes });
        self.totals.blobs += 1;
        self.totals.blob_bytes += bytes;
    }

    /// Writes what makes whole lines, and leaves the rest.
    fn data(&mut self, rest: &mut Vec<u8>, piece: &[u8]) {
        rest.extend_from_slice(piece);
        let whole = rest.len() - rest.len() % DATA_BYTES;
        for piece in rest[..whole].chunks(DATA_BYTES) {
            self.add(&DataLine { data: STANDARD.encode(piece).into() });
        }
        rest.drain(..whole);
    }

    fn last_data(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.add(&DataLine { data: STANDARD.encode(rest).into() });
        }
    }

    fn end(&mut self) {
        self.totals.contents = self.contents.digest();
        self.totals.digest = self.digest.finalize().to_hex().to_string();
        let end = self.totals.clone();
        put(self.packer.lines(), &EndLine { end });
    }
}
