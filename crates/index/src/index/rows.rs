//! Rows as a build sorts them: keys whose bytes are in the order of rows, and all else as payload.
//!
//! | part | form |
//! |---|---|
//! | key | sort key (none is the prefix of another), escaped id, n (4 bytes, big-endian) |
//! | payload | lengths of the sort key and of the key, as LEB128; the key as JSON; the value as JSON |

use bytes::Bytes;
use settle_database::RecordError;
use settle_engine::key::{push_bytes, take_bytes};

use crate::{
    codec::{Reader, put_bytes, put_number},
    mapper::MappedRow,
    sort::Buffer,
    tree::NewRow,
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

/// The row that [`push`] took apart.
pub(super) fn decode(key: &[u8], payload: &[u8]) -> Result<NewRow, RecordError> {
    let mut from = Reader::over("sorted row", payload);
    let sort_key_length = from.count()?;
    let json = from.bytes()?;
    let (sort_key, rest) =
        key.split_at_checked(sort_key_length).ok_or_else(|| from.malformed("too short"))?;
    let (id, n) = take_bytes(rest).ok_or_else(|| from.malformed("no id"))?;
    let n: [u8; 4] = n.try_into().map_err(|_| from.malformed("no number"))?;
    Ok(NewRow {
        sort_key: sort_key.to_vec(),
        id: String::from_utf8(id).map_err(|_| from.malformed("an id is not UTF-8"))?,
        n: u32::from_be_bytes(n),
        key: Bytes::copy_from_slice(json),
        value: Bytes::copy_from_slice(from.remaining()),
    })
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
            for (sort, id, n) in &rows {
                let (key, payload) = merge.next_row().unwrap().unwrap();
                let MappedRow { sort_key, key: json, value } = row(sort);
                let expected = NewRow { sort_key, id: id.clone(), n: *n, key: json, value };
                prop_assert_eq!(decode(key, payload).unwrap(), expected);
            }
            prop_assert!(merge.next_row().unwrap().is_none());
        }
    }
}
