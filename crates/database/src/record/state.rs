//! The *state* record: what every document write changes. It is the precondition that orders the
//! writers of a database, on this node and on others.
//!
//! All fields are numbers, in the order of the struct; the nonce is 8 bytes. Behind it version 2 has what is
//! known of the documents in conflict: their count, then a byte, 0 when they are all listed, else 1 and the text
//! of the id up to which they are. Version 1 is from before they were; it is written again as it was read until
//! the first of them are listed, since a record is the precondition of the next.
//!
//! Version 3 is that of a database whose past is kept longer than the grace, since a snapshot, a pin or a window was
//! there once. Its conflicts have a third form, 2, for those that are not listed at all. Behind them stand three
//! numbers: the time of the floor, and the two ends of what is looked at again.
//!
//! Version 4 knows what the attachments take. Its conflicts are those of version 3; then comes a byte, 1 where the three
//! numbers follow and 0 where they do not, and last the bytes of the attachments. A database from before has its
//! attachments counted by the first write that changes them.

use settle_model::{id::DocumentId, time::Timestamp};

use crate::{
    codec::{Reader, RecordError, put_number, put_text},
    record::sealed_as,
};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// Of the newest change.
    pub(crate) sequence: u64,
    pub(crate) purge_sequence: u64,
    /// Documents whose winner is live, design documents included.
    pub(crate) doc_count: u64,
    /// Documents whose winner is a tombstone.
    pub(crate) deleted_count: u64,
    /// The number of the newest body record.
    pub(crate) body_number: u64,
    pub(crate) sizes: Sizes,
    /// No history is kept of updates up to this sequence.
    pub(crate) history_floor: u64,
    /// When a time record was last written; 0 when never.
    pub(crate) time_marked: Timestamp,
    /// When the collector of history comes by; 0 when it has nothing to do.
    pub(crate) sweep_due: Timestamp,
    /// Different in every batch, so that two batches never leave equal records.
    pub(crate) nonce: u64,
    pub(crate) conflicts: Conflicts,
    /// `None` until somebody first wants to have the past for longer than the grace.
    pub(crate) past: Option<Past>,
}

/// How far letting the past go has come where more of it is kept than the grace asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Past {
    /// A time at which the database was as it is at the floor of history.
    pub(crate) floor_time: Timestamp,
    /// Superseded rows of the feed behind the first and up to the second of these sequences are looked at again:
    /// what needed them has gone. Equal when there are none.
    pub(crate) again: (u64, u64),
}

impl Past {
    /// Has rows behind `after` up to `until` looked at again.
    pub(crate) fn look_again(&mut self, after: u64, until: u64) {
        if after >= until {
            return;
        }
        self.again = if self.again.0 == self.again.1 {
            (after, until)
        } else {
            (self.again.0.min(after), self.again.1.max(until))
        };
    }
}

/// Which documents have a row where they are in conflict; all others have none. A database has them all listed
/// from its beginning, unless it was made by a program that did not list them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Conflicts {
    Unlisted,
    /// Those up to this id.
    ListedTo {
        id: String,
        count: u64,
    },
    Listed {
        count: u64,
    },
}

const LISTED: u8 = 0;
const LISTED_TO: u8 = 1;
const UNLISTED: u8 = 2;

/// Bytes, kept exactly: a count over all records gives the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sizes {
    /// Keys and values of heads, segments, bodies of leaves, changes, local documents excluded.
    pub(crate) active: u64,
    /// Keys and values that only the past needs: history, and bodies nothing else refers to.
    pub(crate) history: u64,
    /// Bodies of all leaves as JSON, and the lengths of their attachments.
    pub(crate) external: u64,
    /// Attachments as they are stored, those that only the past has included; each content once, whatever other
    /// databases have. `None` where that has not been counted.
    pub(crate) attached: Option<u64>,
}

impl Sizes {
    /// Of a new database.
    pub(crate) fn nothing() -> Self {
        Self { attached: Some(0), ..Self::default() }
    }
}

impl State {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let version = match (self.sizes.attached, &self.past, &self.conflicts) {
            (Some(_), _, _) => 4,
            (None, Some(_), _) => 3,
            (None, None, Conflicts::ListedTo { .. } | Conflicts::Listed { .. }) => 2,
            (None, None, Conflicts::Unlisted) => 1,
        };
        sealed_as(version, key, |out| {
            put_number(out, self.sequence);
            put_number(out, self.purge_sequence);
            put_number(out, self.doc_count);
            put_number(out, self.deleted_count);
            put_number(out, self.body_number);
            put_number(out, self.sizes.active);
            put_number(out, self.sizes.history);
            put_number(out, self.sizes.external);
            put_number(out, self.history_floor);
            put_number(out, self.time_marked.micros());
            put_number(out, self.sweep_due.micros());
            out.extend_from_slice(&self.nonce.to_le_bytes());
            match &self.conflicts {
                Conflicts::Unlisted if version < 3 => {}
                Conflicts::Unlisted => {
                    put_number(out, 0);
                    out.push(UNLISTED);
                }
                Conflicts::ListedTo { id, count } => {
                    put_number(out, *count);
                    out.push(LISTED_TO);
                    put_text(out, id);
                }
                Conflicts::Listed { count } => {
                    put_number(out, *count);
                    out.push(LISTED);
                }
            }
            if self.sizes.attached.is_some() {
                out.push(u8::from(self.past.is_some()));
            }
            if let Some(past) = &self.past {
                put_number(out, past.floor_time.micros());
                put_number(out, past.again.0);
                put_number(out, past.again.1);
            }
            if let Some(attached) = self.sizes.attached {
                put_number(out, attached);
            }
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let (version, mut from) = Reader::open_any("state", key, value, 4)?;
        let mut state = Self {
            sequence: from.number()?,
            purge_sequence: from.number()?,
            doc_count: from.number()?,
            deleted_count: from.number()?,
            body_number: from.number()?,
            sizes: Sizes {
                active: from.number()?,
                history: from.number()?,
                external: from.number()?,
                attached: None,
            },
            history_floor: from.number()?,
            time_marked: Timestamp::from_micros(from.number()?),
            sweep_due: Timestamp::from_micros(from.number()?),
            nonce: u64::from_le_bytes(from.array()?),
            conflicts: if version == 1 {
                Conflicts::Unlisted
            } else {
                Conflicts::decode(&mut from)?
            },
            past: None,
        };
        let has_past = match version {
            1 | 2 => false,
            3 => true,
            _ => from.byte()? == 1,
        };
        if has_past {
            state.past = Some(Past::decode(&mut from)?);
        }
        if version > 3 {
            state.sizes.attached = Some(from.number()?);
        }
        from.end()?;
        Ok(state)
    }
}

impl Past {
    fn decode(from: &mut Reader<'_>) -> Result<Self, RecordError> {
        let floor_time = Timestamp::from_micros(from.number()?);
        Ok(Self { floor_time, again: (from.number()?, from.number()?) })
    }
}

impl Conflicts {
    fn decode(from: &mut Reader<'_>) -> Result<Self, RecordError> {
        let count = from.number()?;
        match from.byte()? {
            LISTED => Ok(Self::Listed { count }),
            LISTED_TO => Ok(Self::ListedTo { id: from.text()?.to_owned(), count }),
            UNLISTED => Ok(Self::Unlisted),
            _ => Err(from.malformed("no such list of conflicts")),
        }
    }

    /// How many documents are in conflict; `None` while that is not known.
    pub(crate) fn count(&self) -> Option<u64> {
        match self {
            Self::Unlisted | Self::ListedTo { .. } => None,
            Self::Listed { count } => Some(*count),
        }
    }

    /// The count of rows, if this document has one when it is in conflict.
    pub(crate) fn count_with(&mut self, document: &DocumentId) -> Option<&mut u64> {
        match self {
            Self::Unlisted => None,
            Self::ListedTo { id, count } => (document.as_str() <= id.as_str()).then_some(count),
            Self::Listed { count } => Some(count),
        }
    }
}

impl Default for Conflicts {
    /// A new database has none.
    fn default() -> Self {
        Self::Listed { count: 0 }
    }
}
