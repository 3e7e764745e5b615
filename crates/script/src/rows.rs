//! Rows that map functions emit and reduce functions take.

use bytes::Bytes;

/// One emitted row. Both are JSON as `JSON.stringify` writes it; `undefined` is `null`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub key: Bytes,
    pub value: Bytes,
}

/// What the map functions of one call made of one document: an entry for each function, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocRows {
    pub maps: Vec<Result<Vec<Row>, MapFailure>>,
}

/// A map function threw: the document emits nothing there, and the reason is worth a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapFailure {
    pub message: String,
}

/// The rows of one group for a reduce function, gathered in the form in which they are sent.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u32,
}

impl Rows {
    /// Adds a row; key and value are JSON.
    pub fn push(&mut self, key: &[u8], id: &str, value: &[u8]) {
        for part in [key, id.as_bytes(), value] {
            let length = u32::try_from(part.len()).expect("a row is below 4 GiB");
            self.bytes.extend_from_slice(&length.to_le_bytes());
            self.bytes.extend_from_slice(part);
        }
        self.count += 1;
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn len(&self) -> usize {
        self.count as usize
    }
}
