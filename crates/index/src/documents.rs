//! What each document made in an index, so that it can be taken away when the document changes.
//!
//! | field | form |
//! |---|---|
//! | external | number: bytes of keys and values as JSON |
//! | active | number: bytes of all that is stored for its rows |
//! | maps that have rows | each: number of the map, count of rows, then their sort keys as bytes |
//!
//! Rows of one map are numbered from 0 in the order in which they were emitted.

use settle_database::RecordError;

use crate::{
    codec::{Reader, put_bytes, put_number, sealed},
    mapper::{Mapped, MappedRow},
    tree::{NewRow, RowKey},
};

/// The rows of one document, without what they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DocumentRecord<K = Vec<u8>> {
    pub(crate) external: u64,
    pub(crate) active: u64,
    /// The map, and its rows' sort keys.
    pub(crate) maps: Vec<(usize, Vec<K>)>,
}

impl<'a> DocumentRecord<&'a [u8]> {
    /// `None` where a document makes no rows: then there is no record.
    pub(crate) fn of(mapped: &'a Mapped) -> Option<Self> {
        let mut record = Self { external: 0, active: 0, maps: Vec::new() };
        for (map, rows) in mapped.maps.iter().enumerate() {
            if rows.is_empty() {
                continue;
            }
            for row in rows {
                let external = (row.key.len() + row.value.len()) as u64;
                record.external += external;
                record.active += external + 2 * row.sort_key.len() as u64;
            }
            record.active += (rows.len() * (mapped.id.len() + ROW_OVERHEAD)) as u64;
            record.maps.push((map, rows.iter().map(|row| &*row.sort_key).collect()));
        }
        (!record.maps.is_empty()).then_some(record)
    }
}

impl<K: AsRef<[u8]>> DocumentRecord<K> {
    pub(crate) fn rows(&self) -> u64 {
        self.maps.iter().map(|(_, keys)| keys.len() as u64).sum()
    }

    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        sealed(key, |out| {
            put_number(out, self.external);
            put_number(out, self.active);
            for (map, keys) in &self.maps {
                put_number(out, *map as u64);
                put_number(out, keys.len() as u64);
                for key in keys {
                    put_bytes(out, key.as_ref());
                }
            }
        })
    }
}

impl DocumentRecord {
    /// The rows that it names, for each map that has some.
    pub(crate) fn row_keys(self, id: &str) -> impl Iterator<Item = (usize, RowKey)> {
        self.maps.into_iter().flat_map(move |(map, keys)| {
            (0..)
                .zip(keys)
                .map(move |(n, sort_key)| (map, RowKey { sort_key, id: id.to_owned(), n }))
        })
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::open("index document", key, value)?;
        let mut record =
            Self { external: from.number()?, active: from.number()?, maps: Vec::new() };
        while !from.is_empty() {
            let map = from.count()?;
            let mut keys = Vec::new();
            for _ in 0..from.count()? {
                keys.push(from.bytes()?.to_vec());
            }
            record.maps.push((map, keys));
        }
        Ok(record)
    }
}

/// About what a row costs beside its bytes.
const ROW_OVERHEAD: usize = 16;

/// A mapped row as a tree takes it.
pub(crate) fn new_row(id: &str, n: u32, row: MappedRow) -> NewRow {
    let MappedRow { sort_key, key, value } = row;
    NewRow { sort_key, id: id.to_owned(), n, key, value }
}

#[cfg(test)]
mod tests {
    use super::DocumentRecord;
    use crate::{
        keys,
        mapper::{Mapped, MappedRow},
    };

    #[test]
    fn a_document_s_rows_are_named_as_they_were_made() {
        let row = |sort_key: &[u8]| MappedRow {
            sort_key: sort_key.to_vec(),
            key: "1".into(),
            value: "null".into(),
        };
        let maps = vec![vec![row(b"a"), row(b"a")], vec![], vec![row(b"b")]];
        let mapped = Mapped { id: "d".to_owned(), maps };
        let record = DocumentRecord::of(&mapped).unwrap();
        let key = keys::document(3, 4, "d");
        let read = DocumentRecord::decode(&key, &record.encode(&key)).unwrap();
        assert_eq!((read.external, read.active), (record.external, record.active));
        assert_eq!(read.rows(), 3);
        assert_eq!(read.external, 15);
        let keys: Vec<_> =
            read.row_keys("d").map(|(map, row)| (map, row.sort_key, row.n)).collect();
        assert_eq!(keys, [(0, b"a".to_vec(), 0), (0, b"a".to_vec(), 1), (2, b"b".to_vec(), 0)]);
        assert_eq!(DocumentRecord::of(&Mapped { id: String::new(), maps: vec![vec![]] }), None);
    }
}
