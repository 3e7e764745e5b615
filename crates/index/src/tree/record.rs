//! The values of a tree: version 1 in the envelope of `settle_engine::value`, then the fields.
//! Numbers are LEB128.

use std::ops::Range;

use settle_engine::value;

use super::error::TreeError;
use crate::codec::{VERSION, put_bytes, put_number};

/// Set in the first byte of a row whose sort key is cut.
const SORT_KEY_IS_CUT: u8 = 0x80;
/// Set in the first byte of a row whose id is cut.
const ID_IS_CUT: u8 = 0x40;

/// A row: rank and marks, the length of the sort key in the row key; where the marks say so, what
/// was cut off the sort key and the whole id, each behind its length; the key behind its length, the
/// value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowParts {
    pub(super) rank: u8,
    pub(super) sort_length: usize,
    /// What was cut off the sort key; ranges are in the payload.
    pub(super) tail: Option<Range<usize>>,
    /// The id, where the row key has only a part of it.
    pub(super) id: Option<Range<usize>>,
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

/// What is put into the payload of a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowContent<'a> {
    pub(super) rank: u8,
    /// Of what stands of the sort key in the row key.
    pub(super) sort_length: usize,
    pub(super) tail: Option<&'a [u8]>,
    pub(super) id: Option<&'a str>,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl RowContent<'_> {
    pub(super) fn payload(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.room());
        self.push(&mut out);
        out
    }

    /// The whole value of a row at `key`.
    pub(super) fn sealed(&self, key: &[u8]) -> Vec<u8> {
        let mut out = value::begin(VERSION);
        out.reserve_exact(self.room());
        self.push(&mut out);
        value::seal(key, out)
    }

    fn room(&self) -> usize {
        16 + self.tail.map_or(0, <[u8]>::len)
            + self.id.map_or(0, str::len)
            + self.key.len()
            + self.value.len()
    }

    fn push(&self, out: &mut Vec<u8>) {
        let tail_mark = if self.tail.is_some() { SORT_KEY_IS_CUT } else { 0 };
        let id_mark = if self.id.is_some() { ID_IS_CUT } else { 0 };
        out.push(self.rank | tail_mark | id_mark);
        put_number(out, self.sort_length as u64);
        for part in [self.tail, self.id.map(str::as_bytes)].into_iter().flatten() {
            put_bytes(out, part);
        }
        put_bytes(out, self.key);
        out.extend_from_slice(self.value);
    }
}

impl RowParts {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, TreeError> {
        let mut reader = Reader { payload, at: 0 };
        let mark = reader.byte()?;
        let sort_length = reader.length()?;
        let tail = if mark & SORT_KEY_IS_CUT == 0 { None } else { Some(reader.bytes()?) };
        let id = if mark & ID_IS_CUT == 0 { None } else { Some(reader.bytes()?) };
        let key = reader.bytes()?;
        let value = reader.at..payload.len();
        Ok(Self { rank: mark & !(SORT_KEY_IS_CUT | ID_IS_CUT), sort_length, tail, id, key, value })
    }
}

/// An entry: rank of the first row, count of rows, then each partial behind its length.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryView<'a> {
    pub(super) rank: u8,
    pub(super) count: u64,
    /// As they stand.
    pub(super) partials: &'a [u8],
}

/// The payload of an entry.
pub(super) fn entry(rank: u8, count: u64, partials: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![rank];
    put_number(&mut out, count);
    for partial in partials {
        put_bytes(&mut out, partial);
    }
    out
}

impl<'a> EntryView<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, TreeError> {
        let mut reader = Reader { payload, at: 0 };
        let rank = reader.byte()?;
        let count = reader.number()?;
        Ok(Self { rank, count, partials: &payload[reader.at..] })
    }
}

/// The partial of one reducer.
pub(super) fn partial(partials: &[u8], reducer: usize) -> Result<&[u8], TreeError> {
    let mut reader = Reader { payload: partials, at: 0 };
    for _ in 0..reducer {
        reader.bytes()?;
    }
    let range = reader.bytes()?;
    Ok(&partials[range])
}

pub(super) fn root(count: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, count);
    out
}

pub(super) fn parse_root(payload: &[u8]) -> Result<u64, TreeError> {
    Reader { payload, at: 0 }.number()
}

/// A whole value.
pub(super) fn seal(key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = value::begin(VERSION);
    out.extend_from_slice(payload);
    value::seal(key, out)
}

/// The payload of a value that was just sealed.
pub(super) fn payload_of(sealed: &[u8]) -> &[u8] {
    &sealed[value::HEADER_LENGTH..]
}

/// The payload of a value.
pub(super) fn open<'v>(key: &[u8], stored: &'v [u8]) -> Result<&'v [u8], TreeError> {
    match value::open(key, stored)? {
        (VERSION, payload) => Ok(payload),
        _ => Err(TreeError::Malformed { reason: "a version that this program does not know" }),
    }
}

/// Reads what `codec` writes, as places in the payload, which outlive what is borrowed.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) payload: &'a [u8],
    pub(super) at: usize,
}

const TOO_SHORT: TreeError = TreeError::Malformed { reason: "a record is too short" };

impl Reader<'_> {
    pub(super) fn byte(&mut self) -> Result<u8, TreeError> {
        let byte = *self.payload.get(self.at).ok_or(TOO_SHORT)?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, TreeError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(TreeError::Malformed { reason: "a number is too long" })
    }

    pub(super) fn length(&mut self) -> Result<usize, TreeError> {
        usize::try_from(self.number()?).map_err(|_| TOO_SHORT)
    }

    pub(super) fn bytes(&mut self) -> Result<Range<usize>, TreeError> {
        let length = self.length()?;
        let end = self.at.checked_add(length).filter(|&end| end <= self.payload.len());
        let range = self.at..end.ok_or(TOO_SHORT)?;
        self.at = range.end;
        Ok(range)
    }
}

#[cfg(test)]
mod tests {
    use super::{EntryView, RowContent, RowParts, entry, open, partial, seal};

    #[test]
    fn a_row_is_read_as_it_was_written() {
        for (tail, id) in [
            (None, None),
            (Some(&b"cut off"[..]), None),
            (None, Some("id")),
            (Some(b""), Some("id")),
        ] {
            let (key, value) = (&b"[1,2]"[..], &b"{\"a\":1}"[..]);
            let row = RowContent { rank: 3, sort_length: 200, tail, id, key, value };
            let payload = row.payload();
            assert_eq!(open(b"at", &row.sealed(b"at")).unwrap(), payload);
            let parts = RowParts::parse(&payload).unwrap();
            assert_eq!((parts.rank, parts.sort_length), (3, 200));
            assert_eq!(parts.tail.map(|range| &payload[range]), tail);
            assert_eq!(parts.id.map(|range| &payload[range]), id.map(str::as_bytes));
            assert_eq!(&payload[parts.key], b"[1,2]");
            assert_eq!(&payload[parts.value], b"{\"a\":1}");
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let payload = entry(2, 300, &[b"first".to_vec(), Vec::new(), b"third".to_vec()]);
        let view = EntryView::parse(&payload).unwrap();
        assert_eq!((view.rank, view.count), (2, 300));
        assert_eq!(partial(view.partials, 0).unwrap(), b"first");
        assert_eq!(partial(view.partials, 1).unwrap(), b"");
        assert_eq!(partial(view.partials, 2).unwrap(), b"third");
        assert!(partial(view.partials, 3).is_err());
    }

    #[test]
    fn what_is_no_record_is_refused() {
        assert!(RowParts::parse(b"").is_err());
        assert!(RowParts::parse(&[0, 1, 200]).is_err());
        assert!(EntryView::parse(&[1]).is_err());
        let value = seal(b"key", b"payload");
        assert_eq!(open(b"key", &value).unwrap(), b"payload");
        assert!(open(b"other", &value).is_err());
        assert!(
            open(b"key", &settle_engine::value::seal(b"key", settle_engine::value::begin(9)))
                .is_err()
        );
    }
}
