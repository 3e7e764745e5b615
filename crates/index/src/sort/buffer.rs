//! Rows in memory: their bytes one behind the other, and where each stands.

/// Rows that are not in order yet.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// One row. Most comparisons end at the first eight bytes, without a look at the row.
#[derive(Debug, Clone, Copy)]
struct Place {
    head: u64,
    start: usize,
    key_length: u32,
    payload_length: u32,
}

impl Buffer {
    pub(crate) fn push(&mut self, key: &[u8], payload: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(payload);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a row is below 4 GiB");
        let place = Place {
            head: head(key),
            start,
            key_length: length(key),
            payload_length: length(payload),
        };
        self.places.push(place);
    }

    /// What it takes of memory.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<Place>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(crate) fn sorted(mut self) -> Sorted {
        let bytes = &self.bytes;
        self.places.sort_unstable_by(|left, right| {
            left.head.cmp(&right.head).then_with(|| left.key(bytes).cmp(right.key(bytes)))
        });
        Sorted { bytes: self.bytes, places: self.places.into_iter() }
    }
}

impl Place {
    fn key(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start..self.start + self.key_length as usize]
    }

    fn payload(self, bytes: &[u8]) -> &[u8] {
        let start = self.start + self.key_length as usize;
        &bytes[start..start + self.payload_length as usize]
    }
}

/// The first bytes of a key as a number that orders as they do.
fn head(key: &[u8]) -> u64 {
    let mut head = [0; 8];
    let length = key.len().min(8);
    head[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(head)
}

/// Rows in order.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    bytes: Vec<u8>,
    places: std::vec::IntoIter<Place>,
}

impl Sorted {
    pub(crate) fn peek_key(&self) -> Option<&[u8]> {
        self.places.as_slice().first().map(|place| place.key(&self.bytes))
    }

    /// The key and the payload of the next row.
    pub(crate) fn next_row(&mut self) -> Option<(&[u8], &[u8])> {
        let place = self.places.next()?;
        Some((place.key(&self.bytes), place.payload(&self.bytes)))
    }
}
