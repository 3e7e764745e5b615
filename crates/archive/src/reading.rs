//! Reading an archive: its bytes in, what they mean out, everything checked on the way.
//!
//! Plain code without I/O: [`Reader::feed`] takes bytes as they come from wherever, [`Reader::item`] gives what is
//! whole by then. What it gives is right as far as an archive can tell: lines in their order, documents in the order
//! of their sequences, each followed by the contents that its attachments name, of the digests by which they name
//! them. That all of it was there, and all that the database had, is known when [`Item::End`] has been given.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use md5::{Digest as _, Md5};
use settle_database::{
    Facts, PurgeEntry, WholeDocument, WholeLeaf,
    blobs::{BlobDigest, Encoding},
};
use settle_model::{document, id::LocalId, json, time::Timestamp};
use thiserror::Error;

use crate::{
    block::{Damage, Flaw, Unpacker},
    limits::{DATA_BYTES, DOCUMENT_BYTES_MAX, LEAVES_MAX, TIMELINES_MAX},
    line::{
        BlobLine, DataLine, DocumentLine, EndLine, FORM, Gone, Header, LeafLine, LocalLine,
        PointFields, PointLine, PurgedLine, TimelineFields, Totals,
    },
    writing::ContentDigest,
};

/// What an archive holds, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Header(Header),
    Local {
        id: LocalId,
        revision: u64,
        body: Bytes,
    },
    Point(Facts),
    Purge(PurgeEntry),
    /// The contents of its attachments follow, each once.
    Document(WholeDocument),
    Blob(Contents),
    /// A piece of the content that was begun last.
    Data(Bytes),
    /// The content is whole, and is what its digests say.
    BlobEnd,
    /// The archive is whole.
    End(Totals),
}

/// The content of attachments, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    pub digest: BlobDigest,
    pub md5: [u8; 16],
    pub encoding: Encoding,
    /// Bytes before compression.
    pub length: u64,
    pub stored_length: u64,
}

/// Why an archive cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadArchive {
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The bytes are those that were written, and yet make no archive.
    #[error("{what}, in line {line} of the archive (block {block} at byte {offset})")]
    Line { what: &'static str, line: u64, block: u64, offset: u64 },
    /// It is whole, and yet not all that was to be archived.
    #[error(
        "the archive has {documents} documents and {deleted} tombstones, and the database had \
         {documents_then} and {deleted_then}"
    )]
    Counts { documents: u64, deleted: u64, documents_then: u64, deleted_then: u64 },
}

/// Takes the bytes of an archive, and gives what they mean.
#[derive(Debug, Default)]
pub struct Reader {
    unpacker: Unpacker,
    stage: Stage,
    /// Of lines so far.
    totals: Totals,
    digest: blake3::Hasher,
    contents: ContentDigest,
    /// From the first line.
    name: String,
    created: Timestamp,
    last_sequence: u64,
    last_purge: u64,
    sequence_max: u64,
    purge_max: u64,
    /// Documents and tombstones that the database had, by its own count.
    counted: (u64, u64),
    /// What was read last, in words.
    behind: Option<String>,
}

/// What the next line may be.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Header,
    Locals,
    Purges,
    Documents,
    /// So many leaves of this document are missing.
    Leaves(Box<WholeDocument>, usize, usize),
    /// The contents that come next.
    Blobs(VecDeque<Contents>),
    Data(Box<Receiving>),
    End,
    /// Behind a failure nothing can be read.
    Failed,
}

/// A content that is being read.
#[derive(Debug)]
struct Receiving {
    rest: VecDeque<Contents>,
    contents: Contents,
    received: u64,
    blake3: blake3::Hasher,
    md5: Md5,
}

/// The contents that a document's attachments name, each once, in the order in which they are named first.
pub(crate) fn blobs_of(document: &WholeDocument) -> Vec<Contents> {
    let mut seen = HashSet::new();
    let attachments = document.leaves.iter().flat_map(|leaf| &leaf.attachments);
    let first = attachments.filter(|it| seen.insert(it.digest));
    let contents = first.map(|it| Contents {
        digest: it.digest,
        md5: it.md5,
        encoding: it.encoding,
        length: it.length,
        stored_length: it.stored_length,
    });
    contents.collect()
}

impl Reader {
    /// Takes more bytes. They should be asked for only when [`item`](Self::item) has nothing left.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.unpacker.feed(bytes);
    }

    /// There will be no more bytes.
    pub fn finish(&mut self) {
        self.unpacker.finish();
    }

    /// What comes next; `None` when more bytes are needed, and behind the end.
    pub fn item(&mut self) -> Result<Option<Item>, BadArchive> {
        let next = self.read();
        if next.is_err() {
            self.stage = Stage::Failed;
        }
        next
    }

    fn read(&mut self) -> Result<Option<Item>, BadArchive> {
        loop {
            if let Stage::Data(receiving) = &self.stage
                && receiving.received == receiving.contents.stored_length
            {
                return self.blob_end().map(Some);
            }
            let line = match self.unpacker.line() {
                Ok(line) => line.map(Bytes::copy_from_slice),
                Err(damage) => return Err(self.damaged(damage).into()),
            };
            let Some(line) = line else { return self.no_line() };
            let item = self.line(&line)?;
            self.totals.lines += 1;
            self.digest.update(&line);
            self.digest.update(b"\n");
            if let Some(item) = item {
                return Ok(Some(item));
            }
        }
    }

    /// There is no line now: is there none at all?
    fn no_line(&self) -> Result<Option<Item>, BadArchive> {
        match (&self.stage, self.unpacker.is_done()) {
            (_, false) | (Stage::End, true) => Ok(None),
            (
                Stage::Header
                | Stage::Locals
                | Stage::Purges
                | Stage::Documents
                | Stage::Leaves(..)
                | Stage::Blobs(_)
                | Stage::Data(_)
                | Stage::Failed,
                true,
            ) => Err(self.damaged(self.unpacker.damage(Flaw::Cut)).into()),
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Item>, BadArchive> {
        match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Header => self.header(line).map(Some),
            Stage::Locals if line.starts_with(b"{\"local\":") => self.local(line).map(Some),
            Stage::Locals => self.point(line).map(Some),
            Stage::Purges if line.starts_with(b"{\"purged\":") => self.purge(line).map(Some),
            Stage::Purges | Stage::Documents if line.starts_with(b"{\"end\":") => {
                self.end(line).map(Some)
            }
            Stage::Purges | Stage::Documents => self.document(line),
            Stage::Leaves(document, missing, bytes) => self.leaf(document, missing, bytes, line),
            Stage::Blobs(waiting) => self.blob(waiting, line).map(Some),
            Stage::Data(receiving) => self.data(receiving, line).map(Some),
            Stage::End => {
                let (offset, block) = self.unpacker.place();
                let behind = self.behind.clone();
                Err(Damage { offset, block, behind, flaw: Flaw::Trailing }.into())
            }
            Stage::Failed => Err(self.bad("nothing can be read behind a failure")),
        }
    }

    /// With what was read last. Behind the end it does not matter what is wrong with what stands there.
    fn damaged(&self, damage: Damage) -> Damage {
        let flaw = if matches!(self.stage, Stage::End) { Flaw::Trailing } else { damage.flaw };
        Damage { behind: self.behind.clone(), flaw, ..damage }
    }

    fn header(&mut self, line: &[u8]) -> Result<Item, BadArchive> {
        let header: Header = self.parse(line, "the first line does not say what this is")?;
        if header.settle_archive != FORM {
            return Err(self.bad("this is an archive of a later form"));
        }
        self.name.clone_from(&header.name);
        self.created = Timestamp::from_micros(header.created);
        self.behind = Some("the first line".to_owned());
        self.stage = Stage::Locals;
        Ok(Item::Header(header))
    }

    fn local(&mut self, line: &[u8]) -> Result<Item, BadArchive> {
        let LocalLine { local, rev, body } = self.parse(line, "not a local document")?;
        let id: LocalId = local.parse().map_err(|_| self.bad("not the id of a local document"))?;
        let body = self.object(body.get())?;
        self.behind = Some(format!("the local document {id}"));
        self.totals.locals += 1;
        self.stage = Stage::Locals;
        Ok(Item::Local { id, revision: rev, body })
    }

    fn point(&mut self, line: &[u8]) -> Result<Item, BadArchive> {
        let PointLine { point } = self.parse(line, "neither a local document nor the point")?;
        let security = match point.security {
            None => Bytes::new(),
            Some(security) => self.object(security.get())?,
        };
        let append_only = point.kept.append_only.map(|it| self.object(it.get())).transpose()?;
        let facts = facts(&point, security, append_only);
        let facts = facts.ok_or_else(|| self.bad("a timeline that is none"))?;
        let facts = Facts { name: self.name.clone(), created: self.created, ..facts };
        self.sequence_max = facts.sequence;
        self.purge_max = facts.purge_sequence;
        self.counted = (facts.doc_count, facts.deleted_count);
        self.behind = Some("the point".to_owned());
        self.stage = Stage::Purges;
        Ok(Item::Point(facts))
    }

    fn purge(&mut self, line: &[u8]) -> Result<Item, BadArchive> {
        let purged: PurgedLine<'_> = self.parse(line, "not a purge")?;
        let entry = purged.entry().ok_or_else(|| self.bad("a revision that is none"))?;
        if entry.sequence <= self.last_purge || entry.sequence > self.purge_max {
            return Err(self.bad("a purge that is not in order"));
        }
        self.last_purge = entry.sequence;
        self.behind = Some(format!("the purge of {:?}", entry.id));
        self.totals.purged += 1;
        self.stage = Stage::Purges;
        Ok(Item::Purge(entry))
    }

    fn document(&mut self, line: &[u8]) -> Result<Option<Item>, BadArchive> {
        let document: DocumentLine<'_> = self.parse(line, "not a document")?;
        let id = document.document.parse().map_err(|_| self.bad("not the id of a document"))?;
        let (sequence, times, missing) = (document.sequence, document.times(), document.leaves);
        if sequence <= self.last_sequence || sequence > self.sequence_max {
            return Err(self.bad("a document whose sequence is not in order"));
        }
        if missing == 0 || missing > LEAVES_MAX {
            return Err(self.bad("a document with no leaf, or with too many"));
        }
        self.behind = Some(format!("the line of the document {:?}", document.document));
        self.last_sequence = sequence;
        self.add_content(line);
        let whole = WholeDocument { id, sequence, times, leaves: Vec::new() };
        self.stage = Stage::Leaves(Box::new(whole), missing, 0);
        Ok(None)
    }

    fn leaf(
        &mut self,
        mut document: Box<WholeDocument>,
        missing: usize,
        bytes: usize,
        line: &[u8],
    ) -> Result<Option<Item>, BadArchive> {
        let leaf: LeafLine<'_> = self.parse(line, "not a leaf")?;
        let path = leaf.path().ok_or_else(|| self.bad("revisions that are none"))?;
        let attachments = leaf.attachments.iter().map(|it| it.attachment()).collect();
        let attachments: Option<Vec<_>> = attachments;
        let attachments = attachments.ok_or_else(|| self.bad("an attachment that is none"))?;
        let body = self.body(leaf.body.get())?;
        let bytes = bytes + body.len();
        if bytes > DOCUMENT_BYTES_MAX {
            return Err(self.bad("a document that is too large"));
        }
        self.behind = Some(format!("the leaf {} of {:?}", leaf.leaf, document.id.as_str()));
        self.totals.leaves += 1;
        self.add_content(line);
        document.leaves.push(WholeLeaf { path, deleted: leaf.deleted, body, attachments });
        if missing > 1 {
            self.stage = Stage::Leaves(document, missing - 1, bytes);
            return Ok(None);
        }
        let totals = &mut self.totals;
        *if document.deleted() { &mut totals.deleted } else { &mut totals.documents } += 1;
        self.stage = self.behind_leaves(&document)?;
        Ok(Some(Item::Document(*document)))
    }

    /// The contents that follow a document.
    fn behind_leaves(&self, document: &WholeDocument) -> Result<Stage, BadArchive> {
        let waiting = blobs_of(document);
        let by_digest: BTreeMap<BlobDigest, &Contents> =
            waiting.iter().map(|it| (it.digest, it)).collect();
        let agree = document.leaves.iter().flat_map(|leaf| &leaf.attachments).all(|it| {
            let first = by_digest[&it.digest];
            (first.md5, first.encoding, first.length, first.stored_length)
                == (it.md5, it.encoding, it.length, it.stored_length)
        });
        if !agree {
            return Err(self.bad("attachments that say different things of one content"));
        }
        let waiting: VecDeque<Contents> = waiting.into();
        Ok(if waiting.is_empty() { Stage::Documents } else { Stage::Blobs(waiting) })
    }

    fn blob(&mut self, mut waiting: VecDeque<Contents>, line: &[u8]) -> Result<Item, BadArchive> {
        let BlobLine { blob, bytes } = self.parse(line, "not the content of an attachment")?;
        let expected = waiting.pop_front();
        let is_it = |it: &Contents| it.digest.to_string() == blob && it.stored_length == bytes;
        let Some(contents) = expected.filter(is_it) else {
            return Err(self.bad("not the content that comes next"));
        };
        self.behind = Some(format!("the beginning of the attachments' content {blob}"));
        self.totals.blobs += 1;
        self.totals.blob_bytes += bytes;
        self.stage = Stage::Data(Box::new(Receiving {
            rest: waiting,
            contents,
            received: 0,
            blake3: blake3::Hasher::new(),
            md5: Md5::new(),
        }));
        Ok(Item::Blob(contents))
    }

    fn data(&mut self, mut receiving: Box<Receiving>, line: &[u8]) -> Result<Item, BadArchive> {
        let DataLine { data } = self.parse(line, "not a piece of an attachment's content")?;
        let data = STANDARD.decode(&*data).map_err(|_| self.bad("base64 that is none"))?;
        receiving.received += data.len() as u64;
        if data.is_empty()
            || data.len() > DATA_BYTES
            || receiving.received > receiving.contents.stored_length
        {
            return Err(self.bad("a piece of an attachment's content of the wrong length"));
        }
        receiving.blake3.update(&data);
        receiving.md5.update(&data);
        let (digest, at) = (receiving.contents.digest, receiving.received);
        self.behind = Some(format!("byte {at} of the attachments' content {digest}"));
        self.stage = Stage::Data(receiving);
        Ok(Item::Data(data.into()))
    }

    fn blob_end(&mut self) -> Result<Item, BadArchive> {
        let Stage::Data(receiving) = std::mem::replace(&mut self.stage, Stage::Failed) else {
            return Err(self.bad("no content has begun"));
        };
        let Receiving { rest, contents, blake3, md5, .. } = *receiving;
        let md5: [u8; 16] = md5.finalize().into();
        if blake3.finalize() != *contents.digest.as_bytes() || md5 != contents.md5 {
            // The line that has made it whole is counted already.
            let what = "an attachment's content that is not what its digests say";
            let (offset, block) = self.unpacker.place();
            return Err(BadArchive::Line { what, line: self.totals.lines, block, offset });
        }
        self.stage = if rest.is_empty() { Stage::Documents } else { Stage::Blobs(rest) };
        Ok(Item::BlobEnd)
    }

    fn end(&mut self, line: &[u8]) -> Result<Item, BadArchive> {
        let EndLine { end } = self.parse(line, "not the end")?;
        let counted = Totals {
            contents: self.contents.digest(),
            digest: self.digest.finalize().to_hex().to_string(),
            gone: end.gone,
            ..self.totals.clone()
        };
        if end != counted {
            return Err(self.bad("counts or digests that are not those of the lines before"));
        }
        self.check_counts(&end)?;
        self.behind = Some("the end".to_owned());
        self.stage = Stage::End;
        Ok(Item::End(end))
    }

    /// Refuses an archive that lacks documents of its database, but for those that went while it was made.
    fn check_counts(&self, end: &Totals) -> Result<(), BadArchive> {
        // Of the first archives it is not known what went.
        let Some(Gone { purges, tombstones }) = end.gone else { return Ok(()) };
        let Totals { documents, deleted, .. } = *end;
        let (documents_then, deleted_then) = self.counted;
        let expired = tombstones && deleted < deleted_then;
        let is_all = documents.abs_diff(documents_then) <= purges
            && (expired || deleted.abs_diff(deleted_then) <= purges);
        if is_all {
            return Ok(());
        }
        Err(BadArchive::Counts { documents, deleted, documents_then, deleted_then })
    }

    fn add_content(&mut self, line: &[u8]) {
        self.contents.add(line);
        self.contents.add(b"\n");
    }

    fn parse<'a, T: serde::Deserialize<'a>>(
        &self,
        line: &'a [u8],
        what: &'static str,
    ) -> Result<T, BadArchive> {
        serde_json::from_slice(line).map_err(|_| self.bad(what))
    }

    /// A JSON object as it is stored.
    fn object(&self, text: &str) -> Result<Bytes, BadArchive> {
        let minified = json::minify(text.as_bytes()).map_err(|_| self.bad("JSON that is none"))?;
        if minified.first() != Some(&b'{') {
            return Err(self.bad("JSON that is no object"));
        }
        Ok(minified.into_owned().into())
    }

    /// A document's body: an object without special members.
    fn body(&self, text: &str) -> Result<Bytes, BadArchive> {
        let parsed = document::parse(text.as_bytes());
        let parsed = parsed.map_err(|_| self.bad("a body that no document has"))?;
        let is_plain = parsed.id.is_none()
            && parsed.rev.is_none()
            && parsed.revisions.is_none()
            && !parsed.deleted
            && parsed.attachments.is_empty()
            && parsed.body == text.as_bytes();
        if !is_plain {
            return Err(self.bad("a body with special members, or with white space"));
        }
        Ok(parsed.body.into())
    }

    fn bad(&self, what: &'static str) -> BadArchive {
        let (offset, block) = self.unpacker.place();
        BadArchive::Line { what, line: self.totals.lines + 1, block, offset }
    }
}

fn facts(point: &PointFields<'_>, security: Bytes, append_only: Option<Bytes>) -> Option<Facts> {
    let timelines: Option<Vec<_>> = point.timelines.iter().map(TimelineFields::start).collect();
    let timelines = timelines.filter(|it| !it.is_empty() && it.len() <= TIMELINES_MAX)?;
    Some(Facts {
        name: String::new(),
        created: Timestamp::from_micros(0),
        sequence: point.sequence,
        purge_sequence: point.purge_sequence,
        doc_count: point.documents,
        deleted_count: point.deleted,
        timelines,
        partitioned: point.partitioned,
        revs_limit: point.revs_limit,
        purged_infos_limit: point.purged_infos_limit,
        grace: Duration::from_millis(point.grace_ms),
        security,
        retention: point.kept.retention(append_only),
        outcomes: point.kept.outcomes(),
    })
}
