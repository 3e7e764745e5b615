//! Where each record stands. `docs/formats.md` shows the same as tables.
//!
//! Every key begins with the number of the database it belongs to ([`push_number`]), 0 for what
//! belongs to the site, then one byte for the family. Numbers are never used twice, so the keys of
//! a dropped database can be taken away at leisure.

use settle_engine::key::{push_bytes, push_number, take_bytes, take_number};
use settle_model::{
    id::{DocumentId, LocalId},
    revision::RevId,
    time::Timestamp,
};

use crate::{
    blobs::BlobDigest,
    codec::{Reader, put_rev},
};

/// The families of the site's own records.
pub(crate) mod site {
    pub(crate) const SITE: u8 = 0x01;
    pub(crate) const NAME: u8 = 0x02;
    pub(crate) const EVENT: u8 = 0x03;
    pub(crate) const EVENT_OF: u8 = 0x04;
    pub(crate) const RECLAIM: u8 = 0x05;
    pub(crate) const SWEEP: u8 = 0x06;
    pub(crate) const RESTORE: u8 = 0x28;
    // 0x40 to 0x43 are the attachment store's, see `blobs::keys`.
}

/// The families of a database's records.
pub(crate) mod family {
    pub(crate) const LIVE: u8 = 0x01;
    pub(crate) const STATE: u8 = 0x02;
    pub(crate) const HEAD: u8 = 0x10;
    pub(crate) const SEGMENT: u8 = 0x11;
    pub(crate) const BODY: u8 = 0x12;
    pub(crate) const HISTORY: u8 = 0x13;
    pub(crate) const CHANGE: u8 = 0x14;
    pub(crate) const LOCAL: u8 = 0x15;
    pub(crate) const TIME: u8 = 0x16;
    pub(crate) const PURGE: u8 = 0x17;
    pub(crate) const CHANGE_COUNT: u8 = 0x18;
    pub(crate) const CONFLICT: u8 = 0x19;
    /// When records of idempotency may go, in the order of time.
    pub(crate) const EXPIRY: u8 = 0x1A;
    /// How long they are kept, where the database says so.
    pub(crate) const OUTCOMES: u8 = 0x1B;
    /// When tombstones go, where they do, and how far that has come.
    pub(crate) const EXPIRING: u8 = 0x1C;
    /// The attachment store's: what this database refers to. See `blobs::keys`.
    pub(crate) const REFERENCE: u8 = 0x20;
    pub(crate) const SNAPSHOT: u8 = 0x21;
    pub(crate) const PIN: u8 = 0x22;
    pub(crate) const IDEMPOTENCY: u8 = 0x23;
    // 0x24 is in `later`.
    pub(crate) const RETENTION: u8 = 0x28;
    // 0x30 to 0x3F: rows, document → keys and reductions of indexes, in the environment of indexes.
}

/// Families that later work fills; their places and their order are fixed now.
#[cfg_attr(not(test), expect(dead_code, reason = "fixed now, so that stored formats last"))]
pub(crate) mod later {
    use settle_engine::key::push_number;

    use super::Keys;

    const CURSOR: u8 = 0x24;

    impl Keys {
        pub(crate) fn cursor(self, follower: &str) -> Vec<u8> {
            self.with_text(CURSOR, follower)
        }

        /// A row of an index: its number, then what the index makes of it, in its own environment.
        pub(crate) fn index_row(self, index: u64, part: u8, key: &[u8]) -> Vec<u8> {
            let mut row = self.family(0x30);
            push_number(&mut row, index);
            row.push(part);
            row.extend_from_slice(key);
            row
        }
    }
}

/// The number of the site itself.
pub(crate) const SITE_NUMBER: u64 = 0;

/// The number of one database, and the maker of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Keys {
    pub(crate) number: u64,
}

fn prefix(number: u64, family: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(48);
    push_number(&mut key, number);
    key.push(family);
    key
}

/// What follows the prefix, if `key` has that family, whosever it is.
fn rest(key: &[u8], family: u8) -> Option<&[u8]> {
    let (_, rest) = take_number(key)?;
    let (&found, rest) = rest.split_first()?;
    (found == family).then_some(rest)
}

/// The same for a key of the site: databases have families of the same bytes.
fn site_rest(key: &[u8], family: u8) -> Option<&[u8]> {
    let (number, _) = take_number(key)?;
    if number == SITE_NUMBER { rest(key, family) } else { None }
}

pub(crate) fn site_record() -> Vec<u8> {
    prefix(SITE_NUMBER, site::SITE)
}

pub(crate) fn names() -> Vec<u8> {
    prefix(SITE_NUMBER, site::NAME)
}

pub(crate) fn name(name: &str) -> Vec<u8> {
    let mut key = names();
    key.extend_from_slice(name.as_bytes());
    key
}

pub(crate) fn name_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(site_rest(key, site::NAME)?).ok()
}

pub(crate) fn events() -> Vec<u8> {
    prefix(SITE_NUMBER, site::EVENT)
}

pub(crate) fn event(sequence: u64) -> Vec<u8> {
    let mut key = events();
    push_number(&mut key, sequence);
    key
}

pub(crate) fn event_sequence_of(key: &[u8]) -> Option<u64> {
    Some(take_number(site_rest(key, site::EVENT)?)?.0)
}

pub(crate) fn events_of() -> Vec<u8> {
    prefix(SITE_NUMBER, site::EVENT_OF)
}

pub(crate) fn event_of(database: u64) -> Vec<u8> {
    let mut key = events_of();
    push_number(&mut key, database);
    key
}

pub(crate) fn event_of_database(key: &[u8]) -> Option<u64> {
    Some(take_number(site_rest(key, site::EVENT_OF)?)?.0)
}

pub(crate) fn reclaims() -> Vec<u8> {
    prefix(SITE_NUMBER, site::RECLAIM)
}

pub(crate) fn reclaim(database: u64) -> Vec<u8> {
    let mut key = reclaims();
    push_number(&mut key, database);
    key
}

pub(crate) fn reclaim_database(key: &[u8]) -> Option<u64> {
    Some(take_number(site_rest(key, site::RECLAIM)?)?.0)
}

/// Databases that are being restored and have no name yet.
pub(crate) fn restores() -> Vec<u8> {
    prefix(SITE_NUMBER, site::RESTORE)
}

pub(crate) fn restore(database: u64) -> Vec<u8> {
    let mut key = restores();
    push_number(&mut key, database);
    key
}

pub(crate) fn restore_database(key: &[u8]) -> Option<u64> {
    Some(take_number(site_rest(key, site::RESTORE)?)?.0)
}

pub(crate) fn sweeps() -> Vec<u8> {
    prefix(SITE_NUMBER, site::SWEEP)
}

pub(crate) fn sweep(due: Timestamp, database: u64) -> Vec<u8> {
    let mut key = sweeps();
    push_number(&mut key, due.micros());
    push_number(&mut key, database);
    key
}

pub(crate) fn sweep_of(key: &[u8]) -> Option<(Timestamp, u64)> {
    let (due, rest) = take_number(site_rest(key, site::SWEEP)?)?;
    Some((Timestamp::from_micros(due), take_number(rest)?.0))
}

impl Keys {
    pub(crate) fn all(self) -> Vec<u8> {
        let mut key = Vec::with_capacity(9);
        push_number(&mut key, self.number);
        key
    }

    pub(crate) fn family(self, family: u8) -> Vec<u8> {
        prefix(self.number, family)
    }

    pub(crate) fn live(self) -> Vec<u8> {
        self.family(family::LIVE)
    }

    pub(crate) fn state(self) -> Vec<u8> {
        self.family(family::STATE)
    }

    pub(crate) fn head(self, id: &DocumentId) -> Vec<u8> {
        self.head_at(id.as_str())
    }

    /// Like [`head`](Self::head), for the end of a range, which need not be a document's id.
    pub(crate) fn head_at(self, id: &str) -> Vec<u8> {
        self.with_text(family::HEAD, id)
    }

    pub(crate) fn local(self, id: &LocalId) -> Vec<u8> {
        self.local_at(id.as_str())
    }

    pub(crate) fn local_at(self, id: &str) -> Vec<u8> {
        self.with_text(family::LOCAL, id)
    }

    pub(crate) fn segment(self, id: &DocumentId, newest: &RevId) -> Vec<u8> {
        let mut key = self.with_escaped(family::SEGMENT, id);
        push_number(&mut key, u64::from(newest.generation()));
        key.extend_from_slice(newest.digest().bytes());
        key
    }

    pub(crate) fn body(self, number: u64) -> Vec<u8> {
        self.with_number(family::BODY, number)
    }

    /// `sequence` is that of the update that replaced what the record holds.
    pub(crate) fn history(self, id: &DocumentId, sequence: u64) -> Vec<u8> {
        let mut key = self.histories(id);
        push_number(&mut key, sequence);
        key
    }

    pub(crate) fn histories(self, id: &DocumentId) -> Vec<u8> {
        self.with_escaped(family::HISTORY, id)
    }

    /// As [`histories`](Self::histories), of an id as a row has it.
    pub(crate) fn histories_at(self, id: &str) -> Vec<u8> {
        let mut key = self.family(family::HISTORY);
        push_bytes(&mut key, id.as_bytes());
        key
    }

    /// As [`history`](Self::history), of an id as a row has it.
    pub(crate) fn history_at(self, id: &str, sequence: u64) -> Vec<u8> {
        let mut key = self.family(family::HISTORY);
        push_bytes(&mut key, id.as_bytes());
        push_number(&mut key, sequence);
        key
    }

    pub(crate) fn change(self, sequence: u64) -> Vec<u8> {
        self.with_number(family::CHANGE, sequence)
    }

    pub(crate) fn change_count(self, bucket: u64) -> Vec<u8> {
        self.with_number(family::CHANGE_COUNT, bucket)
    }

    pub(crate) fn conflict(self, id: &DocumentId) -> Vec<u8> {
        self.with_text(family::CONFLICT, id.as_str())
    }

    /// A record of one of the families whose keys end with the id of a document, at the end of a range, which
    /// need not be one.
    pub(crate) fn document_at(self, family: u8, id: &str) -> Vec<u8> {
        self.with_text(family, id)
    }

    pub(crate) fn time(self, time: Timestamp) -> Vec<u8> {
        self.with_number(family::TIME, time.micros())
    }

    /// As `blobs::keys` has it.
    pub(crate) fn reference(self, blob: BlobDigest, id: &DocumentId, rev: &RevId) -> Vec<u8> {
        let mut key = self.family(family::REFERENCE);
        key.extend_from_slice(blob.as_bytes());
        push_bytes(&mut key, id.as_str().as_bytes());
        put_rev(&mut key, rev);
        key
    }

    pub(crate) fn purge(self, sequence: u64) -> Vec<u8> {
        self.with_number(family::PURGE, sequence)
    }

    /// Of a principal, everything about one client stands together.
    pub(crate) fn idempotency(self, principal: &str, client: &str, id: &str) -> Vec<u8> {
        let mut key = self.family(family::IDEMPOTENCY);
        push_bytes(&mut key, principal.as_bytes());
        push_bytes(&mut key, client.as_bytes());
        key.extend_from_slice(id.as_bytes());
        key
    }

    /// `record` is the key of a record of idempotency of this database.
    pub(crate) fn expiry(self, expires: Timestamp, record: &[u8]) -> Vec<u8> {
        let mut key = self.with_number(family::EXPIRY, expires.micros());
        key.extend_from_slice(rest(record, family::IDEMPOTENCY).unwrap_or_default());
        key
    }

    /// When a record of idempotency may go, and its key.
    pub(crate) fn expiry_of(self, key: &[u8]) -> Option<(Timestamp, Vec<u8>)> {
        let (expires, which) = take_number(rest(key, family::EXPIRY)?)?;
        let mut record = self.family(family::IDEMPOTENCY);
        record.extend_from_slice(which);
        Some((Timestamp::from_micros(expires), record))
    }

    /// How long outcomes are remembered.
    pub(crate) fn outcomes(self) -> Vec<u8> {
        self.family(family::OUTCOMES)
    }

    pub(crate) fn snapshot(self, name: &str) -> Vec<u8> {
        self.with_text(family::SNAPSHOT, name)
    }

    pub(crate) fn pin(self, number: u64) -> Vec<u8> {
        self.with_number(family::PIN, number)
    }

    pub(crate) fn retention(self) -> Vec<u8> {
        self.family(family::RETENTION)
    }

    pub(crate) fn expiring(self) -> Vec<u8> {
        self.family(family::EXPIRING)
    }

    fn with_number(self, family: u8, number: u64) -> Vec<u8> {
        let mut key = self.family(family);
        push_number(&mut key, number);
        key
    }

    fn with_text(self, family: u8, text: &str) -> Vec<u8> {
        let mut key = Vec::with_capacity(10 + text.len());
        push_number(&mut key, self.number);
        key.push(family);
        key.extend_from_slice(text.as_bytes());
        key
    }

    fn with_escaped(self, family: u8, id: &DocumentId) -> Vec<u8> {
        let mut key = self.family(family);
        push_bytes(&mut key, id.as_str().as_bytes());
        key
    }
}

/// The document in the key of a row of documents in conflict.
pub(crate) fn conflict_of(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(rest(key, family::CONFLICT)?).ok()
}

/// The text at the end of a head's, a local document's, a conflict's or a snapshot's key.
pub(crate) fn text_of(key: &[u8]) -> Option<&str> {
    let (_, rest) = take_number(key)?;
    std::str::from_utf8(rest.get(1..)?).ok()
}

/// The number at the end of a change's, body's, time's, purge's, pin's or count's key.
pub(crate) fn number_of(key: &[u8]) -> Option<u64> {
    let (_, rest) = take_number(key)?;
    Some(take_number(rest.get(1..)?)?.0)
}

/// The blob, the document and the revision in a reference's key.
pub(crate) fn reference_of(key: &[u8]) -> Option<(BlobDigest, String, RevId)> {
    let (digest, rest) = rest(key, family::REFERENCE)?.split_first_chunk()?;
    let (id, rest) = take_bytes(rest)?;
    let rev = Reader::over("reference", rest).rev().ok()?;
    Some((BlobDigest::from_bytes(*digest), String::from_utf8(id.into_owned()).ok()?, rev))
}

/// The document and the sequence in a history record's key.
pub(crate) fn history_of(key: &[u8]) -> Option<(String, u64)> {
    let (id, rest) = take_bytes(rest(key, family::HISTORY)?)?;
    Some((String::from_utf8(id.into_owned()).ok()?, take_number(rest)?.0))
}

/// The document in a segment's key.
pub(crate) fn segment_of(key: &[u8]) -> Option<String> {
    String::from_utf8(take_bytes(rest(key, family::SEGMENT)?)?.0.into_owned()).ok()
}
