//! The lines of an archive. Each is a JSON object; the first member says what it tells of.
//!
//! In this order:
//!
//! | first member | tells of | how many |
//! |---|---|---|
//! | `settle_archive` | the form (1), what the database is called and where it was | one |
//! | `local` | a local document | any |
//! | `point` | the database at one sequence: timelines, counts, settings, security object | one |
//! | `purged` | a purge that is remembered | any |
//! | `document` | a document, in the order of sequences; its `leaves` lines follow | any |
//! | … `leaf` | a leaf, winner first: ancestry, attachments, body | as many |
//! | … `blob` | the stored bytes of attachments, once for all leaves of the document | any |
//! | … … `data` | a piece of these bytes in base64 | any |
//! | `end` | counts and digests of all lines before, and what has gone meanwhile | one |
//!
//! Local documents stand before the point: read before its sequence is fixed, none of them claims that something
//! has been replicated which is not in the archive.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use settle_database::{
    Attachment, Facts, PurgeEntry, Retention, Times, Tombstones, WholeDocument, WholeLeaf,
    blobs::Encoding,
    limits::{CHECKPOINTS_DEFAULT, RETENTION_DEFAULT, TOMBSTONES_MAX, TOMBSTONES_MIN},
};
use settle_model::{
    revision::{RevId, RevPath},
    sequence::{Sequence, TimelineStart},
    time::Timestamp,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

pub(crate) const FORM: u32 = 1;

/// What a database is called and where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub settle_archive: u32,
    pub name: String,
    /// The uuid of the site, in hexadecimal digits.
    pub site: String,
    /// As the database told it.
    pub instance_start_time: String,
    /// When the database was made, in microseconds since 1970.
    pub created: u64,
    /// When the archive was begun.
    pub made: String,
}

/// Counts and digests of all lines before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Documents whose winner is live, and those whose winner is a tombstone.
    pub documents: u64,
    pub deleted: u64,
    pub leaves: u64,
    /// Contents of attachments, and their bytes as they are stored.
    pub blobs: u64,
    pub blob_bytes: u64,
    pub locals: u64,
    pub purged: u64,
    pub lines: u64,
    /// BLAKE3 of the lines of documents and leaves, in hexadecimal digits.
    pub contents: String,
    /// BLAKE3 of all lines.
    pub digest: String,
    /// Not there in the first archives, which did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<Gone>,
}

/// What has gone while an archive was made, and need not be in it although its point counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// How many purges there were: each takes a document, or makes another leaf its winner.
    pub purges: u64,
    /// Whether tombstones go by their age.
    pub tombstones: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LocalLine<'a> {
    #[serde(borrow)]
    pub(crate) local: Cow<'a, str>,
    pub(crate) rev: u64,
    #[serde(borrow)]
    pub(crate) body: &'a RawValue,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PointLine<'a> {
    #[serde(borrow)]
    pub(crate) point: PointFields<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PointFields<'a> {
    pub(crate) sequence: u64,
    /// Oldest first.
    pub(crate) timelines: Vec<TimelineFields>,
    pub(crate) documents: u64,
    pub(crate) deleted: u64,
    pub(crate) purge_sequence: u64,
    pub(crate) partitioned: bool,
    pub(crate) revs_limit: u32,
    pub(crate) purged_infos_limit: u32,
    pub(crate) grace_ms: u64,
    #[serde(borrow)]
    pub(crate) security: Option<&'a RawValue>,
    /// Not there in the first archives.
    #[serde(borrow, default, skip_serializing_if = "KeptFields::is_default")]
    pub(crate) kept: KeptFields<'a>,
}

/// What its admins have said of what is kept, as far as they have.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct KeptFields<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) window_ms: Option<u64>,
    /// A selector.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) append_only: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tombstones_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checkpoints_ms: Option<u64>,
    /// How long outcomes of transactions are remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcomes_ms: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TimelineFields {
    pub(crate) timeline: String,
    pub(crate) above: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PurgedLine<'a> {
    pub(crate) purged: u64,
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    pub(crate) revs: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DocumentLine<'a> {
    #[serde(borrow)]
    pub(crate) document: Cow<'a, str>,
    pub(crate) sequence: u64,
    /// Milliseconds since 1970.
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) leaves: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeafLine<'a> {
    pub(crate) leaf: String,
    /// Digests of the ancestors, each a generation older.
    pub(crate) ancestors: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) deleted: bool,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) attachments: Vec<AttachmentFields<'a>>,
    #[serde(borrow)]
    pub(crate) body: &'a RawValue,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AttachmentFields<'a> {
    #[serde(borrow)]
    pub(crate) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) content_type: Cow<'a, str>,
    pub(crate) revpos: u32,
    /// As CouchDB shows it: `md5-` and base64.
    pub(crate) digest: String,
    pub(crate) length: u64,
    /// Where the stored bytes are compressed with gzip: how many they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gzip_length: Option<u64>,
    /// BLAKE3 of the stored bytes.
    pub(crate) blob: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BlobLine {
    pub(crate) blob: String,
    pub(crate) bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DataLine<'a> {
    #[serde(borrow)]
    pub(crate) data: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EndLine {
    pub(crate) end: Totals,
}

/// Appends a line.
pub(crate) fn put(out: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *out, line).expect("lines have text keys, and vectors take all");
    out.push(b'\n');
}

/// What a stored body is, which is JSON already.
pub(crate) fn raw(json: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(json).ok()
}

impl<'a> KeptFields<'a> {
    /// `None` if the selector is not JSON, which only damage can do.
    pub(crate) fn of(facts: &'a Facts) -> Option<Self> {
        let Facts { retention, outcomes, .. } = facts;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Some(Self {
            window_ms: (!retention.window.is_zero()).then(|| millis(retention.window)),
            append_only: match &retention.append_only {
                Some(selector) => Some(raw(selector)?),
                None => None,
            },
            tombstones_ms: retention.tombstones.map(|it| millis(it.kept)),
            checkpoints_ms: retention.tombstones.map(|it| millis(it.checkpoints)),
            outcomes_ms: (*outcomes != RETENTION_DEFAULT).then(|| millis(*outcomes)),
        })
    }

    fn is_default(&self) -> bool {
        let Self { window_ms, append_only, tombstones_ms, checkpoints_ms, outcomes_ms } = self;
        append_only.is_none()
            && [window_ms, tombstones_ms, checkpoints_ms, outcomes_ms].iter().all(|it| it.is_none())
    }

    /// `append_only` is what that is as it is stored.
    pub(crate) fn retention(&self, append_only: Option<Bytes>) -> Retention {
        let time = |millis: Option<u64>| millis.map(Duration::from_millis);
        let bounded = |time: Duration| time.clamp(TOMBSTONES_MIN, TOMBSTONES_MAX);
        Retention {
            window: time(self.window_ms).unwrap_or_default(),
            append_only: append_only.map(|it| it.to_vec()),
            tombstones: time(self.tombstones_ms).map(|kept| Tombstones {
                kept: bounded(kept),
                checkpoints: bounded(time(self.checkpoints_ms).unwrap_or(CHECKPOINTS_DEFAULT)),
            }),
        }
    }

    pub(crate) fn outcomes(&self) -> Duration {
        self.outcomes_ms.map_or(RETENTION_DEFAULT, Duration::from_millis)
    }
}

impl<'a> DocumentLine<'a> {
    pub(crate) fn of(document: &'a WholeDocument) -> Self {
        Self {
            document: document.id.as_str().into(),
            sequence: document.sequence,
            created: document.times.created.micros() / 1_000,
            updated: document.times.updated.micros() / 1_000,
            leaves: document.leaves.len(),
        }
    }

    pub(crate) fn times(&self) -> Times {
        let time = |millis: u64| Timestamp::from_micros(millis.saturating_mul(1_000));
        Times { created: time(self.created), updated: time(self.updated) }
    }
}

impl<'a> LeafLine<'a> {
    /// `None` if the body is not JSON, which only damage can do.
    pub(crate) fn of(leaf: &'a WholeLeaf) -> Option<Self> {
        let mut revs = leaf.path.revs();
        let newest = revs.next()?;
        Some(Self {
            leaf: newest.to_string(),
            ancestors: revs.map(|rev| rev.digest().to_string()).collect(),
            deleted: leaf.deleted,
            attachments: leaf.attachments.iter().map(AttachmentFields::of).collect(),
            body: raw(&leaf.body)?,
        })
    }

    pub(crate) fn path(&self) -> Option<RevPath> {
        let newest: RevId = self.leaf.parse().ok()?;
        let generation = newest.generation();
        let mut digests = Vec::with_capacity(1 + self.ancestors.len());
        digests.push(newest.into_digest());
        for ancestor in &self.ancestors {
            digests.push(ancestor.parse().ok()?);
        }
        RevPath::new(generation, digests).ok()
    }
}

impl<'a> AttachmentFields<'a> {
    fn of(attachment: &'a Attachment) -> Self {
        Self {
            name: attachment.name.as_str().into(),
            content_type: attachment.content_type.as_str().into(),
            revpos: attachment.revpos,
            digest: format!("md5-{}", STANDARD.encode(attachment.md5)),
            length: attachment.length,
            gzip_length: match attachment.encoding {
                Encoding::Identity => None,
                Encoding::Gzip => Some(attachment.stored_length),
            },
            blob: attachment.digest.to_string(),
        }
    }

    pub(crate) fn attachment(&self) -> Option<Attachment> {
        let md5 = STANDARD.decode(self.digest.strip_prefix("md5-")?).ok()?;
        Some(Attachment {
            name: self.name.parse().ok()?,
            content_type: self.content_type.clone().into_owned(),
            revpos: self.revpos,
            md5: md5.try_into().ok()?,
            digest: self.blob.parse().ok()?,
            length: self.length,
            stored_length: self.gzip_length.unwrap_or(self.length),
            encoding: match self.gzip_length {
                None => Encoding::Identity,
                Some(_) => Encoding::Gzip,
            },
        })
    }
}

impl<'a> PurgedLine<'a> {
    pub(crate) fn of(entry: &'a PurgeEntry) -> Self {
        Self {
            purged: entry.sequence,
            id: entry.id.as_str().into(),
            revs: entry.revs.iter().map(ToString::to_string).collect(),
        }
    }

    pub(crate) fn entry(&self) -> Option<PurgeEntry> {
        let revs: Result<Vec<RevId>, _> = self.revs.iter().map(|rev| rev.parse()).collect();
        let id = self.id.clone().into_owned();
        Some(PurgeEntry { sequence: self.purged, id, revs: revs.ok()? })
    }
}

impl TimelineFields {
    pub(crate) fn of(start: &TimelineStart) -> Self {
        Self { timeline: start.timeline.to_string(), above: start.above.0 }
    }

    pub(crate) fn start(&self) -> Option<TimelineStart> {
        let timeline = self.timeline.parse().ok()?;
        Some(TimelineStart { timeline, above: Sequence(self.above) })
    }
}
