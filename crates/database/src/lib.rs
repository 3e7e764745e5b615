//! One database and all of them: documents written, read, followed.
//!
//! A [`Store`] is all databases of a site on one engine; a [`Database`] is one of them. Operations
//! that outsiders can reach take a [`Grant`](settle_access::Grant). What this crate does not know:
//! HTTP, users, how an engine stores bytes.

mod audit;
pub mod blobs;
mod checkpoint;
pub mod codec;
mod database;
mod edit;
mod error;
pub mod follow;
mod keys;
pub mod limits;
mod once;
mod past;
mod planted;
mod read;
mod record;
mod render;
mod revision;
mod scan;
mod store;
mod tasks;
mod transact;
mod writer;

pub use settle_engine::Direction;

pub use crate::{
    checkpoint::is_checkpoint,
    codec::RecordError,
    database::{
        Database, HeldMoment, LocalError, PlannedResolution, RetentionError, Reversal, RevertError,
        SettingError, Subscription,
    },
    edit::{
        Atomicity, AttachmentEdit, AttachmentSource, Attempt, Content, Edit, EditError, Epochs,
        Foreseen, Origin, Seen, Verdict, Written,
    },
    error::StorageError,
    once::{Answer, OnceKey, Recorded, Recording},
    past::{
        copying::CopyError,
        difference::Difference,
        moment::{At, AtError, Moment, PastError, SnapshotName, SnapshotNameError},
        versions::Version,
    },
    read::whole::{Facts, Point, PointError, PurgeEntry, WholeDocument, WholeLeaf},
    record::{
        body::Attachment,
        later::{Cursor, Pin, Snapshot},
        retention::{Retention, Tombstones},
    },
    render::DocumentForm,
    revision::{
        AttachmentError, BulkItem, Extras, GetError, Info, MissingRevs, OpenRevs, RevStatus,
        Revision, Select, Times,
    },
    scan::{
        ChangeCursor, ChangeFilter, ChangeRow, ChangeScan, DocumentContent, DocumentRow,
        DocumentScan, FoundDocument, LocalDocument, More, Next, Sink,
        documents::PartitionInfo,
        leaves::{LeafChange, LeafForm},
        rendered::{RenderedDocument, RenderedScan},
    },
    store::{
        Compaction, CreateError, CreateOptions, DatabaseChanged, DatabaseEvent, DropError,
        EventKind, EventPage, EventScan, FollowersPosition, NameScan, OpenError, RestoreError,
        Restoring, Store, StoreParts, StoreSettings,
    },
    tasks::Tasks,
    transact::{
        Called, Fate, ForeseenTransactions, ForeseenWrite, Judgement, Known, ReadSet, Submitted,
        Transactions,
    },
    writer::keep::KeepError,
    writer::{RestoreRefusal, RestoredDocument, Turn},
};
