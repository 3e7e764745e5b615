//! The site's own records: who it is, its databases' names, what happened to them.

use settle_model::{sequence::Timeline, time::Timestamp};

use crate::{
    codec::{Reader, RecordError, put_number, put_text},
    record::sealed,
};

/// The one record that says which site this is.
///
/// | field | form |
/// |---|---|
/// | uuid | 16 bytes |
/// | identity of the store's file | 16 bytes; another one means that the folder was copied |
/// | timeline | 8 bytes, new after a copy |
/// | next database number | number; blocks of numbers are reserved ahead |
/// | created | number, microseconds |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) uuid: [u8; 16],
    pub(crate) identity: [u8; 16],
    pub(crate) timeline: Timeline,
    pub(crate) next_number: u64,
    pub(crate) created: Timestamp,
}

impl Site {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            out.extend_from_slice(&self.uuid);
            out.extend_from_slice(&self.identity);
            out.extend_from_slice(&self.timeline.0);
            put_number(out, self.next_number);
            put_number(out, self.created.micros());
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("site", key, value)?;
        let site = Self {
            uuid: from.array()?,
            identity: from.array()?,
            timeline: Timeline(from.array()?),
            next_number: from.number()?,
            created: Timestamp::from_micros(from.number()?),
        };
        from.end()?;
        Ok(site)
    }
}

/// A database's name leads to its number.
pub(crate) fn encode_name(key: &[u8], number: u64) -> Vec<u8> {
    sealed(key, |out| put_number(out, number))
}

pub(crate) fn decode_name(key: &[u8], value: &[u8]) -> Result<u64, RecordError> {
    let mut from = Reader::open("name", key, value)?;
    let number = from.number()?;
    from.end()?;
    Ok(number)
}

/// What happened to a database, as `_db_updates` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    Created,
    Updated,
    Deleted,
}

/// One row of the event log: kind, number, name. A database has at most one row, its newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: EventKind,
    pub(crate) number: u64,
    pub(crate) name: String,
}

impl Event {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            out.push(self.kind.code());
            put_number(out, self.number);
            put_text(out, &self.name);
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("event", key, value)?;
        let kind = EventKind::read(&mut from)?;
        let event = Self { kind, number: from.number()?, name: from.text()?.to_owned() };
        from.end()?;
        Ok(event)
    }
}

impl EventKind {
    fn code(self) -> u8 {
        match self {
            Self::Created => 1,
            Self::Updated => 2,
            Self::Deleted => 3,
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, RecordError> {
        match from.byte()? {
            1 => Ok(Self::Created),
            2 => Ok(Self::Updated),
            3 => Ok(Self::Deleted),
            _ => Err(from.malformed("unknown kind of event")),
        }
    }
}

/// Where a database's rows stand in the event log, and which of its sequences they tell of, so that
/// what a crash kept out of the log is found again.
///
/// | field | form |
/// |---|---|
/// | created, updated, deleted | numbers of the rows, 0 where there is none |
/// | sequence | number: the database's, as of the newest row |
/// | name | text |
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct EventOf {
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
    pub(crate) sequence: u64,
    pub(crate) name: String,
}

impl EventOf {
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            put_number(out, self.created);
            put_number(out, self.updated);
            put_number(out, self.deleted);
            put_number(out, self.sequence);
            put_text(out, &self.name);
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("event of", key, value)?;
        let row = Self {
            created: from.number()?,
            updated: from.number()?,
            deleted: from.number()?,
            sequence: from.number()?,
            name: from.text()?.to_owned(),
        };
        from.end()?;
        Ok(row)
    }
}

/// A row whose key says all: the sweep queue.
pub(crate) fn encode_mark(key: &[u8]) -> Vec<u8> {
    sealed(key, |_| {})
}

/// When a database was dropped.
pub(crate) fn encode_reclaim(key: &[u8], dropped: Timestamp) -> Vec<u8> {
    sealed(key, |out| put_number(out, dropped.micros()))
}

/// When the restore of a database without a name began, and what it will be called.
pub(crate) fn encode_restore(key: &[u8], begun: Timestamp, name: &str) -> Vec<u8> {
    sealed(key, |out| {
        put_number(out, begun.micros());
        put_text(out, name);
    })
}
