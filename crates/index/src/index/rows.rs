//! Rows as a build sorts them: keys whose bytes are in the order of rows, and all else as payload.
//!
//! | part | form |
//! |---|---|
//! | key | sort key (none is the prefix of another), escaped id, n (4 bytes, big-endian) |
//! | payload | lengths of the sort key and of the key, as LEB128; the key as JSON; the value as JSON |

use settle_database::RecordError;
use settle_engine::key::{push_bytes, take_bytes};

use crate::{
    codec::{Reader, put_bytes, put_number},
    mapper::MappedRow,
    sort::Buffer,
    tree::NewRowRef,
};

/// Adds a row; `key` and `payload` are room for its parts.
pub(super) fn push(
    buffer: &mut Buffer,
    id: &str,
    n: u32,
    row: &MappedRow,
    [key, payload]: &mut [Vec<u8>; 2],
) {
    key.clear();
    key.extend_from_slice(&row.sort_key);
    push_bytes(key, id.as_bytes());
    key.extend_from_slice(&n.to_be_bytes());
    payload.clear();
    put_number(payload, row.sort_key.len() as u64);
    put_bytes(payload, &row.key);
    payload.extend_from_slice(&row.value);
    buffer.push(key, payload);
}

/// Rows in their order, in one piece of memory.
#[derive(Debug, Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    /// Where the key and the payload of each end.
    ends: Vec<(usize, usize)>,
}

impl Block {
    pub(super) fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ends: Vec::with_capacity(rows) }
    }

    pub(super) fn push(&mut self, key: &[u8], payload: &[u8]) {
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.ends.push((middle, self.bytes.len()));
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Hands each row to `take`.
    pub(super) fn each<E: From<RecordError>>(
        &self,
        mut take: impl FnMut(NewRowRef<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut start = 0;
        for &(middle, end) in &self.ends {
            with_row(&self.bytes[start..middle], &self.bytes[middle..end], &mut take)?;
            start = end;
        }
        Ok(())
    }
}

/// Hands on the row that [`push`] took apart.
fn with_row<E: From<RecordError>>(
    key: &[u8],
    payload: &[u8],
    take: impl FnOnce(NewRowRef<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut from = Reader::over("sorted row", payload);
    let sort_key_length = from.count()?;
    let json = from.bytes()?;
    let malformed = |reason| from.malformed(reason);
    let (sort_key, rest) =
        key.split_at_checked(sort_key_length).ok_or_else(|| malformed("too short"))?;
    let (id, n) = take_bytes(rest).ok_or_else(|| malformed("no id"))?;
    let n: [u8; 4] = n.try_into().map_err(|_| malformed("no number"))?;
    let id = std::str::from_utf8(&id).map_err(|_| malformed("an id is not UTF-8"))?;
    let (n, value) = (u32::from_be_bytes(n), from.remaining());
    take(NewRowRef { sort_key, id, n, key: json, value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sort::Merge;

    proptest! {
        #[test]
        fn rows_sort_by_key_id_and_number_and_come_back_whole(
            rows in proptest::collection::btree_set(("[a-c]{0,2}", "[\0a-c]{1,3}", 0_u32..3), 0..40),
        ) {
            let mut buffer = Buffer::default();
            let mut room = [Vec::new(), Vec::new()];
            let row = |sort: &str| MappedRow {
                sort_key: [sort.as_bytes(), &[0]].concat(),
                key: format!("\"{sort}\"").into(),
                value: "1.0".into(),
            };
            for (sort, id, n) in rows.iter().rev() {
                push(&mut buffer, id, *n, &row(sort), &mut room);
            }
            let mut merge = Merge::new(Vec::new(), buffer.sorted());
            let mut block = Block::default();
            while let Some((key, payload)) = merge.next_row().unwrap() {
                block.push(key, payload);
            }
            prop_assert_eq!(block.len(), rows.len());
            let mut expected = rows.iter();
            block
                .each(|found| {
                    let (sort, id, n) = expected.next().expect("as many as were pushed");
                    let MappedRow { sort_key, key, value } = row(sort);
                    let sort_key = &*sort_key;
                    let row = NewRowRef { sort_key, id, n: *n, key: &key, value: &value };
                    assert_eq!(found, row);
                    Ok::<_, RecordError>(())
                })
                .unwrap();
        }
    }
}
